"""What carries a head that is not close: a trunk below the shoulders, arms and legs."""

import numpy as np

from canthus.data.synthetic.background import muted
from canthus.data.synthetic.parts import CLOTH, FLESH, Part, ellipsoid, sheet, tube
from canthus.data.synthetic.person import linear
from canthus.data.synthetic.surface import Array

__all__ = ["body"]

RING = 32
"""Corners of each row of the shoulders, see `canthus.data.synthetic.parts.torso`; the last row is the chest."""
_TRUNK = ((90, 0.95), (200, 0.87), (300, 0.86), (400, 0.95), (470, 0.97), (520, 1.0))
"""Millimetres below the chest, and width in widths of the chest."""
_UPPER_ARM, _FOREARM = np.array([0, 0.02, 0.06, 0.15, 0.35, 0.6, 0.95]), np.array([0.1, 0.65, 1.0])
_ARM = np.array([6, 24, 38, 47, 49, 47, 44, 43, 39, 31.0])
"""Radii, millimetres: round at the shoulder."""


def body(random: np.random.Generator, shoulders: Part, skin: Array) -> list[Part]:
    """Somebody who stands: the shoulders continued to a trunk, arms and legs.

    Args:
        random: for clothes and posture.
        shoulders: see `canthus.data.synthetic.parts.torso`.
        skin: linear RGB, (3,).
    """
    cloth, trousers = shoulders.colours[-1], linear(muted(random) * 0.7)
    sleeve = skin if random.random() < 0.3 else cloth
    chest = shoulders.points[-RING:]
    middle, plumb = chest.mean(0), np.array([0.0, 1, 0])
    # the border of the chest is level from the waist on, however the person leans
    level = np.column_stack([chest[:, 0], np.full(RING, middle[1]), chest[:, 2]])
    rows = [*shoulders.points.reshape(-1, RING, 3)]
    for down, wide in _TRUNK:
        share = min(down / 200, 1.0)
        ring = (1 - share) * chest + share * level
        rows.append(middle + (ring - middle) * (wide, 1, 0.9 + 0.1 * wide) + down * plumb)
    colours = [*shoulders.colours.reshape(-1, RING, 3), *(np.tile(cloth, (RING, 1)) for _ in _TRUNK)]
    parts = [sheet(np.array(rows), np.array(colours), CLOTH, wrap=True)]

    aside = chest[RING // 4] - middle
    half = float(np.linalg.norm(aside))
    aside = aside / half
    for side in (-1.0, 1.0):
        hip = middle + side * 0.44 * half * aside + 440 * plumb
        leg = hip + np.outer(np.array([0, 200, 420, 620, 900]), plumb) + np.outer(np.linspace(0, 18, 5), side * aside)
        parts.append(tube(leg, np.array([46, 76, 66, 60, 52.0]), trousers, CLOTH, sides=12))
        out, forward = random.uniform(20, 90), random.uniform(-30, 190)
        shoulder = middle + side * 0.86 * half * aside - 84 * plumb
        elbow = shoulder + 320 * plumb + side * out * aside
        wrist = elbow + (250 - 0.5 * max(forward, 0)) * plumb + np.array([0, 0, -forward])
        upper = shoulder + _UPPER_ARM[:, None] * (elbow - shoulder)
        arm = np.concatenate([upper, elbow + _FOREARM[:, None] * (wrist - elbow)])
        parts.append(tube(arm, _ARM, sleeve, FLESH if sleeve is skin else CLOTH, sides=12))
        away = (wrist - elbow) / np.linalg.norm(wrist - elbow)
        parts.append(ellipsoid(wrist + 55 * away, np.diag([32.0, 62.0, 36.0]), skin, FLESH))
    return parts
