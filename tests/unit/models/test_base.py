"""What all models share: means of an epoch, the length of a schedule, the rates of groups, the stages that train."""

import functools
from types import SimpleNamespace

import pytest
import torch

from canthus.models.dan.module import DANModule

ADAM = functools.partial(torch.optim.Adam, lr=1e-3)


def model_of(**options) -> DANModule:
    return DANModule(options.pop("optimizer", ADAM), width=0.05, stages=3, **options)


def in_training(model: DANModule, *, epochs: int = 10, steps: int = 7) -> DANModule:
    """A model whose trainer plans so many epochs of so many steps."""
    model._trainer = SimpleNamespace(max_epochs=epochs, datamodule=SimpleNamespace(steps_per_epoch=steps))
    return model


def test_means_of_an_epoch_are_over_its_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of 6 with loss 1 and one of 2 with loss 5: (6 + 10) / 8."""
    model, logged = model_of(), {}
    monkeypatch.setattr(model, "log", lambda name, value, **_: logged.setdefault(name, float(value)))
    for loss, rate, count in ((1.0, 0.1, 6), (5.0, 0.3, 2)):
        model._add({"loss": torch.tensor(loss), "lr": torch.tensor(rate)}, count)
    model.on_train_epoch_end()
    assert logged == {"train/loss": pytest.approx(2.0), "train/lr": pytest.approx(0.15)}
    logged.clear()
    model._add({"loss": torch.tensor(3.0)}, 4)
    model.on_train_epoch_end()
    assert logged == {"train/loss": pytest.approx(3.0)}  # nothing is left of the epoch before


@pytest.mark.parametrize(
    ("scheduler", "options", "horizon"),
    [
        (torch.optim.lr_scheduler.OneCycleLR, {"max_lr": 1e-2}, "total_steps"),
        (torch.optim.lr_scheduler.CosineAnnealingLR, {}, "T_max"),
        (torch.optim.lr_scheduler.LinearLR, {}, "total_iters"),
    ],
)
def test_a_schedule_lasts_as_long_as_its_phase(scheduler, options: dict, horizon: str) -> None:
    model = in_training(model_of(scheduler=functools.partial(scheduler, **options)))
    model.train_stages([1], epochs=4, begin=3)
    made = model.configure_optimizers()["lr_scheduler"]
    assert getattr(made["scheduler"], horizon) == 4 * 7
    assert made["interval"] == "step"
    model.train_stages([0, 1])  # without phases the whole training
    assert getattr(model.configure_optimizers()["lr_scheduler"]["scheduler"], horizon) == 10 * 7


def test_a_horizon_that_is_given_stays_and_counts_epochs() -> None:
    scheduler = functools.partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=5)
    model = in_training(model_of(scheduler=scheduler))
    model.train_stages([0], epochs=4)
    made = model.configure_optimizers()["lr_scheduler"]
    assert made.T_max == 5


def test_rates_of_groups_are_factors(monkeypatch: pytest.MonkeyPatch) -> None:
    model = in_training(model_of())
    weights = list(model.stage_parameters(0))
    groups = [{"params": weights[:1], "rate": 4.0}, {"params": weights[1:]}]
    monkeypatch.setattr(model, "parameter_groups", lambda: groups)
    assert [group["lr"] for group in model.configure_optimizers().param_groups] == [4e-3, 1e-3]


@pytest.mark.parametrize(("stages", "depth"), [([0], 1), ([1], 2), ([2], 3), ([0, 2], 3), ([2, 1], 3)])
def test_all_stages_up_to_the_last_that_trains_are_run(stages: list[int], depth: int) -> None:
    model = model_of()
    model.train_stages(stages, epochs=2, begin=5)
    assert (model.depth, model.trained_stages) == (depth, sorted(stages))
    assert (model.phase_begin, model.phase_epochs) == (5, 2)
