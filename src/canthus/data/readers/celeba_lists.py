"""The text lists of CelebA."""

import difflib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from canthus.data.readers.lists import text_lines
from canthus.utils.errors import DataError

Table = dict[str, tuple[int, list[str]]]
"""Name of an image -> line in the file and the tokens after the name."""


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
        raise DataError(f"{path}:{number}: {announced!r} is not the number of images; restore the first two lines")
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


def read_attributes(path: Path, wanted: Sequence[str]) -> dict[str, frozenset[str]]:
    """Read ``list_attr_celeba.txt``, whose columns hold 1 or -1: name of an image -> attributes that hold.

    Args:
        path: the file.
        wanted: names of columns.

    Raises:
        DataError: as for `read_headed`; a column that is not there; a cell that is neither 1 nor -1.
    """
    lines = [line.split() for _, line in itertools.islice(text_lines(path), 2)]
    columns = [name for name in (lines[1] if len(lines) > 1 else []) if name != "image_id"]
    absent = [name for name in wanted if name not in columns]
    if absent:
        near = difflib.get_close_matches(absent[0], columns, n=1, cutoff=0.0)
        raise DataError(f"{path}:2: no attribute {absent[0]!r}, nearest {near}; set data.attributes to columns of it")
    places = {name: columns.index(name) for name in wanted}
    found = {}
    for image, (line, tokens) in read_headed(path, tuple(columns)).items():
        strange = next((token for token in tokens if token not in ("1", "-1")), None)
        if strange is not None:
            raise DataError(f"{path}:{line}: {strange!r} where attributes are 1 or -1; restore the line")
        found[image] = frozenset(name for name, place in places.items() if tokens[place] == "1")
    return found


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
