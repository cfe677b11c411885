"""Changes of the pixels in training: drawn once for a batch, made by OpenCV on 8-bit levels or on a device in floats.

On a CPU every image is changed while it is in the processor's cache, before it is scaled to floats: light and colour
are one look-up table, blur and low resolution OpenCV's. On a GPU all images are changed at once, without a loop over
them and without a number that the host would have to wait for.

Both make the same changes of the same draws, but for what 8 bits round (half a level a change) and cut (what lies
below black or above white is lost before it is blurred), and for the noise itself: on a CPU its values are taken from
a pool at a place drawn for every image, on a GPU they are drawn there.

Legend: B images, C channels, H W rows and columns.
"""

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

__all__ = ["PixelDraws", "change_floats", "change_levels", "shrink_and_enlarge"]

POOL = 2**20
"""Normal numbers from which the noise of an image is taken: five images of 256 pixels."""
SMALLEST_SIDE = 4
"""Of an image in low resolution, pixels."""
SMALLEST_SIGMA = 0.3
SMALLEST_OCCLUDER = 0.1
"""Share of the input."""


@dataclass(frozen=True)
class PixelDraws:
    """What happens to B images, on the CPU. None where a change is off.

    Attributes:
        occluder: (B, 7) int64: height and width of the rectangle (0 for none), its top and left, top and left of the
            patch that fills it, and the image which that is from; the image itself stands for grey noise.
        gamma: (B, 1) exponents.
        colour: (B, C) factors.
        contrast: (B, 1) factors about the mean.
        brightness: (B, 1) additions, in units of the full range.
        sigma: (B,) standard deviations of the blur, pixels; 0 for none.
        radius: of all blurs, pixels.
        side: (B,) int64 sides to which images shrink and from which they are enlarged; 0 for none.
        noise: (B, 1) standard deviations, in units of the full range.
        seed: (B,) of noise.
    """

    occluder: Tensor | None
    gamma: Tensor | None
    colour: Tensor | None
    contrast: Tensor | None
    brightness: Tensor | None
    sigma: Tensor | None
    radius: int
    side: Tensor | None
    noise: Tensor | None
    seed: Tensor

    @classmethod
    def of(
        cls, settings: Any, count: int, channels: int, size: tuple[int, int], random: torch.Generator
    ) -> "PixelDraws":
        """Draw the changes of an `canthus.data.augment.Augmentation` for (H, W) images."""

        def uniform(columns: int = 1) -> Tensor:
            return 2 * torch.rand(count, columns, generator=random) - 1

        def chosen(probability: float) -> Tensor:
            return torch.rand(count, generator=random) < probability

        s = settings
        log = float(np.log1p(s.gamma))
        occluder = _occluders(chosen(s.occlusion), s.occlusion_size, size, random) if s.occlusion else None
        gamma = torch.exp(uniform() * log) if s.gamma else None
        colour = 1 + uniform(channels) * s.colour if s.colour and channels == 3 else None
        contrast = 1 + uniform() * s.contrast if s.contrast else None
        brightness = uniform() * s.brightness if s.brightness else None
        sigma = side = noise = None
        if s.blur:
            drawn = SMALLEST_SIGMA + torch.rand(count, generator=random) * max(s.blur_sigma - SMALLEST_SIGMA, 0)
            sigma = torch.where(chosen(s.blur), drawn, 0)
        if s.low_resolution:
            factor = 2 + torch.rand(count, generator=random) * (s.low_resolution_factor - 2)
            drawn = (size[1] / factor).round().clamp_min(SMALLEST_SIDE).long()
            side = torch.where(chosen(s.low_resolution), drawn, 0)
        if s.noise:
            noise = torch.rand(count, 1, generator=random) * s.noise
        seed = torch.randint(2 * POOL, (count,), generator=random)
        radius = int(2.5 * s.blur_sigma + 0.5)
        return cls(occluder, gamma, colour, contrast, brightness, sigma, radius, side, noise, seed)


def _occluders(chosen: Tensor, largest: float, size: tuple[int, int], random: torch.Generator) -> Tensor:
    count, (height, width) = len(chosen), size
    share = SMALLEST_OCCLUDER + torch.rand(count, 2, generator=random) * (largest - SMALLEST_OCCLUDER)
    sides = (share * torch.tensor([height, width])).int()
    room = torch.tensor([height, width]) - sides + 1
    places = (torch.rand(count, 2, 2, generator=random) * room[:, None]).int()
    donor = torch.randint(count, (count, 1), generator=random)
    return torch.cat([sides * chosen[:, None], places.flatten(1), donor], 1).long()


