"""What travels from the data module to a model, and what a model asks of the data module.

Legend: B batch, K landmarks, C channels, H W rows and columns. Frames: *store* is the crop that the store keeps of each
face, *input* the network's own, *original* that of the image as it was read.
"""

from dataclasses import dataclass
from typing import TypedDict

import torch
from torch import Tensor

from canthus.geometry import affine, boxes
from canthus.geometry.devices import constant
from canthus.utils.errors import check_choice

__all__ = ["SCALINGS", "Batch", "InputSpec", "input_to_store", "pixel_levels", "scale_pixels", "unscale_pixels"]

SCALINGS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "unit": ((0.0,), (1.0,)),
    "signed": ((0.5,), (0.5,)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""Fixed pixel scalings: mean and standard deviation, applied after the division by 255."""


class Batch(TypedDict):
    """A batch of faces.

    ``image`` is (B, C, H, W): uint8 store crops on the way to the device, float network inputs after it. All points
    and boxes are in the pixels of ``image``; ``to_original`` maps them to the original image.
    """

    image: Tensor
    landmarks: Tensor  # (B, K, 2)
    visibility: Tensor  # (B, K) uint8
    box: Tensor  # (B, 4)
    to_original: Tensor  # (B, 2, 3)
    index: Tensor  # (B,) row in the data module's list of faces


@dataclass(frozen=True)
class InputSpec:
    """The image that a model wants to see.

    Attributes:
        size: side of the square input, pixels.
        channels: 3 for RGB, 1 for grey (the plain mean of R, G and B).
        reference_box: ``xyxy`` in input pixels: where the face box is placed (centres meet).
        scaling: a name of `SCALINGS`.
        fit: what makes the scale when the face box is placed (see `canthus.geometry.boxes.box_map`).
    """

    size: int
    channels: int
    reference_box: tuple[float, float, float, float]
    scaling: str = "unit"
    fit: str = "sides"

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            ValueError: a field that no image can have; the message names it.
        """
        x1, y1, x2, y2 = self.reference_box
        if self.channels not in (1, 3):
            raise ValueError(f"channels is {self.channels}; pictures have 1 (grey) or 3 (RGB)")
        if self.size < 1 or x2 <= x1 or y2 <= y1:
            raise ValueError(f"size {self.size} and reference_box {self.reference_box} do not describe a picture")
        check_choice("fit", self.fit, boxes.SCALES)
        check_choice("scaling", self.scaling, SCALINGS)
        if len(SCALINGS[self.scaling][0]) > self.channels:
            raise ValueError(f"scaling {self.scaling!r} is defined for RGB, but channels is {self.channels}")

    @property
    def reference(self) -> Tensor:
        """(4,) the reference box as a tensor."""
        return torch.tensor(self.reference_box, dtype=torch.float32)


def input_to_store(box: Tensor, spec: InputSpec, perturbation: Tensor | None = None) -> Tensor:
    """The map from network input to store pixels that shows a face box where the model expects it.

    Args:
        box: (B, 4) face boxes, store pixels.
        spec: the network input.
        perturbation: (B, 2, 3) map of input pixels applied first (what augmentation changes).
    """
    reference = constant(spec.reference_box, box, box.dtype)
    placed = boxes.box_map(reference[None], box, by=spec.fit)
    return placed if perturbation is None else affine.compose(placed, perturbation)


def pixel_levels(scaling: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Divisor and offset per channel that take 8-bit levels to a scaling in one step."""
    means, deviations = SCALINGS[scaling]
    return tuple(255 * d for d in deviations), tuple(-m / d for m, d in zip(means, deviations, strict=True))


def scale_pixels(image: Tensor, scaling: str) -> Tensor:
    """Turn (B, C, H, W) pixels in [0, 1] into what the network's training expects (see `SCALINGS`)."""
    if scaling == "unit":
        return image
    mean, deviation = _mean_and_deviation(image, scaling)
    return (image - mean) / deviation


def unscale_pixels(image: Tensor, scaling: str) -> Tensor:
    """Undo `scale_pixels`."""
    mean, deviation = _mean_and_deviation(image, scaling)
    return image * deviation + mean


def _mean_and_deviation(image: Tensor, scaling: str) -> tuple[Tensor, Tensor]:
    mean, deviation = (constant(values, image, image.dtype)[:, None, None] for values in SCALINGS[scaling])
    return mean, deviation
