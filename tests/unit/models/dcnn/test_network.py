"""The cascade of DCNN: regions, fusion, levels."""

import pytest
import torch

from canthus.geometry import affine
from canthus.geometry.patches import region_maps
from canthus.models.dcnn.network import DCNN, HALF_SIDES, LEVEL_1, LocalLevel, standardise

BOX = (15.0, 15.0, 85.0, 85.0)
FACE = torch.tensor([[[35.0, 40.0], [65.0, 40.0], [50.0, 55.0], [38.0, 70.0], [62.0, 70.0]]])


def built(**options) -> DCNN:
    torch.manual_seed(0)
    return DCNN(BOX, **options)


def smooth(batch: int = 2, size: int = 100) -> torch.Tensor:
    """Pictures without fine detail, so that resampling does not matter."""
    coarse = torch.rand(batch, 1, 9, 9, generator=torch.Generator().manual_seed(3))
    return torch.nn.functional.interpolate(coarse, size=size, mode="bicubic", align_corners=True)


def quiet(level: LocalLevel) -> None:
    """Make the networks of a level say that nothing moves."""
    torch.nn.init.zeros_(level.networks.dense[-2].weight)


def test_the_cascade_has_23_networks_and_the_papers_parameters() -> None:
    network = built()
    first, *later = network.levels
    assert [networks.experts for networks in first.networks] == [1, 2]
    assert [level.networks.experts for level in later] == [10, 10]
    assert sum(parameter.numel() for parameter in network.parameters()) == 1_124_522


def test_votes_of_each_level() -> None:
    first, second, third = built()(smooth())
    assert torch.bincount(first.landmarks).tolist() == [2, 2, 3, 2, 2]
    assert torch.bincount(second.landmarks).tolist() == torch.bincount(third.landmarks).tolist() == [2] * 5
    assert first.points.shape == (2, 11, 2)
    assert second.points.shape == third.points.shape == (2, 10, 2)


def test_fusion_is_the_mean_of_f1_en1_and_nm1() -> None:
    votes = built(levels=1)(smooth())[0]
    fused, p = votes.average(5), votes.points
    f1, en1, nm1 = p[:, :5], p[:, 5:8], p[:, 8:]
    torch.testing.assert_close(fused[:, 0], (f1[:, 0] + en1[:, 0]) / 2)
    torch.testing.assert_close(fused[:, 2], (f1[:, 2] + en1[:, 2] + nm1[:, 0]) / 3)
    torch.testing.assert_close(fused[:, 4], (f1[:, 4] + nm1[:, 2]) / 2)


def test_level_1_places_points_in_its_own_regions() -> None:
    network = built(levels=1)
    for networks in network.levels[0].networks:
        torch.nn.init.zeros_(networks.dense[-2].weight)  # every output 0: the middle of the region
    votes = network(smooth())[0].points[0]
    middles = {"F1": (50.0, 50.0), "EN1": (50.0, 15 + 70 * 0.4), "NM1": (50.0, 15 + 70 * 0.615)}
    expected = [middles["F1"]] * 5 + [middles["EN1"]] * 3 + [middles["NM1"]] * 3
    torch.testing.assert_close(votes, torch.tensor(expected), atol=1e-4, rtol=0)


def test_regions_keep_the_aspect_of_the_face() -> None:
    """Table 2 beside table 1: 39 / 1.1 pixels per box width, 31 / 0.88 and 31 / 0.87 per height."""
    network = built()
    for region, size in zip(network.levels[0].regions, [(39, 39), (31, 39), (31, 39)], strict=True):
        pitch = region_maps(region[None], size)[0].diagonal()
        assert pitch[1] / pitch[0] == pytest.approx(1.0, abs=0.02)
    assert [round(15 / (2 * half), 1) for half in (*HALF_SIDES[0], *HALF_SIDES[1])] == [46.9, 41.7, 68.2, 62.5]


