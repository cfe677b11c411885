"""Faces of a predictions.csv whose boxes no face can be cut out by."""

import numpy as np
import pytest

from canthus.evaluation.files import Prediction
from canthus.reporting.page.gallery import draw_face_stages


class AtHand:
    """Stands in for the images and labels of an evaluation."""

    def pixels(self, *where: object) -> np.ndarray:
        return np.full((90, 80, 3), 120, np.uint8)

    def label(self, *where: object) -> None:
        return None


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ([10, 10, 60, 60], None),
        ([0, 0, 1e9, 1e9], "more than 100 times as large as the 80x90 image"),
        ([0, 0, 1e300, 1e300], "more than 100 times as large as the 80x90 image"),
        ([5000, 5000, 5100, 5100], "lies outside the 80x90 image"),
        ([np.nan, 0, 10, 10], "is not x1 < x2, y1 < y2"),
    ],
)
@pytest.mark.parametrize("far", [30.0, 1e9, 1e300, np.inf])
def test_the_page_says_why_a_face_is_not_drawn(box: list[float], words: str | None, far: float) -> None:
    points = np.full((68, 2), 30.0)
    points[3] = far
    row = Prediction(0, "a.jpg", "a", "test", frozenset(), np.array(box), np.array([4.0]), points)
    drawn = draw_face_stages(row, {}, "test", "68", AtHand(), None)  # type: ignore[arg-type]
    assert bool(drawn.pictures) is (words is None)
    assert (words is None) or any(words in note for note in drawn.notes)
