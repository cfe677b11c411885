import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from canthus.data.augment import Augmentation
from canthus.data.pixel_changes import PixelDraws

# there may be no GPU to pin for
pytestmark = pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning")

STILL = Augmentation(mirror=0, rotation=0, scale=0, shift=0)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# -- photometric changes ---------------------------------------------------------------------------------------------

CHANGES = {
    "brightness": 0.3,
    "contrast": 0.5,
    "gamma": 0.8,
    "colour": 0.3,
    "noise": 0.1,
    "occlusion": 1.0,
    "blur": 1.0,
    "low_resolution": 1.0,
}


def pictures(count=8, channels=3, size=48):
    """Smooth pictures with a dot each, in [0, 1]."""
    y, x = torch.meshgrid(*[torch.arange(size).float()] * 2, indexing="ij")
    dot = torch.exp(-((x - 20.3).square() + (y - 28.6).square()) / 18)
    background = 0.25 + 0.2 * torch.rand(count, channels, 1, 1, generator=seeded(1))
    return eight_bits(background + 0.5 * dot)


@pytest.fixture(params=["floats", "levels"])
def changed(request):
    """Images in [0, 1] after changes, made in floats as on a device, or in 8-bit levels as on a CPU."""

    def change(image, seed=0, **settings):
        augmentation = replace(STILL, **settings)
        if request.param == "floats":
            return augmentation.change_pixels(image, seeded(seed))
        levels = eight_bits(image).mul(255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
        augmentation.change_levels(levels, seeded(seed))
        return torch.from_numpy(levels).permute(0, 3, 1, 2) / 255

    change.rounding = 1e-6 if request.param == "floats" else 0.51 / 255
    return change


def eight_bits(image):
    """What both ways are given, so that rounding at the start is no change."""
    return (image * 255).round() / 255


def test_nothing_changes_when_everything_is_off(changed):
    image = eight_bits(torch.rand(4, 3, 16, 16, generator=seeded()))
    assert torch.equal(changed(image), image)


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_changes_every_picture_and_only_pixels(name, changed):
    image = pictures()
    before = image.clone()
    after = changed(image, **{name: CHANGES[name]})
    assert (after.shape, after.dtype) == (image.shape, image.dtype)
    altered = (after - image).abs().flatten(1).amax(1) > 1e-5
    assert int(altered.sum()) >= 7  # the eighth may be drawn so near to no change that it rounds to none
    assert torch.equal(image, before)
    assert torch.equal(after, changed(image, **{name: CHANGES[name]}))
    assert not torch.equal(after, changed(image, seed=1, **{name: CHANGES[name]}))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", [*CHANGES, "all"])
def test_the_range_is_kept(name, channels, changed):
    image = eight_bits(torch.rand(8, channels, 32, 32, generator=seeded()).round(decimals=1))
    settings = CHANGES if name == "all" else {name: 5.0 if CHANGES[name] < 1 else 1.0}
    after = changed(image, **settings)
    assert after.isfinite().all()
    assert after.min() >= 0
    assert after.max() <= 1


@pytest.mark.parametrize("name", ["brightness", "contrast", "gamma", "colour", "blur", "low_resolution"])
def test_no_change_of_pixels_moves_a_dot(name, dots, changed):
    find_dot, _ = dots
    # without a background, which a bent scale of greys would weigh differently
    image = (pictures(channels=1) - pictures(channels=1)[..., :1, :1]).clamp(0, 1).expand(-1, 3, -1, -1)
    if name == "brightness":
        image = eight_bits(0.3 + 0.4 * image)  # nothing is cut at 0 or 1
    after = changed(image, **{name: CHANGES[name]})
    for picture in after - after[..., :1, :1]:
        place, _ = find_dot(picture.clamp_min(0), (20.3, 28.6), 14)
        assert (place - torch.tensor([20.3, 28.6])).norm() < 0.2


def test_brightness_adds_one_number_per_picture(changed):
    image = eight_bits(torch.full((200, 3, 4, 4), 0.5))
    after = changed(image, brightness=0.3) - image
    assert (after - after[:, :1, :1, :1]).abs().max() < 1e-6
    values = after[:, 0, 0, 0]
    assert -0.3 - changed.rounding <= values.min() < -0.27
    assert 0.27 < values.max() <= 0.3 + changed.rounding


def test_contrast_keeps_the_mean(changed):
    image = eight_bits(0.4 + 0.2 * torch.rand(100, 3, 8, 8, generator=seeded()))
    after = changed(image, contrast=0.5)
    torch.testing.assert_close(after.mean((1, 2, 3)), image.mean((1, 2, 3)), rtol=0, atol=max(changed.rounding, 1e-5))
    factor = after.flatten(1).std(1) / image.flatten(1).std(1)
    assert 0.49 <= factor.min() < 0.55
    assert 1.45 < factor.max() <= 1.51


def test_gamma_keeps_black_and_white(changed):
    quarter = float(eight_bits(torch.tensor(0.25)))
    after = changed(torch.tensor([0.0, quarter, 1.0]).expand(200, 1, 1, 3), gamma=1.0)
    black, middle, white = after[:, 0, 0].T
    assert (black == 0).all()  # what lies outside the image stays what evaluation shows there
    assert (white == 1).all()
    exponent = middle.log() / math.log(quarter)
    assert 0.49 <= exponent.min() < 0.52
    assert 1.92 < exponent.max() <= 2.03
    assert float(exponent.log().mean()) == pytest.approx(0, abs=0.12)  # log-uniform: as often brighter as darker


def test_colour_changes_each_channel_alone_and_no_grey_picture(changed):
    image = eight_bits(torch.full((50, 3, 4, 4), 0.5))
    factor = changed(image, colour=0.3) / image
    assert (factor - factor[..., :1, :1]).abs().max() < 1e-6
    assert factor.min() >= 0.695
    assert factor.max() <= 1.305
    assert factor[:, :, 0, 0].std(1).min() > 1e-3
    assert torch.equal(changed(image[:, :1], colour=0.3), image[:, :1])


def test_noise_has_up_to_the_deviation_asked_for(changed):
    deviation = (changed(torch.full((100, 1, 40, 40), 0.5), noise=0.1) - 0.5).flatten(1).std(1)
    assert 0.09 < deviation.max() < 0.105
    assert deviation.min() < 0.01


def test_occluders_are_rectangles_of_at_most_the_size_asked_for(changed):
    image = eight_bits(torch.linspace(0.1, 0.9, 300))[:, None, None, None].expand(300, 3, 50, 50)
    altered = (changed(image, occlusion=0.4) != image).any(1)
    covered = altered.flatten(1).any(1)
    assert float(covered.float().mean()) == pytest.approx(0.4, abs=0.11)
    for mask in altered[covered]:
        rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
        h, w = int(rows[-1] - rows[0] + 1), int(columns[-1] - columns[0] + 1)
        assert 5 <= min(h, w) <= max(h, w) <= 20
        assert mask.sum() == h * w


def test_blur_keeps_the_mean_and_takes_detail(changed):
    image = eight_bits(torch.rand(100, 1, 40, 40, generator=seeded()))
    after = changed(image, blur=0.5, blur_sigma=2.0)
    blurred = (after != image).flatten(1).any(1)
    assert 35 <= int(blurred.sum()) <= 65
    ratio = (after.flatten(1).std(1) / image.flatten(1).std(1))[blurred]
    assert ratio.min() < 0.25
    assert ratio.max() < 1
    torch.testing.assert_close(after.mean((1, 2, 3)), image.mean((1, 2, 3)), rtol=0, atol=0.02)


def test_low_resolution_takes_detail(changed):
    image = eight_bits(torch.rand(100, 1, 40, 40, generator=seeded()))
    after = changed(image, low_resolution=0.5)
    lowered = (after != image).flatten(1).any(1)
    assert 35 <= int(lowered.sum()) <= 65
    ratio = (after.flatten(1).std(1) / image.flatten(1).std(1))[lowered]
    assert 0.1 < ratio.min() < ratio.max() < 0.55  # means of 2 x 2 to 4 x 4 pixels, interpolated


@pytest.mark.parametrize("name", [*CHANGES, "all but noise"])
@pytest.mark.parametrize("channels", [1, 3])
def test_both_ways_make_the_same_changes_of_the_same_draws(name, channels):
    image = 0.2 + 0.6 * functional.interpolate(torch.rand(12, channels, 6, 6, generator=seeded()), 48, mode="bicubic")
    image = eight_bits(image.clamp(0.15, 0.85))  # nothing is cut
    settings = {key: value for key, value in CHANGES.items() if key != "noise"} if name[:3] == "all" else {name: 0.1}
    mild = ("brightness", "contrast", "gamma", "colour")
    settings |= {key: 0.05 for key in settings if key in mild}
    settings |= {key: 1.0 for key in ("occlusion", "blur", "low_resolution") if key in settings}
    augmentation = replace(STILL, **settings)
    in_floats = augmentation.change_pixels(image, seeded(3))
    levels = (image * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    augmentation.change_levels(levels, seeded(3))
    in_levels = torch.from_numpy(levels).permute(0, 3, 1, 2) / 255
    difference = (in_floats - in_levels).abs()
    if "occlusion" in settings:  # noise where an image would fill its own rectangle
        draws = PixelDraws.of(augmentation, 12, channels, (48, 48), seeded(3))
        difference = difference[draws.occluder[:, 6] != torch.arange(12)]
        assert len(difference) >= 6
    if name == "noise":
        spread = [(shown - image).flatten(1).std(1) for shown in (in_floats, in_levels)]
        torch.testing.assert_close(*spread, rtol=0.1, atol=0.0015)
        return
    assert difference.max() <= 3.5 / 255
    assert difference.mean() <= 0.6 / 255


def test_noise_is_normal_and_differs_from_image_to_image():
    image = torch.full((64, 3, 48, 48), 128 / 255)
    levels = (image * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    replace(STILL, noise=0.1).change_levels(levels, seeded())
    noise = (torch.from_numpy(levels).double() - 128).flatten(1)
    noise = noise[noise.std(1) > 8]
    scores = noise / noise.std(1, keepdim=True)
    assert scores.mean().abs() < 0.01
    for quantile, wanted in ((0.1587, -1.0), (0.5, 0.0), (0.8413, 1.0), (0.9772, 2.0)):
        assert float(scores.flatten().sort().values[int(quantile * scores.numel())]) == pytest.approx(wanted, abs=0.07)
    assert (torch.corrcoef(scores) - torch.eye(len(scores))).abs().max() < 0.08
    neighbours = (scores[:, 3:] * scores[:, :-3]).mean(1)
    assert neighbours.abs().max() < 0.05


# -- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mirror": 1.5}, r"augmentation\.mirror is 1\.5; a probability"),
        ({"occlusion": -0.1}, r"augmentation\.occlusion is -0\.1"),
        ({"blur": 2}, r"augmentation\.blur is 2"),
        ({"low_resolution": 1.01}, r"augmentation\.low_resolution is 1\.01"),
        ({"rotation": -1}, r"augmentation\.rotation is -1; it must not be negative"),
        ({"scale": -0.1}, r"augmentation\.scale is"),
        ({"noise": -0.1}, r"augmentation\.noise is"),
        ({"shift_unit": "pixels"}, r"augmentation\.shift_unit is 'pixels'; one of box, original_pixels"),
        ({"low_resolution_factor": 1.5}, r"augmentation\.low_resolution_factor is 1\.5; at least 2"),
        ({"occlusion_size": 1.2}, r"augmentation\.occlusion_size is 1\.2"),
        ({"scale_limits": (1.8, 0.3)}, r"augmentation\.scale_limits"),
        ({"scale_limits": (0.0, 1.8)}, r"augmentation\.scale_limits"),
    ],
)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**settings)
