import dataclasses
import warnings
from itertools import chain

import lightning
import numpy as np
import pytest
import torch

from canthus.data.augment import Augmentation
from canthus.data.batch import InputSpec
from canthus.data.datamodule import EpochSampler
from canthus.data.face import DataError
from canthus.data.readers import W300
from canthus.geometry import affine, boxes
from canthus.schemes import load_scheme, reduce_landmarks

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


def test_real_photographs(real_data, tmp_path, dot_module):
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


def test_train_and_validation_divide_the_photographs_of_each_part(dot_reader, dot_module):
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


# -- loaders ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "world"), [(11, 1), (11, 2), (11, 3), (12, 4), (2, 3)])
def test_evaluation_sees_every_face_once_over_all_processes(size, world):
    samplers = [EpochSampler(size, False, 0, rank, world) for rank in range(world)]
    shares = [list(sampler) for sampler in samplers]
    assert sorted(list(chain.from_iterable(shares))) == list(range(size))
    assert [len(sampler) for sampler in samplers] == [len(share) for share in shares]


@pytest.mark.parametrize(("size", "world"), [(11, 1), (11, 2), (11, 3), (12, 4)])
def test_processes_train_on_disjoint_shares_of_equal_length(size, world):
    samplers = [EpochSampler(size, True, 0, rank, world) for rank in range(world)]
    shares = [list(sampler) for sampler in samplers]
    assert {len(share) for share in shares} == {len(sampler) for sampler in samplers} == {size // world}
    together = list(chain.from_iterable(shares))
    assert len(set(together)) == len(together) == size // world * world
    assert set(together) <= set(range(size))


def test_epochs_and_seeds_shuffle_differently_and_repeatably():
    def order(seed, epoch):
        sampler = EpochSampler(50, True, seed, 0, 1)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(0, 3) == order(0, 3)
    assert len({tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9
    # every face has its turn, also those that an odd number leaves out of one epoch
    left_out = set()
    for epoch in range(8):
        sampler = EpochSampler(5, True, 0, 0, 2)
        sampler.set_epoch(epoch)
        other = EpochSampler(5, True, 0, 1, 2)
        other.set_epoch(epoch)
        left_out |= set(range(5)) - set(sampler) - set(other)
    assert len(left_out) > 1


def test_two_epochs_of_a_loader_differ(dot_module):
    loader = dot_module(stage="fit").train_dataloader()
    orders = []
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        orders.append(torch.cat([batch["index"] for batch in loader]).tolist())
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(18))
    assert orders[0] != orders[1]


@pytest.mark.parametrize(("world", "accumulate", "share"), [(1, 1, 12), (2, 1, 6), (1, 3, 4), (2, 3, 2)])
def test_the_batch_size_is_the_total_of_an_optimiser_step(world, accumulate, share, dot_module, stub_trainer):
    module = dot_module(stage="fit", batch_size=12)
    module.trainer = stub_trainer(world=world, accumulate=accumulate)
    loader = module.train_dataloader()
    assert {len(batch["index"]) for batch in loader} == {share}


@pytest.mark.parametrize(("world", "accumulate"), [(1, 1), (2, 1), (1, 4), (2, 2)])
def test_an_epoch_has_the_optimiser_steps_that_schedules_count_on(world, accumulate, dot_module, stub_trainer):
    """18 faces in steps of 8: two steps; what is left makes no third, smaller one."""
    module = dot_module(stage="fit", batch_size=8)
    module.trainer = stub_trainer(world=world, accumulate=accumulate)
    assert module.steps_per_epoch == 2
    assert len(list(module.train_dataloader())) == 2 * accumulate


def test_a_batch_that_does_not_divide_evenly_is_an_error(dot_module, stub_trainer):
    module = dot_module(stage="fit", batch_size=8)
    module.trainer = stub_trainer(world=3)
    with pytest.raises(DataError, match=r"data\.batch_size=8"):
        module.train_dataloader()


def test_more_processes_than_faces_of_a_batch(dot_module, stub_trainer):
    module = dot_module(stage="fit", batch_size=4)
    module.trainer = stub_trainer(world=4, accumulate=2)
    with pytest.raises(DataError, match=r"data\.batch_size=4"):
        module.train_dataloader()


def test_too_few_faces_for_a_batch(dot_module):
    with pytest.raises(DataError, match=r"18 training faces do not fill one batch of 19; lower data\.batch_size"):
        dot_module(stage="fit", batch_size=19).train_dataloader()


def test_evaluation_needs_no_full_batch(dot_module):
    batches = shown(dot_module(stage="test", batch_size=8), "test")
    assert [len(batch["index"]) for batch in batches] == [8, 4]


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


def test_broken_photographs_leave_faces_and_labels_in_line(dot_reader, dot_module):
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


# -- with Lightning --------------------------------------------------------------------------------------------------


class Recorder(lightning.LightningModule):
    """Learns nothing and remembers what it is shown."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.training_batches, self.validation_batches, self.test_batches = [], [], []

    def training_step(self, batch):
        self.training_batches.append((self.current_epoch, batch))
        return self.weight * batch["image"].mean()

    def validation_step(self, batch):
        self.validation_batches.append(batch)

    def test_step(self, batch):
        self.test_batches.append(batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(module, tmp_path, epochs=2, **options):
    model = Recorder()
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=tmp_path,
        **options,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        trainer.fit(model, module)
    return trainer, model


def test_a_run_sees_new_faces_every_epoch_and_the_same_ones_again_with_the_same_seed(dot_module, tmp_path):
    models = [fit(dot_module(augmentation=Augmentation()), tmp_path)[1] for _ in range(2)]
    for (epoch, first), (_, second) in zip(*(model.training_batches for model in models), strict=True):
        assert torch.equal(first["image"], second["image"]), epoch
    per_epoch = {
        wanted: torch.cat([batch["index"] for epoch, batch in models[0].training_batches if epoch == wanted]).tolist()
        for wanted in (0, 1)
    }
    assert sorted(per_epoch[0]) == sorted(per_epoch[1]) == list(range(18))
    assert per_epoch[0] != per_epoch[1]
    held_out = [batch for batch in models[0].validation_batches if len(batch["index"])]
    assert torch.equal(held_out[-1]["image"], held_out[0]["image"])


def test_a_second_run_with_one_data_module_is_like_the_first(dot_module, tmp_path):
    module = dot_module(augmentation=Augmentation())
    models = [fit(module, tmp_path, epochs=1)[1] for _ in range(2)]
    for (_, first), (_, second) in zip(*(model.training_batches for model in models), strict=True):
        assert torch.equal(first["landmarks"], second["landmarks"])


def test_lightning_takes_as_many_steps_as_schedules_count_on(dot_module, tmp_path):
    module = dot_module(batch_size=8)
    trainer, _ = fit(module, tmp_path, epochs=2, accumulate_grad_batches=4)
    assert trainer.global_step == 2 * module.steps_per_epoch


def test_a_test_run_sees_the_test_faces(dot_module, tmp_path):
    module, model = dot_module(), Recorder()
    trainer = lightning.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=tmp_path)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        trainer.test(model, module, verbose=False)
    batches, faces = model.test_batches, module.faces("test")
    assert torch.cat([batch["index"] for batch in batches]).tolist() == list(range(12))
    for batch in batches:
        back = affine.apply(batch["to_original"], batch["landmarks"])
        assert (back - originals(faces, batch)).abs().max() < 1e-2
