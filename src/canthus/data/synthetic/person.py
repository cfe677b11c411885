"""Who is in the picture: the shape of a head at rest and the colours of skin, hair and eyes."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from canthus.data.synthetic.background import hair_colour, skin_colour
from canthus.data.synthetic.one_thread import one_thread
from canthus.data.synthetic.surface import Array, carried, controls
from canthus.geometry.generic_face import generic_face

__all__ = ["Person", "draw_person", "shape_modes"]

BEARDS = ("none", "shadow", "stubble", "beard", "moustache", "goatee")
HAIR = ("bald", "receding", "short", "medium", "long", "fringe", "afro", "tied")
OWN_MODES = 15
"""Ways in which heads differ that labels in images do not show well: depths, and what lies between landmarks."""
IRISES = ((70, 45, 30), (95, 65, 40), (55, 36, 26), (95, 110, 75), (95, 130, 160), (120, 135, 140))


@dataclass(frozen=True, eq=False)
class Person:
    """One person.

    Attributes:
        rest: (C, 3) control points at rest.
        skin: linear RGB of the skin, (3,); ``lips``, ``hair``, ``iris`` likewise.
        style: of the hair, one of ``HAIR``.
        beard: one of ``BEARDS``.
        brow: thickness of the brows (1 is usual) and how dense they are.
        age: 0 young to 1 old: wrinkles and blotches.
        freckles: 0 to 1.
        make_up: 0 to 1: lashes and lips.
        hairline: millimetres by which the hair line is higher than usual.
        volume: millimetres of hair over the skull.
        seed: of everything small: where blotches, freckles and strands are.
    """

    rest: Array
    skin: Array
    lips: Array
    hair: Array
    iris: Array
    style: str
    beard: str
    brow: tuple[float, float]
    age: float
    freckles: float
    make_up: float
    hairline: float
    volume: float
    seed: int


def linear(colour: Array) -> Array:
    """Display levels 0 to 255 to linear light in [0, 1]."""
    return np.asarray((np.asarray(colour) / 255) ** 2.2)


@lru_cache(maxsize=1)
@one_thread
def shape_modes() -> Array:
    """(8, C, 3) modes of the generic face, carried over to all control points."""
    c = controls()
    return carried(c.places, c.names, generic_face().modes.double().numpy())


@lru_cache(maxsize=64)
def _bump(centre: tuple[float, float], size: tuple[float, float]) -> Array:
    """(C,) smooth weights about a place on the map and its mirror image."""
    places = controls().places
    gap = (np.stack([np.abs(places[:, 0]), places[:, 1]], 1) - centre) / size
    return np.asarray(np.exp(-(gap**2).sum(1)))


def own_shape(rest: Array, amounts: Array) -> Array:
    """Apply the project's own differences between heads, (OWN_MODES,) standard deviations, to control points."""
    p = rest.copy()
    side = np.sign(p[:, 0])
    a = dict(
        zip(
            (
                "width",
                "length",
                "nose_wide",
                "nose_long",
                "nose_out",
                "hump",
                "tip",
                "jaw",
                "chin",
                "cheeks",
                "bones",
                "lips",
                "sockets",
                "brows",
                "forehead",
            ),
            amounts.tolist(),
            strict=True,
        )
    )
    lower = np.clip((controls().places[:, 1] - 10) / 60, 0, 1)
    neck = np.clip((controls().places[:, 1] - 80) / 20, 0, 1)
    p[:, 0] *= 1 + (0.035 * a["width"] + 0.035 * a["jaw"] * lower) * (1 - 0.7 * neck)
    p[:, 1] += 2.2 * a["length"] * lower * (1 - neck)
    nose, base = _bump((0, -4), (16, 16)), _bump((16, 3), (9, 9))
    p[:, 0] += side * (1.4 * a["nose_wide"] * base)
    p[:, 1] += 1.3 * a["nose_long"] * _bump((0, 4), (18, 10))
    p[:, 2] -= 2.2 * a["nose_out"] * nose + 1.3 * a["hump"] * _bump((0, -16), (7, 8))
    p[:, 1] -= 1.2 * a["tip"] * _bump((0, -1), (9, 7))
    p[:, 2] -= 2.0 * a["chin"] * _bump((0, 58), (25, 15)) + 1.8 * a["cheeks"] * _bump((45, 18), (20, 25))
    p[:, 0] += side * (1.2 * a["cheeks"] * _bump((60, 30), (25, 30)) + 1.3 * a["bones"] * _bump((60, -10), (25, 14)))
    p[:, 2] -= 1.0 * a["bones"] * _bump((52, -10), (16, 12))
    p[:, 2] -= 1.0 * a["lips"] * _bump((0, 29), (20, 9))
    for points, way in (((50, 51, 52), -1), ((56, 57, 58), 1), ((49, 53), -0.5), ((55, 59), 0.5)):
        p[list(points), 1] += 0.9 * a["lips"] * way
    p[:, 2] += 1.5 * a["sockets"] * _bump((30, -33), (15, 9))
    p[:, 2] -= 1.4 * a["brows"] * _bump((22, -49), (35, 7))
    p[:, 2] += 2.5 * a["forehead"] * _bump((0, -90), (60, 25))
    return p


