import numpy as np
import pytest
import torch

from canthus.data import face_data
from canthus.data.augment import Augmentation
from canthus.data.batch import InputSpec
from canthus.data.detection.datamodule import ImageDataModule
from canthus.data.remembered import FaceList, changes
from canthus.geometry.boxes import centred_box
from canthus.utils.errors import DataError

SPEC = InputSpec(96, 3, centred_box(96, 0.5))
SYNTHETIC = {"reader": "canthus.data.synthetic.Synthetic", "name": "synthetic", "train_parts": ["train"]}
SYNTHETIC |= {"size": 20, "resolution": 96, "test_parts": ["test"], "scheme": "5", "validation": 0.25, "batch_size": 5}


@pytest.fixture
def make(dot_reader, tmp_path):
    def make(reader=None, remembered=None, **options):
        reader = reader or dot_reader({"a": 16, "b": 8, "t": 12}, faces_per_photo=2)
        settings = {"name": "dots", "train_parts": ["a", "b"], "test_parts": ["t"], "scheme": "5", "validation": 0.25}
        settings |= {"batch_size": 3, "landmark_faces": 5, "cache": tmp_path / "cache", "image_side": 4000}
        options = settings | options
        module = ImageDataModule(SPEC, reader, **options)
        module.remembered = remembered
        module.prepare_data()
        module.setup("fit")
        return module

    return make


def test_a_grown_set_keeps_the_images_that_a_run_held_out(make, dot_reader):
    before = FaceList.of(make())
    assert {place: len(entries) for place, entries in before.entries.items()} == {
        "train_faces": 18, "train_images": 9, "val_faces": 6, "val_images": 3,
    }  # fmt: skip
    grown = make(dot_reader({"a": 24, "b": 8, "t": 12}, faces_per_photo=2), remembered=before.remembered())
    after = FaceList.of(grown)
    assert after.entries["val_images"] == before.entries["val_images"]
    assert after.entries["val_faces"] == before.entries["val_faces"]
    assert [text.partition(" (")[0] for text in changes(before, after)] == ["8 faces are new", "4 images are new"]
    known = before.remembered()
    assert known.trained_on(grown.images("train"), grown.image_reader, "dots").sum() == 9
    assert not known.trained_on(grown.images("val"), grown.image_reader, "dots").any()


def test_scenes_are_no_images_to_remember(make):
    entries = FaceList.of(make(scenes=4)).entries
    assert len(entries["train_images"]) == 9


def test_a_image_is_held_out_in_both_views(make):
    module = make()
    faces, photos = ({one.photo for one in module.faces("val")}, {one.photo for one in module.images("val")})
    assert faces == photos
    assert len(photos) == 3
    assert not photos & {photo.photo for photo in module.images("train")}
    assert len(module.faces("train")) == 18


def test_training_batches_hold_images_and_faces(make, stub_trainer):
    module = make(augmentation=Augmentation())
    loader = module.train_dataloader()
    batches = list(loader)
    assert len(batches) == len(loader) == module.steps_per_epoch == 3
    seen = torch.cat([batch["index"] for batch in batches])
    assert sorted(seen.tolist()) == list(range(9))
    shown = [batch["faces"]["index"] for batch in batches]
    assert all(len(faces) == 5 for faces in shown)
    assert len(torch.cat(shown).unique()) == 15  # none twice before all were there
    batch = batches[0]
    assert batch["boxes"].shape == (6, 4)
    assert batch["owner"].tolist() == [0, 0, 1, 1, 2, 2]
    photo = module.images("train")[batch["index"][1]]
    assert np.allclose(batch["boxes"][2:4], photo.boxes, atol=1e-3)
    assert np.array_equal(batch["pixels"].image(1), module.image_reader.pixels(photo.image))
    module.trainer = stub_trainer(training=True)
    ready = module.on_after_batch_transfer(batch, 0)
    assert ready["faces"]["image"].shape == (5, 3, 96, 96)


def test_epochs_differ_and_repeat(make):
    module = make()
    orders = []
    for epoch in (0, 1, 0):
        loader = module.train_dataloader()
        loader.sampler.set_epoch(epoch)
        orders.append([(*batch["index"].tolist(), *batch["faces"]["index"].tolist()) for batch in loader])
    assert orders[0] == orders[2] != orders[1]


def test_processes_share_an_epoch(make, stub_trainer):
    module = make(batch_size=4, landmark_faces=6)
    photos = []
    for rank in (0, 1):
        module.trainer = stub_trainer(rank=rank, world=2)
        batches = list(module.train_dataloader())
        assert [(len(b["index"]), len(b["faces"]["index"])) for b in batches] == [(2, 3), (2, 3)]
        photos += torch.cat([batch["index"] for batch in batches]).tolist()
    assert len(set(photos)) == 8
    seen = []
    for rank in (0, 1):
        module.trainer = stub_trainer(rank=rank, world=2)
        seen += [int(i) for batch in module.val_dataloader()[1] for i in batch["index"]]
    assert sorted(seen) == [0, 1, 2]
    module.landmark_faces = 5
    with pytest.raises(DataError, match=r"data\.landmark_faces=5 do not divide into 2"):
        module.train_dataloader()


