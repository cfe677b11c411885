"""What EXIF orientations mean for labels and predictions: in which frame they were made."""

from collections.abc import Iterable, Sequence
from logging import getLogger
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from canthus.data.face import Face, Reader
from canthus.data.images import BACK, orientation_to_follow, shown
from canthus.utils.errors import DataError

__all__ = ["turned_points", "warn_of_doubts", "warn_of_other_frame"]

log = getLogger(__name__)


def turned_points(points: NDArray[np.float64], size: tuple[int, int], orientation: int) -> NDArray[np.float64]:
    """Give the places of (..., 2) points when their image is turned as an EXIF orientation asks.

    Args:
        points: pixels of the image before.
        size: width and height of the image before.
        orientation: 1 to 8.
    """
    x, y = points[..., 0], points[..., 1]
    right, bottom = size[0] - 1, size[1] - 1
    if orientation >= 5:
        x, y, right, bottom = y, x, bottom, right
    if orientation in (2, 3, 6, 7):
        x = right - x
    if orientation in (3, 4, 7, 8):
        y = bottom - y
    return np.stack([x, y], axis=-1)


def warn_of_doubts(reader: Reader, images: Iterable[Path], label: str) -> None:
    """Log how many images have an orientation of which nobody said whether the labels are made for it.

    Args:
        reader: of the labels; one that knows its frame costs no look at the files.
        images: with labels.
        label: what they are called.
    """
    if reader.exif is not None:
        return
    distinct = list(dict.fromkeys(images))
    found = [(image, turn) for image in distinct if (turn := reader.doubtful_orientation(image)) != 1]
    if found:
        image, turn = found[0]
        log.warning(
            "%s: %d of %d images carry an EXIF orientation, first %s (%d). They are turned as it asks, as browsers and "
            "labelling tools show them; data.exif=apply says that this is right, data.exif=ignore that the labels were "
            "made on the images as stored",
            *(label, len(found), len(distinct), shown(image), turn),
        )


def warn_of_other_frame(reader: Reader, faces: Sequence[Face], points: NDArray[np.float64]) -> int:
    """Log how many predictions fit their labels far better in the frame that the labels are not made in.

    Args:
        reader: of the labels.
        faces: N labelled faces.
        points: (N, K, 2) predictions, NaN where there is none.

    Returns:
        Their number.
    """
    suspects: list[tuple[Face, bool]] = []
    for face, predicted in zip(faces, points, strict=True):
        header = reader.header(face.image)
        known = (face.visibility > 0) & np.isfinite(predicted).all(axis=-1)
        if header is None or header.orientation == 1 or not known.any():
            continue
        try:
            upright = orientation_to_follow(face.image, header, reader.exif, reader.stated_size(face.image)) != 1
        except DataError:  # its size contradicts; named where it is decoded
            continue
        size, turn = (header.upright, BACK[header.orientation]) if upright else (header.stored, header.orientation)
        labels, there = face.landmarks[known], predicted[known]
        here = np.linalg.norm(there - labels, axis=-1).mean()
        elsewhere = np.linalg.norm(there - turned_points(labels, size, turn), axis=-1).mean()
        if elsewhere < here / 2:
            suspects.append((face, upright))
    if suspects:
        face, upright = suspects[0]
        frames = ("upright", "as stored") if upright else ("as stored", "upright")
        log.warning(
            "%d predictions fit their labels far better when they are turned by the EXIF orientation of their images, "
            "first that on %s: the labels are of images %s, the predictions of images %s; set data.exif if the labels "
            "are of the others, or predict on images %s",
            *(len(suspects), shown(face.image), *frames, frames[0]),
        )
    return len(suspects)
