"""The reader of rendered faces: the same on every call, alone and in batches, and what may be asked of it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from canthus.data.face import OCCLUDED, VISIBLE
from canthus.data.store import Store, StoreSpec, crop
from canthus.data.synthetic import Synthetic, source
from canthus.data.synthetic import render as render_module
from canthus.data.synthetic.draw import DIFFICULTIES, WITHOUT
from canthus.data.synthetic.labels import seen
from canthus.data.synthetic.render import render
from canthus.utils.errors import DataError


@pytest.fixture(scope="module")
def medium():
    reader = Synthetic(size=120, resolution=96)
    return reader, reader.faces(["train", "test"])


def test_same_face_whatever_order_process_state_or_thread(medium):
    reader, faces = medium
    images = [face.image for face in faces[:5]]
    once = [reader.pixels(image) for image in images]
    other = Synthetic(size=120, resolution=96)
    backwards = [other.pixels(image) for image in reversed(images)][::-1]
    with ThreadPoolExecutor(2) as pool:
        threaded = list(pool.map(reader.pixels, images))
    scenes = [reader.scene("train", i) for i in range(5)]
    batch = render(scenes, [reader.stream("train", i, "render") for i in range(5)], 96)
    for a, b, c, d in zip(once, backwards, threaded, batch, strict=True):
        assert a.shape == (96, 96, 3)
        assert a.dtype == np.uint8
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(a, d)
    for a, b in zip(faces[:20], Synthetic(size=20, resolution=96).faces(["train"]), strict=False):
        np.testing.assert_array_equal(a.landmarks, b.landmarks)
        assert a.attributes == b.attributes


def test_a_batch_as_accelerators_get_it_is_the_same():
    """On a processor pictures are rendered one by one; here several share all tensors, and one shows nobody."""
    reader = Synthetic(size=6, difficulty="hard", resolution=64)
    scenes = [reader.scene("train", i) for i in range(6)]
    scenes[2] = replace(scenes[2], centre=np.array([9000.0, 0.0]))
    options = {"resolution": 64, "device": torch.device("cpu"), "without": ()}

    def light(begin, end):
        randoms = [np.random.default_rng(i) for i in range(begin, end)]
        return render_module._light(scenes[begin:end], randoms, **options)[0]

    together, alone = np.concatenate([light(0, 4), light(4, 6)]), np.concatenate([light(i, i + 1) for i in range(6)])
    np.testing.assert_array_equal(together, alone)
    assert together.shape == (6, 3, 96, 96)
    assert together[2].max() <= 1
    assert seen(scenes[2], np.array([[5000.0, 0.0, 0.0]])).all()  # beside everything


def test_labels_are_the_same_from_several_processes(monkeypatch):
    alone = Synthetic(size=6, resolution=64).faces(["train", "test"])
    monkeypatch.setattr(source, "MANY", 4)
    for a, b in zip(alone, Synthetic(size=6, resolution=64).faces(["train", "test"]), strict=True):
        assert (a.image, a.attributes, a.identity, a.extra.keys()) == (
            b.image,
            b.attributes,
            b.identity,
            b.extra.keys(),
        )
        np.testing.assert_array_equal(a.landmarks, b.landmarks)
        np.testing.assert_array_equal(a.visibility, b.visibility)


def test_the_store_holds_what_its_processes_render(tmp_path):
    reader, spec = Synthetic(size=5, resolution=64), StoreSpec(pixels=48, box_pixels=24.0, channels=3)
    faces = reader.faces(["train"])
    store = Store.prepare(reader, faces, spec, tmp_path, workers=2)
    for face, stored, to_original in zip(faces, store.crops, store.to_original, strict=True):
        np.testing.assert_array_equal(stored, crop(reader.pixels(face.image), to_original, spec))


def test_parts_and_seeds_share_no_face(medium):
    _, faces = medium
    assert len(faces) == 120 + 24
    assert len({face.photo for face in faces}) == len({face.identity for face in faces}) == len(faces)
    shapes = {face.landmarks.tobytes() for face in faces}
    shapes |= {face.landmarks.tobytes() for face in Synthetic(size=20, render_seed=1).faces(["train"])}
    assert len(shapes) == 164


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_labels_lie_in_the_picture_and_say_what_they_should(difficulty):
    limits = DIFFICULTIES[difficulty]
    for face in Synthetic(size=40, difficulty=difficulty, resolution=128).faces(["train"]):
        assert face.landmarks.shape == (68, 2)
        assert (face.landmarks >= 2).all()
        assert (face.landmarks <= 125).all()
        np.testing.assert_allclose(face.box, [*face.landmarks.min(0), *face.landmarks.max(0)])
        assert (np.abs(np.rad2deg(face.pose)) <= np.array([limits.yaw, limits.pitch, limits.roll]) + 1e-6).all()
        assert set(face.visibility.tolist()) <= {OCCLUDED, VISIBLE}


def test_pose_is_that_of_300wlp(medium):
    """Face.pose has one convention: what it turns to the image's left, up and clockwise, is so in the picture."""
    faces = medium[1]
    yaw, pitch, roll = np.array([face.pose for face in faces]).T
    points = np.stack([face.landmarks for face in faces])
    eyes = points[:, 45] - points[:, 36]
    aside = ((points[:, 30] - (points[:, 36] + points[:, 45]) / 2) * eyes).sum(1) / (eyes**2).sum(1)
    turned, tilted = np.abs(yaw) > 0.2, np.abs(roll) > 0.1
    assert (np.sign(aside) == -np.sign(yaw))[turned].mean() > 0.95
    assert (np.sign(eyes[:, 1]) == np.sign(roll))[tilted].mean() > 0.95
    # a lifted nose is nearer to the eyes
    height = (points[:, 30, 1] - points[:, 27, 1]) / np.linalg.norm(eyes, axis=1)
    frontal = np.abs(yaw) < 0.5
    assert np.corrcoef(pitch[frontal], height[frontal])[0, 1] < -0.3


