"""What a page shows of models that were run for it: costs and pictures."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from canthus.evaluation.cost import Cost
from canthus.reporting.page.protocols import Group, Row

__all__ = ["Costs", "DrawnFace", "Measured", "Picture"]


Costs = Mapping[Path, Cost]
"""Checkpoint to the cost of its model."""


@dataclass(frozen=True)
class DrawnFace:
    """One face.

    Attributes:
        image: name of the image.
        errors: NME of each picture, percent; None where predictions.csv has none.
        names: of the pictures, such as ``stage 1``.
        pictures: JPEG files.
        notes: what is missing or odd.
    """

    image: str
    errors: list[float | None] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    pictures: list[bytes] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def last(self) -> "DrawnFace":
        """The picture of the last stage alone."""
        return DrawnFace(self.image, self.errors[-1:], self.names[-1:], self.pictures[-1:], self.notes)


@dataclass(frozen=True)
class Picture:
    """A face as a row of a protocol sees it.

    Attributes:
        rank: ``best``, ``median`` or ``worst`` of the row; ``easy``, ``middling`` or ``hard`` for all rows.
        row: whose estimate it is.
        face: the pictures.
    """

    rank: str
    row: Row
    face: DrawnFace


@dataclass
class Measured:
    """All of it.

    Attributes:
        costs: of the models.
        own: best, median and worst face of every row, by protocol.
        common: faces that are easy, middling and hard for all rows, by protocol.
        missing: in words, which models could not be run and why.
    """

    costs: dict[Path, Cost] = field(default_factory=dict)
    own: dict[Group, list[Picture]] = field(default_factory=dict)
    common: dict[Group, list[Picture]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def about_faces(self, group: Group) -> str:
        """For how many rows of a protocol faces are drawn; empty for all."""
        drawn = {picture.row for picture in self.own.get(group, ())}
        return f"Faces of the best {len(drawn)} of {len(group.rows)} models." if len(drawn) < len(group.rows) else ""
