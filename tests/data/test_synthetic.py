"""Rendered faces: the same on every call, labelled exactly, and showing at the labels what the labels claim."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from canthus.data.face import OCCLUDED, VISIBLE, DataError
from canthus.data.synthetic import Synthetic
from canthus.data.synthetic.accessories import paint_occluder
from canthus.data.synthetic.canvas import Canvas, smooth
from canthus.data.synthetic.head import Camera, rotation, with_contour
from canthus.data.synthetic.occluders import HELD, held, worn
from canthus.data.synthetic.render import render
from canthus.data.synthetic.scene import DIFFICULTIES, Scene
from canthus.data.synthetic.shape import IDENTITY_MODES, NEUTRAL, Traits, shape
from canthus.schemes import load_scheme

FLIP = list(load_scheme("68").flip)
MIRROR = np.array([-1, 1, 1])


@pytest.fixture(scope="module")
def medium():
    reader = Synthetic(size=300)
    return reader, reader.faces(["train", "test"])


def plain_scene(traits=Traits(), pose=(0.0, 0.0, 0.0)):  # noqa: B008  frozen
    """An evenly lit face in the middle of a sharp picture."""
    camera = Camera(70.0, (127.3, 100.6), 16.0)
    turned = with_contour(shape(traits), rotation(*pose[:2], 0)) @ rotation(*pose).T
    return Scene(traits, pose, camera, camera.project(turned), (), (0.0, 0.0), (0.0, -0.4, 0.9), 0.1, 1.0, 0, 1, 0)


def paint(scene, seed=0):
    return render(scene, np.random.default_rng(seed), 256).astype(float)


def colour_at(picture, point):
    """Bilinear value at a position, as samplers with integer pixel centres read it."""
    x, y = np.float32(point)
    return cv2.remap(picture.astype(np.float32), np.array([[x]]), np.array([[y]]), cv2.INTER_LINEAR)[0, 0]


def test_same_face_whatever_order_process_state_or_thread(medium):
    reader, faces = medium
    images = [face.image for face in faces[:6]]
    once = [reader.pixels(image) for image in images]
    other = Synthetic(size=300)
    backwards = [other.pixels(image) for image in reversed(images)][::-1]
    with ThreadPoolExecutor(2) as pool:
        threaded = list(pool.map(reader.pixels, images))
    for a, b, c in zip(once, backwards, threaded, strict=True):
        assert a.shape == (256, 256, 3)
        assert a.dtype == np.uint8
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
    for a, b in zip(faces[:50], other.faces(["train"])[:50], strict=True):
        np.testing.assert_array_equal(a.landmarks, b.landmarks)
        assert a.attributes == b.attributes


def test_a_larger_set_begins_with_the_smaller_one():
    small, large = Synthetic(size=5).faces(["train"]), Synthetic(size=9).faces(["train"])
    for a, b in zip(small, large, strict=False):
        np.testing.assert_array_equal(a.landmarks, b.landmarks)


def test_parts_and_seeds_share_no_face(medium):
    reader, faces = medium
    assert len(faces) == 300 + 60
    assert len({face.photo for face in faces}) == len(faces)
    assert len({face.identity for face in faces}) == len(faces)
    assert {face.part for face in faces} == {"train", "test"}
    shapes = {face.landmarks.tobytes() for face in faces}
    shapes |= {face.landmarks.tobytes() for face in Synthetic(size=300, render_seed=1).faces(["train"])}
    assert len(shapes) == 660
    train, test = (reader.pixels(Path(f"synthetic/{part}/000000.png")) for part in ("train", "test"))
    assert np.abs(train.astype(int) - test).mean() > 5


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_labels_lie_in_the_picture_and_say_what_they_should(difficulty):
    for face in Synthetic(size=150, difficulty=difficulty, resolution=128).faces(["train"]):
        assert face.landmarks.shape == (68, 2)
        assert (face.landmarks >= 2).all()
        assert (face.landmarks <= 125).all()
        np.testing.assert_allclose(face.box, [*face.landmarks.min(0), *face.landmarks.max(0)])
        assert np.abs(np.rad2deg(face.pose[0])) <= 42  # 40 in the renderer's order of turns
        assert ("occlusion" in face.attributes) == bool((face.visibility == OCCLUDED).any())
        assert set(face.visibility.tolist()) <= {OCCLUDED, VISIBLE}


def test_pose_is_that_of_300wlp():
    """Face.pose has one convention: what it turns to the image's left, up and clockwise, is so in the picture."""
    faces = Synthetic(size=300, difficulty="hard").faces(["train"])
    yaw, pitch, roll = np.array([face.pose for face in faces]).T
    points = np.stack([face.landmarks for face in faces])
    eyes = points[:, 45] - points[:, 36]
    aside = ((points[:, 30] - (points[:, 36] + points[:, 45]) / 2) * eyes).sum(1) / (eyes**2).sum(1)
    turned, tilted = np.abs(yaw) > 0.1, np.abs(roll) > 0.1
    assert (np.sign(aside) == -np.sign(yaw))[turned].mean() > 0.95
    assert (np.sign(eyes[:, 1]) == np.sign(roll))[tilted].mean() > 0.98
    # a lifted nose is nearer to the eyes
    height = (points[:, 30, 1] - points[:, 27, 1]) / np.linalg.norm(eyes, axis=1)
    assert np.corrcoef(pitch, height)[0, 1] < -0.5