def draw_person(random: np.random.Generator, *, plain_hair: bool = False) -> Person:
    """Draw a person; ``plain_hair``: bald and beardless."""
    modes = shape_modes()
    # what is called expression there varies within a person, too, so a person has half of it and an image the rest
    shares = np.array([1.0 if kind == "shape" else 0.75 for kind in generic_face().kinds])
    amounts = np.clip(random.normal(size=len(modes)), -2.3, 2.3) * shares
    rest = controls().points + np.einsum("m,mck->ck", amounts, modes)
    rest = own_shape(rest, np.clip(random.normal(size=OWN_MODES), -2.2, 2.2))
    # no face is symmetric
    slant = 0.6 * np.einsum("m,mck->ck", random.normal(size=len(modes)), modes * np.sign(controls().points[:, :1]))
    rest = rest + 0.35 * slant
    female, age = random.random() < 0.5, float(random.random())
    skin, hair = skin_colour(random), hair_colour(random)
    if skin.mean() < 125 and hair.mean() > 90:
        hair = hair * 0.35
    if age > 0.75:
        hair = hair + (170 - hair) * random.random()
    beard = "none" if female else str(random.choice(BEARDS, p=[0.45, 0.16, 0.13, 0.12, 0.06, 0.08]))
    style = str(
        random.choice(
            HAIR,
            p=[0.0, 0.0, 0.08, 0.17, 0.4, 0.17, 0.05, 0.13]
            if female
            else [0.11, 0.16, 0.48, 0.14, 0.02, 0.05, 0.04, 0.0],
        )
    )
    make_up = float(random.random()) if female and random.random() < 0.6 else 0.0
    lips = skin * (0.80, 0.58, 0.56) + (18, 4, 6)
    if make_up > 0.4:
        lips = lips * 0.45 + 0.55 * np.array([150, 35, 50]) * random.uniform(0.6, 1.2)
    return Person(
        rest=rest,
        skin=linear(skin),
        lips=linear(np.clip(lips * random.uniform(0.9, 1.1), 0, 255)),
        hair=linear(hair),
        iris=linear(
            np.array(IRISES[random.choice(len(IRISES), p=[0.28, 0.22, 0.22, 0.09, 0.12, 0.07])])
            * random.uniform(0.8, 1.2)
        ),
        style="bald" if plain_hair else style,
        beard="none" if plain_hair else beard,
        brow=(float(random.uniform(0.55, 1.0) if female else random.uniform(0.8, 1.4)), float(random.uniform(0.55, 1))),
        age=age,
        freckles=float(max(random.random() - 0.75, 0) * 4) * float(skin.mean() > 140),
        make_up=make_up,
        hairline=float(random.uniform(-5, 9)) + (15 if style == "receding" else 0),
        volume=float(random.uniform(3, 9)) * {"short": 1, "receding": 0.7, "afro": 4.5}.get(style, 1.5),
        seed=int(random.integers(2**31)),
    )
