"""Faces brought into one frame by the similarity between five points and those of the generic face seen from the front.

The points are eye centres, tip of the nose and corners of the mouth, whatever scheme a method has.
"""

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from canthus.geometry import affine, boxes
from canthus.geometry.generic_face import SCHEME, generic_face
from canthus.schemes import Scheme, load_scheme, reduce_landmarks

__all__ = ["POINTS", "aligned", "alignment_maps", "alignment_points", "reduced", "template"]

POINTS = "5"
SHARE = 0.8
"""Of the frame that the larger side of the face takes."""


def template(size: int) -> Tensor:
    """(5, 2) where the five points go in a frame of ``size`` pixels."""
    front = generic_face().points[None, :, :2].double()
    frame = torch.tensor(boxes.centred_box(size, SHARE), dtype=torch.float64)
    placed = affine.apply(boxes.box_map(boxes.box_of_points(front), frame, by="longer"), front)
    return alignment_points(placed, load_scheme(SCHEME))[0]


def reduced(points: Tensor, scheme: Scheme, target: str) -> Tensor:
    """(N, K, 2) points of a scheme to (N, k, 2) of another.

    Raises:
        ValueError: the scheme does not reduce to it.
    """
    if scheme.name == target:
        return points
    seen = np.full(points.shape[1], 2, dtype=np.uint8)
    rows = [reduce_landmarks(row, seen, scheme, target)[0] for row in points.double().numpy()]
    return torch.from_numpy(np.stack(rows))


def alignment_points(points: Tensor, scheme: Scheme) -> Tensor:
    """(N, K, 2) points of a scheme to (N, 5, 2).

    Raises:
        ValueError: the scheme does not reduce to five points.
    """
    return reduced(points, scheme, POINTS)


def alignment_maps(points: Tensor, size: int) -> Tensor:
    """(N, 5, 2) points of images to (N, 2, 3) maps from original pixels to the frame."""
    return affine.similarity_fit(points, template(size)[None])


def aligned(pictures: Iterable[NDArray[np.uint8]], maps: Tensor, size: int) -> Iterator[NDArray[np.uint8]]:
    """Warp each image (H, W, 3) by its map to (size, size, 3); what lies outside it is black."""
    for picture, matrix in zip(pictures, maps.double().numpy(), strict=True):
        warped = cv2.warpAffine(picture, matrix, (size, size), flags=cv2.INTER_LINEAR)
        yield np.asarray(warped, dtype=np.uint8)