def test_medium_holds_every_attribute_and_easy_no_hidden_point(medium):
    names = {name for face in medium[1] for name in face.attributes}
    assert names == {"occlusion", "low_resolution", "lighting", "blur", "pose", "expression"}
    assert not any("occlusion" in face.attributes for face in Synthetic(size=200, difficulty="easy").faces(["train"]))


def test_many_labels_are_made_quickly():
    reader = Synthetic(size=300)
    start = time.process_time()
    reader.faces(["train"])
    assert time.process_time() - start < 1


def test_base_shape_is_symmetric():
    np.testing.assert_array_equal(NEUTRAL[FLIP] * MIRROR, NEUTRAL)
    assert NEUTRAL[45, 0] - NEUTRAL[36, 0] == 1


def test_every_trait_mirrors():
    rng = np.random.default_rng(0)
    for _ in range(20):
        identity = dict(zip(IDENTITY_MODES, rng.normal(size=len(IDENTITY_MODES)), strict=True))
        expression = dict(zip(("open", "smile", "pucker", "raise_", "blink_left"), rng.random(5), strict=True))
        traits = Traits(**identity, **expression)
        np.testing.assert_allclose(shape(traits.mirrored())[FLIP] * MIRROR, shape(traits), atol=1e-12)


def test_a_turned_head_mirrors():
    traits = Traits(jaw=1.0, blink_left=0.6)
    yaw, pitch, roll = 0.5, 0.2, 0.3
    one = with_contour(shape(traits), rotation(yaw, pitch, 0)) @ rotation(yaw, pitch, roll).T
    two = with_contour(shape(traits.mirrored()), rotation(-yaw, pitch, 0)) @ rotation(-yaw, pitch, -roll).T
    np.testing.assert_allclose(two[FLIP] * MIRROR, one, atol=1e-9)


def test_angles_turn_the_way_they_say():
    tip = np.array([0.0, 0.0, 1.0])
    assert (rotation(0.3, 0, 0) @ tip)[0] > 0
    assert (rotation(0, 0.3, 0) @ tip)[1] < 0
    assert (rotation(0, 0, 0.3) @ [1, 0, 0])[1] > 0
    turn = rotation(0.4, -0.2, 0.1)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)


@pytest.mark.parametrize("yaw", [-0.7, -0.35, 0.0, 0.35, 0.7])
def test_jaw_is_the_outermost_line_of_the_face(yaw):
    turned = with_contour(NEUTRAL, rotation(yaw, 0, 0)) @ rotation(yaw, 0, 0).T
    jaw, inner = turned[:17], turned[17:]
    hull = cv2.convexHull(turned[:, :2].astype(np.float32))
    for x, y in inner[10:, :2].tolist():  # brows may reach above the ends of the jaw line
        assert cv2.pointPolygonTest(hull, (x, y), True) > 0.0
    assert (np.diff(jaw[:, 1])[:8] > 0).all()
    assert (np.diff(jaw[:, 1])[8:] < 0).all()


