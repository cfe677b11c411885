"""Layers of DCNN against plain loops, and table 1's shapes and parameter counts."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from canthus.models.dcnn.layers import STRUCTURES, GainPool, LocalConv2d, Structure

COUNTS = {"S0": 343_670, "S1": 215_606, "S2": 17_482, "S3": 292_950, "S4": 339_330, "S5": 780_450}
COUNTS |= {"S6": 343_670, "S7": 88_490}
GEOMETRIES = [
    (4, 1, 20, (2, 2), (39, 39)),
    (3, 20, 40, (2, 2), (18, 18)),
    (3, 40, 60, (3, 3), (8, 8)),
    (2, 60, 80, (2, 2), (3, 3)),
    (3, 40, 60, (2, 3), (6, 8)),
    (2, 60, 80, (1, 2), (2, 3)),
]
"""Kernel, input and output maps, regions and input size of every locally shared layer of S0 and S1."""


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def looped(layer: LocalConv2d, maps: torch.Tensor) -> torch.Tensor:
    """Equation 1 region by region: a convolution of the whole map for each, of which one rectangle is kept."""
    (p, q), experts = layer.regions, layer.experts
    weights = layer.weight.unflatten(0, (experts, p, q, -1))
    biases = layer.bias.unflatten(0, (experts, p, q, -1))
    per_expert = []
    for expert, own in enumerate(maps.chunk(experts, 1)):
        rows = []
        for u in range(p):
            row = []
            for v in range(q):
                whole = functional.conv2d(own, weights[expert, u, v], biases[expert, u, v])
                height, width = whole.shape[-2] // p, whole.shape[-1] // q
                row.append(whole[..., u * height : (u + 1) * height, v * width : (v + 1) * width])
            rows.append(torch.cat(row, -1))
        per_expert.append(torch.cat(rows, -2))
    return torch.cat(per_expert, 1)


@pytest.mark.parametrize("experts", [1, 3])
@pytest.mark.parametrize(("kernel", "inputs", "outputs", "regions", "size"), GEOMETRIES)
def test_local_convolution_is_the_loop_over_regions(kernel, inputs, outputs, regions, size, experts) -> None:
    torch.manual_seed(0)
    layer = LocalConv2d(experts, inputs, outputs, kernel, regions).double()
    nn.init.normal_(layer.bias)
    maps = torch.randn(2, experts * inputs, *size, dtype=torch.float64)
    torch.testing.assert_close(layer(maps), looped(layer, maps), atol=1e-12, rtol=0)


def test_one_region_is_an_ordinary_convolution_bit_for_bit() -> None:
    layer, plain = LocalConv2d(1, 3, 8, 4, (1, 1)), nn.Conv2d(3, 8, 4)
    layer.load_state_dict(plain.state_dict())
    maps = torch.randn(2, 3, 12, 10)
    assert torch.equal(layer(maps), plain(maps))


@pytest.mark.parametrize("regions", [(2, 2), (3, 3), (2, 3), (1, 2), (6, 1)])
def test_one_kernel_in_all_regions_is_an_ordinary_convolution(regions) -> None:
    plain, layer = nn.Conv2d(3, 8, 3), LocalConv2d(1, 3, 8, 3, regions)
    count = regions[0] * regions[1]
    layer.load_state_dict({"weight": plain.weight.repeat(count, 1, 1, 1), "bias": plain.bias.repeat(count)})
    maps = torch.randn(2, 3, 14, 14)
    torch.testing.assert_close(layer(maps), plain(maps), atol=1e-5, rtol=0)


def test_weights_of_a_region_change_that_rectangle_only() -> None:
    layer = LocalConv2d(1, 2, 4, 3, (2, 3))
    maps = torch.randn(1, 2, 10, 14)
    before = layer(maps)
    with torch.no_grad():
        layer.weight.unflatten(0, (2, 3, 4))[1, 2] += 1  # the lower right of 2 x 3
    changed = (layer(maps) - before).abs().amax((0, 1)) > 0
    assert changed[4:, 8:].all()
    changed[4:, 8:] = False
    assert not changed.any()


def test_a_map_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="8 x 8 outputs do not divide into 3 x 2 regions"):
        LocalConv2d(1, 1, 1, 3, (3, 2))(torch.zeros(1, 1, 10, 10))


def test_pooling_has_a_gain_and_a_bias_for_each_map_and_region() -> None:
    pool = GainPool(2, 2, (1, 2))
    with torch.no_grad():
        pool.gain.copy_(torch.tensor([[[1.0, 2.0]], [[0.5, -1.0]]]))
        pool.bias.copy_(torch.tensor([[[0.0, 0.1]], [[0.2, 0.3]]]))
    maps = torch.rand(3, 2, 4, 8)
    out = pool(maps)
    assert out.shape == (3, 2, 2, 4)
    for m in range(2):
        for y in range(2):
            for x in range(4):
                largest = maps[:, m, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].amax((1, 2))
                expected = torch.tanh(pool.gain[m, 0, x // 2] * largest + pool.bias[m, 0, x // 2])
                torch.testing.assert_close(out[:, m, y, x], expected)


@pytest.mark.parametrize("name", STRUCTURES)
def test_parameter_counts_are_those_of_table_1(name: str) -> None:
    assert parameters(Structure(STRUCTURES[name])) == COUNTS[name]


@pytest.mark.parametrize(
    ("name", "flat", "without_gains"), [("S0", 320, 342_110), ("S1", 160, 214_526), ("S2", 160, 17_362)]
)
def test_flat_sizes_and_counts_without_gains(name: str, flat: int, without_gains: int) -> None:
    network = Structure(STRUCTURES[name])
    assert network.dense[0].weight.shape[1] == flat
    gains = sum(parameters(module) for module in network.modules() if isinstance(module, GainPool))
    assert parameters(network) - gains == without_gains


def test_outputs_of_layers_lie_where_tanh_and_abs_put_them() -> None:
    torch.manual_seed(0)
    network = Structure(STRUCTURES["S0"])
    seen = []
    for layer in network.convolutions:
        layer.register_forward_hook(lambda module, args, out: seen.append((type(module).__name__, out)))
    out = network(10 * torch.randn(4, 1, 39, 39))
    assert out.shape == (4, 1, 10)
    assert out.abs().max() < 1
    rectified = [maps for name, maps in seen if name == "AbsTanh"]
    assert [tuple(maps.shape[1:]) for maps in rectified] == [(20, 36, 36), (40, 16, 16), (60, 6, 6), (80, 2, 2)]
    assert all(maps.min() >= 0 for maps in rectified)
    assert any(layer.__class__ is nn.Tanh for layer in Structure(STRUCTURES["S6"]).convolutions)


@pytest.mark.parametrize(("name", "experts"), [("S1", 2), ("S2", 10), ("S0", 2)])
def test_grouped_networks_are_separate_networks(name: str, experts: int) -> None:
    torch.manual_seed(0)
    together = Structure(STRUCTURES[name], experts)
    for parameter in together.parameters():
        nn.init.normal_(parameter, std=0.3)
    patches = torch.randn(3, experts, *together.size)
    out = together(patches)
    for expert in range(experts):
        alone = Structure(STRUCTURES[name])
        alone.load_state_dict({key: value.chunk(experts)[expert] for key, value in together.state_dict().items()})
        assert (alone(patches[:, expert : expert + 1])[:, 0] - out[:, expert]).abs().max() < 1e-5


@pytest.mark.parametrize("layers", ["I(5,5) XR(2,1,1,1)", "I(5)", "I(5,5) F", "I(5,5) CR(4,20)"])
def test_layers_that_are_none_of_the_papers(layers: str) -> None:
    with pytest.raises(ValueError, match="is no layer; one of"):
        Structure(layers)