def test_validation_shows_faces_then_images(make, stub_trainer):
    module = make()
    faces, images = module.val_dataloader()
    assert sum(len(batch["index"]) for batch in faces) == 6
    batch = next(iter(images))
    assert batch["faces"] is None
    assert module.on_after_batch_transfer(batch, 1) is batch
    module.setup("test")
    assert sum(len(batch["index"]) for batch in module.test_dataloader()[1]) == 6


def test_small_faces_are_ignored_and_shrunk_ones_follow_their_image(make):
    module = make(image_side=90, smallest_face=20.0)
    view = module._image_views["train"]
    batch = view.batch([0], pack=True)
    photo, shrink = module.images("train")[0], float(batch["shrink"][0])
    assert shrink > 3
    assert np.allclose((batch["boxes"] + 0.5) * shrink - 0.5, photo.boxes, atol=1e-2)
    sides = (photo.boxes[:, 2:] - photo.boxes[:, :2]).max(1) / shrink
    assert batch["ignored"].tolist() == (sides < 20).tolist() == module.ignored("train")[0].tolist()


def test_parts_with_unlabelled_faces_are_marked(make):
    module = make(incomplete_parts=["b"])
    parts = [photo.part for photo in module.images("train")]
    batch = module._image_views["train"].batch(list(range(len(parts))), pack=False)
    assert batch["complete"].tolist() == [part == "a" for part in parts]


def test_another_source_of_landmarks(dot_reader, tmp_path):
    module = ImageDataModule(
        SPEC, dot_reader({"a": 8}), name="dots", train_parts=["a"], scheme="5", validation=0.25, batch_size=2,
        cache=tmp_path, landmark_faces=4, landmark_box=2.0,
        landmarks={"reader": "canthus.data.synthetic.Synthetic", "size": 8, "resolution": 96, "train_parts": ["train"]},
    )  # fmt: skip
    module.prepare_data()
    module.setup("fit")
    assert {photo.part for photo in module.images("train")} == {"a"}
    face = module.faces("train")[0]
    assert face.part == "train"
    extent = np.ptp(face.landmarks, axis=0).max()
    assert face.box[2] - face.box[0] == pytest.approx(2 * extent) == face.box[3] - face.box[1]
    for wrong, message in (({"size": 8}, "needs `reader`"), ({**module_source(), "sice": 3}, "has no option sice")):
        with pytest.raises(DataError, match=message):
            ImageDataModule(SPEC, dot_reader({"a": 8}), name="dots", train_parts=["a"], landmarks=wrong)


def module_source():
    return {"reader": "canthus.data.synthetic.Synthetic", "size": 8}


def test_without_landmarks_there_is_nothing_to_place(dot_reader, tmp_path):
    reader = dot_reader({"a": 8})
    for face in reader.faces(["a"]):
        face.visibility[:] = 0
    module = ImageDataModule(SPEC, reader, name="dots", train_parts=["a"], scheme="5", cache=tmp_path)
    with pytest.raises(DataError, match=r"name a source by data\.landmarks"):
        module.prepare_data()


def test_scenes_are_made_of_training_faces(make):
    module = make(scenes=7)
    parts = [photo.part for photo in module.images("train")]
    assert parts.count("collages") == 7
    assert module.steps_per_epoch == (9 + 7) // 3
    assert all(photo.part != "collages" for photo in module.images("val"))


def test_views_are_chosen_by_name(tmp_path):
    options = SYNTHETIC | {"cache": tmp_path}
    module = face_data(SPEC, view="image", landmark_faces=4, **options)
    assert isinstance(module, ImageDataModule)
    assert not isinstance(face_data(SPEC, **options), ImageDataModule)
    with pytest.raises(DataError, match=r"data\.scenes belongs to whole images"):
        face_data(SPEC, scenes=4, **options)
    with pytest.raises(DataError, match=r"data\.view is 'photos'"):
        face_data(SPEC, view="photos", **options)
    with pytest.raises(DataError, match=r"data\.landmark_faces=0"):
        face_data(SPEC, view="image", landmark_faces=0, **options)


def test_a_device_gets_packed_images(make, stub_trainer):
    module = make()
    host = next(iter(module.train_dataloader()))
    module.trainer = stub_trainer(device="cuda")
    module.num_workers = 0
    view = module._image_views["train"]
    view.pack = True
    packed = view.batch(host["index"].tolist(), pack=True)
    assert isinstance(packed["pixels"].pixels, torch.Tensor)
    assert torch.equal(packed["pixels"].image(0), torch.from_numpy(np.array(host["pixels"].image(0))))
