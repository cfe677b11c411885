"""Head pose: rotations and angles in the convention of 300W-LP's labels (3DDFA).

    Rx = [[1, 0, 0], [0, c, s], [0, -s, c]]    R = Rx(pitch) Ry(yaw) Rz(roll)
    Ry = [[c, 0, -s], [0, 1, 0], [s, 0, c]]
    Rz = [[c, s, 0], [-s, c, 0], [0, 0, 1]]

Angles are yaw, pitch, roll in radians, in this order. This R is the TRANSPOSE of the right-handed ``Rz Ry Rx`` that
6DRepNet makes of the same numbers; distances of rotations agree as long as both sides use one convention.
"""

import torch
from torch import Tensor

__all__ = ["angles_of_rotation", "geodesic_angle", "rotation_of_angles"]

LOCKED = 1e-6
"""Cosine of yaw below which pitch and roll turn about one axis, and only their sum or difference is defined."""


def rotation_of_angles(angles: Tensor) -> Tensor:
    """(..., 3) yaw, pitch, roll to (..., 3, 3) rotations."""
    (cy, cx, cz), (sy, sx, sz) = (part.unbind(-1) for part in (angles.cos(), angles.sin()))
    rows = [
        torch.stack([cy * cz, cy * sz, -sy], -1),
        torch.stack([sx * sy * cz - cx * sz, sx * sy * sz + cx * cz, sx * cy], -1),
        torch.stack([cx * sy * cz + sx * sz, cx * sy * sz - sx * cz, cx * cy], -1),
    ]
    return torch.stack(rows, -2)


def angles_of_rotation(rotation: Tensor) -> Tensor:
    """(..., 3, 3) rotations to (..., 3) yaw in [-pi/2, pi/2], pitch and roll in (-pi, pi].

    At a yaw of a quarter turn pitch and roll are not unique: roll is 0 then, and pitch takes the whole turn.
    """
    m = rotation
    cosine = torch.hypot(m[..., 0, 0], m[..., 0, 1])
    yaw = torch.atan2(-m[..., 0, 2], cosine)  # not asin, which is coarse near a quarter turn
    locked = cosine < LOCKED
    pitch = torch.where(locked, torch.atan2(-m[..., 2, 1], m[..., 1, 1]), torch.atan2(m[..., 1, 2], m[..., 2, 2]))
    roll = torch.where(locked, 0.0, torch.atan2(m[..., 0, 1], m[..., 0, 0]))
    return torch.stack([yaw, pitch, roll], -1)


def geodesic_angle(first: Tensor, second: Tensor) -> Tensor:
    """(..., 3, 3) and (..., 3, 3) rotations to the (...) angle in [0, pi] of the turn between them, radians.

    The same as ``arccos((trace(A B^T) - 1) / 2)``, which loses half of the digits near 0 and near pi.
    """
    sine = torch.linalg.matrix_norm(first - second) / 8**0.5
    trace = (first * second).sum((-2, -1))
    return 2 * torch.atan2(sine, ((1 + trace).clamp(min=0) / 4).sqrt())
