"""Colours of surfaces: skin with all that is painted on it, eyes, mouths, hair and things.

Everything is a product, sum or look-up of single samples, so that a sample comes out the same alone and in a batch.
Colours are rows, (3, N). A person's values are (N,) or (3, N), or (1,) and (3, 1) where all samples are of one person.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from canthus.data.synthetic.atlas import CHANNELS, NOISE, atlas, atlas_texels, noise

__all__ = ["Surface", "cloth_at", "eye_at", "flesh_at", "hair_at", "mix", "skin_at", "step"]

SEED_STEPS = (7919, 104729)
CLOUDS, GRAINS, STRANDS, CURLS = range(4)
"""Kinds of noise, see `canthus.data.synthetic.atlas.noise`."""


class Surface(NamedTuple):
    """What light meets.

    Attributes:
        albedo: (3, N) linear RGB.
        gloss: (N,) or a number.
        hollow: (N,) or a number, how much of the light from around reaches the place.
    """

    albedo: Tensor
    gloss: Tensor | float
    hollow: Tensor | float


def step(low: float | Tensor, high: float | Tensor, x: Tensor) -> Tensor:
    """Smooth step from 0 at ``low`` to 1 at ``high``."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def mix(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """``a`` (3, N) with a (N,) share of ``b``."""
    return a + (b - a) * share


class Noise:
    """Noise at texture coordinates in millimetres, ``scale`` texels a millimetre, moved by a seed."""

    def __init__(self, u: Tensor, v: Tensor, seed: Tensor, scale: float | tuple[float, float]) -> None:
        su, sv = scale if isinstance(scale, tuple) else (scale, scale)
        x = (u * su + seed % SEED_STEPS[0]).floor().int() & (NOISE - 1)
        y = (v * sv + seed % SEED_STEPS[1] * 0.37).floor().int() & (NOISE - 1)
        self.texel = y * NOISE + x

    def __getitem__(self, kind: int) -> Tensor:
        """(N,) of a kind."""
        return noise(self.texel.device)[kind].index_select(0, self.texel).float()


def painted(s: Tensor, v: Tensor) -> dict[str, Tensor]:
    """Channels of the atlas, (N,) each, at places (N,) on the map."""
    rows = atlas(s.device).index_select(0, atlas_texels(s, v))
    return dict(zip(CHANNELS, rows.T.contiguous().float(), strict=True))


class Layers:
    """How much of each of a person's colours shows at samples, from the skin up: sums of colours are made once."""

    def __init__(self, skin: Tensor) -> None:
        """Begin with (N,) brightness of the skin."""
        self.shares = {"skin": skin}

    def darken(self, amount: Tensor) -> None:
        """Take (N,) of the light away from all that is there."""
        keep = 1 - amount
        self.shares = {name: share * keep for name, share in self.shares.items()}

    def cover(self, name: str, share: Tensor, brightness: Tensor | float = 1.0) -> None:
        """Lay (N,) shares of a colour over what is there."""
        self.darken(share)
        here = share * brightness
        self.shares[name] = self.shares[name] + here if name in self.shares else here

    def colour(self, p: Mapping[str, Tensor], tints: Sequence[Tensor]) -> Tensor:
        """(3, N) of the sum, the skin with (N,) factors per channel."""
        rows = []
        for channel, tint in enumerate(tints):
            row = self.shares["skin"] * p["skin"][channel] * tint
            for name, share in self.shares.items():
                if name != "skin":
                    row = row + share * p[name][channel]
            rows.append(row)
        return torch.stack(rows)


