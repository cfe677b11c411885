"""Rasterising triangles in batches: which triangle is nearest at each sample of each image.

Every triangle is cut into rows of samples, so that only covered samples are looked at, and the nearest is found by one
scatter of packed (nearness, triangle) keys. All arithmetic is exact in order, so that an image has the same
samples alone and in a batch. Coordinates are rows of numbers, (C, N): a processor reads those several times as fast
as (N, C).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Samples", "Triangles", "gather", "rasterise", "samples_of"]


def gather(rows: Tensor, at: Tensor) -> Tensor:
    """(C, V) rows and (N,) columns to (C, N): a row at a time, many times as fast as ``rows[:, at]`` on a processor."""
    if rows.device.type != "cpu":
        return rows[:, at]
    out = torch.empty(len(rows), len(at), dtype=rows.dtype)
    for row, target in zip(rows, out, strict=True):
        torch.index_select(row, 0, at, out=target)
    return out


@dataclass(frozen=True, eq=False)
class Triangles:
    """Triangles of a batch.

    Attributes:
        corners: (3, T) int32 rows of the corners, clockwise as seen from the front with y down.
        picture: (T,) int32, which image each is in.
    """

    corners: Tensor
    picture: Tensor

    def __len__(self) -> int:
        return self.corners.shape[1]


def rasterise(points: Tensor, triangles: Triangles, count: int, side: int) -> Tensor:
    """Find the nearest triangle at each sample; triangles seen from behind are left out.

    Args:
        points: (3, V) sample column, sample row, and nearness: the inverse of the depth, scaled into (0, 1].
        triangles: between them.
        count: B images.
        side: samples per row and per column.

    Returns:
        (B * side * side,) int32 triangles, -1 where there is none.
    """
    ids, first, rows = _shown(points, triangles, side)
    edges, plane = _edges(gather(points, gather(triangles.corners, ids).view(-1)).view(3, 3, -1))

    # rows of samples that triangles cross: between the long edge and one of the two short ones
    owner, y = _counted(rows)
    y += first.index_select(0, owner)
    yf = y.to(points.dtype)
    lower = yf >= edges[3, 1].index_select(0, owner)  # below the middle corner
    short = owner + lower * len(rows)
    long_x, long_y, long_slope = gather(edges[:3, 0], owner)
    short_x, short_y, short_slope = gather(edges[:3, 1:].flatten(1), short)
    one, other = long_x + (yf - long_y) * long_slope, short_x + (yf - short_y) * short_slope
    begin = torch.minimum(one, other).ceil().clamp(0, side)
    length = (torch.maximum(one, other).ceil().clamp(0, side) - begin).int()
    filled = (length > 0).nonzero()[:, 0]
    owner, y, begin, length = (row.index_select(0, filled) for row in (owner, y, begin, length))

    # nearness is linear on the screen
    x0, y0, near, dx, dy = gather(plane, owner)
    near = near + (begin - x0) * dx + (y.to(points.dtype) - y0) * dy
    ids = ids.index_select(0, owner)
    place = y * side + begin.int()
    if count > 1:
        place += triangles.picture.index_select(0, ids) * (side * side)

    # samples of those rows
    span, step = _counted(length)
    near, dx = gather(torch.stack([near, dx]), span)
    near = torch.addcmul(near, dx, step.to(near.dtype)).clamp_(min=0)
    ids, place = gather(torch.stack([ids, place]), span)
    # positive floats are in the order of their bits
    key = near.view(torch.int32).long() << 32 | ids
    nearest = torch.full((count * side * side,), -1, dtype=torch.int64, device=points.device)
    nearest.scatter_reduce_(0, place.add_(step).long(), key, "amax")
    return torch.where(nearest < 0, -1, nearest.int())


def _counted(lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Runs of (K,) int32 lengths: of every element the run that it is in, and its number there, both int32."""
    run = torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device, dtype=torch.int32), lengths)
    before = (lengths.cumsum(0) - lengths).int()
    return run, torch.arange(len(run), device=run.device, dtype=torch.int32).sub_(before.index_select(0, run))


