"""Scales, levels, crops and sheets: every pixel is where the frames say."""

import math

import pytest
import torch
from torch.nn import functional

from canthus.geometry.warp import warp
from canthus.geometry.windows import crop_maps
from canthus.models.mtcnn.pyramid import AreaSums, Octaves, crop_windows, lay_out, pyramid_scales

CPU = torch.device("cpu")


def slope(height: int, width: int) -> torch.Tensor:
    """An image whose red rises with x and green with y, by one a pixel."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x, y, torch.full_like(x, 100)], -1).to(torch.uint8)


def test_scales_of_the_reference() -> None:
    scales = pyramid_scales(630, 1200, 20, 0.709)
    assert len(scales) == 11
    assert scales[0] == pytest.approx(0.6)
    assert scales[-1] == pytest.approx(0.01926, abs=1e-5)
    for options, count, pixels in (((20, 0.709), 10, 222_990), ((10, 0.79), 17, 1_179_313)):
        levels = pyramid_scales(480, 640, *options)
        assert len(levels) == count
        assert sum(math.ceil(480 * scale) * math.ceil(640 * scale) for scale in levels) == pixels


@pytest.mark.parametrize("size", [(10, 10), (1, 5000), (19, 200)])
def test_a_image_smaller_than_a_face_has_no_levels(size: tuple[int, int]) -> None:
    assert pyramid_scales(*size, 20, 0.709) == []


@pytest.mark.parametrize("size", [(200, 250), (201, 253), (97, 60)])
@pytest.mark.parametrize("scale", [1.3, 1.0, 0.6, 0.425, 0.21])
def test_levels_lie_where_their_scales_say(size: tuple[int, int], scale: float) -> None:
    level, (scale_x, scale_y) = Octaves(slope(*size), CPU).level(scale)
    rows, columns = level.shape[-2:]
    assert abs(scale_x / scale - 1) < 1 / columns + 1e-6
    assert abs(scale_y / scale - 1) < 1 / rows + 1e-6
    inside = slice(2, -2)
    x = (torch.arange(columns) + 0.5) / scale_x - 0.5
    y = (torch.arange(rows) + 0.5) / scale_y - 0.5
    red, green = level[0, 0].float()[:, inside], level[0, 1].float()[inside]
    assert float((red - x[inside]).abs().max()) < 1.3  # grey levels are whole, and rounded twice
    assert float((green - y[inside, None]).abs().max()) < 1.3  # grey levels are whole, and rounded twice


def test_crops_are_read_where_windows_lie() -> None:
    images = [Octaves(slope(200, 250), CPU), Octaves(slope(120, 90), CPU)]
    windows = torch.tensor([[20.0, 30, 44, 54], [10, 20, 70, 80], [30.3, 40.7, 229.3, 239.7], [-0.5, -0.5, 9.5, 9.5]])
    owner = torch.tensor([0, 1, 0, 1])
    crops = crop_windows(images, owner, windows, 24)
    steps = (torch.arange(24) + 0.5) / 24
    for window, crop in zip(windows[[0, 1, 3]], crops[[0, 1, 3]], strict=True):
        side = window[2] - window[0]
        torch.testing.assert_close(crop[0, 12], (window[0] + side * steps).clamp(0, 249), atol=0.51, rtol=0)
        torch.testing.assert_close(crop[1, :, 12], (window[1] + side * steps).clamp(0, 199), atol=0.51, rtol=0)


def test_crops_of_the_finest_octave_are_warps() -> None:
    image = torch.randint(0, 256, (90, 80, 3), dtype=torch.uint8)
    windows = torch.tensor([[5.2, 6.1, 41.2, 42.1], [-10.0, 50, 20, 80], [60, 70, 90, 100]])
    crops = crop_windows([Octaves(image, CPU)], torch.zeros(3, dtype=torch.long), windows, 24)
    picture = image.permute(2, 0, 1)[None].float().expand(3, -1, -1, -1)
    torch.testing.assert_close(crops, warp(picture, crop_maps(windows, 24), 24, padding="zeros"), atol=1e-2, rtol=0)


def test_outside_of_the_image_is_black() -> None:
    image = torch.full((60, 60, 3), 200, dtype=torch.uint8)
    windows = torch.tensor([[-24.5, -0.5, -0.5, 23.5], [-12.5, 10, 11.5, 34]])
    crops = crop_windows([Octaves(image, CPU)], torch.zeros(2, dtype=torch.long), windows, 24)
    expected = torch.zeros(2, 3, 24, 24)
    expected[1, ..., 12:] = 200
    torch.testing.assert_close(crops, expected, atol=0.01, rtol=0)
    assert crop_windows([], torch.zeros(0, dtype=torch.long), torch.zeros(0, 4), 24).shape == (0, 3, 24, 24)


def test_area_sums_resize_as_torch_does() -> None:
    picture = torch.randint(0, 256, (1, 3, 70, 90), dtype=torch.uint8)
    begins, ends = torch.tensor([[0, 0], [13, 7], [50, 60]]), torch.tensor([[90, 70], [60, 20], [57, 63]])
    crops = AreaSums(picture).crops(begins, ends, 24)
    for crop, (left, top), (right, bottom) in zip(crops, begins.tolist(), ends.tolist(), strict=True):
        expected = functional.interpolate(picture[..., top:bottom, left:right].float(), size=(24, 24), mode="area")
        torch.testing.assert_close(crop, expected[0], atol=1e-3, rtol=0)


@pytest.mark.parametrize("shared", [0, 500, 2000, 10**6])
def test_sheets_hold_every_picture_once(shared: int) -> None:
    sizes = [(30, 41), (12, 13), (21, 30), (15, 21), (25, 12), (12, 90), (19, 19)]
    pictures = [torch.full((1, 3, *size), number + 1, dtype=torch.uint8) for number, size in enumerate(sizes)]
    seen: list[int] = []
    for sheet in lay_out(pictures, shared=shared):
        area = 0
        for number, (top, left) in zip(sheet.members, sheet.corners, strict=True):
            rows, columns = sizes[number]
            assert top % 2 == left % 2 == 0
            place = sheet.pixels[0, :, top : top + rows, left : left + columns]
            assert place.shape[1:] == (rows, columns)
            assert bool((place == number + 1).all())
            area += rows * columns
        assert int((sheet.pixels[0, 0] > 0).sum()) == area
        seen += sheet.members
    assert sorted(seen) == list(range(len(sizes)))
    assert (len(list(lay_out(pictures, shared=shared))) == 1) == (shared == 10**6)
