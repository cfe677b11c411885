"""The surface of a head as a function: a map (s, v), about millimetres round and down the head, to points in space.

A skull and neck of simple formulas carry control points: the 68 of the generic face, corrected by `fit.yaml` so that
heads show landmarks where people label them, and those of `head.yaml`.
Whatever moves the control points moves the whole surface, by interpolation with multiquadrics (Hardy, 1971), and
whatever is named by its place on the map, a landmark or a hair line, stays on the skin.

Frame: that of `canthus.geometry.generic_face`, x right, y down, z away from the camera.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from canthus.data.synthetic.one_thread import one_thread
from canthus.geometry.generic_face import generic_face
from canthus.utils.files import parse_yaml

__all__ = [
    "AXIS",
    "FIT",
    "SEAM",
    "Array",
    "Controls",
    "Fit",
    "Interpolation",
    "carried",
    "closed",
    "controls",
    "fit",
    "followers",
    "on_map",
    "skull",
]

Array = NDArray[np.float64]

AXIS = 45.0
"""Depth of the vertical axis that the map is wound about."""
RADIUS = 75.0
"""Millimetres of s for a radian of longitude."""
EQUATOR, CROWN = -45.0, 80.0
"""Height where the skull begins to close, and how much higher its top is."""
HALF_WIDTH, FRONT, BACK = 69.0, 80.0, 90.0
NECK = (50.0, 42.0)
"""Half width and half depth."""
FIT = Path(__file__).with_name("fit.yaml")
SEAM = ((61, 67), (62, 66), (63, 65))
"""Landmarks of the upper and the lower lip that meet when the mouth is closed."""
SOFTNESS = 6.0
"""Of the multiquadric: over how many millimetres a moved control point is rounded off."""


def on_map(points: Array) -> Array:
    """(N, 3) points near the surface to their (N, 2) places on the map."""
    x, y, z = points.T
    s = RADIUS * np.arctan2(x, AXIS - z)
    rise = np.clip((EQUATOR - y) / CROWN, 0, 1)
    return np.stack([s, np.where(y < EQUATOR, EQUATOR - CROWN * np.arcsin(rise), y)], 1)


def skull(places: Array) -> Array:
    """(N, 2) places to (N, 3) points of the plain skull and neck, before any control point."""
    s, v = places.T
    angle = s / RADIUS
    sine, cosine = np.abs(np.sin(angle)), np.cos(angle)
    depth = np.where(cosine > 0, FRONT, BACK)  # does not matter where the cosine changes sign
    radius = ((sine / HALF_WIDTH) ** 2.3 + (np.abs(cosine) / depth) ** 2.3) ** (-1 / 2.3)
    latitude = np.clip((EQUATOR - v) / CROWN, 0, np.pi / 2)
    radius = radius * np.cos(latitude)
    neck = ((sine / NECK[0]) ** 2 + (np.abs(cosine) / NECK[1]) ** 2) ** -0.5
    # the face ends at the chin, the back of the head a little below the ears
    front = np.clip(0.5 + 1.2 * cosine, 0, 1)
    low, high = -5 + 65 * front, 55 + 40 * front
    share = np.clip((v - low) / (high - low), 0, 1)
    share = share * share * (3 - 2 * share)
    radius = radius * (1 - share) + neck * share
    y = np.where(v < EQUATOR, EQUATOR - CROWN * np.sin(latitude), v)
    # necks lean: forward at the head, back at the shoulders
    return np.stack([radius * np.sin(angle), y, AXIS + 15 * share - radius * np.cos(angle)], 1)


class Interpolation:
    """Smooth interpolation of values at fixed places by multiquadrics and a linear part."""

    def __init__(self, places: Array, softness: float = SOFTNESS) -> None:
        n = len(places)
        self.places, self.softness = places, softness
        system = np.zeros((n + 3, n + 3))
        system[:n, :n] = self._kernel(places)
        system[:n, n:] = np.column_stack([np.ones(n), places / 100])
        system[n:, :n] = system[:n, n:].T
        self._inverse = np.linalg.inv(system)[:, :n]

    def _kernel(self, at: Array) -> Array:
        gap = at[:, None] - self.places
        return np.asarray(np.sqrt((gap**2).sum(-1) + self.softness**2) / 100)

    def matrix(self, at: Array) -> Array:
        """(N, n) matrix that takes values at the fixed places to values at ``at``."""
        return np.asarray(np.column_stack([self._kernel(at), np.ones(len(at)), at / 100]) @ self._inverse)


@dataclass(frozen=True, eq=False)
class Controls:
    """Control points of the head at rest: mouth closed, eyes open, nobody in particular.

    Attributes:
        points: (C, 3), the 68 landmarks first.
        places: (C, 2) on the map, where the lips are apart.
        names: C names; ``0`` to ``67`` for the landmarks, ``_l`` and ``_r`` for the image's sides of the others.
        flip: C indices of the mirror images.
    """

    points: Array
    places: Array
    names: tuple[str, ...]
    flip: tuple[int, ...]

    def index(self, name: str) -> int:
        """Of a named control point."""
        return self.names.index(name)


@dataclass(frozen=True, eq=False)
class Fit:
    """What `scripts/fit_head.py` measured on real images.

    Attributes:
        points: (68, 3) millimetres to add to the landmarks at rest, exactly symmetric.
        pitch: of a head that looks at the camera, radians: the frame of the generic face is tilted a little.
    """

    points: Array
    pitch: float


@lru_cache(maxsize=1)
def fit() -> Fit:
    """The fit that canthus ships."""
    content = parse_yaml(FIT.read_text(encoding="utf-8"))
    points = np.pad(np.array(content["points"], dtype=np.float64), ((0, 0), (0, 1)))
    return Fit(points, float(np.deg2rad(content["pitch"])))


@one_thread
def carried(places: Array, names: Sequence[str], moves: Array) -> Array:
    """Carry (M, 68, 3) moves of the landmarks over to all control points, (M, C, 3); the back and the neck stay."""
    still = np.array([name.startswith(("fixed", "neck")) for name in names])
    known = np.flatnonzero(still | (np.arange(len(names)) < 68))
    matrix = Interpolation(places[known], softness=10).matrix(places)
    values = np.zeros((len(moves), len(names), 3))
    values[:, :68] = moves
    spread = np.einsum("cn,mnk->mck", matrix, values[:, known])
    spread[:, still] = 0
    spread[:, :68] = moves
    return np.asarray(spread)


def closed(points: Array, gap: float = 0.0) -> Array:
    """A head whose lips are ``gap`` millimetres apart, the chin with them."""
    closed = points.copy()
    gap = closed[66, 1] - closed[62, 1] - gap
    shares = {61: 0.3, 62: 0.3, 63: 0.3, 50: 0.12, 51: 0.12, 52: 0.12}
    shares |= dict.fromkeys((65, 66, 67), -0.7) | dict.fromkeys((56, 57, 58), -0.6) | {55: -0.45, 59: -0.45}
    shares |= {7: -0.3, 8: -0.35, 9: -0.3, 6: -0.15, 10: -0.15}
    for point, share in shares.items():
        closed[point, 1] += share * gap
    return closed


@lru_cache(maxsize=1)
@one_thread
def controls() -> Controls:
    """Control points of the mean head."""
    from canthus.schemes import load_scheme

    flip68 = load_scheme("68").flip
    generic = generic_face().points.double().numpy()
    extra: dict[str, list[float]] = parse_yaml(Path(__file__).with_name("head.yaml").read_text(encoding="utf-8"))
    names, points, flip = [str(i) for i in range(68)], [], list(flip68)
    for name, (x, y, z) in extra.items():
        at = len(names)
        if x == 0:
            names.append(name)
            points.append((x, y, z))
            flip.append(at)
        else:
            names += [f"{name}_l", f"{name}_r"]
            points += [(-x, y, z), (x, y, z)]
            flip += [at + 1, at]
    own = np.array(points, dtype=np.float64)
    # the back of the head and the neck stay as the formulas have them
    angles, heights = np.deg2rad([-180, -150, -125, -100, 100, 125, 150, 180]), (-150, -115, -80, -45, -10, 30, 80, 130)
    fixed = np.array(
        [(RADIUS * a, v) for v in heights for a in angles if v < 20 or abs(a) > 2]
        + [(0, -150), (60, -130), (-60, -130)]
    )
    n = len(names) + np.arange(len(fixed))
    mirror = [int(n[int(np.abs(fixed - place * (-1, 1)).sum(1).argmin())]) for place in fixed]
    places = np.concatenate([on_map(generic), on_map(own), fixed])
    names += [f"fixed_{i}" for i in range(len(fixed))]
    # the generic face's mouth is a little open, as mouths are on average
    plain = np.concatenate([closed(generic, 0.5), own, skull(fixed)])
    return Controls(
        points=plain + carried(places, names, fit().points[None])[0],
        places=places,
        names=tuple(names),
        flip=(*flip, *mirror),
    )


@lru_cache(maxsize=1)
@one_thread
def _field() -> Interpolation:
    return Interpolation(controls().places)


@one_thread
def followers(places: Array) -> Array:
    """(N, C) how skin at places follows the distance of control points from the plain skull."""
    return _field().matrix(places)
