"""CelebA: five points on 202,599 images of celebrities, unaligned.

Source: Liu et al., "Deep Learning Face Attributes in the Wild", ICCV 2015; the lists as distributed, in the root or in
``Anno`` and ``Eval``: ``list_landmarks_celeba.txt`` and ``list_bbox_celeba.txt`` (number of images, names of the
columns, then a name and its numbers), ``list_eval_partition.txt`` (no header; 0, 1, 2 for train, valid, test) and,
where present, ``identity_CelebA.txt``.

Only the unaligned images (``img_celeba``) are read: the boxes hold on these alone, and on the aligned ones the
labels hardly vary, so that they measure nothing. Points and boxes count from 0; left is the image's left.
"""

from collections.abc import Mapping, Sequence
from logging import getLogger
from pathlib import Path
from typing import Literal

import numpy as np

from canthus.data.face import VISIBLE, Face, Reader
from canthus.data.readers.boxes import check_choice, checked_box, tight_box
from canthus.data.readers.celeba_lists import Table, read_attributes, read_headed, read_plain
from canthus.data.readers.folders import existing_root, missing
from canthus.data.readers.lists import Images, check_count, numbers, unknown_part
from canthus.utils.errors import DataError

log = getLogger(__name__)

_PARTS = {"train": ("0", 162_770), "valid": ("1", 19_867), "test": ("2", 19_962)}
_FOLDERS = ("img_celeba", "Img/img_celeba")
_POINTS = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
_BOX = ("x_1", "y_1", "width", "height")


class CelebA(Reader):
    """Reads ``train``, ``valid`` and ``test`` of the official partition.

    Attributes:
        root: folder that holds the lists, or ``Anno``, ``Eval`` and ``Img``, with the images in ``img_celeba``.
        allow_partial: accept a shorter partition, and leave out faces whose image is missing.
        box: ``"official"``, the boxes of the list, of which those without an area are left out with their faces and
            counted in the log, or ``"gt"``, the tight box of the points.
        attributes: columns of ``list_attr_celeba.txt`` to read, such as ``Eyeglasses``; each makes a subset of faces.
    """

    scheme = "5"
    experimental = "points and boxes count from 0; left is the image's left"

    def __init__(
        self,
        root: str | Path,
        *,
        allow_partial: bool = False,
        box: Literal["official", "gt"] = "official",
        attributes: Sequence[str] | None = None,
    ) -> None:
        check_choice("box", box, {"official": "list_bbox_celeba.txt", "gt": "tight box of the points"})
        self.root = Path(root)
        self.allow_partial = allow_partial
        self.box = box
        self.attributes = attributes

    def faces(self, parts: Sequence[str]) -> list[Face]:
        """Read the named parts, in the order of the partition list.

        Args:
            parts: ``"train"``, ``"valid"``, ``"test"``.

        Raises:
            DataError: missing root, list or image; a list of another length than published or than it announces;
                a damaged line.
        """
        existing_root(self.root)
        for part in parts:
            if part not in _PARTS:
                raise unknown_part("CelebA", part, _PARTS)
        partition_path = self._list("list_eval_partition.txt", "Eval")
        partition = read_plain(partition_path, 1)
        for name, (line, (code,)) in partition.items():
            if code not in ("0", "1", "2"):
                raise DataError(f"{partition_path}:{line}: {name} is in partition {code!r}, not 0, 1 or 2; restore it")
        points_path = self._list("list_landmarks_celeba.txt", "Anno")
        points = read_headed(points_path, tuple(f"{name}_{axis}" for name in _POINTS for axis in "xy"))
        boxes_path = self._list("list_bbox_celeba.txt", "Anno") if self.box == "official" else None
        boxes = read_headed(boxes_path, _BOX) if boxes_path else None
        named = None
        if self.attributes:
            named = read_attributes(self._list("list_attr_celeba.txt", "Anno"), self.attributes)
        labels = _Labels(points_path, points, boxes_path, boxes, self._identities(), named)
        folder = next((self.root / name for name in _FOLDERS if (self.root / name).is_dir()), None)
        if folder is None:
            raise missing(self.root, _FOLDERS, "unpack the unaligned images")
        images = Images(folder)
        faces: list[Face] = []
        for part in parts:
            code, official = _PARTS[part]
            places = {
                name: f"{partition_path}:{line}" for name, (line, tokens) in partition.items() if tokens == [code]
            }
            check_count(partition_path, f"images of {part}", len(places), official, self.allow_partial)
            names = list(places)
            files = images.locate(names, list(places.values()).__getitem__, self.allow_partial)
            found = {name: file for name, file in zip(names, files, strict=True) if file is not None}
            made = [labels.face(places[name], name, file, part) for name, file in found.items()]
            faces += [face for face in made if face is not None]
            if None in made:
                lacking = made.count(None)
                log.warning("%s: %d boxes of %s have no area; their faces are left out", boxes_path, lacking, part)
        return faces

    def _list(self, name: str, folder: str) -> Path:
        paths = (name, f"{folder}/{name}")
        path = next((self.root / path for path in paths if (self.root / path).is_file()), None)
        if path is None:
            raise missing(self.root, paths, "fetch the list (that of the aligned images does not replace it)")
        return path

    def _identities(self) -> Table:
        paths = [self.root / folder / "identity_CelebA.txt" for folder in (".", "Anno")]
        path = next((path for path in paths if path.is_file()), None)
        return read_plain(path, 1) if path else {}


class _Labels:
    """The lists by name of the image."""

    def __init__(
        self,
        points_path: Path,
        points: Table,
        boxes_path: Path | None,
        boxes: Table | None,
        identities: Table,
        attributes: Mapping[str, frozenset[str]] | None,
    ) -> None:
        self.points_path, self.points = points_path, points
        self.boxes_path, self.boxes = boxes_path, boxes
        self.identities = identities
        self.attributes = attributes

    def face(self, place: str, name: str, file: Path, part: str) -> Face | None:
        """Give the face of an image, or ``None`` where its box has no area."""
        if name not in self.points or (self.boxes is not None and name not in self.boxes):
            lacking = self.boxes_path if name in self.points else self.points_path
            raise DataError(f"{place}: {name} is not in {lacking}; use the official lists")
        if self.attributes is not None and name not in self.attributes:
            raise DataError(f"{place}: {name} is not in list_attr_celeba.txt; use the official lists")
        line, tokens = self.points[name]
        where = f"{self.points_path}:{line}"
        points = numbers(where, tokens, "x y of five points").reshape(5, 2)
        if self.boxes is None:
            box = checked_box(where, tight_box(points))
        else:
            line, tokens = self.boxes[name]
            x, y, width, height = numbers(f"{self.boxes_path}:{line}", tokens, "x y width height")
            if width <= 0 or height <= 0:
                return None
            box = np.array([x, y, x + width, y + height])
        person = self.identities.get(name)
        return Face(
            image=file,
            landmarks=points,
            visibility=np.full(5, VISIBLE, dtype=np.uint8),
            box=box,
            scheme=CelebA.scheme,
            photo=name.rpartition(".")[0],
            part=part,
            attributes=self.attributes[name] if self.attributes is not None else frozenset(),
            identity=person[1][0] if person else None,
        )
