"""Gaussian maps against their formula, and points read back from them."""

import pytest
import torch

from canthus.models.heatmaps import GaussianMaps, decode_maps

STRIDE, SIGMA = 8, 4.0


def rendered(points: torch.Tensor, shown: torch.Tensor | None = None, size: int = 16) -> torch.Tensor:
    return GaussianMaps((size, size), STRIDE, SIGMA)(points, shown).clone()


def test_a_point_on_a_cell_centre_fills_nine_cells() -> None:
    maps = rendered(torch.tensor([[[8 * 5 + 3.5, 8 * 7 + 3.5]]]))
    assert int((maps[0, 0] > 0).sum()) == 9
    assert float(maps[0, 0, 7, 5]) == 1
    assert float(maps[0, 0, 7, 6]) == pytest.approx(0.1353, abs=1e-4)
    assert float(maps[0, 0, 6, 4]) == pytest.approx(0.0183, abs=1e-4)


def test_a_point_between_four_cells_fills_them_alike() -> None:
    maps = rendered(torch.tensor([[[8 * 5 + 7.5, 8 * 7 + 7.5]]]))
    highest = maps[0, 0, 7:9, 5:7]
    torch.testing.assert_close(highest, torch.full((2, 2), 0.3679), atol=1e-4, rtol=0)


def test_the_support_is_a_disc_of_the_reference_radius() -> None:
    """sqrt(2 sigma^2 ln 100) = 12.14 pixels; on a map of whole pixels."""
    maps = GaussianMaps((64, 64), 1, SIGMA)(torch.tensor([[[32.0, 32.0]]]))[0, 0]
    row, column = torch.nonzero(maps, as_tuple=True)
    distance = (row - 32.0).hypot(column - 32.0)
    assert 12 <= float(distance.max()) <= 12.14
    outside = torch.nonzero(maps == 0)
    assert float((outside - 32.0).norm(dim=1).min()) > 12.14


def test_background_and_the_highest_map_add_to_one() -> None:
    random = torch.Generator().manual_seed(0)
    maps = rendered(torch.rand(4, 9, 2, generator=random) * 150 - 10)
    torch.testing.assert_close(maps[:, :-1].amax(1) + maps[:, -1], torch.ones(4, 16, 16))


def test_points_that_are_not_shown_leave_no_trace() -> None:
    points = torch.tensor([[[60.0, 60.0], [90.0, 40.0]]])
    maps = rendered(points, torch.tensor([[True, False]]))
    assert not maps[0, 1].any()
    torch.testing.assert_close(maps[:, [0, 2]], rendered(points[:, :1]))


def test_every_cell_is_the_formula_and_the_buffer_is_used_again() -> None:
    random = torch.Generator().manual_seed(0)
    points = torch.rand(3, 5, 2, generator=random) * 96
    render = GaussianMaps((12, 10), STRIDE, SIGMA)
    maps = render(points)
    y, x = torch.meshgrid(torch.arange(12) * 8 + 3.5, torch.arange(10) * 8 + 3.5, indexing="ij")
    squared = (x - points[..., 0, None, None]).square() + (y - points[..., 1, None, None]).square()
    plain = torch.exp(-squared / (2 * SIGMA**2))
    torch.testing.assert_close(maps[:, :-1], torch.where(plain < 0.01, 0, plain), atol=1e-6, rtol=1e-4)
    before = maps.data_ptr()
    assert render(points + 1).data_ptr() == before
    assert render(points[:2]).shape == (2, 6, 12, 10)


def test_ideal_maps_give_their_points_back() -> None:
    """The reference: mean 0.19, largest 0.28 pixels; more than a pixel means wrong offsets."""
    random = torch.Generator().manual_seed(0)
    points = 64 + (torch.rand(20, 50, 2, generator=random) * 2 - 1) * 40
    read, score = decode_maps(rendered(points)[:, :-1], STRIDE)
    error = (read - points).norm(dim=-1)
    assert float(error.mean()) < 0.25
    assert float(error.max()) < 0.35
    assert float(score.min()) > 0.36
    assert float(score.max()) <= 1


def test_decoding_equals_a_loop_over_points() -> None:
    random = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 4, 9, 11, generator=random)
    read, score = decode_maps(maps, 4, radius=2)
    for face in range(2):
        for point in range(4):
            one = maps[face, point]
            row, column = divmod(int(one.argmax()), 11)
            rows = range(max(row - 2, 0), min(row + 3, 9))
            columns = range(max(column - 2, 0), min(column + 3, 11))
            weight = {(r, c): float(one[r, c]) for r in rows for c in columns if one[r, c] > 1e-6}
            total = sum(weight.values())
            x = sum(c * value for (_, c), value in weight.items()) / total
            y = sum(r * value for (r, _), value in weight.items()) / total
            expected = torch.tensor([4 * x + 1.5, 4 * y + 1.5])
            torch.testing.assert_close(read[face, point], expected, atol=1e-4, rtol=0)
            assert score[face, point] == one.max()


def test_gradients_reach_the_window_only() -> None:
    maps = rendered(torch.tensor([[[60.0, 60.0]]])[:, :1])[:, :1].requires_grad_()
    decode_maps(maps, STRIDE)[0].sum().backward()
    assert maps.grad is not None
    assert int((maps.grad != 0).sum()) <= 49
    assert float(maps.grad.abs().sum()) > 0


def test_flat_maps_give_finite_points() -> None:
    for value in (0.0, -1.0):
        read, _ = decode_maps(torch.full((1, 1, 16, 16), value), STRIDE)
        assert read.isfinite().all()
