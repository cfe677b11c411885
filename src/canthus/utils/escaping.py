"""Texts of data sets, runs and users on their way to people: one function for each medium, used by every writer.

A name may hold markup, a formula, an escape sequence of the terminal or bytes that are no text. It is shown as it is
written, and does nothing. Only csv files are read again by canthus: what `csv_cell` adds, `csv_value` takes off.

Kept free of torch and of what draws, so that every command can import it quickly.
"""

import csv
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from canthus.utils.files import replacing

if TYPE_CHECKING:  # rich takes a moment to import, and only those who print need it
    from rich.console import Console

__all__ = [
    "Markdown",
    "console",
    "csv_cell",
    "csv_value",
    "figure_text",
    "markdown",
    "markdown_block",
    "markdown_code",
    "markdown_link",
    "one_line",
    "plain_logs",
    "visible",
    "writing_csv",
]

_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]"
)
"""Controls, marks that turn the direction of writing, separators of lines, and halves of surrogate pairs."""
_BREAKS = re.compile("[\t-\r\x1c-\x1e\x85\u2028\u2029]+")
_MARKS = re.compile(r"[\\`*\[\]~|$&<>]|_+|:(?=//)|(?<=www)\.", re.IGNORECASE)
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_BLOCK = re.compile(r"[-+](?=\s|$)|#{1,6}(?=\s|$)|-{2,}$|=+$|(?P<number>\d{1,9})(?=[.)](?:\s|$))")
_FORMULA = re.compile("'*(?:[\t\r\n]|\\s*[=+\\-@\uff1d\uff0b\uff0d\uff20])")
"""What a spreadsheet may run, with any apostrophes before it; the last four are the same signs in full width."""
_NUMBER = re.compile(r"[-+](?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+](?:inf|nan)")


def visible(text: object) -> str:
    r"""A text with nothing in it that moves a cursor, turns the writing or cannot be encoded: ``\x1b``, ``\u202e``.

    Line breaks and tabs are written out, too.
    """
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), str(text))


def one_line(text: object) -> str:
    """A text on one line: its breaks become blanks, what else is hidden becomes `visible`. For pages of any kind."""
    return visible(_BREAKS.sub(" ", str(text)).strip(" "))


# -- Markdown --------------------------------------------------------------------------------------------------------


class Markdown(str):
    """A text that is Markdown already; `markdown` leaves it alone."""

    __slots__ = ()


def markdown(text: object) -> Markdown:
    """A text in a paragraph, a heading, a list, a table or a link's words, none of which is markup.

    Underscores between letters or digits mark nothing and stay bare: ``inter_ocular``.
    """
    if isinstance(text, Markdown):
        return text
    line = one_line(text)
    marked = _MARKS.sub(lambda found: _escaped_mark(line, found), line)
    if block := _BLOCK.match(marked):
        place = block.end() if block["number"] else 0
        marked = f"{marked[:place]}\\{marked[place:]}"
    return Markdown(marked)


def _escaped_mark(line: str, found: re.Match[str]) -> str:
    mark = found[0]
    if mark[0] == "_":
        before, after = line[: found.start()][-1:], line[found.end() :][:1]
        return mark if before.isalnum() and after.isalnum() else mark.replace("_", r"\_")
    return _ENTITIES.get(mark, f"\\{mark}")


def markdown_code(text: object) -> Markdown:
    """A text as a code span, outside of tables."""
    line = one_line(text)
    fence = _fence(line, 1)
    pad = " " if line[:1] == "`" or line[-1:] == "`" else ""
    return Markdown(f"{fence}{pad}{line}{pad}{fence}" if line else "")


def markdown_block(text: object, language: str = "") -> Markdown:
    """Lines as a code block."""
    lines = "\n".join(map(visible, str(text).rstrip().split("\n")))
    fence = _fence(lines, 3)
    return Markdown(f"{fence}{language}\n{lines}\n{fence}")


def _fence(text: str, least: int) -> str:
    """Backticks, more of them than the text has in a row."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    return "`" * max(least, longest + 1)


def markdown_link(words: object, target: str | PurePath) -> Markdown:
    """A link to a file; the target is a path relative to the page, whatever characters it holds."""
    path = PurePath(target).as_posix()
    return Markdown(f"[{markdown(words)}]({quote(path.encode('utf-8', 'surrogateescape'))})")


# -- csv -------------------------------------------------------------------------------------------------------------


def csv_cell(value: object) -> object:
    """A cell that a spreadsheet shows and does not run: an apostrophe goes before what looks like a formula.

    Numbers stay as they are, negative ones too. `csv_value` gives the text back.
    """
    return f"'{value}" if isinstance(value, (str, PurePath)) and _is_formula(str(value)) else value


def csv_value(cell: str) -> str:
    """The text that `csv_cell` made a cell of."""
    return cell[1:] if cell[:1] == "'" and _is_formula(cell) else cell


def _is_formula(text: str) -> bool:
    return _FORMULA.match(text) is not None and _NUMBER.fullmatch(text) is None


@contextmanager
def writing_csv(path: Path) -> Iterator[Callable[[Iterable[object]], object]]:
    r"""Write a csv file for people, whole or not at all: UTF-8, each cell as `csv_cell` has it.

    Names of files that are not UTF-8 are written out, as ``\udce9``: the file itself is valid everywhere.

    Yields:
        What writes a row.
    """
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        writer = csv.writer(file)
        yield lambda row: writer.writerow([csv_cell(value) for value in row])


# -- console, log and figures ----------------------------------------------------------------------------------------


def console(**options: Any) -> "Console":
    """A console on which texts are texts: no markup, no emoji names, no control characters.

    Tables made of strings are covered: their cells, headings and titles come through it. Colours are given as styles.

    Args:
        **options: of `rich.console.Console`.
    """
    return _plain_console()(highlight=False, **options)


@cache
def _plain_console() -> "type[Console]":
    from rich.console import Console
    from rich.text import Text

    class PlainConsole(Console):
        def render_str(self, text: str, *args: Any, **options: Any) -> Text:
            options |= {"markup": False, "emoji": False}
            shown = visible(text).encode(self.encoding, "backslashreplace").decode(self.encoding)
            return super().render_str(shown, *args, **options)

    return PlainConsole


class _PlainFormatter(logging.Formatter):
    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self.inner = inner

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(map(visible, self.inner.format(record).split("\n")))


def plain_logs() -> None:
    """Let the log's handlers, screen and train.log, write out control characters; a message keeps its lines."""
    for handler in logging.getLogger().handlers:
        if not isinstance(handler.formatter, _PlainFormatter):
            handler.setFormatter(_PlainFormatter(handler.formatter or logging.Formatter()))


def figure_text(text: object) -> str:
    """A text in a figure of matplotlib, where dollars are no formula, and a legend keeps what begins with ``_``."""
    line = one_line(text).replace("$", r"\$")
    return f" {line}" if line.startswith("_") else line
