from pathlib import Path

import numpy as np
import pytest

from canthus.data.face import Face
from canthus.evaluation.external.matching import match_faces, place_predictions
from canthus.evaluation.external.predictions import PredictedFace, Predictions
from canthus.schemes import load_scheme
from canthus.utils.errors import ConfigError, DataError

SHAPE = np.array([[0.0, 0.0], [10.0, 0.0], [5.0, 5.0], [1.0, 10.0], [9.0, 10.0]])


def face(x: float, image: str = "a.jpg", **changes) -> Face:
    points = SHAPE + np.array([x, 0])
    fields = {"landmarks": points, "visibility": np.full(5, 2, np.uint8), "box": np.array([x, 0, x + 10, 10.0])}
    return Face(image=Path("/d") / image, scheme="5", photo=image, **(fields | changes))


def predicted(x: float, box: bool = False, points: np.ndarray = SHAPE) -> PredictedFace:
    return PredictedFace(points + np.array([x, 0]), np.array([x, 0, x + 10, 10.0]) if box else None)


def test_by_overlap_whatever_the_order():
    faces = [face(0), face(100), face(200)]
    assert match_faces(faces, [predicted(203), predicted(2), predicted(101)]) == [1, 2, 0]


def test_one_to_one_with_the_largest_sum():
    # the first prediction overlaps both faces, the second only the left one
    assert match_faces([face(0), face(6)], [predicted(3), predicted(-4)]) == [1, 0]


def test_somebody_else_is_nobody():
    assert match_faces([face(0), face(100)], [predicted(50), predicted(98)]) == [None, 1]
    assert match_faces([face(0)], []) == [None]


def test_a_box_counts_before_the_points():
    """Points that ran away from the box they were sought in are an error of that face, not a face not found."""
    away = PredictedFace(SHAPE + 500, np.array([0, 0, 10, 10.0]))
    assert match_faces([face(0), face(100)], [away]) == [0, None]
    assert match_faces([face(0), face(100)], [PredictedFace(SHAPE + 500, None)]) == [None, None]


def test_faces_without_points_are_matched_by_their_boxes():
    nothing = {"landmarks": np.full((5, 2), np.nan), "visibility": np.zeros(5, np.uint8)}
    assert match_faces([face(0, **nothing), face(100, **nothing)], [predicted(99)]) == [None, 0]


def test_a_prediction_without_extent_matches_nothing():
    assert match_faces([face(0)], [PredictedFace(np.full((5, 2), 5.0), None)]) == [None]


def place(faces, found, scheme="5", k=5):
    return place_predictions(faces, Predictions(found, k, None), load_scheme(scheme), Path("/d"))


def test_faces_of_several_images(caplog):
    faces = [face(0), face(100), face(0, "b.jpg"), face(0, "c.jpg")]
    with caplog.at_level("INFO"):
        points = place(faces, {"a.jpg": [predicted(99), predicted(700)], "b": [predicted(1)], "z.jpg": [predicted(0)]})
    assert np.isnan(points[[0, 3]]).all()
    np.testing.assert_array_equal(points[1], predicted(99).points)
    np.testing.assert_array_equal(points[2], predicted(1).points)
    assert "1 images with predictions are not in this split" in caplog.text
    assert "1 predicted faces overlap no labelled face" in caplog.text


def test_a_larger_scheme_is_reduced():
    big = np.random.default_rng(0).uniform(0, 10, (68, 2))
    points = place([face(0)], {"a.jpg": [PredictedFace(big, None)]}, "68", 68)[0]
    np.testing.assert_allclose(points[0], big[36:42].mean(0))
    np.testing.assert_array_equal(points[2:], big[[30, 48, 54]])


def test_predictions_of_other_images():
    with pytest.raises(ConfigError, match=r"name none of the 1 images: .* such as z\.jpg, the data such as /d/a"):
        place([face(0)], {"z.jpg": [predicted(0)]})


@pytest.mark.parametrize("box", [False, True])
def test_a_neighbour_that_touches_is_not_the_face(box):
    """The tool found the right face only; its box also covers 1/19 of the left one's union."""
    assert match_faces([face(0)], [predicted(9, box)]) == [None]
    assert match_faces([face(0), face(10)], [predicted(9, box)]) == [None, 0]
    assert match_faces([face(0)], [predicted(8, box)]) == [0]  # 1/9


def test_one_image_under_two_names():
    with pytest.raises(DataError, match=r"call /d/a\.jpg both a\.jpg and /d/a; keep one name"):
        place([face(0), face(100)], {"a.jpg": [predicted(0)], "/d/a": [predicted(100)]})
