"""300W-LP: 300-W's faces turned to large poses by rendering, with pose, 2D and projected 3D points.

Source: Zhu et al., "Face Alignment Across Large Poses: A 3D Solution", CVPR 2016; the archive as unpacked:
``{AFW,HELEN,IBUG,LFPW}/<name>_<n>.jpg`` and ``.mat`` (450 x 450 pixels; n = 0 is the image), mirrored copies in
``<SET>_Flip/``, points in ``landmarks/<SET>/<name>_<n>_pts.mat`` (``pts_2d`` and ``pts_3d``, 68 x 2), and a folder
``Code`` that is not read. ``Pose_Para`` of a ``.mat`` holds pitch, yaw, roll in radians, translation and scale;
``canthus.data.readers.pose`` has the convention of the rotation.

Decisions where sources say nothing: the files were made in MATLAB and are taken to count pixels from 1, points and
``roi`` alike; ``roi`` is taken as x1 y1 x2 y2. ``pt2d`` of the ``.mat`` is not used: sources disagree on it. Where
``landmarks`` has no folder for the mirrored copies, their points are those of the original, mirrored.

The renderings cover 300-W's test images too (``LFPW_image_test_*``, ``IBUG``): what trains on all of it must not
be tested on 300-W.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from canthus.data.face import VISIBLE, Face, Reader
from canthus.data.readers.boxes import check_choice, checked_box, tight_box
from canthus.data.readers.folders import existing_root, missing
from canthus.data.readers.lists import Images, check_count, unknown_part
from canthus.data.readers.mat import load_arrays
from canthus.data.readers.pose import pose_of_parameters
from canthus.schemes import load_scheme

_FACES = {"AFW": 5207, "HELEN": 37676, "IBUG": 1786, "LFPW": 16556}
_PARTS = {f"{name}{flip}": count for flip in ("", "_Flip") for name, count in _FACES.items()}
_WIDTH = 450
_RENDERING = re.compile(r"_\d+$")


class W300LP(Reader):
    """Reads the four sets and their mirrored copies.

    The key of an image leaves out the number of the rendering, the number of the face where 300-W has several per
    image, and ``_Flip``: all of these share one image.

    Attributes:
        root: folder that holds ``AFW``, ``AFW_Flip``, ``landmarks`` and so on.
        allow_partial: accept fewer faces than published.
        points: ``"2d"``, which follow the visible outline, or ``"3d"``, the projected points of the fitted head.
        box: ``"gt"``, the tight box of the points, or ``"roi"`` of the files.
    """

    scheme = "68"
    experimental = "points and boxes count from 1; boxes are x1, y1, x2, y2; mirrored copies have mirrored points"

    def __init__(
        self,
        root: str | Path,
        *,
        allow_partial: bool = False,
        points: Literal["2d", "3d"] = "2d",
        box: Literal["gt", "roi"] = "gt",
    ) -> None:
        check_choice("points", points, {"2d": "pts_2d", "3d": "pts_3d, projected"})
        check_choice("box", box, {"gt": "tight box of the points", "roi": "box of the .mat files"})
        self.root = Path(root)
        self.allow_partial = allow_partial
        self.points = points
        self.box = box

    def faces(self, parts: Sequence[str]) -> list[Face]:
        """Read the named parts, in order; within a part in the order of names.

        Args:
            parts: ``"AFW"``, ``"HELEN"``, ``"IBUG"``, ``"LFPW"``, or one of these with ``_Flip``.

        Raises:
            DataError: missing root, part or label file; a damaged one; another number of faces than published.
        """
        existing_root(self.root)
        return [face for part in parts for face in self._part(part)]

    def _part(self, part: str) -> list[Face]:
        if part not in _PARTS:
            raise unknown_part("300W-LP", part, _PARTS)
        folder = self.root / part
        if not folder.is_dir():
            raise missing(self.root, [part], "name other folders in data.train_parts and data.test_parts")
        labels = sorted(label for label in folder.glob("*.mat") if not label.name.startswith("."))
        check_count(folder, "faces", len(labels), _PARTS[part], self.allow_partial)
        files = Images(folder).locate(
            [f"{label.stem}.jpg" for label in labels], lambda i: str(labels[i]), self.allow_partial
        )
        return [self._face(image, label, part) for image, label in zip(files, labels, strict=True) if image is not None]

    def _face(self, image: Path, label: Path, part: str) -> Face:
        content = load_arrays(label, {"Pose_Para": (1, 7), "roi": (1, 4)})
        points = self._points(part, label.stem)
        box = tight_box(points) if self.box == "gt" else content["roi"][0] - 1.0
        return Face(
            image=image,
            landmarks=points,
            visibility=np.full(68, VISIBLE, dtype=np.uint8),
            box=checked_box(str(label), box),
            scheme=self.scheme,
            photo=_photo(part.removesuffix("_Flip"), label.stem),
            part=part,
            pose=pose_of_parameters(content["Pose_Para"]),
            extra={"translation": content["Pose_Para"][0, 3:6], "scale": float(content["Pose_Para"][0, 6])},
        )

    def _points(self, part: str, stem: str) -> NDArray[np.float64]:
        """Points (68, 2) from 0; those of a mirrored copy that has no file are made from the original's."""
        key, original = f"pts_{self.points}", part.removesuffix("_Flip")
        own = self.root / "landmarks" / part / f"{stem}_pts.mat"
        if own.is_file() or part == original:
            return load_arrays(own, {key: (68, 2)})[key] - 1.0
        points = load_arrays(self.root / "landmarks" / original / own.name, {key: (68, 2)})[key] - 1.0
        return (points * [-1, 1] + [_WIDTH - 1, 0])[list(load_scheme(self.scheme).flip)]


def _photo(data_set: str, stem: str) -> str:
    name = _RENDERING.sub("", stem)
    # as in 300-W: files of these two sets end in the number of the face
    return f"{data_set}/{_RENDERING.sub('', name) if data_set in ('AFW', 'HELEN') else name}"