def skin_at(s: Tensor, v: Tensor, p: Mapping[str, Tensor]) -> Surface:
    """Paint a head.

    Args:
        s: (N,) place on the map.
        v: (N,) likewise.
        p: a person's values, see `canthus.data.synthetic.render`.
    """
    fine = Noise(s, v, p["seed"], 2.0)
    clouds = Noise(s, v, p["seed"] + 1000.0, 0.7)[CLOUDS]
    strands = Noise(s, v, p["seed"] + 333.0, (3.2, 1.2))[STRANDS]
    grains, curls = fine[GRAINS], fine[CURLS]
    at = painted(s + 0.35 * curls, v + 0.35 * grains)

    layers = Layers(1 + p["texture"] * (0.05 * clouds + 0.03 * grains))
    layers.darken(at["wrinkle"] * p["wrinkles"] * (0.75 + 0.15 * clouds).clamp(0, 1))

    lip = step(-0.55, 0.55, at["lip"])
    lip_tone = 1 + 0.10 * p["texture"] * strands.clamp(-1.5, 1.5)
    layers.cover("lips", lip * (0.85 + 0.15 * p["make_up"]), lip_tone)
    layers.darken(0.72 * torch.exp2(-(at["seam"] * at["seam"]) * 1.3) * lip)
    layers.darken(0.93 * step(0.25, 0.9, at["nostril"]))

    strand = (0.5 + 0.5 * strands).clamp(0, 1)
    beard = _beard(at, strand, (0.5 + 0.6 * grains).clamp(0, 1), p)
    layers.cover("hair", beard, 0.7 * (0.6 + 0.7 * strand))
    layers.cover("brow", _brow(s, v, at, p))
    lash = (1 - step(0.25, 0.75 + 0.6 * p["make_up"], at["upper_lid"])) * 0.85
    lash = torch.maximum(lash, (1 - step(0.1, 0.6, at["lower_lid"])) * (0.35 + 0.3 * p["make_up"]))
    crease = (1 - step(0.1, 1.1, at["crease"])) * p["crease"]
    layers.darken(torch.maximum(lash, 0.55 * crease))
    layers.darken(p["shadow"] * step(0.8, 0.0, at["crease"].clamp(0, 1)) * 0.2)
    scalp = step(-2.5, 5.0, at["scalp"] - p["hairline"] + 2.5 * strands) * p["scalp"]
    layers.cover("hair", scalp * 0.92, 0.55 + 0.5 * strand)

    # what reddens and browns the skin itself
    blush, dark = at["blush"] * p["blush"], at["socket"] * p["circles"] * 0.35
    blotch = (step(0.9, 1.8, clouds) * p["age"] * 0.25 * p["texture"]).clamp(0, 1)
    freckle = step(1.0, 1.7, curls) * p["freckles"] * step(0.1, 0.6, at["blush"]) * 0.45
    spots = (1 - blotch) * (1 - freckle)
    tints = (
        (1 - 0.5 * blotch) * (1 - 0.6 * freckle) * (1 - dark),
        spots * (1 - 0.32 * blush) * (1 - 1.15 * dark),
        spots * (1 - 0.28 * blush) * (1 - 0.9 * dark),
    )
    gloss = (1 - beard) * (1 - scalp) * (0.6 + 0.5 * lip + 0.15 * fine[CLOUDS])
    hollow = 1 - p["relief"] * (1 - at["shade"])
    return Surface(layers.colour(p, tints).clamp(0.002, 1), gloss.clamp(0, 2) * p["oily"], hollow)


def _beard(at: Mapping[str, Tensor], strand: Tensor, grain: Tensor, p: Mapping[str, Tensor]) -> Tensor:
    """(N,) share of facial hair: strands with a soft border; lips stay bare. Arguments as in `skin_at`."""
    cover = at["beard"] * p["beard"] + at["moustache"] * p["moustache"] + at["goatee"] * p["goatee"]
    cover = cover.clamp(0, 1) * (1 - step(-0.8, 0.6, at["lip"]))
    dense = p["beard_dense"]
    return (cover * (dense * (0.75 + 0.35 * strand) + (1 - dense) * grain * 0.75)).clamp(0, 0.97)


