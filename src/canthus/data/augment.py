"""Augmentation: one warp from store pixels to network input, then changes of the pixels, for a whole batch at once.

Every draw comes from one CPU generator in a fixed order, so the same seed gives the same changes on every device; only
the values of noise differ from one kind of device to another (see `canthus.data.pixel_changes`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from canthus.data.batch import Batch, InputSpec, input_to_store
from canthus.data.pixel_changes import PixelDraws, change_floats, change_levels
from canthus.geometry import affine, boxes
from canthus.geometry.box_pca import BoxPCA
from canthus.geometry.devices import constant
from canthus.utils.errors import check_choice

__all__ = ["Augmentation", "permute_mirrored"]

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
        check_choice("augmentation.shift_unit", self.shift_unit, SHIFT_UNITS)
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
        """Photometric changes, occluders, blur and low resolution, on the device of the images.

        Args:
            image: (B, C, H, W) float in [0, 1].
            random: CPU generator.

        Returns:
            The changed images, in [0, 1].
        """
        count, channels, height, width = image.shape
        draws = PixelDraws.of(self, count, channels, (height, width), random)
        if image.device.type != "cpu":  # 50 MB of noise a batch are drawn where they are needed
            random = torch.Generator(image.device).manual_seed(int(draws.seed.sum()))
        return change_floats(image, draws, random)

    def change_levels(self, images: NDArray[np.uint8], random: torch.Generator) -> None:
        """The same for (B, H, W, C) 8-bit levels on the host, in place."""
        count, height, width, channels = images.shape
        change_levels(images, PixelDraws.of(self, count, channels, (height, width), random))


def permute_mirrored(values: Tensor, mirrored: Tensor, permutation: Sequence[int]) -> Tensor:
    """Give the landmarks of mirrored faces their new names: (B, K, ...) values, (B,) flags."""
    flags = mirrored.to(values.device, non_blocking=True).reshape(-1, *[1] * (values.ndim - 1))
    return torch.where(flags, values[:, constant(tuple(permutation), values, torch.long)], values)
