"""CFAN's losses, the order of pretraining, and stages that train alone."""

import functools

import pytest
import torch

from canthus.models.cfan.module import CFANModule
from canthus.models.cfan.network import to_unit

ADAM = functools.partial(torch.optim.Adam, lr=1e-3)
SMALL = {"global_hidden": (12, 8, 6), "local_hidden": (10, 6), "local_sizes": (20, 30), "global_size": 20}


def model_and_batch(count: int = 4, **options) -> tuple[CFANModule, dict]:
    torch.manual_seed(0)
    model = CFANModule(ADAM, **{**SMALL, **options})
    model.network.set_mean_shape(0.2 + 0.6 * torch.rand(68, 2))
    batch = {
        "image": torch.rand(count, 1, model.input.size, model.input.size),
        "landmarks": 5 + 20 * torch.rand(count, 68, 2),
        "visibility": torch.full((count, 68), 2, dtype=torch.uint8),
        "index": torch.arange(count),
    }
    return model, batch


def test_loss_is_the_squared_error_of_the_stage_that_trains() -> None:
    model, batch = model_and_batch(alpha=0.0)
    model.train_stages([1])
    batch["visibility"][:, :10] = 0
    batch["landmarks"][:, :10] = 1e6
    estimates = model.estimates(batch)
    assert len(estimates.points) == 2
    terms = model.losses(batch, estimates)
    assert set(terms) == {"stage2", "penalty2"}
    error = to_unit(estimates.points[1], 30) - to_unit(batch["landmarks"], 30)
    expected = error[:, 10:].square().sum((1, 2)).mean()
    torch.testing.assert_close(terms["stage2"], expected)


def test_alpha_stands_beside_a_sum_over_the_training_faces() -> None:
    model, batch = model_and_batch(alpha=0.5)
    model.train_faces.fill_(1000)
    model.train_stages([0])
    terms = model.losses(batch, model.estimates(batch))
    torch.testing.assert_close(terms["penalty1"], 0.5 / 1000 * model.network.stages[0].penalty())


def test_only_the_stage_that_trains_changes() -> None:
    model, batch = model_and_batch()
    model.train_stages([1])
    model.train()
    before = [{name: value.clone() for name, value in san.named_parameters()} for san in model.network.stages]
    optimizer = model.configure_optimizers()
    for _ in range(2):  # the output layer is zero at first, so that hidden layers move from the second step on
        optimizer.zero_grad()
        torch.stack(list(model.losses(batch, model.estimates(batch)).values())).sum().backward()
        optimizer.step()
    changed = [
        any(not torch.equal(value, before[number][name]) for name, value in san.named_parameters())
        for number, san in enumerate(model.network.stages)
    ]
    assert changed == [False, True, False]


def layers_moved(model: CFANModule, batch: dict, stage: int) -> list[bool]:
    """Which hidden layers one epoch of pretraining gives a gradient."""
    model.zero_grad()
    terms = model.losses(batch, model.estimates(batch))
    assert list(terms) == [f"reconstruction{stage + 1}"]
    torch.stack(list(terms.values())).sum().backward()
    return [layer.weight.grad is not None for layer in model.network.stages[stage].encoder]


@pytest.mark.parametrize(
    ("epochs", "turns"),
    [
        (6, [[0], [0], [1], [1], [2], [2]]),
        (4, [[0], [0], [1], [2]]),
        (2, [[0], [1, 2]]),
        (1, [[0, 1, 2]]),
    ],
)
def test_layers_are_pretrained_from_the_lowest_up(epochs: int, turns: list, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = model_and_batch()
    model.train_stages([0], epochs=epochs, begin=10, pretrain=True)
    for epoch, turn in enumerate(turns):
        monkeypatch.setattr(CFANModule, "current_epoch", 10 + epoch)
        assert layers_moved(model, batch, 0) == [layer in turn for layer in range(3)]


def test_a_local_stage_is_pretrained_on_the_features_it_will_see() -> None:
    model, batch = model_and_batch()
    model.train_stages([2], epochs=1, pretrain=True)
    seen = []
    model.network.sift.register_forward_hook(lambda module, inputs, output: seen.append(inputs[1]))
    estimates = model.estimates(batch)
    seen.clear()
    model.losses(batch, estimates)
    torch.testing.assert_close(seen[0], estimates.points[1])  # the side of stage 3's crop is the input's


def test_pretraining_runs_at_a_fixed_rate() -> None:
    schedule = functools.partial(torch.optim.lr_scheduler.StepLR, step_size=1)
    model = CFANModule(ADAM, schedule, **SMALL)
    model.train_stages([0], epochs=2, pretrain=True)
    assert isinstance(model.configure_optimizers(), torch.optim.Adam)
    model.train_stages([0], epochs=2)
    assert "lr_scheduler" in model.configure_optimizers()


def test_without_a_global_stage_the_start_is_shown() -> None:
    model, batch = model_and_batch(global_hidden=None)
    estimates = model.estimates(batch)
    torch.testing.assert_close(to_unit(estimates.initial[0], 30), model.network.mean_shape)
    model, batch = model_and_batch()
    assert model.estimates(batch).initial is None


def test_five_points_as_in_seetaface() -> None:
    model = CFANModule(ADAM, scheme=5, global_hidden=None, local_sizes=(80, 140), local_hidden=(400,))
    assert model.num_stages == 2
    assert sum(p.numel() for p in model.network.stages.parameters()) == 2 * 260_410
    assert model.input.size == 140
