"""MTCNN's codec, crops of windows, and suppression against a plain loop."""

import pytest
import torch

from canthus.geometry import affine, windows
from canthus.geometry.warp import warp

FLIP = [1, 0, 2, 4, 3]


def random_boxes(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator, dtype=torch.float64) * 100
    return torch.cat([corner, corner + 10 + torch.rand(count, 2, generator=generator, dtype=torch.float64) * 60], 1)


def mirrored(boxes: torch.Tensor, width: float) -> torch.Tensor:
    return torch.stack([width - 1 - boxes[:, 2], boxes[:, 1], width - 1 - boxes[:, 0], boxes[:, 3]], 1)


def test_worked_example() -> None:
    window, box = torch.tensor([25.0, 38, 85, 98]), torch.tensor([30.0, 40, 80, 95])
    expected = torch.tensor([0.08333, 0.03333, -0.08333, -0.05])
    torch.testing.assert_close(windows.encode(window, box), expected, atol=1e-5, rtol=0)


def test_decode_undoes_encode() -> None:
    squares, boxes = windows.square(random_boxes(50)), random_boxes(50, seed=1)
    torch.testing.assert_close(windows.decode(squares, windows.encode(squares, boxes)), boxes)
    points = boxes[:, None, :2] + torch.rand(50, 5, 2, dtype=torch.float64) * 20
    shares = windows.encode_points(squares, points)
    assert shares.shape == (50, 10)
    torch.testing.assert_close(shares[:, 1], (points[:, 1, 0] - squares[:, 0]) / (squares[:, 2] - squares[:, 0]))
    torch.testing.assert_close(shares[:, 6], (points[:, 1, 1] - squares[:, 1]) / (squares[:, 3] - squares[:, 1]))
    torch.testing.assert_close(windows.decode_points(squares, shares), points)


def test_targets_of_the_mirror_image() -> None:
    squares, boxes = windows.square(random_boxes(20)), random_boxes(20, seed=1)
    offsets = windows.encode(squares, boxes)
    torch.testing.assert_close(windows.mirror_offsets(windows.mirror_offsets(offsets)), offsets)
    expected = windows.encode(mirrored(squares, 200), mirrored(boxes, 200))
    torch.testing.assert_close(windows.mirror_offsets(offsets), expected)
    points = torch.rand(20, 5, 2, dtype=torch.float64) * 100
    shares = windows.encode_points(squares, points)
    in_mirror = torch.stack([199 - points[..., 0], points[..., 1]], -1)[:, FLIP]
    expected = windows.encode_points(mirrored(squares, 200), in_mirror)
    torch.testing.assert_close(windows.mirror_shares(shares, FLIP), expected)
    torch.testing.assert_close(windows.mirror_shares(windows.mirror_shares(shares, FLIP), FLIP), shares)


def test_square_keeps_centre_and_longer_side() -> None:
    square = windows.square(torch.tensor([[10.0, 20, 30, 80]]))
    torch.testing.assert_close(square, torch.tensor([[-10.0, 20, 50, 80]]))


def test_a_window_of_whole_pixels_is_a_slice() -> None:
    picture = torch.rand(1, 3, 40, 50)
    window = torch.tensor([[6.5, 3.5, 18.5, 15.5]])  # twelve pixels from (7, 4) on
    crop = warp(picture, windows.crop_maps(window, 12), 12)
    torch.testing.assert_close(crop, picture[:, :, 4:16, 7:19], atol=1e-5, rtol=0)
    half = warp(picture, windows.crop_maps(window, 6), 6)  # centres lie between four pixels
    torch.testing.assert_close(half, torch.nn.functional.avg_pool2d(picture[:, :, 4:16, 7:19], 2), atol=1e-5, rtol=0)


def test_window_and_crop_frames_agree() -> None:
    """A point's share of the window is its share of the crop."""
    window = random_boxes(1)
    point = torch.tensor([[[33.0, 21.0]]], dtype=torch.float64)
    in_crop = affine.apply(affine.invert(windows.crop_maps(window, 24)), point)
    shares = windows.encode_points(window, point)
    torch.testing.assert_close((in_crop[0, 0] + 0.5) / 24, shares[0])


def greedy(boxes: torch.Tensor, scores: torch.Tensor, threshold: float, border: float) -> list[int]:
    kept: list[int] = []
    area = (boxes[:, 2:] - boxes[:, :2] + border).prod(1)
    for row in scores.argsort(descending=True).tolist():
        least = torch.maximum(boxes[row, :2], boxes[kept][:, :2])
        most = torch.minimum(boxes[row, 2:], boxes[kept][:, 2:])
        shared = (most - least + border).clamp_min(0).prod(1)
        if not bool((shared / torch.minimum(area[row], area[kept]) > threshold).any()):
            kept.append(row)
    return kept


@pytest.mark.parametrize("border", [0.0, 1.0])
@pytest.mark.parametrize("threshold", [0.2, 0.7])
def test_suppression_is_the_greedy_loop(border: float, threshold: float) -> None:
    boxes = random_boxes(200)
    scores = torch.rand(200, generator=torch.Generator().manual_seed(2))
    groups = torch.arange(200) % 3
    kept = windows.suppress_nested(boxes, scores, groups, threshold, border=border)
    expected = []
    for group in range(3):
        rows = (groups == group).nonzero()[:, 0]
        expected += rows[greedy(boxes[rows], scores[rows], threshold, border)].tolist()
    assert kept.tolist() == expected
    assert 3 < len(kept) < 200


def test_a_box_inside_another_goes() -> None:
    boxes = torch.tensor([[0.0, 0, 100, 100], [40, 40, 60, 60], [200, 0, 300, 100]])
    scores = torch.tensor([0.8, 0.9, 0.7])
    assert windows.suppress_nested(boxes, scores, torch.zeros(3, dtype=torch.long), 0.7).tolist() == [1, 2]
    none = windows.suppress_nested(boxes[:0], scores[:0], torch.zeros(0, dtype=torch.long), 0.7)
    assert none.tolist() == []


def test_ranks_count_within_groups() -> None:
    scores = torch.tensor([0.1, 0.9, 0.5, 0.7, 0.3])
    assert windows.ranks(scores, torch.tensor([0, 2, 0, 2, 0])).tolist() == [2, 0, 0, 1, 1]