def test_points_survive_every_crop_and_back() -> None:
    regions = [torch.tensor(LEVEL_1[name][0]) * 70 + 15 for name in LEVEL_1]
    regions += [torch.tensor([50 - 70 * h, 50 - 70 * h, 50 + 70 * h, 50 + 70 * h]) for h in (0.16, 0.18, 0.11, 0.12)]
    points = torch.rand(1, 20, 2) * 70 + 15
    for region in regions:
        to_image = region_maps(region[None], (15, 15))
        assert (affine.apply(to_image, affine.apply(affine.invert(to_image), points)) - points).abs().max() < 1e-4


def test_increments_of_zero_leave_the_points_untouched() -> None:
    network = built()
    for level in network.levels[1:]:
        quiet(level)
    first, second, third = (votes.average(5) for votes in network(smooth()))
    torch.testing.assert_close(second, first, atol=1e-4, rtol=0)
    torch.testing.assert_close(third, first, atol=1e-4, rtol=0)


def test_a_patch_network_moves_its_point_by_half_a_patch_at_most() -> None:
    network = built()
    for level, halves in zip(network.levels[1:], HALF_SIDES, strict=True):
        torch.nn.init.constant_(level.networks.dense[-2].bias, 100.0)
        moved = level(smooth(1), FACE).points[0] - FACE[0].repeat_interleave(2, 0)
        expected = 70 * torch.tensor(halves).repeat(5)[:, None].expand(10, 2)
        torch.testing.assert_close(moved, expected, atol=1e-3, rtol=0)


def test_a_moved_or_enlarged_picture_and_box_move_and_enlarge_the_points() -> None:
    picture = smooth(1)
    shifted = torch.nn.functional.pad(picture, [7, 0, 4, 0])
    twice = torch.nn.functional.interpolate(picture, size=199, mode="bilinear", align_corners=True)
    expected = built()(picture)
    for box, image, scale, offset in (
        ((22.0, 19.0, 92.0, 89.0), shifted, 1, torch.tensor([7.0, 4.0])),
        (tuple(2 * edge for edge in BOX), twice, 2, torch.zeros(2)),
    ):
        torch.manual_seed(0)
        for votes, before in zip(DCNN(box)(image), expected, strict=True):
            assert (votes.points - (before.points * scale + offset)).abs().max() < 0.2


def test_levels_look_around_the_mean_of_the_votes_before() -> None:
    network = built()
    seen = []
    for level in network.levels[1:]:
        level.register_forward_pre_hook(lambda module, args: seen.append(args[1]))
    votes = network(smooth())
    torch.testing.assert_close(seen[0], votes[0].average(5))
    torch.testing.assert_close(seen[1], votes[1].average(5))
    assert len(network(smooth(), depth=2)) == 2


def test_the_loss_of_a_level_reaches_that_level_only() -> None:
    network = built()
    network(smooth())[1].points.sum().backward()
    reached = [any(p.grad is not None for p in level.parameters()) for level in network.levels]
    assert reached == [False, True, False]
    assert all(p.grad.abs().sum() > 0 for p in network.levels[1].parameters())


def test_patches_are_standardised_and_empty_ones_stay_finite() -> None:
    patches = standardise(torch.cat([torch.rand(1, 2, 15, 15), torch.zeros(1, 2, 15, 15)]))
    torch.testing.assert_close(patches[0].mean((-2, -1)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(patches[0].std((-2, -1), correction=0), torch.ones(2), atol=1e-4, rtol=0)
    assert not patches[1].any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": 4}, "levels is 4; the cascade has 1 to 3"),
        ({"networks": ["F2"]}, "made of F1, EN1, NM1, not"),
        ({"structure": "S1"}, "one of S0, S3, S4, S5, S6, S7, not 'S1'"),
        ({"networks": ["EN1"]}, r"places only the points \[0, 1, 2\] of 5"),
    ],
)
def test_arguments_that_describe_no_cascade(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        built(**options)


def test_level_1_without_f1() -> None:
    votes = built(levels=1, networks=["EN1", "NM1"])(smooth())[0]
    assert torch.bincount(votes.landmarks).tolist() == [1, 1, 2, 1, 1]
