import math
from dataclasses import replace

import pytest
import torch

from canthus.data.augment import Augmentation, permute_mirrored
from canthus.data.batch import Batch, InputSpec, input_to_store
from canthus.geometry import affine, boxes
from canthus.schemes import load_scheme

# there may be no GPU to pin for
pytestmark = pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning")

STILL = Augmentation(mirror=0, rotation=0, scale=0, shift=0)
FLIP = list(load_scheme("5").flip)
SPEC = InputSpec(100, 3, (20.0, 30.0, 80.0, 70.0))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def store_batch(count, side=300.0):
    """Faces of 30 px in the store and ``side`` px in the image."""
    to_original = affine.identity(count)
    to_original[:, [0, 1], [0, 1]] = side / 30
    return Batch(
        image=torch.empty(0),
        landmarks=torch.zeros(count, 5, 2),
        visibility=torch.full((count, 5), 2),
        box=torch.tensor([[30.0, 30.0, 60.0, 60.0]]).expand(count, 4),
        to_original=to_original,
        index=torch.arange(count),
    )


def drawn(augmentation, count=20000, **options):
    """Angle, scale and shift (of the reference box's centre) of many draws, and whether each is a mirror image."""
    matrix, mirrored = augmentation.draw(store_batch(count, **options), SPEC, seeded())
    centre = boxes.centre(SPEC.reference)
    shift = affine.apply(matrix, centre.expand(count, 1, 2))[:, 0] - centre
    scale = torch.linalg.vector_norm(matrix[:, :, 1], dim=-1)
    angle = torch.atan2(-matrix[:, 0, 1], matrix[:, 1, 1])
    return angle, scale, shift, mirrored, matrix


# -- draws -----------------------------------------------------------------------------------------------------------


def test_without_changes_the_perturbation_is_the_identity():
    *_, mirrored, matrix = drawn(STILL, 50)
    torch.testing.assert_close(matrix, affine.identity(50), rtol=0, atol=1e-5)
    assert not mirrored.any()


def test_angles_have_the_deviation_asked_for():
    angle, scale, shift, *_ = drawn(replace(STILL, rotation=20.0))
    assert math.degrees(angle.std()) == pytest.approx(20, abs=0.4)  # four standard errors
    assert math.degrees(angle.mean()) == pytest.approx(0, abs=0.6)
    assert (scale - 1).abs().max() < 1e-5
    assert shift.abs().max() < 1e-4


def test_scales_are_normal_within_limits():
    angle, scale, *_ = drawn(replace(STILL, scale=0.25))
    assert float(scale.mean()) == pytest.approx(1, abs=0.008)
    assert float(scale.std()) == pytest.approx(0.25, abs=0.006)
    assert float(scale.min()) == pytest.approx(0.3, abs=1e-5)
    assert float(scale.max()) == pytest.approx(1.8, abs=1e-5)
    assert angle.abs().max() < 1e-5
    *_, tight = drawn(replace(STILL, scale=0.25, scale_limits=(0.9, 1.1)))
    assert 0.9 - 1e-5 < tight[:, 0, 0].min() < tight[:, 0, 0].max() < 1.1 + 1e-5


def test_shifts_are_a_share_of_the_boxs_sides():
    _, _, shift, *_ = drawn(replace(STILL, shift=0.2))
    assert float(shift[:, 0].std()) == pytest.approx(0.2 * 60, abs=0.25)
    assert float(shift[:, 1].std()) == pytest.approx(0.2 * 40, abs=0.17)
    assert abs(float(torch.corrcoef(shift.T)[0, 1])) < 0.03
    _, _, larger, *_ = drawn(replace(STILL, shift=0.2), side=3000.0)
    assert torch.equal(larger, shift)  # the size of the image does not matter


@pytest.mark.parametrize("side", [50.0, 300.0, 1000.0])
def test_shifts_in_original_pixels_are_small_for_large_faces(side):
    _, _, shift, *_ = drawn(replace(STILL, shift=0.2, shift_unit="original_pixels"), side=side)
    # computed on the input, 12 and 8 pixels, and applied to the image; a face of `side` is shown with
    # 48, by the mean of the ratios 30 / 60 and 30 / 40
    assert float(shift[:, 0].std()) == pytest.approx(12 * 48 / side, rel=0.02)
    assert float(shift[:, 1].std()) == pytest.approx(8 * 48 / side, rel=0.02)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_mirror_images_come_with_their_probability(share):
    *_, mirrored, matrix = drawn(replace(STILL, mirror=share))
    assert float(mirrored.float().mean()) == pytest.approx(share, abs=0.015 if share == 0.3 else 0)
    determinant = matrix[:, 0, 0] * matrix[:, 1, 1] - matrix[:, 0, 1] * matrix[:, 1, 0]
    assert torch.equal(determinant < 0, mirrored)


