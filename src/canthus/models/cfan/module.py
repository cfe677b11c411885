"""CFAN as a LightningModule: tied pretraining of each stage, then fine-tuning, one stage after the other."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from canthus.data.batch import Batch
from canthus.models.base import LandmarkModel
from canthus.models.cfan.cascade import CFANCascade
from canthus.models.cfan.network import to_unit
from canthus.models.estimates import Estimates
from canthus.models.losses import coordinate_loss

if TYPE_CHECKING:
    from canthus.data.datamodule import FaceDataModule

__all__ = ["CFANModule"]


class CFANModule(LandmarkModel, CFANCascade):
    """Trains CFAN: each stage is pretrained, then fine-tuned.

    Args:
        optimizer: see `LandmarkModel`; the authors' is unknown. Pretraining runs at its rate, without the scheduler.
        scheduler: see `LandmarkModel`.
        **settings: see `CFANCascade`.
    """

    stagewise = True
    pretrains = True

    def initialise(self, data: "FaceDataModule") -> None:
        """Set the mean shape, and the number of faces that ``alpha`` refers to."""
        self.network.set_mean_shape(to_unit(data.mean_position(), self.input.size))
        self.train_faces.fill_(len(data.faces("train")))

    def stage_parameters(self, stage: int) -> Iterator[nn.Parameter]:
        """The decoders' biases serve pretraining only."""
        yield from self.network.stages[stage].parameters()
        yield from self.network.decoders[stage].parameters()

    def train(self, mode: bool = True) -> "CFANModule":
        """Training mode; finished stages are as they are in evaluation."""
        super().train(mode)
        self.network.stages[: min(self.trained_stages)].eval()
        return self

    def estimates(self, batch: Batch) -> Estimates:
        """Points of the active stages."""
        frozen = min(self.trained_stages) if self.training else 0
        return self.started(self.network(batch["image"], depth=self.depth, frozen=frozen))

    def losses(self, batch: Batch, estimates: Estimates) -> dict[str, Tensor]:
        """Squared error of the shapes (equation 9 and 12), or the loss in its place; when pretraining, of images."""
        alpha = self.alpha / self.train_faces
        if self.pretraining:
            return {
                f"reconstruction{stage + 1}": self._reconstruction(stage, batch, estimates, alpha)
                for stage in self.trained_stages
            }
        size, terms = self.input.size, {}
        truth, labelled = to_unit(batch["landmarks"], size), (batch["visibility"] > 0)[..., None]
        for stage in self.trained_stages:
            points = estimates.points[stage]
            if self.loss == "published":
                error = torch.where(labelled, to_unit(points, size) - truth, 0)
                terms[f"stage{stage + 1}"] = error.square().sum((1, 2)).mean()
            else:
                terms[f"stage{stage + 1}"] = coordinate_loss(
                    self.loss, points, batch["landmarks"], batch["visibility"], size
                )
            terms[f"penalty{stage + 1}"] = alpha * self.network.stages[stage].penalty()  # type: ignore[operator]
        return terms

    def _reconstruction(self, stage: int, batch: Batch, estimates: Estimates, alpha: Tensor) -> Tensor:
        """Of the hidden layers whose turn it is: each has an equal share of the phase's epochs, the lowest first."""
        network = self.network
        if stage:
            before: Tensor | None = to_unit(estimates.points[stage - 1].detach(), self.input.size)
        else:
            before = None if network.has_global else network.mean_shape.expand(len(batch["image"]), -1, -1)
        with torch.no_grad():
            value = network.features(stage, batch["image"], before)
        epoch, epochs = self.current_epoch - self.phase_begin, self.phase_epochs or 1
        layers = len(network.stages[stage].encoder)  # type: ignore[arg-type]
        first = min(epoch * layers // epochs, layers - 1)
        turn = range(first, max(first + 1, (epoch + 1) * layers // epochs))  # several, if epochs are fewer than layers
        decoder, san = network.decoders[stage], network.stages[stage]
        return torch.stack([decoder(san, value, layer, alpha) for layer in turn]).sum()
