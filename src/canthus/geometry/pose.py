"""Head pose: rotations and angles in the convention of 300W-LP's labels (3DDFA).

    Rx = [[1, 0, 0], [0, c, s], [0, -s, c]]    R = Rx(pitch) Ry(yaw) Rz(roll)
    Ry = [[c, 0, -s], [0, 1, 0], [s, 0, c]]
    Rz = [[c, s, 0], [-s, c, 0], [0, 0, 1]]

The model's y axis points up and its z axis to the camera, so that positive yaw turns the nose to the image's left,
positive pitch lifts it, and positive roll turns the head clockwise. Mirroring an image negates yaw and roll.

Angles are yaw, pitch, roll in radians, in this order. This R is the TRANSPOSE of the right-handed ``Rz Ry Rx`` that
6DRepNet makes of the same numbers; distances of rotations agree as long as both sides use one convention.

Rotations in the frame of a camera (y down, z away; `canthus.geometry.camera`) are others: `head_angles` and
`camera_rotation` lead from one to the other.
"""

import torch
from torch import Tensor

from canthus.geometry.devices import constant

__all__ = [
    "angles_of_rotation",
    "camera_rotation",
    "geodesic_angle",
    "head_angles",
    "mirrored_rotation",
    "rotation_of_angles",
    "rotation_of_columns",
    "rotation_of_vector",
    "vector_of_rotation",
]

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
    cosine = torch.linalg.vector_norm(m[..., 0, :2], dim=-1)
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


def head_angles(rotation: Tensor) -> Tensor:
    """(..., 3, 3) rotations in a camera's frame to (..., 3) yaw, pitch, roll."""
    return angles_of_rotation(_turned(rotation))


def camera_rotation(angles: Tensor) -> Tensor:
    """(..., 3) yaw, pitch, roll to (..., 3, 3) rotations in a camera's frame."""
    return _turned(rotation_of_angles(angles))


def _turned(rotation: Tensor) -> Tensor:
    """Between y down, z away and y up, z to the camera."""
    sign = constant((1.0, -1.0, -1.0), rotation, rotation.dtype)
    return sign[:, None] * rotation * sign


def mirrored_rotation(rotation: Tensor) -> Tensor:
    """(..., 3, 3) rotations of the faces in mirrored images; of rotation vectors, the signs (+, -, -)."""
    sign = constant((-1.0, 1.0, 1.0), rotation, rotation.dtype)
    return sign[:, None] * rotation * sign


def rotation_of_vector(vector: Tensor) -> Tensor:
    """(..., 3) rotation vectors (axis times angle, radians) to (..., 3, 3) rotations: Rodrigues' formula.

    Differentiable everywhere, at no rotation too.
    """
    angle = vector.square().sum(-1).clamp_min(torch.finfo(vector.dtype).tiny).sqrt()[..., None, None]
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    half = torch.sinc(angle / (2 * torch.pi))
    identity = torch.eye(3, dtype=vector.dtype, device=vector.device)
    with torch.autocast(vector.device.type, enabled=False):
        rotation: Tensor = identity + torch.sinc(angle / torch.pi) * cross + half.square() / 2 * (cross @ cross)
        return rotation


def vector_of_rotation(rotation: Tensor) -> Tensor:
    """(..., 3, 3) rotations to (..., 3) rotation vectors of an angle in [0, pi].

    By the largest component of the unit quaternion, so that it is exact near half turns, too.
    """
    m = rotation
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    x, y, z = (m[..., i, j] - m[..., j, i] for i, j in ((2, 1), (0, 2), (1, 0)))
    a, b, c = (m[..., i, j] + m[..., j, i] for i, j in ((0, 1), (0, 2), (1, 2)))
    rows = [(1 + xx + yy + zz, x, y, z), (x, 1 + xx - yy - zz, a, b)]
    rows += [(y, a, 1 - xx + yy - zz, c), (z, b, c, 1 - xx - yy + zz)]
    candidates = torch.stack(
        [torch.stack(row, -1) for row in rows], -2
    )  # each is the quaternion times 4 of a component
    largest = candidates.diagonal(dim1=-2, dim2=-1).argmax(-1)
    quaternion = candidates.gather(-2, largest[..., None, None].expand(*largest.shape, 1, 4))[..., 0, :]
    quaternion = quaternion * torch.where(quaternion[..., :1] < 0, -1.0, 1.0)
    sine = torch.linalg.vector_norm(quaternion[..., 1:], dim=-1, keepdim=True)
    angle = 2 * torch.atan2(sine, quaternion[..., :1])
    small = sine < torch.finfo(m.dtype).eps
    return quaternion[..., 1:] * torch.where(small, 2 / quaternion[..., :1], angle / torch.where(small, 1.0, sine))


def rotation_of_columns(columns: Tensor) -> Tensor:
    """(..., 6) first two columns, not quite orthonormal, to (..., 3, 3) rotations by Gram-Schmidt.

    The continuous representation of Zhou et al., CVPR 2019; rotation vectors and angles jump somewhere.
    """
    first, second = columns[..., :3], columns[..., 3:]
    x = torch.nn.functional.normalize(first, dim=-1)
    y = torch.nn.functional.normalize(second - (x * second).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], -1)
