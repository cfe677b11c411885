"""The five-point sets of the authors of the DCNN cascade: LFW and images from the web.

Source: Sun, Wang, Tang, "Deep Convolutional Network Cascade for Facial Point Detection", CVPR 2013, and its archives:
``lfw_5590/``, ``net_7876/``, ``trainImageList.txt`` and, for validation, ``testImageList.txt``. A line is the path with
BACKSLASHES, the box of the authors' detector as left, RIGHT, TOP, bottom, then ``x y`` of the eyes, the nose and the
mouth corners, the image's left first. Of the test archive, ``lfpw_test_249_bbox.txt`` lists boxes without points.

Coordinates are used as they stand, from 0, as public readers do; the authors do not say. The LFPW pictures are in 300-W
too: never train on one and test on the other.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from canthus.data.face import UNLABELLED, VISIBLE, Face, Reader
from canthus.data.readers.boxes import check_choice, checked_box, tight_box
from canthus.data.readers.folders import existing_root, missing
from canthus.data.readers.lists import Images, check_count, numbers, text_lines, unknown_part
from canthus.utils.errors import DataError


@dataclass(frozen=True)
class _List:
    """One list: where it may lie, how many lines it has, how many numbers follow the path."""

    paths: tuple[str, ...]
    faces: int
    numbers: int


_PARTS = {
    "train": _List(("trainImageList.txt", "train/trainImageList.txt"), 10_000, 14),
    "val": _List(("testImageList.txt", "train/testImageList.txt"), 3_466, 14),
    "lfpw_test": _List(("lfpw_test_249_bbox.txt", "test/lfpw_test_249_bbox.txt"), 249, 4),
}

_LFW = re.compile(r"lfw_5590/(?P<name>.+)_\d{4}\.\w+")


class LFWNet(Reader):
    """Reads ``train``, ``val`` and ``lfpw_test``, whose five points are not labelled.

    Attributes:
        root: folder that holds the lists, or their folders ``train`` and ``test``.
        allow_partial: accept shorter lists, and leave out faces whose image is missing.
        box: ``"detector"``, the boxes of the lists, or ``"gt"``, the tight box of the points.
    """

    scheme = "5"
    experimental = "coordinates count from 0; boxes are left, right, top, bottom"

    def __init__(
        self, root: str | Path, *, allow_partial: bool = False, box: Literal["detector", "gt"] = "detector"
    ) -> None:
        check_choice("box", box, {"detector": "box of the lists", "gt": "tight box of the points"})
        self.root = Path(root)
        self.allow_partial = allow_partial
        self.box = box

    def faces(self, parts: Sequence[str]) -> list[Face]:
        """Read the named lists, in their order.

        Args:
            parts: ``"train"``, ``"val"``, ``"lfpw_test"``.

        Raises:
            DataError: missing root, list or image; a damaged line; another number of lines than published.
        """
        existing_root(self.root)
        return [face for part in parts for face in self._part(part)]

    def _part(self, name: str) -> list[Face]:
        part = _PARTS.get(name)
        if part is None:
            raise unknown_part("The LFW/Net set", name, _PARTS)
        path = next((self.root / file for file in part.paths if (self.root / file).is_file()), None)
        if path is None:
            raise missing(self.root, part.paths, "name other lists in data.train_parts and data.test_parts")
        if self.box == "gt" and part.numbers == 4:
            raise DataError(f"{path}: lists boxes without points; set data.box=detector for {name}")
        lines = list(text_lines(path))
        places = [f"{path}:{number}" for number, _ in lines]
        rows = [_row(place, line, part.numbers) for place, (_, line) in zip(places, lines, strict=True)]
        check_count(path, "faces", len(rows), part.faces, self.allow_partial)
        files = Images(path.parent).locate([row[0] for row in rows], places.__getitem__, self.allow_partial)
        faces = []
        for place, (image, box, points), file in zip(places, rows, files, strict=True):
            if file is not None:
                labelled = part.numbers == 14
                person = _LFW.fullmatch(image)
                faces.append(
                    Face(
                        image=file,
                        landmarks=points,
                        visibility=np.full(5, VISIBLE if labelled else UNLABELLED, dtype=np.uint8),
                        box=checked_box(place, tight_box(points) if self.box == "gt" else box),
                        scheme=self.scheme,
                        photo=image.rpartition(".")[0],
                        part=name,
                        identity=person["name"] if person else None,
                    )
                )
        return faces


def _row(place: str, line: str, count: int) -> tuple[str, NDArray[np.float64], NDArray[np.float64]]:
    """Path with forward slashes, box ``xyxy`` and points (5, 2) of a line."""
    tokens = line.rsplit(maxsplit=count)
    if len(tokens) != 1 + count:
        raise DataError(f"{place}: {len(tokens)} columns where a path and {count} numbers are expected; restore it")
    meaning = "left right top bottom" + (" and x y of five points" if count == 14 else "")
    values = numbers(place, tokens[1:], meaning)
    points = values[4:].reshape(-1, 2) if count == 14 else np.full((5, 2), np.nan)
    return tokens[0].replace("\\", "/"), values[[0, 2, 1, 3]], points
