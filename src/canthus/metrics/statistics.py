"""How sure a mean over faces is, and whether two models differ on the same faces.

The unit that is drawn again, or whose sign is flipped, is the face.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["CONFIDENCE", "PairedComparison", "bootstrap_interval", "compare_paired", "compare_pairs", "holm"]

CONFIDENCE = 0.95
RESAMPLES = 9999
BIAS_CORRECTED_UP_TO = 5000
"""Faces. Beyond, bias and skewness of a mean are far below what a table shows, and BCa's jackknife is quadratic."""
ROUNDING = 1e-9
"""Share of the mean below which a spread is that of rounding."""
CELLS = 4_000_000
"""Values drawn at once: a bound on memory."""


def bootstrap_interval(values: ArrayLike, *, seed: int = 0) -> tuple[float, float] | None:
    """95 % bootstrap interval of the mean over faces (BCa: Efron 1987; percentiles for more than 5000 faces).

    Args:
        values: (N,) of the faces; NaN faces are left out.
        seed: of the resampling; the same faces give the same interval.

    Returns:
        Lower and upper end; None for fewer than two faces, or when a value is infinite and so is the mean.
    """
    sample = np.asarray(values, dtype=np.float64).reshape(-1)
    sample = sample[~np.isnan(sample)]
    if len(sample) < 2 or not np.isfinite(sample).all():
        return None
    return _intervals(sample[None], seed)[0]


