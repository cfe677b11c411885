"""How sure a mean over faces is, and whether two models differ on the same faces.

The unit that is drawn again, or whose sign is flipped, is the face.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["CONFIDENCE", "PairedComparison", "bootstrap_interval", "compare_paired", "holm"]

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
    from scipy.stats import bootstrap

    sample = np.asarray(values, dtype=np.float64).reshape(-1)
    sample = sample[~np.isnan(sample)]
    if len(sample) < 2 or not np.isfinite(sample).all():
        return None
    middle = float(sample.mean())
    if np.ptp(sample) <= ROUNDING * abs(middle):  # BCa divides by the spread
        return middle, middle
    small = len(sample) <= BIAS_CORRECTED_UP_TO
    interval = bootstrap(
        (sample,),
        np.mean,
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES if small else RESAMPLES // 5,
        batch=max(CELLS // len(sample), 1),
        method="BCa" if small else "percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


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
    a, b = (np.asarray(values, dtype=np.float64).reshape(-1) for values in (first, second))
    if a.shape != b.shape:
        raise ValueError(f"{len(a)} and {len(b)} errors are not of the same faces")
    both = np.isfinite(a) & np.isfinite(b)
    if not both.any():
        raise ValueError(f"none of the {len(a)} faces has a finite error in both; there is nothing to compare")
    difference = a[both] - b[both]
    p_sign_flip, p_wilcoxon = _p_values(difference, seed)
    return PairedComparison(
        faces=int(both.sum()),
        left_out=int((~both).sum()),
        mean_first=float(a[both].mean()),
        mean_second=float(b[both].mean()),
        mean_difference=float(difference.mean()),
        interval=bootstrap_interval(difference, seed=seed),
        wins=int((a < b).sum()),
        losses=int((a > b).sum()),
        ties=int((a == b).sum()),
        p_sign_flip=p_sign_flip,
        p_wilcoxon=p_wilcoxon,
    )


def _p_values(difference: NDArray[np.float64], seed: int) -> tuple[float, float]:
    """Sign-flip permutation and Wilcoxon; 1 where the errors are all the same."""
    from scipy.stats import wilcoxon

    if not difference.any():
        return 1.0, 1.0
    # scipy's permutation_test gives the same but flips face by face: a minute for 20,000 faces
    random, observed, extreme, left = np.random.default_rng(seed), abs(difference.sum()), 0, RESAMPLES
    tolerance = 1e-12 * np.abs(difference).sum()  # sums in another order differ in the last digits
    while left:
        rows = min(max(CELLS // len(difference), 1), left)
        signs = random.integers(0, 2, (rows, len(difference)), dtype=np.int8) * 2.0 - 1.0
        extreme += int((np.abs(signs @ difference) >= observed - tolerance).sum())
        left -= rows
    return (extreme + 1) / (RESAMPLES + 1), float(wilcoxon(difference).pvalue)


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
