"""Poses of augmented faces: FacePoseNet's hard and yet correctly labelled samples (section "Training").

A similarity and a mirror of the image change the pose in closed form, or PnP finds it from the moved landmarks.
"""

import torch
from torch import Tensor

from canthus.geometry import affine
from canthus.geometry.camera import Camera
from canthus.geometry.devices import constant
from canthus.geometry.pose import mirrored_rotation

__all__ = ["mirrored_pose", "transformed_pose"]


def mirrored_pose(rotation: Tensor, translation: Tensor) -> tuple[Tensor, Tensor]:
    """Poses in mirrored pictures: h becomes (rx, -ry, -rz, -tx, ty, tz). Exact for a symmetric face."""
    return mirrored_rotation(rotation), translation * constant((-1.0, 1.0, 1.0), translation, translation.dtype)


def transformed_pose(rotation: Tensor, translation: Tensor, change: Tensor, camera: Camera) -> tuple[Tensor, Tensor]:
    """Poses after a similarity, perhaps with a mirror, of the image.

    Rotations about the principal point are exact; scale and shift ignore the depth of the face: half a pixel at most
    in usual augmentation.

    Args:
        rotation: (B, 3, 3).
        translation: (B, 3).
        change: (B, 2, 3) from the pixels of the image to those of the changed image.
        camera: of both.

    Returns:
        (B, 3, 3) and (B, 3).
    """
    with torch.autocast(change.device.type, enabled=False):  # bfloat16 would turn heads by a tenth of a degree
        return _transformed(rotation, translation, change, camera)


def _transformed(rotation: Tensor, translation: Tensor, change: Tensor, camera: Camera) -> tuple[Tensor, Tensor]:
    middle = (camera.side - 1) / 2
    mirrored = torch.linalg.det(change[..., :2]) < 0
    flags = mirrored[:, None]
    other_rotation, other_translation = mirrored_pose(rotation, translation)
    rotation = torch.where(flags[..., None], other_rotation, rotation)
    translation = torch.where(flags, other_translation, translation)
    change = affine.compose(change, affine.mirror(mirrored, middle).to(change))
    cosine, sine = change[:, 0, 0], change[:, 1, 0]
    scale = torch.hypot(cosine, sine)
    zero, one = torch.zeros_like(scale), torch.ones_like(scale)
    cosine, sine = cosine / scale, sine / scale
    turn = torch.stack([cosine, -sine, zero, sine, cosine, zero, zero, zero, one], 1).unflatten(1, (3, 3))
    turned = (turn @ translation[..., None])[..., 0]
    depth = turned[:, 2] / scale
    centre = change.new_full((len(change), 1, 2), middle)
    shift = (affine.apply(change, centre) - centre)[:, 0]
    moved = turned[:, :2] + shift * depth[:, None] / camera.focal
    return turn @ rotation, torch.cat([moved, depth[:, None]], 1)