def _brow(s: Tensor, v: Tensor, at: Mapping[str, Tensor], p: Mapping[str, Tensor]) -> Tensor:
    """(N,) share of brow; arguments as of `skin_at`."""
    across, along = at["brow_across"] / p["brow_thick"], at["brow_along"]
    band = step(-1.15, -0.65, across) * (1 - step(0.55, 1.25, across))
    band = band * (step(-0.02, 0.08, along) * (1 - step(0.93, 1.04, along)))
    thin = step(0.0, 0.75, along) * 0.4 + 0.6
    strands = Noise(s + 1.3 * v, v - 0.4 * s, p["seed"] + 77.0, (2.2, 1.1))[STRANDS]
    return (band * thin * p["brow_dense"] * (0.85 + 0.3 * strands)).clamp(0, 0.96)


def eye_at(normal: Tensor, gaze: Tensor, s: Tensor, v: Tensor, p: Mapping[str, Tensor]) -> Surface:
    """An eyeball between the lids.

    Args:
        normal: (3, N) of the ball.
        gaze: (3, N) unit vector out of the pupil.
        s: (N,) place on the map, for the distance from the lids.
        v: likewise.
        p: see `skin_at`.
    """
    cosine = (normal * gaze).sum(0).clamp(-1, 1)
    angle = (2 - 2 * cosine).clamp(min=0).sqrt()  # nearly the angle
    grown = Noise(normal[0] * 40, normal[1] * 40, p["seed"] + 5.0, 6.0)
    at = painted(s, v)
    veins = step(1.0, 2.2, grown[CURLS]) * step(0.5, 0.9, angle) * 0.35
    white = torch.stack([0.44 * (1 - 0.2 * veins), 0.41 * (1 - veins), 0.39 * (1 - veins)])
    radius, pupil = p["iris_radius"], p["pupil"]
    rim = 1 - 0.6 * step(0.75, 1.0, angle / radius)
    iris = p["iris"] * (rim * (0.95 + 0.25 * grown[GRAINS]) * (0.8 + 0.5 * step(0.9, 0.4, angle / radius)))
    colour = mix(white, iris, 1 - step(0.92, 1.06, angle / radius))
    colour = mix(colour, torch.full_like(colour, 0.004), 1 - step(0.88, 1.1, angle / pupil))
    return Surface(
        colour, 0.0, 1 - 0.62 * (1 - step(0.0, 2.6, at["upper_lid"])) - 0.2 * (1 - step(0.0, 1.0, at["lower_lid"]))
    )


def hair_at(u: Tensor, v: Tensor, colour: Tensor, p: Mapping[str, Tensor]) -> Surface:
    """Strands of a colour (3, N) at texture coordinates (N,)."""
    kinds = Noise(u, v, p["seed"] + 21.0, (1.6, 0.55))
    strand = (1 - p["curly"]) * kinds[STRANDS] + p["curly"] * kinds[CURLS]
    albedo = colour * (0.85 + 0.4 * p["texture"] * strand).clamp(0.12, 2.6)
    return Surface(albedo, (0.35 + 0.3 * strand).clamp(0, 1) * 1.4, 1.0)


def cloth_at(u: Tensor, v: Tensor, colour: Tensor, p: Mapping[str, Tensor]) -> Surface:
    """Cloth, likewise."""
    kinds = Noise(u, v, p["seed"] + 51.0, 0.8)
    return Surface(colour * (1 + 0.10 * kinds[GRAINS] + 0.12 * kinds[CLOUDS]).clamp(0.3, 2), 0.03, 1.0)


def flesh_at(u: Tensor, v: Tensor, colour: Tensor, p: Mapping[str, Tensor]) -> Surface:
    """Hands and ears, likewise."""
    kinds = Noise(u, v, p["seed"] + 61.0, 1.5)
    return Surface(colour * (1 + 0.05 * kinds[CLOUDS] + 0.03 * kinds[GRAINS]), 0.5, 1.0)
