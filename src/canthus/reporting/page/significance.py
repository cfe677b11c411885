"""Every pair of rows of a protocol, face by face, with p values for as many questions as are asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, islice

import numpy as np

from canthus.metrics.statistics import PairedComparison, compare_pairs, holm
from canthus.reporting.page.protocols import Group, Row
from canthus.reporting.page.tables import Cell, Column, Table, text_cell

__all__ = ["LEVEL", "Pair", "compare_rows", "matrix_table", "pair_table"]

LEVEL = 0.05
"""Of the whole family of pairs."""
COMPARED = 20
"""Rows of a protocol, the best ones: the pairs of more are too many to read, and to correct for."""


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
    """Compare the best rows of a protocol, pair by pair, over all faces; seeds enter with their mean error on each.

    Returns:
        The pairs in the order of the rows; empty where fewer than two rows have predictions.
    """
    every = ((row, errors) for row in group.rows if (errors := row.errors(group.keys)) is not None)
    pairs = [pair for pair in combinations(islice(every, COMPARED), 2) if np.isfinite(pair[0][1] + pair[1][1]).any()]
    compared = compare_pairs([(mine, theirs) for (_, mine), (_, theirs) in pairs])
    return _corrected([(first, second, one) for ((first, _), (second, _)), one in zip(pairs, compared, strict=True)])


def _corrected(found: Sequence[tuple[Row, Row, PairedComparison]]) -> list[Pair]:
    means, ranks = (holm([getattr(numbers, key) for *_, numbers in found]) for key in ("p_sign_flip", "p_wilcoxon"))
    return [Pair(*pair, float(mean), float(rank)) for pair, mean, rank in zip(found, means, ranks, strict=True)]


def matrix_table(group: Group, pairs: Sequence[Pair]) -> Table | None:
    """Rows minus columns: who is better than whom."""
    if not pairs:
        return None
    rows = [row for row in group.rows if any(row in (pair.first, pair.second) for pair in pairs)]
    found = {(pair.first, pair.second): pair for pair in pairs}
    lines = []
    for row in rows:
        cells = [Cell(row.label, swatch=row.colour)]
        for column in rows:
            pair, sign = (found.get((row, column)), 1) if (row, column) in found else (found.get((column, row)), -1)
            cells.append(Cell("·", tone="quiet") if pair is None else _difference(pair, sign))
        lines.append(cells)
    columns = [Column("row minus column", numeric=False), *(Column(row.label) for row in rows)]
    caption = f"Mean difference of NME, row minus column, in % of {group.protocol.normaliser}"
    note = (
        f"Green: the row is better, red: worse, by both tests at {100 * LEVEL:g} % for all {len(pairs)} pairs together "
        "(Holm); grey: no difference shown, or by one test only."
    )
    notes = [note]
    if len(group.rows) > len(rows) == COMPARED:
        notes.append(f"The best {COMPARED} of {len(group.rows)} models are compared.")
    return Table("differences", caption, columns, lines, notes=notes)


def _difference(pair: Pair, sign: int) -> Cell:
    value = sign * pair.numbers.mean_difference
    tone = "quiet" if pair.verdict != "better" else ("good" if value < 0 else "bad")
    return Cell(
        f"{value:+.2f}", value, tone=tone, title=f"{pair.verdict}; p {_chance(pair.p_mean)}, {_chance(pair.p_rank)}"
    )


def pair_table(group: Group, pairs: Sequence[Pair]) -> Table | None:
    """Every pair with interval, wins and p values."""
    if not pairs:
        return None
    columns = [Column("first", numeric=False), Column("second", numeric=False), Column("faces")]
    columns += [
        Column("difference"),
        Column("95 % interval", numeric=False),
        Column("wins / losses / ties", numeric=False),
    ]
    columns += [Column("p (mean)"), Column("p (rank)"), Column("verdict", numeric=False)]
    lines = []
    for pair in pairs:
        numbers = pair.numbers
        interval = numbers.interval
        lines.append([
            Cell(pair.first.label, swatch=pair.first.colour),
            Cell(pair.second.label, swatch=pair.second.colour),
            Cell(str(numbers.faces), numbers.faces),
            Cell(f"{numbers.mean_difference:+.2f}", numbers.mean_difference),
            text_cell(None) if interval is None else Cell(f"{interval[0]:+.2f} to {interval[1]:+.2f}", interval[0]),
            Cell(f"{numbers.wins} / {numbers.losses} / {numbers.ties}", numbers.wins),
            Cell(_chance(pair.p_mean), pair.p_mean),
            Cell(_chance(pair.p_rank), pair.p_rank),
            Cell(_verdict(pair), tone="good" if pair.verdict == "better" else ""),
        ])  # fmt: skip
    left_out = sorted({pair.numbers.left_out for pair in pairs if pair.numbers.left_out})
    notes = [
        "Differences are first minus second: negative, the first is better. Intervals are 95 % bootstraps over faces, "
        "each for itself; p (mean) is of random sign flips, p (rank) of Wilcoxon's signed-rank test, both after Holm's "
        "correction over these pairs. Several seeds enter with their mean error on each face."
    ]
    if left_out:
        notes.append(f"Up to {left_out[-1]} faces without an estimate by one of the two are in wins and losses only.")
    caption = f"All pairs on their common faces, NME in % of {group.protocol.normaliser}"
    return Table("pairs", caption, columns, lines, filtered=True, notes=notes)


def _verdict(pair: Pair) -> str:
    if pair.verdict == "no difference shown":
        return pair.verdict
    better = pair.first if pair.numbers.mean_difference < 0 else pair.second
    return f"{better.label} {pair.verdict}"


def _chance(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
