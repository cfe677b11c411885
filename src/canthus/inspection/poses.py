"""Pose labels for a data set: ``poses.csv``, by PnP of its landmarks with the generic face."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from canthus.data.labels import reduced_face
from canthus.geometry import affine, boxes
from canthus.geometry.camera import Camera, crop_box
from canthus.geometry.generic_face import SCHEME, face_poses
from canthus.geometry.pnp import PoseSolution
from canthus.inspection.collection import Collection
from canthus.utils.errors import DataError
from canthus.utils.escaping import writing_csv

__all__ = ["FacePose", "pose_labels", "solved_poses", "write_poses"]

Floats = NDArray[np.float64]
ANGLES = ("yaw", "pitch", "roll")
COLUMNS = ("face", "file", "split", "part", *ANGLES, "rx", "ry", "rz", "tx", "ty", "tz", "error", "accepted")


@dataclass(frozen=True, eq=False)
class FacePose:
    """What PnP says about one face.

    Attributes:
        angles: (3,) yaw, pitch, roll in radians.
        vector: (6,) rotation vector and translation before FacePoseNet's camera, which sees 1.5 face boxes.
        error: re-projection error, percent of the longer side of the face box.
        accepted: whether the pose can be trusted.
    """

    angles: NDArray[np.float64]
    vector: NDArray[np.float64]
    error: float
    accepted: bool


def pose_labels(data: Collection) -> list[FacePose]:
    """Find the pose of every face.

    Raises:
        DataError: the landmarks are not 68 points, nor reduce to them.
    """
    try:
        faces = [reduced_face(face, SCHEME) for face in data.faces]
    except DataError as error:
        raise DataError(f"poses=pnp needs the {SCHEME} points of 300-W: {error}") from error
    visibility, points = (
        np.stack(values) for values in zip(*((f.visibility, f.landmarks) for f in faces), strict=True)
    )
    poses = solved_poses(points, visibility, data.box)
    percent = 100 * poses.error / float(boxes.side(_crop()))
    rows = zip(poses.angles.numpy(), poses.vector.numpy(), percent.tolist(), poses.valid.tolist(), strict=True)
    return [FacePose(*row) for row in rows]


def solved_poses(points: Floats, visibility: NDArray[np.uint8], box: Floats) -> PoseSolution:
    """Poses before FacePoseNet's camera, which sees 1.5 face boxes, by PnP with the generic face.

    Args:
        points: (N, 68, 2) pixels of the images.
        visibility: (N, 68); unlabelled points do not count.
        box: (N, 4) of the faces.
    """
    seen = torch.from_numpy(visibility)
    to_crop = boxes.box_map(torch.from_numpy(box), _crop(), by="longer")
    cropped = affine.apply(to_crop, torch.where((seen > 0)[..., None], torch.from_numpy(points), 0))
    return face_poses(cropped, seen, Camera().side)


def _crop() -> torch.Tensor:
    """Where the face box lies in the camera's image."""
    return torch.tensor(crop_box(Camera().side), dtype=torch.float64)


def write_poses(path: Path, data: Collection, poses: Sequence[FacePose]) -> None:
    """Write a row for every face, in the order of the splits and parts; angles in degrees."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing_csv(path) as write:
        write(COLUMNS)
        for number, (face, split, pose) in enumerate(zip(data.faces, data.splits, poses, strict=True)):
            numbers = [*np.degrees(pose.angles), *pose.vector, pose.error]
            cells = [f"{value:.5g}" for value in numbers]
            write([number, face.image, split, face.part, *cells, int(pose.accepted)])
