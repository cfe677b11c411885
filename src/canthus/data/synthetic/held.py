"""Things between the camera and a face: hands, books, mugs, microphones, other people's heads."""

from collections.abc import Callable

import numpy as np

from canthus.data.synthetic.background import muted, skin_colour
from canthus.data.synthetic.parts import CLOTH, FLESH, HAIRY, SHINY, Part, capsule, ellipsoid, sheet, tube
from canthus.data.synthetic.person import linear
from canthus.data.synthetic.scene import EYES_APART
from canthus.data.synthetic.surface import Array

__all__ = ["KINDS", "draw_held"]

KINDS = ("hand", "book", "mug", "microphone", "head")


def draw_held(random: np.random.Generator, points: Array, probability: float) -> list[Part]:
    """Something before the face, or nothing.

    Args:
        random: the face's stream.
        points: (68, 3) landmarks in the camera's frame.
        probability: that there is something.
    """
    present = random.random() < probability
    kind = str(random.choice(KINDS, p=[0.5, 0.15, 0.12, 0.13, 0.1]))
    return held(kind, random, points) if present else []


def held(kind: str, random: np.random.Generator, points: Array) -> list[Part]:
    """One of `KINDS`; see `draw_held`."""
    # people cover mouth, chin and cheeks more often than brows
    target = points[random.choice([3, 5, 8, 11, 13, 33, 51, 57, 57, 36, 45])] + (*(random.normal(size=2) * 12), 0)
    side = float(np.sign(target[0] - points[27:36, 0].mean()) or 1.0)
    down = np.array([side * random.uniform(0.1, 0.8), 1.0, random.uniform(-0.1, 0.25)])
    down /= np.linalg.norm(down)
    across = np.cross(down, (0, 0, 1.0))
    across /= np.linalg.norm(across)
    out = np.cross(across, down)
    size = EYES_APART * random.uniform(0.85, 1.1)
    front = points[:, 2].min() if kind in ("book", "mug") else min(target[2], points[[30, 51, 57], 2].min() + 10)

    def place(x: float, y: float, z: float = 0.0) -> Array:
        return np.asarray(np.array([target[0], target[1], front - 9]) + size * (x * across + y * down + z * out))

    colour = linear(muted(random))
    if kind == "hand":
        return _hand(random, place, size, linear(skin_colour(random)), colour)
    if kind == "book":
        half, tall, thick = random.uniform(0.4, 0.8), random.uniform(0.6, 1.3), 0.12
        corners = [(-half, 0), (half, 0), (half, tall), (-half, tall)]
        near = np.array([place(x, y, -thick) for x, y in corners])
        far = np.array([place(x, y, 0) for x, y in corners])
        cover = np.stack([near[[0, 1]], near[[3, 2]]])
        sides = np.stack([near, far])
        pattern = np.linspace(0, 1, 9)
        grid = (
            cover[0, None, 0]
            + pattern[:, None, None] * (cover[1, 0] - cover[0, 0])
            + pattern[None, :, None] * (cover[0, 1] - cover[0, 0])
        )
        stripe = np.where(random.random((9, 9, 1)) < 0.25, linear(muted(random)), colour)
        return [sheet(grid, stripe, CLOTH), sheet(sides, colour * 0.6, CLOTH, wrap=True)]
    if kind == "mug":
        line = np.array([place(0, y) for y in np.linspace(0, 0.85, 6)])
        ring = np.array(
            [place(side * (0.28 + 0.17 * np.sin(a)), 0.4 - 0.25 * np.cos(a)) for a in np.linspace(0, np.pi, 9)]
        )
        return [tube(line, 0.3 * size, colour, SHINY, sides=20), tube(ring, 0.05 * size, colour, SHINY)]
    if kind == "head":  # somebody in front, seen from behind
        hair = linear(muted(random) * 0.4)
        centre = place(0, random.uniform(0.4, 1.0), -1.2)
        return [ellipsoid(centre, np.diag([66.0, 85.0, 70.0]), hair, HAIRY)]
    ball = ellipsoid(place(0, 0.15, -0.1), np.diag([0.2, 0.22, 0.2]) * size, np.full(3, 0.02), CLOTH)
    stem = np.array([place(0, y, -0.1) for y in np.linspace(0.25, 1.8, 6)])
    return [ball, tube(stem, np.linspace(0.1, 0.07, 6) * size, np.full(3, 0.015), SHINY)]


def _hand(
    random: np.random.Generator, place: Callable[..., Array], size: float, skin: Array, sleeve: Array
) -> list[Part]:
    """Fingers with their tips about the target, palm, thumb, forearm and sleeve."""
    spread = random.uniform(0.02, 0.1)
    lengths = np.array([0.52, 0.60, 0.56, 0.42]) * random.uniform(0.6, 1, 4)
    bend = place(0, 0, -0.05) - place(0, 0)
    parts = [
        capsule(
            place(root, 0.64),
            place(root * (1 + 4 * spread), 0.64 - length),
            0.078 * size,
            skin * tone,
            FLESH,
            bend=bend,
        )
        for root, length, tone in zip(
            (-0.24, -0.08, 0.08, 0.24), lengths.tolist(), (0.97, 1.0, 1.03, 0.95), strict=True
        )
    ]
    axes = np.stack([place(0.34, 0) - place(0, 0), place(0, 0.37) - place(0, 0), place(0, 0, 0.11) - place(0, 0)])
    parts.append(ellipsoid(place(0, 0.86), axes, skin, FLESH))
    parts.append(capsule(place(0.2, 1.0), place(0.5, 0.5), 0.085 * size, skin, FLESH))
    wrist = np.array([place(0, y, 0.04) for y in np.linspace(1.05, 1.9, 4)])
    arm = np.array([place(0, y, 0.06) for y in np.linspace(1.7, 5.0, 5)])
    return [
        *parts,
        tube(wrist, np.array([0.24, 0.2, 0.22, 0.24]) * size, skin * 0.97, FLESH, sides=12),
        tube(arm, 0.33 * size, sleeve, CLOTH, sides=12),
    ]
