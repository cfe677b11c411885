"""BIWI Kinect Head Pose: 24 recordings of 20 people who turn their heads, with the pose of every frame.

Source: Fanelli et al., "Random Forests for Real Time 3D Face Analysis", IJCV 2013; the archive as unpacked: folders
``01`` to ``24`` with ``frame_NNNNN_rgb.png`` (640 x 480), ``frame_NNNNN_pose.txt`` (a 3 x 3 rotation, a blank line, the
centre of the head in mm, both in the frame of the depth camera) and ``rgb.cal`` (3 x 3 camera matrix, four distortion
coefficients, rotation and translation from the depth to the colour camera, size of the picture). Frame numbers have
gaps. Nothing marks landmarks or faces.

The box is a square of 200 mm, upright in the picture, around the centre of the head as the colour camera sees it;
distortion, zero in the released files, is not applied. ``canthus.data.readers.pose`` makes the angles.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from canthus.data.face import UNLABELLED, Face, Reader
from canthus.data.readers.folders import existing_root, missing
from canthus.data.readers.lists import check_count, numbers, text_lines, unknown_part
from canthus.data.readers.pose import pose_of_biwi
from canthus.utils.errors import DataError

# Who is in which recording, 01 to 24: table of the Hugging Face reader of the set.
_PEOPLE = (
    *("F01", "F02", "F03", "F04", "F05", "F06", "M01", "M02", "M03", "M04", "M05", "M06"),
    *("M07", "M08", "F03", "M09", "M10", "F05", "M11", "M12", "F02", "M01", "M13", "M14"),
)
_RECORDINGS = {f"{number:02d}": person for number, person in enumerate(_PEOPLE, 1)}
_FRAMES = 15_678
_BOX_MM = 200.0
_REPLACE = "replace the file by the official one"


class BIWI(Reader):
    """Reads recordings ``01`` to ``24``.

    The key of an image is the person: frames of one recording are nearly the same picture, and four people were
    recorded twice. All faces are of the part ``hpdb``, the folder of the archive, so that a validation share is drawn
    over people and not within one recording.

    Attributes:
        root: folder that holds ``01`` to ``24``.
        allow_partial: accept fewer frames than the 15,678 of all recordings, which are counted when all are read.
    """

    scheme = "68"
    experimental = "the angles of a head follow data/readers/pose.py; distortion is zero and is not applied"

    def __init__(self, root: str | Path, *, allow_partial: bool = False) -> None:
        self.root = Path(root)
        self.allow_partial = allow_partial

    def faces(self, parts: Sequence[str]) -> list[Face]:
        """Read the named recordings, in order; within one in the order of frames.

        Args:
            parts: ``"01"`` to ``"24"``.

        Raises:
            DataError: missing root or recording; a frame without pose or the reverse; a damaged file; another number
                of frames than published.
        """
        existing_root(self.root)
        faces = [face for part in parts for face in self._recording(part)]
        if set(parts) == set(_RECORDINGS):
            check_count(self.root, "frames", len(faces), _FRAMES, self.allow_partial)
        return faces

    def _recording(self, part: str) -> list[Face]:
        if part not in _RECORDINGS:
            raise unknown_part("BIWI", part, _RECORDINGS)
        folder = self.root / part
        if not folder.is_dir():
            raise missing(self.root, [part], "name other recordings in data.train_parts and data.test_parts")
        poses = {file.name.removesuffix("_pose.txt"): file for file in sorted(folder.glob("frame_*_pose.txt"))}
        frames = {file.name.removesuffix("_rgb.png"): file for file in sorted(folder.glob("frame_*_rgb.png"))}
        if not frames:
            raise missing(self.root, [f"{part}/frame_00003_rgb.png"], "unpack the archive again")
        for have, other, lacks in ((frames, poses, "pose"), (poses, frames, "picture")):
            lone = sorted(have.keys() - other.keys())
            if lone:
                more = f" (and {len(lone) - 1} more like it)" if len(lone) > 1 else ""
                raise DataError(
                    f"{have[lone[0]]}: has no {lacks} of the same number{more}; restore it, or remove this file"
                )
        camera = _read_camera(folder / "rgb.cal")
        return [self._face(image, poses[name], camera, part) for name, image in frames.items()]

    def _face(self, image: Path, label: Path, camera: "_Camera", part: str) -> Face:
        rows = _numeric_rows(label, (3, 3, 3, 3), "a rotation of three rows and the centre of the head")
        rotation, centre = np.array(rows[:3]), rows[3]
        if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-2) or np.linalg.det(rotation) < 0:
            raise DataError(f"{label}:1: the first three rows are not a rotation; {_REPLACE}")
        return Face(
            image=image,
            landmarks=np.full((68, 2), np.nan),
            visibility=np.full(68, UNLABELLED, dtype=np.uint8),
            box=camera.box(label, centre),
            scheme=self.scheme,
            photo=_RECORDINGS[part],
            part="hpdb",
            identity=_RECORDINGS[part],
            pose=pose_of_biwi(rotation),
            extra={"recording": part, "rotation": rotation, "centre": centre},
        )


class _Camera:
    """The colour camera: its matrix (3, 3), and rotation and translation from the depth camera."""

    def __init__(self, rows: list[NDArray[np.float64]]) -> None:
        self.matrix, self.rotation, self.translation = np.array(rows[:3]), np.array(rows[4:7]), rows[7]

    def box(self, label: Path, centre: NDArray[np.float64]) -> NDArray[np.float64]:
        """Project the centre of a head (3,) in mm to a box (4,) in pixels."""
        x, y, z = self.rotation @ centre + self.translation
        if z <= 0:
            raise DataError(f"{label}: the head at {centre} mm is behind the camera; {_REPLACE}")
        focal, middle = self.matrix.diagonal()[:2], self.matrix[:2, 2]
        seen, half = focal * [x / z, y / z] + middle, focal * _BOX_MM / 2 / z
        return np.concatenate([seen - half, seen + half])


def _read_camera(path: Path) -> _Camera:
    rows = _numeric_rows(path, (3, 3, 3, 4, 3, 3, 3, 3, 2), "matrix, distortion, rotation, translation and size")
    if rows[0][0] <= 0 or rows[1][1] <= 0:
        raise DataError(f"{path}:1: the focal lengths {rows[0][0]} and {rows[1][1]} are not positive; {_REPLACE}")
    return _Camera(rows)


def _numeric_rows(path: Path, columns: tuple[int, ...], meaning: str) -> list[NDArray[np.float64]]:
    """Rows of numbers with the given lengths; blank lines between them do not count."""
    lines = list(text_lines(path))
    if len(lines) != len(columns):
        raise DataError(f"{path}:{lines[-1][0]}: {len(lines)} rows where {meaning} are {len(columns)}; {_REPLACE}")
    rows = []
    for (number, line), count in zip(lines, columns, strict=True):
        tokens = line.split()
        if len(tokens) != count:
            raise DataError(
                f"{path}:{number}: {len(tokens)} numbers where {count} are expected ({meaning}); {_REPLACE}"
            )
        rows.append(numbers(f"{path}:{number}", tokens, meaning))
    return rows
