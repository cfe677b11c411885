"""What is in one rendered photograph: every choice that a label depends on, drawn from the face's own stream."""

from dataclasses import dataclass

import numpy as np

from canthus.data.synthetic.head import Camera, Points, rotation, with_contour
from canthus.data.synthetic.occluders import HELD, Occluder, held, worn
from canthus.data.synthetic.shape import IDENTITY_MODES, Traits, shape

MARGIN = 3.0
"""Pixels between any landmark and the border of the picture."""


@dataclass(frozen=True)
class Difficulty:
    """Ranges that scenes are drawn from.

    Attributes:
        yaw: largest turn, degrees; pitch and roll likewise.
        expression: strength of expressions, 0 to 1.
        occluded: probability of something in front of the face.
        light: largest difference between the lit and the other side, 0 to 1.
        blur: largest blur, as a share of the interocular distance (standard deviation).
        coarse: probability that the camera had far fewer pixels.
        noise: largest sensor noise, grey levels (standard deviation).
    """

    yaw: float
    pitch: float
    roll: float
    expression: float
    occluded: float
    light: float
    blur: float
    coarse: float
    noise: float


DIFFICULTIES = {
    "easy": Difficulty(15, 8, 8, 0.4, 0.0, 0.3, 0.008, 0.0, 2),
    "medium": Difficulty(30, 14, 18, 0.8, 0.2, 0.55, 0.02, 0.1, 5),
    "hard": Difficulty(40, 20, 30, 1.0, 0.5, 0.85, 0.04, 0.3, 10),
}


@dataclass(frozen=True)
class Scene:
    """One face before a camera.

    Attributes:
        traits: who and with what expression.
        pose: yaw, pitch, roll in radians, see ``rotation``.
        camera: maps turned points to pixels.
        landmarks: (68, 2) pixels.
        occluders: what lies in front of the face.
        gaze: right and down, -1 to 1.
        light: direction from which light comes, (x, y, z) of unit length, y down, z towards the camera.
        contrast: difference between the lit and the other side, 0 to 1.
        exposure: factor on all light.
        blur: standard deviation, pixels.
        reduction: pixels of the picture per pixel of the camera, 1 or more.
        noise: standard deviation, grey levels.
    """

    traits: Traits
    pose: tuple[float, float, float]
    camera: Camera
    landmarks: Points
    occluders: tuple[Occluder, ...]
    gaze: tuple[float, float]
    light: tuple[float, float, float]
    contrast: float
    exposure: float
    blur: float
    reduction: float
    noise: float

    @property
    def visible(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """(68,) whether nothing covers a point."""
        hidden = np.zeros(len(self.landmarks), dtype=bool)
        for occluder in self.occluders:
            hidden |= occluder.covers(self.landmarks)
        return ~hidden

    @property
    def attributes(self) -> frozenset[str]:
        """The conditions that hold, by the names that the data sets use."""
        yaw, pitch, roll = np.abs(np.rad2deg(self.pose))
        t = self.traits
        conditions = {
            "occlusion": not self.visible.all(),
            "low_resolution": self.reduction > 2,
            "lighting": self.contrast > 0.45 or not 0.7 < self.exposure < 1.25,
            "blur": self.blur > 0.015 * self.camera.scale,
            "pose": yaw > 20 or pitch > 12 or roll > 20,
            "expression": t.open > 0.4 or abs(t.smile) > 0.6 or max(t.blink_left, t.blink_right) > 0.7,
        }
        return frozenset(name for name, holds in conditions.items() if holds)


def draw_scene(random: np.random.Generator, difficulty: Difficulty, resolution: int) -> Scene:
    """Draw a scene.

    Args:
        random: the face's stream; every scene takes its numbers in the same order.
        difficulty: the ranges.
        resolution: side of the picture, pixels.
    """
    d = difficulty
    traits = _traits(random, d.expression)
    limits = np.deg2rad([d.yaw, d.pitch, d.roll])
    # two thirds of people look roughly at the camera, the others anywhere in the range
    spread = 0.35 if random.random() < 0.6 else 1.0
    yaw, pitch, roll = (float(a) for a in random.uniform(-1, 1, 3) * limits * (spread, spread, max(spread, 0.6)))
    distance = float(random.uniform(8, 24))

    turn, whole = rotation(yaw, pitch, 0), rotation(yaw, pitch, roll)
    turned = with_contour(shape(traits), turn) @ whole.T
    camera = _frame(random, turned, distance, resolution)
    landmarks = camera.project(turned)

    kind = random.choice(HELD) if random.random() < d.occluded else None
    occluders = () if kind is None else held(str(kind), random, landmarks, camera.scale)
    if d.occluded and random.random() < 0.04:
        occluders += worn("sunglasses", landmarks, camera.scale)
    if d.occluded and random.random() < 0.04:
        occluders += worn("mask", landmarks, camera.scale)

    light = random.normal(size=3) * (1, 0.7, 0.3) + (0, -0.5, 0.7)
    light /= np.linalg.norm(light)
    coarse = random.random() < d.coarse
    return Scene(
        traits=traits,
        pose=(yaw, pitch, roll),
        camera=camera,
        landmarks=landmarks,
        occluders=occluders,
        gaze=(float(random.uniform(-1, 1)), float(random.uniform(-0.5, 0.5))),
        light=(float(light[0]), float(light[1]), float(light[2])),
        contrast=float(random.uniform(0.1, 1) * d.light),
        exposure=float(np.exp(random.uniform(-0.45, 0.35) * d.light)),
        blur=float(random.random() ** 2 * d.blur * camera.scale),
        # so many that 20 to 45 camera pixels lie between the eyes' outer corners
        reduction=max(1.0, camera.scale / random.uniform(16, 32)) if coarse else 1.0,
        noise=float(random.random() ** 2 * d.noise),
    )


def _traits(random: np.random.Generator, expression: float) -> Traits:
    identity = np.clip(random.normal(size=len(IDENTITY_MODES)), -2.2, 2.2)
    smile, brows, jaw, pucker, lids, wink = random.random(6)
    left = right = 0.35 * random.random() * expression
    if lids < 0.12 * expression:
        left = right = 1.0
    elif wink < 0.04 * expression:
        left, right = (1.0, right) if wink < 0.02 * expression else (left, 1.0)
    return Traits(
        **dict(zip(IDENTITY_MODES, identity.tolist(), strict=True)),
        open=float(max(jaw - 0.55, 0) / 0.45 * expression),
        smile=float((1.5 * smile - 0.5) * expression),
        pucker=float(max(pucker - 0.85, 0) / 0.15 * expression),
        raise_=float((2 * brows - 1) * expression),
        blink_left=left,
        blink_right=right,
    )


def _frame(random: np.random.Generator, turned: Points, distance: float, resolution: int) -> Camera:
    """Place a head so that all its landmarks are in the picture and the face box takes a usual share of it."""
    plain = Camera(1.0, (0.0, 0.0), distance).project(turned)
    low, high = plain.min(0), plain.max(0)
    share = random.uniform(0.36, 0.54)
    room = resolution - 1 - 2 * MARGIN
    scale = min(share * resolution / float((high - low).mean()), 0.95 * room / float((high - low).max()))
    free = (room - scale * (high - low)) / 2
    middle = (resolution - 1) / 2 + free * np.clip(random.normal(size=2) * 0.3, -1, 1)
    offset = middle - scale * (low + high) / 2
    return Camera(scale, (float(offset[0]), float(offset[1])), distance)
