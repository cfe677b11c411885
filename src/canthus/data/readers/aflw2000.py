"""AFLW2000-3D: 2000 images of AFLW with a fitted head, its pose and 68 projected points.

Source: Zhu et al., "Face Alignment Across Large Poses: A 3D Solution", CVPR 2016; the archive as unpacked:
``AFLW2000/imageNNNNN.jpg`` and ``.mat``, 450 x 450 pixels, and a folder ``Code`` that is not read. Of a ``.mat``:
``pt3d_68`` (3 x 68, pixels; the third row is relative depth), ``pt2d`` (2 x 21, -1 where a point is not seen),
``Pose_Para`` (pitch, yaw, roll in radians, translation, scale) and ``roi``. ``canthus.data.readers.pose`` has the
convention of the rotation.

Decisions where sources say nothing: the files were made in MATLAB and are taken to count pixels from 1, points and
``roi`` alike; ``roi`` is taken as x1 y1 x2 y2. These 68 points are those of the first release, which is rough; the
re-annotated ones of the 3DDFA project are another set and make other numbers.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from canthus.data.face import UNLABELLED, VISIBLE, Face, Reader
from canthus.data.readers.boxes import check_choice, checked_box, tight_box
from canthus.data.readers.folders import existing_root, missing
from canthus.data.readers.lists import Images, check_count, unknown_part
from canthus.data.readers.mat import load_arrays
from canthus.data.readers.pose import pose_of_parameters
from canthus.utils.errors import DataError

_FACES = 2000
_FOLDERS = ("AFLW2000", "AFLW2000-3D", ".")
_YAW_BINS = ((30.0, "yaw_0_30"), (60.0, "yaw_30_60"), (np.inf, "yaw_60_90"))
# the head pose protocol leaves faces out beyond this angle about any axis (Hopenet)
_POSE_LIMIT = 99.0


class AFLW2000(Reader):
    """Reads ``AFLW2000``.

    Attributes carry what the protocols need: ``yaw_0_30``, ``yaw_30_60`` or ``yaw_60_90`` by the fitted yaw (the
    landmark score is the mean over the three), and ``pose_over_99`` for the faces that the head pose protocol leaves
    out.

    Attributes:
        root: folder that holds ``AFLW2000``, or that folder.
        allow_partial: accept fewer than 2000 faces.
        points: ``"3d"``, the 68 projected points of the fitted head, or ``"2d"``, AFLW's 21 points (scheme 21), of
            which those not seen are not labelled.
        box: ``"gt"``, the tight box of the 68 points, or ``"roi"`` of the files.
    """

    scheme = "68"
    experimental = "points and boxes count from 1; boxes are x1, y1, x2, y2"

    def __init__(
        self,
        root: str | Path,
        *,
        allow_partial: bool = False,
        points: Literal["3d", "2d"] = "3d",
        box: Literal["gt", "roi"] = "gt",
    ) -> None:
        check_choice("points", points, {"3d": "68 projected points", "2d": "AFLW's 21 points"})
        check_choice("box", box, {"gt": "tight box of the 68 points", "roi": "box of the .mat files"})
        self.root = Path(root)
        self.allow_partial = allow_partial
        self.points = points
        self.box = box
        self.scheme = "68" if points == "3d" else "21"

    def faces(self, parts: Sequence[str]) -> list[Face]:
        """Read all faces, in the order of their names.

        Args:
            parts: ``"AFLW2000"``.

        Raises:
            DataError: missing root or folder; a ``.mat`` without image, or a damaged one; another number of faces than
                published.
        """
        existing_root(self.root)
        for part in parts:
            if part != "AFLW2000":
                raise unknown_part("AFLW2000-3D", part, ["AFLW2000"])
        folder = next((self.root / name for name in _FOLDERS if any((self.root / name).glob("image*.mat"))), None)
        if folder is None:
            raise missing(self.root, ["AFLW2000"], "unpack the archive")
        labels = sorted(folder.glob("image*.mat"))
        check_count(folder, "faces", len(labels), _FACES, self.allow_partial)
        files = Images(folder).locate(
            [f"{label.stem}.jpg" for label in labels], lambda i: str(labels[i]), self.allow_partial
        )
        return [
            self._face(image, label, part)
            for part in parts
            for image, label in zip(files, labels, strict=True)
            if image is not None
        ]

    def _face(self, image: Path, label: Path, part: str) -> Face:
        content = load_arrays(label, {"pt3d_68": (3, 68), "Pose_Para": (1, 7), "roi": (1, 4)})
        projected = content["pt3d_68"][:2].T - 1.0
        landmarks, visibility = projected, np.full(68, VISIBLE, dtype=np.uint8)
        if self.points == "2d":
            landmarks, visibility = _seen_points(label)
        box = tight_box(projected) if self.box == "gt" else content["roi"][0] - 1.0
        pose = pose_of_parameters(content["Pose_Para"])
        degrees = np.abs(np.rad2deg(pose))
        attributes = {next(name for limit, name in _YAW_BINS if degrees[0] <= limit)}
        if (degrees > _POSE_LIMIT).any():
            attributes.add("pose_over_99")
        return Face(
            image=image,
            landmarks=landmarks,
            visibility=visibility,
            box=checked_box(str(label), box),
            scheme=self.scheme,
            photo=f"AFLW2000/{label.stem}",
            part=part,
            attributes=frozenset(attributes),
            pose=pose,
            extra={"translation": content["Pose_Para"][0, 3:6], "scale": float(content["Pose_Para"][0, 6])},
        )


def _seen_points(label: Path) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """AFLW's points (21, 2) and their visibility; a point at (-1, -1) in the file was not seen."""
    points = load_arrays(label, {"pt2d": (2, -1)})["pt2d"].T
    # readers that skip this variable do so because not every file is said to hold 21 points
    if len(points) != 21:
        raise DataError(f"{label}: pt2d holds {len(points)} points, not 21; set data.points=3d")
    seen = ~(points == -1).all(axis=1)
    visibility = np.where(seen, VISIBLE, UNLABELLED).astype(np.uint8)
    return np.where(seen[:, None], points - 1.0, np.nan), visibility
