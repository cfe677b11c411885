"""Which prediction is of which labelled face: images by their names, faces of an image by overlap."""

from collections.abc import Sequence
from logging import getLogger
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from canthus.data.face import VISIBLE, Face
from canthus.data.image_names import ImageNames
from canthus.evaluation.external.predictions import PredictedFace, Predictions
from canthus.geometry.boxes import overlaps
from canthus.schemes import Scheme, reduce_landmarks
from canthus.utils.errors import ConfigError, DataError

__all__ = ["match_faces", "place_predictions"]

log = getLogger(__name__)

LEAST_OVERLAP = 0.1
"""Intersection over union from which a prediction can be of a face. Neighbours in a crowd touch by a few percent; a box
of the face itself, even one twice too wide and twice too high, reaches 0.25."""


def place_predictions(
    faces: Sequence[Face], predictions: Predictions, scheme: Scheme, root: Path | None
) -> NDArray[np.float64]:
    """Give every labelled face its prediction.

    Args:
        faces: labelled, all in one scheme.
        predictions: of images, these and others.
        scheme: of the predictions; reduces to that of the faces, or is the same.
        root: folder of the data set, if it has one.

    Returns:
        (N, K, 2) points in the scheme of the faces, NaN where a face has no prediction. What was predicted beyond that
        is counted in the log.

    Raises:
        ConfigError: the predictions name none of the images.
        DataError: a name that several images have, or an image under two names.
    """
    images: dict[Path, list[int]] = {}
    for row, face in enumerate(faces):
        images.setdefault(face.image, []).append(row)
    names, elsewhere = ImageNames(images, root), []
    called: dict[Path, str] = {}
    there: dict[Path, list[PredictedFace]] = {}
    for name, predicted in predictions.faces.items():
        image = names.find(name)
        if image is None:
            elsewhere.append(name)
        elif image in there:
            raise DataError(
                f"the predictions call {image} both {called[image]} and {name}; keep one name for all its faces"
            )
        else:
            called[image], there[image] = name, predicted
    if not there:
        raise ConfigError(
            f"the predictions name none of the {len(images)} images: they have names such as {elsewhere[0]}, "
            f"the data such as {faces[0].image}"
        )
    if elsewhere:
        log.info("%d images with predictions are not in this split", len(elsewhere))
    seen = np.full(scheme.num_landmarks, VISIBLE, dtype=np.uint8)
    points = np.full((len(faces), *faces[0].landmarks.shape), np.nan)
    unused = 0
    for image, found in there.items():
        reduced = [
            PredictedFace(reduce_landmarks(each.points, seen, scheme, faces[0].scheme)[0], each.box) for each in found
        ]
        rows = images[image]
        matches = match_faces([faces[row] for row in rows], reduced)
        for row, match in zip(rows, matches, strict=True):
            if match is not None:
                points[row] = reduced[match].points
        unused += len(reduced) - sum(match is not None for match in matches)
    if unused:
        log.warning(
            "%d predicted faces overlap no labelled face that was left for them by %g, and do not count",
            unused,
            LEAST_OVERLAP,
        )
    return points


def match_faces(faces: Sequence[Face], predicted: Sequence[PredictedFace]) -> list[int | None]:
    """Assign predicted faces to labelled faces one to one, so that the sum of their overlaps is largest.

    A prediction that comes with a box is compared with the face box, one without by the tight box of its points with
    that of the labelled points. Faces without an overlap of `LEAST_OVERLAP` stay alone: the tool found somebody
    else.

    Args:
        faces: of one image.
        predicted: there, in the frame of the image.

    Returns:
        For every labelled face the place of its prediction, or None.
    """
    from scipy.optimize import linear_sum_assignment

    given = torch.from_numpy(np.stack([face.box for face in faces]))
    tight = torch.from_numpy(np.stack([_tight(face) for face in faces]))
    overlap = np.zeros((len(faces), len(predicted)))
    for column, prediction in enumerate(predicted):
        box = prediction.box if prediction.box is not None else _box(prediction.points)
        with_boxes = given if prediction.box is not None else tight
        overlap[:, column] = overlaps(with_boxes, torch.from_numpy(box)[None])[:, 0].nan_to_num().numpy()
    overlap[overlap < LEAST_OVERLAP] = 0  # before the assignment, so that neighbours that touch do not steer it
    assigned: list[int | None] = [None] * len(faces)
    for row, column in zip(*linear_sum_assignment(overlap, maximize=True), strict=True):
        if overlap[row, column] > 0:
            assigned[row] = int(column)
    return assigned


def _box(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([points.min(0), points.max(0)])


def _tight(face: Face) -> NDArray[np.float64]:
    labelled = face.landmarks[face.visibility > 0]
    return _box(labelled) if len(labelled) else face.box
