"""Detection lists in blocks: the path of an image, the number of its faces, then a line per face."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from canthus.data.readers.lists import text_lines
from canthus.utils.errors import DataError

REPLACE = "replace the file by the official one"


@dataclass(frozen=True)
class Block:
    """An image of a list: line and path, and of its faces the lines with their numbers."""

    line: int
    name: str
    rows: list[tuple[int, str]]


def read_blocks(path: Path, is_path: Callable[[str], bool], null_row: str | None = None) -> list[Block]:
    """Divide a list into blocks.

    Args:
        path: the file.
        is_path: whether a line can be the path of an image.
        null_row: what follows a number of faces of 0 all the same, with single blanks; it is no face.

    Raises:
        DataError: no such file, or a line that is not what its place asks for.
    """
    lines = list(text_lines(path))
    blocks, i = [], 0
    while i < len(lines):
        line, name = lines[i]
        if not is_path(name):
            raise DataError(
                f"{path}:{line}: {name!r} stands where the path of an image is expected; the number of faces above "
                f"it is wrong, or lines are missing; {REPLACE}"
            )
        number, announced = lines[i + 1] if i + 1 < len(lines) else (line + 1, "the end of the file")
        if not (announced.isascii() and announced.isdecimal()) or len(announced) > 6:
            raise DataError(
                f"{path}:{number}: {announced!r} where the number of faces of {name} is expected; {REPLACE}"
            )
        count, first = int(announced), i + 2
        rows = lines[first : first + count]
        stray = next((k for k, (_, row) in enumerate(rows) if is_path(row)), None)
        if stray is not None:
            raise DataError(
                f"{path}:{rows[stray][0]}: {rows[stray][1]!r} stands where face {stray + 1} of {count} of {name} is "
                f"expected; the number of faces is wrong, or lines are missing; {REPLACE}"
            )
        if len(rows) < count:
            end = lines[-1][0]
            raise DataError(f"{path}:{end}: the file ends after {len(rows)} of {count} faces of {name}; {REPLACE}")
        blocks.append(Block(line, name, rows))
        i = first + count
        if count == 0 and null_row and i < len(lines) and " ".join(lines[i][1].split()) == null_row:
            i += 1
    return blocks
