"""FDDB: 2845 images with 5171 faces outlined by ellipses, in ten folds, for testing detectors.

Source: Jain, Learned-Miller, "FDDB: A Benchmark for Face Detection in Unconstrained Settings", 2010; the archives as
unpacked: ``originalPics/YYYY/MM/DD/big/img_N.jpg``, ``FDDB-folds/FDDB-fold-NN.txt`` (paths without ``.jpg``) and
``FDDB-fold-NN-ellipseList.txt``: path, number of faces, then ``major_radius minor_radius angle center_x center_y 1``.
The angle is in RADIANS, from the x axis to the major axis. Coordinates count from 0. The box of a face is the smallest
upright one around its ellipse; the ellipse itself is in ``extra["ellipse"]``. Nothing marks landmarks.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from canthus.data.face import UNLABELLED, Face, Reader
from canthus.data.readers.blocks import REPLACE, read_blocks
from canthus.data.readers.folders import existing_root, missing
from canthus.data.readers.lists import Images, check_count, numbers, text_lines, unknown_part
from canthus.utils.errors import DataError

_FOLDS = tuple(f"fold-{number:02d}" for number in range(1, 11))
_IMAGES, _FACES = 2845, 5171

Listed = tuple[int, str, list[NDArray[np.float64]]]
"""Line and path of an image, and its ellipses: two radii, angle, centre."""


class FDDB(Reader):
    """Reads the folds ``fold-01`` to ``fold-10``.

    Official counts are of all ten folds together; they are asserted when all are read. Each fold is checked against its
    list of images.

    Attributes:
        root: folder that holds ``originalPics`` and ``FDDB-folds``.
        allow_partial: accept fewer faces, and leave out those whose image is missing.
    """

    scheme = "5"
    experimental = "coordinates count from 0; angles of ellipses are radians, from the x axis to the major axis"

    def __init__(self, root: str | Path, *, allow_partial: bool = False) -> None:
        self.root = Path(root)
        self.allow_partial = allow_partial

    def faces(self, parts: Sequence[str]) -> list[Face]:
        """Read the named folds, in the order of their lists.

        Args:
            parts: ``"fold-01"`` to ``"fold-10"``.

        Raises:
            DataError: missing root, list or image; a fold that is not what its list of images says; another
                number of images or faces than published; a damaged line.
        """
        existing_root(self.root)
        for part in parts:
            if part not in _FOLDS:
                raise unknown_part("FDDB", part, _FOLDS)
        lists = {part: self._fold(part) for part in parts}
        if set(parts) == set(_FOLDS):
            images = sum(len(listed) for listed in lists.values())
            faces = sum(len(ellipses) for listed in lists.values() for _, _, ellipses in listed)
            check_count(self.root / "FDDB-folds", "images", images, _IMAGES, self.allow_partial)
            check_count(self.root / "FDDB-folds", "faces", faces, _FACES, self.allow_partial)
        found = Images(self.root / "originalPics")
        return [face for part in parts for face in self._faces(part, lists[part], found)]

    def _path(self, part: str, suffix: str) -> Path:
        return self.root / "FDDB-folds" / f"FDDB-{part}{suffix}.txt"

    def _fold(self, part: str) -> list[Listed]:
        path = self._path(part, "-ellipseList")
        if not path.is_file():
            raise missing(self.root, [f"FDDB-folds/{path.name}"], "name other folds in data.test_parts")
        if not (self.root / "originalPics").is_dir():
            raise missing(self.root, ["originalPics"], "unpack the images there")
        listed = read_ellipses(path)
        names = self._path(part, "")
        if names.is_file() and not self.allow_partial:
            wanted = [name for _, name in text_lines(names)]
            have = [name for _, name, _ in listed]
            pairs = enumerate(itertools.zip_longest(wanted, have, fillvalue="missing"), 1)
            different = next(((at, *pair) for at, pair in pairs if pair[0] != pair[1]), None)
            if different:
                at, want, got = different
                line = listed[min(at, len(listed)) - 1][0]
                raise DataError(
                    f"{path}:{line}: image {at} is {got}, in {names.name} it is {want}; {REPLACE}, "
                    "or set data.allow_partial=true"
                )
        return listed

    def _faces(self, part: str, listed: list[Listed], images: Images) -> list[Face]:
        path = self._path(part, "-ellipseList")
        files = images.locate(
            [f"{name}.jpg" for _, name, _ in listed], lambda i: f"{path}:{listed[i][0]}", self.allow_partial
        )
        return [
            Face(
                image=file,
                landmarks=np.full((5, 2), np.nan),
                visibility=np.full(5, UNLABELLED, dtype=np.uint8),
                box=box_of_ellipse(ellipse),
                scheme=self.scheme,
                photo=name,
                part=part,
                extra={"ellipse": ellipse},
            )
            for (_, name, ellipses), file in zip(listed, files, strict=True)
            if file is not None
            for ellipse in ellipses
        ]


def box_of_ellipse(ellipse: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the smallest upright box around an ellipse: two radii, angle in radians, centre."""
    major, minor, angle, x, y = ellipse
    half_width = np.hypot(major * np.cos(angle), minor * np.sin(angle))
    half_height = np.hypot(major * np.sin(angle), minor * np.cos(angle))
    return np.array([x - half_width, y - half_height, x + half_width, y + half_height])


def read_ellipses(path: Path) -> list[Listed]:
    """Read an ellipse list.

    Raises:
        DataError: no such file; a line that is not what its place asks for; radii that are not positive; an angle that
            can only be in degrees.
    """
    blocks = read_blocks(path, lambda line: "/" in line and len(line.split()) == 1)
    return [
        (block.line, block.name, [_ellipse(f"{path}:{number}", row) for number, row in block.rows]) for block in blocks
    ]


def _ellipse(place: str, row: str) -> NDArray[np.float64]:
    tokens = row.split()
    if len(tokens) != 6 or tokens[5] != "1":
        raise DataError(f"{place}: {row!r} is not major_radius minor_radius angle center_x center_y 1; {REPLACE}")
    ellipse = numbers(place, tokens[:5], "major_radius minor_radius angle center_x center_y")
    if (ellipse[:2] <= 0).any():
        raise DataError(f"{place}: the radii {tokens[0]} and {tokens[1]} are not positive; {REPLACE}")
    if abs(ellipse[2]) > 2 * np.pi:
        raise DataError(f"{place}: the angle {tokens[2]} is beyond a full turn: degrees, not radians; {REPLACE}")
    return ellipse
