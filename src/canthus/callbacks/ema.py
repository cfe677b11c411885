"""An exponential moving average of the weights: what is validated, kept and used, while training goes on beside it."""

import functools
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor

from canthus.models.base import LandmarkModel

__all__ = ["EMA"]


class EMA(WeightAveraging):
    """Averages the weights after every optimiser step, with a decay of ``min(decay, (1 + n) / (10 + n))`` at step n.

    The ramp is TensorFlow's, with which MDM was trained: a new average forgets its first, useless weights within some
    steps. Validation runs on the averages, so the ``state_dict`` of a checkpoint, and with it every command, has them;
    the weights in training are kept beside them and come back on resume. Running statistics are averaged, too; what is
    no floating-point number is copied.

    When the stage schedule moves on, finished stages take their averages for good and the average begins anew.

    Args:
        decay: of the average in the long run.

    Raises:
        ValueError: a decay outside [0, 1).
    """

    def __init__(self, decay: float = 0.9999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"callbacks.ema.decay is {decay}; a decay lies in [0, 1)")
        super().__init__(avg_fn=functools.partial(_average, decay))
        self._phase: list[Any] | None = None

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Copy the model to where it is going to train."""
        self._device = trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """The model has the averages now; evaluations that follow load what they need."""
        self._average_model = None

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Begin anew if other stages train than in the epoch before."""
        if not isinstance(pl_module, LandmarkModel):
            return
        phase = [list(pl_module.trained_stages), pl_module.pretraining]
        if self._phase is not None and phase != self._phase:
            self._restart(pl_module)
        self._phase = phase

    def _restart(self, model: LandmarkModel) -> None:
        assert self._average_model is not None
        begun = {id(weight) for stage in model.trained_stages for weight in model.stage_parameters(stage)}
        averages = self._average_model.module.parameters()
        for weight, average in zip(model.parameters(), averages, strict=True):
            if id(weight) not in begun:
                weight.data.copy_(average.data)
        self._average_model.n_averaged.zero_()  # the next update copies

    def on_validation_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Change to the averages, once there are any."""
        if self._has_averages:
            super().on_validation_epoch_start(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Change back."""
        if self._has_averages:
            super().on_validation_epoch_end(trainer, pl_module)

    @property
    def _has_averages(self) -> bool:
        return self._average_model is not None and bool(self._average_model.n_averaged)

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """On resume, take up both sets of weights; elsewhere the averages have been loaded already."""
        if self._average_model is not None:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)

    def state_dict(self) -> dict[str, Any]:
        """What trained last, beside what Lightning keeps."""
        return {**super().state_dict(), "phase": self._phase}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore it."""
        super().load_state_dict(state_dict)
        self._phase = state_dict["phase"]


def _average(decay: float, average: Tensor, value: Tensor, updates: Tensor | int) -> Tensor:
    """One update of one tensor; ``updates`` counts those before."""
    if not average.is_floating_point():
        return value
    n = torch.as_tensor(updates, device=average.device, dtype=average.dtype)
    return average.lerp(value, 1 - ((1 + n) / (10 + n)).clamp_max(decay))
