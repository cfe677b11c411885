"""The perspective camera of FacePoseNet (Chang et al., ICCVW 2017): fixed, looking at the square crop of a face.

Camera frame: x right, y down, z away from the camera, in the units of the 3-D face (about millimetres). The frame of a
image counts from the corner of its first pixel, so that the principal point is its very middle and a mirrored image
is the image of the mirrored pose; `Camera.pixels` and `Camera.frame_of` lead to and from pixels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from canthus.geometry.boxes import centred_box

__all__ = ["CROP", "Camera", "crop_box", "placed"]

CROP = 1.5
"""Side of the image in longer sides of the face box: a quarter is added on every side (section 2, released code)."""

EDGE = 0.5
"""From the corner of a pixel to its centre."""


@dataclass(frozen=True)
class Camera:
    """A pinhole without distortion.

    Attributes:
        focal: focal length, pixels. The published net's: 2880 for an image of 224.
        side: of the square image, pixels; the principal point is (side / 2, side / 2).
    """

    focal: float = 2880.0
    side: float = 224.0

    def resized(self, side: float) -> "Camera":
        """The same camera with an image of another size: the same poses, all points larger or smaller."""
        return Camera(self.focal * side / self.side, side)

    def project(self, points: Tensor) -> Tensor:
        """(..., 3) points of the camera frame to (..., 2) of the image's frame. Depths must be positive."""
        return self.focal * points[..., :2] / points[..., 2:] + self.side / 2

    def pixels(self, points: Tensor) -> Tensor:
        """(..., 3) points of the camera frame to (..., 2) pixels."""
        return self.project(points) - EDGE

    def frame_of(self, pixels: Tensor) -> Tensor:
        """(..., 2) pixels to the image's frame."""
        return pixels + EDGE


def crop_box(size: float) -> tuple[float, float, float, float]:
    """Where a square face box lies in the image, pixels."""
    return centred_box(size, 1 / CROP)


def placed(points: Tensor, rotation: Tensor, translation: Tensor) -> Tensor:
    """``R X + t``: points of the 3-D face, (K, 3) or (B, K, 3), in the camera frame of B poses (B, 3, 3) and (B, 3)."""
    with torch.autocast(points.device.type, enabled=False):  # bfloat16 would move points by several pixels
        return points @ rotation.mT + translation[..., None, :]
