import math

import numpy as np
import pytest

from canthus.metrics.detection import DetectedFaces, coco_average_precision, fddb_roc, wider_average_precision
from canthus.metrics.ellipse import box_ellipse_iou


def corners(rows) -> np.ndarray:
    boxes = np.array(rows, dtype=float).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)


LABELS = [[10, 10, 50, 50], [100, 100, 40, 40], [200, 200, 10, 10]]
FOUND = [[12, 12, 50, 50], [200, 200, 10, 10], [300, 300, 30, 30], [101, 99, 40, 40]]
SCORES = np.array([0.9, 0.8, 0.7, 0.6])
EXAMPLE = DetectedFaces(corners(FOUND), SCORES, corners(LABELS), np.array([False, False, True]))


def faces(found, scores, labels, ignored=None) -> DetectedFaces:
    return DetectedFaces(corners(found), np.array(scores, dtype=float), corners(labels), ignored)


def test_wider_reference_value():
    average, recall = wider_average_precision([EXAMPLE])
    assert average / 100 == pytest.approx(0.833333333333, abs=1e-9)
    assert recall == 100


def test_order_of_detections_and_scale_of_scores_do_not_matter():
    order = [2, 0, 3, 1]
    shuffled = DetectedFaces(EXAMPLE.boxes[order], 7 * SCORES[order] - 3, EXAMPLE.labels, EXAMPLE.ignored)
    assert wider_average_precision([shuffled]) == wider_average_precision([EXAMPLE])


def test_a_second_detection_of_a_face_is_false():
    once = faces([[0, 0, 10, 10], [50, 50, 10, 10]], [0.9, 0.1], [[0, 0, 10, 10], [50, 50, 10, 10]])
    twice = faces(
        [[0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 10, 10]], [0.9, 0.5, 0.1], [[0, 0, 10, 10], [50, 50, 10, 10]]
    )
    assert wider_average_precision([once])[0] == pytest.approx(100)
    assert wider_average_precision([twice])[0] == pytest.approx(100 * (1 / 2 + 1 / 2 * 2 / 3))


def test_overlap_counts_both_border_pixels():
    pair = faces([[0, 0, 4.5, 10]], [1], [[0, 0, 10, 10]])
    assert wider_average_precision([pair])[1] == 100  # 5.5 of 11 columns
    assert wider_average_precision([pair], iou=0.51)[1] == 0


def test_wider_over_images():
    nothing = faces([], [], [[0, 0, 10, 10]])
    empty = faces([[0, 0, 10, 10]], [0.95], [])
    average, recall = wider_average_precision([EXAMPLE, nothing, empty])
    assert recall == pytest.approx(100 * 2 / 3)
    # a false one before all; then 1 of 2, 1 of 3 and 2 of 4 proposals are true
    assert average == pytest.approx(100 * (1 / 3 * 0.5 + 1 / 3 * 0.5))
    assert wider_average_precision([nothing]) == (0.0, 0.0)


@pytest.mark.parametrize("angle", [0.0, 0.4, 1.3, -2.0])
def test_box_and_ellipse_against_counting(angle):
    ellipse = np.array([30.0, 18.0, angle, 50.0, 45.0])
    y, x = np.mgrid[0:100:0.1, 0:100:0.1] + 0.05
    u = (x - 50) * math.cos(angle) + (y - 45) * math.sin(angle)
    v = -(x - 50) * math.sin(angle) + (y - 45) * math.cos(angle)
    inside = (u / 30) ** 2 + (v / 18) ** 2 <= 1
    for box in (
        [20, 25, 80, 65],
        [45, 40, 55, 50],
        [0, 0, 100, 100],
        [60, 10, 95, 50],
        [0, 0, 15, 10],
        [50, 0, 90, 45],
    ):
        within = (x >= box[0]) & (x <= box[2]) & (y >= box[1]) & (y <= box[3])
        counted = (inside & within).sum() / (inside | within).sum()
        assert box_ellipse_iou(np.array(box, dtype=float), ellipse) == pytest.approx(counted, abs=2e-3), box


