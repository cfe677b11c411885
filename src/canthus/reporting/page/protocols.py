"""Which evaluations share a table: those of the same faces, boxes, points, normaliser, threshold and pictures.

Within a protocol, several seeds of one recipe are one row, and a repeated evaluation of a run is no second row.
"""

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from canthus.evaluation.files import Prediction
from canthus.reporting.comparison import BOX_TOLERANCE, FaceKey
from canthus.reporting.page.records import Record, names_of
from canthus.reporting.tables import corruption_name

__all__ = ["Group", "Number", "Protocol", "Row", "grouped"]

DRAWN = 20
"""Rows of a protocol with a curve, the best ones: more cannot be told apart."""

SAME = 1e-3
"""Percent: two evaluations of one run that differ by more are two rows."""


@dataclass(frozen=True)
class Number:
    """A value of a row: of one run, or the mean of several seeds with its sample standard deviation."""

    value: float
    deviation: float | None = None

    @classmethod
    def of(cls, values: Sequence[float | None]) -> "Number | None":
        """Of every seed; None where one of them has no value, as the mean of the others is another number."""
        known = [value for value in values if value is not None and math.isfinite(value)]
        if not known or len(known) != len(values):
            return None
        return cls(statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None)


@dataclass(frozen=True)
class Protocol:
    """What has to agree before numbers share a column.

    Attributes:
        data: data config.
        split: val or test.
        scheme: landmark scheme.
        normaliser: of the errors.
        threshold: of AUC and failure rate, percent.
        shown: what was done to the pictures: ``as they are``, ``blur 3``, ``sketch``.
    """

    data: str
    split: str
    scheme: str
    normaliser: str
    threshold: float
    shown: str

    @classmethod
    def of(cls, record: Record) -> "Protocol":
        """Of an evaluation."""
        metrics, data = record.metrics, record.config.get("data")
        data = data if isinstance(data, Mapping) else {}
        shown = corruption_name(metrics) if metrics.get("corruption") else "as they are"
        if data.get("styles"):
            shown = f"{shown} in the styles {data['styles']}"
        if metrics.get("corruption") and data.get("corruption_seed"):
            shown = f"{shown}, seed {data['corruption_seed']}"
        return cls(
            str(metrics["data"]),
            str(metrics.get("split", "split unknown")),
            str(metrics.get("scheme") or data.get("scheme") or "unknown"),
            str(metrics["normaliser"]),
            float(metrics["threshold"]),
            shown,
        )


@dataclass(eq=False)
class Row:
    """One line of a protocol's tables.

    Attributes:
        records: an evaluation, or one for each seed of a recipe.
        copies: further evaluations of the same runs that gave the same figures.
        label: model, and whatever tells it from other rows of its page.
        colour: number of its curve.
    """

    records: list[Record]
    copies: list[Record] = field(default_factory=list)
    label: str = ""
    colour: int = 0

    @property
    def model(self) -> str:
        """Name of the method or tool."""
        return str(self.records[0].metrics["model"])

    @property
    def all_records(self) -> list[Record]:
        """Records and copies."""
        return [*self.records, *self.copies]

    @property
    def stages(self) -> int:
        """Number of stages."""
        return max(len(subset["nme_per_stage"]) for subset in self.records[0].metrics["subsets"].values())

    def subsets(self) -> dict[str, int]:
        """Subset and its number of faces."""
        return {name: int(subset["faces"]) for name, subset in self.records[0].metrics["subsets"].items()}

    def number(self, subset: str, key: str) -> Number | None:
        """A field of a subset, such as ``nme`` or ``auc``."""
        return Number.of([self._subset(record, subset).get(key) for record in self.records])

    def stage(self, subset: str, stage: int) -> Number | None:
        """NME of one stage."""
        errors = [self._subset(record, subset).get("nme_per_stage", ()) for record in self.records]
        return Number.of([row[stage] if stage < len(row) else None for row in errors])

    def region(self, name: str, stage: int = -1) -> Number | None:
        """NME of a region of landmarks over all faces."""
        values = [record.metrics.get("regions", {}).get(name) for record in self.records]
        if any(not row or stage >= len(row) for row in values):
            return None
        return Number.of([row[stage] for row in values if row])

    def suite(self) -> Mapping[str, Any] | None:
        """Its corruption suite, the first that was found."""
        return next((record.corruptions for record in self.all_records if record.corruptions), None)

    def errors(self, keys: Sequence[FaceKey], stage: int = -1) -> NDArray[np.float64] | None:
        """(N,) percent, the mean over seeds; infinite where a seed found nothing. None without predictions."""
        columns = []
        for record in self.records:
            if record.predictions is None:
                return None
            columns.append([np.asarray(record.predictions[key].nme_per_stage)[stage] for key in keys])
        mean: NDArray[np.float64] = np.mean(np.array(columns, dtype=np.float64), axis=0)
        return mean

    def first_errors(self, keys: Sequence[FaceKey]) -> NDArray[np.float64] | None:
        """(N,) last-stage errors of the first seed, whose faces are drawn; None without predictions."""
        return Row(self.records[:1]).errors(keys)

    @staticmethod
    def _subset(record: Record, name: str) -> Mapping[str, Any]:
        return record.metrics["subsets"].get(name) or {}