def test_every_condition_occurs_and_most_do_not_hold(medium):
    names = {name for face in medium[1] for name in face.attributes}
    assert names == {"occlusion", "low_resolution", "lighting", "blur", "pose", "expression"}
    for name in names:
        assert 0.01 < np.mean([name in face.attributes for face in medium[1]]) < 0.65


def test_leaving_parts_out_changes_only_them():
    options = {"size": 6, "difficulty": "hard", "resolution": 64}
    image = Path("synthetic/train/000000.png")
    whole = Synthetic(**options).pixels(image)
    for part in WITHOUT:
        differs = (whole != Synthetic(**options, without=[part]).pixels(image)).any()
        assert differs or part in ("glasses", "hats", "occluders")  # which not everybody has
    still, light = (
        Synthetic(size=6, without=w).faces(["train"])
        for w in (["pose", "expression"], ["light", "skin", "background", "camera"])
    )
    assert all((face.pose == 0).all() for face in still)
    for a, b in zip(light, Synthetic(size=6).faces(["train"]), strict=True):
        np.testing.assert_array_equal(a.landmarks, b.landmarks)
        np.testing.assert_array_equal(a.visibility, b.visibility)


def test_a_person_keeps_the_face_in_several_pictures():
    faces = Synthetic(size=6, images_per_person=3).faces(["train"])
    assert [face.identity for face in faces] == ["train/0/0"] * 3 + ["train/0/1"] * 3
    scenes = [Synthetic(size=6, images_per_person=3).scene("train", i) for i in range(4)]
    np.testing.assert_array_equal(scenes[0].person.rest, scenes[2].person.rest)
    assert not np.array_equal(scenes[0].angles, scenes[2].angles)
    assert not np.array_equal(scenes[0].person.rest, scenes[3].person.rest)


def test_wrong_requests_are_named(medium):
    reader, _ = medium
    with pytest.raises(ValueError, match="'extreme' is none of easy, medium, hard"):
        Synthetic(difficulty="extreme")
    with pytest.raises(ValueError, match="size=0"):
        Synthetic(size=0)
    with pytest.raises(ValueError, match="resolution=8"):
        Synthetic(resolution=8)
    with pytest.raises(ValueError, match="without='nose' is no part"):
        Synthetic(without=["nose"])
    with pytest.raises(DataError, match="no part 'val'; the parts are train, test"):
        reader.faces(["train", "val"])
    for name in ("synthetic/train/000120.png", "synthetic/test/000024.png", "elsewhere/000000.png"):
        with pytest.raises(DataError, match=name):
            reader.pixels(Path(name))


def test_fingerprint_follows_what_the_pixels_depend_on(medium):
    reader, faces = medium
    prints = {reader.fingerprint(face) for face in faces}
    assert len(prints) == len(faces)
    face = faces[0]
    others = [
        Synthetic(render_seed=1),
        Synthetic(difficulty="hard"),
        Synthetic(resolution=128),
        Synthetic(without=["hair"]),
    ]
    assert len({other.fingerprint(face) for other in [reader, *others]}) == 5
    assert Synthetic(size=7, resolution=96).fingerprint(face) == reader.fingerprint(face)


def test_resolution_scales_the_same_scene():
    small, large = (Synthetic(size=1, resolution=r).faces(["train"])[0] for r in (128, 256))
    shapes = [(f.landmarks - f.landmarks.mean(0)) / np.linalg.norm(f.box[2:] - f.box[:2]) for f in (small, large)]
    np.testing.assert_allclose(*shapes, atol=1e-9)
    assert Synthetic(size=1, resolution=100).pixels(Path("synthetic/train/000000.png")).shape == (100, 100, 3)


def test_one_face_in_the_smallest_set():
    assert [face.photo for face in Synthetic(size=1).faces(["train", "test"])] == ["train/000000", "test/000000"]
