"""Fixtures of DAN: table 1's parameter counts, the connection layer, heat-map values, frozen stages."""

import math

import pytest
import torch

from canthus.geometry import affine
from canthus.geometry.warp import warp
from canthus.models.dan.network import DAN, connection, inverse_distance_map


def canonical_shape(points: int = 68) -> torch.Tensor:
    """A made-up symmetric shape where S0 lies: 56 px wide about (56, 56)."""
    angle = torch.arange(points) * 2 * torch.pi / points
    return 56 + torch.stack([28 * angle.cos(), 27 * angle.sin()], -1)


def built(**options) -> DAN:
    torch.manual_seed(0)
    network = DAN(68, **options)
    network.mean_shape.copy_(canonical_shape())
    return network.eval()


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameter_counts_are_the_papers() -> None:
    network = DAN(68, stages=3)
    assert count(network.stage(0)) == 11_144_136
    assert count(network.stage(1)) == 11_951_246
    assert count(network.stage(2)) == 11_951_246
    assert count(DAN(68)) == 23_095_382


def test_layers_are_convolution_then_norm_then_relu() -> None:
    for module in DAN(68, width=0.1).modules():
        if isinstance(module, torch.nn.Sequential) and isinstance(module[0], torch.nn.Conv2d):
            assert [type(layer).__name__ for layer in module] == ["Conv2d", "BatchNorm2d", "ReLU"]
            assert module[0].bias is None
            assert module[1].eps == 1e-4


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_zero_displacement_gives_the_mean_shape_at_every_stage(stages: int) -> None:
    network = built(stages=stages, width=0.1)
    for number in range(stages):
        stage = network.first if number == 0 else network.refinements[number - 1].stage
        torch.nn.init.zeros_(stage.fc2.weight)
    points = network(torch.rand(2, 1, 112, 112))
    assert len(points) == stages
    for estimate in points:
        torch.testing.assert_close(estimate, network.mean_shape.expand(2, 68, 2), atol=1e-4, rtol=0)


def test_connection_round_trip() -> None:
    torch.manual_seed(1)
    shape = canonical_shape()
    points = shape + 3 * torch.randn(8, 68, 2)
    to_upright, _ = connection(points, shape, torch.rand(8, 1, 112, 112))
    back = affine.apply(affine.invert(to_upright), affine.apply(to_upright, points))
    torch.testing.assert_close(back, points, atol=1e-4, rtol=0)
    assert (torch.linalg.det(to_upright[:, :, :2]) > 0).all()


def test_an_exact_similarity_of_the_mean_shape_is_undone() -> None:
    shape = canonical_shape()
    angle, scale = torch.tensor([0.3, -0.5]), torch.tensor([1.2, 0.7])
    turned = affine.apply(affine.rotation_scale(angle, scale, torch.full((2, 2), 40.0)), shape.expand(2, 68, 2))
    to_upright, _ = connection(turned, shape, torch.rand(2, 1, 112, 112))
    torch.testing.assert_close(affine.apply(to_upright, turned), shape.expand(2, 68, 2), atol=1e-4, rtol=0)


def test_a_dot_on_a_landmark_lands_on_the_upright_landmark() -> None:
    """Catches a transposed or inverted matrix between image and points."""
    shape = canonical_shape()
    turn = affine.rotation_scale(torch.tensor([0.4]), torch.tensor([0.8]), torch.tensor([[50.0, 60.0]]))
    points = affine.apply(turn, shape[None])
    landmark = points[0, 7]
    axis = torch.arange(112.0)
    dot = torch.exp(-((axis[None, :] - landmark[0]) ** 2 + (axis[:, None] - landmark[1]) ** 2) / 4.5)
    to_upright, upright = connection(points, shape, dot[None, None])
    mass = upright[0, 0]
    centroid = torch.stack([(mass.sum(0) * axis).sum(), (mass.sum(1) * axis).sum()]) / mass.sum()
    assert (centroid - affine.apply(to_upright, points)[0, 7]).norm() < 0.5


