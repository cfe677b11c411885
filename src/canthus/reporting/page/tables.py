"""Tables as data, for the page, for Markdown and for tests."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from canthus.reporting.page.protocols import Number
from canthus.reporting.tables import NOTHING, markdown_table
from canthus.utils.escaping import markdown

MOST_CELLS = 6000
"""Of a table on the page, half a megabyte; what is beyond stands in the Markdown file."""
FOLDED = 30
"""Rows that a table shows until all are asked for."""

__all__ = ["NOTHING", "Cell", "Column", "Table", "as_markdown", "heated", "number_cell", "text_cell"]


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: as shown.
        value: to sort by; texts sort by themselves.
        heat: 0 to 1, how far the background is coloured.
        title: shown while the pointer rests on it.
        tone: a style of the page: ``good``, ``bad``, ``quiet``, ``code``.
        swatch: number of the colour of a curve.
    """

    text: str
    value: float | None = None
    heat: float | None = None
    title: str = ""
    tone: str = ""
    swatch: int | None = None


@dataclass(frozen=True)
class Column:
    """A column: its name, whether it holds numbers, what it means, and whether its texts are long."""

    name: str
    numeric: bool = True
    about: str = ""
    wide: bool = False


@dataclass
class Table:
    """A table.

    Attributes:
        key: for the page's anchors.
        caption: what it shows.
        columns: from left to right.
        rows: cells.
        choose: column whose values can be chosen from a list; None for none.
        chosen: the value that is chosen first.
        filtered: whether it has a field to filter by.
        notes: sentences beneath.
    """

    key: str
    caption: str
    columns: list[Column]
    rows: list[list[Cell]]
    choose: int | None = None
    chosen: str = ""
    filtered: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def shown(self) -> list[list[Cell]]:
        """The rows that the page has."""
        return self.rows[: max(MOST_CELLS // len(self.columns), 1)]

    @property
    def folds(self) -> int:
        """Rows that are seen at first; 0 for all."""
        return FOLDED if len(self.shown) > FOLDED else 0

    @property
    def choices(self) -> list[str]:
        """Values of the column to choose from."""
        return list(dict.fromkeys(row[self.choose].text for row in self.shown)) if self.choose is not None else []


def text_cell(text: object, **looks: object) -> Cell:
    """A text; a dash for nothing."""
    return Cell(NOTHING if text is None or text == "" else str(text), **looks)  # type: ignore[arg-type]


def number_cell(number: Number | float | None, digits: int = 2, **looks: object) -> Cell:
    """A number with its standard deviation over seeds; a dash for nothing."""
    if number is None:
        return Cell(NOTHING, None, **looks)  # type: ignore[arg-type]
    if not isinstance(number, Number):
        number = Number(float(number))
    text = f"{number.value:.{digits}f}"
    if number.deviation is not None:
        text += f" ± {number.deviation:.{digits}f}"
    return Cell(text, number.value, **looks)  # type: ignore[arg-type]


def heated(rows: Sequence[Sequence[Cell]], first: int = 1) -> list[list[Cell]]:
    """Colour the cells from column ``first`` on by their place between the lowest and the highest of them all."""
    values = [cell.value for row in rows for cell in row[first:] if cell.value is not None]
    low, high = min(values, default=0.0), max(values, default=0.0)
    spread = (high - low) or 1.0
    return [
        [
            *row[:first],
            *(
                Cell(cell.text, cell.value, None if cell.value is None else (cell.value - low) / spread, cell.title)
                for cell in row[first:]
            ),
        ]
        for row in rows
    ]


def as_markdown(table: Table) -> str:
    """The table with its notes. What came from run folders cannot become markup."""
    rows = [[cell.text for cell in row] for row in table.rows]
    text = markdown_table(rows, [column.name for column in table.columns])
    notes = "".join(f"\n{markdown(note)}\n" for note in table.notes)
    return f"**{markdown(table.caption)}**\n\n{text}{notes}"
