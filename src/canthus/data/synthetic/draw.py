"""Drawing scenes: every choice that a label depends on, from the face's own streams."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import numpy as np
import torch

from canthus.data.synthetic.background import muted
from canthus.data.synthetic.expression import Expression, expressed
from canthus.data.synthetic.film import Film, draw_film
from canthus.data.synthetic.hair import hair, hat
from canthus.data.synthetic.held import draw_held
from canthus.data.synthetic.labels import landmarks
from canthus.data.synthetic.light import Light, draw_light
from canthus.data.synthetic.mesh import head_mesh
from canthus.data.synthetic.one_thread import one_thread
from canthus.data.synthetic.parts import Part, ears, teeth, torso
from canthus.data.synthetic.person import Person, draw_person, linear
from canthus.data.synthetic.scene import EYES_APART, Scene
from canthus.data.synthetic.surface import Array, controls, fit
from canthus.data.synthetic.worn import draw_worn
from canthus.geometry.pose import camera_rotation

__all__ = ["DIFFICULTIES", "WITHOUT", "Difficulty", "draw_scene"]

SPREAD = (12.5, 9.0, 7.5)
"""Degrees of yaw, pitch and roll by which people who look at the camera stray from it: standard deviations."""
CLOSED = 0.43
"""Share of mouths whose lips meet."""
EYE_PLACE = np.array([0, -0.6, 9.0])
"""Of the middle of an eyeball, from the middle between the corners of the eye."""
MARGIN = 3.0
"""Pixels between any landmark and the border of the image."""
WITHOUT = (
    "background", "camera", "expression", "glasses", "hair", "hats", "light", "occluders", "pose", "shape", "skin",
)  # fmt: skip
"""Parts of the renderer that can be left out, to measure what each is worth."""


@dataclass(frozen=True)
class Difficulty:
    """Ranges that scenes are drawn from.

    Attributes:
        yaw: largest turn, degrees; pitch and roll likewise.
        anyhow: share of heads that are turned anyhow within these; the others look roughly at the camera.
        expression: strength of expressions, 0 to 1.
        occluded: probability of something held before the face.
        worn: probability of glasses; hats are half as frequent, masks rare.
        light: how one-sided the light may be, 0 to 1.
        film: how bad the camera may be, 0 to 1.
    """

    yaw: float
    pitch: float
    roll: float
    anyhow: float
    expression: float
    occluded: float
    worn: float
    light: float
    film: float


DIFFICULTIES = {
    "easy": Difficulty(20, 16, 8, 0.2, 0.5, 0.0, 0.08, 0.35, 0.25),
    "medium": Difficulty(50, 28, 25, 0.1, 1.0, 0.15, 0.16, 0.7, 0.6),
    "hard": Difficulty(90, 36, 40, 0.25, 1.2, 0.4, 0.25, 1.0, 1.0),
}


@one_thread
def draw_scene(
    stream: Callable[[str], np.random.Generator], difficulty: Difficulty, resolution: int, without: Collection[str] = ()
) -> Scene:
    """Draw a scene.

    Args:
        stream: purpose to a generator of its own, so that leaving a part out changes no other.
        difficulty: the ranges.
        resolution: side of the image, pixels.
        without: of `WITHOUT`.
    """
    d = difficulty
    person = draw_person(stream("person"), plain_hair="hair" in without)
    if "shape" in without:
        person = replace(person, rest=controls().points)
    expression = Expression() if "expression" in without else _expression(stream("expression"), d.expression)
    points = expressed(person.rest, expression)
    pose = _pose(stream("pose"), d, still="pose" in without)
    own = stream("hair")
    parts = [part.turned(pose.rotation) for part in _on_the_head(person, expression, points, pose)]
    head_wear = _hat(stream("hats"), d) if "hats" not in without else None
    parts += [part.turned(pose.rotation) for part in _hair(person, points, head_wear, own)]
    parts.append(_shoulders(stream("clothes"), pose))

    corners = head_mesh().shaped(points) @ pose.rotation.T
    eyes, gaze = _eyes(points, pose.rotation, pose.distance, pose.gaze_free, pose.gaze_turn)
    scene = Scene(
        person=person,
        expression=expression,
        angles=pose.angles,
        corners=corners,
        parts=(),
        gaze=gaze,
        eyes=eyes,
        distance=pose.distance,
        scale=1.0,
        centre=np.zeros(2),
        light=_flat() if "light" in without else draw_light(stream("light"), d.light),
        film=Film(),
        glasses=None,
        curly=float(person.style == "afro" or own.random() < 0.2),
    )
    scale, centre = _frame(scene.project(landmarks(scene, "68")), pose.share, pose.place, resolution)
    scene = replace(scene, scale=scale, centre=centre)
    glasses = None
    if "glasses" not in without:
        glasses, worn = draw_worn(stream("worn"), points, d.worn)
        parts += [part.turned(pose.rotation) for part in worn]
    if "occluders" not in without:
        parts += draw_held(stream("held"), corners[[head_mesh().named[str(i)] for i in range(68)]], d.occluded)
    film = Film() if "camera" in without else draw_film(stream("film"), d.film, EYES_APART * scale)
    return replace(scene, parts=tuple(parts), film=film, glasses=glasses)


@dataclass(frozen=True, eq=False)
class _Pose:
    """How a head is held before the camera.

    Attributes:
        angles: (3,) yaw, pitch, roll, radians.
        rotation: (3, 3) of the same.
        distance: from the camera, millimetres.
        share: of the image's side that the face box takes.
        place: (2,) of the face in the room that is left, -1 to 1.
        gaze_free: whether the eyes look ahead, not at the camera.
        gaze_turn: (2,) by which they stray.
        upright: (3,) share of the angles that the shoulders follow.
        teeth: random numbers of the teeth, the last that this stream gives.
    """

    angles: Array
    rotation: Array
    distance: float
    share: float
    place: Array
    gaze_free: bool
    gaze_turn: Array
    upright: Array
    teeth: tuple[float, float]


def _pose(random: np.random.Generator, d: Difficulty, *, still: bool) -> _Pose:
    angles = _angles(random, d) * (0.0 if still else 1.0)
    distance = float(np.exp(random.uniform(np.log(380), np.log(2600))))
    share, place = random.uniform(0.36, 0.54), np.clip(random.normal(size=2) * 0.3, -1, 1)
    gaze_free, gaze_turn = random.random() < 0.5, random.normal(size=2) * (0.25, 0.12)
    upright = random.uniform(0.2, 0.7, 3)
    rotation = np.asarray(camera_rotation(torch.from_numpy(angles)).numpy())
    teeth = random.uniform(0.8, 1.05), random.uniform(-1.2, 1.2)
    return _Pose(angles, rotation, distance, share, place, gaze_free, gaze_turn, upright, teeth)


def _on_the_head(person: Person, expression: Expression, points: Array, pose: _Pose) -> list[Part]:
    """Ears, and the teeth of an open mouth, before they turn with the head."""
    parts = ears(points[0], points[16], person.skin)
    if expression.closed:
        return parts
    brightness, lower = pose.teeth
    white = linear(np.array([225, 215, 195]) * brightness)
    edge = points[33, 1] + 21.5 + lower
    lower_edge = controls().points[33, 1] + 23.0 + points[66, 1] - person.rest[66, 1]
    back = np.array([0, 0, 4.8 * expression.pucker])  # lips that pucker leave the teeth behind
    ends = points[62] + back, points[66] + back
    return parts + teeth(*ends, edge, max(lower_edge, edge + 0.5), expression.jaw, white)


def _hair(person: Person, points: Array, head_wear: str | None, random: np.random.Generator) -> list[Part]:
    """Hair, as far as what is worn on the head leaves it to be seen, and that."""
    covered = head_wear in ("beanie", "hood", "scarf")
    strands = hair(person, points, random)
    if covered and person.style in ("afro", "tied", "medium", "short", "receding"):
        strands = []
    return [*strands, *(hat(head_wear, points, linear(muted(random)), random) if head_wear else ())]


def _shoulders(random: np.random.Generator, pose: _Pose) -> Part:
    """They turn less than the head, about the neck."""
    body = np.asarray(camera_rotation(torch.from_numpy(pose.angles * pose.upright)).numpy())
    pivot = np.array([0.0, 60, 50])
    shift = pose.rotation @ pivot - body @ pivot
    shoulders = torso(random, linear(muted(random))).turned(body)
    return replace(shoulders, points=shoulders.points + shift)


def _flat() -> Light:
    around = np.zeros((9, 3))
    around[0] = 1
    return Light(around, np.array([0.0, 0.0, -1.0]), np.ones(3), 0.0)


def _angles(random: np.random.Generator, d: Difficulty) -> Array:
    limits, level = np.deg2rad([d.yaw, d.pitch, d.roll]), np.array([0, fit().pitch, 0])
    wide = random.random() < d.anyhow
    narrow = np.clip(level + random.normal(size=3) * np.deg2rad(SPREAD), -limits, limits)
    return np.asarray(np.where(wide, random.uniform(-1, 1, 3) * limits, narrow))


def _expression(random: np.random.Generator, strength: float) -> Expression:
    modes = np.clip(random.normal(size=8), -2.2, 2.2) * 0.65
    r = random.random(10)
    closed = r[0] < CLOSED
    jaw = 0.0 if closed else min(0.065 - 0.055 * np.log(1 - r[1]), 0.4) * min(strength, 1.1)
    smile = 1.15 * r[2] if r[3] < 0.5 else 0.5 * r[2] - 0.35
    bare = r[4] * (0.65 if smile > 0.45 else 0.18) if r[4] > 0.35 and not closed else 0.0
    lids = 0.35 * (2 * r[5] - 1) + 0.15 * max(smile, 0)
    blink = (lids, lids)
    if r[6] < 0.03:
        blink = (1.0, 1.0)
    elif r[6] < 0.04:
        blink = (1.0, lids) if r[7] < 0.5 else (lids, 1.0)
    return Expression(
        jaw=float(jaw),
        smile=float(np.clip(smile * strength, -1, 1.2)),
        pucker=float(max(r[8] - 0.86, 0) / 0.14 * strength * (smile < 0.3)),
        brows=float(np.clip(random.normal() * 0.5 * strength, -1.1, 1.3)),
        bare=float(bare * strength),
        blink=(
            float(blink[0] * strength if blink[0] < 1 else 1.0),
            float(blink[1] * strength if blink[1] < 1 else 1.0),
        ),
        aside=float(random.normal() * 0.8),
        closed=closed,
        modes=tuple(float(m) for m in modes),
    )


def _hat(random: np.random.Generator, d: Difficulty) -> str | None:
    kind = str(random.choice(["beanie", "cap", "hood", "scarf"], p=[0.3, 0.35, 0.15, 0.2]))
    return kind if random.random() < d.worn / 2 else None


def _eyes(points: Array, rotation: Array, distance: float, free: bool, turn: Array) -> tuple[Array, Array]:
    """Centres of the eyeballs and directions of the gaze."""
    centres = np.stack([points[[36, 39]].mean(0), points[[42, 45]].mean(0)]) + EYE_PLACE
    turned = centres @ rotation.T
    ahead = np.array([0.0, 0.0, -1.0]) if free else None
    gaze = []
    for centre in turned:
        local = ahead if ahead is not None else rotation.T @ -(centre + distance * np.array([0, 0, 1]))
        local = local / np.linalg.norm(local)
        local[:2] += turn * (1.0 if free else 0.25)
        local[:2] = np.clip(local[:2] / -local[2] if local[2] < -0.1 else local[:2], (-0.55, -0.3), (0.55, 0.35))
        local[2] = -1.0
        gaze.append(rotation @ (local / np.linalg.norm(local)))
    return turned, np.array(gaze)


def _frame(plain: Array, share: float, place: Array, resolution: int) -> tuple[float, Array]:
    """Scale and centre that put all landmarks into the image and give the face box a usual share of it."""
    low, high = plain.min(0), plain.max(0)
    room = resolution - 1 - 2 * MARGIN
    scale = min(share * resolution / float((high - low).mean()), 0.95 * room / float((high - low).max()))
    free = (room - scale * (high - low)) / 2
    return scale, (resolution - 1) / 2 + free * place - scale * (low + high) / 2
