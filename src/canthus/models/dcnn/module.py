"""DCNN as a LightningModule: levels that learn independently, the later ones around shifted truth."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from canthus.data.batch import Batch
from canthus.models.base import LandmarkModel
from canthus.models.dcnn.cascade import DCNNCascade
from canthus.models.estimates import Estimates, Votes
from canthus.models.losses import vote_loss

__all__ = ["DCNNModule"]


class DCNNModule(LandmarkModel, DCNNCascade):
    """Trains DCNN.

    Levels 2 and 3 train on patches about the shifted truth, not on what the level before finds (section 4 of the
    paper), so all levels can train at once or one by one with the same result.

    Args:
        optimizer: see `LandmarkModel`; the paper: stochastic gradient descent with a rate for each parameter.
        scheduler: see `LandmarkModel`.
        **settings: see `DCNNCascade`.
    """

    def stage_parameters(self, stage: int) -> Iterator[nn.Parameter]:
        """All networks of a level."""
        return self.network.levels[stage].parameters()

    def estimates(self, batch: Batch) -> Estimates:
        """Points of the active levels; in training, those of levels 2 and 3 come from around the shifted truth."""
        return self.averaged(self._independent_votes(batch)) if self.training else super().estimates(batch)

    def _independent_votes(self, batch: Batch) -> list[Votes]:
        votes = []
        for number, level in enumerate(list(self.network.levels)[: self.depth]):
            with torch.set_grad_enabled(torch.is_grad_enabled() and number in self.trained_stages):
                if number == 0:
                    votes.append(level(batch["image"]))
                else:
                    noise = 2 * torch.rand_like(batch["landmarks"]) - 1
                    shifted = batch["landmarks"] + noise * self.shifts[number - 1] * self.network.side
                    votes.append(level(batch["image"], shifted))
        return votes

    def losses(self, batch: Batch, estimates: Estimates) -> dict[str, Tensor]:
        """Squared error of the networks' outputs, or the loss in its place, for each level that trains."""
        assert estimates.votes is not None
        return {
            f"level{stage + 1}": vote_loss(estimates.votes[stage], batch["landmarks"], batch["visibility"], self.loss)
            for stage in self.trained_stages
        }
