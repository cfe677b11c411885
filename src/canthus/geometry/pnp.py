"""Pose from points (PnP) for whole batches on any device: a linear start, then Levenberg-Marquardt."""

from dataclasses import dataclass

import torch
from torch import Tensor

from canthus.geometry import boxes, devices
from canthus.geometry.camera import Camera, placed
from canthus.geometry.devices import constant
from canthus.geometry.pose import head_angles, rotation_of_columns, rotation_of_vector, vector_of_rotation

__all__ = ["PoseSolution", "solve_pnp"]

LEAST_POINTS = 6
"""Points that a label needs: three have up to four solutions, and none is left to judge them by."""
FIRST_ITERATIONS, ITERATIONS = 4, 24
"""Steps from both starts, then from the better one."""
CHUNK = 512
"""Faces at once: what they need stays in a processor's cache."""
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-10}
"""A face has settled when a step turns it by less, moves it by less of its depth, or gains less of its error."""


Pose = tuple[Tensor, Tensor, Tensor]
"""Rotations, translations and costs."""


@dataclass(frozen=True)
class PoseSolution:
    """Poses of B faces.

    Attributes:
        rotation: (B, 3, 3), camera frame.
        translation: (B, 3), units of the 3-D face.
        error: (B,) weighted root mean square re-projection error, pixels.
        valid: (B,) whether it can be a face: enough points, before the camera, turned to it, and an error within the
            limit. Points of a mirrored face, or a mirrored solution, fit best where a face looks away.
    """

    rotation: Tensor
    translation: Tensor
    error: Tensor
    valid: Tensor

    @property
    def vector(self) -> Tensor:
        """(B, 6) rotation vector and translation: FacePoseNet's h."""
        return torch.cat([vector_of_rotation(self.rotation), self.translation], -1)

    @property
    def angles(self) -> Tensor:
        """(B, 3) yaw, pitch, roll (see `canthus.geometry.pose`)."""
        return head_angles(self.rotation)


def solve_pnp(
    points: Tensor,
    model: Tensor,
    camera: Camera,
    weight: Tensor | None = None,
    *,
    limit: float = 0.05,
    least: int = LEAST_POINTS,
) -> PoseSolution:
    """Find the poses under which a 3-D face is seen at given points.

    The start is that of DeMenthon and Davis, IJCV 1995 (POS): an affine camera by least squares, made a scaled
    rotation. A nearly flat face looks much the same when its depth is reversed, so the reversed start is followed, too.

    Args:
        points: (B, K, 2), image's frame of ``camera``.
        model: (K, 3), or (B, K, 3) if every face has a shape of its own; z away from the camera.
        camera: of the image.
        weight: (K,) or (B, K) non-negative weights of the squared errors; 0 for unlabelled points, which may be NaN.
        limit: largest error of a valid pose, in geometric means of the sides of the box around the points.
        least: points that a valid pose needs, 4 at least and not all of them in one plane.

    Returns:
        In the dtype of ``points``, float32 at least. Nothing in it is NaN; look at ``valid``.
    """
    weight = torch.ones_like(points[..., 0]) if weight is None else weight.expand(points.shape[:2])
    model = model.expand(len(points), -1, 3)
    parts = [
        _solved(*some, camera, limit, least)
        for some in zip(points.split(CHUNK), model.split(CHUNK), weight.split(CHUNK), strict=True)
    ]
    return PoseSolution(*(torch.cat(values) for values in zip(*parts, strict=True)))


