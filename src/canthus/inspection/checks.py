"""Looking for what is odd in the labels: places, boxes and shapes. Each check gives findings, the worst first."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from canthus.inspection.collection import Collection
from canthus.inspection.findings import Finding, Limits
from canthus.inspection.shapes import LEAST_POINTS, ShapeModel, exchanges

__all__ = ["check_boxes", "check_places", "check_shapes"]

Floats = NDArray[np.float64]
UPSIDE_DOWN = 120.0
"""Degrees of roll. Lying heads reach 90; 180 is what a forgotten EXIF orientation makes."""
SINGLE = 1e-6
"""Pixels within which two points are the same."""


def check_places(data: Collection, limits: Limits) -> list[Finding]:
    """Points beyond the image, on one spot, or with no distance to divide errors by."""
    edge = data.size - 1
    beyond = np.maximum(-data.points, data.points - edge[:, None]).max(2)
    worst = _largest(beyond)
    number = (beyond > limits.outside).sum(1)
    found = [Finding("points_outside", i, worst[i], f"{number[i]} points") for i in _above(worst, limits.outside)]
    centre = _nanmean(data.points)
    away = np.maximum(-centre, centre - edge).max(1)
    apart = np.maximum(-data.box[:, 2:], data.box[:, :2] - edge).max(1)  # how far the whole box is beyond an edge
    for name, distance in (("the middle of the points", away), ("the box", apart)):
        found += [Finding("face_outside", i, distance[i], f"{name} is outside") for i in _above(distance, 0)]
    found += _coincident(data, limits.coincident)
    size = _size(data.points_box())
    for name, groups in data.scheme.normalisers.items():
        left, right = (data.points[:, list(group)].mean(1) for group in groups)
        distance = np.linalg.norm(right - left, axis=1)
        found += [Finding("zero_distance", i, distance[i], name) for i in _above(-distance, -SINGLE)]
        if name == next(iter(data.scheme.normalisers)):
            ratio = np.where(distance > SINGLE, distance / size, np.nan)
            found += [Finding("narrow_eyes", i, ratio[i], name) for i in _above(-ratio, -limits.narrow)]
    return found


def check_boxes(data: Collection, limits: Limits) -> list[Finding]:
    """Boxes that are tiny, far from the points, or there twice."""
    side = data.side
    found = [Finding("tiny_box", i, side[i], f"{side[i]:.1f} px") for i in _above(-side, -limits.tiny)]
    low, high = data.box[:, None, :2], data.box[:, None, 2:]
    off = _largest(np.maximum(low - data.points, data.points - high).max(2)) / side
    found += [Finding("points_off_box", i, off[i]) for i in _above(off, limits.off_box)]
    tight = data.points_box()
    apart = np.linalg.norm((data.box[:, :2] + data.box[:, 2:] - tight[:, :2] - tight[:, 2:]) / 2, axis=1) / side
    found += [Finding("box_off_points", i, apart[i]) for i in _above(apart, limits.off_centre)]
    return found + list(_labelled_twice(data, limits.overlap))


def check_shapes(data: Collection, model: ShapeModel, limits: Limits) -> list[Finding]:
    """Faces whose points are in an order or place that no other face has.

    Args:
        data: the faces.
        model: of their shapes.
        limits: see there.
    """
    residual = model.residual(data.points, data.visibility)
    middle = np.nanmedian(residual)
    spread = max(1.4826 * float(np.nanmedian(np.abs(residual - middle))), 1e-9)
    found = []
    swapped: set[int] = set()
    for sides, permutation in exchanges(data.scheme).items():
        exchanged = model.residual(data.points[:, permutation], data.visibility[:, permutation])
        ordinary = exchanged <= middle + limits.odd * spread  # else the points are in disorder, not exchanged
        ratio = np.where(ordinary, residual / np.maximum(exchanged, 1e-9), np.nan)
        rows = [i for i in _above(ratio, limits.swapped) if i not in swapped]
        found += [Finding("swapped_sides", i, ratio[i], f"{sides} exchanged") for i in rows]
        swapped.update(rows)
    deviations = (residual - middle) / spread
    deviation = model.deviation(data.points, data.visibility)
    for i in _above(deviations, limits.odd):
        worst = int(np.nanargmax(deviation[i]))
        found.append(Finding("odd_shape", i, deviations[i], f"most at {data.scheme.names[worst]} ({worst})"))
    roll = np.degrees(np.abs(model.roll(data.points, data.visibility)))
    return found + [Finding("upside_down", i, roll[i]) for i in _above(roll, UPSIDE_DOWN)]


def _coincident(data: Collection, limit: float) -> list[Finding]:
    share = np.zeros(len(data.faces))
    for i, (points, labelled) in enumerate(zip(data.points, data.labelled, strict=True)):
        if labelled.sum() >= LEAST_POINTS:
            _, counts = np.unique(points[labelled], axis=0, return_counts=True)
            share[i] = counts[counts > 1].sum() / labelled.sum()
    return [Finding("coincident_points", i, share[i]) for i in _above(share, limit)]


def _labelled_twice(data: Collection, limit: float) -> Iterator[Finding]:
    on_image: dict[object, list[int]] = {}
    for i, face in enumerate(data.faces):
        on_image.setdefault((face.image, data.splits[i]), []).append(i)
    for rows in on_image.values():
        if len(rows) > 1:
            overlap = np.triu(_overlaps(data.box[rows]), 1).T  # a row each, compared with the faces before it
            for row, first in zip(*np.nonzero(overlap > limit), strict=True):
                other = rows[int(first)]
                yield Finding("labelled_twice", rows[int(row)], float(overlap[row, first]), f"face {other}", other)


def _overlaps(box: Floats) -> Floats:
    """(N, N) intersection over union."""
    low, high = np.maximum(box[:, None, :2], box[None, :, :2]), np.minimum(box[:, None, 2:], box[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(2)
    area = (box[:, 2:] - box[:, :2]).prod(1)
    return np.asarray(shared / (area[:, None] + area[None] - shared))


def _size(box: Floats) -> Floats:
    return np.asarray(np.sqrt((box[:, 2:] - box[:, :2]).prod(1)))


def _above(values: Floats, limit: float) -> list[int]:
    """Indices of values above (NaN never is), the largest first."""
    rows = np.flatnonzero(values > limit)
    return [int(row) for row in rows[np.argsort(-values[rows], kind="stable")]]


def _largest(values: Floats) -> Floats:
    """Row maxima that leave out NaN; NaN for rows of nothing else."""
    largest = np.where(np.isfinite(values), values, -np.inf).max(1)
    return np.where(np.isfinite(largest), largest, np.nan)


def _nanmean(points: Floats) -> Floats:
    labelled = np.isfinite(points[..., 0])
    count = labelled.sum(1)[:, None]
    total = np.where(labelled[..., None], points, 0).sum(1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
