"""300-W: HELEN, LFPW, AFW and iBUG in the 68-point markup, and the private test set.

Source: Sagonas et al., "300 Faces In-The-Wild Challenge: database and results", IVC 2016, and the archives of the
challenge site. Every point of every face is labelled; occlusion is not.
"""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from canthus.data.face import VISIBLE, Face, Reader
from canthus.data.images import IMAGE_SUFFIXES
from canthus.data.readers.folders import existing_root, listing, missing
from canthus.data.readers.pts import read_pts
from canthus.data.readers.w300_boxes import detector_boxes
from canthus.utils.errors import DataError


@dataclass(frozen=True)
class _Part:
    """What is official about a part.

    Attributes:
        folders: where it may lie.
        faces: how many there are.
        images: from how many images, where several faces share one; then names end in ``_<number>``.
        boxes: stem of its file of detector boxes, where one was published.
    """

    folders: tuple[str, ...]
    faces: int
    images: int | None = None
    boxes: str | None = None


# Faces: challenge site. Images: name stems without the number of the face, counted in the official archives.
_PARTS = {
    "afw": _Part(("afw",), 337, 185, "afw"),
    "helen/trainset": _Part(("helen/trainset",), 2000, 1825, "helen_trainset"),
    "helen/testset": _Part(("helen/testset",), 330, 298, "helen_testset"),
    "lfpw/trainset": _Part(("lfpw/trainset",), 811, boxes="lfpw_trainset"),
    "lfpw/testset": _Part(("lfpw/testset",), 224, boxes="lfpw_testset"),
    "ibug": _Part(("ibug",), 135, boxes="ibug"),
    "300W/01_Indoor": _Part(("300W/01_Indoor", "Test/01_Indoor"), 300),
    "300W/02_Outdoor": _Part(("300W/02_Outdoor", "Test/02_Outdoor"), 300),
}
# some mirrors call the parent of the private set Test
_ALIASES = {"Test/01_Indoor": "300W/01_Indoor", "Test/02_Outdoor": "300W/02_Outdoor"}
_FACE_NUMBER = re.compile(r"_\d+$")


class W300(Reader):
    """Reads parts of 300-W in the official layout.

    Images and labels belong together by their names, in which blanks do not count: the archives hold
    ``image_092 _01.jpg``, some mirrors ``image_092_01.jpg``.

    Attributes:
        root: folder that holds ``afw``, ``helen`` and so on.
        allow_partial: accept parts with fewer faces than the official ones.
        box: ``"gt"``, the tight box of the points, or ``"detector"``, the official detector boxes from
            ``bounding_boxes_<set>.mat`` in the root or its folder ``bounding_boxes``.
    """

    scheme = "68"

    def __init__(self, root: str | Path, *, allow_partial: bool = False, box: Literal["gt", "detector"] = "gt") -> None:
        if box not in ("gt", "detector"):
            raise DataError(
                f"data.box is {box!r}; choose 'gt' (tight box of the points) or 'detector' (official boxes)"
            )
        self.root = Path(root)
        self.allow_partial = allow_partial
        self.box = box

    def faces(self, parts: Sequence[str]) -> list[Face]:
        """Read the named parts, in order; within a part in the order of file names.

        Args:
            parts: folders as distributed, such as ``"helen/trainset"``.

        Raises:
            DataError: missing root, part or box; an image without label or the reverse; another number of faces or
                images than published; a damaged label.
        """
        existing_root(self.root)
        return [face for part in parts for face in self._part(part)]

    def published(self, parts: Sequence[str]) -> dict[str, int]:
        """Faces of the official archives."""
        found = {name: _PARTS.get(_ALIASES.get(name, name)) for name in parts}
        return {name: part.faces for name, part in found.items() if part}

    def _part(self, name: str) -> list[Face]:
        part = _PARTS.get(_ALIASES.get(name, name))
        if part is None:
            near = difflib.get_close_matches(name, _PARTS, n=1, cutoff=0.0)[0]
            raise DataError(
                f"300-W has no part {name!r}, nearest {near!r}; data.train_parts and data.test_parts name any of: "
                f"{', '.join(_PARTS)}"
            )
        folder = next((self.root / path for path in part.folders if (self.root / path).is_dir()), None)
        if folder is None:
            raise missing(self.root, part.folders, "name other folders in data.train_parts and data.test_parts")
        images, labels = _pair(folder)
        self._check_count(folder, "faces", len(images), part.faces)
        photos = {key: f"{name}/{_FACE_NUMBER.sub('', key) if part.images else key}" for key in images}
        if part.images and not self.allow_partial:
            self._check_count(folder, "images", len(set(photos.values())), part.images)
        boxes = detector_boxes(self.root, name, part.boxes, images) if self.box == "detector" else None
        visibility = np.full(68, VISIBLE, dtype=np.uint8)
        faces = []
        for key, image in images.items():
            points = read_pts(labels[key], 68)
            box: NDArray[np.float64] = np.concatenate([points.min(0), points.max(0)]) if boxes is None else boxes[key]
            faces.append(Face(image, points, visibility.copy(), box, self.scheme, photos[key], part=name))
        return faces

    def _check_count(self, folder: Path, what: str, found: int, official: int) -> None:
        if found == official or (self.allow_partial and 0 < found < official):
            return
        if found == 0:
            remedy = f"it holds {listing(folder)}; check that the archive was unpacked"
        elif found > official:
            remedy = "remove what is not part of the official archive (mirrored copies, files of another part)"
        else:
            remedy = "complete the folder, or set data.allow_partial=true to work with what is there"
        raise DataError(f"{folder}: {found} {what} where the official part has {official}; {remedy}")


def _pair(folder: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Match the images and labels of a folder by name without blanks; both are in the order of names."""
    # names that start with a dot are what macOS leaves beside the files of an archive
    files = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    images = _by_name(file for file in files if file.suffix.lower() in IMAGE_SUFFIXES)
    labels = _by_name(file for file in files if file.suffix.lower() == ".pts")
    for have, other, lacks in ((images, labels, "label (.pts)"), (labels, images, "image")):
        lone = sorted(have.keys() - other.keys())
        if lone:
            more = f" (and {len(lone) - 1} more like it)" if len(lone) > 1 else ""
            raise DataError(f"{have[lone[0]]}: has no {lacks} of the same name{more}; restore that or remove this file")
    return images, labels


def _by_name(files: Iterable[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in files:
        other = found.setdefault(file.stem.replace(" ", ""), file)
        if other is not file:
            raise DataError(f"{file}: has the name of {other.name}; remove the one that is not official")
    return found