def test_warp_agrees_with_the_analytic_image() -> None:
    axis = torch.arange(112.0)

    def f(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.sin(x / 15) + torch.cos(y / 12)

    image = f(axis[None, :].expand(112, 112), axis[:, None].expand(112, 112))
    turn = affine.rotation_scale(torch.tensor([0.2]), torch.tensor([0.9]), torch.tensor([[56.0, 56.0]]))
    warped = warp(image[None, None], turn, 112)[0, 0]
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    source = affine.apply(turn, torch.stack([x, y], -1).reshape(1, -1, 2)).reshape(112, 112, 2)
    inside = ((source > 2) & (source < 109)).all(-1)
    assert (warped - f(source[..., 0], source[..., 1])).abs()[inside].max() < 2e-3


def test_heat_map_values_of_a_disc() -> None:
    on_pixel = inverse_distance_map(torch.tensor([[[50.0, 40.0]]]), 112)[0, 0]
    assert on_pixel[40, 50] == pytest.approx(1.0, abs=1e-5)
    assert on_pixel[40, 58] == pytest.approx(1 / 9, abs=1e-6)
    assert on_pixel[56, 50] == pytest.approx(1 / 17, abs=1e-6)
    assert on_pixel[57, 50] == 0
    between = inverse_distance_map(torch.tensor([[[50.5, 40.5]]]), 112)[0, 0]
    torch.testing.assert_close(between[40:42, 50:52], torch.full((2, 2), 1 / (1 + math.sqrt(0.5))))
    assert between.max() == pytest.approx(0.5858, abs=1e-4)


def test_heat_map_values_of_the_released_window() -> None:
    heat = inverse_distance_map(torch.tensor([[[50.0, 40.0]]]), 112, support="window")[0, 0]
    assert heat[40, 50] == pytest.approx(0.9990, abs=1e-4)  # the 1e-6 under the root
    assert heat[48, 58] == pytest.approx(0.0812, abs=1e-4)
    assert (heat > 0).sum() == 17 * 17
    assert heat[40, 59] == 0
    off = inverse_distance_map(torch.tensor([[[50.6, 40.6]]]), 112, support="window")[0, 0]
    rows, columns = torch.nonzero(off.sum(1)).flatten(), torch.nonzero(off.sum(0)).flatten()
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (32, 48, 42, 58)  # anchored at the integer part
    assert off[41, 51] == pytest.approx(1 / (1 + math.sqrt(0.32)), abs=1e-4)
    edge = inverse_distance_map(torch.tensor([[[-30.0, 300.0]]]), 112, support="window")[0, 0]
    assert edge[103, 8] > 0.99


def test_heat_map_is_that_of_the_nearest_landmark() -> None:
    torch.manual_seed(0)
    points = torch.rand(3, 68, 2) * 100 + 5
    y, x = torch.meshgrid(torch.arange(112.0), torch.arange(112.0), indexing="ij")
    distance = (torch.stack([x, y], -1)[None, None] - points[:, :, None, None]).norm(dim=-1).amin(1)
    expected = torch.where(distance <= 16, 1 / (1 + distance), 0)
    torch.testing.assert_close(inverse_distance_map(points, 112)[:, 0], expected, atol=2e-5, rtol=0)


def test_later_stages_see_the_first_input_again() -> None:
    """Stage 3 must warp the original picture: with identical stage-2 output, its input picture is the same."""
    network = built(stages=3, width=0.1)
    network.refinements[0].stage.fc2.weight.data.zero_()
    network.refinements[1].load_state_dict(network.refinements[0].state_dict())
    seen = []
    for refine in network.refinements:
        refine.norm.register_forward_hook(lambda module, args, output: seen.append(args[0][:, 0].clone()))
    network(torch.rand(2, 1, 112, 112))
    torch.testing.assert_close(seen[0], seen[1], atol=1e-4, rtol=0)


def test_a_later_displacement_is_measured_on_the_upright_face() -> None:
    """On a face turned by a right angle and twice as large, 3 px to the right upright are 6 px downwards."""
    network = built(stages=3, width=0.1)
    moves = (torch.tensor([3.0, 0.0]), torch.tensor([0.0, -2.0]))
    shape = network.mean_shape - 56
    turned = 60 + 2 * torch.stack([-shape[:, 1], shape[:, 0]], -1)  # x goes to y, y to -x
    with torch.no_grad():
        for stage in (network.first, *(refinement.stage for refinement in network.refinements)):
            stage.fc2.weight.zero_()
        network.first.fc2.bias.copy_((turned - network.mean_shape).flatten())
        for refinement, move in zip(network.refinements, moves, strict=True):
            refinement.stage.fc2.bias.copy_(move.expand(68, 2).flatten())
    first, second, third = network(torch.rand(2, 1, 112, 112))
    torch.testing.assert_close(first, turned.expand(2, 68, 2), atol=1e-4, rtol=0)
    torch.testing.assert_close(second, (turned + torch.tensor([0.0, 6.0])).expand(2, 68, 2), atol=1e-3, rtol=0)
    torch.testing.assert_close(third, (turned + torch.tensor([4.0, 6.0])).expand(2, 68, 2), atol=1e-3, rtol=0)


def test_a_later_stage_sees_the_heat_map_of_the_latest_points() -> None:
    """Upright: at the mean shape, whatever the turn; after a move of a single point also at its new place."""
    network = built(stages=3, width=0.1)
    with torch.no_grad():
        for stage in (network.first, *(refinement.stage for refinement in network.refinements)):
            stage.fc2.weight.zero_()
        network.refinements[0].stage.fc2.bias[:2] = torch.tensor([12.0, 0.0])  # of point 0, at (84, 56)
    seen = []
    for refinement in network.refinements:
        refinement.norm.register_forward_hook(lambda module, args, output: seen.append(args[0][0, 1].clone()))
    network(torch.rand(1, 1, 112, 112))
    assert seen[0][56, 84] > 0.9
    assert seen[0][56, 96] < 0.15
    assert seen[1][56, 95:98].max() > 0.5


def test_gradient_reaches_the_first_stage_through_the_connection() -> None:
    network = built(width=0.1)
    network(torch.rand(2, 1, 112, 112))[-1].sum().backward()
    assert network.first.fc1.weight.grad.abs().sum() > 0
    network.zero_grad(set_to_none=True)
    network(torch.rand(2, 1, 112, 112), frozen=1)[-1].sum().backward()
    assert all(parameter.grad is None for parameter in network.stage(0).parameters())
    assert all(parameter.grad is not None for parameter in network.stage(1).parameters())


def test_depth_runs_only_the_first_stages() -> None:
    network = built(width=0.1)
    image = torch.rand(2, 1, 112, 112)
    torch.testing.assert_close(network(image, depth=1)[0], network(image)[0])
    assert len(network(image, depth=1)) == 1


@pytest.mark.parametrize("options", [{"stages": 0}, {"size": 100}, {"width": 0}, {"support": "square"}])
def test_arguments_that_describe_no_network(options: dict) -> None:
    with pytest.raises(ValueError, match=r"stages|support"):
        DAN(68, **options)


@pytest.mark.parametrize("without", ["heatmap", "feature"])
def test_an_input_that_is_left_blank_changes_nothing(without: str) -> None:
    """The second stage answers the same whatever would be shown there, and has as many parameters."""
    torch.manual_seed(0)
    whole, blank = (DAN(5, size=32, width=0.1, without=name).eval() for name in (None, without))
    blank.load_state_dict(whole.state_dict())
    image = torch.rand(2, 1, 32, 32)
    for network in (whole, blank):
        network.mean_shape.copy_(8 + 16 * torch.rand(5, 2, generator=torch.Generator().manual_seed(1)))
    seen = []
    for network in (whole, blank):
        network.refinements[0].norm.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
        network(image)
    channel = {"heatmap": 1, "feature": 2}[without]
    assert (seen[1][:, channel] == 0).all()
    kept = [number for number in range(3) if number != channel]
    torch.testing.assert_close(seen[0][:, kept], seen[1][:, kept])


def test_an_input_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="without=image"):
        DAN(5, size=32, without="image")
