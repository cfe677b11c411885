"""Fan & Zhou: table 1, rectification, patch networks and their votes."""

import math

import pytest
import torch
from torch import nn

from canthus.geometry import affine
from canthus.geometry.warp import warp
from canthus.models.fan_zhou.network import LEVEL_2, PATCH, FanZhou, PatchNetworks, WholeFace


def mean_shape(count: int = 68) -> torch.Tensor:
    """A made-up symmetric shape of the size of an upright face, centred on 0; no two distances are alike."""
    angle = torch.linspace(0.3, 3.0, count // 2)
    right = torch.stack([45 * angle.sin() + 3 * torch.cos(7 * angle), -45 * angle.cos()], -1)
    return torch.cat([right, right * torch.tensor([-1.0, 1.0])])


def smooth(batch: int = 2, size: int = 128) -> torch.Tensor:
    coarse = torch.rand(batch, 3, 11, 11, generator=torch.Generator().manual_seed(3))
    return nn.functional.interpolate(coarse, size=size, mode="bicubic", align_corners=True)


def patch_networks(count: int = 68, votes: int = 3, width: float = 0.1) -> PatchNetworks:
    """Level 2 with weights that do something."""
    torch.manual_seed(0)
    level = PatchNetworks(count, votes, width)
    level.set_shape(mean_shape(count))
    nn.init.normal_(level.points.weight, std=0.05)
    nn.init.normal_(level.points.bias, std=0.1)
    return level.eval()


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameter_counts_are_those_of_table_1() -> None:
    with torch.device("meta"):
        network = FanZhou(68, votes=3)
        assert parameters(network.whole) == 17_564_424
        assert parameters(network.whole.features) == 646_784
        assert network.whole.hidden.in_features == 16_384
        assert parameters(network.patches) == 68 * 1_348_550 == 91_701_400
        assert parameters(FanZhou(68, votes=1).patches) == 68 * 1_347_522 == 91_631_496
        assert parameters(PatchNetworks(1, 1, 1.0)) == 1_347_522
        assert network.patches.hidden.weight.shape == (68 * 256, 4_608)


def separate(together: PatchNetworks, number: int, count: int) -> nn.Module:
    """The network of one landmark out of plain layers, as table 1 lists them."""
    layers: list[nn.Module] = []
    inputs = 3
    for maps in LEVEL_2:
        if maps:
            layers += [nn.Conv2d(inputs, maps, 3, padding=1), nn.ReLU()]
            inputs = maps
        else:
            layers.append(nn.MaxPool2d(2))
    layers += [nn.Flatten(), nn.Linear(inputs * 36, 256), nn.ReLU(), nn.Linear(256, 2 * together.votes)]
    network = nn.Sequential(*layers)
    values = [value.chunk(count)[number] for _, value in together.named_parameters()]
    for parameter, value in zip(network.parameters(), values, strict=True):
        parameter.data.copy_(value)
    return network


@pytest.mark.parametrize("votes", [1, 3])
def test_the_grouped_network_is_separate_networks(votes: int) -> None:
    count = 6
    level = patch_networks(count, votes, width=1.0)
    patches = torch.rand(2, count, 3, PATCH, PATCH)
    grouped = level.features(patches.flatten(1, 2)).unflatten(1, (count, -1)).flatten(2)
    out = level.points(torch.relu(level.hidden(grouped)))
    for number in range(count):
        alone = separate(level, number, count)(patches[:, number])
        assert (alone - out[:, number]).abs().max() < 1e-5


def test_similarity_of_a_turned_mean_shape_is_found_and_undone() -> None:
    level = patch_networks()
    angle, scale = torch.tensor([0.3, -1.1]), torch.tensor([1.2, 0.7])
    turn = affine.rotation_scale(angle, scale, torch.full((2, 2), 40.0))
    points = affine.apply(turn, level.mean_shape.expand(2, -1, 2))
    to_upright = level.upright(points)
    assert (torch.atan2(-to_upright[:, 1, 0], to_upright[:, 0, 0]) - angle).abs().max() < 1e-5
    assert (to_upright[:, :, 0].norm(dim=1) - 1 / scale).abs().max() < 1e-5
    back = affine.apply(affine.invert(to_upright), affine.apply(to_upright, points))
    assert (back - points).abs().max() < 1e-4


@pytest.mark.parametrize("anchors", ["points", "two means"])
def test_a_turned_picture_and_shape_turn_the_answer(anchors: str) -> None:
    level = patch_networks(16)
    if anchors == "two means":
        level.anchors = torch.zeros(2, 16)
        level.anchors[0, [1, 9]] = level.anchors[1, [6, 14]] = 0.5
    picture = smooth(1, 256)
    points = affine.apply(
        affine.rotation_scale(torch.tensor([0.1]), torch.tensor([1.0]), torch.zeros(1, 2)), level.mean_shape[None]
    ) + torch.tensor([128.0, 128.0])
    points = points + torch.randn(1, 16, 2)
    turn = affine.rotation_scale(torch.tensor([math.radians(20)]), torch.tensor([1.0]), torch.full((1, 2), 127.5))
    turned = warp(picture, affine.invert(turn), 256)
    plain = level(picture, points).average(16)
    of_turned = level(turned, affine.apply(turn, points)).average(16)
    assert (plain - points).norm(dim=-1).mean() > 1  # it does something
    assert (of_turned - affine.apply(turn, plain)).abs().max() < 0.3
    assert (of_turned - plain).abs().max() > 10


def test_patches_are_cut_from_the_upright_picture() -> None:
    """A pattern that is drawn turned with the face is seen by the networks as it is upright."""
    level = patch_networks(16)
    seen = []
    level.features.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    angle = torch.tensor([math.radians(35)])
    turn = affine.rotation_scale(angle, torch.tensor([0.8]), torch.full((1, 2), 60.0))
    points = affine.apply(turn, level.mean_shape[None] + 60)
    y, x = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    pixels = torch.stack([x, y], -1).reshape(1, -1, 2)
    upright = affine.apply(level.upright(points), pixels).reshape(128, 128, 2)
    picture = torch.stack([upright[..., 0], upright[..., 1], torch.ones(128, 128)])[None]  # colours are upright places
    level(picture, points)
    patches = seen[0].unflatten(1, (16, 3))[0]
    steps = torch.arange(24.0) - 11.5
    for patch, centre in zip(patches, level.mean_shape, strict=True):
        inside = patch[2] > 0.999
        columns, rows = centre[0] + steps.expand(24, 24), centre[1] + steps[:, None].expand(24, 24)
        assert inside.sum() > 50
        assert (patch[0] - columns)[inside].abs().max() < 1e-2
        assert (patch[1] - rows)[inside].abs().max() < 1e-2


def test_without_outputs_one_vote_each_gives_the_shape_back() -> None:
    torch.manual_seed(0)
    level = PatchNetworks(68, 1, 0.1)
    level.set_shape(mean_shape())
    points = mean_shape() + 64 + torch.randn(2, 68, 2)
    torch.testing.assert_close(level(smooth(), points).average(68), points, atol=1e-4, rtol=0)


def test_without_outputs_three_votes_give_the_mean_of_the_centres() -> None:
    """Why the targets are relative to the patch's centre, and why neighbours need trained offsets."""
    torch.manual_seed(0)
    level = PatchNetworks(68, 3, 0.1)
    level.set_shape(mean_shape())
    points = mean_shape() + 64 + torch.randn(2, 68, 2)
    answer = level(smooth(), points).average(68)
    for landmark in range(68):
        voters = (level.neighbours == landmark).any(1)
        torch.testing.assert_close(answer[:, landmark], points[:, voters].mean(1), atol=1e-4, rtol=0)


@pytest.mark.parametrize("votes", [1, 3])
def test_every_landmark_has_a_vote(votes: int) -> None:
    level = patch_networks(68, votes)
    counts = torch.bincount(level.neighbours.flatten(), minlength=68)
    assert counts.min() >= 1
    assert counts.sum() == 68 * votes
    assert torch.equal(level.neighbours[:, 0], torch.arange(68))
    if votes == 3:
        distance = torch.cdist(level.mean_shape, level.mean_shape)
        assert torch.equal(distance.gather(1, level.neighbours), distance.sort(1).values[:, :3])


def test_an_output_of_one_is_half_a_patch() -> None:
    level = patch_networks(16, 1)
    nn.init.zeros_(level.points.weight)
    nn.init.ones_(level.points.bias)
    turn = affine.rotation_scale(torch.tensor([0.4]), torch.tensor([0.5]), torch.full((1, 2), 64.0))
    points = affine.apply(turn, level.mean_shape[None] + 64)
    votes = level(smooth(1), points)
    moved = affine.apply(level.upright(points), votes.points) - affine.apply(level.upright(points), points)
    torch.testing.assert_close(moved, torch.full((1, 16, 2), PATCH / 2), atol=1e-3, rtol=0)
    torch.testing.assert_close(votes.unit.flatten(), torch.tensor([PATCH / 2 * 0.5]), atol=1e-4, rtol=0)


def test_level_1_answers_in_shares_of_the_picture() -> None:
    level = WholeFace(4, 128, 0.1, 0.0)
    points = torch.tensor([[10.0, 20.0], [63.5, 63.5], [-0.5, 127.5], [90.0, 14.0]])
    level.start_from(points)
    torch.testing.assert_close(level(smooth()).points, points.expand(2, 4, 2), atol=1e-4, rtol=0)
    assert level.points.bias[4:6].tolist() == [-1.0, 1.0]


def test_gradient_reaches_every_level_by_its_own_loss_only() -> None:
    torch.manual_seed(0)
    network = FanZhou(16, width=0.1)
    network.patches.set_shape(mean_shape(16))
    network.whole.start_from(mean_shape(16) + 64)
    for level in (network.whole, network.patches):
        nn.init.normal_(level.points.weight, std=0.02)
    first, second = network(smooth())
    second.points.square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.patches.parameters())
    assert all(parameter.grad is None for parameter in network.whole.parameters())
    first.points.square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.whole.parameters())
    assert len(network(smooth(), depth=1)) == len(FanZhou(16, width=0.1, levels=1)(smooth())) == 1


def test_autocast_does_not_move_points_by_a_pixel() -> None:
    level = patch_networks(16)
    points = level.mean_shape[None] + 64
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = level(smooth(1), points).average(16)
    assert rounded.dtype == torch.float32
    assert (rounded - level(smooth(1), points).average(16)).abs().max() < 0.2


@pytest.mark.parametrize("options", [{"size": 100}, {"width": 0}, {"levels": 3}, {"votes": 0}, {"votes": 17}])
def test_arguments_that_describe_no_network(options: dict) -> None:
    with pytest.raises(ValueError, match=r"need 16 \| size|places 1 to 16"):
        FanZhou(16, **{"width": 0.1, **options})
