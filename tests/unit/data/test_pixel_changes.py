import math
from dataclasses import replace

import pytest
import torch

from canthus.data.augment import Augmentation

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
    return background + 0.5 * dot


def changed(image, seed=0, **settings):
    return replace(STILL, **settings).change_pixels(image, seeded(seed))


def test_nothing_changes_when_everything_is_off():
    image = torch.rand(4, 3, 16, 16, generator=seeded())
    assert torch.equal(changed(image), image)


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_changes_every_picture_and_only_pixels(name):
    image = pictures()
    before = image.clone()
    after = changed(image, **{name: CHANGES[name]})
    assert (after.shape, after.dtype) == (image.shape, image.dtype)
    assert (after - image).abs().flatten(1).amax(1).min() > 1e-5
    assert torch.equal(image, before)
    assert torch.equal(after, changed(image, **{name: CHANGES[name]}))
    assert not torch.equal(after, changed(image, seed=1, **{name: CHANGES[name]}))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", [*CHANGES, "all"])
def test_the_range_is_kept(name, channels):
    image = torch.rand(8, channels, 32, 32, generator=seeded()).round(decimals=1)
    settings = CHANGES if name == "all" else {name: 5.0 if CHANGES[name] < 1 else 1.0}
    after = changed(image, **settings)
    assert after.isfinite().all()
    assert after.min() >= 0
    assert after.max() <= 1


@pytest.mark.parametrize("name", ["brightness", "contrast", "gamma", "colour", "blur", "low_resolution"])
def test_no_change_of_pixels_moves_a_dot(name, dots):
    find_dot, _ = dots
    # without a background, which a bent scale of greys would weigh differently
    image = (pictures(channels=1) - pictures(channels=1)[..., :1, :1]).clamp(0, 1).expand(-1, 3, -1, -1)
    if name == "brightness":
        image = 0.3 + 0.4 * image  # nothing is cut at 0 or 1
    after = changed(image, **{name: CHANGES[name]})
    for picture in after - after[..., :1, :1]:
        place, _ = find_dot(picture.clamp_min(0), (20.3, 28.6), 14)
        assert (place - torch.tensor([20.3, 28.6])).norm() < 0.2


def test_brightness_adds_one_number_per_picture():
    after = changed(torch.full((200, 3, 4, 4), 0.5), brightness=0.3) - 0.5
    assert (after - after[:, :1, :1, :1]).abs().max() < 1e-6
    values = after[:, 0, 0, 0]
    assert -0.3 <= values.min() < -0.27
    assert 0.27 < values.max() <= 0.3


def test_contrast_keeps_the_mean():
    image = 0.4 + 0.2 * torch.rand(100, 3, 8, 8, generator=seeded())
    after = changed(image, contrast=0.5)
    torch.testing.assert_close(after.mean((1, 2, 3)), image.mean((1, 2, 3)), rtol=0, atol=1e-5)
    factor = after.flatten(1).std(1) / image.flatten(1).std(1)
    assert 0.5 <= factor.min() < 0.55
    assert 1.45 < factor.max() <= 1.5


def test_gamma_keeps_black_and_white():
    after = changed(torch.tensor([0.0, 0.25, 1.0]).expand(200, 1, 1, 3), gamma=1.0)
    black, middle, white = after[:, 0, 0].T
    assert (black == 0).all()  # what lies outside the image stays what evaluation shows there
    assert (white == 1).all()
    exponent = middle.log() / math.log(0.25)
    assert 0.5 <= exponent.min() < 0.52
    assert 1.92 < exponent.max() <= 2
    assert float(exponent.log().mean()) == pytest.approx(0, abs=0.12)  # log-uniform: as often brighter as darker


def test_colour_changes_each_channel_alone_and_no_grey_picture():
    image = torch.full((50, 3, 4, 4), 0.5)
    factor = changed(image, colour=0.3) / image
    assert (factor - factor[..., :1, :1]).abs().max() < 1e-6
    assert factor.min() >= 0.7
    assert factor.max() <= 1.3
    assert factor[:, :, 0, 0].std(1).min() > 1e-3
    assert torch.equal(changed(image[:, :1], colour=0.3), image[:, :1])


def test_noise_has_up_to_the_deviation_asked_for():
    deviation = (changed(torch.full((100, 1, 40, 40), 0.5), noise=0.1) - 0.5).flatten(1).std(1)
    assert 0.09 < deviation.max() < 0.105
    assert deviation.min() < 0.01


def test_occluders_are_rectangles_of_at_most_the_size_asked_for():
    image = torch.linspace(0.1, 0.9, 300)[:, None, None, None].expand(300, 3, 50, 50)
    altered = (changed(image, occlusion=0.4) != image).any(1)
    covered = altered.flatten(1).any(1)
    assert float(covered.float().mean()) == pytest.approx(0.4, abs=0.11)
    for mask in altered[covered]:
        rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
        h, w = int(rows[-1] - rows[0] + 1), int(columns[-1] - columns[0] + 1)
        assert 5 <= min(h, w) <= max(h, w) <= 20
        assert mask.sum() == h * w


def test_blur_keeps_the_mean_and_takes_detail():
    image = torch.rand(100, 1, 40, 40, generator=seeded())
    after = changed(image, blur=0.5, blur_sigma=2.0)
    blurred = (after != image).flatten(1).any(1)
    assert 35 <= int(blurred.sum()) <= 65
    ratio = (after.flatten(1).std(1) / image.flatten(1).std(1))[blurred]
    assert ratio.min() < 0.25
    assert ratio.max() < 1
    torch.testing.assert_close(after.mean((1, 2, 3)), image.mean((1, 2, 3)), rtol=0, atol=0.02)


def test_low_resolution_takes_detail():
    image = torch.rand(100, 1, 40, 40, generator=seeded())
    after = changed(image, low_resolution=0.5)
    lowered = (after != image).flatten(1).any(1)
    assert 35 <= int(lowered.sum()) <= 65
    ratio = (after.flatten(1).std(1) / image.flatten(1).std(1))[lowered]
    assert 0.1 < ratio.min() < ratio.max() < 0.55  # means of 2 x 2 to 4 x 4 pixels, interpolated


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
