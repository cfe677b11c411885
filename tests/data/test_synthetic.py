"""Rendered faces: the same on every call, labelled exactly, and showing at the labels what the labels claim."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from canthus.data.face import OCCLUDED, VISIBLE, DataError
from canthus.data.readers import W300
from canthus.data.split import hold_out
from canthus.data.store import Store, StoreSpec, crop
from canthus.data.synthetic import Synthetic, source
from canthus.data.synthetic import render as render_module
from canthus.data.synthetic.draw import DIFFICULTIES, WITHOUT
from canthus.data.synthetic.expression import Expression, expressed
from canthus.data.synthetic.held import KINDS, held
from canthus.data.synthetic.labels import jaw_corners, landmarks, seen
from canthus.data.synthetic.mesh import head_mesh
from canthus.data.synthetic.parts import SHINY, ellipsoid
from canthus.data.synthetic.render import render
from canthus.data.synthetic.surface import controls, fit
from canthus.geometry import affine
from canthus.geometry.pose import camera_rotation
from canthus.geometry.shapes import procrustes_mean
from canthus.schemes import load_scheme, reduce_landmarks

FLIP = list(load_scheme("68").flip)
AHEAD = np.array([0, 0, 60])
MIRROR = np.array([-1, 1, 1])
PLAIN = ("background", "camera", "expression", "glasses", "hair", "hats", "light", "occluders", "pose")


@pytest.fixture(scope="module")
def medium():
    reader = Synthetic(size=120, resolution=96)
    return reader, reader.faces(["train", "test"])


def plain_scene(angles=(0.0, 0.0, 0.0), expression=None, scale=1.0, index=0):
    """An evenly lit, bare head in the middle of a sharp picture of 256."""
    scene = Synthetic(without=PLAIN).scene("train", index)
    angles = np.array(angles)
    points = expressed(scene.person.rest, expression or Expression())
    corners = head_mesh().shaped(points) @ camera_rotation(torch.tensor(angles)).numpy().T
    return replace(
        scene, angles=angles, corners=corners, parts=(), scale=scale, centre=np.array([127.5, 120.0]), distance=900.0
    )


def paint(scene, without=("background",)):
    return render([scene], [np.random.default_rng(0)], 256, without=without)[0].astype(float)


def colour_at(picture, point):
    """Bilinear value at a position, as samplers with integer pixel centres read it."""
    x, y = np.float32(point)
    return cv2.remap(picture.astype(np.float32), np.array([[x]]), np.array([[y]]), cv2.INTER_LINEAR)[0, 0]


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
        return render_module._light(scenes[begin:end], [np.random.default_rng(i) for i in range(begin, end)], **options)

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


def test_the_mesh_is_closed_symmetric_and_holds_the_generic_face():
    mesh, c = head_mesh(), controls()
    rows = [mesh.named[str(i)] for i in range(68)]
    np.testing.assert_allclose(mesh.rest[rows], c.points[:68], atol=1e-6)
    np.testing.assert_allclose(c.points[list(c.flip)] * MIRROR, c.points, atol=1e-9)
    mirrored = {tuple(place) for place in np.round(mesh.places * (-1, 1), 6) + 0.0}
    assert {tuple(place) for place in np.round(mesh.places, 6) + 0.0} == mirrored


def test_a_mirrored_head_has_mirrored_landmarks():
    """Another turn of the same, symmetric head: the jaw's outline and every scheme's order follow."""
    symmetric = replace(plain_scene().person, rest=controls().points)
    shaped = head_mesh().shaped(symmetric.rest)
    for scheme in ("68", "98", "29"):
        flip = list(load_scheme(scheme).flip)
        both = []
        for sign in (1, -1):
            angles = np.array([0.6 * sign, 0.2, 0.3 * sign])
            corners = shaped @ camera_rotation(torch.tensor(angles)).numpy().T
            gaze = np.array([[0.0, 0, -1], [0, 0, -1]])
            eyes = np.array([[-28.0, -30, -9], [28, -30, -9]]) @ camera_rotation(torch.tensor(angles)).numpy().T
            scene = replace(
                plain_scene(),
                person=symmetric,
                angles=angles,
                corners=corners,
                gaze=gaze,
                eyes=eyes,
                centre=np.zeros(2),
            )
            both.append(scene.project(landmarks(scene, scheme)))
        np.testing.assert_allclose(both[1][flip] * (-1, 1), both[0], atol=1e-6)


@pytest.mark.parametrize("angles", [(0.0, 0.0, 0.0), (0.5, 0.1, 0.3), (-1.2, -0.2, 0.0)])
def test_a_dot_on_the_head_is_where_the_label_is(angles):
    """A small ball put at a landmark's place in space shows at the landmark's place in the picture, to 0.1 pixel."""
    scene = plain_scene(angles)
    for point in landmarks(scene, "68")[[8, 30, 45]]:
        # nearer than the landmark, so that nothing hides it: the truth is the place of its own centre
        balls = [ellipsoid(point - AHEAD, np.eye(3) * 4, np.full(3, colour), SHINY) for colour in (0.0, 0.4)]
        shown = [(paint(replace(scene, parts=(ball,))) / 255) ** 2.2 for ball in balls]
        cover = np.abs(shown[1] - shown[0]).sum(-1)
        y, x = np.mgrid[:256, :256]
        centroid = np.array([(cover * x).sum(), (cover * y).sum()]) / cover.sum()
        assert np.abs(centroid - scene.project(point - AHEAD)).max() < 0.1


def test_the_outline_is_where_the_face_ends():
    """On a turned head the far jaw points lie on the border of the picture's head, the near ones inside it."""
    scene = plain_scene((0.9, 0.0, 0.0))  # nose to the image's left
    outline, fixed = landmarks(scene, "68"), landmarks(scene, "68", contour=False)
    assert (outline[:5, 0] <= fixed[:5, 0] - 1).all()
    np.testing.assert_allclose(outline[11:17], fixed[11:17], atol=6)
    picture = paint(scene)
    for point in scene.project(outline[2:6]):
        away = np.abs(colour_at(picture, point - np.array([3, 0])) - colour_at(picture, point + np.array([3, 0]))).max()
        assert away > 15
    assert len(set(jaw_corners(scene).tolist())) == 33


