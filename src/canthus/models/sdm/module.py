"""SDM as a LightningModule: an epoch for each step, at whose end it is solved."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from canthus.data.batch import Batch
from canthus.models.base import LandmarkModel
from canthus.models.cfan.network import to_unit
from canthus.models.estimates import Estimates
from canthus.models.sdm.cascade import SDMCascade
from canthus.models.sdm.network import NormalEquations
from canthus.utils.errors import ConfigError

if TYPE_CHECKING:
    from canthus.data.datamodule import FaceDataModule

__all__ = ["SDMModule"]

COUNTER = functools.partial(torch.optim.SGD, lr=0.0)
"""Lightning counts steps, and chooses checkpoints, by an optimiser's; this one changes nothing."""


class SDMModule(LandmarkModel, SDMCascade):
    """Solves the steps of SDM one after the other.

    Args:
        optimizer: see `LandmarkModel`; there are no gradients, so it counts steps and changes nothing.
        scheduler: see `LandmarkModel`; likewise.
        **settings: see `SDMCascade`.
    """

    stagewise = True
    _equations: NormalEquations | None = None

    def __init__(
        self,
        optimizer: Callable[..., torch.optim.Optimizer] = COUNTER,
        scheduler: Callable[..., torch.optim.lr_scheduler.LRScheduler] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(optimizer, scheduler, **settings)
        self.save_hyperparameters(settings)
        self.automatic_optimization = False

    def initialise(self, data: "FaceDataModule") -> None:
        """Set the mean shape."""
        self.network.mean_shape.copy_(to_unit(data.mean_position(), self.input.size))

    def train_stages(
        self, stages: Sequence[int], epochs: int | None = None, *, begin: int = 0, pretrain: bool = False
    ) -> None:
        """Choose the step that is solved at the end of every epoch from now on.

        Raises:
            ConfigError: several at once: each needs the ones before it.
        """
        if len(stages) > 1:
            raise ConfigError(f"sdm solves one step after the other, not stages {list(stages)} together")
        super().train_stages(stages, epochs, begin=begin, pretrain=pretrain)

    def stage_parameters(self, stage: int) -> Iterator[nn.Parameter]:
        """Of one step."""
        yield from self.network.steps[stage].parameters()

    def losses(self, batch: Batch, estimates: Estimates) -> dict[str, Tensor]:
        """Mean squared error of the last active step's labelled points, in crops: what its regression minimises."""
        size, labelled = self.input.size, batch["visibility"] > 0
        error = (to_unit(estimates.points[-1], size) - to_unit(batch["landmarks"], size)).square().sum(-1)
        return {"error": error[labelled].mean() if bool(labelled.any()) else error.sum() * 0}

    def on_train_epoch_start(self) -> None:
        """Begin to add up."""
        self._equations = None

    @torch.no_grad()
    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Add a batch to the equations of the step that trains; solve them after the last."""
        (stage,) = self.trained_stages
        whole = (batch["visibility"] > 0).all(1)
        image, size = batch["image"][whole], self.input.size
        truth = to_unit(batch["landmarks"][whole].float(), size)[:, None]
        shapes = self._starts(len(image))
        for number in range(stage):
            shapes = self.network.step(number, image, shapes)
        read = self.network.features(stage, image, shapes).flatten(0, 1)
        left = (truth - shapes).flatten(2).flatten(0, 1)
        if self._equations is None:
            self._equations = NormalEquations(read.shape[1], left.shape[1], read.device)
        self._equations.add(read, left)
        loss = left.square().sum(1).mean() if len(left) else left.sum()
        self._add({"loss": loss}, len(batch["index"]))
        self.optimizers().step()  # type: ignore[union-attr]
        if self.trainer.is_last_batch:
            self._solve(stage)
        return {"loss": loss}

    def _starts(self, count: int) -> Tensor:
        """(count, P, K, 2) mean shapes, moved and scaled about their centre at random."""
        mean = self.network.mean_shape
        move, scale = self.spread
        centre = mean.mean(0)
        drawn = torch.randn(count, self.perturbations, 3, device=mean.device)
        scaled = (mean - centre) * (scale * drawn[..., 2]).exp()[..., None, None]
        return centre + scaled + move * drawn[..., None, :2]

    def _solve(self, stage: int) -> None:
        """The same on every process, from the sums of all."""
        assert self._equations is not None
        if self.trainer.world_size > 1:
            self._equations.reduce(lambda total: self.trainer.strategy.reduce(total, reduce_op="sum"))
        weight, bias = self._equations.solve(self.ridge)
        step = self.network.steps[stage]
        step.weight.copy_(weight)  # type: ignore[operator]
        step.bias.copy_(bias)  # type: ignore[operator]
        self._equations = None
