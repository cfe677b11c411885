"""Learning rates that fall when a value no longer improves."""

import functools
from types import SimpleNamespace

import pytest
import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR

from canthus.models.plateau import Plateau, is_plateau, on_plateau
from canthus.utils.errors import ConfigError


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


def trainer(*monitors: str | None, every: int = 1) -> SimpleNamespace:
    kept = [SimpleNamespace(monitor=monitor) for monitor in monitors]
    return SimpleNamespace(checkpoint_callbacks=kept, check_val_every_n_epoch=every)


@pytest.mark.parametrize(
    ("make", "monitors", "monitor", "mode"),
    [
        (ReduceLROnPlateau, ["val/nme_box"], "val/nme_box", "min"),
        (functools.partial(ReduceLROnPlateau, patience=2), [None, "val/auc"], "val/auc", "max"),
        (functools.partial(ReduceLROnPlateau, mode="min"), ["val/auc"], "val/auc", "min"),
        (Plateau, ["val/nme_box"], "val/nme_box", "min"),
        (functools.partial(Plateau, monitor="val/auc"), ["val/nme_box"], "val/auc", "max"),
        (functools.partial(Plateau, monitor="train/loss"), [], "train/loss", "min"),
    ],
)
def test_what_is_monitored(make, monitors, monitor: str, mode: str) -> None:
    made = on_plateau(make, optimizer(), trainer(*monitors, every=3))
    assert (made["monitor"], made["frequency"], made["scheduler"].mode) == (monitor, 3, mode)


def test_nothing_to_monitor() -> None:
    with pytest.raises(ConfigError, match=r"model.scheduler.monitor, such as train/loss"):
        on_plateau(ReduceLROnPlateau, optimizer(), trainer(None))


def test_which_schedulers_wait() -> None:
    assert is_plateau(functools.partial(Plateau, patience=1))
    assert is_plateau(ReduceLROnPlateau)
    assert not is_plateau(functools.partial(StepLR, step_size=1))


def test_options_reach_torch() -> None:
    made = Plateau(optimizer(), factor=0.5, patience=0, threshold=0.1, threshold_mode="abs", cooldown=2, min_lr=0.3)
    assert (made.factor, made.patience, made.threshold, made.threshold_mode) == (0.5, 0, 0.1, "abs")
    assert (made.cooldown, made.min_lrs) == (2, [0.3])
    for _ in range(20):
        made.step(1.0)
    assert made.optimizer.param_groups[0]["lr"] == 0.3
