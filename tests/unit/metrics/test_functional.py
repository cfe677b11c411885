import math

import numpy as np
import pytest
import torch
from torch import Tensor

from canthus.metrics import (
    area_under_curve,
    cumulative_error,
    failure_rate,
    nme_over_all_points,
    nme_per_face,
    nme_pooled,
    normaliser_distance,
    normaliser_names,
    point_errors,
)
from canthus.schemes import load_scheme

# Four faces of five points, worked out by hand.
LABELS = [
    [[30.0, 40.0], [70.0, 40.0], [50.0, 60.0], [35.0, 80.0], [65.0, 80.0]],
    [[10.0, 20.0], [90.0, 80.0], [50.0, 60.0], [20.0, 90.0], [80.0, 110.0]],
    [[130.0, 90.0], [170.0, 90.0], [150.0, 110.0], [135.0, 130.0], [165.0, 130.0]],
    [[0.0, 0.0], [20.0, 0.0], [10.0, 10.0], [4.0, 20.0], [16.0, 20.0]],
]
PREDICTIONS = [
    [[31.0, 40.0], [70.0, 41.0], [49.0, 60.0], [35.0, 79.0], [65.0, 80.0]],
    [[13.0, 24.0], [90.0, 80.0], [56.0, 68.0], [20.0, 95.0], [80.0, 105.0]],
    [[134.0, 93.0], [174.0, 93.0], [154.0, 113.0], [139.0, 133.0], [169.0, 133.0]],
    [[2.0, 0.0], [20.0, 2.0], [10.0, 10.0], [5.2, 21.6], [16.0, 20.0]],
]
MASK = [[0, 1, 1, 1, 1], [1, 1, 1, 1, 1], [0, 0, 0, 0, 1], [1, 1, 1, 1, 1]]
NME = [2.0, 5.0, 12.5, 6.0]

TOY = torch.tensor(LABELS, dtype=torch.float64)
ERRORS = point_errors(torch.tensor(PREDICTIONS, dtype=torch.float64), TOY)
ALL = torch.full((4, 5), 2)
BOX = torch.tensor([[0.0, 0.0, 30.0, 40.0]], dtype=torch.float64).expand(4, 4)
FIVE, SIXTY_EIGHT = load_scheme("5"), load_scheme("68")


def close(actual: Tensor, expected) -> None:
    torch.testing.assert_close(
        actual, torch.as_tensor(expected, dtype=torch.float64), rtol=0, atol=1e-9, equal_nan=True
    )


def toy_nme(name: str = "inter_pupil", **options) -> Tensor:
    return nme_per_face(ERRORS, ALL, normaliser_distance(TOY, ALL, BOX, name, FIVE), **options)


def test_toy_point_errors():
    close(ERRORS, [[1, 1, 1, 1, 0], [5, 0, 10, 5, 5], [5, 5, 5, 5, 5], [2, 2, 0, 2, 0]])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("inter_pupil", [40.0, 100.0, 40.0, 20.0]),
        ("face_box", [math.sqrt(1200)] * 4),
        ("face_box_diagonal", [50.0] * 4),
    ],
)
def test_toy_distances(name, expected):
    close(normaliser_distance(TOY, ALL, BOX, name, FIVE), expected)


@pytest.mark.parametrize(
    ("name", "per_face", "mean"),
    [
        ("inter_pupil", [0.02, 0.05, 0.125, 0.06], 0.06375),
        ("box", [0.02, 0.058925565099, 0.125, 0.06], 0.065981391275),
        ("box_diagonal", [0.014142135624, 0.041522739927, 0.088388347648, 0.042426406871], 0.046619907518),
    ],
)
def test_toy_nme(name, per_face, mean):
    close(toy_nme(name) / 100, per_face)
    close(toy_nme(name).mean() / 100, mean)


