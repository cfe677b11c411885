"""Rendered images of several people: the same on every call, labelled exactly, nearer people over farther ones."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from canthus.data import face_data
from canthus.data.batch import InputSpec
from canthus.data.face import OCCLUDED, VISIBLE
from canthus.data.synthetic import SyntheticScenes
from canthus.data.synthetic.compose import paint
from canthus.data.synthetic.crowd import CROWDS, Crowd, hidden
from canthus.data.synthetic.draw import DIFFICULTIES
from canthus.data.synthetic.film import Film
from canthus.data.synthetic.labels import landmarks
from canthus.data.synthetic.light import Light
from canthus.data.synthetic.parts import GLASS, SHINY, ellipsoid
from canthus.data.synthetic.render import cut_out, render
from canthus.geometry.boxes import centred_box
from canthus.utils.errors import DataError

SMALL = {"size": 10, "resolution": 128}
EVEN = Light(np.eye(9)[0][:, None] * np.ones(3), np.array([0.0, 0, -1]), np.ones(3), 0.0)


@pytest.fixture(scope="module")
def scenes():
    reader = SyntheticScenes(difficulty="hard", **SMALL)
    return reader, reader.whole_images(["train", "test"])


@pytest.fixture(scope="module")
def pair(scenes):
    """Two people of a picture, the nearer one over a half of the other's face, and a sharp camera."""
    reader, images = scenes
    index = next(i for i, whole in enumerate(images) if len(whole.faces) > 2)
    near, far = (replace(scene, film=Film(), light=EVEN) for scene in reader.crowd("train", index).people[:2])
    near = replace(near, centre=np.array([40.0, 60.0]))
    border = float(np.flatnonzero(cover(near, 128)[60] > 0.5).max())
    return near, replace(far, centre=np.array([border, 60.0]))


def cover(scene, resolution):
    """(H, W) share of each pixel that a person covers."""
    return next(cut_out([scene], [np.random.default_rng(0)], resolution))[1]


def shown(*people):
    """Linear light of the picture of these people."""
    crowd = Crowd(people, len(people), Film(), 40.0, 90.0)
    return (paint(crowd, lambda purpose: np.random.default_rng(len(purpose)), 128) / 255) ** 2.2


def test_same_picture_whatever_order_reader_or_thread(scenes):
    reader, images = scenes
    names = [whole.image for whole in images[:3]]
    once = [reader.pixels(name) for name in names]
    other = SyntheticScenes(difficulty="hard", size=5, resolution=128)
    with ThreadPoolExecutor(2) as pool:
        again = list(pool.map(other.pixels, reversed(names)))[::-1]
    for first, second in zip(once, again, strict=True):
        assert first.shape == (128, 128, 3)
        assert first.dtype == np.uint8
        np.testing.assert_array_equal(first, second)
    for ours, theirs in zip(images, other.whole_images(["train"]), strict=False):
        assert ours.photo == theirs.photo
        np.testing.assert_array_equal(ours.boxes, theirs.boxes)
        for a, b in zip(ours.faces, theirs.faces, strict=True):
            np.testing.assert_array_equal(a.landmarks, b.landmarks)
            np.testing.assert_array_equal(a.visibility, b.visibility)


def test_parts_and_seeds_share_no_picture(scenes):
    reader, images = scenes
    assert len(images) == 12
    faces = reader.faces(["train", "test"])
    other = SyntheticScenes(render_seed=1, difficulty="hard", **SMALL).faces(["train"])
    assert len({face.landmarks.tobytes() for face in [*faces, *other]}) == len(faces) + len(other)
    assert len({face.identity for face in faces}) == len(faces)


