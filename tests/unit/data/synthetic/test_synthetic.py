"""Rendered faces: labelled exactly, and showing at the labels what the labels claim."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from canthus.data.readers import W300
from canthus.data.split import hold_out
from canthus.data.synthetic import Synthetic
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


def test_each_point_of_29_is_what_its_name_says():
    """Against the 68 points, of which most are, and by what lies above and beside what."""
    scene = plain_scene()
    names = load_scheme("29").names
    points = dict(zip(names, scene.project(landmarks(scene, "29")), strict=True))
    reference = scene.project(landmarks(scene, "68"))
    same = {
        "brow_left_outer": 17, "brow_left_inner": 21, "brow_right_inner": 22, "brow_right_outer": 26,
        "eye_left_outer": 36, "eye_left_inner": 39, "eye_right_inner": 42, "eye_right_outer": 45, "nose_tip": 30,
        "nose_base": 33, "mouth_left": 48, "upper_lip_top": 51, "mouth_right": 54, "lower_lip_bottom": 57,
        "upper_lip_bottom": 62, "lower_lip_top": 66, "chin": 8,
    }  # fmt: skip
    for name, number in same.items():
        np.testing.assert_allclose(points[name], reference[number], atol=1e-6, err_msg=name)
    for side in ("left", "right"):
        for part in ("brow", "eye"):
            upper, lower = points[f"{part}_{side}_upper"], points[f"{part}_{side}_lower"]
            outer, inner = points[f"{part}_{side}_outer"], points[f"{part}_{side}_inner"]
            assert lower[1] - upper[1] > 1, (part, side)
            for middle in (upper, lower):
                assert min(outer[0], inner[0]) < middle[0] < max(outer[0], inner[0]), (part, side)
        lids = [points[f"eye_{side}_{kind}"] for kind in ("upper", "lower")]
        assert lids[0][1] < points[f"pupil_{side}"][1] < lids[1][1]
        corners = sorted([points[f"eye_{side}_outer"][0], points[f"eye_{side}_inner"][0]])
        assert corners[0] < points[f"pupil_{side}"][0] < corners[1]
    assert points["nose_left"][0] < points["nose_base"][0] < points["nose_right"][0]
    assert points["nose_tip"][1] < points["nose_left"][1] + 6
    assert len(same) + 12 == len(names)


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


def test_heads_have_the_mean_shape_of_labelled_images(real_data):
    """Of faces that no training on 300-W validates on; the generic face alone is 3 % of the eyes' distance away."""
    images = W300(real_data / "300w", allow_partial=True).faces(["helen/trainset", "afw"])
    held_out = hold_out(images, 0.1, 0)
    real = [face.landmarks for face, held in zip(images, held_out, strict=True) if not held]
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
