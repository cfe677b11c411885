"""People's own labels in COCO's keypoint form: one json per part with ``images`` and ``annotations``.

Of an image, ``id`` and ``file_name`` count, and ``width`` and ``height``, where they are given, must be those of the
file; of an annotation, ``image_id``, ``keypoints`` (x, y, v for each point; v is 0 not labelled, 1 covered, 2 seen, the
codes of this package) and for ``box=detector`` ``bbox`` (x, y, width, height).
``identity`` and ``attributes`` (a list of names, or a mapping whose ``true`` entries hold) are read where they are
given. Where ``categories`` names the points, their order is that of the names (`coco_categories`). Annotations without
a labelled point, with a box alone, of other categories or of crowds (``iscrowd``) are no faces; they are counted in the
log.
"""

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from logging import getLogger
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from canthus.data.face import Face, Reader
from canthus.data.images import Exif
from canthus.data.readers.coco_annotations import Annotation, is_key, short
from canthus.data.readers.coco_categories import Categories
from canthus.data.readers.folders import existing_root, missing
from canthus.data.readers.lists import Images
from canthus.data.readers.own_labels import check_options, file_key, labelled_box, relative_name
from canthus.schemes import load_scheme
from canthus.utils.errors import DataError

log = getLogger(__name__)


class CocoKeypoints(Reader):
    """Reads json files in COCO's form; the part ``train`` is ``train.json`` in the root or its folder ``annotations``.

    Attributes:
        root: folder that holds the json files and the images.
        images: folder below the root that ``file_name`` starts from.
        scheme: of the points in the file, from ``label_scheme``.
        allow_partial: leave out faces whose image is missing.
        box: ``"gt"``, the tight box of the labelled points, or ``"detector"``, the annotations' ``bbox``.
        first_pixel: what the file calls the first pixel, 0 or 1.
        exif: ``"apply"``: the labels were made on images turned as their EXIF orientation asks, as browsers, labelling
            tools and OpenCV show them; ``"ignore"``: on the pixels as stored; ``None``: as the images' ``width`` and
            ``height`` tell, else as ``"apply"``, with a warning when images have an orientation.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        images: str = ".",
        label_scheme: str | int = "68",
        allow_partial: bool = False,
        box: Literal["gt", "detector"] = "gt",
        first_pixel: int = 0,
        exif: Exif | None = None,
    ) -> None:
        check_options(box, first_pixel, exif)
        self.exif = exif
        self._sizes: dict[Path, tuple[int, int]] = {}
        self.root, self.images, self.scheme = Path(root), images, load_scheme(label_scheme).name
        self.allow_partial, self.box, self.first_pixel = allow_partial, box, first_pixel

    def faces(self, parts: Sequence[str]) -> list[Face]:
        """Read the named parts, in order; within a part in the order of annotations.

        Raises:
            DataError: missing root, file or image; no json of this form; no faces; a value that is not what it
                should be.
        """
        existing_root(self.root)
        return [face for part in parts for face in self._part(part)]

    def stated_size(self, image: Path) -> tuple[int, int] | None:
        """Width and height of an image according to the part that named it."""
        return self._sizes.get(image)

    def _part(self, part: str) -> list[Face]:
        name = f"{part.removesuffix('.json')}.json"
        path = next((self.root / f / name for f in (".", "annotations") if os.path.isfile(self.root / f / name)), None)
        if path is None:
            raise missing(self.root, [name, f"annotations/{name}"], "name other files in data.train_parts")
        content = _load(path)
        folder = self.root / self.images
        if not folder.is_dir():
            raise missing(self.root, [self.images], "set data.images to the folder that file_name starts from")
        names = _file_names(path, content["images"], folder)
        entries, labels = self._labelled(path, content)
        listed = [entry.image(names) for entry in entries]
        found = Images(folder).locate(listed, lambda i: entries[i].place, self.allow_partial)
        sizes = _sizes(content["images"], names)
        self._sizes |= {
            image: sizes[name] for image, name in zip(found, listed, strict=True) if image is not None and name in sizes
        }
        return [
            self._face(entry, image, *label, file_key(image, folder), part)
            for entry, image, label in zip(entries, found, labels, strict=True)
            if image is not None
        ]

    def _labelled(
        self, path: Path, content: Mapping[str, list[Any]]
    ) -> tuple[list[Annotation], list[tuple[NDArray[np.float64], NDArray[np.uint8]]]]:
        """The annotations that are faces, and their points and visibility in the order of the scheme."""
        scheme = load_scheme(self.scheme)
        categories = Categories.of(str(path), content["categories"], scheme)
        entries, labels = [], []
        left_out: Counter[str] = Counter()
        for i, value in enumerate(content["annotations"]):
            entry = Annotation(f"{path}: annotations[{i}]", value)
            reason = entry.is_no_face(categories)
            label = None if reason else entry.landmarks(categories)
            if label is not None and not label[1].any():
                reason = "without a labelled point"
            if reason:
                left_out[reason] += 1
            elif label is not None:
                entries.append(entry)
                labels.append(label)
        words = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
        if not entries:
            raise DataError(
                f"{path}: none of {len(content['annotations'])} annotations is a face with points "
                f"({words or 'there is none'}); export the labels again"
            )
        if left_out:
            log.warning("%s: left out of %d annotations: %s", path, len(content["annotations"]), words)
        return entries, labels

    def _face(
        self,
        entry: Annotation,
        image: Path,
        points: NDArray[np.float64],
        visibility: NDArray[np.uint8],
        photo: str,
        part: str,
    ) -> Face:
        points = points - self.first_pixel
        if self.box == "detector":
            box = entry.box() - self.first_pixel
        else:
            box = labelled_box(entry.place, points, visibility)
        return Face(
            image=image,
            landmarks=points,
            visibility=visibility,
            box=box,
            scheme=self.scheme,
            photo=photo,
            part=part,
            attributes=entry.attributes(),
            identity=entry.identity(),
            extra={"annotation": entry.id},
        )


def _load(path: Path) -> dict[str, list[Any]]:
    try:
        content = json.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); restore the file") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: is not json ({error}); export the labels again") from error
    except (ValueError, RecursionError) as error:  # no UTF-8, numbers of thousands of digits, brackets without end
        raise DataError(f"{path}: is not json ({error}); export the labels again") from error
    for key in ("images", "annotations"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise DataError(f"{path}: has no list {key!r}, so this is no COCO file; export the labels again")
    return {"categories": []} | {key: content[key] for key in ("images", "annotations", "categories") if key in content}


def _file_names(path: Path, images: list[Any], folder: Path) -> dict[int | str, str]:
    """Names of the images by their ids."""
    names: dict[int | str, str] = {}
    for i, image in enumerate(images):
        place = f"{path}: images[{i}]"
        if not isinstance(image, dict) or not is_key(image.get("id")) or not isinstance(image.get("file_name"), str):
            raise DataError(f"{place} is {short(image)}, without id or file_name; export the labels again")
        if image["id"] in names:
            raise DataError(f"{place}: id {short(image['id'])} occurs twice; give every image an id of its own")
        names[image["id"]] = relative_name(place, folder, image["file_name"])
    return names


def _sizes(images: list[Any], names: Mapping[int | str, str]) -> dict[str, tuple[int, int]]:
    """Width and height of the images by name, where the file states both."""
    stated = {names[image["id"]]: (image.get("width"), image.get("height")) for image in images}
    return {name: (int(w), int(h)) for name, (w, h) in stated.items() if _is_length(w) and _is_length(h)}


def _is_length(value: Any) -> bool:
    """Whether a value is a number of pixels; exports without sizes write 0, null or nothing."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 1 <= value < 1e9 and value == value // 1