def test_drawn_dots_lie_where_they_are_put():
    rng = np.random.default_rng(1)
    for radius in (1.0, 2.5, 6.0):
        for point in rng.uniform(20, 44, (20, 2)):
            canvas = Canvas(64)
            canvas.disc(point, radius, (255, 255, 255))
            weight = canvas.finish()[..., 0].astype(float)
            y, x = np.mgrid[:64, :64]
            centroid = np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()
            assert np.abs(centroid - point).max() < 0.15
            assert abs(np.sqrt(weight.sum() / 255 / np.pi) - radius) < 0.4


def test_clipping_keeps_the_rest_and_positions():
    canvas, square = Canvas(64), np.array([(20.0, 20.0), (40, 20), (40, 40), (20, 40)])
    with canvas.clipped(square):
        canvas.polygon(np.array([(0.0, 0.0), (63, 0), (63, 30), (0, 30)]), (200, 0, 0))
        canvas.polygon(square + 10, (0, 200, 0), 0.5)
    picture = canvas.finish()
    assert picture[25, 25].tolist() == [200, 0, 0]
    assert picture[35, 35].tolist() == [0, 100, 0]
    assert not picture[10, 30].any()
    assert not picture[45, 45].any()
    with canvas.clipped(square + 500):
        canvas.disc(np.array([520.0, 520.0]), 5, (1, 2, 3))
    np.testing.assert_array_equal(canvas.finish(), picture)


def test_smooth_curves_pass_through_their_points():
    points = np.random.default_rng(2).uniform(0, 10, (6, 2))
    np.testing.assert_allclose(smooth(points)[::5], points)
    np.testing.assert_allclose(smooth(points, closed=True)[::5], points)


@pytest.mark.parametrize("seed", range(6))
def test_eyes_show_iris_and_white_between_the_lids(seed):
    scene = plain_scene(Traits(eyes=2.0))
    picture, p = paint(scene, seed).mean(-1), scene.landmarks
    for first in (36, 42):
        eye = p[first : first + 6]
        centre = eye[[1, 2, 4, 5]].mean(0)
        whites = [colour_at(picture, 0.7 * eye[corner] + 0.3 * centre) for corner in (0, 3)]
        assert max(whites) > colour_at(picture, centre) + 20


@pytest.mark.parametrize("seed", range(6))
def test_pictures_change_where_the_labels_are(seed):
    """Brow darker than the skin under it, lips redder than the skin round them, a step from jaw to neck."""
    scene = plain_scene(pose=(0.3, 0.1, 0.2))
    picture, p = paint(scene, seed), scene.landmarks
    grey, scale = picture.mean(-1), scene.camera.scale
    down = (p[8] - p[27]) / np.linalg.norm(p[8] - p[27])
    for point in p[[18, 19, 20, 23, 24, 25]]:
        assert colour_at(grey, point + 0.01 * scale * down) < colour_at(grey, point + 0.12 * scale * down)
    redness = picture[..., 0] / (picture.sum(-1) + 1)
    assert colour_at(redness, 0.5 * (p[57] + p[66])) > colour_at(redness, p[57] + 0.15 * scale * down)
    for point in p[[6, 7, 8, 9, 10]]:
        # a bearded chin is darker than the neck, a bare one brighter
        step = colour_at(picture, point - 0.06 * scale * down) - colour_at(picture, point + 0.06 * scale * down)
        assert np.abs(step).max() > 8


def test_an_open_mouth_is_dark_and_a_closed_one_is_not():
    wide, shut = plain_scene(Traits(open=1.0)), plain_scene()
    inside = wide.landmarks[[62, 66]].mean(0) - (0, 2)
    assert colour_at(paint(wide).mean(-1), inside) < 0.7 * colour_at(paint(shut).mean(-1), shut.landmarks[57] + (0, 8))


