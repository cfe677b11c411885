"""DCNN as a LightningModule: levels that learn independently, the later ones around shifted truth."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from canthus.data.batch import Batch, InputSpec
from canthus.geometry.boxes import centred_box
from canthus.models.base import LandmarkModel
from canthus.models.dcnn.network import DCNN, NUM_LANDMARKS
from canthus.models.estimates import Estimates, Votes
from canthus.models.losses import vote_loss

__all__ = ["DCNNModule"]

BOX_SHARE = 0.7
"""Of the input's side: room for the largest patch (0.18) around a point on the edge of the face box."""


class DCNNModule(LandmarkModel):
    """Deep Convolutional Network Cascade.

    Levels 2 and 3 train on patches about the shifted truth, not on what the level before finds (section 4 of the
    paper), so all levels can train at once or one by one with the same result.

    Args:
        optimizer: see `LandmarkModel`; the paper: stochastic gradient descent with a rate for each parameter.
        scheduler: see `LandmarkModel`.
        scheme: landmark scheme; only the five points of the paper.
        levels: 1 to 3.
        networks: of level 1: F1, EN1, NM1 or some of them that place every point.
        structure: of F1: S0, or one of the ablations S3 to S7 (table 1).
        shifts: largest shift in x and y of the patches of levels 2 and 3 in training, in face boxes.
        size: side of the input, pixels. All patches are resampled from it; level 3 sees 68 pixels per face box.

    Raises:
        ValueError: an argument that does not describe a cascade.
    """

    name = "dcnn"
    schemes = ("5",)

    def __init__(
        self,
        optimizer: Callable[[Sequence[nn.Parameter]], torch.optim.Optimizer],
        scheduler: Callable[..., torch.optim.lr_scheduler.LRScheduler] | None = None,
        scheme: str | int = "5",
        levels: int = 3,
        networks: Sequence[str] = ("F1", "EN1", "NM1"),
        structure: str = "S0",
        shifts: Sequence[float] = (0.05, 0.02),
        size: int = 100,
    ) -> None:
        super().__init__(scheme=scheme, stages=levels, optimizer=optimizer, scheduler=scheduler)
        if len(shifts) < levels - 1:
            raise ValueError(f"model.shifts={list(shifts)} must name a shift for each of the {levels - 1} later levels")
        self.save_hyperparameters(ignore=["optimizer", "scheduler"])
        self._input = InputSpec(size, 1, centred_box(size, BOX_SHARE))
        self.network = DCNN(self._input.reference_box, levels=levels, networks=networks, structure=structure)
        self.shifts = tuple(shifts)

    @property
    def input(self) -> InputSpec:
        """A grey crop from which the patches of all levels are resampled."""
        return self._input

    def stage_parameters(self, stage: int) -> Iterator[nn.Parameter]:
        """All networks of a level."""
        return self.network.levels[stage].parameters()

    def estimates(self, batch: Batch) -> Estimates:
        """Points of the active levels; in training, those of levels 2 and 3 come from around the shifted truth."""
        votes = self._independent_votes(batch) if self.training else self.network(batch["image"], depth=self.depth)
        return Estimates(points=[level.average(NUM_LANDMARKS) for level in votes], votes=votes)

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
        """Squared error of the networks' outputs, for each level that trains."""
        assert estimates.votes is not None
        return {
            f"level{stage + 1}": vote_loss(estimates.votes[stage], batch["landmarks"], batch["visibility"])
            for stage in self.trained_stages
        }
