"""SAN's parts: parameter counts, sizes, shared weights, frozen generators."""

import pytest
import torch
from torch import nn

from canthus.models.san.gan import Discriminator, Generator, ImagePool
from canthus.models.san.network import SAN, Trunk


def count(network: nn.Module, *, generators: bool = False) -> int:
    return sum(p.numel() for name, p in network.named_parameters() if generators or not name.startswith("generators"))


def small(**options) -> SAN:
    torch.manual_seed(0)
    return SAN(5, **{"width": 0.05, "initialisation": "kaiming", "generator_width": 0.05, **options}).eval()


@pytest.mark.parametrize(
    ("landmarks", "aggregated", "total"),
    [(68, True, 18_755_087), (68, False, 16_716_687), (19, True, 17_795_324), (19, False, 16_064_252)],
)
def test_parameter_counts_of_the_detector(landmarks: int, aggregated: bool, total: int) -> None:
    with torch.device("meta"):
        network = SAN(landmarks, aggregated=aggregated)
    assert count(network) == total
    assert count(network, generators=True) - total == aggregated * 2 * 7_837_699


def test_later_stages_may_be_wider() -> None:
    network = small(later_width=0.5)
    assert [
        [layer.out_channels for layer in stage if hasattr(layer, "out_channels")] for stage in network.refinements
    ] == [[64] * 8 + [6]] * 2
    assert network.head[-2].out_channels == 6
    assert [one.shape for one in network(torch.rand(1, 3, 64, 64))[0][-1]] == [(1, 6, 8, 8)]


def test_parameter_counts_of_the_blocks() -> None:
    with torch.device("meta"):
        network, generator, discriminator = SAN(68), Generator(), Discriminator()
    assert [count(network.trunk), count(network.head), count(network.first)] == [7_635_264, 1_474_944, 691_781]
    assert [count(stage) for stage in network.refinements] == [4_692_933, 4_260_165]
    assert [stage[0].in_channels for stage in network.refinements] == [394, 325]
    assert count(generator) == 7_837_699
    assert count(discriminator) == 2_764_737


@pytest.mark.parametrize(("size", "stride", "side"), [(128, 8, 16), (120, 8, 15), (64, 4, 16)])
def test_sizes_of_the_maps(size: int, stride: int, side: int) -> None:
    maps, aggregated = small(stride=stride)(torch.rand(2, 3, size, size) * 2 - 1)
    assert [[one.shape for one in stage] for stage in maps] == [[(2, 6, side, side)] * n for n in (2, 1, 1)]
    assert aggregated is not None
    assert aggregated.shape == (2, 3, size, size)


def test_generators_keep_the_size_and_the_range_and_discriminators_judge_patches() -> None:
    image = torch.rand(1, 3, 128, 128) * 2 - 1
    made = Generator(0.05)(image * 20).detach()
    assert made.shape == image.shape
    assert float(made.abs().max()) <= 1
    assert Discriminator(0.05)(image).shape == (1, 1, 14, 14)
    assert Generator(0.05)(torch.rand(1, 3, 120, 120)).shape == (1, 3, 120, 120)


def test_initialisation_is_the_released_codes() -> None:
    network = SAN(5, width=0.5)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif not name.startswith("generators") and parameter.numel() > 2000:
            assert float(parameter.detach().std()) == pytest.approx(0.01, rel=0.1), name
    weight = Generator().layers[1].weight  # 7 x 7 from 3 to 64 channels: Xavier
    assert float(weight.detach().std()) == pytest.approx((2 / (49 * 67)) ** 0.5, rel=0.05)


def test_trunk_is_named_like_vgg() -> None:
    """timm's and torchvision's names of VGG-16's first ten convolutions."""
    numbers = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21]
    with torch.device("meta"):
        trunk = Trunk(1.0, 8, batch_norm=False)
        normed = Trunk(1.0, 8, batch_norm=True)
    assert [name for name in trunk.state_dict() if name.endswith("weight")] == [f"features.{n}.weight" for n in numbers]
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        theirs = {name: timm.create_model(name).state_dict() for name in ("vgg16", "vgg16_bn")}
    for ours, name in ((trunk, "vgg16"), (normed, "vgg16_bn")):
        assert {key: value.shape for key, value in ours.state_dict().items()}.items() <= {
            key: value.shape for key, value in theirs[name].items()
        }.items()


def test_equal_streams_make_equal_maps() -> None:
    network = small()
    network.generators = nn.ModuleList([nn.Identity(), nn.Identity()])
    maps, aggregated = network(torch.rand(3, 3, 64, 64) * 2 - 1)
    assert aggregated is not None
    one, other = maps[0]
    assert torch.equal(one, other)


def test_the_aggregated_face_is_the_mean_of_both_generators() -> None:
    network, image = small(), torch.rand(2, 3, 64, 64) * 2 - 1
    expected = (network.generators[0](image) + network.generators[1](image)) / 2
    torch.testing.assert_close(network.aggregate(image), expected)
    assert not network.aggregate(image).requires_grad


def test_generators_learn_nothing_and_keep_their_mode() -> None:
    network = small(batch_norm=True).train()
    assert network.trunk.training
    assert not any(module.training for module in network.generators.modules() if module is not network.generators)
    maps, _ = network(torch.rand(2, 3, 64, 64))
    sum(one.square().sum() for stage in maps for one in stage).backward()
    assert all(parameter.grad is None for parameter in network.generators.parameters())
    assert all(p.grad is not None for name, p in network.named_parameters() if not name.startswith("generators"))


def test_depth_stops_after_a_stage() -> None:
    network, image = small(), torch.rand(1, 3, 64, 64)
    whole = network(image)[0]
    for depth in (1, 2, 3):
        maps = network(image, depth=depth)[0]
        assert len(maps) == depth
        torch.testing.assert_close(maps[-1][0], whole[depth - 1][0])


def test_the_pool_returns_new_pictures_until_it_is_full() -> None:
    torch.manual_seed(0)
    pool = ImagePool(50, 4)
    first = torch.rand(50, 3, 4, 4)
    assert torch.equal(torch.cat([pool(first[:30]), pool(first[30:])]), first)
    fresh = torch.rand(200, 3, 4, 4)
    shown = pool(fresh)
    kept = (shown == fresh).flatten(1).all(1)
    assert 70 < int(kept.sum()) < 130
    known = torch.cat([first, fresh])
    assert all((known == one).flatten(1).all(1).any() for one in shown[~kept])
    restored = ImagePool(50, 4)
    restored.load_state_dict(pool.state_dict())
    assert torch.equal(restored.images, pool.images)
    assert torch.equal(ImagePool(0, 4)(fresh), fresh)


@pytest.mark.parametrize(
    ("option", "message"),
    [({"stride": 16}, "stride=16"), ({"width": 0}, "width=0"), ({"initialisation": "zeros"}, "'zeros'; one of")],
)
def test_options_that_describe_no_network(option: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**option)
