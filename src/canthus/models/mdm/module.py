"""MDM as a LightningModule: starts drawn from a box generator, a loss at every step."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from canthus.data.batch import Batch, InputSpec
from canthus.geometry import affine, boxes
from canthus.geometry.box_pca import BoxPCA
from canthus.models.base import LandmarkModel
from canthus.models.estimates import Estimates
from canthus.models.losses import normalised_point_loss
from canthus.models.mdm.network import CHANNELS, HIDDEN, MDM

if TYPE_CHECKING:
    from canthus.data.datamodule import FaceDataModule

__all__ = ["MDMModule"]

ASPECT = 150.02 / 128.82
"""Width by height of the tight box of a mean face of 68 points (DAN's), to size the network input before any data."""
MEAN_SHAPES = ("procrustes", "raw")


class MDMModule(LandmarkModel):
    """Mnemonic Descent Method.

    Args:
        optimizer: see `LandmarkModel`; the released code: Adam, 0.001.
        scheduler: see `LandmarkModel`; the released code: a tenth every 15 000 steps.
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
        loss_normaliser: distance of the scheme that divides the loss.
        flip_average: average with the mirror image in evaluation and prediction, as the released code does.

    Raises:
        ValueError: an unknown option, or a scheme without the normaliser.
    """

    name = "mdm"
    reference_box: Tensor
    start_mean: Tensor
    start_axes: Tensor

    def __init__(
        self,
        optimizer: Callable[[Sequence[nn.Parameter]], torch.optim.Optimizer],
        scheduler: Callable[..., torch.optim.lr_scheduler.LRScheduler] | None = None,
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
        flip_average: bool = True,
    ) -> None:
        super().__init__(scheme=scheme, stages=stages, optimizer=optimizer, scheduler=scheduler)
        for name, value, choices in (
            ("mean_shape", mean_shape, MEAN_SHAPES),
            ("loss_normaliser", loss_normaliser, tuple(self.scheme.normalisers)),
        ):
            if value not in choices:
                raise ValueError(f"model.{name} is {value!r}; one of {', '.join(choices)}")
        if diagonal >= size:
            raise ValueError(f"model.diagonal is {diagonal}: a face of that size does not fit model.size={size}")
        self.save_hyperparameters(ignore=["optimizer", "scheduler"])
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

    def initialise(self, data: "FaceDataModule") -> None:
        """Set the reference shape and its box, and how boxes lie about true ones."""
        points, visibility, detected = data.training_labels()
        if self.mean_shape == "raw":
            weight = (visibility > 0)[..., None]
            shape = (points * weight).sum(0) / weight.sum(0)
        else:
            shape = data.mean_shape()
        if data.reduced:  # the face box is not the box of these points, so the shape lies where they lie on average
            shape = affine.apply(affine.similarity_fit(shape[None], data.mean_position()[None]), shape)[0]
        else:
            shape = boxes.shape_in_box(shape, self.input.reference[None], by="diagonal")[0]
            self.reference_box.copy_(boxes.box_of_points(shape))
        self.network.mean_shape.copy_(shape)
        generator = BoxPCA.fit(detected, boxes.box_of_points(points, visibility))
        self.start_mean.copy_(generator.mean)
        self.start_axes.copy_(generator.axes)
        if float(generator.axes.norm()) < 1e-3:
            right, down = torch.tensor([1.0, 0.0, 1.0, 0.0]), torch.tensor([0.0, 1.0, 0.0, 1.0])
            wider, higher = torch.tensor([-0.5, 0.0, 0.5, 0.0]), torch.tensor([0.0, -0.5, 0.0, 0.5])
            self.start_axes.copy_(self.box_noise * torch.stack([right, down, wider, higher]))

    def stage_parameters(self, stage: int) -> Iterator[nn.Parameter]:
        """All weights are those of every step, unless steps are independent."""
        return self.network.step(stage).parameters()

    def initial_shape(self, batch: Batch) -> Tensor:
        """(B, K, 2): the reference shape in the face box, or, while training, in a box drawn around the true one."""
        box = batch["box"]
        if self.training:
            true = boxes.box_of_points(batch["landmarks"], batch["visibility"])
            box = BoxPCA(self.start_mean, self.start_axes).sample(true, torch.default_generator)
        place = boxes.box_map(self.reference_box[None], box, by="diagonal")
        return affine.apply(place, self.network.mean_shape)

    def estimates(self, batch: Batch) -> Estimates:
        """Points of the active steps."""
        initial = self.initial_shape(batch)
        frozen = min(self.trained_stages) if self.training else 0
        points = self.network(batch["image"], initial, depth=self.depth, frozen=frozen)
        return Estimates(points, initial=initial)

    def losses(self, batch: Batch, estimates: Estimates) -> dict[str, Tensor]:
        """The error of every step that trains, all of one weight."""
        truth, visibility = batch["landmarks"], batch["visibility"]
        return {
            f"step{number + 1}": normalised_point_loss(estimates.points[number], truth, visibility, self.loss_pair)
            for number in self.trained_stages
        }
