"""Which stages of a cascade train, and for how long."""

from collections.abc import Mapping, Sequence
from logging import getLogger
from typing import Any, NamedTuple

import lightning

from canthus.models.base import LandmarkModel
from canthus.utils.errors import ConfigError

__all__ = ["StageSchedule"]

log = getLogger(__name__)


PRETRAINING_SHARE = 0.2
"""Of a stage's epochs, where no phases are given."""


class Phase(NamedTuple):
    """Stages that train together, how long, and whether they are only pretrained."""

    stages: list[int]
    length: float
    pretrain: bool = False


class StageSchedule(lightning.Callback):
    """Trains the stages of a model in phases, each with a fresh optimiser and learning-rate schedule.

    The phase and its end are saved in the checkpoint, so a run resumes inside any phase; a longer
    ``trainer.max_epochs`` on resume stretches the last phase.

    Args:
        phases: None: one stage after the other, equally long, if the method trains so (`LandmarkModel.stagewise`), all
            at once otherwise; a fifth of the time is for pretraining, if the method has one. Or mappings with
            ``stages`` (numbers from 0 that train in this phase), ``length`` and, if the method pretrains, ``pretrain``.
            Lengths are epochs if they add up to ``trainer.max_epochs``; otherwise they are scaled to it.

    Raises:
        ConfigError: a phase with unknown keys, without stages or with a length below 1.
    """

    def __init__(self, phases: Sequence[Mapping[str, Any]] | None = None) -> None:
        self._given = None if phases is None else [_checked(phase) for phase in phases]
        self.phases: list[Phase] = []
        self.phase = 0
        self.ends: list[int] = []

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Fix the length of every phase and begin with the first."""
        if stage != "fit":
            return
        if not trainer.max_epochs or trainer.max_epochs < 1:
            raise ConfigError(f"trainer.max_epochs={trainer.max_epochs}: a stage schedule needs a number of epochs")
        self.phases = _default(pl_module) if self._given is None else self._given
        total = sum(phase.length for phase in self.phases)
        passed = 0.0
        self.ends = []
        for phase in self.phases:
            passed += phase.length
            self.ends.append(round(passed / total * trainer.max_epochs))
        self.phase = next(number for number, end in enumerate(self.ends) if end > 0)
        self._apply(pl_module)

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Return to the phase of the checkpoint before the optimiser is built for it."""
        state = checkpoint.get("callbacks", {}).get(self.state_key)
        if state is None or not self.ends or trainer.state.fn != "fit":
            return
        if len(state["ends"]) != len(self.phases):
            raise ConfigError(
                f"the checkpoint was trained in {len(state['ends'])} phases, this configuration has {len(self.phases)}"
            )
        assert trainer.max_epochs is not None
        self.phase = state["phase"]
        self.ends = [*state["ends"][:-1], max(trainer.max_epochs, state["ends"][-2] if len(state["ends"]) > 1 else 0)]
        self._apply(pl_module)

    def state_dict(self) -> dict[str, Any]:
        """Phase and phase ends."""
        return {"phase": self.phase, "ends": self.ends}

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Move on when a phase has ended."""
        last = len(self.phases) - 1
        phase = next((number for number, end in enumerate(self.ends) if trainer.current_epoch < end), last)
        if phase != self.phase:
            self.phase = phase
            self._apply(pl_module)
            trainer.strategy.setup_optimizers(trainer)

    def _apply(self, model: lightning.LightningModule) -> None:
        if not isinstance(model, LandmarkModel):
            raise TypeError(f"a stage schedule drives a LandmarkModel, not {type(model).__name__}")
        stages, _, pretrain = self.phases[self.phase]
        begin = self.ends[self.phase - 1] if self.phase else 0
        model.train_stages(stages, epochs=self.ends[self.phase] - begin, begin=begin, pretrain=pretrain)
        model.train(model.training)  # finished stages may have a mode of their own
        named, verb = ", ".join(str(stage + 1) for stage in stages), "pretrain" if pretrain else "train"
        log.info("epochs %d to %d %s stage %s", begin, self.ends[self.phase] - 1, verb, named)


def _default(model: lightning.LightningModule) -> list[Phase]:
    if not isinstance(model, LandmarkModel):
        raise TypeError(f"a stage schedule drives a LandmarkModel, not {type(model).__name__}")
    stages = list(range(model.num_stages))
    groups = [[stage] for stage in stages] if model.stagewise else [stages]
    if not model.pretrains:
        return [Phase(group, 1.0) for group in groups]
    shares = ((PRETRAINING_SHARE, True), (1 - PRETRAINING_SHARE, False))
    return [Phase(group, share, pretrain) for group in groups for share, pretrain in shares]


def _checked(phase: Mapping[str, Any]) -> Phase:
    unknown = set(phase) - {"stages", "length", "pretrain"}
    if unknown or not phase.get("stages") or phase.get("length", 1) < 1:
        raise ConfigError(
            f"stage schedule phase {dict(phase)}: needs `stages`, a list of numbers from 0, and `length`, at least 1; "
            "it may have `pretrain`, true or false"
        )
    return Phase(list(phase["stages"]), float(phase.get("length", 1)), bool(phase.get("pretrain", False)))
