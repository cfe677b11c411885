"""Fan & Zhou as a LightningModule: level 2 learns from errors like those that level 1 makes on held-out faces."""

from collections.abc import Iterator
from logging import getLogger
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from canthus.data.batch import Batch
from canthus.geometry import affine
from canthus.models.base import LandmarkModel
from canthus.models.estimates import Estimates
from canthus.models.fan_zhou.cascade import RESIDUALS, FanZhouCascade
from canthus.models.fan_zhou.network import EYE_DISTANCE, PatchNetworks
from canthus.models.losses import pair_distance, vote_loss

if TYPE_CHECKING:
    from canthus.data.datamodule import FaceDataModule

__all__ = ["FanZhouModule"]

log = getLogger(__name__)

ASSUMED_ERROR = 0.035
"""Deviation of level 1's errors in eye distances where no faces are held out (inferred in the reference: 3 to 4 %)."""


class FanZhouModule(LandmarkModel, FanZhouCascade):
    """Trains Fan & Zhou's two levels, one after the other.

    Args:
        optimizer: see `LandmarkModel`.
        scheduler: see `LandmarkModel`.
        **settings: see `FanZhouCascade`.
    """

    stagewise = True

    @property
    def patches(self) -> PatchNetworks:
        """Level 2."""
        assert self.network.patches is not None
        return self.network.patches

    def initialise(self, data: "FaceDataModule") -> None:
        """Set the upright frame; level 1 begins with the mean position of the training points."""
        self.network.whole.start_from(data.mean_position())
        if self.num_stages == 2:
            shape = data.mean_shape()
            shape = shape * EYE_DISTANCE / pair_distance(shape[None], self.scheme.normalisers["inter_ocular"])
            self.patches.set_shape(shape)

    def stage_parameters(self, stage: int) -> Iterator[nn.Parameter]:
        """Level 1's network, or all patch networks."""
        return self.network.whole.parameters() if stage == 0 else self.patches.parameters()

    # -- level 2 trains on the truth moved by what level 1 gets wrong ------------------------------------------------

    def on_train_epoch_start(self) -> None:
        """Measure level 1's errors when level 2 begins to train, and every epoch as long as level 1 trains, too."""
        if 1 in self.trained_stages and (0 in self.trained_stages or not self.measured):
            self.measure_residuals(self.trainer.datamodule)  # type: ignore[attr-defined]

    @torch.no_grad()
    def measure_residuals(self, data: "FaceDataModule") -> None:
        """Fill ``residuals`` with level 1's errors on the held-out faces and their mirror images, upright.

        Those on the training faces are too small to learn from.
        """
        training, found = self.training, []
        self.eval()
        for batch in data.inputs("val"):
            points = self.network(batch["image"].to(self.device), depth=1)[0].average(self.scheme.num_landmarks)
            truth, weight = batch["landmarks"].to(self.device), (batch["visibility"] > 0).to(self.device)
            upright = self._truth_upright(truth, weight)
            errors = affine.apply(upright, points) - affine.apply(upright, truth)
            found.append(torch.where(weight[..., None], errors, 0))
        self.train(training)
        if found:
            errors = torch.cat(found)
            mirrored = errors[:, list(self.scheme.flip)] * errors.new_tensor([-1, 1])
            errors = torch.cat([errors, mirrored])
            self.residuals.copy_(errors[torch.arange(RESIDUALS, device=errors.device) % len(errors)])
            size = errors.square().sum(-1).sqrt().mean() / EYE_DISTANCE
            log.info("level 1 is off by %.2f %% of the eye distance on held-out faces", 100 * size)
        else:
            log.warning("no faces are held out, so level 2 trains on Gaussian errors of %.1f %%", 100 * ASSUMED_ERROR)
            self.residuals.normal_(0, ASSUMED_ERROR * EYE_DISTANCE)
        self.measured.fill_(True)

    def _truth_upright(self, truth: Tensor, labelled: Tensor) -> Tensor:
        """Similarities from labels to the mean shape; all points count, whatever rectifies estimates."""
        return affine.similarity_fit(truth, self.patches.mean_shape[None], labelled.float())

    def _disturbed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The truth with errors of level 1, (B, K, 2), and (B, 2, 3) disturbances of the rectification."""
        truth, labelled = batch["landmarks"], batch["visibility"] > 0
        count, device = len(truth), truth.device
        upright = self._truth_upright(truth, labelled)
        shape = torch.where(labelled[..., None], affine.apply(upright, truth), self.patches.mean_shape)
        shape = shape + self.residuals[torch.randint(RESIDUALS, (count,), device=device)]
        angle, growth = 2 * torch.rand(2, count, device=device) - 1
        jitter = affine.rotation_scale(
            angle * self.rotation * torch.pi / 180, 1 + growth * self.scale, torch.zeros(count, 2, device=device)
        )
        return affine.apply(affine.invert(upright), shape), jitter

    def estimates(self, batch: Batch) -> Estimates:
        """Points of the active levels; in training, those of level 2 come from around the disturbed truth."""
        if not self.training:
            return super().estimates(batch)
        with torch.set_grad_enabled(torch.is_grad_enabled() and 0 in self.trained_stages):
            votes = self.network(batch["image"], depth=1)
        if self.depth == 2:
            votes.append(self.patches(batch["image"], *self._disturbed(batch)))
        return self.averaged(votes)

    def losses(self, batch: Batch, estimates: Estimates) -> dict[str, Tensor]:
        """Squared error of the networks' outputs, or the loss in its place, for each level that trains."""
        assert estimates.votes is not None
        return {
            f"level{stage + 1}": vote_loss(estimates.votes[stage], batch["landmarks"], batch["visibility"], self.loss)
            for stage in self.trained_stages
        }
