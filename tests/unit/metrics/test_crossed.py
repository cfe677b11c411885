"""Intervals over trainings and faces: what they must contain, and how often they hold the truth."""

import numpy as np
import pytest
from scipy.stats import t

from canthus.metrics.crossed import crossed_interval

FACES, RESAMPLES, EXPERIMENTS = 174, 250, 500


def covered(trainings: int, of_trainings: float, of_faces: float, of_both: float, *, skewed: bool = False) -> float:
    """Share of made-up experiments, each with trainings and faces of its own, whose interval holds the truth, 0.

    Standard deviations of a training's effect, of a face's, and of the two together; skewed faces are lognormal.
    """
    random = np.random.default_rng(7)
    counts = random.multinomial(FACES, np.full(FACES, 1 / FACES), size=RESAMPLES) / FACES
    hits = 0
    for _ in range(EXPERIMENTS):
        faces = random.standard_normal(FACES)
        if skewed:
            faces = (np.exp(faces) - np.exp(0.5)) / np.sqrt((np.e - 1) * np.e)
        noise = of_both * random.standard_normal((trainings, FACES))
        values = of_trainings * random.standard_normal((trainings, 1)) + of_faces * faces + noise
        found = crossed_interval(values.mean(1), values @ counts.T)
        assert found is not None
        hits += found[0] <= 0 <= found[1]
    return hits / EXPERIMENTS


@pytest.mark.parametrize(
    ("of_trainings", "of_faces", "of_both", "skewed"), [(0, 1, 0, True), (0.13, 1, 1, False), (0.4, 0, 1, False)]
)
def test_three_trainings_are_enough_for_the_nominal_coverage(of_trainings, of_faces, of_both, skewed: bool) -> None:
    """Skewed faces alone; all in equal parts (0.13 = sqrt(3 / 174)); trainings alone, each with noise on every face."""
    assert 0.92 <= covered(3, of_trainings, of_faces, of_both, skewed=skewed) <= 0.98


def test_without_faces_it_is_students_interval() -> None:
    values = [1.0, 2.0, 4.0]
    expected = t.interval(0.95, 2, loc=np.mean(values), scale=np.std(values, ddof=1) / np.sqrt(3))
    assert crossed_interval(values) == pytest.approx(expected)
    assert crossed_interval(values, np.repeat(np.array(values)[:, None], 50, 1)) == pytest.approx(expected)


def test_with_equal_trainings_it_is_the_bootstrap_of_the_faces() -> None:
    drawn = np.random.default_rng(0).gamma(2.0, size=500)
    found = crossed_interval([2.0, 2.0], np.stack([drawn, drawn]))
    assert found == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])))


def test_one_training_has_no_interval() -> None:
    assert crossed_interval([1.0], np.ones((1, 20))) is None


@pytest.mark.parametrize(("figures", "drawn"), [([1.0, np.nan], None), ([1.0, 2.0], np.ones((3, 9))), ([[1.0]], None)])
def test_what_does_not_belong_together_is_refused(figures, drawn) -> None:
    with pytest.raises(ValueError, match="trainings"):
        crossed_interval(figures, drawn)