@dataclass(eq=False)
class Group:
    """Rows that compare with each other.

    Attributes:
        protocol: what they share.
        rows: best first.
        name: short, for headings: ``A``.
    """

    protocol: Protocol
    rows: list[Row]
    name: str = ""

    @cached_property
    def keys(self) -> list[FaceKey]:
        """Its faces; empty where no predictions.csv says which they are."""
        faces = self.rows[0].records[0].predictions
        return list(faces or ())

    @property
    def faces(self) -> int:
        """Number of faces."""
        return next(iter(self.rows[0].subsets().values()))

    @property
    def whole(self) -> str:
        """Name of the subset of all faces."""
        return next(iter(self.rows[0].subsets()))

    @property
    def boxes(self) -> str:
        """Where the face boxes come from, as the configs say."""
        named = set()
        for row in self.rows:
            for record in row.records:
                data = record.config.get("data")
                found = record.metrics.get("end_to_end")
                if isinstance(found, Mapping):
                    named.add(f"found by {found.get('detector')}")
                    continue
                named.add(str(data.get("box", "of the data set")) if isinstance(data, Mapping) else "unknown")
        words = {"gt": "tight boxes of the labels (gt)"}
        return " or ".join(sorted(words.get(name, name) for name in named))

    @property
    def drawn(self) -> list[Row]:
        """The rows that have curves."""
        return self.rows[:DRAWN]

    @cached_property
    def hardness(self) -> NDArray[np.float64] | None:
        """(N,) mean rank of each face's error among the rows, by their first seeds; None for fewer than two."""
        ranks = [errors.argsort().argsort() for row in self.rows if (errors := row.first_errors(self.keys)) is not None]
        return np.mean(ranks, axis=0) if len(ranks) > 1 else None

    @cached_property
    def subsets(self) -> dict[tuple[str, int], list[Row]]:
        """Subset with its number of faces, and the rows that have it: a name with two counts is two subsets."""
        found: dict[tuple[str, int], list[Row]] = {}
        for row in self.rows:
            for subset in row.subsets().items():
                found.setdefault(subset, []).append(row)
        return found

    def predictions(self, row: Row) -> list[Prediction]:
        """Of a row's first seed, in the order of `keys`."""
        known = row.records[0].predictions or {}
        return [known[key] for key in self.keys if key in known]


