"""Every kind of finding is found where it was put, and nowhere else."""

import numpy as np
import pytest

from canthus.inspection import inspect
from canthus.inspection.findings import KINDS, Limits
from canthus.schemes import load_scheme

FLIP = list(load_scheme("68").flip)


def faces(findings):
    return [finding.face for finding in findings]


def test_clean_faces_give_no_finding(reader):
    assert reader.findings() == []


def test_broken_image_is_damage(reader):
    reader.broken.add(reader.parts["train"][7].image)
    (finding,) = reader.findings()
    assert (finding.kind, finding.face) == ("broken_image", 7)
    assert "not a readable image" in finding.detail
    assert KINDS["broken_image"].damage


def test_points_beyond_the_edge(reader, tight):
    def out(points):
        moved = points.copy()
        moved[[0, 1], 0] = -5.25, -0.4  # the second is on the outermost pixel
        moved[8, 1] = 98.0
        return moved

    reader.change(3, landmarks=out)
    (finding,) = reader.findings("points_outside")
    assert (finding.face, finding.value, finding.detail) == (3, 5.25, "2 points")


@pytest.mark.parametrize("shift", [(300, 0), (0, -300)])
def test_face_on_the_wrong_image(reader, shift):
    reader.change(5, landmarks=lambda points: points + shift, box=lambda box: box + np.tile(shift, 2))
    found = reader.findings("face_outside")
    assert faces(found) == [5, 5]
    assert {finding.detail for finding in found} == {"the middle of the points is outside", "the box is outside"}
    assert KINDS["face_outside"].damage


def test_exchanged_axes_are_found(reader, tight):
    """y before x on a wide image."""
    face = reader.parts["train"][0]
    reader.pictures[face.image] = np.tile(reader.pixels(face.image), (1, 4, 1))
    wide = face.landmarks + np.array([280, 0])
    reader.change(0, landmarks=wide[:, ::-1].copy(), box=tight(wide[:, ::-1]))
    kinds = {finding.kind for finding in reader.findings() if finding.face == 0}
    assert {"face_outside", "points_outside", "odd_shape"} <= kinds


def test_points_that_errors_are_divided_by(reader):
    def same(points):
        moved = points.copy()
        moved[45] = moved[36]
        return moved

    reader.change(9, landmarks=same)
    (finding,) = reader.findings("zero_distance")
    assert (finding.face, finding.value, finding.detail) == (9, 0.0, "inter_ocular")
    assert reader.findings("narrow_eyes") == []


def test_narrow_eyes(reader):
    reader.change(2, landmarks=lambda points: (points - 48) * [0.1, 1] + 48)
    (finding,) = reader.findings("narrow_eyes")
    assert finding.face == 2
    assert finding.value < 0.25


def test_coincident_points(reader):
    reader.change(4, landmarks=lambda points: np.where(np.arange(68)[:, None] < 20, points[30], points))
    (finding,) = reader.findings("coincident_points")
    assert (finding.face, finding.value) == (4, pytest.approx(21 / 68))


def test_tiny_box(reader):
    reader.change(1, box=lambda box: box[[0, 1, 0, 1]] + np.array([0, 0, 19, 20.5]))
    (finding,) = reader.findings("tiny_box")
    assert (finding.face, finding.value) == (1, pytest.approx(19.75))
    assert reader.findings("tiny_box", Limits(tiny=19)) == []


def test_box_of_another_face(reader):
    reader.change(6, box=lambda box: box + np.array([60, 0, 60, 0]))
    assert faces(reader.findings("points_off_box")) == [6]
    assert faces(reader.findings("box_off_points")) == [6]


def test_two_labels_for_one_face(reader):
    face = reader.parts["train"][10]
    reader.change(11, image=face.image, photo=face.photo, box=face.box + 0.5, landmarks=face.landmarks + 0.5)
    (finding,) = reader.findings("labelled_twice")
    assert (finding.face, finding.other) == (11, 10)
    assert finding.value > 0.9


def test_labels_mirrored_without_renaming(reader):
    reader.change(12, landmarks=lambda points: points[FLIP])
    (finding,) = reader.findings("swapped_sides")
    assert (finding.face, finding.detail) == (12, "all exchanged")


def test_eyes_exchanged(reader):
    def exchanged(points):
        order = [FLIP[k] if 36 <= k < 48 else k for k in range(68)]
        return points[order]

    reader.change(13, landmarks=exchanged)
    (finding,) = reader.findings("swapped_sides")
    assert (finding.face, finding.detail) == (13, "eye_left and eye_right exchanged")


def test_points_in_a_wrong_order_are_odd_and_not_exchanged(reader):
    order = np.random.default_rng(0).permutation(68)
    reader.change(14, landmarks=lambda points: points[order])
    assert faces(reader.findings("odd_shape")) == [14]
    assert reader.findings("swapped_sides") == []


def test_one_point_far_off_is_named(reader):
    def off(points):
        moved = points.copy()
        moved[54] += [0, -30]
        return moved

    reader.change(15, landmarks=off)
    (finding,) = reader.findings("odd_shape")
    assert finding.face == 15
    assert finding.detail == "most at mouth_outer_right_corner (54)"


def test_upside_down(reader):
    reader.change(16, landmarks=lambda points: 96 - points)
    (finding,) = reader.findings("upside_down")
    assert finding.face == 16
    assert finding.value > 150
    assert reader.findings("odd_shape") == []


def test_partly_labelled_faces_are_compared_by_what_they_have(reader):
    seen = np.full(68, 2, np.uint8)
    seen[:30] = 0
    reader.change(17, visibility=seen, landmarks=lambda points: np.where(seen[:, None] > 0, points, np.nan))
    assert reader.findings() == []
    reader.change(17, landmarks=lambda points: points[FLIP])
    # the labels of half a face do not fit its other half
    assert [finding.kind for finding in reader.findings()] == ["odd_shape"] or reader.findings("swapped_sides")


def test_faces_without_points(reader):
    for part in reader.parts:
        for i in range(len(reader.parts[part])):
            reader.change(i, part, landmarks=np.full((68, 2), np.nan), visibility=np.zeros(68, np.uint8))
    reader.change(0, box=np.array([200.0, 0, 300, 100]))
    # a box beyond the image is noticed without points
    assert [finding.kind for finding in reader.findings()] == ["face_outside"]


def test_a_point_that_no_face_has_is_said(reader, caplog):
    seen = np.full(68, 2, np.uint8)
    seen[5] = 0
    for part in reader.parts:
        for i in range(len(reader.parts[part])):
            reader.change(i, part, visibility=seen)
    assert reader.findings() == []
    assert "shapes are not compared: landmarks [5] are labelled in no face" in caplog.text


def test_findings_come_by_kind_the_worst_first(reader):
    reader.broken.add(reader.parts["train"][20].image)
    for i, size in ((0, 15), (1, 8), (2, 12)):
        reader.change(i, box=lambda box, size=size: np.concatenate([box[:2], box[:2] + size]))
    found = inspect(reader.collection())
    assert found[0].kind == "broken_image"
    assert faces([finding for finding in found if finding.kind == "tiny_box"]) == [1, 2, 0]
