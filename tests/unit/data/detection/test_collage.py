import numpy as np
import pytest

from canthus.data.detection.collage import Collages
from canthus.data.synthetic import Synthetic
from canthus.utils.errors import DataError


@pytest.fixture(scope="module")
def source():
    return Synthetic(size=6, resolution=160)


def collages(source, count=12, **options):
    return Collages(source, source.whole_images(["train"])[:4], count, **options)


def test_a_scene_is_the_same_picture_every_time(source):
    first, second = collages(source), collages(source, count=30)
    image = first.scenes()[3].image
    assert np.array_equal(first.pixels(image), second.pixels(image))
    assert first.fingerprint(first.scenes()[3]) == second.fingerprint(second.scenes()[3])
    assert not np.array_equal(first.pixels(image), collages(source, seed=1).pixels(image))


def test_labels_are_those_of_the_pasted_faces(source):
    maker = collages(source, empty=0.0)
    scenes = maker.scenes()
    assert sum(len(scene.faces) for scene in scenes) >= 12
    for scene in scenes:
        for face in scene.faces:
            # the box is the tight box of the points, as in the donors
            assert np.allclose(face.box, [*face.landmarks.min(0), *face.landmarks.max(0)])
            assert 24 <= (face.box[2:] - face.box[:2]).mean() <= 150


def test_a_pasted_face_shows_its_donor(source):
    maker = collages(source, empty=0.0)
    scene, pasted = maker._scene(0)
    picture = maker.pixels(scene.image).astype(float)
    face, donor = scene.faces[-1], pasted[-1]  # nothing is in front of the last
    points = face.landmarks[[30, 33, 51]].round().astype(int)
    inside = ((points >= 0) & (points < maker.size)).all(1)
    before = source.pixels(donor.image).astype(float)
    scale = (donor.box[2] - donor.box[0]) / (face.box[2] - face.box[0])
    for point, original in zip(points[inside], donor.landmarks[[30, 33, 51]][inside], strict=True):
        x, y = original.round().astype(int)
        reach = max(int(scale), 1)
        around = before[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1].mean((0, 1))
        assert np.abs(picture[point[1], point[0]] - around).max() < 60
    assert inside.any()


def test_some_scenes_are_empty_and_all_are_pictures(source):
    scenes = collages(source, count=60).scenes()
    empty = sum(not scene.faces for scene in scenes) / 60
    assert 0.2 < empty < 0.6
    maker = collages(source, count=5, size=128)
    for scene in maker.scenes():
        picture = maker.pixels(scene.image)
        assert picture.shape == (128, 128, 3)
        assert picture.std() > 3


def test_images_pass_through(source):
    maker = collages(source)
    photo = source.whole_images(["train"])[0]
    assert np.array_equal(maker.pixels(photo.image), source.pixels(photo.image))
    assert maker.fingerprint(photo) == source.fingerprint(photo.faces[0])
    assert len(maker.faces(["train", "collages"])) == 6 + sum(len(scene.faces) for scene in maker.scenes())


def test_without_faces_there_is_nothing_to_paste(source):
    with pytest.raises(DataError, match=r"data\.scenes=0"):
        Collages(source, [], 3)