@pytest.mark.parametrize("scheme", ["68", "98", "29"])
def test_schemes_agree(scheme):
    faces = Synthetic(size=12, resolution=128, scheme=scheme).faces(["train"])
    reference = Synthetic(size=12, resolution=128).faces(["train"])
    for face, same in zip(faces, reference, strict=True):
        assert face.scheme == scheme
        assert len(face.landmarks) == load_scheme(scheme).num_landmarks
        np.testing.assert_allclose(face.box, same.box)
        source = load_scheme(scheme)
        common = "5"
        ours, _ = reduce_landmarks(face.landmarks, face.visibility, source, common)
        theirs, _ = reduce_landmarks(same.landmarks, same.visibility, load_scheme("68"), common)
        size = np.linalg.norm(same.box[2:] - same.box[:2])
        # mouth corners are the same points; pupils follow the gaze
        np.testing.assert_allclose(ours[3:], theirs[3:], atol=1e-6)
        assert np.abs(ours - theirs).max() < 0.08 * size
    if scheme == "98":
        eyes = [reduce_landmarks(f.landmarks, f.visibility, load_scheme("98"), "68")[0] for f in faces]
        for ours, same in zip(eyes, reference, strict=True):
            assert np.abs(ours[17:] - same.landmarks[17:]).max() < 1.5


def test_expressions_do_what_they_say():
    rest = controls().points
    smile, yawn = expressed(rest, Expression(smile=1.0)), expressed(rest, Expression(jaw=0.3))
    assert smile[54, 0] - smile[48, 0] > rest[54, 0] - rest[48, 0] + 8
    assert smile[48, 1] < rest[48, 1] - 3
    assert yawn[8, 1] > rest[8, 1] + 15
    np.testing.assert_allclose(yawn[27:36], rest[27:36])
    shut = expressed(rest, Expression(blink=(1.0, 0.0)))
    assert shut[41, 1] - shut[37, 1] < 1
    np.testing.assert_allclose(shut[42:48], rest[42:48], atol=1e-9)
    # lips and lids never cross, whatever the modes say
    random = np.random.default_rng(0)
    for _ in range(40):
        p = expressed(
            rest, Expression(modes=tuple(random.normal(size=8) * 2), blink=(1.0, 1.0), smile=random.uniform(-1, 1))
        )
        assert (p[[67, 66, 65], 1] - p[[61, 62, 63], 1] > 0.3).all()
        assert (p[[41, 40, 47, 46], 1] - p[[37, 38, 43, 44], 1] > 0.1).all()


def test_closed_lips_meet_and_open_ones_are_apart():
    """As people label them: one place for both lips, in four of ten faces."""
    reader = Synthetic(size=120)
    scenes = [reader.scene("train", i) for i in range(120)]
    closed = np.array([scene.expression.closed for scene in scenes])
    points = np.stack([scene.project(landmarks(scene, "68")) for scene in scenes])
    gaps = np.linalg.norm(points[:, [61, 62, 63]] - points[:, [67, 66, 65]], axis=-1)
    assert 0.3 < closed.mean() < 0.55
    assert (gaps[closed] < 1e-6).all()
    assert (gaps[~closed] > 1e-3).all()


