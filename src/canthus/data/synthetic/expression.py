"""What a face does: how expressions move the control points of a head."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from canthus.data.synthetic.surface import SEAM, Array, closed, controls

__all__ = ["Expression", "expressed"]

HINGE = (-8.0, 38.0)
"""Height and depth of the axis that the jaw turns about: in front of the ears."""
RISING = (0, 0.03, 0.12, 0.3, 0.55, 0.78, 0.92, 1)
JAW = {
    **{str(i): w for i, w in enumerate((*RISING, 1, *RISING[::-1]))},
    **dict.fromkeys(("56", "57", "58", "65", "66", "67", "pogonion", "chin_fold", "chin_fold_side", "chin_side"), 1.0),
    "55": 0.85, "59": 0.85, "48": 0.42, "54": 0.42, "60": 0.45, "64": 0.45, "jaw_front": 0.85, "jaw_side": 0.55,
    "beside_mouth": 0.55, "chin_under": 0.95, "chin_under_side": 0.9, "throat_high": 0.45, "jaw_under_7": 0.85,
    "jaw_under_6": 0.75, "jaw_under_5": 0.55, "jaw_under_4": 0.35, "jaw_under_3": 0.15, "cheek_hollow": 0.25,
    "cheek_low": 0.1, "fold": 0.1,
}  # fmt: skip
"""How far each control point goes with the jaw."""
Move = Mapping[str, tuple[float, float, float]]
SMILE: Move = {
    "54": (6.5, -5.5, 3.5), "64": (6.2, -5.2, 3.5), "53": (3.6, -2.6, 1.8), "55": (3.8, -2.6, 1.8),
    "52": (1.4, -0.8, 0.8),
    "56": (1.5, -0.6, 0.8), "63": (2.2, -1.4, 0.8), "65": (2.2, -1.0, 0.8), "51": (0, -0.6, 0.4), "57": (0, -0.3, 0.4),
    "62": (0, -0.6, 0.4), "66": (0, -0.1, 0.4), "cheek_apple": (2, -4, -3.2), "cheek_front": (2.5, -3, -1.0),
    "cheek_low": (3.5, -3, -0.5), "fold": (4.5, -3.5, 0.2), "beside_mouth": (4.5, -3, 1.2), "cheek_side": (2, -2.5, -1),
    "cheek_hollow": (2, -1.5, 0), "under_eye": (0, -1.3, -1.2), "under_eye_outer": (0, -1.4, -1.2),
    "35": (1.2, -0.5, 0.3),
    "46": (0, -0.9, 0), "47": (0, -0.9, 0), "wing": (1.2, -0.5, 0.3), "wing_back": (1.3, -0.8, 0.3),
    "lip_side": (3, -2.2, 1),
}  # fmt: skip
FROWN: Move = {
    "54": (-1, 4, 0.5),
    "64": (-1, 3.6, 0.5),
    "53": (0, 1.2, 0),
    "55": (0, 1.6, 0),
    "57": (0, -1.2, 0),
    "56": (0, -1, 0),
    "beside_mouth": (0, 2.5, 0),
}
PUCKER: Move = {
    "54": (-8, 0, -4.5), "64": (-7.5, 0, -4), "53": (-4.5, -0.5, -4.5), "55": (-4.5, 0.8, -4.5),
    "52": (-1.6, -0.6, -5.2),
    "56": (-2, 1, -5), "51": (0, -0.4, -5.4), "57": (0, 1.2, -5.2), "63": (-2.2, 0, -4.6), "65": (-2.2, 0.2, -4.6),
    "62": (0, 0, -4.8), "66": (0, 0.2, -4.8), "philtrum": (0, 0, -2.5), "lip_side": (-2.5, 0, -2),
    "beside_mouth": (-4, 0, -2),
    "fold": (-2, 0.5, -0.8), "chin_fold": (0, 0, -1.5),
}  # fmt: skip
RAISE: Move = {
    **{str(i): (0.0, -h, 0.0) for i, h in zip(range(22, 27), (5, 6, 6.5, 6, 4.5),
    strict=True)}, "orbit_top": (0, -2.5, 0),
    "orbit_top_inner": (0, -2.2, 0), "orbit_top_outer": (0, -2.2, 0), "forehead_low": (0, -3.5, -0.4),
    "43": (0, -0.8, 0),
    "44": (0, -0.8, 0), "forehead_side_low": (0, -3.5, -0.4), "glabella": (0, -3, 0), "forehead_mid": (0, -1.5, 0),
}  # fmt: skip
LOWER: Move = {
    "22": (-2.8, 5.2, -0.8), "23": (-2.4, 4.4, -0.8), "24": (-1.4, 2.8, -0.4), "25": (-0.5, 1.2, 0),
    "orbit_top_inner": (-1, 2.4, -0.6),
    "orbit_top": (0, 1.6, -0.5), "glabella": (0, 2, -1), "43": (0, 0.7, 0), "44": (0, 0.5, 0),
}  # fmt: skip
BARE: Move = {
    "50": (0, -2.2, -0.6), "51": (0, -2.2, -0.6), "52": (0, -2.2, -0.6), "53": (0.3, -1.6, -0.3),
    "61": (0, -3.2, -0.3), "62": (0, -3.2, -0.3),
    "63": (0, -3.2, -0.3), "56": (0, 1.8, 0), "57": (0, 1.8, 0), "65": (0, 2.4, 0), "66": (0, 2.4, 0),
    "philtrum": (0, -1.2, -0.5), "55": (0, 1, 0),
    "lip_side": (0.5, -1.2, 0),
}  # fmt: skip


@dataclass(frozen=True)
class Expression:
    """How strong each movement is.

    Attributes:
        jaw: turn of the jaw, radians.
        smile: -1 (corners down) to 1.
        pucker: 0 to 1.
        brows: -1 (down and together) to 1 (raised).
        bare: 0 to 1, how far the lips uncover the teeth.
        blink: image-left and image-right lid, 0 open to 1 closed; below 0 wide open.
        aside: how far the jaw and mouth go to the image's right, millimetres.
        closed: whether the lips meet; else they are half a millimetre apart at least.
        modes: standard deviations of the generic face's modes.
    """

    jaw: float = 0.0
    smile: float = 0.0
    pucker: float = 0.0
    brows: float = 0.0
    bare: float = 0.0
    blink: tuple[float, float] = (0.0, 0.0)
    aside: float = 0.0
    closed: bool = False
    modes: tuple[float, ...] = (0.0,) * 8


def expressed(rest: Array, e: Expression) -> Array:
    """(C, 3) control points of a person at rest to those with an expression."""
    from canthus.data.synthetic.person import shape_modes

    p = rest + np.einsum("m,mck->ck", np.array(e.modes), shape_modes())
    down = _move("FROWN") * max(-e.smile, 0) + _move("SMILE") * max(e.smile, 0)
    p += down + _move("PUCKER") * e.pucker + _move("BARE") * e.bare
    p += _move("RAISE") * max(e.brows, 0) + _move("LOWER") * max(-e.brows, 0)
    jaw = _weights()
    y, z = p[:, 1] - HINGE[0], p[:, 2] - HINGE[1]
    sine, cosine = np.sin(e.jaw * jaw), np.cos(e.jaw * jaw)
    p[:, 1], p[:, 2] = HINGE[0] + cosine * y - sine * z, HINGE[1] + sine * y + cosine * z
    p[:, 0] += e.aside * jaw
    if e.closed:
        p = closed(p)
    for upper, lower in SEAM:
        if e.closed:  # people label one point for both lips then
            p[upper] = p[lower] = (p[upper] + p[lower]) / 2
            continue
        lack = 0.5 - (p[lower, 1] - p[upper, 1])
        if lack > 0:
            p[upper, 1] -= lack / 2
            p[lower, 1] += lack / 2
    for pairs, amount, fold in (
        (((37, 41), (38, 40)), e.blink[0], "lid_fold_l"),
        (((44, 46), (43, 47)), e.blink[1], "lid_fold_r"),
    ):
        for upper, lower in pairs:
            span = p[lower] - p[upper]
            share = np.clip(amount, -0.35, 0.94 - 0.3 / max(span[1], 1.0))
            p[lower, 1] -= 0.12 * max(share, 0) * span[1]
            p[upper] += share * (p[lower] - p[upper])
            p[upper, 2] -= 1.2 * max(share, 0)
            if p[lower, 1] - p[upper, 1] < 0.4:
                p[lower, 1] = p[upper, 1] + 0.4
        at = controls().index(fold)
        p[at, 1] += 2.5 * max(amount, 0)
    return np.asarray(p)


@lru_cache
def _move(name: str) -> Array:
    """(C, 3) displacements of a movement of both sides."""
    moves: Move = {"SMILE": SMILE, "FROWN": FROWN, "PUCKER": PUCKER, "RAISE": RAISE, "LOWER": LOWER, "BARE": BARE}[name]
    c = controls()
    field = np.zeros_like(c.points)
    for key, move in moves.items():
        for at in _both(key):
            # given for the image's right side
            field[at] = np.array(move) * (np.sign(c.points[at, 0]) or 1.0, 1, 1)
    return field


@lru_cache
def _weights() -> Array:
    weight = np.zeros(len(controls().names))
    for key, value in JAW.items():
        weight[list(_both(key))] = value
    return weight


def _both(key: str) -> Iterable[int]:
    c = controls()
    name = key if key in c.names else f"{key}_r"
    return {c.index(name), c.flip[c.index(name)]} if not (key.isdigit() and int(key) < 17) else {c.index(name)}
