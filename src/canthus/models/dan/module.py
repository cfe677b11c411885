"""DAN as a LightningModule: stage-wise training, inter-pupil loss, statistics of the training faces."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from canthus.data.batch import Batch, InputSpec
from canthus.geometry import affine, boxes
from canthus.models.base import LandmarkModel
from canthus.models.dan.network import DAN
from canthus.models.estimates import Estimates
from canthus.models.losses import normalised_point_loss

if TYPE_CHECKING:
    from canthus.data.datamodule import FaceDataModule

__all__ = ["DANModule"]

REFERENCE_BOX = (28.0, 31.96, 84.0, 85.90)
"""Tight box of the canonical shape S0 in a 112 px input: larger side 56 (frameFraction 0.25), centroid (56, 56)."""
STANDARDISATIONS = ("pixel", "channel")
FROZEN_MODES = ("train", "eval")
LATER_STAGES = ("random", "previous")


class DANModule(LandmarkModel):
    """Deep Alignment Network.

    Args:
        optimizer: see `LandmarkModel`; the paper: Adam, 0.001, fixed.
        scheduler: see `LandmarkModel`; the paper: none.
        scheme: landmark scheme; it needs the ``loss_normaliser``.
        stages: number of stages; the paper: 2.
        width: factor of the channels; the paper: 1.
        size: side of the input, pixels.
        channels: 1 grey (published models) or 3.
        dropout: before fc1.
        support: heat-map support: ``disc`` (paper) or ``window`` (released code).
        radius: heat-map radius, pixels.
        standardise: ``pixel`` for maps of mean and deviation (released code), ``channel`` for one pair a channel.
        statistics_faces: augmented faces from which those are measured.
        frozen_stages: how finished stages run while a later one trains: ``train`` (released code: dropout and batch
            statistics make their shapes noisy, a free augmentation) or ``eval``.
        loss_normaliser: distance of the scheme that divides the loss.
        later_stages: weights with which a later stage begins to train: ``random`` (paper) or ``previous``, those of the
            stage before it where shapes agree, so that a short training need not learn to see twice.

    Raises:
        ValueError: an unknown option, or a scheme without the normaliser.
    """

    name = "dan"
    stagewise = True
    begun: Tensor

    def __init__(
        self,
        optimizer: Callable[[Sequence[nn.Parameter]], torch.optim.Optimizer],
        scheduler: Callable[..., torch.optim.lr_scheduler.LRScheduler] | None = None,
        scheme: str | int = "68",
        stages: int = 2,
        width: float = 1.0,
        size: int = 112,
        channels: int = 1,
        dropout: float = 0.5,
        support: str = "disc",
        radius: int = 16,
        standardise: str = "pixel",
        statistics_faces: int = 2048,
        frozen_stages: str = "train",
        loss_normaliser: str = "inter_pupil",
        later_stages: str = "random",
    ) -> None:
        super().__init__(scheme=scheme, stages=stages, optimizer=optimizer, scheduler=scheduler)
        for name, value, choices in (
            ("standardise", standardise, STANDARDISATIONS),
            ("frozen_stages", frozen_stages, FROZEN_MODES),
            ("loss_normaliser", loss_normaliser, tuple(self.scheme.normalisers)),
            ("later_stages", later_stages, LATER_STAGES),
        ):
            if value not in choices:
                raise ValueError(f"model.{name} is {value!r}; one of {', '.join(choices)}")
        self.save_hyperparameters(ignore=["optimizer", "scheduler"])
        self.network = DAN(
            self.scheme.num_landmarks,
            stages=stages,
            size=size,
            channels_in=channels,
            width=width,
            dropout=dropout,
            support=support,
            radius=radius,
        ).to(memory_format=torch.channels_last)
        self.standardise, self.statistics_faces, self.frozen_stages = standardise, statistics_faces, frozen_stages
        self.later_stages = later_stages
        self.register_buffer("begun", torch.arange(stages) == 0)  # stages that have trained, for resuming
        self.loss_pair = self.scheme.normalisers[loss_normaliser]
        self._input = InputSpec(size, channels, tuple(size / 112 * edge for edge in REFERENCE_BOX))  # type: ignore[arg-type]

    @property
    def input(self) -> InputSpec:
        """The crop in which S0 fits the face box."""
        return self._input

    def initialise(self, data: "FaceDataModule") -> None:
        """Set S0, and the mean and standard deviation of the augmented training images."""
        shape = data.mean_shape()[None]
        if data.reduced:  # the face box is not the box of these points, so S0 lies where they lie on average
            place = affine.similarity_fit(shape, data.mean_position()[None])
        else:
            place = boxes.box_map(boxes.box_of_points(shape), self.input.reference[None])
        self.network.mean_shape.copy_(affine.apply(place, shape)[0])
        count, total, squares = 0, torch.zeros(()), torch.zeros(())
        for images in data.training_inputs(self.statistics_faces):
            count += len(images)
            total = total + images.double().sum(0)
            squares = squares + images.double().square().sum(0)
        if self.standardise == "channel":
            total, squares = (sums.mean((1, 2), keepdim=True) for sums in (total, squares))
        mean = total / count
        deviation = (
            (squares / count - mean.square()).clamp_min(0).sqrt().clamp_min(1e-3)
        )  # a corner may be always black
        self.network.mean_image.copy_(mean)
        self.network.std_image.copy_(deviation)

    def stage_parameters(self, stage: int) -> Iterator[nn.Parameter]:
        """The connection layer's dense part belongs to the stage it leads to."""
        return self.network.stage(stage).parameters()

    def train_stages(self, stages: Sequence[int], epochs: int | None = None, **phase: Any) -> None:
        """Choose the stages that train; one that begins may take over what the stage before has learnt."""
        super().train_stages(stages, epochs, **phase)
        for stage in self.trained_stages:
            if not self.begun[stage] and self.later_stages == "previous":
                self.network.copy_stage(stage - 1, stage)
            self.begun[stage] = True

    def train(self, mode: bool = True) -> "DANModule":
        """Training mode; finished stages follow ``frozen_stages``."""
        super().train(mode)
        if self.frozen_stages == "eval":
            for stage in range(min(self.trained_stages)):
                self.network.stage(stage).eval()
        return self

    def estimates(self, batch: Batch) -> Estimates:
        """Points of the active stages."""
        frozen = min(self.trained_stages) if self.training else 0
        points = self.network(batch["image"], depth=self.depth, frozen=frozen)
        return Estimates(points=points, initial=self.network.mean_shape.expand_as(points[0]))

    def losses(self, batch: Batch, estimates: Estimates) -> dict[str, Tensor]:
        """Equation 4, of the last active stage only."""
        last = estimates.points[-1]
        return {"point": normalised_point_loss(last, batch["landmarks"], batch["visibility"], self.loss_pair)}