def test_a_draw_changes_the_placement_not_the_choice_of_pixels_in_the_store():
    box = store_batch(3)["box"]
    placed = input_to_store(box, SPEC)
    # centres meet; 30 store pixels to 60 and 40 input pixels, on average
    centre = affine.apply(placed, boxes.centre(SPEC.reference).expand(3, 1, 2))
    torch.testing.assert_close(centre, torch.full((3, 1, 2), 45.0), rtol=0, atol=1e-5)
    assert placed[0, 0, 0] == pytest.approx((30 / 60 + 30 / 40) / 2)
    shifted = input_to_store(box, SPEC, affine.translation(torch.tensor([[4.0, 0.0]]).expand(3, 2)))
    moved = affine.apply(shifted, torch.zeros(3, 1, 2)) - affine.apply(placed, torch.zeros(3, 1, 2))
    torch.testing.assert_close(moved, torch.tensor([2.5, 0.0]).expand(3, 1, 2), rtol=0, atol=1e-5)


# -- pixels and points -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def strong():
    return Augmentation(mirror=0.5, rotation=30.0, scale=0.25, shift=0.2)


def loaded(module, trainer, device="cpu"):
    """All test faces as the loader gives them, for a CPU or as for a GPU."""
    module.trainer = trainer(device=device, testing=True)
    module.batch_size = 12
    return next(iter(module.test_dataloader()))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_landmarks_follow_the_pixels(device, dot_module, dots, stub_trainer, strong):
    find_dot, colours = dots
    module = dot_module(stage="test", augmentation=strong)
    faces, batch = module.faces("test"), loaded(module, stub_trainer, device)
    assert bool(batch["image"].numel()) == (device != "cpu")
    checked, mirror_images = 0, 0
    for _ in range(4):
        shown = module.to_input(batch, "test", augment=True)
        linear = shown["to_original"][:, :, :2]
        mirrored = torch.linalg.det(linear) < 0
        mirror_images += int(mirrored.sum())
        for i, points in enumerate(shown["landmarks"]):
            order = FLIP if mirrored[i] else list(range(5))
            original = torch.from_numpy(faces[i].landmarks)[order].float()
            back = affine.apply(shown["to_original"][i : i + 1], points[None])[0]
            torch.testing.assert_close(back, original, rtol=0, atol=1e-2)
            radius = 0.35 * float(torch.pdist(points).min())
            for point, colour in zip(points, colours[order], strict=True):
                if (point < radius).any() or (point > 63 - radius).any():
                    continue
                place, seen = find_dot(shown["image"][i], point, radius)
                assert (place - point).norm() < 0.2
                assert (seen - colour).abs().max() < 0.1
                checked += 1
    assert checked > 120
    assert 10 < mirror_images < 38


def test_the_same_seed_gives_the_same_batch_on_both_paths(dot_module, stub_trainer, strong):
    module = dot_module(stage="test", augmentation=strong)
    host, device = loaded(module, stub_trainer), loaded(module, stub_trainer, "cuda")
    shown = []
    for batch in (host, device):
        module._random.manual_seed(5)
        shown.append(module.to_input(batch, "test", augment=True))
    assert (shown[0]["image"] - shown[1]["image"]).abs().max() <= 1.01 / 255
    for field in ("landmarks", "visibility", "box", "to_original", "index"):
        assert torch.equal(shown[0][field], shown[1][field])


def test_a_mirror_image_is_the_flipped_picture(dot_module, stub_trainer):
    plain, mirrored = (
        dot_module(stage="test", augmentation=replace(STILL, mirror=probability)) for probability in (0.0, 1.0)
    )
    for module in (plain, mirrored):
        module.setup("test")
    batch = loaded(plain, stub_trainer)
    batch["visibility"] = torch.tensor([2, 1, 2, 0, 1], dtype=torch.uint8).expand(12, 5)
    before, after = plain.to_input(batch, "test", augment=True), mirrored.to_input(batch, "test", augment=True)
    assert (after["image"].flip(-1) - before["image"]).abs().max() < 2 / 255
    expected = before["landmarks"][:, FLIP] * torch.tensor([-1, 1]) + torch.tensor([63, 0])  # x -> W - 1 - x
    torch.testing.assert_close(after["landmarks"], expected, rtol=0, atol=1e-4)
    assert after["visibility"][0].tolist() == [1, 2, 2, 1, 0]
    x1, y1, x2, y2 = before["box"].T
    torch.testing.assert_close(after["box"], torch.stack([63 - x2, y1, 63 - x1, y2], -1), rtol=0, atol=1e-4)
    assert (after["image"] - before["image"]).abs().max() > 0.5  # the faces are not symmetric


