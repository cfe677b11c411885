"""Which evaluations share a table: those of the same faces, boxes, points, normaliser, threshold and pictures.

Within a protocol, several seeds of one recipe are one row, and a repeated evaluation of a run is no second row.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from canthus.reporting.comparison import BOX_TOLERANCE, FaceKey
from canthus.reporting.page.records import Record, names_of
from canthus.reporting.tables import Prediction, corruption_name

__all__ = ["Group", "Number", "Protocol", "Row", "grouped"]

SAME = 1e-3
"""Percent: two evaluations of one run that differ by more are two rows."""


@dataclass(frozen=True)
class Number:
    """A value of a row: of one run, or the mean of several seeds with its sample deviation."""

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
                named.add(str(data.get("box", "of the data set")) if isinstance(data, Mapping) else "unknown")
        words = {"gt": "tight boxes of the labels (gt)"}
        return " or ".join(sorted(words.get(name, name) for name in named))

    @property
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
    groups: list[tuple[Record, list[Record]]] = []
    for record in records:
        for first, members in groups:
            if Protocol.of(first) == Protocol.of(record) and _same_faces(first, record):
                members.append(record)
                break
        else:
            groups.append((record, [record]))
    made = [Group(Protocol.of(first), _rows(members)) for first, members in groups]
    made.sort(key=lambda group: (-len(group.rows), group.protocol.data, group.protocol.split, -group.faces))
    for number, group in enumerate(made):
        group.name = _letters(number)
        whole = group.whole
        group.rows = sorted(group.rows, key=lambda row: _nme(row, whole))
    _label([row for group in made for row in group.rows])
    return made


def _nme(row: Row, subset: str) -> float:
    number = row.number(subset, "nme")
    return math.inf if number is None else number.value


def _letters(number: int) -> str:
    head, last = divmod(number, 26)
    return (_letters(head - 1) if head else "") + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[last]


def _same_faces(first: Record, second: Record) -> bool:
    """The same faces in the same boxes; where nobody says which they are, nothing is the same."""
    mine, theirs = first.predictions, second.predictions
    if mine is None or theirs is None or mine.keys() != theirs.keys():
        return False
    boxes = (np.array([faces[key].box for key in mine], dtype=np.float64) for faces in (mine, theirs))
    one, other = boxes
    return bool(np.abs(one - other).max(initial=0.0) <= BOX_TOLERANCE)


def _rows(members: Sequence[Record]) -> list[Row]:
    rows: dict[tuple[Any, ...], Row] = {}
    # a run's own evaluation comes before those that were made later
    for record in sorted(members, key=lambda one: one.training is None or one.training.folder != one.folder):
        training = record.training
        if training is None:
            rows[(record.folder,)] = Row([record])
            continue
        recipe = (training.recipe, record.metrics["model"], record.settings)
        row = rows.get(recipe)
        if row is None:
            rows[recipe] = Row([record])
            continue
        twin = next((one for one in row.records if _same_run(one, record)), None)
        if twin is not None and _same_figures(twin, record):
            row.copies.append(record)
        elif twin is not None:
            record.problems.append(
                f"gives other figures than {twin.folder}, an evaluation of the same run: both are shown"
            )
            rows[(*recipe, record.folder)] = Row([record])
        elif training.seed is None or training.seed in [one.training.seed for one in row.records if one.training]:
            rows[(*recipe, record.folder)] = Row([record])  # the same seed again, or none: no further seed
        else:
            row.records.append(record)
    return list(rows.values())


def _same_run(one: Record, other: Record) -> bool:
    assert one.training is not None
    assert other.training is not None
    return one.training.folder.resolve() == other.training.folder.resolve()


def _same_figures(one: Record, other: Record) -> bool:
    mine, theirs = one.metrics["subsets"], other.metrics["subsets"]
    if mine.keys() != theirs.keys():
        return False
    for name in mine:
        pairs = zip(mine[name]["nme_per_stage"], theirs[name]["nme_per_stage"], strict=False)
        if any((a is None) != (b is None) or abs((a or 0) - (b or 0)) > SAME for a, b in pairs):
            return False
    return True


def _label(rows: Sequence[Row]) -> None:
    """Models by name; what tells rows of one model apart; a colour for each label, the same in all protocols."""
    places: dict[Row, Path] = {}
    for row in rows:
        first = row.records[0]
        places[row] = first.training.folder if first.training else first.folder
    names = names_of(set(places.values()))
    for row in rows:
        alike = [other for other in rows if other.model == row.model and places[other] != places[row]]
        words = [row.model, *([f"({names[places[row]]})"] if alike else []), *row.records[0].settings]
        if len(row.records) > 1:
            words.append(f"({len(row.records)} seeds)")
        row.label = " ".join(words)
    for row in rows:
        twins = [other for other in rows if other.label == row.label and _shares_table(row, other)]
        if twins:
            row.label += f" [{row.records[0].folder.name}]"
    labels = sorted({row.label for row in rows})
    for row in rows:
        row.colour = labels.index(row.label)


def _shares_table(row: Row, other: Row) -> bool:
    return other is not row and Protocol.of(row.records[0]) == Protocol.of(other.records[0])
