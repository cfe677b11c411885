"""The four corruptions: what they do to pixels and visibilities, and that a face always meets the same one."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from canthus.data import corruptions
from canthus.data.augment import Augmentation
from canthus.data.batch import Batch, InputSpec, scale_pixels
from canthus.data.corruptions import CORRUPTIONS, SEVERITIES, Corruption, face_keys
from canthus.data.face import Face
from canthus.data.pixel_changes import shrink_and_enlarge
from canthus.data.readers import W300
from canthus.geometry.boxes import centred_box
from canthus.utils.errors import DataError

SIZE, BOX = 96, (24.0, 20.0, 72.0, 76.0)
FACE_SIZE = (48 * 56) ** 0.5


def some(count=6, channels=3, size=SIZE):
    """Textured pictures in 8-bit levels, every one with four points in its box."""
    random = torch.Generator().manual_seed(1)
    coarse = torch.rand(count, channels, 24, 24, generator=random)
    image = torch.nn.functional.interpolate(coarse, size=size, mode="bicubic").clamp(0, 1)
    points = torch.tensor([[34.0, 36.0], [62.0, 36.0], [48.0, 50.0], [48.0, 66.0]])
    return Batch(
        image=(image * 255).round() / 255,
        landmarks=points.repeat(count, 1, 1),
        visibility=torch.full((count, 4), 2, dtype=torch.uint8),
        box=torch.tensor(BOX).repeat(count, 1),
        to_original=torch.eye(2, 3).repeat(count, 1, 1),
        index=torch.arange(count),
    )


def names(count=6):
    return [f"part|{number:03d}|a.jpg|0" for number in range(count)]


def row(batch, number):
    return Batch(**{field: value[number : number + 1] for field, value in batch.items()})


def facts(name):
    path = corruptions.resources.files("canthus.data") / "corruptions.yaml"
    return yaml.safe_load(path.read_text())["severities"][name]


# -- what all have in common -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_pictures_change_within_range_and_nothing_moves(name, severity, channels):
    batch = some(channels=channels)
    before = {field: value.clone() for field, value in batch.items()}
    after = Corruption(name, severity)(batch, names())
    image = after["image"]
    assert (image.shape, image.dtype) == (before["image"].shape, torch.float32)
    assert image.min() >= 0
    assert image.max() <= 1
    torch.testing.assert_close(image * 255, (image * 255).round(), rtol=0, atol=1e-4)  # levels of a file
    if severity > 1 or name in ("occlusion", "lighting"):  # the mildest blur of a face this small rounds to nothing
        assert (image - before["image"]).abs().flatten(1).amax(1).min() > 0.003
    for field in ("landmarks", "box", "to_original", "index"):
        assert torch.equal(after[field], before[field]), field
    for field, value in before.items():
        assert torch.equal(batch[field], value), f"{field} of the caller was changed"
    if name != "occlusion":
        assert torch.equal(after["visibility"], before["visibility"])


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_severity_changes_every_picture_more_than_the_one_before(name):
    batch = some(count=12)
    changes = [
        (Corruption(name, severity)(batch, names(12))["image"] - batch["image"]).square().flatten(1).mean(1)
        for severity in SEVERITIES
    ]
    for weaker, stronger in itertools.pairwise(changes):
        assert (stronger > weaker).all()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_face_looks_the_same_in_every_batch(name):
    batch, corruption = some(), Corruption(name, 4)
    together = corruption(batch, names())["image"]
    assert torch.equal(together, corruption(batch, names())["image"])
    for number in (0, 5):
        alone = corruption(row(batch, number), names()[number : number + 1])["image"]
        torch.testing.assert_close(alone[0], together[number], rtol=0, atol=1e-6)
    order = [4, 1, 5, 0, 2, 3]
    shuffled = Batch(**{field: value[order] for field, value in batch.items()})
    again = corruption(shuffled, [names()[i] for i in order])["image"]
    torch.testing.assert_close(again, together[order], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["occlusion", "lighting", "blur"])
def test_faces_and_seeds_differ(name):
    batch = row(some(), 0)
    shown = [Corruption(name, 3)(batch, [key])["image"] for key in names()]
    assert len({image.numpy().tobytes() for image in shown}) > 1
    others = [Corruption(name, 3, seed)(batch, names()[:1])["image"] for seed in range(8)]
    assert len({image.numpy().tobytes() for image in others}) > 1


def test_the_global_generator_is_left_alone():
    before = torch.random.get_rng_state()
    Corruption("occlusion", 2)(some(), names())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_draws_are_pinned():
    """Published tables rest on them: a change here changes every figure."""
    seed = corruptions._seed(0, "blur", "afw|afw/1|1.jpg|0")
    assert seed == 7861081313231640731
    draws = corruptions._uniform([seed, 7], 2)
    torch.testing.assert_close(
        draws,
        torch.tensor([[0.8352287411689758, 0.8912822008132935], [0.5349225401878357, 0.19880318641662598]]),
        rtol=0,
        atol=1e-4,
    )


# -- one by one ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("severity", SEVERITIES)
def test_occluders_are_squares_on_a_landmark_of_the_area_asked_for(severity):
    batch = some(count=20)
    after = Corruption("occlusion", severity)(batch, names(20))
    side = (facts("occlusion")["area"][severity - 1] ** 0.5) * FACE_SIZE
    for number in range(20):
        altered = (after["image"][number] != batch["image"][number]).any(0)
        rows, columns = altered.any(1).nonzero().flatten(), altered.any(0).nonzero().flatten()
        middle = torch.tensor([(columns[0] + columns[-1]) / 2, (rows[0] + rows[-1]) / 2])
        assert float(columns[-1] - columns[0] + 1) == pytest.approx(side, abs=1.5)
        assert float(rows[-1] - rows[0] + 1) == pytest.approx(side, abs=1.5)
        assert (batch["landmarks"][number] - middle).norm(dim=1).min() < 1.5
        inside = ((batch["landmarks"][number] - middle).abs() < side / 2 - 1).all(1)
        outside = ((batch["landmarks"][number] - middle).abs() > side / 2 + 1).any(1)
        assert (after["visibility"][number][inside] == 1).all()
        assert (after["visibility"][number][outside] == 2).all()
        assert inside.any()


def test_occluders_are_grey_or_textured_and_grey_models_see_them_too():
    def inside(channels):
        after = Corruption("occlusion", 3)(some(40, channels), names(40))
        return [
            image[:, mask]
            for image, mask in zip(after["image"], (after["image"] != some(40, channels)["image"]).any(1), strict=True)
        ]

    coloured, grey = inside(3), inside(1)
    plain = [bool(pixels.std() < 1e-6) for pixels in grey]
    assert 10 <= sum(plain) <= 30
    for one, other, flat in zip(coloured, grey, plain, strict=True):
        assert bool(one.std() < 1e-6) == flat
        assert float(one.mean()) == pytest.approx(float(other.mean()), abs=0.08)


def test_unlabelled_points_carry_no_occluder_and_stay_unlabelled():
    batch = some(count=30)
    batch["visibility"][:, :3] = 0
    batch["landmarks"][:, :2] = 0
    batch["landmarks"][:, 2] = batch["landmarks"][:, 3] + torch.tensor([1.0, -1.0])  # under the occluder, but no label
    after = Corruption("occlusion", 1)(batch, names(30))
    changed = (after["image"] != batch["image"]).any(1)
    assert changed[:, 65, 49].float().mean() > 0.9  # where the unlabelled point lies
    assert (after["visibility"][:, :3] == 0).all()
    assert (after["visibility"][:, 3] == 1).all()  # the only point there is
    batch["visibility"][:] = 0
    altered = (Corruption("occlusion", 1)(batch, names(30))["image"] != batch["image"]).any(1)
    rows = altered.any(2).float().argmax(1)
    assert rows.unique().numel() > 5  # anywhere in the box, not all in one place
    assert rows.min() > BOX[1] - FACE_SIZE / 4


def test_naturally_occluded_points_stay_so():
    batch = some()
    batch["visibility"][:] = 1
    assert (Corruption("occlusion", 5)(batch, names())["visibility"] == 1).all()


@pytest.mark.parametrize("size", [64, 96, 160])
def test_low_resolution_leaves_the_detail_of_a_small_face_whatever_the_input(size):
    """A pattern finer than the pixels that are left disappears, a coarser one stays."""
    scale = size / SIZE
    x = torch.arange(size).float() / scale  # pixels of a 96 pixel input
    kept = {}
    for period in (4.0, 24.0):
        batch = some(count=1, size=size)
        batch["box"] = batch["box"] * scale
        batch["image"] = (0.5 + 0.5 * torch.sin(2 * torch.pi * x / period)).expand(1, 3, size, size).contiguous()
        after = Corruption("low_resolution", 5)(batch, names(1))["image"]
        kept[period] = float(after.std() / batch["image"].std())
    assert kept[4.0] < 0.15
    assert kept[24.0] > 0.7


@pytest.mark.parametrize("side", [95, 70, 41, 23])
def test_shrinking_moves_nothing(side):
    """A ramp of one level a pixel stays where it is, away from the borders, whether or not the sides divide."""
    ramp = torch.arange(96.0).expand(1, 1, 96, 96)
    for image in (ramp, ramp.mT):
        after = shrink_and_enlarge(image, side, "bicubic")
        torch.testing.assert_close(after[..., 12:-12, 12:-12], image[..., 12:-12, 12:-12], rtol=0, atol=0.2)


def test_low_resolution_does_nothing_to_inputs_that_show_less_anyway():
    batch = some(size=32)
    batch["box"] = batch["box"] / 3
    assert torch.equal(Corruption("low_resolution", 3)(batch, names())["image"], batch["image"])


def test_lighting_is_dark_or_bright_whole_or_one_sided_and_keeps_black_and_white():
    batch = some(count=60)
    batch["image"] = torch.full_like(batch["image"], 128 / 255)
    batch["image"][..., 0, 0], batch["image"][..., 0, 1] = 0, 1
    image = Corruption("lighting", 5)(batch, names(60))["image"]
    assert (image[..., 0, 0] == 0).all()
    assert (image[..., 0, 1] == 1).all()
    face = image[:, 0, 20:77, 24:73]
    low, high = face.flatten(1).amin(1), face.flatten(1).amax(1)
    dark, bright, flat = high < 0.52, low > 0.48, high - low < 1e-3
    assert (dark ^ bright).all()
    for kind in (dark & flat, dark & ~flat, bright & flat, bright & ~flat):
        assert 5 <= int(kind.sum()) <= 28
    assert float(low[dark & flat].mean()) == pytest.approx((128 / 255) ** 4, abs=0.01)
    assert float(high[bright & flat].mean()) == pytest.approx((128 / 255) ** 0.25, abs=0.01)
    for one_sided in face[~flat]:  # one side as it was, the other in full
        assert (one_sided - 128 / 255).abs().min() < 0.02
        assert (one_sided - 128 / 255).abs().max() > 0.25


@pytest.mark.parametrize("size", [96, 192])
def test_blurs_keep_light_and_centre_and_grow_with_the_face(size):
    scale = size / SIZE
    batch = some(count=30, size=size)
    batch["box"] = batch["box"] * scale
    middle = size // 2
    image = torch.zeros(30, 3, size, size)
    image[:, :, middle, middle] = 1
    x = torch.arange(size) - middle + 0.0
    spreads = []
    for single in range(30):
        batch["image"] = image
        draws = [corruptions._seed(0, "blur", names(30)[single])]
        shown = corruptions._blur(
            row(dict(batch) | {"image": image.clone()}, single),
            draws,
            **{key: steps[4] for key, steps in facts("blur").items()},
        )
        spread = shown["image"][0, 0]
        assert float(spread.sum()) == pytest.approx(1, abs=1e-4)
        assert float((spread * x).sum()) == pytest.approx(0, abs=0.02)
        assert float((spread * x[:, None]).sum()) == pytest.approx(0, abs=0.02)
        spreads.append(float((spread * (x.square() + x[:, None].square())).sum()) ** 0.5 / scale)
    unit = FACE_SIZE * 1.25 / 224
    gaussian, defocus = 6 * unit * 2**0.5, 10 * unit / 2**0.5
    near = [min(abs(s - gaussian) / gaussian, abs(s - defocus) / defocus) < 0.15 for s in spreads]
    assert sum(near) >= 10  # the rest is motion
    assert min(spreads) > 1


# -- through the data module -----------------------------------------------------------------------------------------


def shown(module, split="test", *, augment=False):
    loader = {"train": module.train_dataloader, "val": module.val_dataloader, "test": module.test_dataloader}[split]()
    return [module.to_input(batch, split, augment=augment) for batch in loader]


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_batch_size_and_copies_of_rows_make_no_difference(name, dot_module):
    large = shown(dot_module(stage="test", batch_size=6, corruption=name, severity=4))
    small = shown(dot_module(stage="test", batch_size=5, corruption=name, severity=4))
    for field in ("image", "visibility"):
        one, other = (torch.cat([batch[field] for batch in batches]) for batches in (large, small))
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_severities_are_counted_before_the_pixel_scaling(dot_module):
    unit, signed = (
        shown(
            dot_module(
                stage="test", corruption="lighting", severity=3, input=InputSpec(64, 3, centred_box(64, 0.5), scaling)
            )
        )
        for scaling in ("unit", "signed")
    )
    for plain, scaled in zip(unit, signed, strict=True):
        torch.testing.assert_close(scale_pixels(plain["image"], "signed"), scaled["image"], rtol=0, atol=1e-5)


def test_training_faces_are_never_corrupted(dot_module):
    for augmentation in (None, Augmentation(noise=0.1)):
        plain = dot_module(stage="fit", augmentation=augmentation)
        corrupted = dot_module(stage="fit", augmentation=augmentation, corruption="occlusion", severity=5)
        for module in (plain, corrupted):
            module._random.manual_seed(0)
        for one, other in zip(
            shown(plain, "train", augment=True), shown(corrupted, "train", augment=True), strict=True
        ):
            assert torch.equal(one["image"], other["image"])
        for one, other in zip(shown(plain, "val"), shown(corrupted, "val"), strict=True):
            assert not torch.equal(one["image"], other["image"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"corruption": "blurr", "severity": 3}, "no corruption 'blurr'; did you mean 'blur'"),
        ({"corruption": "lowres", "severity": 3}, "did you mean 'low_resolution'"),
        ({"corruption": "blur"}, r"data\.severity is None; a whole number from 1 to 5"),
        ({"corruption": "blur", "severity": 0}, r"data\.severity is 0;"),
        ({"corruption": "blur", "severity": 6}, r"data\.severity is 6;"),
        ({"corruption": "blur", "severity": 2.5}, r"data\.severity is 2\.5;"),
        ({"corruption": "blur", "severity": True}, r"data\.severity is True;"),
        ({"severity": 3}, r"data\.severity is 3 but there is no data\.corruption"),
    ],
)
def test_wrong_settings_are_named(settings, message, dot_module):
    with pytest.raises(DataError, match=message):
        dot_module(**settings)


def test_keys_do_not_depend_on_folders_or_on_which_faces_are_kept():
    def face(root, name):
        points = np.array([[0.0, 0.0], [1.0, 1.0]])
        return Face(
            Path(root) / name, points, np.full(2, 2, np.uint8),
            np.array([0.0, 0, 1, 1]), "5", photo=f"afw/{name}", part="afw",
        )  # fmt: skip

    first = face_keys([face("/a", "1.jpg"), face("/a", "1.jpg"), face("/a", "2.jpg")])
    second = face_keys([face("/b", "2.jpg"), face("/b", "1.jpg"), face("/b", "1.jpg")])
    assert len(set(first)) == 3
    assert sorted(first) == sorted(second)


def test_real_faces_under_every_corruption(real_data, tmp_path):
    from canthus.data.datamodule import FaceDataModule

    reader = W300(real_data / "300w", allow_partial=True)
    reader_faces = reader.faces(["afw"])[:12]
    reader.faces = lambda parts: reader_faces
    module = FaceDataModule(
        InputSpec(112, 3, centred_box(112, 0.5)), reader, "w300", test_parts=["afw"], cache=tmp_path
    )
    module.setup("test")
    clean = shown(module)[0]
    for name in CORRUPTIONS:
        changes = []
        for severity in SEVERITIES:
            module.corruption = Corruption(name, severity)
            (batch,) = shown(module)
            changes.append(float((batch["image"] - clean["image"]).square().mean()))
            assert torch.equal(batch["landmarks"], clean["landmarks"])
        assert changes == sorted(changes)
        assert changes[-1] > 2 * changes[0]


def test_faces_too_small_for_a_severity_are_known():
    """Severity 3 leaves 16 pixels between the eyes, 0.63 of the face's size: faces of 25.4 pixels."""
    box, originals = torch.tensor(BOX)[None].repeat(3, 1), torch.tensor([[0.0, 0, s, s] for s in (20, 25, 26)])
    smaller = Corruption("low_resolution", 3).already_smaller
    assert smaller(box, SIZE, originals).tolist() == [True, True, False]
    assert smaller(box / 3, SIZE // 3, originals * 10).all()  # the input shows less than that
    assert Corruption("blur", 3).already_smaller(box, SIZE, originals) is None
