"""Hair and hats: shells over the skull, from the crown to a border that goes round the head."""

from functools import lru_cache

import numpy as np

from canthus.data.synthetic.one_thread import one_thread
from canthus.data.synthetic.parts import CLOTH, HAIRY, Part, ellipsoid, sheet
from canthus.data.synthetic.person import Person
from canthus.data.synthetic.surface import RADIUS, Array, controls, followers, skull

__all__ = ["covering", "hair", "hat"]

DEGREES = (0, 25, 45, 58, 70, 82, 95, 115, 140, 180)
BORDERS = {
    "short": (-90, -88, -82, -66, -48, -22, -28, -5, 30, 38),
    "receding": (-104, -96, -100, -80, -52, -24, -28, -5, 30, 38),
    "medium": (-90, -88, -80, -62, -40, 5, 35, 45, 55, 60),
    "long": (-92, -90, -82, -62, 60, 110, 140, 150, 160, 160),
    "fringe": (-60, -58, -54, -48, -20, 40, 70, 80, 90, 90),
    "afro": (-92, -90, -84, -66, -40, -12, 0, 20, 40, 42),
    "tied": (-92, -90, -82, -66, -48, -25, -32, -10, 20, 30),
    "beanie": (-70, -70, -68, -64, -58, -48, -38, -20, -5, 0),
    "cap": (-74, -74, -72, -66, -60, -56, -52, -40, -25, -20),
    "hood": (-100, -98, -92, -70, -20, 60, 110, 120, 130, 130),
    "scarf": (-84, -82, -76, -62, -10, 62, 95, 110, 120, 120),
}
"""Height on the map where each shell ends, by degrees from the front."""
ROWS, COLUMNS, LEVELS = 15, 72, 28
TOP, LOWEST = -169.0, -8.0
"""Heights on the map where shells begin, and below which they hang straight down."""


@lru_cache(maxsize=1)
@one_thread
def _meridians() -> tuple[Array, tuple[Array, Array]]:
    """Places of the columns, and skin on a lattice of them: at rest and how it follows control points."""
    s = np.linspace(-np.pi, np.pi, COLUMNS, endpoint=False) * RADIUS
    v = np.linspace(TOP, LOWEST, LEVELS)[:, None]
    places = np.stack(np.broadcast_arrays(s[None], v), -1).reshape(-1, 2)
    follow, c = followers(places), controls()
    return s, (skull(places) + follow @ (c.points - skull(c.places)), follow)


@one_thread
def covering(points: Array, border: Array, thickness: Array, colour: Array, material: int) -> Part:
    """A shell over a head.

    Args:
        points: (C, 3) control points of the head.
        border: (COLUMNS,) height on the map where it ends.
        thickness: (ROWS, COLUMNS) millimetres over the skin.
        colour: (3,) linear RGB.
        material: of the part.
    """
    s, lattice = _meridians()
    t = np.linspace(0, 1, ROWS)[:, None] ** 0.9
    v = TOP + t * (border - TOP)
    rest, follow = lattice
    surface = (rest + follow @ (points - controls().points)).reshape(LEVELS, COLUMNS, 3)
    # over the ears and below, hair does not follow the neck
    level = (np.minimum(v, LOWEST) - TOP) / (LOWEST - TOP) * (LEVELS - 1)
    below = np.minimum(level.astype(int), LEVELS - 2)
    share, column = (level - below)[..., None], np.arange(COLUMNS)
    skin = surface[below, column] * (1 - share) + surface[below + 1, column] * share
    skin[..., 1] += np.maximum(v - LOWEST, 0)
    along = np.roll(skin, -1, 1) - np.roll(skin, 1, 1)
    down = np.gradient(skin, axis=0)
    out = np.cross(down, along)
    out /= np.linalg.norm(out, axis=-1, keepdims=True) + 1e-9
    out *= np.sign((out * (skin - (0, -40, 50))).sum(-1, keepdims=True))
    uv = np.stack(np.broadcast_arrays(s[None] * 0.8, v), -1)
    return sheet(skin + thickness[..., None] * out, colour, material, wrap=True, uv=uv)


def _border(name: str, lift: float, random: np.random.Generator, ragged: float) -> Array:
    angle = np.abs(np.linspace(-180, 180, COLUMNS, endpoint=False))
    border = np.interp(angle, DEGREES, BORDERS[name])
    front = np.clip((100 - angle) / 40, 0, 1)
    wave = np.convolve(random.normal(size=COLUMNS + 6), np.ones(7) / 7, "valid")
    return np.asarray(border - lift * front + ragged * (random.normal(size=COLUMNS) * 0.5 + wave))


def hair(person: Person, points: Array, random: np.random.Generator) -> list[Part]:
    """The hair of a person, none where it is bald."""
    if person.style == "bald":
        return []
    border = _border(
        person.style, person.hairline, random, {"short": 1.5, "receding": 1.5, "tied": 0.8}.get(person.style, 3.5)
    )
    rise = np.minimum(np.linspace(0, 1, ROWS) * 6, 1) * 0.2 + 0.8
    fall = np.clip(
        (1 - np.linspace(0, 1, ROWS)) * 5, 0.05 if person.style in ("short", "receding", "tied") else 0.35, 1
    )
    lumps = np.ones((ROWS, COLUMNS))
    rough = {"afro": 0.12, "medium": 0.25, "long": 0.2, "fringe": 0.15}.get(person.style, 0.2)
    lumps += rough * random.normal(size=(ROWS, COLUMNS))
    lumps += 0.3 * np.convolve(random.normal(size=COLUMNS + 8), np.ones(9) / 3, "valid")
    thickness = 1.0 + person.volume * (rise * fall)[:, None] * np.clip(lumps, 0.3, 2)
    shade = np.ones((ROWS, COLUMNS, 1)) * person.hair
    made = [covering(points, border, thickness, shade, HAIRY)]
    if person.style == "tied":
        made.append(
            ellipsoid(np.array([0.0, random.uniform(-120, -20), 130]), np.diag([26.0, 26.0, 26.0]), person.hair, HAIRY)
        )
    return made


def hat(kind: str, points: Array, colour: Array, random: np.random.Generator) -> list[Part]:
    """A beanie, cap, hood or scarf."""
    border = _border(kind, random.uniform(-6, 8), random, 0.3)
    thick = {"hood": 22.0, "scarf": 8.0, "cap": 10.0}.get(kind, 9.0)
    profile = np.clip(np.linspace(0.4, 3, ROWS), 0, 1) * thick
    made = [covering(points, border, np.broadcast_to(profile[:, None], (ROWS, COLUMNS)), colour, CLOTH)]
    if kind == "cap":
        angle = np.linspace(-1.05, 1.05, 17)
        reach = np.array([0, 0.35, 0.7, 1.0])[:, None] * random.uniform(38, 62) * np.cos(angle * 0.9) ** 0.5
        edge = made[0].points.reshape(ROWS, COLUMNS, 3)[-1]
        front = [int(i) % COLUMNS for i in np.rint((angle / np.pi + 1) / 2 * COLUMNS)]
        base = edge[front]
        way = np.stack([np.sin(angle) * 0.35, np.full(17, random.uniform(0.05, 0.35)), -np.ones(17)], 1)
        made.append(sheet(base + reach[..., None] * way, colour * 0.8, CLOTH))
    return made
