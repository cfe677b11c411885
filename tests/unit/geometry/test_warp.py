import math

import numpy as np
import pytest
import torch

from canthus.geometry import affine
from canthus.geometry.warp import resample, warp, warp_rows

SIZE = 96
LANDMARK = torch.tensor([[[61.3, 38.6]]])


def grid(height, width):
    y, x = torch.meshgrid(torch.arange(height).double(), torch.arange(width).double(), indexing="ij")
    return x, y


def dot(position, height=110, width=130, sigma=2.5):
    """(1, 1, H, W) float picture of a Gaussian dot with values up to 255."""
    x, y = grid(height, width)
    px, py = position.flatten().double()
    return (255 * torch.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * sigma**2)))[None, None].float()


def smooth(height=110, width=130):
    x, y = grid(height, width)
    return (127 + 60 * torch.sin(x / 9 + 0.3) + 60 * torch.cos(y / 11 - 0.2))[None, None].float()


def centroid(picture):
    x, y = grid(*picture.shape[-2:])
    mass = picture.double().squeeze()
    return torch.stack([(x * mass).sum(), (y * mass).sum()]) / mass.sum()


def case(degrees, scale, mirrored=False, shift=(0.0, 0.0)):
    """A map from the (110, 130) picture to a 96 px output, which rotates, scales, mirrors and shifts."""
    middle = torch.tensor([[64.5, 54.5]])
    turned = affine.rotation_scale(torch.tensor([math.radians(degrees)]), torch.tensor([scale]), middle)
    turned = affine.compose(affine.mirror(torch.tensor([mirrored]), 64.5), turned)
    return affine.compose(affine.translation(torch.tensor([[47.5, 47.5]]) - middle + torch.tensor([shift])), turned)


CASES = {
    "shift": case(0, 1.0, shift=(3.4, -7.7)),
    "quarter": case(90, 1.0),
    "rotation": case(33, 1.0),
    "other way": case(-70, 0.8, shift=(2.2, 5.1)),
    "shrink": case(0, 0.6),
    "enlarge": case(12, 1.5),
    "mirror": case(0, 1.0, mirrored=True),
    "mirror and turn": case(25, 1.2, mirrored=True, shift=(-4.3, 1.9)),
}


def on_host(picture, matrix, size, **options):
    """`warp_rows` of a (1, C, H, W) float picture."""
    return warp_rows([picture[0].permute(1, 2, 0).round().byte().numpy()], matrix, size, **options).float()


@pytest.mark.parametrize("warper", [warp, on_host])
@pytest.mark.parametrize("name", CASES)
def test_a_dot_lands_where_its_point_is_mapped(name, warper):
    to_output = CASES[name]
    warped = warper(dot(LANDMARK), affine.invert(to_output), SIZE, padding="zeros")
    expected = affine.apply(to_output, LANDMARK)[0, 0].double()
    assert (expected > 8).all()  # the whole dot is seen
    assert (expected < SIZE - 9).all()
    assert (centroid(warped) - expected).norm() < 0.05


@pytest.mark.parametrize("padding", ["border", "zeros"])
@pytest.mark.parametrize("name", CASES)
def test_both_warpers_agree(name, padding):
    picture, matrix = smooth().round(), affine.invert(CASES[name])
    device = warp(picture, matrix, SIZE, padding=padding)
    host = on_host(picture, matrix, SIZE, padding=padding)
    if padding == "zeros":  # at the edge to black a sixteenth of a pixel shows
        x, y = affine.apply(matrix, torch.stack(grid(SIZE, SIZE), -1).reshape(1, -1, 2).float())[0].T
        edge = [(value - bound).abs() < 1.1 for value, end in ((x, 129), (y, 109)) for bound in (0, end)]
        device, host = (torch.where(torch.stack(edge).any(0).reshape(SIZE, SIZE), 0, image) for image in (device, host))
    assert (device - host).abs().max() <= 1
    assert host.std() > 20


