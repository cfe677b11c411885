"""How DCNN trains: levels independent of each other, around shifted truth; and that its networks learn."""

import functools

import pytest
import torch

from canthus.models.dcnn.module import DCNNModule

ADAM = functools.partial(torch.optim.Adam, lr=1e-3)
SHAPE = torch.tensor([[35.0, 40.0], [65.0, 40.0], [50.0, 55.0], [38.0, 70.0], [62.0, 70.0]])


def discs(count: int, seed: int = 0) -> dict:
    """Five dark discs on noise, each a little off its usual place."""
    random = torch.Generator().manual_seed(seed)
    points = SHAPE + (2 * torch.rand(count, 5, 2, generator=random) - 1) * 4
    axis = torch.arange(100.0)
    squared = (axis - points[..., None]).square()
    distance = (squared[:, :, 1, :, None] + squared[:, :, 0, None]).amin(1).sqrt()
    ink = 0.7 * torch.sigmoid(2 * (3 - distance))
    image = (0.8 + 0.1 * torch.rand(count, 100, 100, generator=random) - ink)[:, None]
    return {
        "image": image,
        "landmarks": points,
        "visibility": torch.full((count, 5), 2, dtype=torch.uint8),
        "index": torch.arange(count),
    }


def test_levels_2_and_3_train_around_the_shifted_truth() -> None:
    model = DCNNModule(ADAM)
    centres = []
    for level in model.network.levels[1:]:
        level.register_forward_pre_hook(lambda module, args: centres.append(args[1]))
    batch = discs(100)
    model.train()
    model.estimates(batch)
    for shifted, largest in zip(centres, (0.05 * 70, 0.02 * 70), strict=True):
        shift = shifted - batch["landmarks"]
        assert 0.97 * largest < shift.abs().max() <= largest + 1e-4
        assert shift.std() == pytest.approx(largest / 3**0.5, rel=0.05)  # uniform
    model.eval()
    centres.clear()
    estimates = model.estimates(batch)
    assert torch.equal(centres[0], estimates.points[0])


def test_all_levels_at_once_learn_what_each_learns_alone() -> None:
    batch = discs(8)

    def after_two_steps(stages: list[int]) -> dict:
        torch.manual_seed(0)
        model = DCNNModule(ADAM, shifts=(0.0, 0.0))
        model.train_stages(stages)
        model.train()
        optimizer = model.configure_optimizers()
        for _ in range(2):
            optimizer.zero_grad()
            sum(model.losses(batch, model.estimates(batch)).values()).backward()
            optimizer.step()
        return {name: value for name, value in model.state_dict().items() if name.startswith("network")}

    together = after_two_steps([0, 1, 2])
    for stage in range(3):
        alone = after_two_steps([stage])
        mine = f"network.levels.{stage}."
        for name, value in alone.items():
            assert not name.startswith(mine) or torch.equal(value, together[name]), name


def test_only_trained_levels_have_losses() -> None:
    model = DCNNModule(ADAM)
    model.train_stages([1])
    model.train()
    batch = discs(4)
    assert list(model.losses(batch, model.estimates(batch))) == ["level2"]
    model.train_stages([0, 1, 2])
    assert list(model.losses(batch, model.estimates(batch))) == ["level1", "level2", "level3"]


def test_points_that_are_not_labelled_do_not_matter() -> None:
    model = DCNNModule(ADAM)
    model.train()
    batch = discs(4)
    batch["visibility"][:, 2] = 0
    torch.manual_seed(1)
    expected = model.losses(batch, model.estimates(batch))
    batch["landmarks"] = batch["landmarks"].clone()
    batch["landmarks"][:, 2] = -1e4
    torch.manual_seed(1)
    for name, value in model.losses(batch, model.estimates(batch)).items():
        torch.testing.assert_close(value, expected[name])


@pytest.mark.slow
def test_patch_networks_find_a_disc_to_half_a_percent_of_the_box() -> None:
    torch.manual_seed(0)
    model = DCNNModule(functools.partial(torch.optim.Adam, lr=2e-3), levels=2)
    model.train_stages([1])
    model.train()
    optimizer = model.configure_optimizers()
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 200)
    level, side = model.network.levels[1], model.network.side
    batch = discs(16)
    for _ in range(200):
        optimizer.zero_grad()
        shifted = batch["landmarks"] + (2 * torch.rand(16, 5, 2) - 1) * 0.05 * side
        votes = level(batch["image"], shifted)
        ((votes.points - batch["landmarks"][:, votes.landmarks]) / votes.unit).square().sum(-1).mean().backward()
        optimizer.step()
        rates.step()
    unseen = discs(32, seed=1)
    shifted = unseen["landmarks"] + (2 * torch.rand(32, 5, 2) - 1) * 0.05 * side
    found = level(unseen["image"], shifted).average(5)
    assert (found - unseen["landmarks"]).norm(dim=-1).mean() / side < 0.005


def test_the_cascade_is_defined_for_five_points() -> None:
    with pytest.raises(ValueError, match=r"set data.scheme=5"):
        DCNNModule(ADAM, scheme=68)


def test_every_later_level_needs_its_shift() -> None:
    with pytest.raises(ValueError, match=r"model.shifts=\[0.05\] must name a shift for each of the 2 later levels"):
        DCNNModule(ADAM, shifts=[0.05])


def test_hyperparameters_are_plain_values() -> None:
    for name, value in DCNNModule(ADAM).hparams.items():
        assert isinstance(value, (int, float, str, bool, tuple)), name
