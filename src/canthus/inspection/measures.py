"""What is measured of every face, so that data sets can be compared: pose, shape of the box, eyes and mouth."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from canthus.data.face import Face
from canthus.data.labels import reduced_face
from canthus.geometry.generic_face import SCHEME
from canthus.inspection.collection import Collection
from canthus.inspection.poses import solved_poses
from canthus.utils.errors import DataError
from canthus.utils.escaping import writing_csv

__all__ = ["MEASURES", "face_measures", "point_measures", "write_measures"]

MEASURES = {
    "yaw": "degrees",
    "pitch": "degrees",
    "roll": "degrees",
    "size": "pixels",
    "aspect": "width / height",
    "eye_opening": "height / width",
    "mouth_opening": "height / width",
}
"""Names and units; size is the mean side of the tight box of the points, and aspect is of this box.

Angles are those that PnP tells, for labelled ones have a zero of their own in every data set.
"""
EYES = ((36, 37, 38, 39, 40, 41), (42, 43, 44, 45, 46, 47))
Floats = NDArray[np.float64]


def face_measures(faces: Sequence[Face]) -> dict[str, Floats]:
    """(N,) of each of `MEASURES`, NaN where points that it needs are not labelled or the pose is not valid.

    Openings are the aspect ratios of Soukupova and Cech, CVWW 2016: the mean of the heights over the width, about 0.3
    for open eyes and 0 for what is shut.

    Raises:
        DataError: labels that are not 68 points, nor reduce to them.
    """
    reduced = [reduced_face(face, SCHEME) for face in faces]
    return point_measures(
        np.stack([face.landmarks for face in reduced]), np.stack([face.visibility for face in reduced]) > 0
    )


def point_measures(points: Floats, labelled: NDArray[np.bool_]) -> dict[str, Floats]:
    """`face_measures` of (N, 68, 2) points, (N, 68) of which are labelled."""
    seen = labelled[..., None]
    low, high = np.where(seen, points, np.inf).min(1), np.where(seen, points, -np.inf).max(1)
    empty = ~labelled.any(axis=1, keepdims=True)
    low, high = np.where(empty, np.nan, low), np.where(empty, np.nan, high)
    points = np.where(seen, points, np.nan)
    box = np.where(empty, (0.0, 0.0, 1.0, 1.0), np.concatenate([low, high], 1))
    poses = solved_poses(points, labelled.astype(np.uint8), box)
    angles = np.where(poses.valid.numpy()[:, None], np.degrees(poses.angles.numpy()), np.nan)
    width, height = (high - low).T
    eyes = [_opening(points, eye[0], eye[3], ((eye[1], eye[5]), (eye[2], eye[4]))) for eye in EYES]
    return {
        **dict(zip(("yaw", "pitch", "roll"), angles.T, strict=True)),
        "size": (width + height) / 2,
        "aspect": width / height,
        "eye_opening": np.asarray(sum(eyes)) / 2,
        "mouth_opening": _opening(points, 60, 64, ((61, 67), (62, 66), (63, 65))),
    }


def write_measures(path: Path, data: Collection) -> bool:
    """Write a row for every face, in the order of the splits and parts: its measures and the conditions that hold.

    Returns:
        Whether it was written: False where labels do not reduce to 68 points or no face has any.
    """
    try:
        measures = face_measures(data.faces)
    except DataError:
        return False
    if all(np.isnan(values).all() for values in measures.values()):
        return False
    with writing_csv(path) as write:
        write(["face", "file", "split", "part", *measures, "attributes"])
        for number, (face, split, *values) in enumerate(zip(data.faces, data.splits, *measures.values(), strict=True)):
            cells = ["" if np.isnan(value) else f"{value:.5g}" for value in values]
            write([number, face.image, split, face.part, *cells, " ".join(sorted(face.attributes))])
    return True


def _opening(points: Floats, left: int, right: int, heights: Sequence[tuple[int, int]]) -> Floats:
    def gap(one: int, other: int) -> Floats:
        return np.asarray(np.linalg.norm(points[:, one] - points[:, other], axis=1))

    total = sum(gap(*pair) for pair in heights)
    ratio = total / len(heights) / np.maximum(gap(left, right), np.finfo(np.float64).tiny)
    return np.asarray(np.round(ratio, 3))  # what is shut is 0, whatever the rounding of its labels
