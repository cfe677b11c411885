"""WFLW: 98 points, six conditions and a detector's rectangle per face, on images of WIDER FACE.

Source: Wu et al., "Look at Boundary", CVPR 2018, and its archives ``WFLW_images`` and ``WFLW_annotations``. A line of
``list_98pt_rect_attr_{train,test}.txt`` holds 207 columns: x and y of 98 points, the rectangle's corners, six flags and
the image. The lists in ``list_98pt_test`` hold the points and the image only and are not needed: the flags
say the same. Every point is labelled; a flag tells that a face is occluded, but not where.

Decisions where the authors say nothing: coordinates count from 0, as every public reader takes them, the careful ones
included. Points outside the image are kept.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from canthus.data.face import VISIBLE, Face, Reader
from canthus.data.readers.boxes import check_choice, checked_box, tight_box
from canthus.data.readers.folders import existing_root, missing
from canthus.data.readers.lists import Images, check_count, numbers, text_lines, unknown_part
from canthus.utils.errors import DataError

CONDITIONS = ("pose", "expression", "illumination", "makeup", "occlusion", "blur")
"""Attributes in the order of their columns; 1 is the hard case."""

_FACES = {"train": 7500, "test": 2500}
# Of the test list; those of the training list were not published.
_TEST_CONDITIONS = dict(zip(CONDITIONS, (326, 314, 698, 206, 736, 773), strict=True))
_FOLDERS = ("WFLW_annotations/list_98pt_rect_attr_train_test", "list_98pt_rect_attr_train_test", ".")
_COLUMNS = 2 * 98 + 4 + len(CONDITIONS) + 1
_COLUMNS_WITHOUT_RECT = 2 * 98 + 1


class WFLW(Reader):
    """Reads the training and the test list.

    Several faces share an image, whose path is the key ``photo``; ``extra["line"]`` tells them apart.

    Attributes:
        root: folder that holds ``WFLW_images`` and ``WFLW_annotations``.
        allow_partial: accept fewer faces than the official ones, and leave out those whose image is missing.
        box: ``"gt"``, the tight box of the points, or ``"detector"``, the list's rectangle, which may be much smaller
            than the extent of the points.
    """

    scheme = "98"
    experimental = "coordinates count from 0"

    def __init__(self, root: str | Path, *, allow_partial: bool = False, box: Literal["gt", "detector"] = "gt") -> None:
        check_choice("box", box, {"gt": "tight box of the points", "detector": "rectangle of the list"})
        self.root, self.allow_partial, self.box = Path(root), allow_partial, box

    def faces(self, parts: Sequence[str]) -> list[Face]:
        """Read the named lists, in their order.

        Args:
            parts: ``"train"``, ``"test"``.

        Raises:
            DataError: missing root, list or image; another number of faces, or of test faces under a condition,
                than published; a damaged line.
        """
        existing_root(self.root)
        return [face for part in parts for face in self._part(part)]

    def _part(self, part: str) -> list[Face]:
        if part not in _FACES:
            raise unknown_part("WFLW", part, _FACES)
        wanted = [f"{folder}/list_98pt_rect_attr_{part}.txt".removeprefix("./") for folder in _FOLDERS]
        path = next((self.root / file for file in wanted if (self.root / file).is_file()), None)
        if path is None:
            raise missing(self.root, wanted[:1], "unpack WFLW_annotations")
        rows = [_Row(path, line, text) for line, text in text_lines(path)]
        check_count(path, "faces", len(rows), _FACES[part], self.allow_partial)
        if part == "test" and not self.allow_partial:
            _check_conditions(path, rows)
        folder = self.root / "WFLW_images"
        if not folder.is_dir():
            raise missing(self.root, [folder.name], f"unpack the images that {path.name} lists")
        names = [row.name for row in rows]
        images = Images(folder).locate(names, lambda i: rows[i].place, self.allow_partial)
        return [self._face(row, image, part) for row, image in zip(rows, images, strict=True) if image is not None]

    def _face(self, row: "_Row", image: Path, part: str) -> Face:
        box = row.rectangle if self.box == "detector" else tight_box(row.points)
        return Face(
            image=image,
            landmarks=row.points,
            visibility=np.full(98, VISIBLE, dtype=np.uint8),
            box=checked_box(row.place, box),
            scheme=self.scheme,
            photo=row.name,
            part=part,
            attributes=row.conditions,
            extra={"line": row.line},
        )


class _Row:
    """One line of a list, checked.

    Attributes:
        place: file and line, for messages.
        line: number from 1.
        points: (98, 2).
        rectangle: (4,) xyxy as listed.
        conditions: those whose flag is 1.
        name: of the image, below ``WFLW_images``.
    """

    def __init__(self, path: Path, line: int, text: str) -> None:
        self.place, self.line = f"{path}:{line}", line
        columns: list[Any] = text.split(maxsplit=_COLUMNS - 1)  # the last column is a path and keeps its blanks
        if len(columns) != _COLUMNS:
            hint = "restore the line from the official file"
            if len(columns) == _COLUMNS_WITHOUT_RECT:
                hint = "this is a line of list_98pt_test, without rectangle and flags; use list_98pt_rect_attr_*.txt"
            raise DataError(f"{self.place}: {len(columns)} columns where WFLW has {_COLUMNS}; {hint}")
        self.points = numbers(self.place, columns[:196], "coordinates of 98 points").reshape(98, 2)
        self.rectangle = numbers(self.place, columns[196:200], "corners of a rectangle")
        flags, self.name = columns[200:206], columns[206].replace("\\", "/")
        if not set(flags) <= {"0", "1"}:
            raise DataError(f"{self.place}: {' '.join(flags)!r} are not six flags of 0 and 1; restore the line")
        self.conditions = frozenset(name for name, flag in zip(CONDITIONS, flags, strict=True) if flag == "1")


def _check_conditions(path: Path, rows: Sequence[_Row]) -> None:
    """Assert the published sizes of the test subsets: columns in another order would show here only."""
    found = Counter(name for row in rows for name in row.conditions)
    for name, official in _TEST_CONDITIONS.items():
        if found[name] != official:
            raise DataError(
                f"{path}: {found[name]} faces under {name!r} where {official} are published; use the official list, "
                "or set data.allow_partial=true"
            )