def test_mirroring_twice_is_the_identity(dot_module, stub_trainer):
    module = dot_module(stage="test", augmentation=replace(STILL, mirror=1.0))
    batch = loaded(module, stub_trainer, "cuda")
    once = module.to_input(batch, "test", augment=True)
    # the mirror image as the store of a second showing, whose crop is the frame itself
    module.input = replace(module.input, reference_box=(0.0, 0.0, 63.0, 63.0))
    again = Batch(**once)
    again["image"] = (once["image"] * 255).permute(0, 2, 3, 1)
    again["box"] = module.input.reference.expand(12, 4)
    twice = module.to_input(again, "test", augment=True)
    module.input = replace(module.input, reference_box=boxes.centred_box(64, 0.5))
    plain = module.to_input(batch, "test", augment=False)
    assert (twice["image"] - plain["image"]).abs().max() < 1e-3
    for field in ("landmarks", "visibility", "to_original"):
        torch.testing.assert_close(twice[field], plain[field], rtol=0, atol=1e-3)
    assert (once["landmarks"] - plain["landmarks"]).abs().max() > 1


def test_only_mirrored_rows_are_permuted_and_twice_is_the_identity():
    values, flags = torch.arange(20.0).reshape(2, 5, 2), torch.tensor([True, False])
    once = permute_mirrored(values, flags, FLIP)
    assert torch.equal(once[0], values[0][[1, 0, 2, 4, 3]])
    assert torch.equal(once[1], values[1])
    assert torch.equal(permute_mirrored(once, flags, FLIP), values)


# -- seeds -----------------------------------------------------------------------------------------------------------


def shown_in(module, trainer, *, epoch=0, rank=0, training=True):
    batch = next(iter(module.train_dataloader() if training else module.val_dataloader()))
    module.trainer = trainer(training=training, epoch=epoch, rank=rank)
    return module.on_after_batch_transfer(batch, 0)


def everything_on():
    return Augmentation(
        brightness=0.2, contrast=0.3, gamma=0.4, colour=0.2, noise=0.1, occlusion=0.5, blur=0.5, low_resolution=0.5
    )


def test_the_same_seed_gives_the_same_batch(dot_module, stub_trainer):
    first, second = (
        shown_in(dot_module(stage="fit", augmentation=everything_on(), seed=7), stub_trainer) for _ in range(2)
    )
    assert all(torch.equal(first[field], second[field]) for field in first)


@pytest.mark.parametrize("change", [{"epoch": 1}, {"rank": 1}])
def test_another_epoch_or_process_gives_another_batch(change, dot_module, stub_trainer):
    first = shown_in(dot_module(stage="fit", augmentation=everything_on()), stub_trainer)
    second = shown_in(dot_module(stage="fit", augmentation=everything_on()), stub_trainer, **change)
    assert torch.equal(first["index"], second["index"])
    assert (first["landmarks"] - second["landmarks"]).flatten(1).abs().amax(1).min() > 0.1


def test_another_seed_gives_another_batch(dot_module, stub_trainer):
    first, second = (
        shown_in(dot_module(stage="fit", augmentation=everything_on(), seed=seed), stub_trainer) for seed in (0, 1)
    )
    assert first["index"].tolist() != second["index"].tolist()
    assert not torch.equal(first["to_original"], second["to_original"])


def test_a_face_changes_from_one_showing_to_the_next(dot_module, stub_trainer):
    module = dot_module(stage="fit", augmentation=everything_on())
    batch = next(iter(module.train_dataloader()))
    module.trainer = stub_trainer(training=True)
    first, second = (module.on_after_batch_transfer(batch, 0) for _ in range(2))
    assert (first["landmarks"] - second["landmarks"]).flatten(1).abs().amax(1).min() > 0.1


def test_an_epoch_does_not_depend_on_the_ones_before(dot_module, stub_trainer):
    """So that a resumed run sees what the first would have seen."""
    whole, resumed = (dot_module(stage="fit", augmentation=everything_on()) for _ in range(2))
    batch = next(iter(whole.train_dataloader()))
    for epoch in range(3):
        whole.trainer = stub_trainer(training=True, epoch=epoch)
        last = whole.on_after_batch_transfer(batch, 0)
    resumed.trainer = stub_trainer(training=True, epoch=2)
    assert torch.equal(last["image"], resumed.on_after_batch_transfer(batch, 0)["image"])


def test_validation_shows_faces_as_they_are(dot_module, stub_trainer):
    changed, plain = (dot_module(stage="fit", augmentation=augmentation) for augmentation in (everything_on(), None))
    first, second = (shown_in(module, stub_trainer, training=False) for module in (changed, plain))
    again = shown_in(changed, stub_trainer, training=False, epoch=3)
    for field in first:
        assert torch.equal(first[field], second[field])
        assert torch.equal(first[field], again[field])


def test_training_without_augmentation_shows_faces_as_they_are(dot_module, stub_trainer):
    module = dot_module(stage="fit", augmentation=None)
    batch = next(iter(module.train_dataloader()))
    module.trainer = stub_trainer(training=True)
    shown = module.on_after_batch_transfer(batch, 0)
    assert torch.equal(shown["image"], module.to_input(batch, "train", augment=False)["image"])
