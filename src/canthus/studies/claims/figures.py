"""The numbers that claims are about, each with the faces, images or persons that it was drawn from.

Legend: N units, B resamples of them.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from canthus.metrics.detection import precision_and_recall

__all__ = ["Correlated", "Detected", "Draws", "Figure", "Fixed", "Mean", "Verified"]

RESAMPLES = 999
Array = NDArray[np.float64]


class Draws:
    """How often each unit is met when as many are drawn again; the same units have the same draws.

    Args:
        seed: of the draws.
        resamples: number of them.
    """

    def __init__(self, seed: int = 0, resamples: int = RESAMPLES) -> None:
        self.seed, self.resamples = seed, resamples
        self._known: dict[tuple[str, ...], Array] = {}

    def of(self, units: tuple[str, ...]) -> Array:
        """(B, N) counts."""
        if units not in self._known:
            random = np.random.default_rng([self.seed, zlib.crc32("\n".join(units).encode())])
            counts = random.multinomial(len(units), np.full(len(units), 1 / len(units)), size=self.resamples)
            self._known[units] = counts.astype(np.float64)
        return self._known[units]


class Figure(Protocol):
    """One number of one training."""

    @property
    def value(self) -> float:
        """Over the units as they are."""

    def resampled(self, draws: Draws) -> Array | None:
        """(B,) over units drawn again; None where it is of no units."""


@dataclass(frozen=True, eq=False)
class Fixed:
    """A number that no units stand behind: a constant, a time, a norm."""

    value: float

    def resampled(self, draws: Draws) -> Array | None:
        """None."""
        return None


@dataclass(frozen=True, eq=False)
class Mean:
    """A mean over faces.

    Attributes:
        units: N names of the faces.
        values: (N,); NaN and infinite ones are left out.
    """

    units: tuple[str, ...]
    values: Array

    @property
    def known(self) -> NDArray[np.bool_]:
        """(N,) which faces have a value."""
        return np.isfinite(self.values)

    @property
    def value(self) -> float:
        """The mean; NaN without any."""
        return float(self.values[self.known].mean()) if self.known.any() else float("nan")

    def only(self, mask: NDArray[np.bool_]) -> "Mean":
        """The same over some of the faces."""
        return Mean(self.units, np.where(mask, self.values, np.nan))

    def resampled(self, draws: Draws) -> Array:
        """Means over faces drawn again."""
        counts, known = draws.of(self.units), self.known
        total = counts @ known
        return np.where(total > 0, counts @ np.where(known, self.values, 0.0) / np.maximum(total, 1), np.nan)


@dataclass(frozen=True, eq=False)
class Detected:
    """Average precision, recall or number of boxes over images.

    Attributes:
        kind: ``average_precision``, ``recall`` or ``boxes``.
        units: N names of the images.
        faces: (N,) that count.
        image: (D,) number of the image of every box.
        score: (D,).
        match: (D,) 1 true, 0 false, -1 where a box does not count.
    """

    kind: str
    units: tuple[str, ...]
    faces: Array
    image: NDArray[np.int64]
    score: Array
    match: NDArray[np.int64]

    @property
    def value(self) -> float:
        """Over the images as they are."""
        return self._over(np.ones(len(self.units)))

    def resampled(self, draws: Draws) -> Array:
        """Over images drawn again."""
        return np.array([self._over(counts) for counts in draws.of(self.units)])

    def _over(self, counts: Array) -> float:
        times, kept = counts[self.image], float(counts @ self.faces)
        if self.kind == "boxes":
            return float(times.sum() / counts.sum())
        if not kept:
            return float("nan")
        if self.kind == "recall":
            return 100 * float((times * (self.match == 1)).sum()) / kept
        return precision_and_recall(self.score, times * (self.match == 1), times * (self.match >= 0), kept)[0]


@dataclass(frozen=True, eq=False)
class Verified:
    """Accuracy on pairs of images: the mean of that on pairs of one person and that on pairs of two.

    Attributes:
        units: N names of the persons.
        persons: (2, P) numbers of the persons of every pair.
        same: (P,) bool.
        right: (P,) 100 for each pair judged rightly, 0 for others.
    """

    units: tuple[str, ...]
    persons: NDArray[np.int64]
    same: NDArray[np.bool_]
    right: Array

    @property
    def value(self) -> float:
        """Percent."""
        return float((self.right[self.same].mean() + self.right[~self.same].mean()) / 2)

    def resampled(self, draws: Draws) -> Array:
        """Over persons drawn again, and their pairs with them."""
        counts = draws.of(self.units)
        first, second = self.persons
        both = np.zeros(len(counts))
        for group, weight in (
            (self.same, counts[:, first[self.same]]),
            (~self.same, counts[:, first[~self.same]] * counts[:, second[~self.same]]),
        ):
            total = weight.sum(1)
            both += np.where(total > 0, weight @ self.right[group] / np.maximum(total, 1), np.nan) / 2
        return both


@dataclass(frozen=True, eq=False)
class Correlated:
    """Spearman's rank correlation over arms of two of their figures.

    Attributes:
        first: a figure of every arm.
        second: another of every arm, in the same order.
    """

    first: Sequence[Figure]
    second: Sequence[Figure]

    @property
    def value(self) -> float:
        """-1 to 1."""
        return float(_spearman(*(np.array([[one.value] for one in side]) for side in (self.first, self.second)))[0])

    def resampled(self, draws: Draws) -> Array:
        """Over the units of both, drawn again."""
        return _spearman(*(_stacked(side, draws) for side in (self.first, self.second)))


def _stacked(figures: Sequence[Figure], draws: Draws) -> Array:
    drawn = [one.resampled(draws) for one in figures]
    return np.stack(
        [np.full(draws.resamples, one.value) if d is None else d for one, d in zip(figures, drawn, strict=True)]
    )


def _spearman(first: Array, second: Array) -> Array:
    """(B,) of (M, B) figures; 0 where all ranks are equal."""
    from scipy.stats import rankdata

    ranks = [rankdata(values, axis=0) for values in (first, second)]
    a, b = (values - values.mean(0) for values in ranks)
    length = np.sqrt((a**2).sum(0) * (b**2).sum(0))
    found: Array = np.where(length > 0, (a * b).sum(0) / np.where(length > 0, length, 1), 0.0)
    return np.where(np.isnan(first).any(0) | np.isnan(second).any(0), np.nan, found)
