import pytest
import torch

from canthus.geometry import affine
from canthus.geometry.patches import extract_patches, region_maps, warp_patches
from canthus.geometry.warp import warp


def noise(batch=2, channels=3, height=40, width=50):
    return torch.rand(batch, channels, height, width, generator=torch.Generator().manual_seed(0))


def sliced(image, centres, size):
    """The same patches one by one: slices of a picture that has black all around."""
    margin = 40
    padded = torch.nn.functional.pad(image, [margin] * 4)
    rows = []
    for picture, points in zip(padded, centres.round().long() + margin - size // 2, strict=True):
        rows.append(torch.stack([picture[:, y : y + size, x : x + size] for x, y in points.tolist()]))
    return torch.stack(rows)


@pytest.mark.parametrize("size", [1, 8, 15, 26, 30])
def test_patches_at_whole_pixels_are_slices(size):
    image = noise()
    inside = torch.randint(0, 40, (2, 7, 2), generator=torch.Generator().manual_seed(1)).float()
    corners = torch.tensor([[0, 0], [49, 0], [49, 39], [0, 39], [-4, 20], [60, 50]]).float().expand(2, 6, 2)
    centres = torch.cat([inside, corners], 1)
    patches = extract_patches(image, centres, size)
    assert patches.shape == (2, 13, 3, size, size)
    torch.testing.assert_close(patches, sliced(image, centres, size), atol=2e-5, rtol=0)


def test_a_patch_at_the_corner_is_black_outside_the_picture():
    patch = extract_patches(torch.ones(1, 1, 40, 50), torch.zeros(1, 1, 2), 10)[0, 0, 0]
    assert patch[:5].max() < 1e-6
    assert patch[:, :5].max() < 1e-6
    torch.testing.assert_close(patch[5:, 5:], torch.ones(5, 5), atol=1e-5, rtol=0)


def test_between_pixels_a_patch_is_interpolated():
    x = torch.arange(50.0).expand(40, 50)
    y = torch.arange(40.0)[:, None].expand(40, 50)
    centres = torch.tensor([[[20.25, 17.6]]])
    columns, rows = extract_patches(torch.stack([x, y])[None], centres, 6)[0, 0]
    steps = torch.arange(6.0) - 3
    torch.testing.assert_close(columns, (20.25 + steps).expand(6, 6), atol=1e-4, rtol=0)
    torch.testing.assert_close(rows, (17.6 + steps)[:, None].expand(6, 6), atol=1e-4, rtol=0)


def test_each_picture_keeps_its_own_patches():
    image = torch.stack([torch.full((1, 9, 9), value) for value in (1.0, 2.0)])
    centres = torch.tensor([[[4.0, 4.0]] * 3] * 2)
    patches = extract_patches(image, centres, 3)
    torch.testing.assert_close(patches[0], torch.ones(3, 1, 3, 3))
    torch.testing.assert_close(patches[1], torch.full((3, 1, 3, 3), 2.0))


def test_the_gradient_to_the_centres_is_cut_unless_asked_for():
    image = noise().requires_grad_()
    centres = torch.full((2, 3, 2), 11.3, requires_grad=True)
    extract_patches(image, centres, 6).sum().backward()
    assert centres.grad is None
    assert image.grad.abs().sum() > 0
    extract_patches(image, centres, 6, detach=False).square().sum().backward()
    assert centres.grad.abs().min() > 0


def test_bfloat16_centres_are_read_and_autocast_does_not_move_patches():
    image, centres = noise(), torch.full((2, 3, 2), 33.0)
    expected = extract_patches(image, centres, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(extract_patches(image, centres, 8), expected)
    assert torch.equal(extract_patches(image, centres.bfloat16(), 8), expected)
    assert extract_patches(image.bfloat16(), centres, 8).dtype == torch.bfloat16


def test_a_region_of_whole_pixels_is_a_slice():
    image = noise()
    region = torch.tensor([[[9.5, 4.5, 21.5, 12.5], [-0.5, -0.5, 11.5, 7.5]]] * 2)  # the cells of 12 x 8 pixels
    patches = warp_patches(image, region_maps(region, (8, 12)), (8, 12))
    torch.testing.assert_close(patches[:, 0], image[:, :, 5:13, 10:22], atol=2e-5, rtol=0)
    torch.testing.assert_close(patches[:, 1], image[:, :, :8, :12], atol=2e-5, rtol=0)


def test_a_bright_square_stays_square_and_upright_in_a_wide_region():
    image = torch.zeros(1, 1, 80, 80)
    image[..., 20:30, 40:50] = 1
    region = torch.tensor([[[-0.5, 9.5, 79.5, 49.5]]])  # 80 wide, 40 high, shown at half the scale
    patch = warp_patches(image, region_maps(region, (20, 40)), (20, 40))[0, 0, 0]
    expected = torch.zeros(20, 40)
    expected[5:10, 20:25] = 1
    torch.testing.assert_close(patch, expected, atol=1e-4, rtol=0)


def test_points_survive_the_way_into_a_region_and_back():
    region = torch.tensor([[10.0, 20.0, 43.0, 51.5], [-7.0, 3.0, 4.0, 90.0]])
    maps = region_maps(region, (15, 39))
    points = torch.rand(2, 9, 2) * 60
    there = affine.apply(affine.invert(maps), points)
    assert (affine.apply(maps, there) - points).abs().max() < 1e-4
    ends = affine.apply(affine.invert(maps), region.unflatten(1, (2, 2)))
    torch.testing.assert_close(ends, torch.tensor([[[-0.5, -0.5], [38.5, 14.5]]] * 2), atol=1e-4, rtol=0)


def test_one_patch_is_a_warp():
    image = noise()
    turn = affine.rotation_scale(torch.tensor([0.3, -0.4]), torch.tensor([0.7, 1.2]), torch.full((2, 2), 20.0))
    for padding in ("zeros", "border"):
        patch = warp_patches(image, turn[:, None], (21, 21), padding=padding)[:, 0]
        torch.testing.assert_close(patch, warp(image, turn, 21, padding=padding))
