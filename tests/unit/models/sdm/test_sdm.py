"""SDM: its regression is numpy's, a step is what the paper's equation says, and training solves step by step."""

from pathlib import Path

import numpy as np
import pytest
import torch

from canthus.data import face_data
from canthus.models.cfan.sift import DenseSIFT
from canthus.models.sdm.module import SDMModule
from canthus.models.sdm.network import SDM, NormalEquations
from canthus.utils.errors import ConfigError

SIZES = (48, 64)


def samples(count: int, inputs: int = 30, outputs: int = 4) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    values = random.random((count, inputs)) + np.arange(inputs)
    return values, values @ random.random((inputs, outputs)) + 3 + 0.1 * random.standard_normal((count, outputs))


def equations(inputs: np.ndarray, outputs: np.ndarray, parts: int = 3) -> NormalEquations:
    made = NormalEquations(inputs.shape[1], outputs.shape[1], dtype=torch.float64)
    for some, truth in zip(np.array_split(inputs, parts), np.array_split(outputs, parts), strict=True):
        made.add(torch.from_numpy(some), torch.from_numpy(truth))
    return made


def test_without_ridge_it_is_least_squares() -> None:
    inputs, outputs = samples(200)
    weight, bias = equations(inputs, outputs).solve(0.0)
    expected = np.linalg.lstsq(np.hstack([inputs, np.ones((200, 1))]), outputs, rcond=None)[0]
    np.testing.assert_allclose(weight.numpy(), expected[:-1].T, atol=1e-7)
    np.testing.assert_allclose(bias.numpy(), expected[-1], atol=1e-5)


def test_with_ridge_it_is_least_squares_with_more_rows() -> None:
    """Of centred samples, with a row for every weight that asks it to be 0; fewer samples than weights are enough."""
    inputs, outputs = samples(20)
    weight, bias = equations(inputs, outputs).solve(0.5)
    centred, truth = inputs - inputs.mean(0), outputs - outputs.mean(0)
    root = np.sqrt(0.5 * (centred**2).sum() / 30)
    rows = np.vstack([centred, root * np.eye(30)]), np.vstack([truth, np.zeros((30, 4))])
    expected = np.linalg.lstsq(*rows, rcond=None)[0]
    np.testing.assert_allclose(weight.numpy(), expected.T, atol=1e-9)
    np.testing.assert_allclose(bias.numpy(), outputs.mean(0) - inputs.mean(0) @ expected, atol=1e-9)


def test_too_few_samples_are_refused() -> None:
    inputs, outputs = samples(20)
    with pytest.raises(ConfigError, match=r"model\.ridge=0: 20 samples leave the 30 weights open"):
        equations(inputs, outputs).solve(0.0)
    with pytest.raises(ConfigError, match="all its points labelled"):
        NormalEquations(3, 2).solve(1.0)


def test_two_halves_of_the_samples_are_all_of_them() -> None:
    inputs, outputs = samples(100)
    whole, half = equations(inputs, outputs), equations(inputs[:50], outputs[:50])
    other = iter([getattr(equations(inputs[50:], outputs[50:]), n) for n in vars(half)])
    half.reduce(lambda total: total + next(other))
    for one, two in zip(whole.solve(0.1), half.solve(0.1), strict=True):
        torch.testing.assert_close(one, two)


def network(landmarks: int = 3) -> SDM:
    torch.manual_seed(0)
    made = SDM(landmarks, SIZES)
    made.mean_shape.copy_(torch.rand(landmarks, 2))
    for step in made.steps:
        torch.nn.init.normal_(step.weight, std=0.01)
        torch.nn.init.normal_(step.bias, std=0.01)
    return made


def test_a_step_is_the_papers_equation() -> None:
    """x + R phi(x) + b, phi the descriptors at the points of a crop of the step's size."""
    made, image = network(), torch.rand(2, 1, 64, 64)
    points = made(image)
    assert [p.shape for p in points] == [(2, 3, 2)] * 2
    first = (points[0] + 0.5) / 64
    described = DenseSIFT()(image, points[0]) - 0.063
    weight, bias = made.steps[1].weight, made.steps[1].bias
    expected = first + (described.flatten(1) @ weight.T + bias).unflatten(1, (3, 2))
    torch.testing.assert_close((points[1] + 0.5) / 64, expected)
    torch.testing.assert_close(made(image, depth=1), points[:1])


def test_parameters_and_the_untrained_cascade() -> None:
    made = SDM(68)
    assert sum(parameter.numel() for parameter in made.parameters()) == 4 * (68 * 128 + 1) * 136
    made.mean_shape.copy_(torch.rand(68, 2))
    for points in made(torch.rand(1, 1, 100, 100)):
        torch.testing.assert_close(points[0], made.mean_shape * 100 - 0.5)


@pytest.mark.parametrize("sizes", [(), (31, 100)])
def test_sizes_that_are_none(sizes) -> None:
    with pytest.raises(ValueError, match="sizes="):
        SDM(3, sizes)


@pytest.mark.parametrize("arguments", [{"ridge": -1.0}, {"perturbations": 0}])
def test_arguments_that_cannot_be(arguments: dict) -> None:
    with pytest.raises(ValueError, match="ridge="):
        SDMModule(**arguments)


def test_steps_are_not_solved_together() -> None:
    with pytest.raises(ConfigError, match=r"one step after the other, not stages \[0, 1\]"):
        SDMModule(scheme=5, sizes=SIZES).train_stages([0, 1])


def test_starts_vary_about_the_mean_shape() -> None:
    model = SDMModule(scheme=5, sizes=SIZES, perturbations=2000, shift=0.1, scale=0.2)
    model.network.mean_shape.copy_(torch.rand(5, 2))
    torch.manual_seed(0)
    (starts,) = model._starts(1)
    centre, spread = starts.mean(1), (starts - starts.mean(1, keepdim=True)).norm(dim=-1).mean(1)
    torch.testing.assert_close(centre.std(0), torch.full((2,), 0.07), atol=0.005, rtol=0)
    torch.testing.assert_close(spread.log().std(), torch.tensor(0.2), atol=0.01, rtol=0)


def test_training_solves_one_step_an_epoch(tmp_path: Path) -> None:
    """What the second step finds is what the first has left."""
    import lightning

    from canthus.callbacks import StageSchedule

    torch.manual_seed(0)
    model = SDMModule(scheme=5, sizes=SIZES, perturbations=3, ridge=0.01)
    data = face_data(
        model.input, "canthus.data.synthetic.Synthetic", name="synthetic", size=60, difficulty="easy", batch_size=16,
        resolution=96, train_parts=["train"], validation=0.2, cache=tmp_path, scheme="5",
    )  # fmt: skip
    seen: list[tuple] = []

    class Watch(lightning.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
            seen.append((pl_module.trained_stages[0], float(outputs["loss"])))

    trainer = lightning.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, limit_val_batches=0, callbacks=[StageSchedule(), Watch()],
        default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(model, data)
    assert trainer.global_step == len(seen)
    losses = [np.mean([loss for stage, loss in seen if stage == number]) for number in (0, 1)]
    assert losses[1] < 0.5 * losses[0]
    assert all(float(step.weight.detach().abs().max()) > 0 for step in model.network.steps)
