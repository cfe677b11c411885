"""COFW: 29 points and their occlusion, images and labels in one MATLAB file per part.

Source: Burgos-Artizzu et al., "Robust face landmark estimation under occlusion", ICCV 2013, and its files
``COFW_{train,test}_color.mat``; the grey ``COFW_{train,test}.mat`` are read where those are missing. Of ``phis``, a row
holds x of 29 points, then y, then 29 flags, 1 for occluded; of ``bboxes`` x, y, width and height.

MATLAB counts pixels from 1: points and the corner of the box lose 1 here. Widths are taken as x2 - x1. (HRNet and
PIPNet leave the points at 1, MMPose takes 1 off the points and not off the box.) 845 of the training images are
LFPW's, which are part of 300-W too: a run that trains on one should not test on the other.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from canthus.data.face import OCCLUDED, VISIBLE, Face
from canthus.data.readers.boxes import check_choice, checked_box, tight_box
from canthus.data.readers.folders import existing_root, missing
from canthus.data.readers.lists import check_count, unknown_part
from canthus.data.readers.mat73 import CellImages, cell_path, cells, matrix, opened
from canthus.utils.errors import DataError

FACES = {"train": 1345, "test": 507}
_SUFFIX = {"train": "Tr", "test": "T"}


class COFW(CellImages):
    """Reads the training and the test file; one face per image.

    Attributes:
        root: folder that holds ``COFW_train_color.mat`` and ``COFW_test_color.mat``.
        allow_partial: accept files with fewer faces than the official ones.
        box: ``"gt"``, the tight box of all 29 points, or ``"detector"``, the file's ``bboxes``.
    """

    scheme = "29"
    experimental = "points and boxes count from 1; widths of boxes are x2 - x1"

    def __init__(self, root: str | Path, *, allow_partial: bool = False, box: Literal["gt", "detector"] = "gt") -> None:
        check_choice("box", box, {"gt": "tight box of the points", "detector": "bboxes of the file"})
        self.root, self.allow_partial, self.box = Path(root), allow_partial, box

    def faces(self, parts: Sequence[str]) -> list[Face]:
        """Read the named parts, in the order of the files.

        Args:
            parts: ``"train"``, ``"test"``.

        Raises:
            DataError: missing root or file; another number of faces than published, or of images and boxes than of
                faces; a damaged file; a value that cannot be.
        """
        existing_root(self.root)
        return [face for part in parts for face in self._part(part)]

    def _part(self, part: str) -> list[Face]:
        if part not in FACES:
            raise unknown_part("COFW", part, FACES)
        path = images_of(self.root, part)
        suffix = _SUFFIX[part]
        with opened(path) as file:
            labels, boxes = matrix(file, f"phis{suffix}", 87), matrix(file, f"bboxes{suffix}", 4)
            images = len(cells(file, f"Is{suffix}"))
        check_count(path, "faces", len(labels), FACES[part], self.allow_partial)
        for what, found in (("images", images), ("boxes", len(boxes))):
            if found != len(labels):
                raise DataError(f"{path}: {found} {what} for {len(labels)} faces; replace the file by the official one")
        pairs = zip(labels, boxes, strict=True)
        return [self._face(path, part, number, *pair) for number, pair in enumerate(pairs, 1)]

    def _face(
        self, path: Path, part: str, number: int, label: NDArray[np.float64], rectangle: NDArray[np.float64]
    ) -> Face:
        x, y, occluded = label.reshape(3, 29)
        points = np.stack([x, y], axis=1) - 1
        detected = corners_of_rectangle(rectangle, first_pixel=1)
        box = detected if self.box == "detector" else tight_box(points)
        place = f"{path}: face {number}"
        image = cell_path(path, f"Is{_SUFFIX[part]}", number)
        return Face(
            image=image,
            landmarks=points,
            visibility=visibility_of(place, occluded),
            box=checked_box(place, box),
            scheme=self.scheme,
            photo=f"{part}/{image.name}",
            part=part,
        )


def images_of(root: Path, part: str) -> Path:
    """Find the file of a part, in colour if there is one.

    Raises:
        DataError: there is neither.
    """
    names = (f"COFW_{part}_color.mat", f"COFW_{part}.mat")
    path = next((root / name for name in names if (root / name).is_file()), None)
    if path is None:
        raise missing(root, names, "unpack COFW")
    return path


def visibility_of(place: str, occluded: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Turn occlusion flags (K,) into visibility codes; every point is labelled.

    Raises:
        DataError: a flag that is neither 0 nor 1; the message begins with the place.
    """
    bad = np.flatnonzero(~np.isin(occluded, (0, 1)))
    if bad.size:
        raise DataError(
            f"{place}: the occlusion of point {bad[0]} is {occluded[bad[0]]:g}, not 0 or 1; replace the file by the "
            "official one"
        )
    return np.where(occluded == 1, OCCLUDED, VISIBLE).astype(np.uint8)


def corners_of_rectangle(rectangle: NDArray[np.float64], first_pixel: int) -> NDArray[np.float64]:
    """Turn x, y, width, height into (4,) xyxy that counts from 0.

    Args:
        rectangle: (4,) as stored.
        first_pixel: what the file calls the first pixel.
    """
    corner = rectangle[:2] - first_pixel
    return np.concatenate([corner, corner + rectangle[2:]])
