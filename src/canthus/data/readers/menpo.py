"""Menpo 2017, the 2D benchmark: 68 points on faces seen from the front, 39 on profiles.

Source: Zafeiriou et al., "The Menpo facial landmark localisation challenge", CVPRW 2017, and its training archive: one
flat folder of images, each with a ``.pts`` file of the same name. ``n_points`` of a file tells its markup, nothing
else does. The test sets carry no public labels. No detector boxes were published, and names do not tell which faces
come from one image: every file counts as an image of its own.

The 39 points of a profile are a markup of their own, in two mirrored forms for faces turned left and right, and no
scheme describes them: only the part ``semifrontal`` can be read. Profiles beside it are counted in the log.
"""

from collections.abc import Iterable, Sequence
from logging import getLogger
from pathlib import Path
from typing import Literal

import numpy as np

from canthus.data.face import VISIBLE, Face, Reader
from canthus.data.images import IMAGE_SUFFIXES
from canthus.data.readers.boxes import check_choice, checked_box, tight_box
from canthus.data.readers.folders import existing_root, listing
from canthus.data.readers.lists import check_count, unknown_part
from canthus.data.readers.pts import read_pts
from canthus.utils.errors import DataError

log = getLogger(__name__)

_POINTS = {"semifrontal": 68, "profile": 39}
# As far as the challenge's page is remembered; the archive is given on request.
_SEMIFRONTAL, _PROFILES = 6679, 2300


class Menpo(Reader):
    """Reads the faces with 68 points of the training archive.

    Attributes:
        root: the folder that holds the images and their ``.pts`` files.
        allow_partial: accept another number of faces than the official one.
        box: ``"gt"``, the tight box of the points, the only one there is.
    """

    scheme = "68"
    experimental = "points count from 1, as in 300-W; every file is an image of its own"

    def __init__(self, root: str | Path, *, allow_partial: bool = False, box: Literal["gt"] = "gt") -> None:
        check_choice("box", box, {"gt": "tight box of the points; Menpo has no other"})
        self.root, self.allow_partial, self.box = Path(root), allow_partial, box

    def faces(self, parts: Sequence[str]) -> list[Face]:
        """Read the named parts; within a part in the order of file names.

        Args:
            parts: ``"semifrontal"``.

        Raises:
            DataError: missing root; the part ``"profile"``; an image without label or the reverse; another number of
                faces than published; a damaged label, or one of neither markup.
        """
        existing_root(self.root)
        return [face for part in parts for face in self._part(part)]

    def _part(self, part: str) -> list[Face]:
        if part not in _POINTS:
            raise unknown_part("Menpo", part, _POINTS)
        pairs = _pairs(self.root)
        labels = {label: read_pts(label) for label in pairs}
        sizes = {label: len(points) for label, points in labels.items()}
        for label, size in sizes.items():
            if size not in _POINTS.values():
                raise DataError(
                    f"{label}: {size} points, but Menpo has faces of 68 and profiles of 39; remove what is not part "
                    "of it"
                )
        profiles = sum(size == _POINTS["profile"] for size in sizes.values())
        if part == "profile":
            raise DataError(
                f"{self.root}: the {profiles} profiles with 39 points cannot be read, no landmark scheme describes "
                "them; name the part 'semifrontal' in data.train_parts and data.test_parts"
            )
        found = len(pairs) - profiles
        # the count is from memory, so that more faces than that are accepted on request too
        if not (self.allow_partial and found):
            check_count(self.root, "faces with 68 points", found, _SEMIFRONTAL, self.allow_partial)
        if profiles:
            log.warning(
                "%s: %d of %d labels are profiles with 39 points (of %d published); they are no part of 'semifrontal' "
                "and are left out",
                *(self.root, profiles, len(pairs), _PROFILES),
            )
        return [self._face(pairs[label], label, points) for label, points in labels.items() if sizes[label] == 68]

    def _face(self, image: Path, label: Path, points: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Face:
        return Face(
            image=image,
            landmarks=points,
            visibility=np.full(68, VISIBLE, dtype=np.uint8),
            box=checked_box(str(label), tight_box(points)),
            scheme=self.scheme,
            photo=image.stem,
            part="semifrontal",
        )


def _pairs(folder: Path) -> dict[Path, Path]:
    """Match labels and images by name: label -> image, in the order of names."""
    files = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    images = _by_stem(file for file in files if file.suffix.lower() in IMAGE_SUFFIXES)
    labels = _by_stem(file for file in files if file.suffix.lower() == ".pts")
    if not labels:
        raise DataError(
            f"{folder}: no .pts files; it holds {listing(folder)}; set data.root to the folder that has them"
        )
    for have, other, lacks in ((images, labels, "label (.pts)"), (labels, images, "image")):
        lone = sorted(have.keys() - other.keys())
        if lone:
            more = f" (and {len(lone) - 1} more like it)" if len(lone) > 1 else ""
            raise DataError(f"{have[lone[0]]}: has no {lacks} of the same name{more}; restore that or remove this file")
    return {labels[stem]: images[stem] for stem in labels}


def _by_stem(files: Iterable[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in files:
        other = found.setdefault(file.stem, file)
        if other is not file:
            raise DataError(f"{file}: has the name of {other.name}; remove the one that is not official")
    return found
