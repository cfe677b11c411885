"""The columns of people's own csv labels: found by their names in the header, read from a row."""

import difflib
import math
import re
from collections.abc import Mapping
from logging import getLogger
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from canthus.data.face import UNLABELLED, VISIBLE
from canthus.data.readers.lists import strange_number
from canthus.utils.errors import DataError

log = getLogger(__name__)

BOX = ("box_x1", "box_y1", "box_x2", "box_y2")
_WORDS = ("image", "part", "photo", "identity", "attributes", *BOX)


class Columns:
    """Where a file has what.

    Attributes:
        at: name of a column -> its place.
        points: places of x0, y0, x1, ...
        codes: places of v0, v1, ...; empty where there are none.
        boxes: places of the box's corners; empty where there are none.
    """

    def __init__(self, path: Path, header: list[str], num_landmarks: int) -> None:
        names = [name.strip().lower() for name in header]
        if len(names) == 1 and re.search(r"[;\t]", names[0]):
            raise DataError(f"{path}:1: columns are not separated by commas; save the file with commas")
        self.path, self.width = path, len(names)
        self.at = {name: i for i, name in enumerate(names)}
        doubled = sorted({name for name in names if name and names.count(name) > 1})
        if doubled:
            raise DataError(f"{path}:1: column {doubled[0]} occurs more than once; remove one")
        points = [f"{axis}{i}" for i in range(num_landmarks) for axis in "xy"]
        codes = [f"v{i}" for i in range(num_landmarks)]
        remedy = f"add it, or set data.label_scheme to the scheme of the labels (now of {num_landmarks} points)"
        self._need(["image", *points], remedy)
        self.points = [self.at[name] for name in points]
        self.codes = self._optional(codes, "give visibility for all points or none")
        self.boxes = self._optional(list(BOX), "give all four corners or none")
        self._check_others({*_WORDS, *points, *codes}, num_landmarks)

    def check(self, place: str, row: list[str]) -> None:
        """Check that a row has as many cells as the header."""
        if len(row) != self.width:
            raise DataError(f"{place}: {len(row)} cells where the header has {self.width}; restore the row")

    def word(self, row: list[str], name: str) -> str:
        """Give the text of an optional column, empty where there is none."""
        return row[self.at[name]].strip() if name in self.at else ""

    def landmarks(self, place: str, row: list[str]) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        """Points (K, 2), NaN where not labelled, and visibility (K,)."""
        cells = [row[i].strip() for i in self.points]
        empty = np.array([not cell for cell in cells]).reshape(-1, 2)
        if self.codes:
            codes = _numbers(place, {f"v{i}": row[at] for i, at in enumerate(self.codes)})
            bad = np.flatnonzero(~np.isin(codes, (0, 1, 2)))
            if bad.size:
                raise DataError(f"{place}: v{bad[0]} is {codes[bad[0]]:g}, not 0, 1 or 2; correct the cell")
            visibility = codes.astype(np.uint8)
        else:
            visibility = np.where(empty.all(axis=1), UNLABELLED, VISIBLE).astype(np.uint8)
        lacking = np.flatnonzero(empty.any(axis=1) & (visibility > 0))
        if lacking.size:
            i = lacking[0]
            raise DataError(
                f"{place}: x{i} or y{i} is empty; fill both, or empty both (v{i} = 0) if it is not labelled"
            )
        unlabelled = np.repeat(visibility == 0, 2)
        points = np.full(2 * len(visibility), np.nan)
        labelled = np.flatnonzero(~unlabelled)
        points[labelled] = _numbers(place, {f"{'xy'[i % 2]}{i // 2}": cells[i] for i in labelled})
        return points.reshape(-1, 2), visibility

    def box(self, place: str, row: list[str]) -> NDArray[np.float64]:
        """Corners (4,) of the face box."""
        box = _numbers(place, {name: row[at] for name, at in zip(BOX, self.boxes, strict=True)})
        if (box[2:] <= box[:2]).any():
            corners = ", ".join(f"{value:g}" for value in box)
            raise DataError(
                f"{place}: the box ({corners}) is not x1 < x2, y1 < y2; correct {', '.join(BOX)}, or set data.box=gt"
            )
        return box

    def _need(self, names: list[str], remedy: str) -> None:
        lacking = [name for name in names if name not in self.at]
        if lacking:
            more = f" (and {len(lacking) - 1} more)" if len(lacking) > 1 else ""
            raise DataError(f"{self.path}:1: the header lacks the column {lacking[0]}{more}; {remedy}")

    def _optional(self, names: list[str], remedy: str) -> list[int]:
        if not any(name in self.at for name in names):
            return []
        self._need(names, remedy)
        return [self.at[name] for name in names]

    def _check_others(self, known: set[str], num_landmarks: int) -> None:
        others = [name for name in self.at if name not in known]
        for name in others:
            if re.fullmatch(r"[xyv]\d+", name):
                raise DataError(
                    f"{self.path}:1: column {name} is beyond the {num_landmarks} points of the scheme; set "
                    "data.label_scheme to the scheme of the labels"
                )
            near = difflib.get_close_matches(name, _WORDS, n=1, cutoff=0.8)
            if near:
                raise DataError(f"{self.path}:1: column {name!r} is not known, did you mean {near[0]!r}? rename it")
        if others:
            log.warning("%s: ignores the columns %s", self.path, ", ".join(others))


def _numbers(place: str, cells: Mapping[str, str]) -> NDArray[np.float64]:
    """Convert cells, given by the names of their columns."""
    values = []
    for name, cell in cells.items():
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or strange_number([cell]) is not None:
            raise DataError(f"{place}: {name} is {cell!r}, not a number; correct the cell")
        values.append(value)
    return np.array(values, dtype=np.float64)
