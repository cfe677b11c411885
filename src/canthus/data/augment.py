"""Augmentation: one warp from store pixels to network input, then changes of the pixels, for a whole batch at once.

Every draw comes from one CPU generator in a fixed order, so the same seed gives the same batch on every device.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor
from torch.nn import functional

from canthus.data.batch import Batch, InputSpec, input_to_store
from canthus.geometry import affine, boxes
from canthus.geometry.box_pca import BoxPCA

__all__ = ["Augmentation", "permute_mirrored", "shrink_and_enlarge"]

PIXEL_CHANGES = ("brightness", "contrast", "gamma", "colour", "noise", "occlusion", "blur", "low_resolution")
SHIFT_UNITS = ("box", "original_pixels")


@dataclass(frozen=True)
class Augmentation:
    """What changes from one showing of a face to the next. Zero switches a change off.

    Attributes:
        mirror: probability of a left-right mirror.
        rotation: standard deviation, degrees.
        scale: standard deviation of the factor N(1, scale), kept within ``scale_limits``.
        scale_limits: because N(1, 0.25) reaches 0 at four deviations.
        shift: standard deviation in x and y, as a share of the box's width and height.
        shift_unit: ``box``, or ``original_pixels`` for the released DAN trainer, which computed the shift on the
            network input and applied it to the image, so that large faces hardly moved.
        brightness: half-width of the uniform additive change, in units of the full range.
        contrast: half-width of the uniform factor about the mean, around 1.
        gamma: the exponent is drawn log-uniformly from [1 / (1 + gamma), 1 + gamma].
        colour: half-width of the uniform factor of each channel, around 1 (RGB inputs only).
        noise: largest standard deviation of Gaussian pixel noise, in units of the full range.
        occlusion: probability of a rectangle, filled with a patch of another face of the batch or with noise.
        occlusion_size: largest side of the rectangle, as a share of the input.
        blur: probability of a Gaussian blur with deviation up to ``blur_sigma`` pixels.
        blur_sigma: see ``blur``.
        low_resolution: probability of shrinking by 2 to ``low_resolution_factor`` and enlarging again.
        low_resolution_factor: see ``low_resolution``.
        box_noise: how the boxes of a detector lie about those of the labels, ``mean`` and ``axes`` of `BoxPCA`: each
            time a face is shown, its box is drawn anew. ``canthus-eval run=RUN detector=DETECTOR`` measures it.
    """

    mirror: float = 0.5
    rotation: float = 20.0
    scale: float = 0.25
    scale_limits: tuple[float, float] = (0.3, 1.8)
    shift: float = 0.2
    shift_unit: str = "box"
    brightness: float = 0.0
    contrast: float = 0.0
    gamma: float = 0.0
    colour: float = 0.0
    noise: float = 0.0
    occlusion: float = 0.0
    occlusion_size: float = 0.4
    blur: float = 0.0
    blur_sigma: float = 2.0
    low_resolution: float = 0.0
    low_resolution_factor: float = 4.0
    box_noise: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            ValueError: a setting outside its range, named.
        """
        for name in ("mirror", "occlusion", "blur", "low_resolution"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"augmentation.{name} is {getattr(self, name)}; a probability lies in [0, 1]")
        for name in ("rotation", "scale", "shift", "brightness", "contrast", "gamma", "colour", "noise", "blur_sigma"):
            if getattr(self, name) < 0:
                raise ValueError(f"augmentation.{name} is {getattr(self, name)}; it must not be negative")
        low, high = self.scale_limits
        if not 0 < low <= high:
            raise ValueError(
                f"augmentation.scale_limits is {self.scale_limits}; two factors above 0, the smaller first"
            )
        if not 0 <= self.occlusion_size <= 1:
            raise ValueError(f"augmentation.occlusion_size is {self.occlusion_size}; a share lies in [0, 1]")
        if self.shift_unit not in SHIFT_UNITS:
            raise ValueError(f"augmentation.shift_unit is {self.shift_unit!r}; one of {', '.join(SHIFT_UNITS)}")
        if self.low_resolution_factor < 2:
            raise ValueError(f"augmentation.low_resolution_factor is {self.low_resolution_factor}; at least 2")
        if self.box_noise is not None:
            self._boxes  # noqa: B018  # looks at it

    @cached_property
    def _boxes(self) -> BoxPCA:
        try:
            return BoxPCA.of_numbers(self.box_noise)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"augmentation.box_noise is {self.box_noise}: {error}") from error

    @property
    def changes_pixels(self) -> bool:
        """Whether anything but the geometry changes."""
        return any(getattr(self, name) for name in PIXEL_CHANGES)

    def geometric(self) -> "Augmentation":
        """The same without changes of the pixels."""
        unchanged: dict[str, Any] = dict.fromkeys(PIXEL_CHANGES, 0.0)
        return replace(self, **unchanged)

    def draw_boxes(self, box: Tensor, random: torch.Generator) -> Tensor:
        """The boxes in which faces are shown: (B, 4) of the labels to (B, 4), as a detector might find them."""
        return box if self.box_noise is None else self._boxes.sample(box, random)

    def draw(self, batch: Batch, spec: InputSpec, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw the geometric change of every face of a batch in store pixels.

        Returns:
            (B, 2, 3) perturbations of the input frame, to be applied before the crop's placement, and (B,) bool
            mirror flags, on the CPU.
        """
        count = len(batch["index"])
        mirrored = torch.rand(count, generator=random) < self.mirror
        angle = torch.randn(count, generator=random) * torch.pi / 180 * self.rotation
        scale = (1 + torch.randn(count, generator=random) * self.scale).clamp(*self.scale_limits)
        shift = torch.randn(count, 2, generator=random) * self.shift
        reference = spec.reference
        shift = shift * (reference[2:] - reference[:2])
        if self.shift_unit == "original_pixels":
            to_input = affine.invert(input_to_store(batch["box"].cpu(), spec))
            to_input = affine.compose(to_input, affine.invert(batch["to_original"].cpu()))
            shift = shift * to_input[:, :1, 0].abs()  # input pixels per image pixel; both maps are upright
        centre = boxes.centre(reference)
        perturbation = affine.rotation_scale(angle, scale, centre.expand(count, 2))
        perturbation = affine.compose(affine.translation(shift), perturbation)
        # about the box, not the frame, so that a mirrored face is placed like any other
        return affine.compose(perturbation, affine.mirror(mirrored, float(centre[0]))), mirrored

    def change_pixels(self, image: Tensor, random: torch.Generator) -> Tensor:
        """Photometric changes, occluders, blur and low resolution.

        Args:
            image: (B, C, H, W) float in [0, 1].
            random: CPU generator.

        Returns:
            The changed images, in [0, 1].
        """
        count, channels = image.shape[:2]

        def uniform(half_width: float, columns: int = 1) -> Tensor:
            draw = (2 * torch.rand(count, columns, 1, 1, generator=random) - 1) * half_width
            return draw.to(image.device, non_blocking=True)

        def chosen(probability: float) -> Tensor:
            return torch.nonzero(torch.rand(count, generator=random) < probability).flatten()

        if self.occlusion:
            image = self._occlude(image, chosen(self.occlusion), random)
        if self.gamma:
            image = image.clamp_min(0) ** torch.exp(uniform(float(torch.tensor(1 + self.gamma).log())))
        if self.colour and channels == 3:
            image = image * (1 + uniform(self.colour, 3))
        if self.contrast:
            mean = image.mean((1, 2, 3), keepdim=True)
            image = mean + (image - mean) * (1 + uniform(self.contrast))
        if self.brightness:
            image = image + uniform(self.brightness)
        if self.blur:
            image = self._blur(image, chosen(self.blur), random)
        if self.low_resolution:
            image = self._lower_resolution(image, chosen(self.low_resolution), random)
        if self.noise:
            deviation = torch.rand(count, 1, 1, 1, generator=random) * self.noise
            image = image + (torch.randn(image.shape, generator=random) * deviation).to(image.device)
        return image.clamp(0, 1)

    def _occlude(self, image: Tensor, rows: Tensor, random: torch.Generator) -> Tensor:
        size = image.shape[-1]
        image = image.clone()
        for row in rows.tolist():
            h, w = ((0.1 + torch.rand(2, generator=random) * (self.occlusion_size - 0.1)) * size).int().tolist()
            top, left, other_top, other_left = (
                int(torch.randint(0, size - side + 1, (), generator=random)) for side in (h, w, h, w)
            )
            donor = int(torch.randint(0, len(image), (), generator=random))
            if donor == row:  # its own pixels would only be moved about: grey noise instead
                patch = torch.rand(image.shape[1], h, w, generator=random).to(image)
            else:
                patch = image[donor, :, other_top : other_top + h, other_left : other_left + w]
            image[row, :, top : top + h, left : left + w] = patch
        return image

    def _blur(self, image: Tensor, rows: Tensor, random: torch.Generator) -> Tensor:
        if not len(rows):
            return image
        sigma = 0.3 + torch.rand(len(rows), 1, generator=random) * max(self.blur_sigma - 0.3, 0)
        kernel = 2 * int(2.5 * self.blur_sigma + 0.5) + 1
        blurred = gaussian_blur2d(image[rows], (kernel, kernel), sigma.expand(-1, 2).to(image))
        return image.index_copy(0, rows.to(image.device), blurred)

    def _lower_resolution(self, image: Tensor, rows: Tensor, random: torch.Generator) -> Tensor:
        size = image.shape[-1]
        image = image.clone()
        for row in rows.tolist():
            factor = 2 + float(torch.rand((), generator=random)) * (self.low_resolution_factor - 2)
            image[row] = shrink_and_enlarge(image[row : row + 1], max(round(size / factor), 4), "bilinear")[0]
        return image


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


def permute_mirrored(values: Tensor, mirrored: Tensor, permutation: Sequence[int]) -> Tensor:
    """Give the landmarks of mirrored faces their new names: (B, K, ...) values, (B,) flags."""
    flags = mirrored.to(values.device).reshape(-1, *[1] * (values.ndim - 1))
    return torch.where(flags, values[:, torch.as_tensor(permutation, device=values.device)], values)
