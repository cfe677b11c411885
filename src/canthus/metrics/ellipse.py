"""The exact overlap of a box and an ellipse, for FDDB."""

import itertools
import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["box_ellipse_iou"]

Array = NDArray[np.float64]


def box_ellipse_iou(box: Array, ellipse: Array) -> float:
    """Intersection over union of areas.

    Args:
        box: (4,) ``xyxy``.
        ellipse: (5,) two radii, the angle of the first in radians, centre x and y.

    Returns:
        In [0, 1].
    """
    first, second, angle, x, y = ellipse.tolist()
    x1, y1, x2, y2 = box.tolist()
    cosine, sine = math.cos(angle), math.sin(angle)
    # in the frame in which the ellipse is the unit circle, the box is a parallelogram
    corners = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]]) - [x, y]
    corners = np.stack([corners @ [cosine, sine] / first, corners @ [-sine, cosine] / second], 1)
    area = sum(_sector(corners[i - 1], corners[i]) for i in range(4))
    intersection = abs(area) * first * second
    union = (x2 - x1) * (y2 - y1) + math.pi * first * second - intersection
    return float(np.clip(intersection / union, 0, 1))


def _sector(start: Array, end: Array) -> float:
    """Signed area of the unit circle's part in the triangle from its centre to an edge."""
    edge = end - start
    length, along = float(edge @ edge), float(start @ edge)
    if length == 0:
        return 0.0
    discriminant = along**2 - length * (float(start @ start) - 1)
    cuts = [0.0, 1.0]
    if discriminant > 0:
        root = math.sqrt(discriminant)
        cuts[1:1] = [t for t in ((-along - root) / length, (-along + root) / length) if 0 < t < 1]
    area = 0.0
    for a, b in itertools.pairwise(cuts):
        p, q, middle = (start + t * edge for t in (a, b, (a + b) / 2))
        cross = float(p[0] * q[1] - p[1] * q[0])
        # inside the circle a triangle, outside a sector; an edge that only touches it is outside, however it is rounded
        inside = discriminant > 0 and middle @ middle < 1
        area += cross / 2 if inside else math.atan2(cross, float(p @ q)) / 2
    return area
