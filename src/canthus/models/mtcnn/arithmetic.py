"""How cells become windows and windows become crops: cleanly, or exactly as in the published code.

Both offer the same operations to `canthus.models.mtcnn.detect`. `Clean` is right to the fraction of a pixel.
`Published` repeats facenet-pytorch and, but for clipped crops, the authors' MATLAB: pixels are counted from 1, corners
are rounded down, widths count both border pixels in some places, and images are reduced by area from full size.

Legend: N windows.
"""

from collections.abc import Sequence
from typing import ClassVar, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from canthus.geometry import windows as geometry
from canthus.models.mtcnn.network import PNet
from canthus.models.mtcnn.pyramid import Octaves, crop_windows

__all__ = ["Arithmetic", "Clean", "Published"]


class Arithmetic(Protocol):
    """What differs between the two."""

    partial_cells: ClassVar[bool]
    """Whether cells count whose window leaves the image; images cannot share a sheet then."""
    border: ClassVar[float]
    """What Min suppression adds to widths."""

    def level(self, octaves: Octaves, scale: float) -> tuple[Tensor, tuple[float, float]]:
        """An image at a scale, and the scales of x and y."""

    def cells(self, side: int) -> int:
        """Number of P-Net's cells along a side that count."""

    def windows(self, columns: Tensor, rows: Tensor, scales: Tensor) -> Tensor:
        """(N,) cells at (N, 2) scales of x and y to (N, 4) windows in the image."""

    def calibrate(self, windows: Tensor, offsets: Tensor, stage: int) -> Tensor:
        """Move windows by a network's offsets; the stage counts from 0."""

    def crops(self, images: Sequence[Octaves], owner: Tensor, windows: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """(M, 3, size, size) images of the square windows, and the (M,) indices of those that are not empty."""

    def points(self, windows: Tensor, shares: Tensor) -> Tensor:
        """(N, 10) shares of the windows to (N, 5, 2) points in the image."""


class Clean:
    """Windows with fractions of pixels, in canthus' frame; what lies outside the image is black."""

    partial_cells: ClassVar[bool] = False
    border: ClassVar[float] = 0.0

    def level(self, octaves: Octaves, scale: float) -> tuple[Tensor, tuple[float, float]]:
        """See `Octaves.level`."""
        return octaves.level(scale)

    def cells(self, side: int) -> int:
        """Cells whose whole window lies in the image."""
        return (side - PNet.window) // PNet.stride + 1

    def windows(self, columns: Tensor, rows: Tensor, scales: Tensor) -> Tensor:
        """A cell sees 12 pixels of its level from twice its number on."""
        begins = PNet.stride * torch.stack([columns, rows], -1)
        return torch.cat([begins / scales, (begins + PNet.window) / scales], -1) - 0.5

    def calibrate(self, windows: Tensor, offsets: Tensor, stage: int) -> Tensor:
        """See `canthus.geometry.windows.decode`."""
        return geometry.decode(windows, offsets)

    def crops(self, images: Sequence[Octaves], owner: Tensor, windows: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """See `crop_windows`."""
        crops = crop_windows(images, owner, windows, size)
        return crops, torch.arange(len(windows), device=windows.device)

    def points(self, windows: Tensor, shares: Tensor) -> Tensor:
        """See `canthus.geometry.windows.decode_points`."""
        return geometry.decode_points(windows, shares)


class Published:
    """facenet-pytorch's arithmetic (``models/utils/detect_face.py``), whose boxes count pixels from 1."""

    partial_cells: ClassVar[bool] = True
    border: ClassVar[float] = 1.0

    def level(self, octaves: Octaves, scale: float) -> tuple[Tensor, tuple[float, float]]:
        """By area, from full size."""
        size = [int(side * scale + 1) for side in octaves.shape]
        return functional.interpolate(octaves.floats(0), size=size, mode="area"), (scale, scale)

    def cells(self, side: int) -> int:
        """All, also a last one whose window leaves the image."""
        return -(-(side - 2) // 2) - 4

    def windows(self, columns: Tensor, rows: Tensor, scales: Tensor) -> Tensor:
        """Corners counted from 1, rounded down."""
        begins = PNet.stride * torch.stack([columns, rows], -1)
        return torch.cat([((begins + 1) / scales).floor(), ((begins + PNet.window) / scales).floor()], -1)

    def calibrate(self, windows: Tensor, offsets: Tensor, stage: int) -> Tensor:
        """Widths count both border pixels, but not after P-Net."""
        sides = windows[:, 2:] - windows[:, :2] + (0 if stage == 0 else 1)
        return windows + offsets * torch.cat([sides, sides], 1)

    def crops(self, images: Sequence[Octaves], owner: Tensor, windows: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Clipped to the image, which stretches faces at its border, and reduced by area."""
        shapes = torch.tensor([octaves.shape[::-1] for octaves in images], device=windows.device)[owner]
        corners = windows.trunc().long()
        begins, ends = corners[:, :2].clamp_min(1) - 1, torch.minimum(corners[:, 2:], shapes)
        index = (ends > begins).all(1).nonzero()[:, 0]
        crops = windows.new_zeros(len(index), 3, size, size)
        owned = owner[index]
        for number, octaves in enumerate(images):
            rows = (owned == number).nonzero()[:, 0]
            if len(rows):
                chosen = index[rows]
                crops[rows] = octaves.sums.crops(begins[chosen], ends[chosen], size)
        return crops, index

    def points(self, windows: Tensor, shares: Tensor) -> Tensor:
        """Widths count both border pixels; the result counts from 0."""
        sides = windows[:, None, 2:] - windows[:, None, :2] + 1
        return windows[:, None, :2] + torch.stack(shares.chunk(2, 1), -1) * sides - 1
