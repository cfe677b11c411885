import numpy as np
import pytest

from canthus.inference.video.smoothing import OneEuro


def walk(values: np.ndarray, smooth: OneEuro, unit: float = 1.0) -> np.ndarray:
    return np.stack([smooth(value, number / 25, unit) for number, value in enumerate(values)])


def test_noise_of_a_still_point_shrinks_and_no_shift_is_left() -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, (200, 68, 2))
    smoothed = walk(0.5 + noise, OneEuro())[50:]
    assert smoothed.std(0).mean() < 0.6 * 0.01
    assert abs(smoothed.mean() - 0.5) < 0.001


def test_motion_lags_less_with_beta() -> None:
    line = np.linspace(0, 10, 100)[:, None, None] * np.ones((1, 4, 2))  # 2.5 units a second
    slow, quick = (np.abs(walk(line, OneEuro(beta=beta)) - line)[-1].max() for beta in (0.0, 10.0))
    assert quick < 0.06
    assert slow > 0.3


def test_reference_values() -> None:
    """Worked by hand from equations 1 to 5: cutoff 1, beta 1, steps of a second; the speed has an alpha of its own."""
    alpha = 1 / (1 + 1 / (2 * np.pi))
    speed = alpha * 1.0  # of the second point, (1, 0) from (0, 0)
    cutoff = 1 + speed
    expected = 1 / (1 + 1 / (2 * np.pi * cutoff))
    smooth = OneEuro(cutoff=1.0, beta=1.0)
    smooth(np.zeros((1, 2)), 0.0)
    np.testing.assert_allclose(smooth(np.array([[1.0, 0.0]]), 1.0), [[expected, 0.0]])


def test_the_unit_scales_everything() -> None:
    values = np.random.default_rng(1).normal(0, 1, (20, 5, 2))
    np.testing.assert_allclose(walk(values * 80, OneEuro(), 80.0), 80 * walk(values, OneEuro()))


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="cutoff=0"):
        OneEuro(cutoff=0)
    smooth = OneEuro()
    smooth(np.zeros((1, 2)), 1.0)
    with pytest.raises(ValueError, match="follows"):
        smooth(np.zeros((1, 2)), 1.0)
