"""DAN as a LightningModule: stage-wise training, inter-pupil loss, statistics of the training faces."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from canthus.data.batch import Batch
from canthus.geometry import affine, boxes
from canthus.models.base import LandmarkModel
from canthus.models.dan.cascade import DANCascade
from canthus.models.estimates import Estimates
from canthus.models.losses import coordinate_loss, normalised_point_loss

if TYPE_CHECKING:
    from canthus.data.datamodule import FaceDataModule

__all__ = ["DANModule"]


class DANModule(LandmarkModel, DANCascade):
    """Trains DAN, stage by stage.

    Args:
        optimizer: see `LandmarkModel`; the paper: Adam, 0.001, fixed.
        scheduler: see `LandmarkModel`; the paper: none.
        **settings: see `DANCascade`.
    """

    stagewise = True

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
        return self.started(self.network(batch["image"], depth=self.depth, frozen=frozen))

    def losses(self, batch: Batch, estimates: Estimates) -> dict[str, Tensor]:
        """Equation 4, or the loss in its place, of the last active stage only."""
        last, truth, visibility = estimates.points[-1], batch["landmarks"], batch["visibility"]
        if self.loss != "published":
            return {"point": coordinate_loss(self.loss, last, truth, visibility, self.input.size)}
        return {"point": normalised_point_loss(last, truth, visibility, self.loss_pair)}
