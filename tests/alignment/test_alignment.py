"""Alignment: frames, embedders, pairs, verification and what the critique counts."""

import cv2
import numpy as np
import pytest
import torch

from canthus.alignment import (
    Aligner,
    StudyFaces,
    aligned,
    alignment_maps,
    alignment_points,
    draw_pairs,
    make_embedder,
    measure,
    normalisers_over_yaw,
    template,
    verification,
    verification_link,
    yaw_bins,
)
from canthus.data.face import DataError
from canthus.data.synthetic import Synthetic
from canthus.geometry import affine
from canthus.schemes import load_scheme

SOURCE = Synthetic(size=24, resolution=96, difficulty="easy")
FACES = SOURCE.faces(["train"])
LABELS = torch.from_numpy(np.stack([face.landmarks for face in FACES]))
TRUTH = alignment_points(LABELS, load_scheme(68))
PICTURES = [SOURCE.pixels(face.image) for face in FACES]
SIZE = 64


def test_the_template_is_a_face_in_the_middle() -> None:
    points = template(SIZE)
    assert points.shape == (5, 2)
    middle = (SIZE - 1) / 2
    torch.testing.assert_close(points[0, 0] - middle, middle - points[1, 0])
    assert points[2, 0].item() == pytest.approx(middle, abs=1e-4)
    assert points[0, 1] < points[2, 1] < points[3, 1]
    torch.testing.assert_close(template(2 * SIZE)[1] - template(2 * SIZE)[0], 2 * (points[1] - points[0]))


def test_aligned_pictures_show_the_points_at_the_template() -> None:
    picture = np.zeros((96, 96, 3), np.uint8)
    points = affine.apply(
        affine.rotation_scale(torch.tensor([0.4]), torch.tensor([0.8]), torch.full((1, 2), 40.0)),
        template(SIZE).float()[None] + 10,
    ).double()
    for x, y in points[0].round().int().tolist():
        cv2.circle(picture, (x, y), 1, (255, 255, 255), -1)
    maps = alignment_maps(points, SIZE)
    torch.testing.assert_close(affine.apply(maps, points)[0], template(SIZE), atol=1e-3, rtol=0)
    (face,) = aligned([picture], maps, SIZE)
    for x, y in template(SIZE).round().int().tolist():
        assert face[y, x].max() > 100


@pytest.mark.parametrize("name", ["hog", "pixels"])
def test_embedders_find_the_same_picture(name: str) -> None:
    embed = make_embedder(name, SIZE)
    faces = np.stack(list(aligned(PICTURES, alignment_maps(TRUTH, SIZE), SIZE)))
    vectors = embed(faces)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    noisy = np.clip(faces + np.random.default_rng(0).normal(0, 6, faces.shape), 0, 255).astype(np.uint8)
    assert ((embed(noisy) @ vectors.T).argmax(1) == np.arange(len(faces))).mean() > 0.95


def test_wrong_embedders() -> None:
    with pytest.raises(ValueError, match="embedder=arc: hog, pixels, or a network of timm"):
        make_embedder("arc", SIZE)
    with pytest.raises(ValueError, match="a multiple of 16"):
        make_embedder("hog", 60)


def test_pairs_are_of_different_clips_and_never_twice() -> None:
    persons = [f"p{i // 6}" for i in range(60)]
    clips = [f"{i // 3}" for i in range(60)]
    pairs = draw_pairs(persons, clips, 50, seed=0)
    assert len(pairs.same) == 100
    assert pairs.same.sum() == 50
    for a, b, same in zip(pairs.first, pairs.second, pairs.same, strict=True):
        assert (persons[a] == persons[b]) == same
        assert clips[a] != clips[b]
    assert len({(a, b) for a, b in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)}) == 100
    again = draw_pairs(persons, clips, 50, seed=0)
    np.testing.assert_array_equal(pairs.second, again.second)
    person = np.array([int(persons[a][1:]) for a in pairs.first[pairs.same]])
    np.testing.assert_array_equal(pairs.fold[pairs.same], person % 10)
    with pytest.raises(DataError, match="no person has pictures of two clips"):
        draw_pairs(persons, persons, 50, seed=0)


