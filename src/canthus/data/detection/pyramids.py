"""Cutting many small windows out of images of unequal size, at once.

An image is kept with its halves, quarters and so on, because a bilinear window of 12 pixels over a face of 200
would see one pixel in seventeen. A window reads the level in which its pixels are 0.7 to 1.4 of the image's.

Legend: B images, L levels, W windows, S side of a window, P pixels of all images and levels.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["LEVELS", "Pyramids", "halves"]

LEVELS = 8
SMALLEST = 8
"""No level is narrower than half of this, pixels."""


def halves(pixels: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """An (H, W, 3) image and its halves, by exact means of four pixels; an odd last row or column is left out."""
    for _ in range(LEVELS):
        yield pixels
        height, width = pixels.shape[:2]
        if min(height, width) < SMALLEST:
            return
        even = pixels[: height // 2 * 2, : width // 2 * 2]
        pixels = np.asarray(cv2.resize(even, (width // 2, height // 2), interpolation=cv2.INTER_AREA), dtype=np.uint8)


@dataclass(frozen=True)
class Pyramids:
    """Images with their halves, one after the other in one run of pixels.

    Attributes:
        pixels: (P, 3) uint8 RGB: an array on the host, for example a memory map, of which only the pixels needed are
            read; a tensor on a device.
        places: (B, L, 3) int64: first pixel, height and width of every level; zeros where an image has no more.
    """

    pixels: NDArray[np.uint8] | Tensor
    places: Tensor

    def __len__(self) -> int:
        return len(self.places)

    @property
    def sizes(self) -> Tensor:
        """(B, 2) width and height of the images."""
        return self.places[:, 0, [2, 1]]

    def image(self, row: int, level: int = 0) -> NDArray[np.uint8] | Tensor:
        """(H, W, 3) uint8 pixels of an image: a view."""
        begin, height, width = self.places[row, level].tolist()
        return self.pixels[begin : begin + height * width].reshape(height, width, 3)

    def select(self, rows: Tensor) -> "Pyramids":
        """Some of the images, without copying a pixel."""
        return Pyramids(self.pixels, self.places[rows])

    def packed(self) -> "Pyramids":
        """A copy that holds these images alone, as a tensor, for devices that cannot read the host's memory."""
        assert isinstance(self.pixels, np.ndarray)
        smallest = self.places[torch.arange(len(self)), (self.places[..., 1] > 0).sum(1) - 1]
        begins, ends = self.places[:, 0, 0].tolist(), (smallest[:, 0] + smallest[:, 1] * smallest[:, 2]).tolist()
        runs = [self.pixels[begin:end] for begin, end in zip(begins, ends, strict=True)]
        moved = torch.tensor(np.cumsum([0, *map(len, runs)])[:-1] - np.array(begins))
        places = self.places.clone()
        places[..., 0] = torch.where(places[..., 1] > 0, places[..., 0] + moved[:, None], 0)
        return Pyramids(torch.from_numpy(np.concatenate(runs)), places)

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "Pyramids":
        """Move packed images; those in the host's memory stay, for the host reads them in place."""
        if isinstance(self.pixels, np.ndarray):
            return self
        moved = [values.to(device, non_blocking=non_blocking) for values in (self.pixels, self.places)]
        return replace(self, pixels=moved[0], places=moved[1])

    def pin_memory(self) -> "Pyramids":
        """For the loader of an accelerator."""
        if isinstance(self.pixels, np.ndarray):
            return self
        return Pyramids(self.pixels.pin_memory(), self.places.pin_memory())

    def windows(self, row: Tensor, to_image: Tensor, size: int) -> Tensor:
        """Cut windows; what lies outside an image is black.

        Args:
            row: (W,) int64, which image.
            to_image: (W, 2, 3) maps from window pixels to original pixels, similarities.
            size: S.

        Returns:
            (W, 3, S, S) float32 in [0, 1].
        """
        places, matrices = self._levels(row, to_image)
        if isinstance(self.pixels, Tensor):
            return _gather(self.pixels, places, matrices, size)
        out = np.empty((len(row), size, size, 3), dtype=np.uint8)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        for (begin, height, width), matrix, target in zip(places.tolist(), matrices.numpy(), out, strict=True):
            level = self.pixels[begin : begin + height * width].reshape(height, width, 3)
            cv2.warpAffine(level, matrix, (size, size), dst=target, flags=flags)
        return torch.from_numpy(out).permute(0, 3, 1, 2).float().div_(255)

    def _levels(self, row: Tensor, matrices: Tensor) -> tuple[Tensor, Tensor]:
        """(W, 3) place of the level that each window reads, and the maps to its pixels, float64."""
        matrices = matrices.double()
        zoom = matrices[:, :, 0].norm(dim=1)
        available = (self.places[row, :, 1] > 0).sum(1)
        level = zoom.log2().round().clamp_min(0).long().minimum(available - 1)
        factor = 2.0 ** level.double()[:, None]
        linear = matrices[..., :2] / factor[..., None]
        offset = (matrices[..., 2] + 0.5) / factor - 0.5  # pixel centres of a level lie between those of the one below
        return self.places[row, level], torch.cat([linear, offset[..., None]], -1)


def _gather(pixels: Tensor, places: Tensor, matrices: Tensor, size: int) -> Tensor:
    """Bilinear reading at any positions of a run of pixels: four taps, zero outside."""
    steps = torch.arange(size, device=pixels.device, dtype=torch.float64)
    grid = torch.stack([steps.expand(size, size), steps[:, None].expand(size, size)], -1).flatten(0, 1)
    points = (grid @ matrices[..., :2].mT + matrices[..., None, :, 2]).float()
    corner = points.floor()
    share = points - corner
    x, y = corner.long().unbind(-1)
    begin, height, width = (value[:, None] for value in places.unbind(-1))
    out = points.new_zeros(*x.shape, 3)
    for right, below in ((0, 0), (1, 0), (0, 1), (1, 1)):
        column, line = x + right, y + below
        inside = (column >= 0) & (column < width) & (line >= 0) & (line < height)
        weight = (1 - (share[..., 0] - right).abs()) * (1 - (share[..., 1] - below).abs()) * inside
        place = torch.where(inside, begin + line * width + column, 0)
        out += pixels[place].float() * weight[..., None]
    shown: Tensor = out.mT.unflatten(-1, (size, size)).contiguous() / 255
    return shown
