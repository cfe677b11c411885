"""COFW-68: the 507 test faces of COFW in the 68-point markup, with the occlusion of every point.

Source: Ghiasi and Fowlkes, "Occlusion coherence", 2015, and the repository of the COFW68 benchmark:
``test_annotations/<k>_points.mat`` with ``Points`` (68 x 2) and ``Occ`` (1 x 68, 1 for occluded), k from 1 in the order
of COFW's test file, which holds the images; ``cofw68_test_bboxes.mat`` with x, y, width and height, made by a
detector in the style of 300-W's.

Nobody says whether the points count from 0 or 1. They are taken to count from 1, as all of COFW and the benchmark's own
MATLAB code do; ``first_pixel=0`` reads them as they are, which is what SPIGA does. The two differ by one pixel in x and
y, and so do predictions of a model that was trained on the other. Negative coordinates are points outside the
image.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from canthus.data.face import Face
from canthus.data.readers.boxes import check_choice, checked_box, tight_box
from canthus.data.readers.cofw import FACES, corners_of_rectangle, images_of, visibility_of
from canthus.data.readers.folders import existing_root, missing
from canthus.data.readers.lists import check_count, unknown_part
from canthus.data.readers.mat import load_arrays
from canthus.data.readers.mat73 import CellImages, cell_path, cells, opened
from canthus.utils.errors import DataError

_FOLDERS = (".", "COFW68_Data")
_LABEL = re.compile(r"(\d+)_points\.mat")


class COFW68(CellImages):
    """Reads the one part ``test``.

    Attributes:
        root: folder that holds ``test_annotations``.
        cofw: folder that holds ``COFW_test_color.mat``; the root by default.
        allow_partial: accept fewer labels than 507.
        box: ``"gt"``, the tight box of all 68 points, or ``"detector"``, those of ``cofw68_test_bboxes.mat``.
        first_pixel: what the files call the first pixel, 1 or 0.
    """

    scheme = "68"
    experimental = "points count from 1 (data.first_pixel=0: from 0)"

    def __init__(
        self,
        root: str | Path,
        *,
        cofw: str | Path | None = None,
        allow_partial: bool = False,
        box: Literal["gt", "detector"] = "gt",
        first_pixel: int = 1,
    ) -> None:
        check_choice("box", box, {"gt": "tight box of the points", "detector": "cofw68_test_bboxes.mat"})
        check_choice("first_pixel", str(first_pixel), {"1": "MATLAB's count", "0": "take nothing off"})
        self.root, self.cofw = Path(root), Path(root if cofw is None else cofw)
        self.allow_partial, self.box, self.first_pixel = allow_partial, box, first_pixel

    def faces(self, parts: Sequence[str]) -> list[Face]:
        """Read the labels, in the order of their numbers.

        Args:
            parts: ``"test"``.

        Raises:
            DataError: missing root, folder, box file or COFW; another number of labels than published; a label without
                image or box; a damaged file.
        """
        existing_root(self.root)
        return [face for part in parts for face in self._part(part)]

    def _part(self, part: str) -> list[Face]:
        if part != "test":
            raise unknown_part("COFW-68", part, ["test"])
        folder = self._found("test_annotations")
        labels = sorted((int(match[1]), file) for file in folder.iterdir() if (match := _LABEL.fullmatch(file.name)))
        check_count(folder, "labels (<k>_points.mat)", len(labels), FACES["test"], self.allow_partial)
        images = images_of(existing_root(self.cofw), "test")
        with opened(images) as file:
            count = len(cells(file, "IsT"))
        _check_numbers(labels, count, images)
        boxes = None
        if self.box == "detector":
            path = self._found("cofw68_test_bboxes.mat")
            boxes = load_arrays(path, {"bboxes": (-1, 4)})["bboxes"]
            _check_numbers(labels, len(boxes), path)
        return [self._face(number, file, images, boxes) for number, file in labels]

    def _found(self, name: str) -> Path:
        path = next((self.root / folder / name for folder in _FOLDERS if (self.root / folder / name).exists()), None)
        if path is None or path.is_dir() != (not path.suffix):
            raise missing(self.root, [name], "unpack the COFW68 benchmark")
        return path

    def _face(self, number: int, file: Path, images: Path, boxes: NDArray[np.float64] | None) -> Face:
        label = load_arrays(file, {"Points": (68, 2), "Occ": (1, 68)})
        points, occluded = label["Points"] - self.first_pixel, label["Occ"][0]
        box = tight_box(points) if boxes is None else corners_of_rectangle(boxes[number - 1], self.first_pixel)
        image = cell_path(images, "IsT", number)
        return Face(
            image=image,
            landmarks=points,
            visibility=visibility_of(str(file), occluded),
            box=checked_box(str(file) if boxes is None else f"{file}: bboxes({number}, :)", box),
            scheme=self.scheme,
            photo=f"test/{image.name}",
            part="test",
        )


def _check_numbers(labels: Sequence[tuple[int, Path]], count: int, path: Path) -> None:
    """Check that every label has an entry in a file that goes by the labels' numbers."""
    for number, file in labels:
        if not 1 <= number <= count:
            raise DataError(
                f"{file}: {path} has entries 1 to {count} and none for {number}; restore that file or remove this one"
            )
