"""Gaussian maps of landmarks, and points read back from maps.

Legend: B batch, K landmarks, C channels, H W rows and columns of a map. Cell (u, v) of a map lies at input pixel
``stride * u + (stride - 1) / 2``: the centre of the pixels that it covers.
"""

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["GaussianMaps", "decode_maps"]

SMALLEST = 0.01
"""Values below it are 0 (SAN's released code), which makes the support a disc of radius ``sigma * sqrt(2 ln 100)``."""
CACHED = 1 << 19
"""Cells that are rendered at once on a CPU: 2 MB."""
EMPTY = 1e-6
"""Values up to it count as nothing in a centroid (SAN's released code), so that negative ones cannot turn it round."""


class GaussianMaps:
    """Renders ``exp(-|q - p|^2 / (2 sigma^2))`` for every landmark, and the background ``1 - max`` over them.

    A Gaussian is the product of one in x and one in y, so a map is an outer product of two vectors, written straight
    into a buffer that is kept from batch to batch: the next call overwrites what the last one returned.

    Args:
        size: (H, W) of the maps.
        stride: input pixels per cell.
        sigma: standard deviation, input pixels.
    """

    def __init__(self, size: tuple[int, int], stride: float, sigma: float) -> None:
        self.size, self.stride, self.sigma = size, stride, sigma
        self._buffer = torch.empty(0)

    @torch.no_grad()
    def __call__(self, points: Tensor, shown: Tensor | None = None) -> Tensor:
        """Render a batch.

        Args:
            points: (B, K, 2) input pixels.
            shown: (B, K) bool, landmarks to draw; the maps of others are 0 and the background ignores them.

        Returns:
            (B, K + 1, H, W) float32, the background last; valid until the next call.
        """
        count, landmarks = points.shape[:2]
        shape = (count, landmarks + 1, *self.size)
        if self._buffer.shape != shape or self._buffer.device != points.device:
            self._buffer = torch.empty(shape, device=points.device)
        places = (points.float() - (self.stride - 1) / 2) / self.stride  # in cells
        if shown is not None:  # far away, where every value is below the smallest
            places = torch.where(shown[..., None], places, -1e4)
        scale = -0.5 * (self.stride / self.sigma) ** 2
        x, y = (
            torch.arange(side, device=points.device, dtype=torch.float32)
            .sub(places[..., axis, None])
            .square_()
            .mul_(scale)
            .exp_()
            for axis, side in ((0, self.size[1]), (1, self.size[0]))
        )
        step = count
        if points.device.type == "cpu":  # three passes over what is still in the processor's cache
            step = max(CACHED // self._buffer[0].numel(), 1)
        for faces, tall, wide in zip(self._buffer.split(step), y.split(step), x.split(step), strict=True):
            maps, background = faces[:, :-1], faces[:, -1]
            torch.mul(tall[..., :, None], wide[..., None, :], out=maps)
            torch.threshold_(maps, SMALLEST, 0.0)
            torch.amax(maps, 1, out=background)
        self._buffer[:, -1].neg_().add_(1)
        return self._buffer


def decode_maps(maps: Tensor, stride: float, *, radius: int = 3) -> tuple[Tensor, Tensor]:
    """Local soft-arg-max: the centroid of a window around the highest cell (SAN's released code, radius 3).

    Differentiable in the values; the position of the window is not.

    Args:
        maps: (B, K, H, W).
        stride: input pixels per cell.
        radius: of the square window, cells; what lies outside the map is 0.

    Returns:
        (B, K, 2) points, input pixels, and (B, K) values of the highest cells.
    """
    height, width = maps.shape[-2:]
    maps = maps.float()
    # rows first: the highest cell of all at once takes four times as long
    row = maps.amax(-1).argmax(-1)
    column = maps.gather(2, row[..., None, None].expand(-1, -1, 1, width))[..., 0, :].argmax(-1)
    offsets = torch.arange(-radius, radius + 1, device=maps.device)
    rows, columns = row[..., None] + offsets, column[..., None] + offsets
    inside = ((rows >= 0) & (rows < height))[..., :, None] & ((columns >= 0) & (columns < width))[..., None, :]
    cells = rows.clamp(0, height - 1)[..., :, None] * width + columns.clamp(0, width - 1)[..., None, :]
    window = maps.flatten(2).gather(2, cells.flatten(2)).view(cells.shape)
    score = window[..., radius, radius]
    window = functional.threshold(torch.where(inside, window, 0), EMPTY, torch.finfo(torch.float64).eps)
    total = window.sum((2, 3))
    x = column + (window.sum(2) * offsets).sum(-1) / total
    y = row + (window.sum(3) * offsets).sum(-1) / total
    return stride * torch.stack([x, y], -1) + (stride - 1) / 2, score
