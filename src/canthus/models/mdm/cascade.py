"""Mnemonic Descent Method, as prediction needs it."""

import math

import torch
from torch import Tensor

from canthus.data.batch import Batch, InputSpec
from canthus.geometry import affine, boxes
from canthus.models.cascade import Cascade
from canthus.models.estimates import Estimates
from canthus.models.losses import check_loss
from canthus.models.mdm.network import CHANNELS, HIDDEN, MDM
from canthus.utils.errors import check_choice

__all__ = ["MDMCascade"]

ASPECT = 150.02 / 128.82
"""Width by height of the tight box of a mean face of 68 points (DAN's), to size the network input before any data."""
MEAN_SHAPES = ("procrustes", "raw")


class MDMCascade(Cascade):
    """Mnemonic Descent Method.

    Args:
        scheme: landmark scheme; it needs the ``loss_normaliser``.
        stages: number of steps T.
        patch: side of a patch, pixels.
        hidden: see `MDM`.
        channels: see `MDM`.
        projection: see `MDM`.
        initialisation: see `MDM`.
        unit: see `MDM`.
        independent: see `MDM`; the steps are then trained one after the other.
        size: side of the network input, pixels.
        diagonal: of the reference shape's tight box, pixels.
        mean_shape: reference shape: ``procrustes`` or ``raw``, the released code's mean of unaligned annotations.
        box_noise: deviation of the boxes from which training starts, in shift and size, as a share of the true box; for
            boxes of the labels, which do not vary. Other boxes vary in training as they do in the data.
        loss_normaliser: distance of the scheme that divides the published loss.
        flip_average: average with the mirror image in evaluation and prediction, as the released code does.
        loss: ``published``, or ``l1``, ``smooth_l1`` or ``wing``, see `canthus.models.losses.coordinate_loss`.

    Raises:
        ValueError: an unknown option, or a scheme without the normaliser.
    """

    name = "mdm"
    reference_box: Tensor
    start_mean: Tensor
    start_axes: Tensor

    def __init__(
        self,
        *,
        scheme: str | int = "68",
        stages: int = 4,
        patch: int = 30,
        hidden: int = HIDDEN,
        channels: int = CHANNELS,
        projection: int | None = None,
        initialisation: str = "released",
        unit: float = 1.0,
        independent: bool = False,
        size: int = 256,
        diagonal: float = 200.0,
        mean_shape: str = "procrustes",
        box_noise: float = 0.05,
        loss_normaliser: str = "inter_ocular",
        loss: str = "published",
        flip_average: bool = True,
    ) -> None:
        super().__init__(scheme=scheme, stages=stages)
        self.loss = check_loss(loss)
        for name, value, choices in (
            ("mean_shape", mean_shape, MEAN_SHAPES),
            ("loss_normaliser", loss_normaliser, tuple(self.scheme.normalisers)),
        ):
            check_choice(f"model.{name}", value, choices)
        if diagonal >= size:
            raise ValueError(f"model.diagonal is {diagonal}: a face of that size does not fit model.size={size}")
        self.stagewise, self.flip_average = independent, flip_average
        self.network = MDM(
            self.scheme.num_landmarks,
            steps=stages,
            patch=patch,
            hidden=hidden,
            channels=channels,
            projection=projection,
            initialisation=initialisation,
            unit=unit,
            independent=independent,
        ).to(memory_format=torch.channels_last)
        self.mean_shape, self.box_noise = mean_shape, box_noise
        self.loss_pair = self.scheme.normalisers[loss_normaliser]
        middle, height = (size - 1) / 2, diagonal / math.hypot(ASPECT, 1)
        x, y = ASPECT * height / 2, height / 2
        self._input = InputSpec(size, 3, (middle - x, middle - y, middle + x, middle + y))
        self.register_buffer("reference_box", self._input.reference)
        self.register_buffer("start_mean", torch.tensor([-0.5, -0.5, 0.5, 0.5]))
        self.register_buffer("start_axes", torch.zeros(4, 4))

    @property
    def input(self) -> InputSpec:
        """The crop in which the reference shape, placed in the face box, has its diagonal."""
        return self._input

    def placed(self, box: Tensor) -> Tensor:
        """(B, K, 2): the reference shape in (B, 4) face boxes, from which the first step starts."""
        place = boxes.box_map(self.reference_box[None], box, by="diagonal")
        return affine.apply(place, self.network.mean_shape)

    def estimates(self, batch: Batch) -> Estimates:
        """Points of the active steps, from the given box on."""
        initial = self.placed(batch["box"])
        return Estimates(self.network(batch["image"], initial, depth=self.depth), initial=initial)