def test_verification_of_perfect_and_of_useless_vectors() -> None:
    persons = [f"p{i // 6}" for i in range(120)]
    pairs = draw_pairs(persons, [str(i) for i in range(120)], 300, seed=0)
    random = np.random.default_rng(0)
    centres = random.standard_normal((20, 16))
    good = np.repeat(centres, 6, 0) + 0.1 * random.standard_normal((120, 16))
    bad = random.standard_normal((120, 16))
    right, area = verification((good / np.linalg.norm(good, axis=1)[:, None]).astype(np.float32), pairs)
    assert right.mean() > 97
    assert area > 99
    right, area = verification((bad / np.linalg.norm(bad, axis=1)[:, None]).astype(np.float32), pairs)
    assert 38 < right.mean() < 62
    assert 42 < area < 58


def measured(name: str, points: torch.Tensor, corrupted=None):
    clips = [str(i // 3) for i in range(24)]
    pairs = draw_pairs([str(i // 6) for i in range(24)], clips, 20, seed=0)
    distances = {"box": torch.full((24,), 50.0, dtype=torch.float64)}
    aligner = Aligner(name, "run", points, corrupted or {})
    embed = make_embedder("pixels", SIZE)
    return measure(aligner, TRUTH, LABELS, distances, clips, PICTURES, pairs, embed, SIZE, [0, 5]), pairs


def test_measures_of_an_alignment() -> None:
    exact, _ = measured("truth", TRUTH, {"blur": TRUTH})
    assert exact.nme["box"].max() < 1e-9
    assert exact.shifts["blur"].max() < 1e-9
    moved, _ = measured("moved", TRUTH + torch.tensor([3.0, 4.0]), {"blur": TRUTH})
    np.testing.assert_allclose(moved.nme["box"], 10.0)  # 5 of 50 pixels
    assert (moved.shifts["blur"] > 1).all()
    torch.manual_seed(0)
    shaky, _ = measured("shaky", TRUTH + 4 * torch.randn_like(TRUTH))
    assert shaky.jitter.mean() > exact.jitter.mean()
    assert exact.mean_face.shape == (SIZE, SIZE, 3)
    row = shaky.row()
    low, high = row["nme_box_interval"]
    assert low < row["nme_box"] < high


def test_the_link_is_a_rank_correlation() -> None:
    exact, pairs = measured("truth", TRUTH)
    stubs = []
    for accuracy, error in ((90, 1.0), (80, 2.0), (70, 3.0), (60, 4.0)):
        right = np.zeros(200)
        right[: 2 * accuracy] = 100
        fields = {"right": np.random.default_rng(0).permutation(right), "nme": {"box": np.full(3, error)}}
        stubs.append(type("Stub", (), fields))
    same = np.arange(200) < 100
    link = verification_link(stubs, same, seed=0)
    assert link["correlation"] == pytest.approx(-1)
    assert link["interval"][1] < 0
    assert verification_link([exact, exact], pairs.same, seed=0)["correlation"] is None


def test_normalisers_shrink_with_yaw_as_in_the_reference() -> None:
    """Eyes 76.3, 66.0, 37.9, 12.9 px and box 123.1, 119.7, 113.4, 107.6 px of the published face at 0, 30, 60, 80."""
    rows = normalisers_over_yaw([0, 30, 60, 80])
    np.testing.assert_allclose([row["inter_ocular"] for row in rows], [76.3, 66.0, 37.9, 12.9], atol=0.8)
    np.testing.assert_allclose([row["box"] for row in rows], [123.1, 119.7, 113.4, 107.6], rtol=0.05)
    assert rows[-1]["inter_ocular_factor"] == pytest.approx(5.9, abs=0.2)
    assert rows[-1]["box_factor"] == pytest.approx(1.14, abs=0.1)


def test_yaw_bins_of_labels() -> None:
    yaw = torch.tensor([face.pose[0] for face in FACES])
    rows = yaw_bins(LABELS, yaw)
    assert sum(row["faces"] for row in rows) == 24
    assert all(0.2 < row["ratio"] < 0.9 for row in rows)
    assert yaw_bins(LABELS, torch.full((24,), torch.nan)) == []


def test_study_faces_are_the_same_for_every_method() -> None:
    faces = StudyFaces(SOURCE, 5, 0.05, seed=1).faces(["train"])
    again = StudyFaces(SOURCE, 5, 0.05, seed=1).faces(["train"])
    assert len({face.identity for face in faces}) == 5
    for one, other in zip(faces, again, strict=True):
        np.testing.assert_array_equal(one.box, other.box)
    originals = {face.image: face.box for face in FACES}
    moved = [np.abs(face.box - originals[face.image]).max() for face in faces]
    assert 0.1 < np.mean(moved) < 15
