"""The box lists of WIDER FACE and the five-point labels that RetinaFace added to them.

``wider_face_<part>_bbx_gt.txt``: the path of an image, the number of its faces, then a line each of ten integers.
Their order is ``x y w h blur expression illumination INVALID OCCLUSION POSE``; some readers name the last three
differently. An image without faces is followed by one line of ten zeros all the same, which is no face.

``label.txt``: ``# path``, then a line per face: ``x y w h``, five times ``x y flag`` (image-left eye first), a quality.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from canthus.data.face import OCCLUDED, UNLABELLED, VISIBLE
from canthus.data.images import IMAGE_SUFFIXES
from canthus.data.readers.blocks import REPLACE, read_blocks
from canthus.data.readers.lists import numbers, text_lines
from canthus.utils.errors import DataError

FLAGS = {"blur": 2, "expression": 1, "illumination": 1, "invalid": 1, "occlusion": 2, "pose": 1}
"""Name of a column after the box -> its highest value."""

FivePoints = tuple[NDArray[np.float64], NDArray[np.uint8]]
"""Landmarks (5, 2) and visibility (5,)."""


@dataclass(frozen=True)
class Listed:
    """An image: its line and path, and per face the line, the box ``x y w h`` and the flags."""

    line: int
    name: str
    faces: list[tuple[int, NDArray[np.float64], dict[str, int]]]


def read_boxes(path: Path) -> list[Listed]:
    """Read a box list.

    Raises:
        DataError: no such file; a line that is not what its place asks for; a value out of the range of its column.
    """
    blocks = read_blocks(path, lambda line: line.lower().endswith(IMAGE_SUFFIXES), null_row=" ".join("0" * 10))
    return [
        Listed(block.line, block.name, [(number, *_row(f"{path}:{number}", row)) for number, row in block.rows])
        for block in blocks
    ]


def _row(place: str, row: str) -> tuple[NDArray[np.float64], dict[str, int]]:
    tokens = row.split()
    if len(tokens) != 10:
        raise DataError(f"{place}: {len(tokens)} numbers where a face has 10; {REPLACE}")
    values = numbers(place, tokens, "ten whole numbers")
    flags = {}
    for column, (name, highest) in enumerate(FLAGS.items(), 5):
        value = values[column - 1]
        if value not in range(highest + 1):
            raise DataError(
                f"{place}: column {column} ({name}) is {tokens[column - 1]}, not 0 to {highest}; the order is x y w h "
                f"{' '.join(FLAGS)}; {REPLACE}"
            )
        flags[name] = int(value)
    return values[:4], flags


def read_points(path: Path) -> dict[str, dict[tuple[float, ...], list[FivePoints]]]:
    """Read RetinaFace's labels: path of an image -> box ``x y w h`` -> points of the faces with that box.

    A face whose first x is negative is not labelled. A line of four numbers is a box alone. Flag 0 means visible; what
    the others mean is not published, they are taken as occluded.

    Raises:
        DataError: no such file; a face before the first path; a line of another length, or a token that is no number.
    """
    labels: dict[str, dict[tuple[float, ...], list[FivePoints]]] = {}
    current = None
    for number, line in text_lines(path):
        if line.startswith("#"):
            current = labels.setdefault(line[1:].strip(), {})
            continue
        tokens = line.split()
        if current is None or len(tokens) not in (4, 20):
            problem = "a face before the first '# path'" if current is None else f"{len(tokens)} numbers, not 20"
            raise DataError(f"{path}:{number}: {problem}; {REPLACE}")
        values = numbers(f"{path}:{number}", tokens, "x y w h, five times x y flag, quality")
        points = np.full((5, 2), np.nan)
        visibility = np.full(5, UNLABELLED, dtype=np.uint8)
        if len(values) == 20 and values[4] >= 0:
            triples = values[4:19].reshape(5, 3)
            points = triples[:, :2].copy()
            visibility = np.where(triples[:, 2] == 0, VISIBLE, OCCLUDED).astype(np.uint8)
        current.setdefault(tuple(values[:4]), []).append((points, visibility))
    return labels
