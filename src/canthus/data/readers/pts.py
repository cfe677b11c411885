"""The ``.pts`` landmark format, version 1, of 300-W, Menpo, 300VW and relatives.

    version: 1
    n_points:  68
    {
    212.587185 227.293134
    ...
    }

Files count pixels from 1 (the centre of the top-left pixel is ``(1, 1)``, as the 300-W challenge states); this module
is where that 1 is taken off and put back on.
"""

import math
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from canthus.utils.errors import DataError


def read_pts(path: Path, num_points: int | None = None) -> NDArray[np.float64]:
    """Read a ``.pts`` file.

    Line endings of any system, blank lines, any number of blanks and ``version: 1.0`` are accepted. Of each line the
    first two numbers count; what follows the closing brace is ignored.

    Args:
        path: the file.
        num_points: how many points there must be; ``None`` takes what the header says.

    Returns:
        Points (K, 2) as ``(x, y)``, pixel centres at integers from 0.

    Raises:
        DataError: naming file and line: no such file, no header, too few or too many points, a token that is not a
            finite number.
    """
    try:
        # bytes.splitlines knows \n, \r\n and \r only, so that line numbers agree with an editor's
        lines = [line.decode("ascii", "replace").strip() for line in Path(path).read_bytes().splitlines()]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); restore the file or remove its image") from error
    start, announced = _header(path, lines)
    if num_points is not None and announced != num_points:
        raise DataError(
            f"{path}:{start}: the header announces {announced} points where {num_points} are expected; "
            "replace the file by the official one, or read it with the data config of its own markup"
        )
    points: list[tuple[float, float]] = []
    for number, line in enumerate(lines[start:], start + 1):
        if line == "}":
            if len(points) != announced:
                raise DataError(
                    f"{path}:{number}: {len(points)} points end here, the header announces {announced}; {_REPLACE}"
                )
            _refuse_numbered(path, lines[start : number - 1], points)
            return np.array(points, dtype=np.float64).reshape(-1, 2) - 1.0
        if line:
            if len(points) == announced:
                raise DataError(f"{path}:{number}: {line!r} follows the last of {announced} points; {_REPLACE}")
            points.append(_point(path, number, line))
    raise DataError(
        f"{path}:{len(lines)}: the file ends after {len(points)} of {announced} points without a closing brace; "
        f"{_REPLACE}"
    )


def write_pts(path: Path, points: ArrayLike) -> None:
    """Write a ``.pts`` file in the official form, to a millionth of a pixel.

    Args:
        path: the file, replaced if it exists.
        points: (K, 2), pixel centres at integers from 0.

    Raises:
        DataError: the points do not have that shape or are not finite.
    """
    array = np.asarray(points, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 2:
        raise DataError(f"{path}: points of shape {array.shape} cannot be written; give (K, 2)")
    if not np.isfinite(array).all():
        bad = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise DataError(f"{path}: point {bad} is {array[bad]}; the format has no unlabelled points")
    rows = "".join(f"{x:.6f} {y:.6f}\n" for x, y in array + 1.0)
    Path(path).write_text(f"version: 1\nn_points:  {len(array)}\n{{\n{rows}}}\n", encoding="ascii", newline="\n")


_REPLACE = "the file is damaged, replace it by the official one"


def _header(path: Path, lines: list[str]) -> tuple[int, int]:
    """Find the number of lines up to and with the opening brace, and the number of points announced before it."""
    if not any(lines):
        raise DataError(f"{path}:1: the file is empty; {_REPLACE}")
    if "{" not in lines:
        raise DataError(f"{path}:1: no line with an opening brace, so this is no .pts file of version 1; {_REPLACE}")
    brace = lines.index("{")
    announced = None
    for number, line in enumerate(lines[:brace], 1):
        key, _, value = (part.strip() for part in line.partition(":"))
        if key == "version" and value not in {"1", "1.0"}:
            raise DataError(f"{path}:{number}: version {value!r} is not known; convert the file to version 1")
        if key == "n_points":
            if not value.isdecimal() or len(value) > 6 or int(value) == 0:
                raise DataError(f"{path}:{number}: n_points is {value!r}, not a number of points; {_REPLACE}")
            announced = int(value)
    if announced is None:
        raise DataError(f"{path}:{brace + 1}: no n_points before the opening brace: the header is missing; {_REPLACE}")
    return brace + 1, announced


def _refuse_numbered(path: Path, lines: list[str], points: list[tuple[float, float]]) -> None:
    """Refuse lines of three numbers of which the first counts the points: the number is not x."""
    xs = [x for x, _ in points]
    numbered = any(xs == list(range(first, first + len(xs))) for first in (0, 1))
    if numbered and all(len(line.split()) > 2 for line in lines if line):
        raise DataError(f"{path}: every line begins with the number of its point; leave these numbers out")


def _point(path: Path, number: int, line: str) -> tuple[float, float]:
    tokens = line.split()[:2]
    if len(tokens) < 2:
        raise DataError(f"{path}:{number}: {line!r} is not a pair of coordinates; {_REPLACE}")
    try:
        x, y = float(tokens[0]), float(tokens[1])
        if "_" in line:  # Python reads 1_0 as 10
            raise ValueError
    except ValueError:
        raise DataError(f"{path}:{number}: {line!r} is not a pair of numbers; {_REPLACE}") from None
    if not (math.isfinite(x) and math.isfinite(y)):
        raise DataError(f"{path}:{number}: {line!r} is not a position; {_REPLACE}, or leave this face out")
    return x, y
