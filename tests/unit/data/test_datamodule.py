import dataclasses

import numpy as np
import pytest
import torch

from canthus.data.augment import Augmentation
from canthus.data.batch import InputSpec
from canthus.data.readers import W300
from canthus.geometry import affine, boxes
from canthus.schemes import load_scheme, reduce_landmarks
from canthus.utils.errors import DataError

# there may be no GPU to pin for
pytestmark = pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning")

FIELDS = {
    "image": ((3, 64, 64), torch.float32),
    "landmarks": ((5, 2), torch.float32),
    "visibility": ((5,), torch.uint8),
    "box": ((4,), torch.float32),
    "to_original": ((2, 3), torch.float32),
    "index": ((), torch.int64),
}


def shown(module, split, *, augment=False):
    """Every face of a split, in batches, as the model would see it."""
    loader = {"train": module.train_dataloader, "val": module.val_dataloader, "test": module.test_dataloader}[split]()
    return [module.to_input(batch, split, augment=augment) for batch in loader]


def originals(faces, batch):
    return torch.from_numpy(np.stack([faces[i].landmarks for i in batch["index"]])).float()


# -- batches ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stage", "split"), [("fit", "train"), ("fit", "val"), ("test", "test")])
def test_the_contract_of_a_batch(stage, split, dot_module):
    module = dot_module(stage=stage, augmentation=Augmentation())
    batches = shown(module, split, augment=split == "train")
    for batch in batches:
        assert set(batch) == set(FIELDS)
        for field, (shape, dtype) in FIELDS.items():
            assert batch[field].shape == (6, *shape), field
            assert batch[field].dtype == dtype, field
        assert batch["image"].min() >= 0
        assert 0.5 < batch["image"].max() <= 1
    assert len(batches) == {"train": 3, "val": 1, "test": 2}[split]


@pytest.mark.parametrize(("split", "augment"), [("train", True), ("train", False), ("val", False)])
def test_points_and_map_lead_back_to_the_readers_pixels(split, augment, dot_module):
    module = dot_module(stage="fit", augmentation=Augmentation(mirror=0.0))
    faces = module.faces(split)
    for batch in shown(module, split, augment=augment):
        back = affine.apply(batch["to_original"], batch["landmarks"])
        torch.testing.assert_close(back, originals(faces, batch), rtol=0, atol=1e-2)


def test_in_evaluation_the_box_lies_on_the_reference_box(dot_module):
    spec = InputSpec(64, 3, (10.0, 14.0, 50.0, 44.0))
    module = dot_module(stage="test", input=spec)
    for batch in shown(module, "test"):
        torch.testing.assert_close(
            boxes.centre(batch["box"]), torch.tensor([30.0, 29.0]).expand(6, 2), rtol=0, atol=1e-3
        )
        sides = batch["box"][:, 2:] - batch["box"][:, :2]
        ratios = sides / torch.tensor([40.0, 30.0])  # DAN's rule: their mean is 1, whatever the aspect
        torch.testing.assert_close(ratios.mean(1), torch.ones(6), rtol=0, atol=1e-4)
        assert (ratios - 1).abs().max() > 0.02


def test_dots_lie_at_their_landmarks(dot_module, dots):
    find_dot, colours = dots
    for batch in shown(dot_module(stage="test"), "test"):
        for image, points in zip(batch["image"], batch["landmarks"], strict=True):
            for point, colour in zip(points, colours, strict=True):
                place, seen = find_dot(image, point, 5)
                assert (place - point).norm() < 0.1
                assert (seen - colour).abs().max() < 0.1


def test_a_grey_input(dot_module):
    grey, colour = (
        dot_module(stage="test", input=InputSpec(64, channels, boxes.centred_box(64, 0.5))) for channels in (1, 3)
    )
    for one, three in zip(shown(grey, "test"), shown(colour, "test"), strict=True):
        assert one["image"].shape == (6, 1, 64, 64)
        assert (one["image"] - three["image"].mean(1, keepdim=True)).abs().max() < 1.6 / 255


def test_the_scaling_asked_for(dot_module):
    plain, signed = (
        dot_module(stage="test", input=InputSpec(64, 3, boxes.centred_box(64, 0.5), scaling))
        for scaling in ("unit", "signed")
    )
    for first, second in zip(shown(plain, "test"), shown(signed, "test"), strict=True):
        torch.testing.assert_close(second["image"], 2 * first["image"] - 1, rtol=0, atol=1e-6)