def test_toy_nme_of_points_and_regions():
    close(torch.stack([toy_nme(points=[k]).mean() for k in range(5)]) / 100, [0.075, 0.0625, 0.0625, 0.075, 0.04375])
    close(toy_nme(points=(0, 1)).mean() / 100, 0.06875)
    close(toy_nme(points=(3, 4)).mean() / 100, 0.059375)


def test_toy_masked():
    distance, mask = torch.tensor([40.0, 100.0, 40.0, 20.0]).double(), torch.tensor(MASK)
    close(nme_per_face(ERRORS, mask, distance).mean() / 100, 0.0634375)
    close(nme_pooled(ERRORS, mask, distance) / 100, 0.05)
    close(nme_over_all_points(ERRORS, mask, distance).mean() / 100, 0.0375)


def test_labels_are_never_read_where_there_are_none():
    mask = torch.tensor(MASK)
    holes = TOY.masked_fill(mask[..., None] == 0, math.nan)
    errors = point_errors(torch.tensor(PREDICTIONS, dtype=torch.float64), holes)
    distance = torch.tensor([40.0, 100.0, 40.0, 20.0]).double()
    for measure in (nme_per_face, nme_pooled, nme_over_all_points):
        close(measure(errors, mask, distance), measure(ERRORS, mask, distance))


def test_visible_only_leaves_occluded_points_out():
    visibility = torch.tensor([[2, 1, 1, 1, 0]] * 4)
    distance = torch.tensor([40.0, 100.0, 40.0, 20.0]).double()
    close(nme_per_face(ERRORS, visibility, distance, visible_only=True), 100 * ERRORS[:, 0] / distance)
    close(nme_per_face(ERRORS, visibility, distance), 100 * ERRORS[:, :4].mean(1) / distance)


def test_a_face_without_counted_points_is_left_out():
    visibility = ALL.clone()
    visibility[2] = 0
    nme = nme_per_face(ERRORS, visibility, torch.tensor([40.0, 100.0, 40.0, 20.0]).double())
    close(nme, [2.0, 5.0, math.nan, 6.0])
    close(area_under_curve(nme, 8.0), 100 * (6 + 3 + 2) / 3 / 8)
    close(failure_rate(nme, 5.0), 100 / 3)
    close(cumulative_error(nme, torch.tensor([5.0])), [2 / 3])


def test_a_prediction_that_is_not_a_number_counts_as_infinitely_wrong():
    errors = ERRORS.clone()
    errors[0, 0] = math.nan
    nme = nme_per_face(errors, ALL, torch.tensor([40.0, 100.0, 40.0, 20.0]).double())
    close(nme, [math.inf, 5.0, 12.5, 6.0])
    close(failure_rate(nme, 8.0), 50.0)
    close(area_under_curve(nme, 8.0), 100 * (0 + 3 + 0 + 2) / 4 / 8)


def test_failure_is_strictly_above_the_threshold():
    nme = toy_nme()
    assert [failure_rate(nme, t).item() for t in (5.0, 8.0, 10.0)] == [50.0, 25.0, 25.0]
    close(cumulative_error(nme, torch.tensor([10.0, 5.0, 4.999, 0.0, 12.5])), [0.75, 0.5, 0.25, 0.0, 1.0])


@pytest.mark.parametrize(("threshold", "expected"), [(5.0, 0.15), (7.0, 0.285714285714), (8.0, 0.34375), (10.0, 0.425)])
def test_toy_auc(threshold, expected):
    close(area_under_curve(toy_nme(), threshold) / 100, expected)


def test_auc_of_a_constant_error_is_linear():
    close(area_under_curve(torch.full((7,), 4.0).double(), 8.0), 50.0)


def test_auc_is_the_integral_of_the_cumulative_error():
    nme = torch.from_numpy(np.random.default_rng(0).gamma(3.0, 1.5, 300))
    grid = torch.linspace(0, 8, 80001, dtype=torch.float64)
    integral = torch.trapezoid(cumulative_error(nme, grid), grid) / 8
    assert area_under_curve(nme, 8.0).item() / 100 == pytest.approx(integral.item(), abs=1e-5)


