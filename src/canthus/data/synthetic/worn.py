"""Glasses and masks."""

import numpy as np

from canthus.data.synthetic.one_thread import one_thread
from canthus.data.synthetic.parts import CLOTH, GLASS, SHINY, Part, sheet, tube
from canthus.data.synthetic.person import linear
from canthus.data.synthetic.surface import AXIS, Array, controls, followers, skull

__all__ = ["draw_worn"]

FRAMES = ((25, 22, 22), (70, 45, 30), (150, 125, 80), (120, 120, 125), (140, 30, 40))


@one_thread
def draw_worn(random: np.random.Generator, points: Array, probability: float) -> tuple[str | None, list[Part]]:
    """What a person wears on the face: kind of glasses and parts, in the head's frame.

    Args:
        random: the face's stream.
        points: (C, 3) control points.
        probability: of glasses; a quarter of them are dark, and masks are a sixth as frequent.
    """
    wears, dark, masked = random.random() < probability, random.random() < 0.25, random.random() < probability / 6
    parts: list[Part] = []
    kind = None
    if wears:
        kind = "sunglasses" if dark else "glasses"
        parts += _glasses(random, points, dark)
    if masked:
        parts += _mask(random, points)
    return kind, parts


def _glasses(random: np.random.Generator, points: Array, dark: bool) -> list[Part]:
    colour = linear(np.array(FRAMES[random.choice(len(FRAMES), p=[0.42, 0.2, 0.1, 0.2, 0.08])]))
    thick = random.uniform(0.7, 2.2)
    half, tall, square = random.uniform(21.5, 26), random.uniform(14, 21), random.uniform(0.5, 1)
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    u = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** square
    v = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** square
    centre = points[[36, 39, 42, 45]].mean(0)
    front = min(points[28, 2] + 5, points[27, 2] - 1)
    tilt = random.uniform(2, 7)
    parts = []
    for side in (-1.0, 1.0):
        # lenses wrap a little round the face
        x = side * (max(half + 7.5, 30.5) + half * u)
        rim = np.stack([centre[0] + x, centre[1] + tilt + tall * v, front + 0.0045 * x**2 + 0.12 * tall * v], 1)
        parts.append(tube(rim, thick, colour, SHINY, sides=6, closed=True))
        hinge = np.array(
            [side * (max(half + 7.5, 30.5) + half) + centre[0], centre[1] + tilt - 0.3 * tall, front + 0.0045 * 3400]
        )
        ear = points[0 if side < 0 else 16] + (side * 3.0, -8.0, 12.0)
        parts.append(tube(np.linspace(hinge, ear, 5), max(thick * 0.8, 0.8), colour, SHINY, sides=6))
        rings = np.linspace(0.02, 1, 4)[:, None, None]
        middle = rim.mean(0)
        tint = np.array([0.012, 0.011, 0.012]) if dark else np.array([0.5, 0.55, 0.6])
        parts.append(sheet(middle + rings * (rim - middle), tint, SHINY if dark else GLASS, wrap=True, opaque=dark))
    gap = max(half + 7.5, 30.5) - half
    bridge = np.stack(
        [
            np.linspace(-gap, gap, 7) + centre[0],
            centre[1] + tilt - 4 - 2.5 * np.cos(np.linspace(-1.4, 1.4, 7)),
            np.full(7, front - 0.5),
        ],
        1,
    )
    parts.append(tube(bridge, thick, colour, SHINY, sides=6))
    return parts


def _mask(random: np.random.Generator, points: Array) -> list[Part]:
    """A surgical mask: a cloth over nose, mouth and chin, that does not follow small hollows."""
    colour = linear(
        np.array([[170, 205, 225], [235, 235, 235], [35, 35, 38], [120, 150, 130]][random.integers(4)])
        * random.uniform(0.8, 1.05)
    )
    s = np.linspace(-78, 78, 27)
    top = np.interp(np.abs(s), (0, 12, 30, 78), (-17, -14, -2, 6)) + random.uniform(-3, 8)
    bottom = np.interp(np.abs(s), (0, 25, 55, 78), (84, 78, 58, 34))
    t = np.linspace(0, 1, 15)[:, None]
    places = np.stack([np.broadcast_to(s, (15, 27)), top + t * (bottom - top)], -1).reshape(-1, 2)
    c = controls()
    skin = (skull(places) + followers(places) @ (points - skull(c.places))).reshape(15, 27, 3)
    out = skin - np.stack([np.zeros((15, 27)), skin[..., 1], np.full((15, 27), AXIS)], -1)
    reach = np.linalg.norm(out, axis=-1)
    wide = reach + 6.0
    for _ in range(30):  # tighten: a cloth spans hollows
        wide[1:-1, 1:-1] = (wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:]) / 4
        wide = np.maximum(wide, reach + 6.0)
    cloth = skin + out * (wide / reach - 1)[..., None]
    pleats = 1 - 0.25 * (np.sin(t * np.pi * 8) > 0.75)
    return [sheet(cloth, colour * pleats[..., None] * np.ones((15, 27, 1)), CLOTH)]
