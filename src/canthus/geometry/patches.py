"""Patches around landmarks: all patches of a batch in one call of the sampler.

Legend: B batch, N patches of an image, C channels, h w rows and columns of a patch.
"""

import torch
from torch import Tensor
from torch.nn import functional

from canthus.geometry.devices import constant
from canthus.geometry.warp import pixel_grid, resample

__all__ = ["extract_patches", "region_maps", "warp_patches"]


def extract_patches(image: Tensor, centres: Tensor, size: int, *, detach: bool = True) -> Tensor:
    """Cut square patches at the scale of the image, with black outside it.

    Pixel ``size // 2`` of a patch lies on its centre, so at integer centres a patch is a slice of the image; between
    pixels it is interpolated (MDM's sampler rounds instead, and so shifts every patch by half a pixel on average).

    Args:
        image: (B, C, H, W), float.
        centres: (B, N, 2), pixels.
        size: side of a patch, pixels.
        detach: cut the gradient from what a patch shows to where it lies, as MDM's sampler does.

    Returns:
        (B, N, C, size, size) in the dtype of ``image``.
    """
    corners = (centres.detach() if detach else centres).float() - size // 2
    whole = corners.detach().floor()
    share = (corners - whole).to(image.dtype)[..., None, None]  # of the next pixel, (B, N, 2, 1, 1)
    extent = constant((image.shape[-1], image.shape[-2]), whole, whole.dtype)
    # one pixel more than a patch on each side, so that a patch that lies wholly outside finds black, too
    column, row = (whole.clamp_min(-size - 1).minimum(extent) + size + 1).long().unbind(-1)
    padded = functional.pad(image, [size + 1] * 4)
    picture = torch.arange(image.shape[0], device=image.device)[:, None]
    if torch.compiler.is_exporting():  # ONNX has no views: `unfold` would copy every window of the image
        reach = torch.arange(size + 1, device=image.device)
        rows, columns = row[..., None, None] + reach[:, None], column[..., None, None] + reach
        pixels = padded[picture[..., None, None], :, rows, columns].permute(0, 1, 4, 2, 3)
    else:
        windows = padded.unfold(2, size + 1, 1).unfold(3, size + 1, 1)
        pixels = windows[picture, :, row, column]  # (B, N, C, size + 1, size + 1): slices, in one look-up
    pixels = torch.lerp(pixels[..., :-1], pixels[..., 1:], share[:, :, :1])
    return torch.lerp(pixels[..., :-1, :], pixels[..., 1:, :], share[:, :, 1:])


def region_maps(regions: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps from patch pixels to image pixels for patches that each fill a rectangle.

    The rectangle is cut into h x w equal cells and a patch pixel lies in the middle of its cell, so the patch of a
    mirrored rectangle is the mirrored patch.

    Args:
        regions: (..., 4) ``xyxy``, pixels.
        size: (h, w) of the patches.

    Returns:
        (..., 2, 3) maps.
    """
    height, width = size
    pitch = (regions[..., 2:] - regions[..., :2]) / constant((width, height), regions, regions.dtype)
    return torch.cat([torch.diag_embed(pitch), (regions[..., :2] + pitch / 2)[..., None]], -1)


def warp_patches(
    image: Tensor, maps: Tensor, size: tuple[int, int], *, detach: bool = True, padding: str = "zeros"
) -> Tensor:
    """Resample patches of any position, scale and rotation.

    Args:
        image: (B, C, H, W), float.
        maps: (B, N, 2, 3) maps from patch pixels to image pixels.
        size: (h, w) of the patches.
        detach: see `extract_patches`.
        padding: what lies outside the image, ``zeros`` or ``border``.

    Returns:
        (B, N, C, h, w) in the dtype of ``image``.
    """
    with torch.autocast(image.device.type, enabled=False):
        m = (maps.detach() if detach else maps).float()
        points = pixel_grid(*size, image.device).flatten(0, 1) @ m[..., :2].mT + m[..., None, :, 2]
    stacked = resample(image, points.reshape(image.shape[0], -1, size[1], 2), padding=padding)
    patches: Tensor = stacked.unflatten(2, (-1, size[0])).transpose(1, 2)
    return patches