def test_the_path_of_a_gpu_gives_the_same_inputs(dot_module, stub_trainer):
    module = dot_module(stage="test")
    host = shown(module, "test")
    module.trainer = stub_trainer(device="cuda", testing=True)
    loaded = list(module.test_dataloader())
    assert all(batch["image"].shape == (6, 96 * 3 // 2, 144, 3) for batch in loaded)
    assert all(batch["image"].dtype == torch.uint8 for batch in loaded)
    for first, batch in zip(host, loaded, strict=True):
        second = module.on_after_batch_transfer(batch, 0)
        assert (first["image"] - second["image"]).abs().max() <= 1.01 / 255
        for field in set(FIELDS) - {"image"}:
            assert torch.equal(first[field], second[field]), field


def test_unlabelled_points_are_finite_and_marked(dot_reader, dot_module):
    reader = dot_reader({"t": 6})
    face = reader.faces(["t"])[2]
    points, visibility = face.landmarks.copy(), np.array([2, 1, 0, 2, 2], np.uint8)
    points[2] = np.nan
    reader.replace("t", 2, dataclasses.replace(face, landmarks=points, visibility=visibility))
    reader.pixels = lambda image: np.zeros((400, 400, 3), np.uint8)
    batch = shown(dot_module(reader, stage="test"), "test")[0]
    assert batch["landmarks"].isfinite().all()
    assert batch["visibility"][2].tolist() == [2, 1, 0, 2, 2]
    assert (batch["visibility"][[0, 1, 3, 4, 5]] == 2).all()


def test_means_are_over_the_labelled_points(dot_reader, dot_module):
    """An unlabelled point is stored as some finite number, which is no label."""
    reader = dot_reader({"a": 6})
    for number, place in ((1, 0), (2, 0), (4, 3)):
        face = reader.faces(["a"])[number]
        points, visibility = face.landmarks.copy(), face.visibility.copy()
        points[place], visibility[place] = np.nan, 0
        reader.replace("a", number, dataclasses.replace(face, landmarks=points, visibility=visibility))
    reader.pixels = lambda image: np.zeros((400, 400, 3), np.uint8)
    spec = InputSpec(64, 3, (10.0, 14.0, 50.0, 44.0))
    module = dot_module(reader, stage="fit", input=spec, train_parts=["a"], validation=0.0)
    placed = []
    for face in module.faces("train"):
        sides = face.box[2:] - face.box[:2]
        scale = 1 / (sides / np.array([40.0, 30.0])).mean()
        placed.append((face.landmarks - (face.box[:2] + face.box[2:]) / 2) * scale + [30.0, 29.0])
    expected = torch.from_numpy(np.nanmean(placed, axis=0)).float()
    torch.testing.assert_close(module.mean_position(), expected, rtol=0, atol=1e-3)
    assert module.mean_shape().isfinite().all()


def test_real_images(real_data, tmp_path, dot_module):
    reader = W300(real_data / "300w", allow_partial=True)
    faces = reader.faces(["afw"])[:24]
    reader.faces = lambda parts: faces
    module = dot_module(reader, scheme="68", test_parts=["afw"], stage="test")
    for batch in shown(module, "test"):
        back = affine.apply(batch["to_original"], batch["landmarks"])
        torch.testing.assert_close(back, originals(faces, batch), rtol=0, atol=1e-2)
        # the labels' own box: every point inside the reference box, with half the aspect's play
        assert (batch["landmarks"] > 8).all()
        assert (batch["landmarks"] < 56).all()
        assert batch["image"][:, :, 16:48, 16:48].std((1, 2, 3)).min() > 0.05


# -- splits ----------------------------------------------------------------------------------------------------------


def test_train_and_validation_divide_the_images_of_each_part(dot_reader, dot_module):
    module = dot_module(dot_reader({"a": 24, "b": 8, "t": 6}, faces_per_photo=2), stage="fit")
    train, held_out = module.faces("train"), module.faces("val")
    assert not {face.photo for face in train} & {face.photo for face in held_out}
    assert [sum(face.part == part for face in held_out) for part in "ab"] == [6, 2]
    assert len(train) + len(held_out) == 32
    seen = torch.cat([batch["index"] for batch in shown(module, "val")])
    assert seen.tolist() == list(range(8))


def test_the_index_names_the_face(dot_module):
    module = dot_module(stage="fit")
    for split in ("train", "val"):
        faces = module.faces(split)
        for batch in shown(module, split):
            back = affine.apply(batch["to_original"], batch["landmarks"])
            assert (back - originals(faces, batch)).abs().max() < 1e-2


def test_the_runs_seed_does_not_choose_the_validation_faces(dot_module):
    first, second = (dot_module(stage="fit", seed=seed) for seed in (0, 1))
    assert [face.photo for face in first.faces("val")] == [face.photo for face in second.faces("val")]
    other = dot_module(stage="fit", validation_seed=1)
    assert [face.photo for face in first.faces("val")] != [face.photo for face in other.faces("val")]


def test_without_validation_there_are_no_validation_batches(dot_module):
    module = dot_module(stage="fit", validation=0.0)
    assert list(module.val_dataloader()) == []
    assert len(module.faces("train")) == 24


def test_members_of_the_tables_rows(dot_reader, dot_module):
    reader = dot_reader({"t": 4, "u": 3, "v": 2}, attributes=[["blur"], [], ["blur", "occlusion"]])
    subsets = {"most": ["t", "v"], "none of these": ["x"]}
    module = dot_module(reader, test_parts=["t", "u", "v"], subsets=subsets, stage="test")
    members = {name: mask.int().tolist() for name, mask in module.subset_members("test").items()}
    assert members == {
        "t": [1, 1, 1, 1, 0, 0, 0, 0, 0],
        "u": [0, 0, 0, 0, 1, 1, 1, 0, 0],
        "v": [0, 0, 0, 0, 0, 0, 0, 1, 1],
        "most": [1, 1, 1, 1, 0, 0, 0, 1, 1],
        "blur": [1, 0, 1, 1, 1, 0, 1, 1, 0],
        "occlusion": [0, 0, 1, 0, 0, 0, 1, 0, 0],
    }


def test_one_part_is_no_row_of_its_own(dot_module):
    assert dot_module(stage="test").subset_members("test") == {}


# -- schemes ---------------------------------------------------------------------------------------------------------


def test_a_smaller_scheme(dot_reader, dot_module):
    module = dot_module(dot_reader({"t": 6}, scheme="68"), scheme=5, stage="test")
    batch = shown(module, "test")[0]
    back = affine.apply(batch["to_original"], batch["landmarks"])
    for face, points in zip(module.faces("test"), back, strict=True):
        expected, _ = reduce_landmarks(face.landmarks, face.visibility, load_scheme("68"), "5")
        np.testing.assert_allclose(points, expected, atol=1e-2)


def test_a_scheme_that_the_labels_do_not_reduce_to(dot_module):
    with pytest.raises(DataError, match=r"no reduction from scheme '5' to '68'.*choose another data\.scheme"):
        dot_module(stage="test", scheme="68")


def test_a_scheme_that_does_not_exist(dot_module):
    with pytest.raises(ValueError, match="no landmark scheme '67'"):
        dot_module(scheme="67")


# -- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stage", "parts"), [("fit", "train_parts"), ("test", "test_parts")])
def test_parts_must_be_named(stage, parts, dot_module):
    with pytest.raises(DataError, match=rf"data\.{parts} is empty; name the parts of dots"):
        dot_module(stage=stage, **{parts: []})


@pytest.mark.parametrize("validation", [-0.1, 1.0])
def test_a_validation_share_out_of_range(validation, dot_module):
    with pytest.raises(DataError, match=rf"data\.validation is {validation}"):
        dot_module(validation=validation)


def test_the_reader_may_be_made_late(dot_reader, dot_module):
    module = dot_module(lambda: dot_reader({"t": 2}), stage="test")
    assert len(module.faces("test")) == 2


def test_the_store_has_room_and_sharpness_as_asked(dot_module):
    module = dot_module(extent=2.0, oversample=1.25)
    assert (module.store_spec.pixels, module.store_spec.box_pixels) == (80, 40.0)


def test_broken_images_leave_faces_and_labels_in_line(dot_reader, dot_module):
    reader = dot_reader({"t": 12})
    reader.missing = {"t/003.png", "t/007.png"}
    module = dot_module(reader, max_broken=0.2, stage="test")
    faces = module.faces("test")
    assert len(faces) == 10
    for batch in shown(module, "test"):
        back = affine.apply(batch["to_original"], batch["landmarks"])
        torch.testing.assert_close(back, originals(faces, batch), rtol=0, atol=1e-2)


# -- statistics ------------------------------------------------------------------------------------------------------


def test_the_mean_shape_is_symmetric_and_of_the_training_faces(dot_module):
    module = dot_module(stage="fit")
    mean = module.mean_shape()
    assert torch.equal(mean, mean[list(module.scheme.flip)] * torch.tensor([-1.0, 1.0]))
    assert mean[0, 0] < 0 < mean[1, 0]  # the image's left is left
    assert mean[0, 1] < mean[2, 1] < mean[3, 1]  # and up is up
    other = dot_module(stage="fit", validation_seed=1).mean_shape()
    assert not torch.equal(mean, other)


def test_training_inputs_are_the_same_every_time(dot_module):
    module = dot_module(stage="fit", augmentation=Augmentation(noise=0.1))
    first, second = (torch.cat(list(module.training_inputs(25))) for _ in range(2))
    assert first.shape == (25, 3, 64, 64)
    assert torch.equal(first, second)
    assert not torch.equal(first[:7], first[18:])  # the same faces, shown anew
    other = dot_module(stage="fit", augmentation=Augmentation(noise=0.1), seed=1)
    assert not torch.equal(torch.cat(list(other.training_inputs(25))), first)


def test_training_inputs_change_nothing_for_the_epochs(dot_module, stub_trainer):
    modules = [dot_module(stage="fit", augmentation=Augmentation()) for _ in range(2)]
    list(modules[0].training_inputs(10))
    batches = []
    for module in modules:
        batch = next(iter(module.train_dataloader()))
        module.trainer = stub_trainer(training=True)
        batches.append(module.on_after_batch_transfer(batch, 0))
    assert torch.equal(batches[0]["image"], batches[1]["image"])


def test_training_inputs_may_be_left_early(dot_module, stub_trainer):
    module = dot_module(stage="fit", augmentation=Augmentation())
    module.trainer = stub_trainer(device="cuda")
    loader = module.train_dataloader()
    inputs = module.training_inputs(12)
    next(inputs)
    inputs.close()
    assert next(iter(loader))["image"].numel()  # still the batches of a GPU
