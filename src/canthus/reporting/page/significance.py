"""Every pair of rows of a protocol, face by face, with p values for as many questions as are asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from canthus.metrics.statistics import PairedComparison, compare_paired, holm
from canthus.reporting.page.protocols import Group, Row

__all__ = ["LEVEL", "Pair", "compare_rows"]

LEVEL = 0.05
"""Of the whole family of pairs."""


@dataclass(frozen=True)
class Pair:
    """Two rows on their common faces.

    Attributes:
        first: the one with the lower mean.
        second: the other one.
        numbers: of the comparison; differences are first minus second.
        p_mean: of random sign flips, after Holm's correction over the protocol's pairs.
        p_rank: of Wilcoxon's signed-rank test, likewise.
    """

    first: Row
    second: Row
    numbers: PairedComparison
    p_mean: float
    p_rank: float

    @property
    def verdict(self) -> str:
        """What the faces can tell."""
        if self.p_mean < LEVEL and self.p_rank < LEVEL:
            return "better"
        if self.p_mean < LEVEL or self.p_rank < LEVEL:
            return "better by one test"
        return "no difference shown"


def compare_rows(group: Group) -> list[Pair]:
    """Compare all pairs of a protocol over all its faces; several seeds enter with their mean error on each face.

    Returns:
        The pairs in the order of the rows; empty where fewer than two rows have predictions.
    """
    with_errors = [(row, errors) for row in group.rows if (errors := row.errors(group.keys)) is not None]
    found: list[tuple[Row, Row, PairedComparison]] = []
    for (first, mine), (second, theirs) in combinations(with_errors, 2):
        if np.isfinite(mine + theirs).any():
            found.append((first, second, compare_paired(mine, theirs)))
    return list(_corrected(found))


def _corrected(found: Sequence[tuple[Row, Row, PairedComparison]]) -> list[Pair]:
    means, ranks = (holm([getattr(numbers, key) for *_, numbers in found]) for key in ("p_sign_flip", "p_wilcoxon"))
    return [Pair(*pair, float(mean), float(rank)) for pair, mean, rank in zip(found, means, ranks, strict=True)]