def _solved(
    points: Tensor, model: Tensor, weight: Tensor, camera: Camera, limit: float, least: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    dtype = torch.promote_types(points.dtype, torch.float32)
    with torch.autocast(points.device.type, enabled=False):
        model = model.to(dtype)
        used = weight > 0
        enough = (used.sum(1) >= least) & torch.where(used[..., None], points, 0).isfinite().all((1, 2))
        # what has too few points is solved for the unturned face instead, so that the batch stays finite
        unturned = camera.project(model + constant((0.0, 0.0, camera.focal), model, dtype))
        points = torch.where((used & enough[:, None])[..., None], points.to(dtype), unturned)
        weight = torch.where(enough[:, None], weight.to(dtype), 1.0)
        weight = weight / weight.sum(1, keepdim=True)
        rotation, translation = _linear_start(points - camera.side / 2, model, camera.focal, weight)
        depth = constant((1.0, 1.0, -1.0), rotation, dtype)
        seen = points, model, camera, weight
        starts = [
            _refined(start, translation, *seen, FIRST_ITERATIONS)
            for start in (rotation, depth[:, None] * rotation * depth)
        ]
        rotation, translation, _ = _better(*starts)
        rotation, translation, cost = _refined(rotation, translation, *seen, ITERATIONS)
        error = cost.sqrt()
        size = _box_size(points, used & enough[:, None])
        facing = (rotation[:, 2, 2] > 0) & (translation[:, 2] > 0)
        return rotation, translation, error, enough & facing & (error <= limit * size)


def _linear_start(points: Tensor, model: Tensor, focal: float, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Scaled orthography: rotations and translations for points about the principal point."""
    w = weight[..., None]
    centre, middle = (w * model).sum(1, keepdim=True), (w * points).sum(1, keepdim=True)
    x, u = model - centre, points - middle
    normal = x.mT @ (w * x)
    ridge = 1e-6 * normal.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
    normal = normal + ridge * torch.eye(3, dtype=x.dtype, device=x.device)
    affine = torch.linalg.solve_ex(normal, x.mT @ (w * u))[0].mT  # (B, 2, 3); `solve` would wait for its check
    first, second = affine.unbind(1)
    # the closest pair of equally long, orthogonal rows: the polar factor, of a 2x2 root in closed form
    gram = affine @ affine.mT
    area = torch.linalg.det(gram).clamp_min(torch.finfo(x.dtype).tiny).sqrt()
    scale = ((first.square().sum(1) + second.square().sum(1) + 2 * area).sqrt() / 2).clamp_min(1e-6)
    root = gram + area[:, None, None] * torch.eye(2, dtype=x.dtype, device=x.device)
    rows = torch.linalg.solve_ex(root, affine)[0]
    rotation = rotation_of_columns(rows.flatten(1)).mT
    depth = focal / scale
    origin = middle[:, 0] - scale[:, None] * (rotation[:, :2] @ centre.mT)[..., 0]
    return rotation, torch.cat([origin / scale[:, None], depth[:, None]], 1)


def _refined(
    rotation: Tensor, translation: Tensor, points: Tensor, model: Tensor, camera: Camera, weight: Tensor, steps: int
) -> Pose:
    """Lower the re-projection error by Levenberg and Marquardt's steps, each face with a damping of its own."""
    damping = torch.full_like(translation[:, 0], 1e-3)
    cost = _cost(rotation, translation, points, model, camera, weight)
    tolerance = TOLERANCE[rotation.dtype]
    for _ in range(steps):
        turned = model @ rotation.mT
        seen = turned + translation[:, None]
        jacobian = _jacobian(turned, seen, camera.focal)  # (B, 2K, 6)
        residual = (points - camera.project(seen)).flatten(1)
        weighted = jacobian * weight.repeat_interleave(2, 1)[..., None]
        normal, gradient = weighted.mT @ jacobian, (weighted.mT @ residual[..., None])
        damped = normal + torch.diag_embed(damping[:, None] * normal.diagonal(dim1=1, dim2=2) + 1e-12)
        step = torch.linalg.solve_ex(damped, gradient)[0][..., 0]
        tried = rotation_of_vector(step[:, :3]) @ rotation, translation + step[:, 3:]
        tried_cost = _cost(*tried, points, model, camera, weight)
        better = tried_cost < cost  # false for NaN
        gain = torch.where(better, cost - tried_cost, 0)
        rotation = torch.where(better[:, None, None], tried[0], rotation)
        translation = torch.where(better[:, None], tried[1], translation)
        moved = torch.maximum(step[:, :3].abs().amax(1), (step[:, 3:] / translation[:, 2:]).abs().amax(1))
        settled = (moved < tolerance) | (better & (gain <= tolerance * cost)) | (~better & (damping > 1e3))
        cost = torch.where(better, tried_cost, cost)
        damping = torch.where(better, damping / 10, damping * 10).clamp(1e-9, 1e6)
        if devices.reads_are_free(settled) and bool(settled.all()):
            break
    # products of many small turns drift off the rotations by rounding
    return rotation_of_columns(rotation[:, :, :2].mT.flatten(1)), translation, cost


def _cost(
    rotation: Tensor, translation: Tensor, points: Tensor, model: Tensor, camera: Camera, weight: Tensor
) -> Tensor:
    """(B,) weighted mean squared error; infinite for a face that would not be before the camera."""
    seen = placed(model, rotation, translation)
    cost = (weight * (camera.project(seen) - points).square().sum(-1)).sum(1)
    return torch.where((seen[..., 2] > 0).all(1), cost, torch.inf)


def _jacobian(turned: Tensor, seen: Tensor, focal: float) -> Tensor:
    """(B, 2K, 6) change of the projected points with a turn after the rotation and with the translation."""
    x, y, z = seen.unbind(-1)
    a, b, c = turned.unbind(-1)
    scale, zero = focal / z, torch.zeros_like(z)
    p, q = x / z, y / z
    along_x = [-p * b, c + p * a, -b, torch.ones_like(z), zero, -p]
    along_y = [-c - q * b, q * a, a, zero, torch.ones_like(z), -q]
    rows = torch.stack([torch.stack(along_x, -1), torch.stack(along_y, -1)], 2)
    return (scale[..., None, None] * rows).flatten(1, 2)


def _better(one: Pose, other: Pose) -> Pose:
    """Of two solutions for each face the one that looks at the camera, and of two such the one with the lower cost."""
    away, other_away = (solution[0][:, 2, 2] <= 0 for solution in (one, other))
    first = torch.where(away == other_away, one[2] <= other[2], other_away)
    chosen = [
        torch.where(first.reshape(-1, *[1] * (values.ndim - 1)), values, others)
        for values, others in zip(one, other, strict=True)
    ]
    return chosen[0], chosen[1], chosen[2]


def _box_size(points: Tensor, used: Tensor) -> Tensor:
    """(B,) geometric mean of the sides of the boxes around the points in use, 0 without any."""
    usable = used | ~used.any(1, keepdim=True)
    box = boxes.box_of_points(points, usable, checked=True)
    return torch.where(used.any(1), (box[:, 2:] - box[:, :2]).prod(1).sqrt(), 0)
