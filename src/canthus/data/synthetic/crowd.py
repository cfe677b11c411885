"""Several people before one camera: who stands where, and what nearer ones hide."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from canthus.data.synthetic.body import body
from canthus.data.synthetic.draw import DIFFICULTIES, MARGIN, draw_scene
from canthus.data.synthetic.film import Film, draw_film
from canthus.data.synthetic.labels import landmarks, seen
from canthus.data.synthetic.one_thread import one_thread
from canthus.data.synthetic.scene import EYES_APART, Scene
from canthus.data.synthetic.source import tight
from canthus.data.synthetic.surface import Array

__all__ = ["CROWDS", "Crowd", "Crowding", "Streams", "draw_crowd", "hidden"]

FACE = 130.0
"""Millimetres, mean side of the box of the 68 points of a usual face."""
CLOSEST = 500.0
"""Millimetres from the camera to the middle of the nearest head, at least."""
BEYOND = 1e5
"""Millimetres: farther than everybody."""
EYES_HIGH = 1650.0
"""Millimetres over the ground."""
TRIES = 40
"""Places that are tried for a person before there is no room."""
HEADLESS = 0.4
"""Share of the images without a face in which people stand whose heads are above the image."""
Streams = Callable[[str], np.random.Generator]
"""Purpose to a generator of its own."""


@dataclass(frozen=True)
class Crowding:
    """Ranges that crowds are drawn from.

    Attributes:
        smallest: side of the smallest face box, in sides of the image.
        largest: of the largest.
        covered: largest share of a face box that nearer people may cover.
    """

    smallest: float
    largest: float
    covered: float


CROWDS = {
    "easy": Crowding(0.12, 0.40, 0.0),
    "medium": Crowding(0.08, 0.42, 0.3),
    "hard": Crowding(0.06, 0.45, 0.55),
}


@dataclass(frozen=True, eq=False)
class Crowd:
    """One image of people.

    Attributes:
        people: the nearest first, in the frame of the image. Each is in the perspective of a camera turned to it.
        faces: how many of them, from the first, show their faces; the heads of others are above the image.
        film: what the camera makes of it.
        horizon: row of what is as high as the camera.
        floor: row where the floor ends.
    """

    people: tuple[Scene, ...]
    faces: int
    film: Film
    horizon: float
    floor: float


@one_thread
def draw_crowd(stream: Streams, difficulty: str, resolution: int, faces: int) -> Crowd:
    """Draw who is in an image, where.

    Args:
        stream: of the image.
        difficulty: one of `CROWDS`.
        resolution: side of the image, pixels.
        faces: wanted; fewer where there is no room. With 0 there may be people without heads in the image.
    """
    random, crowding = stream("crowd"), CROWDS[difficulty]
    height, horizon = random.uniform(0, 1.6), random.uniform(0.1, 0.42) * resolution
    floor = min(horizon + (height + EYES_HIGH / FACE) * random.uniform(0.03, 0.05) * resolution, 0.92 * resolution)
    headless = int(random.integers(1, 4)) if not faces and random.random() < HEADLESS else 0
    smallest, largest = crowding.smallest * resolution, crowding.largest * resolution
    if faces:
        largest = max(min(largest, 0.9 * resolution / faces**0.6), smallest)
    if headless:
        smallest = 0.2 * resolution
    sides = np.sort(np.exp(random.uniform(np.log(smallest), np.log(largest), faces + headless)))[::-1]
    focal = max(random.uniform(1.0, 2.5) * resolution, CLOSEST * sides.max(initial=0) / FACE)
    placed: list[_Placed] = []
    for number, side in enumerate(sides.tolist()):
        scene = _person(stream, number, difficulty, resolution, side, focal)
        box = _box(scene)
        first, last = MARGIN - box[:2], resolution - 1 - MARGIN - box[2:]
        for _ in range(TRIES):
            column = random.uniform(first[0], last[0])
            if headless:
                row = -box[3] - side * random.uniform(0.25, 0.6)
            else:
                row = horizon + side * (height + 0.4 * random.normal()) - (box[1] + box[3]) / 2
                row = float(np.clip(row, first[1], last[1]))
            centre = np.array([column, row])
            moved = _Placed(replace(scene, centre=centre), box + np.tile(centre, 2))
            if headless or all(_covered(moved, other) <= crowding.covered for other in placed):
                placed.append(moved)
                break
    people = sorted((each.scene for each in placed), key=lambda scene: scene.distance)
    scale = min((scene.scale for scene in people), default=0.1 * resolution / FACE)
    film = draw_film(stream("film"), DIFFICULTIES[difficulty].film, EYES_APART * scale)
    return Crowd(
        people=tuple(replace(scene, film=film) for scene in people),
        faces=len(people) if faces else 0,
        film=film,
        horizon=horizon,
        floor=floor,
    )


class _Placed(NamedTuple):
    scene: Scene
    box: Array


def _person(stream: Streams, number: int, difficulty: str, resolution: int, side: float, focal: float) -> Scene:
    """A person with a face box of the given side, with the middle of the head at pixel (0, 0)."""

    def own(purpose: str) -> np.random.Generator:
        return stream(purpose if purpose == "light" else f"{number}/{purpose}")

    scene = draw_scene(own, DIFFICULTIES[difficulty], resolution)
    shoulders = max(scene.parts, key=lambda part: float(np.ptp(part.points[:, 0])))  # nothing else is as wide
    others = (part for part in scene.parts if part is not shoulders)
    scene = replace(
        scene,
        parts=(*others, *body(own("body"), shoulders, scene.person.skin)),
        distance=focal * FACE / side,
        scale=side / FACE,
        centre=np.zeros(2),
    )
    box = _box(scene)
    scale = scene.scale * side / float((box[2:] - box[:2]).mean())
    return replace(scene, scale=scale, distance=max(focal / scale, 0.8 * CLOSEST))


def _box(scene: Scene) -> Array:
    return tight(scene.project(landmarks(scene, "68")))


def _covered(one: _Placed, other: _Placed) -> float:
    """About the share of the farther one's face box that head and shoulders of the nearer one cover."""
    near, far = sorted((one, other), key=lambda each: each.scene.distance)
    side, middle = FACE * near.scene.scale, (near.box[0] + near.box[2]) / 2
    top, bottom = near.box[[1, 3]]
    head = np.array([middle - 0.65 * side, top - 0.45 * side, middle + 0.65 * side, bottom + 0.4 * side])
    shoulders = np.array([middle - 1.5 * side, bottom + 0.3 * side, middle + 1.5 * side, np.inf])
    shared = 0.0
    for shape in (head, shoulders):
        extent = np.minimum(shape[2:], far.box[2:]) - np.maximum(shape[:2], far.box[:2])
        shared += float(np.clip(extent, 0, None).prod())
    return shared / float((far.box[2:] - far.box[:2]).prod())


def hidden(nearer: Sequence[Scene], pixels: Array) -> NDArray[np.bool_]:
    """(K,) whether any nearer person covers (K, 2) pixels."""
    covered = np.zeros(len(pixels), dtype=np.bool_)
    for scene in nearer:
        rays = (pixels - scene.centre) * (scene.distance + BEYOND) / (scene.scale * scene.distance)
        covered |= ~seen(scene, np.column_stack([rays, np.full(len(pixels), BEYOND)]))
    return covered