@pytest.mark.parametrize("difficulty", CROWDS)
def test_labels_lie_in_the_picture_and_say_what_they_should(difficulty):
    limits, crowding = DIFFICULTIES[difficulty], CROWDS[difficulty]
    reader = SyntheticScenes(difficulty=difficulty, faces=5, empty=0.0, size=6, resolution=200)
    images = reader.whole_images(["train"])
    assert {len(whole.faces) for whole in images} <= {1, 2, 3, 4, 5}
    assert max(len(whole.faces) for whole in images) > 2
    for whole in images:
        for face in whole.faces:
            assert face.landmarks.shape == (68, 2)
            np.testing.assert_allclose(face.box, [*face.landmarks.min(0), *face.landmarks.max(0)])
            assert (face.box >= 2.9).all()
            assert (face.box <= 196.1).all()
            side = (face.box[2:] - face.box[:2]).mean() / 200
            assert 0.9 * crowding.smallest < side < 1.1 * crowding.largest
            assert (np.abs(np.rad2deg(face.pose)) <= np.array([limits.yaw, limits.pitch, limits.roll]) + 1e-6).all()
            assert (face.image, face.photo, face.part) == (whole.image, whole.photo, "train")
            # the pose and the camera of a face give its size
            assert face.extra["focal"] / face.extra["translation"][2] * 130 == pytest.approx(200 * side, rel=0.6)
    assert [face for whole in images for face in whole.faces] == reader.faces(["train"])


def test_images_without_a_face():
    reader = SyntheticScenes(empty=1.0, **SMALL)
    images = reader.whole_images(["train"])
    assert reader.faces(["train"]) == []
    assert {(len(whole.faces), whole.boxes.shape, len(whole.ignored)) for whole in images} == {(0, (0, 4), 0)}
    crowds = [reader.crowd("train", index) for index in range(10)]
    bodies = [scene for crowd in crowds for scene in crowd.people]
    assert bodies
    for scene in bodies:  # the whole face is above the picture
        assert scene.project(landmarks(scene, "68"))[:, 1].max() < -2
    assert any(not crowd.people for crowd in crowds)
    assert reader.pixels(images[0].image).std() > 1
    some = SyntheticScenes(empty=0.3, size=10, faces=1, resolution=128).whole_images(["train"])
    assert [not whole.faces for whole in some].count(True) == 3


def test_a_dot_on_a_head_in_a_crowd_is_where_the_label_is(pair):
    """A small ball put before a landmark shows at the landmark's place in the picture, to 0.1 pixel."""
    near, far = pair
    for number in (8, 30, 45):
        point = landmarks(near, "68")[number] - (0, 0, 60)
        balls = [ellipsoid(point, np.eye(3) * 8, np.full(3, colour), SHINY) for colour in (0.0, 0.4)]
        black, white = (shown(replace(near, parts=(*near.parts, ball)), far) for ball in balls)
        change = np.abs(white - black).sum(-1)
        y, x = np.mgrid[:128, :128]
        centroid = np.array([(change * x).sum(), (change * y).sum()]) / change.sum()
        assert np.abs(centroid - near.project(point)).max() < 0.1


def test_a_person_covers_what_the_renderer_paints(pair):
    """Composition takes the same samples as the renderer: elsewhere a picture of one person is all background."""
    for scene in pair:
        scene = replace(scene, parts=tuple(part for part in scene.parts if part.material != GLASS))
        picture = render([scene], [np.random.default_rng(0)], 128, without=["background"])[0].astype(int)
        share = cover(scene, 128)
        background = picture[share == 0]
        assert len(np.unique(background, axis=0)) == 1
        changed = (picture != background[0]).any(-1)
        assert not changed[share == 0].any()
        assert changed[share > 0.3].mean() > 0.97


def test_nearer_people_hide_farther_ones_where_the_labels_say_so(pair):
    near, far = pair
    points = far.project(landmarks(far, "68"))
    covered = hidden([near], points)
    assert 5 < covered.sum() < 63
    # where the far one is seen, the picture depends on the far one
    with_far, without = shown(near, far), shown(near)
    exposure = np.median((with_far / without)[:, :10])  # cameras are set to the faces that are there
    changed = (np.abs(with_far / exposure - without) > 0.02).any(-1)
    share = cover(near, 128)
    inside = (points >= 0).all(1) & (points <= 127).all(1)
    for (x, y), over in zip(np.rint(points[inside]).astype(int), covered[inside], strict=True):
        around = share[y - 1 : y + 2, x - 1 : x + 2]
        if around.min() == 1:
            assert over
            assert not changed[y, x]
        if around.max() == 0:
            assert not over
    clear = share[np.rint(points[:, 1]).astype(int), np.rint(points[:, 0]).astype(int)] == 0
    assert changed[np.rint(points[clear, 1]).astype(int), np.rint(points[clear, 0]).astype(int)].mean() > 0.8
    alone = (share == 1) & (np.maximum(with_far, without).max(-1) < 0.8)  # what is brighter may be cut
    np.testing.assert_allclose(with_far[alone], exposure * without[alone], atol=0.02)


