"""Images at many sizes: octaves, the levels that P-Net reads, and square crops for the other networks.

Octaves halve the sides of an image again and again; levels and crops are read from the coarsest octave that is not
coarser than they are, so that a single bilinear reading neither skips pixels nor touches many.

Legend: N windows. Images are (1, 3, H, W) with values 0 to 255. Windows are in the frame of
`canthus.geometry.windows`; pixels outside of the image are 0, which is black, before they are scaled.
"""

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["AreaSums", "Octaves", "Sheet", "crop_windows", "lay_out", "pyramid_scales"]

LEAST_SIDE = 12
"""Of an octave, and of a level: the window of P-Net, pixels."""


def pyramid_scales(height: int, width: int, min_size: float, factor: float) -> list[float]:
    """Scales at which a 12 px window sees faces of ``min_size`` and more, finest first; maybe none."""
    scale, side, scales = LEAST_SIDE / min_size, min(height, width) * LEAST_SIDE / min_size, []
    while side >= LEAST_SIDE:
        scales.append(scale)
        scale, side = scale * factor, side * factor
    return scales


class Octaves:
    """An image and its halves.

    Args:
        image: (H, W, 3) uint8 RGB.
        device: where they are kept.
    """

    def __init__(self, image: Tensor, device: torch.device) -> None:
        picture = image.to(device).permute(2, 0, 1)[None]
        # OpenCV resizes whole numbers several times faster than anything resizes fractions
        self.pictures = [picture if device.type == "cpu" else picture.float()]
        while min(self.pictures[-1].shape[-2:]) >= 2 * LEAST_SIDE:
            finer = self.pictures[-1]
            height, width = (side // 2 for side in finer.shape[-2:])
            self.pictures.append(_resized(finer[..., : 2 * height, : 2 * width], (height, width)))
        self._floats: dict[int, Tensor] = {}

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the image."""
        height, width = self.pictures[0].shape[-2:]
        return height, width

    def level(self, scale: float) -> tuple[Tensor, tuple[float, float]]:
        """The image at a scale, and the exact scales of x and y, which whole pixels allow."""
        octave = min(max(math.floor(-math.log2(scale)), 0), len(self.pictures) - 1)
        picture, reduction = self.pictures[octave], 2**octave
        height, width = picture.shape[-2:]
        rows, columns = (math.ceil(side * scale * reduction - 1e-6) for side in (height, width))
        return _resized(picture, (rows, columns)), (columns / (width * reduction), rows / (height * reduction))

    def floats(self, octave: int) -> Tensor:
        """An octave as float32."""
        if octave not in self._floats:
            self._floats[octave] = self.pictures[octave].float()
        return self._floats[octave]

    @cached_property
    def sums(self) -> "AreaSums":
        """Of the image at full size."""
        return AreaSums(self.pictures[0])


def _resized(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize to rows and columns that are at least half as many; bilinear, and off the CPU with a low pass."""
    if picture.device.type != "cpu":
        return functional.interpolate(picture, size=size, mode="bilinear", antialias=True)
    rows = np.ascontiguousarray(picture[0].permute(1, 2, 0).numpy())
    return torch.from_numpy(cv2.resize(rows, size[::-1], interpolation=cv2.INTER_LINEAR)).permute(2, 0, 1)[None]


def crop_windows(images: Sequence[Octaves], owner: Tensor, windows: Tensor, size: int) -> Tensor:
    """Resize windows to ``size`` x ``size``.

    Args:
        images: those that the windows lie in.
        owner: (N,) number of the image of each.
        windows: (N, 4).
        size: side of the crops, pixels.

    Returns:
        (N, 3, size, size).
    """
    if not len(windows):
        return windows.new_zeros(0, 3, size, size)
    counts = torch.tensor([len(octaves.pictures) for octaves in images], device=windows.device)
    reduction = (windows[:, 2:] - windows[:, :2]).amax(1) / size
    octave = reduction.log2().floor().clamp_min(0).long()
    octave = torch.minimum(octave, counts[owner] - 1)
    most = max(len(octaves.pictures) for octaves in images)
    key = owner * most + octave
    order = key.argsort(stable=True)
    begins, sides = windows[:, :2] + 0.5, windows[:, 2:] - windows[:, :2]  # from the image's edge, not pixel 0
    steps = (torch.arange(size, device=windows.device) + 0.5) / size
    places = begins[:, :, None] + sides[:, :, None] * steps  # (N, 2, size)
    crops = []
    groups = torch.bincount(key, minlength=len(images) * most).tolist()
    for group, rows in enumerate(order.split(groups)):
        if not len(rows):
            continue
        number, level = divmod(group, most)
        picture = images[number].floats(level)
        extent = places.new_tensor([picture.shape[-1], picture.shape[-2]]) * 2**level
        x, y = (2 * places[rows] / extent[:, None] - 1).unbind(1)
        grid = torch.stack(torch.broadcast_tensors(x[:, None, :], y[:, :, None]), -1)
        read = functional.grid_sample(picture, grid.view(1, -1, size, 2), padding_mode="zeros", align_corners=False)
        crops.append(read.view(3, -1, size, size).transpose(0, 1))
    return torch.cat(crops)[order.argsort()]


class AreaSums:
    """An image as sums over all rectangles from its corner: the mean of any rectangle is four readings.

    Args:
        picture: (1, 3, H, W) of whole numbers.
    """

    def __init__(self, picture: Tensor) -> None:
        sums = picture[0].long().cumsum(1).cumsum(2)
        self.sums = functional.pad(sums, (1, 0, 1, 0))

    def crops(self, begins: Tensor, ends: Tensor, size: int) -> Tensor:
        """Resize rectangles by area, as `torch.nn.functional.interpolate` does.

        Args:
            begins: (N, 2) first column and row, whole numbers.
            ends: (N, 2) column and row behind the last.
            size: side of the crops, pixels.

        Returns:
            (N, 3, size, size) float32.
        """
        sides, steps = (ends - begins)[..., None], torch.arange(size, device=begins.device)
        low = begins[..., None] + (steps * sides).div(size, rounding_mode="floor")
        high = begins[..., None] - (-(steps + 1) * sides).div(size, rounding_mode="floor")  # rounded up
        (left, top), (right, bottom) = low.unbind(1), high.unbind(1)

        def corner(rows: Tensor, columns: Tensor) -> Tensor:
            return self.sums[:, rows[:, :, None], columns[:, None, :]]

        total = corner(bottom, right) - corner(top, right) - corner(bottom, left) + corner(top, left)
        area = (bottom - top)[:, :, None] * (right - left)[:, None, :]
        return (total.double() / area).float().transpose(0, 1)


class Sheet(NamedTuple):
    """Pictures beside each other, for a network that reads them all at once.

    Attributes:
        pixels: (1, 3, H, W).
        members: numbers of the images.
        corners: (top, left) of each, even numbers.
    """

    pixels: Tensor
    members: list[int]
    corners: list[tuple[int, int]]


def lay_out(pictures: Sequence[Tensor], *, shared: int) -> Iterator[Sheet]:
    """Put small images on sheets, in rows of falling height; a large one is a sheet of its own.

    Args:
        pictures: (1, 3, H, W) each.
        shared: pixels of the largest image that shares a sheet, and, but for waste, of the sheet.
    """
    small: list[int] = []
    for number, picture in enumerate(pictures):
        if picture[0, 0].numel() > shared:
            yield Sheet(picture, [number], [(0, 0)])
        else:
            small.append(number)
    small.sort(key=lambda number: -pictures[number].shape[2])
    while small:
        area = sum(pictures[number][0, 0].numel() for number in small)
        widest = max(pictures[number].shape[3] for number in small)
        width = max(widest, min(math.isqrt(area), math.isqrt(shared)))
        members: list[int] = []
        corners: list[tuple[int, int]] = []
        top, left, height, used = 0, 0, 0, 0
        for number in small:
            rows, columns = pictures[number].shape[2:]
            if left + columns > width:
                top, left, height = top + height + height % 2, 0, 0
            if members and used + rows * columns > shared:
                break
            members.append(number)
            corners.append((top, left))
            left, height, used = left + columns + columns % 2, max(height, rows), used + rows * columns
        small = small[len(members) :]
        first = pictures[members[0]]
        pixels = first.new_zeros(1, top + height, width, 3).permute(0, 3, 1, 2)
        for number, (row, column) in zip(members, corners, strict=True):
            picture = pictures[number][0]
            pixels[0, :, row : row + picture.shape[1], column : column + picture.shape[2]] = picture
        yield Sheet(pixels, members, corners)