# -- on the host -----------------------------------------------------------------------------------------------------


def change_levels(images: NDArray[np.uint8], draws: PixelDraws) -> None:
    """Change (B, H, W, C) images in place."""
    _occlude(images, draws)
    rows = {
        name: None if (values := getattr(draws, name)) is None else values.numpy()
        for name in ("gamma", "colour", "contrast", "brightness", "sigma", "side", "noise")
    }
    lit = any(rows[name] is not None for name in ("gamma", "colour", "contrast", "brightness"))
    for number, image in enumerate(images):
        own = {name: None if values is None else values[number] for name, values in rows.items()}
        if lit:
            _light(image, own)
        height, width, channels = image.shape
        if own["sigma"]:
            side = 2 * draws.radius + 1
            image[...] = cv2.GaussianBlur(image, (side, side), float(own["sigma"])).reshape(image.shape)
        if own["side"]:
            small = cv2.resize(image, (int(own["side"]),) * 2, interpolation=cv2.INTER_AREA)
            large = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
            image[...] = large.reshape(image.shape)
        if own["noise"] is not None:
            flat = image.reshape(height, width * channels)
            cv2.add(
                flat,
                _noise(flat.shape, int(draws.seed[number]), 255 * float(own["noise"][0])),
                dst=flat,
                dtype=cv2.CV_8U,
            )


def _occlude(images: NDArray[np.uint8], draws: PixelDraws) -> None:
    if draws.occluder is None:
        return
    sources = images.copy()  # what fills a rectangle is of an image without one
    for row, (h, w, top, left, other_top, other_left, donor) in enumerate(draws.occluder.tolist()):
        if not h:
            continue
        target = images[row, top : top + h, left : left + w]
        if donor == row:  # its own pixels would only be moved about: grey noise instead
            random = np.random.Generator(np.random.PCG64(int(draws.seed[row])))
            target[...] = random.integers(0, 256, target.shape, dtype=np.uint8)
        else:
            target[...] = sources[donor, other_top : other_top + h, other_left : other_left + w]


def _light(image: NDArray[np.uint8], own: dict[str, Any]) -> None:
    """Gamma, colour, contrast and brightness as one table of 256 levels a channel."""
    channels = image.shape[2]
    table = _LEVELS if own["gamma"] is None else _LEVELS ** own["gamma"]
    tables = np.broadcast_to(table[:, None], (256, channels))
    if own["colour"] is not None:
        tables = tables * own["colour"]
    if own["contrast"] is not None:
        mean = sum(float(share) for share in (_shares(image) * tables).sum(0)) / channels
        tables = mean + (tables - mean) * own["contrast"]
    if own["brightness"] is not None:
        tables = tables + own["brightness"]
    levels = (np.clip(tables, 0, 1) * 255 + 0.5).astype(np.uint8)
    if own["colour"] is None:  # one table for all channels
        flat = image.reshape(len(image), -1)
        cv2.LUT(flat, np.ascontiguousarray(levels[:, 0]), dst=flat)
    else:
        cv2.LUT(image, levels[None], dst=image)


_LEVELS = np.arange(256, dtype=np.float64) / 255


