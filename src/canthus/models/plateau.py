"""Learning rates that fall when a monitored value no longer improves."""

import inspect
from collections.abc import Callable
from typing import Any

import lightning
import torch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from canthus.utils.errors import ConfigError
from canthus.utils.metrics import higher_is_better

__all__ = ["Plateau", "is_plateau", "on_plateau"]


class Plateau(ReduceLROnPlateau):
    """torch's ``ReduceLROnPlateau`` with a word for what it monitors.

    Args:
        optimizer: whose rates fall.
        monitor: name of a logged value, such as ``val/nme_inter_ocular``, ``val/auc_inter_ocular`` or ``train/loss``;
            None for the one by which the best epoch is chosen.
        mode: ``min`` or ``max``; None for what the value's name says, ``min`` outside a training.
        factor: of the rates when they fall.
        patience: validations without an improvement before they do.
        threshold: of what counts as an improvement.
        threshold_mode: ``rel`` or ``abs``.
        cooldown: validations after a fall that are not counted.
        min_lr: below which no rate falls.
        eps: smallest change of a rate.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        monitor: str | None = None,
        mode: str | None = None,
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        eps: float = 1e-8,
    ) -> None:
        self.monitor = monitor
        options = {"threshold_mode": threshold_mode, "cooldown": cooldown, "min_lr": min_lr, "eps": eps}
        super().__init__(optimizer, mode or "min", factor, patience, threshold, **options)  # type: ignore[arg-type]


def is_plateau(make: Callable[..., LRScheduler]) -> bool:
    """Whether a scheduler, or a ``partial`` of one, waits for a monitored value."""
    made = getattr(make, "func", make)
    return inspect.isclass(made) and issubclass(made, ReduceLROnPlateau)


def on_plateau(
    make: Callable[..., LRScheduler], optimizer: torch.optim.Optimizer, trainer: lightning.Trainer
) -> dict[str, Any]:
    """Make such a scheduler, and what Lightning has to know of it.

    Args:
        make: the scheduler's class, or a ``partial`` of it with its settings.
        optimizer: whose rates fall.
        trainer: whose callbacks say by which value the best epoch is chosen, and how often it validates.

    Raises:
        ConfigError: nothing says what to monitor.
    """
    given = getattr(make, "keywords", {})
    kept = [callback for callback in trainer.checkpoint_callbacks if getattr(callback, "monitor", None)]
    monitor = given.get("monitor") or (kept[0].monitor if kept else None)  # type: ignore[attr-defined]
    if monitor is None:
        raise ConfigError(
            "model.scheduler waits for a value that no longer improves, and nothing says which: set "
            "model.scheduler._target_=canthus.models.plateau.Plateau and model.scheduler.monitor, such as train/loss"
        )
    mode = given.get("mode") or ("max" if higher_is_better(monitor) else "min")
    return {"scheduler": make(optimizer, mode=mode), "monitor": monitor, "frequency": trainer.check_val_every_n_epoch}