def test_box_around_a_circle():
    assert box_ellipse_iou(np.array([0, 0, 2.0, 2.0]), np.array([1, 1, 0.3, 1, 1.0])) == pytest.approx(math.pi / 4)


def test_boxes_around_circles_wherever_they_lie():
    """Edges touch; rounding must not take them for chords."""
    random = np.random.default_rng(0)
    for _ in range(100):
        radius, (x, y, angle) = random.uniform(0.1, 50), random.uniform(-100, 100, 3)
        box = np.array([x - radius, y - radius, x + radius, y + radius])
        assert box_ellipse_iou(box, np.array([radius, radius, angle, x, y])) == pytest.approx(math.pi / 4)


def test_fddb_curve_by_hand():
    """Two images: overlaps 1 and 1/3 in the first, nothing to find for the second's only detection."""
    first = faces([[0, 0, 10, 10], [100, 0, 10, 10]], [0.9, 0.5], [[0, 0, 10, 10], [105, 0, 10, 10]])
    second = faces([[50, 50, 10, 10]], [0.7], [[0, 0, 10, 10], [300, 0, 10, 10]])
    curve = fddb_roc([first, second])
    np.testing.assert_array_equal(curve.false_positives, [0, 1, 2])
    np.testing.assert_allclose(curve.discrete, [25, 25, 25])
    np.testing.assert_allclose(curve.continuous, [25, 25, 25 * (1 + 1 / 3)])
    assert curve.at(0) == (25, 25)
    assert curve.at(1000) == pytest.approx((25, 100 / 3))


def test_fddb_matches_for_the_largest_sum():
    labels = [[0, 0, 10, 10], [6, 0, 10, 10]]
    found = [[3, 0, 10, 10], [-2, 0, 10, 10]]  # the surer one overlaps both
    curve = fddb_roc([faces(found, [0.9, 0.8], labels)])
    assert curve.discrete[-1] == 100
    assert curve.continuous[-1] == pytest.approx(100 * (7 / 13 + 8 / 12) / 2)


def test_fddb_ellipses_and_equal_scores():
    ellipse = np.array([[10.0, 10.0, 0.0, 20.0, 20.0]])
    both = DetectedFaces(np.array([[10.0, 10, 30, 30], [60, 60, 70, 70]]), np.array([0.5, 0.5]), ellipse)
    curve = fddb_roc([both])
    assert len(curve.false_positives) == 1  # one score, one point
    assert (curve.false_positives[0], curve.discrete[0]) == (1, 100)
    assert curve.continuous[0] == pytest.approx(100 * math.pi / 4)


def test_coco_through_torchmetrics():
    perfect = faces(LABELS, [0.9, 0.8, 0.7], LABELS)
    assert coco_average_precision([perfect])["map"] == pytest.approx(100)
    found = coco_average_precision([EXAMPLE])
    assert found["map_50"] == pytest.approx(100 * (51 + 50 * 2 / 3) / 101, abs=1e-3)  # 101 recalls, one face ignored
    assert 0 < found["map"] < found["map_50"]


def test_mistakes_are_named():
    ellipses = DetectedFaces(corners(FOUND), SCORES, np.ones((2, 5)))
    for measure in (wider_average_precision, coco_average_precision):
        with pytest.raises(ValueError, match="wants labels that are boxes"):
            measure([ellipses])
    with pytest.raises(ValueError, match=r"boxes \(4, 4\), scores \(3,\)"):
        DetectedFaces(corners(FOUND), SCORES[:3], corners(LABELS))
    with pytest.raises(ValueError, match="a score that is a number"):
        DetectedFaces(corners(FOUND), SCORES * math.nan, corners(LABELS))
    with pytest.raises(ValueError, match="no label counts"):
        wider_average_precision([faces(FOUND, SCORES, LABELS, np.ones(3, dtype=bool))])
    with pytest.raises(ValueError, match="no labelled faces"):
        fddb_roc([faces(FOUND, SCORES, [])])
