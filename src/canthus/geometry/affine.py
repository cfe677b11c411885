"""Planar affine maps as (..., 2, 3) matrices acting on column vectors: ``q = M[:, :2] p + M[:, 2]``.

Every crop, warp and alignment of the package is one of these. Points are ``(x, y)`` pixels, centres at integers.
"""

import torch
from torch import Tensor

__all__ = ["apply", "compose", "identity", "invert", "mirror", "rotation_scale", "similarity_fit", "translation"]


def identity(batch: int, *, device: torch.device | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
    """(B, 2, 3) identity maps."""
    return torch.eye(2, 3, device=device, dtype=dtype).expand(batch, 2, 3).clone()


def translation(offset: Tensor) -> Tensor:
    """(B, 2) offsets to (B, 2, 3) maps."""
    matrix = identity(len(offset), device=offset.device, dtype=offset.dtype)
    matrix[:, :, 2] = offset
    return matrix


def rotation_scale(angle: Tensor, scale: Tensor, centre: Tensor) -> Tensor:
    """Rotate and scale about a point.

    Args:
        angle: (B,) radians; positive turns x towards y, that is clockwise on an image.
        scale: (B,) factors.
        centre: (B, 2) the point that stays.

    Returns:
        (B, 2, 3) maps.
    """
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    linear = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
    offset = centre - (linear @ centre[..., None])[..., 0]
    return torch.cat([linear, offset[..., None]], -1)


def mirror(flags: Tensor, axis: float) -> Tensor:
    """Mirror ``x -> 2 axis - x`` where the flag is set, identity elsewhere.

    Args:
        flags: (B,) bool.
        axis: column that stays, pixels. ``(W - 1) / 2`` mirrors a whole frame: ``x -> W - 1 - x``.

    Returns:
        (B, 2, 3) maps. Landmark indices still need the scheme's permutation.
    """
    zero, one = (torch.full(flags.shape, value, device=flags.device) for value in (0.0, 1.0))
    across = torch.stack([torch.where(flags, -1.0, one), zero, torch.where(flags, 2 * axis, zero)], -1)
    return torch.stack([across, torch.stack([zero, one, zero], -1)], -2)


def apply(matrix: Tensor, points: Tensor) -> Tensor:
    """Map points: (B, 2, 3) and (B, K, 2) to (B, K, 2)."""
    # sums of products, here and below: autocast would turn a matrix product into bfloat16 and move points by a pixel
    return _product(points, matrix[..., :2].mT) + matrix[..., None, :, 2]


def compose(outer: Tensor, inner: Tensor) -> Tensor:
    """The map that applies ``inner`` first: ``apply(compose(f, g), p) == apply(f, apply(g, p))``."""
    linear = _product(outer[..., :2], inner[..., :2])
    offset = _product(outer[..., :2], inner[..., 2:]) + outer[..., 2:]
    return torch.cat([linear, offset], -1)


def invert(matrix: Tensor) -> Tensor:
    """The inverse maps, in closed form so that no solver and no device sync is needed."""
    a, b, c, d = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 1, 0], matrix[..., 1, 1]
    adjugate = torch.stack([torch.stack([d, -b], -1), torch.stack([-c, a], -1)], -2)
    linear = adjugate / (a * d - b * c)[..., None, None]
    return torch.cat([linear, -_product(linear, matrix[..., 2:])], -1)


def _product(left: Tensor, right: Tensor) -> Tensor:
    """(..., N, 2) times (..., 2, M), out of autocast's reach."""
    return left[..., :1] * right[..., :1, :] + left[..., 1:] * right[..., 1:, :]


def similarity_fit(source: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Least-squares similarity (rotation, one scale, translation; never a reflection) from source to target points.

    The closed form of DAN's connection layer: with centred points s, d and n = |s|^2, a = <s, d> / n and
    b = sum(s_x d_y - s_y d_x) / n. Runs in float32 at least, because bfloat16 loses half a pixel here.

    Args:
        source: (B, K, 2).
        target: (B, K, 2) or broadcastable.
        weight: (B, K) non-negative weights, for example 0 for unlabelled points. Points of weight 0 may be NaN.

    Returns:
        (B, 2, 3) maps.
    """
    dtype = torch.promote_types(source.dtype, torch.float32)
    with torch.autocast(source.device.type, enabled=False):
        source, target = torch.broadcast_tensors(source.to(dtype), target.to(dtype))
        w = torch.ones_like(source[..., :1]) if weight is None else weight.to(dtype)[..., None]
        source, target = (torch.where(w > 0, points, 0) for points in (source, target))
        total = w.sum(-2, keepdim=True)
        mean_s, mean_t = (w * source).sum(-2, keepdim=True) / total, (w * target).sum(-2, keepdim=True) / total
        s, t = source - mean_s, target - mean_t
        n = (w * s.square()).sum((-2, -1))
        a = (w * s * t).sum((-2, -1)) / n
        b = (w[..., 0] * (s[..., 0] * t[..., 1] - s[..., 1] * t[..., 0])).sum(-1) / n
        linear = torch.stack([torch.stack([a, -b], -1), torch.stack([b, a], -1)], -2)
        offset = mean_t.mT - linear @ mean_s.mT
        return torch.cat([linear, offset], -1)
