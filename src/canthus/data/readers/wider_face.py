"""WIDER FACE: 32,203 images with 393,703 face boxes, for detection; five points where RetinaFace labelled them.

Source: Yang et al., "WIDER FACE: A Face Detection Benchmark", CVPR 2016; the archives as unpacked:
``wider_face_split/wider_face_<part>_bbx_gt.txt`` and ``WIDER_<part>/images/<event>/<name>.jpg``. RetinaFace's
``label.txt`` (Deng et al., 2019) may lie in ``<part>``, ``retinaface/<part>`` or ``retinaface_gt_v1.1/<part>``. Boxes
``x y w h`` count from 0 and become ``x, y, x + w, y + h``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from logging import getLogger
from pathlib import Path

import numpy as np

from canthus.data.face import UNLABELLED, Face, Reader, WholeImage
from canthus.data.readers.folders import existing_root, missing
from canthus.data.readers.lists import Images, check_count, unknown_part
from canthus.data.readers.wider_difficulty import read_difficulties
from canthus.data.readers.wider_lists import FivePoints, Listed, read_boxes, read_points
from canthus.utils.errors import DataError

log = getLogger(__name__)


@dataclass(frozen=True)
class _Part:
    images: int
    boxes: int
    invalid: int | None = None


# the number of invalid boxes was counted in the official list of val: it tells whether the columns are read right
_PARTS = {"train": _Part(12_880, 159_424), "val": _Part(3_226, 39_708, invalid=585)}
_POINT_FOLDERS = ("retinaface/{}", "retinaface_gt_v1.1/{}", "{}")
_NAMES = {"blur": ("blur_normal", "blur_heavy"), "occlusion": ("occlusion_partial", "occlusion_heavy")}


class WiderFace(Reader):
    """Reads ``train`` and ``val``; no labels of ``test`` were published.

    Attributes name the conditions of a face: ``blur_normal``, ``blur_heavy``, ``expression``, ``illumination``,
    ``invalid``, ``occlusion_partial``, ``occlusion_heavy``, ``pose``.

    ``easy``, ``medium`` and ``hard`` name the levels of the official evaluation that a face of ``val`` counts in, where
    its ``.mat`` files lie in ``wider_face_split`` or ``eval_tools/ground_truth``.

    Boxes without width or height are left out and counted in the log. Images without faces give no face, but
    are among the `images`.

    Attributes:
        root: folder that holds ``wider_face_split``, ``WIDER_train`` and ``WIDER_val``.
        allow_partial: accept shorter lists, and leave out faces whose image is missing.
        drop_invalid: leave out the faces that are marked invalid, as one does for training; counted in the log.
    """

    scheme = "5"
    experimental = "boxes count from 0 and end at x + width, y + height"

    def __init__(self, root: str | Path, *, allow_partial: bool = False, drop_invalid: bool = False) -> None:
        self.root = Path(root)
        self.allow_partial = allow_partial
        self.drop_invalid = drop_invalid

    def faces(self, parts: Sequence[str]) -> list[Face]:
        """Read the named parts, in the order of their lists.

        Args:
            parts: ``"train"``, ``"val"``.

        Raises:
            DataError: missing root, list or image; another number of images or boxes than published; a
                damaged line.
        """
        existing_root(self.root)
        return [face for part in parts for face in self._part(part)]

    def whole_images(self, parts: Sequence[str]) -> list[WholeImage]:
        """Also those in which nobody is labelled; faces marked invalid are ignored there, found or not.

        Raises:
            DataError: see `faces`.
        """
        own = {whole.image: whole for whole in super().whole_images(parts)}
        listed: list[WholeImage] = []
        for name in parts:
            path, folder = self._places(name)
            entries = read_boxes(path)
            lines = [f"{path}:{entry.line}" for entry in entries]
            names = [entry.name for entry in entries]
            files = Images(folder).locate(names, lines.__getitem__, self.allow_partial)
            for entry, image in zip(entries, files, strict=True):
                if image is not None:
                    listed.append(own.get(image) or WholeImage(image, _photo(name, entry.name), name))
        return [
            replace(photo, ignored=np.array(["invalid" in face.attributes for face in photo.faces], dtype=np.bool_))
            for photo in listed
        ]

    def _places(self, name: str) -> tuple[Path, Path]:
        """List and folder of a part."""
        return self.root / f"wider_face_split/wider_face_{name}_bbx_gt.txt", self.root / f"WIDER_{name}" / "images"

    def _part(self, name: str) -> list[Face]:
        part = _PARTS.get(name)
        if part is None:
            raise unknown_part("WIDER FACE", name, _PARTS)
        path, folder = self._places(name)
        if not path.is_file():
            raise missing(self.root, [str(path.relative_to(self.root))], "unpack the annotations there")
        if not folder.is_dir():
            raise missing(self.root, [f"WIDER_{name}/images"], "unpack the images there")
        listed = read_boxes(path)
        self._check_counts(path, part, listed)
        points = self._points(name)
        levels = read_difficulties(self.root, listed, self.allow_partial) if name == "val" else {}
        files = Images(folder).locate(
            [entry.name for entry in listed], lambda i: f"{path}:{listed[i].line}", self.allow_partial
        )
        faces: list[Face] = []
        empty = invalid = rowless = 0
        for entry, image in zip(listed, files, strict=True):
            if image is None:
                continue
            by_box = points.get(entry.name, {})
            for place, (number, box, flags) in enumerate(entry.faces):
                # taken off the list even where the face is left out, so that equal boxes keep their order
                labels = by_box.get(tuple(box))
                label = labels.pop(0) if labels else None
                rowless += label is None
                if (box[2:] <= 0).any():
                    empty += 1
                elif flags["invalid"] and self.drop_invalid:
                    invalid += 1
                else:
                    corners = np.append(box[:2], box[:2] + box[2:])
                    named = _conditions(flags) | levels.get((entry.name, place), set())
                    faces.append(_face(image, entry.name, name, number, corners, named, label))
        if empty:
            log.warning("%s: %d boxes have no width or height and are left out", path, empty)
        if invalid:
            log.info("%s: %d invalid boxes are left out (data.drop_invalid=true)", path, invalid)
        unmatched = sum(len(labels) for by_box in points.values() for labels in by_box.values())
        if points:
            labelled = sum(bool(face.visibility.any()) for face in faces)
            log.info("%s: %d of %d faces have five points", path, labelled, len(faces))
        if points and rowless:
            log.warning("%s: %d faces have no row in RetinaFace's label.txt; compare its size", path, rowless)
        if unmatched:
            log.warning("%s: %d faces of RetinaFace's label.txt match no box of an image at hand", path, unmatched)
        return faces

    def _check_counts(self, path: Path, part: _Part, listed: list[Listed]) -> None:
        check_count(path, "images", len(listed), part.images, self.allow_partial)
        boxes = sum(len(entry.faces) for entry in listed)
        # the published number of train may count the lines of zeros of images without faces
        faceless = sum(not entry.faces for entry in listed)
        check_count(path, "boxes", boxes, boxes if boxes + faceless == part.boxes else part.boxes, self.allow_partial)
        invalid = sum(flags["invalid"] for entry in listed for _, _, flags in entry.faces)
        if part.invalid is not None and boxes == part.boxes and invalid != part.invalid:
            raise DataError(
                f"{path}: {invalid} boxes are marked invalid where the official list has {part.invalid}; its columns "
                "are in another order, replace it by the official one"
            )

    def _points(self, name: str) -> dict[str, dict[tuple[float, ...], list[FivePoints]]]:
        paths = [self.root / folder.format(name) / "label.txt" for folder in _POINT_FOLDERS]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            log.info("%s: no label.txt of RetinaFace for %s, so that no face has landmarks", self.root, name)
        return read_points(path) if path else {}


def _photo(part: str, name: str) -> str:
    return f"{part}/{name.rpartition('.')[0]}"


def _conditions(flags: dict[str, int]) -> set[str]:
    return {_NAMES[flag][value - 1] if flag in _NAMES else flag for flag, value in flags.items() if value}


def _face(
    image: Path, name: str, part: str, line: int, box: np.ndarray, named: set[str], label: FivePoints | None
) -> Face:
    points, visibility = label or (np.full((5, 2), np.nan), np.full(5, UNLABELLED, dtype=np.uint8))
    return Face(
        image=image,
        landmarks=points,
        visibility=visibility,
        box=box,
        scheme=WiderFace.scheme,
        photo=_photo(part, name),
        part=part,
        attributes=frozenset(named),
        extra={"line": line},
    )