def test_labels_hold_what_others_hide(scenes):
    reader, images = scenes
    found = 0
    for index, whole in enumerate(images[:10]):
        people = reader.crowd("train", index).people
        assert [scene.distance for scene in people] == sorted(scene.distance for scene in people)
        for number, face in enumerate(whole.faces):
            others = hidden(people[:number], face.landmarks)
            assert (face.visibility[others] == OCCLUDED).all()
            found += int(others.sum())
            assert whole.ignored[number] == ((face.visibility == VISIBLE).mean() < 0.2)
    assert found > 10
    assert sum(whole.ignored.sum() for whole in images) < 0.15 * len(reader.faces(["train", "test"]))


def test_people_are_lit_by_the_same_light_and_taken_by_the_same_camera(scenes):
    reader, images = scenes
    index = next(i for i, whole in enumerate(images) if len(whole.faces) > 2)
    people = reader.crowd("train", index).people
    assert len({scene.light.sun.tobytes() for scene in people}) == 1
    assert len({scene.film for scene in people}) == 1
    focal = [scene.scale * scene.distance for scene in people]
    np.testing.assert_allclose(focal, focal[-1], rtol=0.3)


@pytest.mark.parametrize("scheme", ["98", "29"])
def test_schemes_have_the_same_boxes(scheme, scenes):
    faces = SyntheticScenes(difficulty="hard", scheme=scheme, size=4, resolution=128).faces(["train"])
    for face, same in zip(faces, scenes[0].faces(["train"]), strict=False):
        assert (face.scheme, len(face.landmarks)) == (scheme, int(scheme))
        np.testing.assert_allclose(face.box, same.box)


def test_fingerprint_follows_what_the_pixels_depend_on(scenes):
    reader, images = scenes
    assert len({reader.fingerprint(whole) for whole in images}) == len(images)
    whole = images[0]
    options = [{"render_seed": 1}, {"difficulty": "easy"}, {"resolution": 256}, {"faces": 3}, {"empty": 0.5}, {}]
    others = [SyntheticScenes(**{"difficulty": "hard", **SMALL, **option}) for option in options]
    assert len({other.fingerprint(whole) for other in others}) == 6
    assert others[-1].fingerprint(whole) == reader.fingerprint(whole)
    face = next(whole for whole in images if whole.faces).faces[0]
    assert reader.fingerprint(face).endswith(face.image.as_posix())


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"difficulty": "extreme"}, "'extreme' is none of easy, medium, hard"),
        ({"size": 0}, "size=0"),
        ({"resolution": 64}, "resolution=64"),
        ({"faces": 0}, "faces=0"),
        ({"empty": 1.5}, "empty=1.5 is no share"),
    ],
)
def test_wrong_options_are_named(option, words):
    with pytest.raises(ValueError, match=words):
        SyntheticScenes(**option)


def test_wrong_requests_are_named(scenes):
    with pytest.raises(DataError, match="no part 'val'; the parts are train, test"):
        scenes[0].whole_images(["val"])
    for name in ("scenes/train/000010.png", "synthetic/train/000000.png"):
        with pytest.raises(DataError, match=name):
            scenes[0].pixels(Path(name))


def test_the_photo_view_trains_on_scenes_with_faces_and_without(tmp_path):
    reader = {"reader": "canthus.data.synthetic.SyntheticScenes", "size": 10, "resolution": 128, "empty": 0.4}
    module = face_data(
        InputSpec(48, 3, centred_box(48, 0.2)), view="image", name="scenes", train_parts=["train"], test_parts=["test"],
        scheme="5", validation=0.3, batch_size=7, landmark_faces=3, cache=tmp_path, **reader,
    )  # fmt: skip
    module.prepare_data()
    module.setup("fit")
    train, held_out = module.images("train"), module.images("val")
    assert len(train) + len(held_out) == 10
    assert {bool(whole.faces) for whole in train} == {True, False}
    assert {bool(whole.faces) for whole in held_out} == {True, False}
    batch = next(iter(module.train_dataloader()))
    assert len(batch["boxes"]) == sum(len(train[row].faces) for row in batch["index"])
    assert batch["complete"].all()
    assert batch["faces"]["landmarks"].shape == (3, 5, 2)
