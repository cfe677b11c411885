"""One matrix, two warpers: `grid_sample` on any device, OpenCV on the host; they agree within 1/32 pixel."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from canthus.geometry.devices import constant

__all__ = ["pixel_grid", "resample", "scale_rows", "warp", "warp_rows"]

PADDING = {"border": cv2.BORDER_REPLICATE, "zeros": cv2.BORDER_CONSTANT}
"""Names of `grid_sample` and what OpenCV calls them."""


def warp(images: Tensor, matrices: Tensor, size: int, *, padding: str = "border") -> Tensor:
    """Resample images through affine maps, bilinearly.

    Args:
        images: (B, C, H, W), float.
        matrices: (B, 2, 3) maps from output pixels to input pixels.
        size: side of the square output, pixels.
        padding: what lies outside the input, ``border`` (nearest pixel) or ``zeros``.

    Returns:
        (B, C, size, size) in the dtype of ``images``. Gradients reach the pixels and the matrices.
    """
    # float32 coordinates: bfloat16 resolves half a pixel at most at these sizes
    with torch.autocast(images.device.type, enabled=False):
        m = matrices.float()
        source = pixel_grid(size, size, images.device).flatten(0, 1) @ m[..., :2].mT + m[..., None, :, 2]
    return resample(images, source.unflatten(1, (size, size)), padding=padding)


def pixel_grid(height: int, width: int, device: torch.device) -> Tensor:
    """(height, width, 2) positions (x, y) of the pixels of an image."""
    rows, columns = (torch.arange(side, device=device, dtype=torch.float32) for side in (height, width))
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x, y], -1)


def resample(images: Tensor, points: Tensor, *, padding: str = "border") -> Tensor:
    """Read images at any positions, bilinearly.

    Args:
        images: (B, C, H, W), float.
        points: (B, H', W', 2) positions, pixels of ``images``.
        padding: see `warp`.

    Returns:
        (B, C, H', W') in the dtype of ``images``. Gradients reach the pixels and the positions.
    """
    height, width = images.shape[-2:]
    with torch.autocast(images.device.type, enabled=False):
        extent = constant((width - 1, height - 1), images, torch.float32)
        # a diverged network asks for NaN, on which torch's backward pass crashes the process
        grid = (2 * points.float() / extent - 1).nan_to_num(nan=0.0)
        sampled = functional.grid_sample(images.float(), grid, padding_mode=padding, align_corners=True)
    return sampled.to(images.dtype)


def warp_rows(
    rows: Sequence[NDArray[np.uint8]],
    matrices: Tensor,
    size: int,
    *,
    padding: str = "border",
    levels: tuple[Sequence[float], Sequence[float]] | None = None,
) -> Tensor:
    """The same map on the host for uint8 images, each written straight into its place in the batch.

    Args:
        rows: B images (H, W, C) uint8, for example rows of a memory map; only the pixels needed are read.
        matrices: (B, 2, 3) maps from output pixels to input pixels.
        size: side of the square output, pixels.
        padding: as for `warp`.
        levels: divisor and offset per channel; the output is then ``pixel / divisor + offset`` in float32, face by face
            while the pixels are still in the processor's cache.

    Returns:
        (B, C, size, size) in channels-last memory, uint8 without ``levels``.
    """
    channels = rows[0].shape[2]
    batch = np.empty((len(rows), size, size, channels), dtype=np.uint8 if levels is None else np.float32)
    scratch = np.empty((size, size, channels), dtype=np.uint8)
    scale = None if levels is None else _Scale(levels, size * channels)
    maps = matrices.double().numpy()
    flags, border = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, PADDING[padding]
    for row, matrix, out in zip(rows, maps, batch, strict=True):
        picture = out if scale is None else scratch
        target = picture if channels > 1 else picture[..., 0]
        cv2.warpAffine(row, matrix, (size, size), dst=target, flags=flags, borderMode=border)
        if scale is not None:
            scale(scratch, out)
    return torch.from_numpy(batch).permute(0, 3, 1, 2)


def scale_rows(images: NDArray[np.uint8], levels: tuple[Sequence[float], Sequence[float]]) -> Tensor:
    """(B, H, W, C) uint8 to (B, C, H, W) float32 in channels-last memory; ``levels`` as for `warp_rows`."""
    batch = np.empty(images.shape, dtype=np.float32)
    scale = _Scale(levels, images.shape[2] * images.shape[3])
    for image, out in zip(images, batch, strict=True):
        scale(image, out)
    return torch.from_numpy(batch).permute(0, 3, 1, 2)


class _Scale:
    """``pixel / divisor + offset``, both repeated along a row: broadcasting over 3 channels takes longer than a warp.

    Args:
        levels: divisor and offset per channel.
        length: of a row of pixels, times channels.
    """

    def __init__(self, levels: tuple[Sequence[float], Sequence[float]], length: int) -> None:
        self.divisor, self.offset = (
            np.tile(np.asarray(values, dtype=np.float32), length // len(values)) for values in levels
        )

    def __call__(self, image: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
        flat = out.reshape(len(out), -1)
        np.divide(image.reshape(len(image), -1), self.divisor, out=flat)
        if self.offset.any():
            flat += self.offset