def grouped(records: Sequence[Record]) -> list[Group]:
    """Divide evaluations by protocol. Problems that show here are added to the records.

    Args:
        records: of any folders.

    Returns:
        Groups with most rows first.
    """
    made: list[tuple[Protocol, list[Record]]] = []
    known: dict[tuple[Protocol, frozenset[FaceKey]], list[tuple[NDArray[np.float64], list[Record]]]] = {}
    for record in records:
        protocol, faces = Protocol.of(record), record.predictions
        if faces is None:  # where nobody says which they are, nothing is the same
            made.append((protocol, [record]))
            continue
        boxes = np.array([faces[key].box for key in sorted(faces)], dtype=np.float64)
        alike = known.setdefault((protocol, frozenset(faces)), [])
        for other, members in alike:
            if np.abs(boxes - other).max(initial=0.0) <= BOX_TOLERANCE:
                members.append(record)
                break
        else:
            alike.append((boxes, [record]))
            made.append((protocol, alike[-1][1]))
    groups = [Group(protocol, _rows(members)) for protocol, members in made]
    groups.sort(key=lambda group: (-len(group.rows), group.protocol.data, group.protocol.split, -group.faces))
    for number, group in enumerate(groups):
        group.name = _letters(number)
        whole = group.whole
        group.rows = sorted(group.rows, key=lambda row: _nme(row, whole))
    _label(groups)
    return groups


def _nme(row: Row, subset: str) -> float:
    number = row.number(subset, "nme")
    return math.inf if number is None else number.value


def _letters(number: int) -> str:
    head, last = divmod(number, 26)
    return (_letters(head - 1) if head else "") + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[last]


def _rows(members: Sequence[Record]) -> list[Row]:
    rows: dict[tuple[Any, ...], Row] = {}
    runs: dict[tuple[Any, ...], dict[Path, Record]] = {}
    seeds: dict[tuple[Any, ...], set[int | None]] = {}
    # a run's own evaluation comes before those that were made later
    for record in sorted(members, key=lambda one: one.training is None or one.training.folder != one.folder):
        training = record.training
        if training is None:
            rows[(record.folder,)] = Row([record])
            continue
        recipe = (training.recipe, record.metrics["model"], record.settings)
        run = training.folder.resolve()
        twin = runs.setdefault(recipe, {}).get(run)
        if recipe not in rows:
            rows[recipe] = Row([record])
        elif twin is not None and _same_figures(twin, record):
            rows[recipe].copies.append(record)
            continue
        elif twin is not None:
            record.problems.append(
                f"gives other figures than {twin.folder}, an evaluation of the same run: both are shown"
            )
            rows[(*recipe, record.folder)] = Row([record])
            continue
        elif training.seed is None or training.seed in seeds[recipe]:
            rows[(*recipe, record.folder)] = Row([record])  # the same seed again, or none: no further seed
            continue
        else:
            rows[recipe].records.append(record)
        runs[recipe][run] = record
        seeds.setdefault(recipe, set()).add(training.seed)
    return list(rows.values())


def _same_figures(one: Record, other: Record) -> bool:
    mine, theirs = one.metrics["subsets"], other.metrics["subsets"]
    if mine.keys() != theirs.keys():
        return False
    for name in mine:
        pairs = zip(mine[name]["nme_per_stage"], theirs[name]["nme_per_stage"], strict=False)
        if any((a is None) != (b is None) or abs((a or 0) - (b or 0)) > SAME for a, b in pairs):
            return False
    return True


def _label(groups: Sequence[Group]) -> None:
    """Models by name; what tells rows of one model apart; a colour for each label, the same in all protocols."""
    places: dict[Row, Path] = {}
    of_model: dict[str, set[Path]] = {}
    for row in (row for group in groups for row in group.rows):
        first = row.records[0]
        places[row] = first.training.folder if first.training else first.folder
        of_model.setdefault(row.model, set()).add(places[row])
    names = names_of(set(places.values()))
    for row, place in places.items():
        words = [row.model, *([f"({names[place]})"] if len(of_model[row.model]) > 1 else []), *row.records[0].settings]
        if len(row.records) > 1:
            words.append(f"({len(row.records)} seeds)")
        row.label = " ".join(words)
    shared = Counter((row.label, group.protocol) for group in groups for row in group.rows)
    for group in groups:
        for row in group.rows:
            if shared[row.label, group.protocol] > 1:
                shared[row.label, group.protocol] -= 1
                row.label += f" [{row.records[0].folder.name}]"
                shared[row.label, group.protocol] += 1
    colours = {label: number for number, label in enumerate(sorted({row.label for row in places}))}
    for row in places:
        row.colour = colours[row.label]
