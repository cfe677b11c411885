"""The text lists of CelebA."""

from collections.abc import Iterator
from pathlib import Path

from canthus.data.face import DataError
from canthus.data.readers.lists import text_lines

Table = dict[str, tuple[int, list[str]]]
"""Name of a photograph -> line in the file and the tokens after the name."""


def read_plain(path: Path, columns: int) -> Table:
    """Read a list without header: a name and its tokens, separated by runs of blanks.

    Raises:
        DataError: no such file, a row of another length, a name that occurs twice.
    """
    return _table(path, text_lines(path), columns)


def read_headed(path: Path, names: tuple[str, ...]) -> Table:
    """Read a list that begins with the number of its rows and the names of its columns.

    Args:
        path: the file.
        names: of the columns; a leading ``image_id`` in the file is accepted.

    Raises:
        DataError: as for `read_plain`; another header; another number of rows than announced.
    """
    lines = list(text_lines(path))
    number, announced = lines[0]
    if not announced.isdecimal():
        raise DataError(f"{path}:{number}: {announced!r} is not the number of photographs; restore the first two lines")
    header = lines[1][1].split() if len(lines) > 1 else []
    if [name for name in header if name != "image_id"] != list(names):
        raise DataError(
            f"{path}:2: the columns are {' '.join(header)!r}, not {' '.join(names)!r}; use the official file"
        )
    table = _table(path, iter(lines[2:]), len(names))
    if str(len(table)) != announced.lstrip("0"):
        raise DataError(
            f"{path}:{lines[-1][0]}: {len(table)} rows end here, line 1 announces {announced}; the file is incomplete, "
            "replace it by the official one"
        )
    return table


def _table(path: Path, lines: Iterator[tuple[int, str]], columns: int) -> Table:
    table: Table = {}
    for number, line in lines:
        name, *tokens = line.split()
        if len(tokens) != columns:
            raise DataError(
                f"{path}:{number}: {len(tokens)} columns follow the name where {columns} are expected; restore the line"
            )
        if name in table:
            raise DataError(f"{path}:{number}: {name} was already on line {table[name][0]}; remove one of the lines")
        table[name] = number, tokens
    return table