def _intervals(samples: NDArray[np.float64], seed: int) -> list[tuple[float, float]]:
    """Intervals of (M, N) samples of the same N faces, at least two: the faces are drawn once for all of them.

    The same as M calls of ``scipy.stats.bootstrap``, which draws anew for each and, for BCa, takes N means of N - 1
    faces: of a mean, their spread is that of the faces.
    """
    from scipy.special import ndtr, ndtri

    faces = samples.shape[1]
    small, tail = faces <= BIAS_CORRECTED_UP_TO, (1 - CONFIDENCE) / 2
    means = _resampled_means(samples, RESAMPLES if small else RESAMPLES // 5, seed)
    middles = samples.mean(axis=1)
    found = []
    for sample, drawn, middle in zip(samples, means, middles.tolist(), strict=True):
        if np.ptp(sample) <= ROUNDING * abs(middle):  # BCa divides by the spread
            found.append((middle, middle))
            continue
        levels = np.array([tail, 1 - tail])
        if small:
            around = drawn - middle
            same = np.abs(around) <= ROUNDING * np.ptp(sample)  # sums in another order differ in the last digits
            bias = ndtri(((around < 0) & ~same).mean() + same.mean() / 2)
            moved = sample - middle
            skew = (moved**3).sum() / (6 * (moved**2).sum() ** 1.5)
            shifted = bias + ndtri(levels)
            levels = ndtr(bias + shifted / (1 - skew * shifted))
        low, high = np.quantile(drawn, levels).tolist()
        found.append((low, high))
    return found


def _resampled_means(samples: NDArray[np.float64], resamples: int, seed: int) -> NDArray[np.float64]:
    """(M, resamples) means of (M, N) samples, over the same draws of N faces: a draw is how often it has each face."""
    faces = samples.shape[1]
    random, means = np.random.default_rng(seed), np.empty((len(samples), resamples))
    for begin in range(0, resamples, rows := max(CELLS // faces, 1)):
        number = min(rows, resamples - begin)
        drawn = random.integers(0, faces, (number, faces)) + faces * np.arange(number)[:, None]
        counts = np.bincount(drawn.reshape(-1), minlength=number * faces).reshape(number, faces)
        means[:, begin : begin + number] = samples @ counts.T.astype(np.float64) / faces
    return means


@dataclass(frozen=True)
class PairedComparison:
    """Errors of two models on the same faces. Differences are first minus second: negative, the first is better.

    Attributes:
        faces: with a finite error in both; means, interval and p values are over these.
        left_out: faces without a finite error in one of the two: no estimate, or nothing labelled.
        mean_first: percent.
        mean_second: percent.
        mean_difference: percent of the normaliser.
        interval: 95 % bootstrap interval of the mean difference; None for fewer than two faces.
        wins: faces on which the first is better; an estimate beats a missing one.
        losses: faces on which the second is better.
        ties: faces with the same error.
        p_sign_flip: two-sided permutation p of the mean difference: how often random signs give one as large.
        p_wilcoxon: two-sided p of Wilcoxon's signed-rank test, which asks about ranks, not means.
    """

    faces: int
    left_out: int
    mean_first: float
    mean_second: float
    mean_difference: float
    interval: tuple[float, float] | None
    wins: int
    losses: int
    ties: int
    p_sign_flip: float
    p_wilcoxon: float


def compare_paired(first: ArrayLike, second: ArrayLike, *, seed: int = 0) -> PairedComparison:
    """Compare two models face by face.

    Args:
        first: (N,) errors in percent; infinite where there is no estimate, NaN where there is no label.
        second: (N,) of the same faces in the same order.
        seed: of resampling and sign flips.

    Raises:
        ValueError: different lengths, or no face with a finite error in both.
    """
    return compare_pairs([(first, second)], seed=seed)[0]


def compare_pairs(pairs: Sequence[tuple[ArrayLike, ArrayLike]], *, seed: int = 0) -> list[PairedComparison]:
    """`compare_paired` of several pairs; those with equally many faces share their resamples, so many cost little.

    Args:
        pairs: first and second errors of each, (N,).
        seed: of resampling and sign flips.

    Raises:
        ValueError: as `compare_paired`.
    """
    errors, differences = [], []
    for first, second in pairs:
        a, b = (np.asarray(values, dtype=np.float64).reshape(-1) for values in (first, second))
        if a.shape != b.shape:
            raise ValueError(f"{len(a)} and {len(b)} errors are not of the same faces")
        both = np.isfinite(a) & np.isfinite(b)
        if not both.any():
            raise ValueError(f"none of the {len(a)} faces has a finite error in both; there is nothing to compare")
        errors.append((a, b, both))
        differences.append(a[both] - b[both])
    intervals: dict[int, tuple[float, float]] = {}
    chances: dict[int, tuple[float, float]] = {}
    for faces in {len(difference) for difference in differences}:
        alike = [number for number, difference in enumerate(differences) if len(difference) == faces]
        together = np.stack([differences[number] for number in alike])
        chances |= dict(zip(alike, _p_values(together, seed), strict=True))
        if faces > 1:
            intervals |= dict(zip(alike, _intervals(together, seed), strict=True))
    return [
        PairedComparison(
            faces=int(both.sum()),
            left_out=int((~both).sum()),
            mean_first=float(a[both].mean()),
            mean_second=float(b[both].mean()),
            mean_difference=float(differences[number].mean()),
            interval=intervals.get(number),
            wins=int((a < b).sum()),
            losses=int((a > b).sum()),
            ties=int((a == b).sum()),
            p_sign_flip=chances[number][0],
            p_wilcoxon=chances[number][1],
        )
        for number, (a, b, both) in enumerate(errors)
    ]


def _p_values(differences: NDArray[np.float64], seed: int) -> list[tuple[float, float]]:
    """Sign-flip permutation and Wilcoxon of (M, N) differences; 1 where the errors are all the same."""
    from scipy.stats import wilcoxon

    # scipy's permutation_test gives the same but flips face by face: a minute for 20,000 faces
    random, left = np.random.default_rng(seed), RESAMPLES
    # sums in another order differ in the last digits
    observed = np.abs(differences.sum(axis=1)) - 1e-12 * np.abs(differences).sum(axis=1)
    extreme = np.zeros(len(differences), dtype=np.int64)
    while left:
        rows = min(max(CELLS // differences.shape[1], 1), left)
        signs = random.integers(0, 2, (rows, differences.shape[1]), dtype=np.int8) * 2.0 - 1.0
        extreme += (np.abs(differences @ signs.T) >= observed[:, None]).sum(axis=1)
        left -= rows
    return [
        ((count + 1) / (RESAMPLES + 1), float(wilcoxon(row).pvalue)) if row.any() else (1.0, 1.0)
        for row, count in zip(differences, extreme.tolist(), strict=True)
    ]


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjust p values of a family of tests (Holm 1979): each may be held against the level of the whole family.

    Args:
        p_values: (M,) of the tests; none at all is no error.

    Returns:
        (M,) adjusted, in the same order, at most 1.
    """
    values = np.asarray(p_values, dtype=np.float64).reshape(-1)
    order = values.argsort()
    steps = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted
