"""The shape model and the estimate of yaw."""

import numpy as np
import pytest

from canthus.data.synthetic import Synthetic
from canthus.inspection.shapes import ShapeModel, estimate_yaw, exchanges
from canthus.schemes import load_scheme

SCHEME = load_scheme("68")
FACES = Synthetic(size=200, difficulty="hard").faces(["train"])
POINTS = np.stack([face.landmarks for face in FACES])
SEEN = np.full(POINTS.shape[:2], 2, np.uint8)


@pytest.fixture(scope="module")
def model():
    return ShapeModel.fit(POINTS, SEEN, SCHEME)


def test_residual_is_free_of_place_size_and_roll(model):
    angle = 0.4
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    moved = 3 * POINTS @ turn + [50, -20]
    np.testing.assert_allclose(model.residual(moved, SEEN), model.residual(POINTS, SEEN), atol=1e-9)
    np.testing.assert_allclose(model.roll(moved, SEEN) - model.roll(POINTS, SEEN), angle, atol=1e-9)


def test_turned_heads_are_near_the_model(model):
    """The mean alone would call every profile odd."""
    mean = ShapeModel(model.mean, model.offset, model.components[:0])
    yaw = np.abs([face.pose[0] for face in FACES])
    turned = yaw > np.quantile(yaw, 0.8)
    by_mean, by_model = mean.residual(POINTS, SEEN), model.residual(POINTS, SEEN)
    assert np.median(by_mean[turned]) > 1.5 * np.median(by_mean[~turned])
    assert np.median(by_model[turned]) < 1.5 * np.median(by_model[~turned])


def test_few_faces_have_few_components():
    assert len(ShapeModel.fit(POINTS[:8], SEEN[:8], SCHEME).components) == 0
    assert len(ShapeModel.fit(POINTS[:40], SEEN[:40], SCHEME).components) <= 4


def test_deviation_is_nan_where_nothing_is_labelled(model):
    seen = SEEN[:2].copy()
    seen[0, 10:] = 0
    seen[1, 2:] = 0
    deviation = model.deviation(POINTS[:2], seen)
    assert np.isfinite(deviation[0]).sum() == 10
    assert not np.isfinite(deviation[1]).any()  # two points fit anything
    assert np.isnan(model.residual(POINTS[:2], seen)).tolist() == [False, True]


def test_nothing_to_learn_from():
    with pytest.raises(ValueError, match="no face has three labelled points"):
        ShapeModel.fit(POINTS, np.zeros_like(SEEN), SCHEME)


def test_exchanges_are_their_own_inverse_and_move_one_pair():
    found = exchanges(SCHEME)
    assert set(found) == {"all", "brow_left and brow_right", "eye_left and eye_right"}
    for permutation in found.values():
        assert [permutation[k] for k in permutation] == list(range(68))
    assert [k for k in range(68) if found["eye_left and eye_right"][k] != k] == list(range(36, 48))


@pytest.mark.parametrize("scheme", ["5", "68"])
def test_yaw_of_rendered_heads(scheme):
    """Of heads that do not nod much: a nod moves the tip of the nose, too, and is taken for a turn."""
    from canthus.schemes import reduce_landmarks

    target = load_scheme(scheme)
    estimates = []
    for face in FACES:
        points, seen = reduce_landmarks(face.landmarks, face.visibility, SCHEME, scheme)
        estimates.append(estimate_yaw(points, np.full(len(seen), 2, np.uint8), target))
    error = np.degrees(np.abs(np.array(estimates) - [face.pose[0] for face in FACES]))
    level = np.array([abs(face.pose[1]) < 0.2 for face in FACES])
    assert level.mean() > 0.5
    assert error[level].mean() < 3
    mirrored = FACES[0].landmarks[list(SCHEME.flip)] * [-1, 1]
    straight = estimate_yaw(FACES[0].landmarks, SEEN[0], SCHEME)
    assert estimate_yaw(mirrored, SEEN[0], SCHEME) == pytest.approx(-straight)


def test_no_yaw_without_eyes_and_nose():
    seen = SEEN[0].copy()
    seen[30] = 0
    assert np.isnan(estimate_yaw(POINTS[0], seen, SCHEME))
    assert np.isnan(estimate_yaw(np.zeros((68, 2)), SEEN[0], SCHEME))