def _shares(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(256, C) share of a channel's pixels that has each level."""
    channels = image.shape[2]
    counts = [cv2.calcHist([image], [channel], None, [256], [0, 256]).reshape(256) for channel in range(channels)]
    shares: NDArray[np.float64] = np.stack(counts, 1).astype(np.float64) / (image.size / channels)
    return shares


def _noise(shape: tuple[int, ...], seed: int, deviation: float) -> NDArray[np.float32]:
    """Normal numbers: those of the pool from some place on, with one sign or the other."""
    length = int(np.prod(shape))
    begin, sign = seed % POOL, 1 - 2 * (seed // POOL)
    return (_pool(length)[begin : begin + length] * np.float32(sign * deviation)).reshape(shape)


@cache
def _normal() -> NDArray[np.float32]:
    return np.random.Generator(np.random.PCG64(0)).standard_normal(POOL, dtype=np.float32)


@lru_cache(maxsize=4)
def _pool(length: int) -> NDArray[np.float32]:
    """The pool, and behind its end so many numbers of its beginning."""
    return np.resize(_normal(), POOL + length)


# -- on a device -----------------------------------------------------------------------------------------------------


def change_floats(image: Tensor, draws: PixelDraws, random: torch.Generator) -> Tensor:
    """The same for (B, C, H, W) floats in [0, 1], on their device.

    Args:
        image: stays as it is.
        draws: of the images.
        random: of the noise's values, on the device of the images.
    """

    def there(values: Tensor) -> Tensor:
        return values.to(image.device, non_blocking=True)

    def factor(values: Tensor) -> Tensor:
        return there(values)[..., None, None]

    if draws.occluder is not None:
        image = _occluded(image, there(draws.occluder), random)
    if draws.gamma is not None:
        image = image.clamp_min(0) ** factor(draws.gamma)
    if draws.colour is not None:
        image = image * factor(draws.colour)
    if draws.contrast is not None:
        mean = image.mean((1, 2, 3), keepdim=True)
        image = mean + (image - mean) * factor(draws.contrast)
    if draws.brightness is not None:
        image = image + factor(draws.brightness)
    if draws.sigma is not None:
        image = _blurred(image, there(draws.sigma), draws.radius)
    if draws.side is not None:
        image = _lowered(image, there(draws.side))
    if draws.noise is not None:
        values = torch.randn(image.shape, generator=random, device=image.device, dtype=image.dtype)
        image = image + values * factor(draws.noise)
    return image.clamp(0, 1)


def _occluded(image: Tensor, occluder: Tensor, random: torch.Generator) -> Tensor:
    height, width = image.shape[-2:]
    h, w, top, left, other_top, other_left, donor = occluder[..., None].unbind(1)
    rows, columns = (torch.arange(side, device=image.device) for side in (height, width))
    inside = ((rows >= top) & (rows < top + h))[:, :, None] & ((columns >= left) & (columns < left + w))[:, None]
    from_rows = (rows + other_top - top).clamp(0, height - 1)
    from_columns = (columns + other_left - left).clamp(0, width - 1)
    patch = image[donor[..., None], :, from_rows[:, :, None], from_columns[:, None]].permute(0, 3, 1, 2)
    grey = torch.rand(image.shape, generator=random, device=image.device, dtype=image.dtype)
    own = (donor == torch.arange(len(image), device=image.device)[:, None])[..., None, None]
    return torch.where(inside[:, None], torch.where(own, grey, patch), image)


def _blurred(image: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """Each image by a Gaussian of its own, in x and in y."""
    count, channels = image.shape[:2]
    offsets = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma[:, None].clamp_min(1e-3)).square())  # of 0: the pixel itself
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)[:, None]
    stacked = functional.pad(image, [radius] * 4, mode="reflect").flatten(0, 1)[None]
    stacked = functional.conv2d(stacked, kernel[:, :, None], groups=count * channels)
    stacked = functional.conv2d(stacked, kernel[..., None], groups=count * channels)
    blurred: Tensor = stacked[0].unflatten(0, (count, channels))
    return blurred


def _lowered(image: Tensor, side: Tensor) -> Tensor:
    """Each image averaged to a side of its own and interpolated back, as one matrix for rows and one for columns."""
    rows, columns = (_lowering(side, length, image) for length in image.shape[-2:])
    lowered = rows[:, None] @ image @ columns[:, None].mT
    return torch.where((side > 0)[:, None, None, None], lowered, image)


def _lowering(side: Tensor, size: int, like: Tensor) -> Tensor:
    """(B, size, size): means over ``size / side`` pixels, then straight lines between them."""
    cells = torch.arange(size // 2 + 1, device=like.device, dtype=like.dtype)
    pixel = torch.arange(size, device=like.device, dtype=like.dtype)
    sides = side.clamp_min(1).to(like.dtype)[:, None, None]
    begin, end = cells[:, None] * size / sides, (cells[:, None] + 1) * size / sides
    overlap = torch.minimum(end, pixel + 1) - torch.maximum(begin, pixel)
    average = overlap.clamp_min(0) * sides / size  # (B, cells, size)
    place = ((pixel[:, None] + 0.5) * sides / size - 0.5).clamp_min(0).minimum(sides - 1)
    return (1 - (place - cells).abs()).clamp_min(0) @ average


def shrink_and_enlarge(image: Tensor, side: int, mode: str) -> Tensor:
    """Average (B, C, H, H) images down to a side in pixels, by exact areas, and interpolate them back.

    Torch's own ``area`` mode takes whole pixels, which moves what it shows by up to half a pixel where the sides do
    not divide.
    """
    size = image.shape[-1]
    edges = torch.arange(side + 1, device=image.device, dtype=image.dtype) * size / side
    pixel = torch.arange(size, device=image.device, dtype=image.dtype)
    overlap = torch.minimum(edges[1:, None], pixel + 1) - torch.maximum(edges[:-1, None], pixel)
    share = overlap.clamp(min=0) * side / size
    return functional.interpolate(share @ image @ share.T, size=size, mode=mode, align_corners=False)
