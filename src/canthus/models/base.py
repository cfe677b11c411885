"""The LightningModule that all methods share: steps, optimiser, and which stages train."""

import inspect
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from logging import getLogger
from typing import TYPE_CHECKING, Any, ClassVar

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from canthus.data.batch import Batch
from canthus.models.cascade import Cascade
from canthus.models.estimates import Estimates
from canthus.models.plateau import is_plateau, on_plateau
from canthus.utils.errors import ConfigError
from canthus.utils.signatures import parameters_of

if TYPE_CHECKING:
    from canthus.data.datamodule import FaceDataModule

__all__ = ["LandmarkModel"]

log = getLogger(__name__)

HORIZON_NAMES = ("total_steps", "T_max", "total_iters")
"""What torch's schedulers call the number of steps they spread over."""


class LandmarkModel(Cascade, lightning.LightningModule):
    """The training of a method, around its cascade.

    Subclasses give `losses` and `stage_parameters`, and the cascade: as a second base class, whose settings follow
    those below, or by a network, `input` and `estimates` of their own. Metrics, plots and data sets are none of their
    business.

    Args:
        optimizer: takes parameters, returns an optimiser (a Hydra ``_partial_``).
        scheduler: takes an optimiser, returns a learning-rate scheduler. If it has a horizon (an argument called
            ``total_steps``, ``T_max`` or ``total_iters``) that is left open, it gets the number of steps of the
            current phase and is stepped every batch; otherwise it is stepped every epoch, a ``ReduceLROnPlateau`` (see
            `canthus.models.plateau.Plateau`) after every validation.
        **settings: of the cascade; at least its ``scheme`` and ``stages``, see `Cascade`.

    Raises:
        ConfigError: an optimiser or a scheduler that is none.
        ValueError: settings that do not describe a cascade.
    """

    stagewise: bool = False
    """Whether the method trains one stage after the other."""
    pretrains: ClassVar[bool] = False
    """Whether the method pretrains a stage, with a loss of its own, before it trains it."""

    def __init__(
        self,
        optimizer: Callable[..., torch.optim.Optimizer],
        scheduler: Callable[..., torch.optim.lr_scheduler.LRScheduler] | None = None,
        **settings: Any,
    ) -> None:
        for setting, make in (("optimizer", optimizer), ("scheduler", scheduler)):
            if make is not None and not callable(make):
                raise ConfigError(
                    f"model.{setting}={make} is none: it takes a _target_ and _partial_=true, as in conf/model/dan.yaml"
                )
        super().__init__(**settings)
        self._optimizer, self._scheduler = optimizer, scheduler
        self.phase_begin = 0
        self.phase_epochs: int | None = None
        self._sums: dict[str, tuple[Tensor | float, int]] = {}  # over the epoch: value times faces, faces
        self.pretraining = False
        self.trained_stages: list[int] = list(range(self.num_stages))
        if type(self).__init__ is LandmarkModel.__init__:
            chosen = {name: settings.get(name, one.default) for name, one in parameters_of(type(self)).items()}
            self.save_hyperparameters({key: chosen[key] for key in chosen if key not in ("optimizer", "scheduler")})

    # -- what a method provides --------------------------------------------------------------------------------------

    @abstractmethod
    def losses(self, batch: Batch, estimates: Estimates) -> Mapping[str, Tensor]:
        """Scalar loss terms by name; their sum is minimised."""

    @abstractmethod
    def stage_parameters(self, stage: int) -> Iterator[nn.Parameter]:
        """Parameters that belong to one stage."""

    def parameter_groups(self) -> list[Any]:
        """What the optimiser of the stages that train now is given: parameters, or groups of them.

        A group may have a ``rate``, the factor of its learning rate, beside the options of the optimiser.
        """
        parameters = [parameter for stage in self.trained_stages for parameter in self.stage_parameters(stage)]
        return list(dict.fromkeys(parameters))  # stages may share weights

    def initialise(self, data: "FaceDataModule") -> None:
        """Take what the network needs from the training split (mean shape, pixel statistics) before training."""

    # -- stages ------------------------------------------------------------------------------------------------------

    def train_stages(
        self, stages: Sequence[int], epochs: int | None = None, *, begin: int = 0, pretrain: bool = False
    ) -> None:
        """Choose the stages that train from now on; all up to the last of them are run.

        Args:
            stages: numbers from 0.
            epochs: length of this phase, for learning-rate schedules; the whole training when absent.
            begin: first epoch of this phase.
            pretrain: pretrain them, if the method does such a thing.

        Raises:
            ConfigError: a stage that the model does not have, or pretraining where there is none.
        """
        wrong = [stage for stage in stages if not 0 <= stage < self.num_stages]
        if wrong or not stages:
            raise ConfigError(
                f"cannot train stages {list(stages)}: {type(self).__name__} has {self.num_stages}, counted from 0"
            )
        if pretrain and not self.pretrains:
            raise ConfigError(f"{type(self).__name__} has no pretraining; remove `pretrain` from the stage schedule")
        self.trained_stages, self.pretraining = sorted(stages), pretrain
        self.phase_begin, self.phase_epochs = begin, epochs
        self._depth = max(stages) + 1
        self.active_stages.fill_(self._depth)

    # -- Lightning ---------------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Initialise from the training split once; a checkpoint brings its own values."""
        if stage == "fit" and not self.initialised:
            self.initialise(self.trainer.datamodule)  # type: ignore[attr-defined]
            self.initialised.fill_(True)

    def on_train_start(self) -> None:
        """Say, on every process, what it is about to do."""
        group = self.trainer.optimizers[0].param_groups[0]
        log.info(
            "learning rate %g, rank %d of %d, %d faces a batch",
            group["lr"],
            self.global_rank,
            self.trainer.world_size,
            self.trainer.train_dataloader.batch_size,  # type: ignore[union-attr]
        )

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """One step; callbacks find the estimates beside the loss."""
        estimates = self.estimates(batch)
        terms = self.losses(batch, estimates)
        loss = torch.stack(list(terms.values())).sum()
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        self._add(
            {"loss": loss, "lr": torch.tensor(rate)} | (dict(terms) if len(terms) > 1 else {}), len(batch["index"])
        )
        if batch_idx % self.trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self.log("loss", loss, on_step=True, on_epoch=False, prog_bar=True, logger=False)
        return {"loss": loss}

    def _add(self, values: Mapping[str, Tensor], count: int) -> None:
        """Sum over the epoch. Lightning's `log` does the same for two milliseconds a value and step."""
        for name, value in values.items():
            total, faces = self._sums.get(name, (0.0, 0))
            self._sums[name] = (total + value.detach().float() * count, faces + count)

    def on_train_epoch_end(self) -> None:
        """Log the means over the epoch's faces."""
        for name, (total, faces) in self._sums.items():
            self.log(f"train/{name}", total / faces, prog_bar=name == "loss", sync_dist=True)
        self._sums.clear()

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Estimates]:
        """Estimates for the evaluator callback."""
        return {"estimates": self.final_estimates(batch)}

    test_step = validation_step

    def predict_step(self, batch: Batch, batch_idx: int) -> Estimates:
        """Estimates."""
        return self.final_estimates(batch)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Optimise the stages that train now; called again whenever the stage schedule moves on.

        Raises:
            ConfigError: the optimiser or the scheduler refuses its settings.
        """
        optimizer: torch.optim.Optimizer = _made("optimizer", self._optimizer, self.parameter_groups())
        for group in optimizer.param_groups:  # before a scheduler takes the rates for its own
            group["lr"] *= group.pop("rate", 1.0)
        if self._scheduler is None or self.pretraining:  # a schedule's horizon is that of the training proper
            return optimizer
        if is_plateau(self._scheduler):
            monitored = _made("scheduler", on_plateau, self._scheduler, optimizer, self.trainer)
            return {"optimizer": optimizer, "lr_scheduler": monitored}
        accepted = inspect.signature(getattr(self._scheduler, "func", self._scheduler)).parameters
        given = getattr(self._scheduler, "keywords", {})
        horizon = [name for name in HORIZON_NAMES if name in accepted and given.get(name) is None]
        if not horizon:
            return {"optimizer": optimizer, "lr_scheduler": _made("scheduler", self._scheduler, optimizer)}
        scheduler = _made("scheduler", self._scheduler, optimizer, **{horizon[0]: self._phase_steps()})
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _phase_steps(self) -> int:
        epochs = self.phase_epochs or self.trainer.max_epochs
        if not epochs or epochs < 0:
            raise ConfigError(
                f"trainer.max_epochs={epochs}: a learning-rate schedule with a horizon needs a number of epochs"
            )
        return epochs * self.trainer.datamodule.steps_per_epoch  # type: ignore[attr-defined, no-any-return]


def _made(setting: str, make: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
    try:
        return make(*arguments, **more)
    except ConfigError:
        raise
    except (TypeError, ValueError) as error:
        name = getattr(getattr(make, "func", make), "__name__", "it")
        raise ConfigError(f"model.{setting}: {name} refuses its settings: {error}") from error
