"""AFLW-19: 24,386 faces of AFLW with 19 points, in the split that papers test on.

Source: Zhu et al., "Unconstrained Face Alignment via Cascaded Compositional Learning", CVPR 2016, and its list
``AFLWinfo_release.mat``: ``nameList`` (N x 1 cell of paths inside ``flickr``), ``data`` (N x 38: 19 x, then 19 y),
``bbox`` (N x 4, columns left, RIGHT, TOP, bottom), ``mask_new`` (N x 19, 1 = visible) and ``ra``, a permutation that
counts from 1: its first 20,000 entries train, the other 4386 test.

The points are AFLW's without the ears. People filled in the invisible ones, so that all are labelled: ``VISIBLE`` where
the mask says so, ``OCCLUDED`` elsewhere. Coordinates count from 0, as in AFLW.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from canthus.data.face import OCCLUDED, VISIBLE, Face, Reader
from canthus.data.readers.boxes import check_choice, checked_box, tight_box
from canthus.data.readers.folders import existing_root, missing
from canthus.data.readers.lists import Images, check_count, unknown_part
from canthus.data.readers.mat import load_arrays, load_variables
from canthus.utils.errors import DataError

_FILE = "AFLWinfo_release.mat"
_FACES, _TRAIN = 24_386, 20_000
# counted with the mask in the official list (FaRL, 3FabRec); pages of the data set say 1165 without a definition
_FRONTAL_BY_MASK = 1314
_PARTS = ("train", "test", "test_frontal")
_IMAGES = ("flickr", "data/flickr")
_REPLACE = "replace the file by the official one"


class AFLW19(Reader):
    """Reads ``train`` (20,000), ``test`` (4386) and its subset ``test_frontal``.

    Attributes:
        root: folder that holds ``AFLWinfo_release.mat`` and AFLW's ``flickr`` or ``data/flickr``.
        allow_partial: leave out faces whose image is missing. The list must be whole: the permutation is part of
            the benchmark.
        box: ``"official"``, the square boxes of the list, or ``"gt"``, the tight box of the points.
        frontal: what ``test_frontal`` and the attribute ``frontal`` mean, as papers differ. ``"mask"``: all points
            visible, 1314 test faces. ``"inside"``: and all points strictly inside the box of the list, as for SAN.
    """

    scheme = "19"
    experimental = "coordinates count from 0, as in AFLW; boxes are left, right, top, bottom"

    def __init__(
        self,
        root: str | Path,
        *,
        allow_partial: bool = False,
        box: Literal["official", "gt"] = "official",
        frontal: Literal["mask", "inside"] = "mask",
    ) -> None:
        check_choice("box", box, {"official": "box of the list", "gt": "tight box of the points"})
        check_choice("frontal", frontal, {"mask": "all points visible", "inside": "and strictly inside the box"})
        self.root = Path(root)
        self.allow_partial = allow_partial
        self.box = box
        self.frontal = frontal

    def faces(self, parts: Sequence[str]) -> list[Face]:
        """Read the named parts, each in the order of the permutation.

        Args:
            parts: ``"train"``, ``"test"``, ``"test_frontal"``. The last is part of ``"test"``, whose frontal faces
                carry the attribute ``frontal`` too.

        Raises:
            DataError: missing root, list or image; a list that is damaged or not the official one.
        """
        existing_root(self.root)
        for part in parts:
            if part not in _PARTS:
                raise unknown_part("AFLW-19", part, _PARTS)
        path = self.root / _FILE
        if not path.is_file():
            raise missing(self.root, [_FILE], "fetch the list of the benchmark")
        folder = next((self.root / name for name in _IMAGES if (self.root / name).is_dir()), None)
        if folder is None:
            raise missing(self.root, _IMAGES, "unpack AFLW's images there")
        names = _names(path)
        check_count(path, "faces", len(names), _FACES, False)
        n = len(names)
        table = load_arrays(path, {"data": (n, 38), "bbox": (n, 4), "mask_new": (n, 19), "ra": (1, n)})
        order = table["ra"][0] - 1
        if not np.array_equal(np.sort(order), np.arange(n)):
            raise DataError(f"{path}: ra is not a permutation of 1 to {n}; {_REPLACE}")
        if not np.isin(table["mask_new"], (0, 1)).all():
            row = int(np.flatnonzero(~np.isin(table["mask_new"], (0, 1)).all(axis=1))[0])
            raise DataError(f"{path}: row {row + 1} of mask_new holds other values than 0 and 1; {_REPLACE}")
        rows = order.astype(np.int64)
        images = Images(folder)
        return [face for part in parts for face in self._part(path, part, rows, names, table, images)]

    def _part(
        self,
        path: Path,
        part: str,
        order: NDArray[np.int64],
        names: list[str],
        table: dict[str, NDArray[np.float64]],
        images: Images,
    ) -> list[Face]:
        points = table["data"].reshape(-1, 2, 19).transpose(0, 2, 1)
        boxes = table["bbox"][:, [0, 2, 1, 3]]  # left, right, top, bottom on disk
        seen = table["mask_new"] == 1
        frontal = seen.all(axis=1)
        if self.frontal == "inside":
            inside = (points > boxes[:, None, :2]) & (points < boxes[:, None, 2:])
            frontal &= inside.all(axis=(1, 2))
        rows = order[:_TRAIN] if part == "train" else order[_TRAIN:]
        if part == "test_frontal":
            rows = rows[frontal[rows]]
            if self.frontal == "mask":
                check_count(path, "frontal test faces", len(rows), _FRONTAL_BY_MASK, False)
        listed = [names[row] for row in rows]
        files = images.locate(listed, lambda i: f"{path}: row {rows[i] + 1} of nameList", self.allow_partial)
        faces = []
        for row, file in zip(rows.tolist(), files, strict=True):
            if file is None:
                continue
            box = boxes[row] if self.box == "official" else tight_box(points[row])
            faces.append(
                Face(
                    image=file,
                    landmarks=points[row].copy(),
                    visibility=np.where(seen[row], VISIBLE, OCCLUDED).astype(np.uint8),
                    box=checked_box(f"{path}: row {row + 1} of {'bbox' if self.box == 'official' else 'data'}", box),
                    scheme=self.scheme,
                    photo=f"flickr/{names[row].rpartition('.')[0].lower()}",
                    part=part,
                    attributes=frozenset({"frontal"} if frontal[row] else ()),
                )
            )
        return faces


def _names(path: Path) -> list[str]:
    """Paths of the images, with forward slashes."""
    cells = load_variables(path, ("nameList",))["nameList"]
    try:
        return [str(cell[0]).replace("\\", "/") for cell in cells[:, 0]]
    except (TypeError, IndexError) as error:
        raise DataError(f"{path}: nameList is not a column of names ({error}); {_REPLACE}") from error
