"""COCO's categories: the order of points by their names, and annotations that are no faces."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canthus.data.readers import CocoKeypoints
from canthus.schemes import load_scheme
from canthus.utils.errors import DataError

FIVE = ["eye_left", "eye_right", "nose", "mouth_left", "mouth_right"]
POINTS = np.array([[10.0, 12], [30, 11], [20, 22], [13, 33], [27, 34]])
SEEN = [2, 1, 2, 2, 0]


def write(root, order, names, *more, **changes):
    """A face whose points stand in ``order``, with the category's names; then further annotations."""
    keypoints = [value for i in order for value in (*POINTS[i], SEEN[i])]
    face = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "keypoints": keypoints} | changes
    content = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [face, *more],
        "categories": [
            {"id": 1, "name": "face"} | ({} if names is None else {"keypoints": names}),
            {"id": 2, "name": "body", "keypoints": [f"joint{i}" for i in range(17)]},
            {"id": 3, "name": "car"},
        ],
    }
    (root / "a.jpg").touch()
    (root / "train.json").write_text(json.dumps(content))
    return CocoKeypoints(root, label_scheme=5).faces(["train"])


def check(face):
    np.testing.assert_array_equal(face.landmarks, np.where(np.array(SEEN)[:, None] > 0, POINTS, np.nan))
    assert face.visibility.tolist() == SEEN


@settings(max_examples=40, deadline=None)
@given(order=st.permutations(range(5)), style=st.sampled_from(["{}", "{0} ", "Face-{}", "numbers 0", "numbers 1"]))
def test_points_in_any_order_are_put_in_that_of_the_scheme(tmp_path_factory, order, style):
    names = [FIVE[i] for i in order]
    if style.startswith("numbers"):
        names = [i + int(style[-1]) for i in order]
    elif style == "Face-{}":  # names of another scheme say nothing: the order is the scheme's
        names, order = [style.format(name) for name in FIVE], range(5)
    else:
        names = [style.format(name).replace("_", " ").title() for name in names]
    check(write(tmp_path_factory.mktemp("coco"), order, names)[0])


def test_left_and_right_exchanged_by_the_names(tmp_path):
    """The case that went unseen: perfect points scored an error of 75."""
    order = load_scheme(5).flip
    check(write(tmp_path, order, [FIVE[i] for i in order])[0])


@pytest.mark.parametrize("names", [None, [], ["a", "b", "c", "d", "e"]])
def test_without_names_of_the_scheme_the_order_is_the_scheme_s(tmp_path, names):
    check(write(tmp_path, range(5), names)[0])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([*FIVE[:4], "chin"], r"categories\[0\]\.keypoints: 4 of 5 names are points of scheme 5, but 'chin' is none"),
        ([*FIVE[:4], "nose"], r"5 of 5 names are points of scheme 5, but 'nose' stands twice"),
    ],
)
def test_names_that_are_half_known_are_refused(tmp_path, names, message):
    with pytest.raises(DataError, match=message):
        write(tmp_path, range(5), names)


def test_what_is_no_face_is_left_out_and_counted(tmp_path, caplog):
    box = {"id": 2, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}
    empty = box | {"id": 3, "keypoints": []}
    body = {"id": 4, "image_id": 1, "category_id": 2, "keypoints": [1, 2, 2] * 17}
    car = {"id": 5, "image_id": 1, "category_id": 3, "keypoints": [1, 2, 2] * 5}
    crowd = {"id": 6, "image_id": 1, "category_id": 1, "iscrowd": 1, "keypoints": [1, 2, 2] * 5}
    unlabelled = {"id": 7, "image_id": 1, "category_id": 1, "keypoints": [0, 0, 0] * 5}
    faces = write(tmp_path, range(5), FIVE, box, empty, body, car, crowd, unlabelled)
    assert [face.extra["annotation"] for face in faces] == [1]
    assert (
        "left out of 7 annotations: 2 without points, 2 of other categories, 1 crowds, 1 without a labelled point"
        in caplog.text
    )


def test_a_file_without_a_face_says_what_it_holds(tmp_path):
    with pytest.raises(DataError, match=r"none of 1 annotations is a face with points \(1 crowds\)"):
        write(tmp_path, range(5), FIVE, iscrowd=1)
