"""New rendered faces in every epoch: the same for the same seed, wherever a run begins, and no others in validation."""

import pytest
import torch

from canthus.data import face_data
from canthus.data.augment import Augmentation
from canthus.data.batch import InputSpec
from canthus.data.datamodule import FaceDataModule
from canthus.data.remembered import FaceList
from canthus.data.synthetic import Synthetic, source
from canthus.data.synthetic.endless import EndlessDataModule
from canthus.geometry import affine, boxes
from canthus.utils.errors import DataError

# there may be no GPU to pin for
pytestmark = pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning")

SPEC = InputSpec(48, 3, boxes.centred_box(48, 0.6))
OPTIONS = {"name": "rendered", "train_parts": ["train"], "test_parts": ["test"], "validation": 0.25, "batch_size": 3}


@pytest.fixture
def make(tmp_path):
    """A data module of 12 faces of 64 pixels, 9 of them to train on, that is set up."""

    def make(kind=EndlessDataModule, *, size=12, **options):
        reader = Synthetic(size=size, resolution=64, render_seed=3)
        module = kind(SPEC, reader, **(OPTIONS | {"cache": tmp_path, "seed": 5} | options))
        module.setup("fit")
        return module

    return make


def epoch_of(module, epoch):
    loader = module.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return list(loader)


def same(some, others):
    return all(torch.equal(a[key], b[key]) for a, b in zip(some, others, strict=True) for key in a)


def test_the_same_seed_shows_the_same_faces_wherever_it_begins(make):
    module = make()
    first, second = epoch_of(module, 0), epoch_of(module, 1)
    assert same(epoch_of(make(), 1), second)  # a resumed run
    assert same(epoch_of(make(num_workers=2), 1), second)
    assert not same(epoch_of(make(seed=6), 1), second)  # the same faces in another order
    assert [len(batches) for batches in (first, second)] == [3, 3]
    faces = [tuple(points) for batch in first + second for points in batch["landmarks"].flatten(1).tolist()]
    assert len(set(faces)) == 18


def test_training_faces_are_those_of_the_stream_that_the_store_would_hold(make):
    module, finite = make(), make(FaceDataModule, size=36)
    stored = {face.photo: row for row, face in enumerate(finite._stores["train"].faces)}
    held_out = {face.photo for face in module.faces("val")}
    assert len(held_out) == 3
    kept = [number for number in range(12) if f"train/{number:06d}" not in held_out]
    crops, to_original = finite._stores["train"].crops, torch.from_numpy(finite._stores["train"].to_original).float()
    for epoch in range(3):
        for batch in epoch_of(module, epoch):
            for place, index in enumerate(batch["index"].tolist()):
                assert index // 9 == epoch
                row = stored[f"train/{12 * epoch + kept[index % 9]:06d}"]
                assert (batch["image"][place].numpy() == crops[row]).all()
                assert torch.equal(batch["to_original"][place], to_original[row])
                points = affine.apply(batch["to_original"][place], batch["landmarks"][place])
                truth = torch.from_numpy(finite._stores["train"].faces[row].landmarks).float()
                torch.testing.assert_close(points, truth, rtol=0, atol=1e-3)


def test_validation_faces_stay_and_are_rendered_alone(make):
    module, finite = make(), make(FaceDataModule)
    assert [face.photo for face in module.faces("val")] == [face.photo for face in finite.faces("val")]
    assert len(module._stores["train"]) == 3
    assert same(module.val_dataloader(), finite.val_dataloader())
    torch.testing.assert_close(module.mean_shape(), finite.mean_shape())
    assert same([module.inputs_of("val", [0, 2])], [finite.inputs_of("val", [0, 2])])


def test_every_epochs_faces_are_remembered(make):
    """Rows that an epoch shows, whichever it is, and none that it leaves out; images of another seed are others."""
    module = make()
    faces = FaceList.of(module)
    known = faces.remembered()
    assert (faces.period, len(faces.entries["train_faces"]), len(faces.entries["val_faces"])) == (12, 9, 3)
    reader = Synthetic(size=36, resolution=64, render_seed=3)
    stream = reader.faces(["train"])
    shown = {f"{number + 12 * epoch:06d}" for epoch in range(3) for number in module._views["train"].rows.tolist()}
    seen = known.trained_on(stream, reader, "rendered")
    assert {face.image.stem for face, one in zip(stream, seen, strict=True) if one} == shown
    assert known.held_out([face.photo for face in stream]).sum() == 3


def test_training_inputs_are_augmented_as_ever(make, stub_trainer):
    batches = []
    for kind in (EndlessDataModule, FaceDataModule):
        module = make(kind, augmentation=Augmentation(rotation=20, brightness=0.1))
        module.trainer = stub_trainer(training=True)
        batches.append([module.on_after_batch_transfer(batch, 0) for batch in module.train_dataloader()])
    for new, old in zip(*batches, strict=True):
        assert torch.equal(new["landmarks"], old["landmarks"])
        assert new["image"].shape == (3, 3, 48, 48)
        assert (new["image"] - old["image"]).abs().max() < 0.02


def test_pictures_are_rendered_on_the_device_of_the_run(make, stub_trainer, monkeypatch):
    module, devices = make(), []

    def render(scenes, streams, resolution, device, without):
        devices.append(device)
        return real(scenes, streams, resolution, "cpu", without)

    real = source.render
    monkeypatch.setattr(source, "render", render)
    module.trainer = stub_trainer(device="cuda", training=True)
    batch = next(iter(module.train_dataloader()))
    assert devices == [torch.device("cuda")]
    assert batch["image"].device.type == "cpu"  # film is the host's; Lightning moves the batch


def test_wrong_requests_are_named(make, dot_reader):
    with pytest.raises(DataError, match="needs rendered faces"):
        EndlessDataModule(SPEC, dot_reader({"train": 4}), **OPTIONS)
    with pytest.raises(DataError, match="trains on part train, not on train, test"):
        make(include_test=True)
    reader = "canthus.data.synthetic.Synthetic"
    with pytest.raises(DataError, match=r"data\.endless=true makes faces"):
        face_data(SPEC, reader, view="image", endless=True, **OPTIONS)
    assert isinstance(face_data(SPEC, reader, endless=True, **OPTIONS), EndlessDataModule)
