import numpy as np
import pytest
import torch

from canthus.data.detection.pyramids import LEVELS, Pyramids, halves
from canthus.geometry import affine
from canthus.geometry.windows import crop_maps


def ramp(height, width):
    """An image whose red is its column, green its row."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x, y, np.full_like(x, 90)], -1).astype(np.uint8)


def pyramids_of(*images):
    runs, places, begin = [], [], 0
    for image in images:
        table = np.zeros((LEVELS, 3), dtype=np.int64)
        for number, level in enumerate(halves(image)):
            table[number] = (begin, *level.shape[:2])
            begin += level.shape[0] * level.shape[1]
            runs.append(level.reshape(-1, 3))
        places.append(table)
    return Pyramids(np.concatenate(runs), torch.from_numpy(np.stack(places)))


@pytest.fixture
def two():
    return pyramids_of(ramp(200, 240), ramp(101, 57))


def test_halves_are_means_of_four_pixels():
    levels = list(halves(ramp(33, 50)))
    assert [level.shape[:2] for level in levels] == [(33, 50), (16, 25), (8, 12), (4, 6)]
    assert levels[1][3, 5].tolist() == pytest.approx([10.5, 6.5, 90], abs=0.51)
    assert len(list(halves(ramp(5, 5)))) == 1


@pytest.mark.parametrize("side", [12.0, 40.0, 100.0, 190.0])
def test_a_window_shows_its_place_at_every_scale(two, side):
    box = torch.tensor([[20.0, 5.0, 20.0 + side, 5.0 + side]])
    shown = two.windows(torch.tensor([0]), crop_maps(box, 12), 12)[0] * 255
    place = affine.apply(crop_maps(box, 12), torch.tensor([[[0.0, 0.0], [11.0, 3.0]]]))[0]
    assert shown[:2, 0, 0].tolist() == pytest.approx(place[0].tolist(), abs=1.3)  # levels are rounded to bytes
    assert shown[:2, 3, 11].tolist() == pytest.approx(place[1].tolist(), abs=1.3)  # levels are rounded to bytes


def test_host_and_device_read_the_same(two):
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(40, 2, generator=generator) * 80 - 20
    side = torch.rand(40, 1, generator=generator) * 150 + 8
    maps = crop_maps(torch.cat([corner, corner + side], 1), 24)
    maps = affine.compose(maps, affine.rotation_scale(torch.rand(40), torch.ones(40), torch.full((40, 2), 11.5)))
    maps[::2] = affine.compose(maps[::2], affine.mirror(torch.ones(20, dtype=torch.bool), 11.5))
    row = torch.arange(40) % 2
    host = two.windows(row, maps, 24)
    device = two.packed().windows(row, maps, 24)
    assert host.shape == device.shape == (40, 3, 24, 24)
    edge = device[:, 2] < 88 / 255  # OpenCV places samples at 1/32 of a pixel: at the black border that is visible
    assert ((host - device).abs().amax(1)[~edge] * 255).max() < 1.6
    assert (host - device).abs().mean() * 255 < 0.6


def test_outside_of_a_image_is_black(two):
    box = torch.tensor([[-30.0, -30.0, -6.0, -6.0], [50.0, 90.0, 74.0, 114.0]])
    for pyramids in (two, two.packed()):
        shown = pyramids.windows(torch.tensor([0, 1]), crop_maps(box, 24), 24)
        assert shown[0].abs().max() == 0
        assert shown[1, 2, :10, :6].min() * 255 == pytest.approx(90, abs=1)
        assert shown[1, :, 12:].abs().max() == 0


def test_a_fine_pattern_is_averaged_not_skipped():
    fine = np.zeros((192, 192, 3), dtype=np.uint8)
    fine[:, ::2] = 255
    shown = pyramids_of(fine).windows(torch.tensor([0]), crop_maps(torch.tensor([[-0.5, -0.5, 191.5, 191.5]]), 12), 12)
    assert shown.min() * 255 > 120
    assert shown.max() * 255 < 135


def test_selected_and_packed_images_keep_their_pixels(two):
    for pyramids in (two.select(torch.tensor([1])), two.select(torch.tensor([1])).packed()):
        assert np.array_equal(np.asarray(pyramids.image(0)), ramp(101, 57))
        assert np.asarray(pyramids.image(0, 1)).shape == (50, 28, 3)
        assert pyramids.sizes.tolist() == [[57, 101]]
    assert len(two.select(torch.tensor([1])).packed().pixels) < len(two.pixels) / 5
