"""BioID: 1521 grey images of 23 people, with eye positions and 20 points of a later markup.

Source: Jesorsky, Kirchberg, Frischholz, "Robust Face Detection Using the Hausdorff Distance", AVBPA 2001, and the
archives as unpacked: ``BioID_NNNN.pgm``, ``BioID_NNNN.eye`` (a comment line, then ``LX LY RX RY``; left is the PERSON's
left, the image's right) and ``points_20/bioid_NNNN.pts`` (lower case).

Five of the twenty points make the faces of scheme 5: pupils 0 and 1, nose tip 14, mouth corners 2 and 3. The markup
begins with the person's right, the image's left. The tight box of all twenty, which include temples, brows and chin,
is the box: the set has none. All files are taken to count pixels from 0, the ``.pts`` too.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from canthus.data.face import UNLABELLED, VISIBLE, Face, Reader
from canthus.data.readers.boxes import check_choice, checked_box, tight_box
from canthus.data.readers.folders import existing_root, missing
from canthus.data.readers.lists import check_count, numbers, text_lines, unknown_part
from canthus.data.readers.pts import read_pts
from canthus.utils.errors import DataError

_FACES = 1521
_NAME = re.compile(r"bioid_\d{4}", re.IGNORECASE)
_FIVE = [0, 1, 14, 2, 3]
# Boxes from the eyes alone: a square of this many pupil distances, the eyes this share from its top.
_EYE_BOX_SIDE, _EYE_BOX_ABOVE = 2.2, 0.4


class BioID(Reader):
    """Reads ``bioid``. The archives do not say who is on which image, so each image stands for itself.

    Attributes:
        root: folder that holds the ``.pgm`` files, and ``points_20`` there.
        allow_partial: accept fewer than 1521 faces.
        points: ``"points_20"``, five of the twenty points, or ``"eye"``, the pupils of the ``.eye`` files; nose and
            mouth are not labelled then, and the box is a square of 2.2 pupil distances that holds the eyes at 40 % of
            its height.
    """

    scheme = "5"
    experimental = "all files count pixels from 0, the .pts too; the markup begins with the person's right"

    def __init__(
        self, root: str | Path, *, allow_partial: bool = False, points: Literal["points_20", "eye"] = "points_20"
    ) -> None:
        check_choice("points", points, {"points_20": "five of the 20 points", "eye": "pupils of the .eye files"})
        self.root = Path(root)
        self.allow_partial = allow_partial
        self.points = points

    def faces(self, parts: Sequence[str]) -> list[Face]:
        """Read all faces, in the order of their numbers.

        Args:
            parts: ``"bioid"``.

        Raises:
            DataError: missing root or label; a damaged label; another number of images than published.
        """
        existing_root(self.root)
        for part in parts:
            if part != "bioid":
                raise unknown_part("BioID", part, ["bioid"])
        images = sorted(file for file in self.root.glob("*.pgm") if _NAME.fullmatch(file.stem))
        if not images:
            raise missing(self.root, ["BioID_0000.pgm"], "unpack the images")
        if self.points == "points_20" and not (self.root / "points_20").is_dir():
            raise missing(self.root, ["points_20"], "unpack the 20-point markup there, or set data.points=eye")
        check_count(self.root, "images", len(images), _FACES, self.allow_partial)
        return [self._face(image, part) for part in parts for image in images]

    def _face(self, image: Path, part: str) -> Face:
        if self.points == "eye":
            label = image.with_suffix(".eye")
            points = np.full((5, 2), np.nan)
            points[:2] = _eyes(label)
            box = _box_of_eyes(points[:2])
        else:
            label = image.parent / "points_20" / f"{image.stem.lower()}.pts"
            every = read_pts(label, 20) + 1.0  # the format counts from 1, these files do not
            points, box = every[_FIVE], tight_box(every)
        return Face(
            image=image,
            landmarks=points,
            visibility=np.where(np.isnan(points[:, 0]), UNLABELLED, VISIBLE).astype(np.uint8),
            box=checked_box(str(label), box),
            scheme=self.scheme,
            photo=image.stem.lower(),
            part=part,
        )


def _eyes(path: Path) -> NDArray[np.float64]:
    """Image-left and image-right pupil (2, 2)."""
    rows = [(number, line) for number, line in text_lines(path) if not line.startswith("#")]
    if len(rows) != 1 or len(rows[0][1].split()) != 4:
        raise DataError(f"{path}: is not one comment line and one line LX LY RX RY; replace it by the official file")
    number, line = rows[0]
    left_x, left_y, right_x, right_y = numbers(f"{path}:{number}", line.split(), "LX LY RX RY")
    if left_x <= right_x:
        raise DataError(
            f"{path}:{number}: the person's left eye ({left_x:g}) is not to the image's right of the right eye "
            f"({right_x:g}); restore the official file"
        )
    return np.array([[right_x, right_y], [left_x, left_y]])


def _box_of_eyes(eyes: NDArray[np.float64]) -> NDArray[np.float64]:
    side = _EYE_BOX_SIDE * float(np.linalg.norm(eyes[1] - eyes[0]))
    corner = eyes.mean(axis=0) - side * np.array([0.5, _EYE_BOX_ABOVE])
    return np.concatenate([corner, corner + side])