def ellipse() -> tuple[Tensor, Tensor]:
    k = torch.arange(68, dtype=torch.float64)
    angle = 2 * math.pi * k / 68
    labels = torch.stack([50 + 40 * angle.cos(), 60 + 50 * angle.sin()], 1)
    return labels[None], (labels + torch.stack([k.sin(), (2 * k).cos()], 1))[None]


@pytest.mark.parametrize(
    ("name", "distance", "nme"),
    [
        ("inter_ocular", 37.999146273108, 0.025539271041),
        ("inter_pupil", 24.96249648555, 0.038877141017),
        ("box", 89.442719099992, 0.010850189996),
        ("box_diagonal", 128.062484748657, 0.007578101408),
    ],
)
def test_ellipse_of_68_points(name, distance, nme):
    labels, predictions = ellipse()
    visible = torch.full((1, 68), 2)
    actual = normaliser_distance(labels, visible, BOX[:1], name, SIXTY_EIGHT)
    close(actual, [distance])
    close(nme_per_face(point_errors(predictions, labels), visible, actual) / 100, [nme])


def test_ellipse_regions():
    expected = {
        "jaw": 0.025187809831,
        "brow_left": 0.026678799843,
        "brow_right": 0.025331346859,
        "nose_bridge": 0.02768247528,
        "nose_base": 0.022782049084,
        "eye_left": 0.026025660515,
        "eye_right": 0.026727712348,
        "mouth_outer": 0.024948125025,
        "mouth_inner": 0.025986130769,
    }
    labels, predictions = ellipse()
    visible = torch.full((1, 68), 2)
    distance = normaliser_distance(labels, visible, BOX[:1], "inter_ocular", SIXTY_EIGHT)
    errors = point_errors(predictions, labels)
    for name, nme in expected.items():
        close(nme_per_face(errors, visible, distance, SIXTY_EIGHT.regions[name]) / 100, [nme])
    close(nme_per_face(errors, visible, distance, range(17, 68)) / 100, [0.025656424778])


@pytest.mark.parametrize("name", ["inter_ocular", "inter_pupil", "box", "box_diagonal", "face_box"])
def test_against_numpy(name):
    random = np.random.default_rng(3)
    n, s, k = 13, 3, 68
    labels = random.normal(100, 30, (n, k, 2))
    predictions = labels[:, None] + random.normal(0, 3, (n, s, k, 2))
    visibility = random.integers(0, 3, (n, k))
    visibility[:, 36:48] = 2  # so that every normaliser exists
    corner = random.uniform(0, 50, (n, 2))
    box = np.concatenate([corner, corner + random.uniform(50, 90, (n, 2))], 1)
    pairs = {"inter_ocular": ([36], [45]), "inter_pupil": (range(36, 42), range(42, 48))}
    distances, nme = np.zeros(n), np.zeros((n, s))
    for i in range(n):
        seen = visibility[i] > 0
        size = np.ptp(labels[i][seen], axis=0)
        if name in pairs:
            a, b = (labels[i][list(points)].mean(0) for points in pairs[name])
            distances[i] = np.hypot(*(a - b))
        elif name == "face_box":
            distances[i] = np.sqrt((box[i, 2] - box[i, 0]) * (box[i, 3] - box[i, 1]))
        else:
            distances[i] = np.sqrt(size[0] * size[1]) if name == "box" else np.hypot(*size)
        for j in range(s):
            nme[i, j] = 100 * np.mean(np.hypot(*(predictions[i, j] - labels[i])[seen].T)) / distances[i]
    tensors = torch.from_numpy(labels), torch.from_numpy(visibility)
    distance = normaliser_distance(*tensors, torch.from_numpy(box), name, SIXTY_EIGHT)
    errors = point_errors(torch.from_numpy(predictions), tensors[0])
    close(distance, distances)
    close(nme_per_face(errors, tensors[1], distance), nme)
    pooled = [np.average(errors[:, j].numpy() / distances[:, None], weights=visibility > 0) for j in range(s)]
    close(nme_pooled(errors, tensors[1], distance) / 100, pooled)
    close(failure_rate(torch.from_numpy(nme), 5.0), 100 * (nme > 5).mean(0))
    close(area_under_curve(torch.from_numpy(nme), 5.0), 100 * np.clip(5 - nme, 0, None).mean(0) / 5)


