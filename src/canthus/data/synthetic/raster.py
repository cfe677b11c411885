"""Rasterising triangles in batches: which triangle is nearest at each sample of each picture.

Every triangle is cut into rows of samples, so that only covered samples are looked at, and the nearest is found by one
scatter of packed (depth, triangle) keys. All arithmetic is exact in order, so that a picture has the same
samples alone and in a batch.
"""

import torch
from torch import Tensor

__all__ = ["barycentric", "rasterise"]

NOTHING = torch.iinfo(torch.int64).max
DEPTH_LEVELS = float(1 << 30)


def rasterise(
    corners: Tensor, triangles: Tensor, picture: Tensor, count: int, side: int, *, cull: bool = True
) -> Tensor:
    """Find the nearest triangle at each sample.

    Args:
        corners: (V, 3) sample column, sample row, and nearness: the inverse of the depth, scaled into (0, 1].
        triangles: (T, 3) corners, clockwise as seen from the front with y down.
        picture: (T,) picture of each triangle.
        count: B pictures.
        side: samples per row and per column.
        cull: leave out triangles seen from behind.

    Returns:
        (B, side, side) int64 triangles, -1 where there is none.
    """
    ids = torch.arange(len(triangles), device=corners.device)
    a, b, c = (corners[triangles[:, k]] for k in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    top = torch.minimum(torch.minimum(a[:, 1], b[:, 1]), c[:, 1])
    bottom = torch.maximum(torch.maximum(a[:, 1], b[:, 1]), c[:, 1])
    left = torch.minimum(torch.minimum(a[:, 0], b[:, 0]), c[:, 0])
    right = torch.maximum(torch.maximum(a[:, 0], b[:, 0]), c[:, 0])
    first = top.ceil().clamp(0, side).long()
    rows = bottom.ceil().clamp(0, side).long() - first
    kept = (area > 1e-9 if cull else area.abs() > 1e-9) & (rows > 0) & (right >= 0) & (left <= side - 1)
    kept = kept.nonzero()[:, 0]
    a, b, c, rows, first, area, ids = a[kept], b[kept], c[kept], rows[kept], first[kept], area[kept], ids[kept]

    # nearness is linear on the screen
    dx = ((b[:, 2] - a[:, 2]) * (c[:, 1] - a[:, 1]) - (c[:, 2] - a[:, 2]) * (b[:, 1] - a[:, 1])) / area
    dy = ((c[:, 2] - a[:, 2]) * (b[:, 0] - a[:, 0]) - (b[:, 2] - a[:, 2]) * (c[:, 0] - a[:, 0])) / area
    owner = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), rows)
    y = torch.arange(len(owner), device=rows.device) - (rows.cumsum(0) - rows)[owner] + first[owner]
    yf = y.to(corners.dtype)
    low = torch.full_like(yf, torch.inf)
    high = torch.full_like(yf, -torch.inf)
    for p, q in ((a, b), (b, c), (c, a)):
        # from the upper to the lower end, so that both triangles of an edge compute the same columns
        swap = (p[:, 1] > q[:, 1])[:, None]
        upper, lower = torch.where(swap, q, p), torch.where(swap, p, q)
        slope = (lower[:, 0] - upper[:, 0]) / (lower[:, 1] - upper[:, 1])
        edge = torch.stack([upper[:, 0], upper[:, 1], lower[:, 1], slope], 1)[owner]
        x = edge[:, 0] + (yf - edge[:, 1]) * edge[:, 3]
        crossed = (edge[:, 1] <= yf) & (yf < edge[:, 2])
        low = torch.where(crossed, torch.minimum(low, x), low)
        high = torch.where(crossed, torch.maximum(high, x), high)
    begin = low.ceil().clamp(0, side)
    length = (high.ceil().clamp(0, side) - begin).clamp(min=0)
    filled = (length > 0).nonzero()[:, 0]
    owner, y, yf, begin, length = owner[filled], y[filled], yf[filled], begin[filled], length[filled].long()
    plane = torch.stack([a[:, 0], a[:, 1], a[:, 2], dx, dy], 1)[owner]
    start = plane[:, 2] + (begin - plane[:, 0]) * plane[:, 3] + (yf - plane[:, 1]) * plane[:, 4]
    place = (picture[ids[owner]] * side + y) * side + begin.long()

    span = torch.repeat_interleave(torch.arange(len(length), device=length.device), length)
    step = torch.arange(len(span), device=length.device) - (length.cumsum(0) - length)[span]
    nearness = start[span] + step.to(start.dtype) * plane[:, 3][span]
    depth = ((1 - nearness.clamp(0, 1)) * DEPTH_LEVELS).long()
    key = depth << 32 | ids[owner][span]
    nearest = torch.full((count * side * side,), NOTHING, dtype=torch.int64, device=corners.device)
    nearest.scatter_reduce_(0, place[span] + step, key, "amin")
    found = torch.where(nearest == NOTHING, -1, nearest & 0xFFFFFFFF)
    return found.view(count, side, side)


def barycentric(corners: Tensor, triangles: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """(N, 3) perspective weights of the corners of (N, 3) triangles at samples (x, y)."""
    a, b, c = (corners[triangles[:, k]] for k in range(3))
    u = (b[:, 0] - x) * (c[:, 1] - y) - (b[:, 1] - y) * (c[:, 0] - x)
    v = (c[:, 0] - x) * (a[:, 1] - y) - (c[:, 1] - y) * (a[:, 0] - x)
    w = (a[:, 0] - x) * (b[:, 1] - y) - (a[:, 1] - y) * (b[:, 0] - x)
    u, v, w = (part.clamp(min=0) * corner[:, 2] for part, corner in ((u, a), (v, b), (w, c)))
    total = u + v + w + 1e-12
    return torch.stack([u / total, v / total, w / total], 1)
