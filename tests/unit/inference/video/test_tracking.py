import numpy as np

from canthus.inference.predictor import LocatedFace
from canthus.inference.video.smoothing import OneEuro
from canthus.inference.video.tracking import Tracker

SHAPE = (400, 600)


def face(x: float, y: float, side: float, *, spread: float = 0.8) -> LocatedFace:
    """Five points in a box; ``spread`` of its side apart."""
    middle, half = np.array([x, y]), side / 2
    corners = np.array([[-1, -1], [1, -1], [0, 0], [-1, 1], [1, 1.0]]) * spread * half
    box = np.array([x - half, y - half, x + half, y + half])
    return LocatedFace(box, (middle + corners)[None].repeat(2, 0), None, None, "5")


def test_boxes_follow_points() -> None:
    tracker = Tracker()
    tracker.update([face(100, 100, 50)], 0.0, detected=True)
    np.testing.assert_allclose(tracker.boxes(SHAPE), [[75, 75, 125, 125]])
    tracker.update([face(120, 110, 60)], 0.04, detected=False)  # moved, and a fifth larger
    np.testing.assert_allclose(tracker.boxes(SHAPE), [[90, 80, 150, 140]])


def test_boxes_do_not_drift_where_points_are_too_narrow() -> None:
    """A model whose points cover 0.7 of each box: boxes of its points would shrink to nothing."""
    tracker = Tracker()
    tracker.update([face(100, 100, 50, spread=0.7)], 0.0, detected=True)
    for number in range(1, 40):
        box = tracker.boxes(SHAPE)[0]
        side = float((box[2:] - box[:2]).mean())
        tracker.update([face(100, 100, side, spread=0.7)], number / 25, detected=False)
    np.testing.assert_allclose(tracker.boxes(SHAPE)[0], [75, 75, 125, 125], atol=1e-6)


def test_numbers_stay_with_faces_when_detections_change_their_order() -> None:
    tracker = Tracker()
    first = tracker.update([face(100, 100, 50), face(300, 200, 80)], 0.0, detected=True)
    again = tracker.update([face(305, 200, 80), face(500, 300, 60), face(102, 101, 50)], 0.04, detected=True)
    assert [each.number for each in first] == [0, 1]
    assert [each.number for each in again] == [1, 2, 0]
    gone = tracker.update([face(103, 101, 50)], 0.08, detected=True)
    assert [each.number for each in gone] == [0]
    back = tracker.update([face(103, 101, 50), face(305, 200, 80)], 0.12, detected=True)
    assert [each.number for each in back] == [0, 3]


def test_lost_faces_are_forgotten() -> None:
    tracker = Tracker()
    for moved in (face(650, 100, 50), face(100, 100, 4), face(100, 100, 300), face(float("nan"), 100, 50)):
        tracker.update([face(100, 100, 50), face(300, 300, 50)], 0.0, detected=True)
        tracker.update([moved, face(300, 300, 50)], 0.04, detected=False)
        np.testing.assert_allclose(tracker.boxes(SHAPE), [[275, 275, 325, 325]])
    assert tracker.update([], 0.08, detected=True) == []
    assert tracker.boxes(SHAPE).shape == (0, 4)


def test_smoothing_is_per_face() -> None:
    tracker = Tracker(OneEuro)
    tracker.update([face(100, 100, 50)], 0.0, detected=True)
    one, other = tracker.update([face(104, 100, 50), face(300, 200, 80)], 0.04, detected=True)
    raw = face(104, 100, 50).landmarks
    assert (one.face.landmarks < raw)[:, 0].all()  # held back on its way to the right
    assert (one.face.landmarks[:, 0] > face(100, 100, 50).landmarks[:, 0]).all()
    np.testing.assert_array_equal(other.face.landmarks, face(300, 200, 80).landmarks)  # it has just appeared
    np.testing.assert_array_equal(tracker.boxes(SHAPE)[0], [79, 75, 129, 125])  # where it really is