def test_single_precision_stays_single():
    distance = normaliser_distance(TOY.float(), ALL, BOX.float(), "inter_pupil", FIVE)
    nme = nme_per_face(ERRORS.float(), ALL, distance)
    curve = cumulative_error(nme, torch.tensor([5.0]))
    values = (distance, nme, area_under_curve(nme, 8.0), failure_rate(nme, 8.0), curve)
    assert {value.dtype for value in values} == {torch.float32}


def test_unknown_normaliser_names_the_known():
    assert normaliser_names(FIVE) == (*FIVE.normalisers, "box", "box_diagonal", "face_box", "face_box_diagonal")
    with pytest.raises(ValueError, match=r"'5' has no normaliser 'inter_ocular'.*inter_pupil, box, box_diagonal"):
        normaliser_distance(TOY, ALL, BOX, "inter_ocular", FIVE)


@pytest.mark.parametrize("name", ["inter_pupil", "box", "box_diagonal"])
def test_no_constant_replaces_a_missing_distance(name):
    labels, visibility = TOY.clone(), ALL.clone()
    labels[1] = 7.0
    visibility[3] = 0
    with pytest.raises(ValueError, match=rf"'{name}' is zero, not finite or not labelled on face\(s\) 1, 3;"):
        normaliser_distance(labels, visibility, BOX, name, FIVE)
    with pytest.raises(ValueError, match=r"face\(s\) 11, 13;"):
        normaliser_distance(labels, visibility, BOX, name, FIVE, torch.arange(10, 14))


@pytest.mark.parametrize(
    "box", [[5.0, 5.0, 5.0, 9.0], [9.0, 9.0, 5.0, 5.0], [0.0, 0.0, math.nan, 1.0], [0, 0, math.inf, 1]]
)
def test_unusable_face_boxes(box):
    boxes = BOX.clone()
    boxes[2] = torch.tensor(box)
    with pytest.raises(ValueError, match=r"'face_box' .* face\(s\) 2;"):
        normaliser_distance(TOY, ALL, boxes, "face_box", FIVE)


def test_a_point_of_a_pair_that_is_not_labelled():
    labels, _ = ellipse()
    visibility = torch.full((1, 68), 2)
    visibility[0, 38] = 0  # one of the six points that make the left eye centre
    normaliser_distance(labels, visibility, BOX[:1], "inter_ocular", SIXTY_EIGHT)
    with pytest.raises(ValueError, match="inter_pupil"):
        normaliser_distance(labels, visibility, BOX[:1], "inter_pupil", SIXTY_EIGHT)


def test_many_unusable_faces_are_counted():
    with pytest.raises(ValueError, match=r"7, 8, 9 and 5 more"):
        normaliser_distance(torch.zeros(15, 5, 2), ALL[:1].expand(15, 5), BOX[:1].expand(15, 4), "box", FIVE)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"\(4, 4, 2\) do not fit landmarks \(4, 5, 2\)"):
        point_errors(TOY[:, :4], TOY)
    with pytest.raises(ValueError, match="no faces to measure"):
        failure_rate(torch.zeros(0), 8.0)
    for measure in (area_under_curve, failure_rate):
        with pytest.raises(ValueError, match=r"threshold 0.0 must be positive"):
            measure(torch.ones(3), 0.0)
