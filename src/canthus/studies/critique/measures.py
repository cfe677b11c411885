"""FacePoseNet's critique of landmark benchmarks in numbers: what an error counts when a head turns."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from canthus.geometry import boxes
from canthus.geometry.camera import Camera, placed
from canthus.geometry.generic_face import generic_face
from canthus.geometry.pose import camera_rotation

__all__ = ["errors_over_yaw", "normalisers_over_yaw", "yaw_bins"]

EYES = (36, 45)
DEPTH = 3000.0
"""Of a usual pose, millimetres."""
EDGES = (0, 15, 30, 45, 91)
"""Of the bins of absolute yaw, degrees."""


def normalisers_over_yaw(degrees: Sequence[float]) -> list[dict[str, float]]:
    """How the generic face's normalisers shrink with yaw, and how much more one pixel of error counts for that.

    Returns:
        For each angle ``yaw``, ``inter_ocular`` and ``box`` in pixels of the 224 px crop, and ``inter_ocular_factor``
        and ``box_factor``, what a pixel counts against yaw 0.
    """
    yaw = torch.tensor([0.0, *degrees], dtype=torch.float64).deg2rad()
    angles = torch.stack([yaw, torch.zeros_like(yaw), torch.zeros_like(yaw)], 1)
    away = torch.tensor([0, 0, DEPTH], dtype=torch.float64).expand(len(yaw), 3)
    points = Camera().project(placed(generic_face().points.double(), camera_rotation(angles), away))
    eyes, box = _distances(points)
    rows = zip(degrees, eyes[1:].tolist(), box[1:].tolist(), strict=True)
    return [
        {
            "yaw": float(angle),
            "inter_ocular": eye,
            "box": side,
            "inter_ocular_factor": float(eyes[0]) / eye,
            "box_factor": float(box[0]) / side,
        }
        for angle, eye, side in rows
    ]


def yaw_bins(landmarks: Tensor, yaw: Tensor, edges: Sequence[float] = EDGES) -> list[dict[str, float]]:
    """The same on labelled faces: median ratio of the inter-ocular distance to the box by absolute yaw.

    Args:
        landmarks: (N, 68, 2).
        yaw: (N,) radians, NaN where it is not known.
        edges: degrees.

    Returns:
        For each bin with faces ``from``, ``to``, ``faces`` and ``ratio``.
    """
    eyes, box = _distances(landmarks)
    return [
        {"from": low, "to": high, "faces": int(inside.sum()), "ratio": float((eyes / box)[inside].median())}
        for low, high, inside in _bins(yaw, edges)
    ]


def errors_over_yaw(
    errors: Mapping[str, NDArray[np.float64]], yaw: Tensor, edges: Sequence[float] = EDGES
) -> list[dict[str, float]]:
    """How a method fares by absolute yaw under several normalisers.

    Args:
        errors: normaliser -> (N,) NME in percent.
        yaw: (N,) radians, NaN where it is not known.
        edges: degrees.

    Returns:
        For each bin with faces ``from``, ``to``, ``faces``, and the mean NME by normaliser.
    """
    return [
        {"from": low, "to": high, "faces": int(inside.sum())}
        | {name: float(values[inside.numpy()].mean()) for name, values in errors.items()}
        for low, high, inside in _bins(yaw, edges)
    ]


def _bins(yaw: Tensor, edges: Sequence[float]) -> list[tuple[float, float, Tensor]]:
    degrees = yaw.abs().rad2deg()
    bins = [(float(low), float(high), (degrees >= low) & (degrees < high)) for low, high in pairwise(edges)]
    return [(low, high, inside) for low, high, inside in bins if bool(inside.any())]


def _distances(points: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) between the outer eye corners and (N,) geometric means of the sides of the box."""
    box = boxes.box_of_points(points)
    left, right = EYES
    return (points[:, left] - points[:, right]).norm(dim=-1), (box[:, 2:] - box[:, :2]).prod(-1).sqrt()