def test_the_fit_is_symmetric():
    np.testing.assert_array_equal(fit().points[FLIP] * MIRROR, fit().points)


def test_heads_have_the_mean_shape_of_labelled_photographs(real_data):
    """Of faces that no training on 300-W validates on; the generic face alone is 3 % of the eyes' distance away."""
    photographs = W300(real_data / "300w", allow_partial=True).faces(["helen/trainset", "afw"])
    held_out = hold_out(photographs, 0.1, 0)
    real = [face.landmarks for face, held in zip(photographs, held_out, strict=True) if not held]
    reader = Synthetic()
    scenes = [reader.scene("train", i) for i in range(150)]
    drawn = [scene.project(landmarks(scene, "68")) for scene in scenes]
    goal, mean = (
        procrustes_mean(torch.tensor(np.stack(points)), torch.ones(len(points), 68), FLIP) for points in (real, drawn)
    )
    fitted = affine.apply(affine.similarity_fit(mean[None], goal[None]), mean[None])[0]
    away = (fitted - goal).norm(dim=1) / (goal[45] - goal[36]).norm()
    assert away.mean() < 0.01


@pytest.mark.parametrize("index", range(4))
def test_pictures_change_where_the_labels_are(index):
    """Brows darker than the skin above, lips redder than the skin round them, eyes between the lids."""
    scene = plain_scene((0.2, 0.1, 0.2), index=index, scale=1.2)
    picture, p = paint(scene), scene.project(landmarks(scene, "68"))
    grey = picture.mean(-1)
    down = (p[8] - p[27]) / np.linalg.norm(p[8] - p[27])
    brows = [colour_at(grey, point) - colour_at(grey, point - 9 * down) for point in p[[18, 19, 20, 23, 24, 25]]]
    assert np.mean(brows) < -8
    redness = picture[..., 0] / (picture.sum(-1) + 1)
    if scene.person.beard == "none":
        lips = [colour_at(redness, 0.5 * (p[outer] + p[inner])) for outer, inner in ((57, 66), (51, 62))]
        skin = [colour_at(redness, point) for point in (p[57] + 8 * down, p[51] - 6 * down)]
        assert np.mean(lips) > np.mean(skin) + 0.02
    for first in (36, 42):
        eye = p[first : first + 6]
        inside = [colour_at(grey, 0.55 * eye.mean(0) + 0.45 * corner) for corner in eye[[0, 3]]] + [
            colour_at(grey, eye.mean(0))
        ]
        assert max(inside) - min(inside) > 12


def test_an_open_mouth_is_dark_and_a_closed_one_is_not():
    wide, shut = plain_scene(expression=Expression(jaw=0.3)), plain_scene()
    inside = wide.project(landmarks(wide, "68"))[[62, 66]].mean(0)
    below = shut.project(landmarks(shut, "68"))[57] + (0, 8)
    assert colour_at(paint(wide).mean(-1), inside) < 0.6 * colour_at(paint(shut).mean(-1), below)


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_points_are_covered_and_seen_points_are_not(kind):
    scene = plain_scene()
    points = landmarks(scene, "68")
    bare, hidden = paint(scene), 0
    for seed in range(4):
        parts = held(kind, np.random.default_rng(seed), points)
        covered = replace(scene, parts=tuple(parts))
        changed = (np.abs(paint(covered) - bare) > 2).any(-1)
        # what is near the border of the thing may go either way
        border = cv2.dilate(changed.astype(np.uint8), np.ones((7, 7))) != cv2.erode(
            changed.astype(np.uint8), np.ones((7, 7))
        )
        before, after = seen(scene, points), seen(covered, points)
        assert not (after & ~before).any()
        for (x, y), was, now in zip(np.rint(scene.project(points)).astype(int), before, after, strict=True):
            if was and not border[y, x]:
                assert changed[y, x] == (not now)
                hidden += int(not now)
    assert hidden > 3


def test_a_turned_head_hides_its_far_side():
    scene = plain_scene((1.2, 0.0, 0.0))  # nose to the image's left: its left eye is far
    visible = seen(scene, landmarks(scene, "68", contour=False))
    assert not visible[[0, 1, 2, 36]].any()
    assert visible[[42, 43, 44, 45, 54, 14]].all()
    assert seen(plain_scene(), landmarks(plain_scene(), "68"))[17:].all()


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
    faces = Synthetic(size=6, photos_per_person=3).faces(["train"])
    assert [face.identity for face in faces] == ["train/0/0"] * 3 + ["train/0/1"] * 3
    scenes = [Synthetic(size=6, photos_per_person=3).scene("train", i) for i in range(4)]
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