def test_mouth_contour_separates_lip_from_skin():
    """Moving the lips in the scene moves them in the picture: the label's line is where the colour steps."""
    scene = plain_scene(Traits(lips=1.5))
    picture, p = paint(scene, 3), scene.landmarks
    redness = picture[..., 0] / (picture.sum(-1) + 1)
    profile = np.array([colour_at(redness, p[51] + (0, d)) for d in np.arange(-4, 4.01, 0.25)])
    step = np.arange(-4, 4, 0.25)[np.diff(profile).argmax()] + 0.125
    assert abs(step) < 1


@pytest.mark.parametrize("kind", HELD)
def test_hidden_points_are_painted_over_and_seen_points_are_not(kind):
    points = plain_scene().landmarks
    hidden = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        (occluder,) = held(kind, rng, points, 70.0)
        canvas = Canvas(256)
        canvas.samples[:] = (255, 0, 255)
        paint_occluder(canvas, rng, occluder, np.array([200.0, 150.0, 120.0]))
        painted = (canvas.finish() != (255, 0, 255)).any(-1)
        # outlines are a pixel or two wide: points on the very border may go either way
        borders = [piece.astype(np.float32) for piece in occluder.pieces]
        for point, covered in zip(points, occluder.covers(points), strict=True):
            distance = min(abs(cv2.pointPolygonTest(border, point.tolist(), True)) for border in borders)
            if distance > 3:
                column, row = np.rint(point).astype(int)
                assert painted[row, column] == covered
                hidden += int(covered)
    assert hidden > 10


def test_sunglasses_hide_eyes_and_masks_hide_mouths():
    scene = plain_scene()
    glasses = replace(scene, occluders=worn("sunglasses", scene.landmarks, scene.camera.scale))
    assert not glasses.visible[36:48].any()
    assert glasses.visible[48:].all()
    assert "occlusion" in glasses.attributes
    mask = replace(scene, occluders=worn("mask", scene.landmarks, scene.camera.scale))
    assert not mask.visible[48:].any()
    assert not mask.visible[3:14].any()
    assert mask.visible[36:48].all()
    assert paint(glasses).mean(-1)[98:104, 100:106].mean() < 90


def test_wrong_requests_are_named(medium):
    reader, _ = medium
    with pytest.raises(ValueError, match="'extreme' is none of easy, medium, hard"):
        Synthetic(difficulty="extreme")
    with pytest.raises(ValueError, match="size=0"):
        Synthetic(size=0)
    with pytest.raises(ValueError, match="resolution=8"):
        Synthetic(resolution=8)
    with pytest.raises(DataError, match="no part 'val'; the parts are train, test"):
        reader.faces(["train", "val"])
    for name in ("synthetic/train/000300.png", "synthetic/test/000060.png", "elsewhere/000000.png"):
        with pytest.raises(DataError, match=name):
            reader.pixels(Path(name))


def test_fingerprint_follows_what_the_pixels_depend_on(medium):
    reader, faces = medium
    prints = {reader.fingerprint(face) for face in faces}
    assert len(prints) == len(faces)
    face = faces[0]
    others = [Synthetic(render_seed=1), Synthetic(difficulty="hard"), Synthetic(resolution=128)]
    assert len({other.fingerprint(face) for other in [reader, *others]}) == 4
    assert Synthetic(size=7).fingerprint(face) == reader.fingerprint(face)


def test_resolution_scales_the_same_scene():
    small, large = (Synthetic(size=1, resolution=r).faces(["train"])[0] for r in (128, 256))
    shapes = [(f.landmarks - f.landmarks.mean(0)) / np.linalg.norm(f.box[2:] - f.box[:2]) for f in (small, large)]
    np.testing.assert_allclose(*shapes, atol=1e-9)
    assert Synthetic(size=1, resolution=100).pixels(Path("synthetic/train/000000.png")).shape == (100, 100, 3)


def test_one_face_in_the_smallest_set():
    assert [face.photo for face in Synthetic(size=1).faces(["train", "test"])] == ["train/000000", "test/000000"]