def test_a_warped_function_is_the_function_at_the_inverse_mapped_point():
    x, y = grid(256, 256)

    def f(x, y):
        return torch.sin(x / 40) + torch.cos(y / 55) + x * y / 1e5

    for to_output in CASES.values():
        to_input = affine.invert(to_output)
        to_input[:, :, 2] += 60  # well inside
        warped = warp(f(x, y)[None, None].float(), to_input, SIZE)[0, 0]
        pixels = torch.stack(grid(SIZE, SIZE), -1).reshape(1, -1, 2).float()
        u, v = affine.apply(to_input, pixels)[0].double().T
        inside = (u > 1) & (u < 254) & (v > 1) & (v < 254)
        assert inside.double().mean() > 0.8
        assert (warped.flatten().double() - f(u, v))[inside].abs().max() < 1e-3


def picture_of_noise(channels, size=37):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (1, channels, size, size), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("padding", ["border", "zeros"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_identity_changes_no_byte(channels, padding):
    picture = picture_of_noise(channels)
    rows = [picture[0].permute(1, 2, 0).numpy()]
    assert torch.equal(warp_rows(rows, affine.identity(1), 37, padding=padding), picture)
    warped = warp(picture.float(), affine.identity(1), 37, padding=padding)
    assert torch.equal(warped.round().byte(), picture)
    assert (warped - picture).abs().max() < 0.01  # grid_sample works in shares of the side, which rounds


@pytest.mark.parametrize("warper", [warp, on_host])
@pytest.mark.parametrize(("shift", "expected"), [(0, [[1, 2], [4, 5]]), (1, [[5, 6], [8, 9]])])
def test_whole_pixel_shifts(warper, shift, expected):
    picture = torch.arange(1.0, 10).reshape(1, 1, 3, 3)
    warped = warper(picture, affine.translation(torch.full((1, 2), float(shift))), 2)
    torch.testing.assert_close(warped[0, 0], torch.tensor(expected).float(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("warper", [warp, on_host])
def test_what_lies_outside(warper):
    picture = torch.full((1, 3, 10, 10), 80.0)
    picture[..., 0] = 200  # the first column
    left = affine.translation(torch.tensor([[-20.0, 0.0]]))
    repeated = warper(picture, left, 10, padding="border")
    torch.testing.assert_close(repeated, torch.full((1, 3, 10, 10), 200.0), rtol=0, atol=1e-3)
    assert (warper(picture, left, 10, padding="zeros") == 0).all()
    assert torch.equal(warper(picture, left, 10), repeated)  # the default


@pytest.mark.parametrize("warper", [warp, on_host])
def test_zeros_fade_over_one_pixel(warper):
    picture = torch.full((1, 1, 10, 10), 200.0)
    warped = warper(picture, affine.translation(torch.tensor([[-1.25, 0.0]])), 4, padding="zeros")
    torch.testing.assert_close(warped[0, 0, 1], torch.tensor([0.0, 150.0, 200.0, 200.0]), rtol=0, atol=1e-3)


@pytest.mark.parametrize("warper", ["device", "host"])
def test_each_picture_has_its_own_matrix(warper):
    pictures = torch.stack([torch.full((1, 8, 8), 10.0), torch.full((1, 8, 8), 90.0)])
    matrices = affine.identity(2)
    matrices[1, 0, 2] = -100
    if warper == "device":
        warped = warp(pictures, matrices, 8, padding="zeros")
    else:
        warped = warp_rows(list(pictures.byte().permute(0, 2, 3, 1).numpy()), matrices, 8, padding="zeros")
    assert warped.shape == (2, 1, 8, 8)
    torch.testing.assert_close(warped[0].float(), pictures[0], rtol=0, atol=1e-3)
    assert (warped[1] == 0).all()


def test_rows_may_be_non_contiguous_or_a_read_only_memory_map(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (2, 40, 50, 3), dtype=np.uint8)
    np.save(tmp_path / "crops.npy", pictures)
    mapped = np.load(tmp_path / "crops.npy", mmap_mode="r")
    matrices = torch.cat([affine.invert(CASES["rotation"]), affine.invert(CASES["mirror"])])
    expected = warp_rows(list(pictures), matrices, 32)
    assert torch.equal(warp_rows([mapped[0], mapped[1]], matrices, 32), expected)
    strided = np.repeat(pictures, 2, axis=2)[:, :, ::2]
    assert not strided[0].flags.c_contiguous
    assert torch.equal(warp_rows(list(strided), matrices, 32), expected)
    assert np.array_equal(np.load(tmp_path / "crops.npy"), pictures)


def test_rows_come_back_writable_in_channels_last_memory():
    warped = warp_rows([np.zeros((9, 9, 3), np.uint8)] * 2, affine.identity(2), 9)
    assert (warped.shape, warped.dtype) == ((2, 3, 9, 9), torch.uint8)
    assert warped.is_contiguous(memory_format=torch.channels_last)
    warped += 1
    assert (warped == 1).all()


def test_more_rows_than_matrices_is_an_error():
    with pytest.raises(ValueError, match="shorter"):
        warp_rows([np.zeros((9, 9, 1), np.uint8)] * 2, affine.identity(1), 9)


def test_coordinates_stay_float32_under_autocast():
    picture, matrix = dot(LANDMARK), affine.invert(CASES["rotation"])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = warp(picture, matrix, SIZE)
    assert torch.equal(cast, warp(picture, matrix, SIZE))


def test_the_dtype_of_the_pictures_is_kept():
    assert warp(smooth().bfloat16(), CASES["shift"], 8).dtype == torch.bfloat16
    assert warp(smooth().double(), CASES["shift"], 8).dtype == torch.float64


def test_gradients_reach_pixels_and_matrices():
    picture, matrix = smooth().requires_grad_(), affine.invert(CASES["rotation"]).requires_grad_()
    to_sum = torch.rand(1, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    (warp(picture, matrix, SIZE) * to_sum).sum().backward()
    assert picture.grad.abs().sum() > 0
    # the slope along the horizontal offset, by differences; each pixel is piecewise linear in it
    step = torch.zeros(1, 2, 3)
    step[0, 0, 2] = 1e-2
    with torch.no_grad():
        change = (warp(picture, matrix + step, SIZE) - warp(picture, matrix - step, SIZE)).double() * to_sum
    slope = change.sum() / 2e-2
    assert float(matrix.grad[0, 0, 2]) == pytest.approx(float(slope), rel=0.03)


@pytest.mark.parametrize("padding", ["border", "zeros"])
def test_positions_that_are_not_numbers_do_not_crash(padding: str) -> None:
    images = torch.rand(2, 1, 5, 5, requires_grad=True)
    points = torch.rand(2, 3, 3, 2) * 4
    points[0, 0, 0] = torch.nan
    points.requires_grad_()
    resample(images, points, padding=padding).sum().backward()
    assert images.grad is not None
    assert images.grad.isfinite().all()
    assert points.grad is not None
    assert points.grad[1].any()


@pytest.mark.parametrize("channels", [1, 3])
def test_levels_are_applied_to_the_same_pixels(channels: int) -> None:
    pictures = list(np.random.default_rng(0).integers(0, 256, (3, 40, 50, channels), dtype=np.uint8))
    matrices = affine.identity(3)
    matrices[:, 0, 2] = torch.tensor([0.0, 1.3, 7.9])
    plain = warp_rows(pictures, matrices, 32)
    divisor, offset = (255.0, 127.5, 50.0)[:channels], (0.0, -1.0, 0.25)[:channels]
    scaled = warp_rows(pictures, matrices, 32, levels=(divisor, offset))
    expected = plain / torch.tensor(divisor)[:, None, None] + torch.tensor(offset)[:, None, None]
    torch.testing.assert_close(scaled, expected, atol=1e-6, rtol=0)
    assert torch.equal(warp_rows(pictures, matrices, 32, levels=((255.0,), (0.0,))), plain / 255)