def _shown(points: Tensor, triangles: Triangles, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Triangles that face the camera and cross rows of the picture: ids (K,), their first row, and how many."""
    x, y = gather(points[:2], triangles.corners.view(-1)).view(2, 3, -1)
    area = (x[1] - x[0]) * (y[2] - y[0]) - (y[1] - y[0]) * (x[2] - x[0])
    first = y.amin(0).ceil().clamp(0, side)
    rows = y.amax(0).ceil().clamp(0, side) - first
    kept = (area > 1e-9) & (rows > 0) & (x.amax(0) >= 0) & (x.amin(0) <= side - 1)
    ids = kept.nonzero()[:, 0].int()
    return ids, first.index_select(0, ids).int(), rows.index_select(0, ids).int()


def _edges(xyz: Tensor) -> tuple[Tensor, Tensor]:
    """Borders and planes of triangles.

    Edges run from the upper to the lower corner, so that both triangles of an edge compute the same columns.

    Args:
        xyz: (3, 3, K) column, row and nearness of the three corners.

    Returns:
        (4, 3, K) column and row of the upper end, slope, and row of the lower end, of the long edge and of the upper
        and the lower short edge; (5, K) column, row and nearness of a corner, and how nearness grows along x and y.
    """
    (ax, bx, cx), (ay, by, cy), (az, bz, cz) = xyz
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    dx = ((bz - az) * (cy - ay) - (cz - az) * (by - ay)) / area
    dy = ((cz - az) * (bx - ax) - (bz - az) * (cx - ax)) / area
    x, y = xyz[0], xyz[1]
    order = y.argsort(0)
    x, y = x.gather(0, order), y.gather(0, order)
    upper, lower = [0, 0, 1], [2, 1, 2]
    slope = (x[lower] - x[upper]) / (y[lower] - y[upper])
    return torch.stack([x[upper], y[upper], slope, y[lower]]), torch.stack([ax, ay, az, dx, dy])


@dataclass(frozen=True, eq=False)
class Samples:
    """N samples on triangles.

    Attributes:
        x: (N,) column, float; y: row.
        picture: (N,) which image each is in.
        corners: (3, N) corners of the triangle.
        weights: (3, N) their shares, corrected for perspective.
    """

    x: Tensor
    y: Tensor
    picture: Tensor
    corners: Tensor
    weights: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def part(self, which: slice) -> "Samples":
        """Some of them, as views."""
        fields = (self.x, self.y, self.picture, self.corners, self.weights)
        return Samples(*(field[..., which] for field in fields))

    def interpolate(self, rows: Tensor) -> Tensor:
        """(C, V) values at corners to (C, N) at samples."""
        a, b, c = (gather(rows, corner) for corner in self.corners)
        return a * self.weights[0] + b * self.weights[1] + c * self.weights[2]


def samples_of(points: Tensor, triangles: Triangles, ids: Tensor, place: Tensor, side: int) -> Samples:
    """Samples (N,) ``place`` of a batch on triangles (N,) ``ids``; other arguments as of `rasterise`."""
    place = place.int()
    row = place // side
    picture = row // side
    x, y = (place - row * side).to(points.dtype), (row - picture * side).to(points.dtype)
    corners = gather(triangles.corners, ids)
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = (gather(points, corner) for corner in corners)
    u = ((bx - x) * (cy - y) - (by - y) * (cx - x)).clamp(min=0) * az
    v = ((cx - x) * (ay - y) - (cy - y) * (ax - x)).clamp(min=0) * bz
    w = ((ax - x) * (by - y) - (ay - y) * (bx - x)).clamp(min=0) * cz
    return Samples(x, y, picture, corners, torch.stack([u, v, w]) / (u + v + w + 1e-12))
