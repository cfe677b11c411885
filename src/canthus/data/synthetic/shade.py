"""Colours of surfaces: skin with all that is painted on it, eyes, mouths, hair and things, under a light.

Everything is a product, sum or look-up of single samples, so that a sample comes out the same alone and in a batch.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from canthus.data.synthetic.atlas import CHANNELS, NOISE, atlas, atlas_rows, noise

__all__ = ["eye_colour", "hair_colour_at", "skin_colour_at", "step"]

SEED_STEPS = (7919, 104729)
CHANNEL = {name: k for k, name in enumerate(CHANNELS)}


def step(low: float | Tensor, high: float | Tensor, x: Tensor) -> Tensor:
    """Smooth step from 0 at ``low`` to 1 at ``high``."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def noise_at(u: Tensor, v: Tensor, seed: Tensor, scale: float | tuple[float, float]) -> Tensor:
    """(N, 4) noise at texture coordinates in millimetres, ``scale`` texels a millimetre, moved by a seed."""
    su, sv = scale if isinstance(scale, tuple) else (scale, scale)
    x = (u * su + seed % SEED_STEPS[0]).floor().long() % NOISE
    y = (v * sv + seed % SEED_STEPS[1] * 0.37).floor().long() % NOISE
    return noise().to(u.device).index_select(0, y * NOISE + x)


def mix(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """Rows of ``a`` with a (N,) share of ``b``."""
    return a + (b - a) * share[:, None]


def skin_colour_at(s: Tensor, v: Tensor, p: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Paint a head.

    Args:
        s: (N,) place on the map.
        v: (N,) likewise.
        p: a person's values at each sample, (N,) or (N, 3), see `canthus.data.synthetic.render`.

    Returns:
        Albedo (N, 3), gloss (N,) and how much of the light from around reaches the place (N,).
    """
    n = noise_at(s, v, p["seed"], 2.0)
    coarse = noise_at(s, v, p["seed"] + 1000.0, 0.7)
    strands = noise_at(s, v, p["seed"] + 333.0, (3.2, 1.2))
    wobble_s, wobble_v = s + 0.35 * n[:, 3], v + 0.35 * n[:, 1]
    a = atlas().to(s.device).index_select(0, atlas_rows(wobble_s, wobble_v))
    at = {name: a[:, k] for name, k in CHANNEL.items()}
    skin = p["skin"]
    albedo = skin * (1 + p["texture"] * (0.05 * coarse[:, 0] + 0.03 * n[:, 1]))[:, None]
    red = torch.stack([torch.ones_like(s), 1 - 0.32 * at["blush"] * p["blush"], 1 - 0.28 * at["blush"] * p["blush"]], 1)
    albedo = albedo * red
    blotch = (step(0.9, 1.8, coarse[:, 0]) * p["age"] * 0.25 * p["texture"]).clamp(0, 1)
    albedo = albedo * (1 - torch.stack([0.5 * blotch, blotch, blotch], 1))
    freckle = step(1.0, 1.7, n[:, 3]) * p["freckles"] * step(0.1, 0.6, at["blush"]) * 0.45
    albedo = albedo * (1 - torch.stack([0.6 * freckle, freckle, freckle], 1))
    dark = at["socket"] * p["circles"] * 0.35
    albedo = albedo * (1 - torch.stack([dark, 1.15 * dark, 0.9 * dark], 1))
    albedo = albedo * (1 - at["wrinkle"] * p["wrinkles"] * (0.75 + 0.15 * coarse[:, 0]).clamp(0, 1))[:, None]

    lip = step(-0.55, 0.55, at["lip"])
    lip_colour = p["lips"] * (1 + 0.10 * p["texture"] * strands[:, 2].clamp(-1.5, 1.5))[:, None]
    albedo = mix(albedo, lip_colour, lip * (0.85 + 0.15 * p["make_up"]))
    albedo = albedo * (1 - 0.72 * torch.exp2(-(at["seam"] * at["seam"]) * 1.3) * lip)[:, None]
    albedo = albedo * (1 - 0.93 * step(0.25, 0.9, at["nostril"]))[:, None]

    # facial hair: strands with a soft border; lips stay bare
    strand = (0.5 + 0.5 * strands[:, 2]).clamp(0, 1)
    grain = (0.5 + 0.6 * n[:, 1]).clamp(0, 1)
    cover = at["beard"] * p["beard"] + at["moustache"] * p["moustache"] + at["goatee"] * p["goatee"]
    cover = cover.clamp(0, 1) * (1 - step(-0.8, 0.6, at["lip"]))
    dense = p["beard_dense"]
    share = (cover * (dense * (0.75 + 0.35 * strand) + (1 - dense) * grain * 0.75)).clamp(0, 0.97)
    beard_colour = p["hair"] * 0.7
    albedo = mix(albedo, beard_colour * (0.6 + 0.7 * strand)[:, None], share)

    across, along = at["brow_across"] / p["brow_thick"], at["brow_along"]
    band = (
        step(-1.15, -0.65, across)
        * (1 - step(0.55, 1.25, across))
        * step(-0.02, 0.08, along)
        * (1 - step(0.93, 1.04, along))
    )
    thin = step(0.0, 0.75, along) * 0.4 + 0.6
    brow_strand = noise_at(s + 1.3 * v, v - 0.4 * s, p["seed"] + 77.0, (2.2, 1.1))[:, 2]
    brow = (band * thin * p["brow_dense"] * (0.85 + 0.3 * brow_strand)).clamp(0, 0.96)
    albedo = mix(albedo, p["brow"], brow)

    lash = (1 - step(0.25, 0.75 + 0.6 * p["make_up"], at["upper_lid"])) * 0.85
    lash = torch.maximum(lash, (1 - step(0.1, 0.6, at["lower_lid"])) * (0.35 + 0.3 * p["make_up"]))
    crease = (1 - step(0.1, 1.1, at["crease"])) * p["crease"]
    albedo = albedo * (1 - torch.maximum(lash, 0.55 * crease))[:, None]
    albedo = albedo * (1 - p["shadow"] * step(0.8, 0.0, at["crease"].clamp(0, 1)) * 0.2)[:, None]

    scalp = step(-2.5, 5.0, at["scalp"] - p["hairline"] + 2.5 * strands[:, 2]) * p["scalp"]
    albedo = mix(albedo, p["hair"] * (0.55 + 0.5 * strand)[:, None], scalp * 0.92)
    gloss = (1 - share) * (1 - scalp) * (0.6 + 0.5 * lip + 0.15 * n[:, 0])
    hollow = 1 - p["relief"] * (1 - at["shade"])
    return albedo.clamp(0.002, 1), gloss.clamp(0, 2), hollow


def eye_colour(
    normal: Tensor, gaze: Tensor, s: Tensor, v: Tensor, p: Mapping[str, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """An eyeball between the lids.

    Args:
        normal: (N, 3) of the ball.
        gaze: (N, 3) unit vector out of the pupil.
        s: (N,) place on the map, for the distance from the lids.
        v: likewise.
        p: see `skin_colour_at`.
    """
    cosine = (normal * gaze).sum(-1).clamp(-1, 1)
    angle = (2 - 2 * cosine).clamp(min=0).sqrt()  # nearly the angle
    n = noise_at(normal[:, 0] * 40, normal[:, 1] * 40, p["seed"] + 5.0, 6.0)
    a = atlas().to(s.device).index_select(0, atlas_rows(s, v))
    white = torch.ones_like(normal) * torch.tensor([0.44, 0.41, 0.39], device=s.device)
    veins = step(1.0, 2.2, n[:, 3]) * step(0.5, 0.9, angle) * 0.35
    white = white * (1 - torch.stack([0.2 * veins, veins, veins], 1))
    iris_radius, pupil = p["iris_radius"], p["pupil"]
    rim = 1 - 0.6 * step(0.75, 1.0, angle / iris_radius)
    iris = p["iris"] * (rim * (0.95 + 0.25 * n[:, 1]) * (0.8 + 0.5 * step(0.9, 0.4, angle / iris_radius)))[:, None]
    colour = mix(white, iris, 1 - step(0.92, 1.06, angle / iris_radius))
    colour = mix(colour, torch.full_like(colour, 0.004), 1 - step(0.88, 1.1, angle / pupil))
    shadow = (
        1
        - 0.62 * (1 - step(0.0, 2.6, a[:, CHANNEL["upper_lid"]]))
        - 0.2 * (1 - step(0.0, 1.0, a[:, CHANNEL["lower_lid"]]))
    )
    return colour, torch.ones_like(s), shadow


def hair_colour_at(u: Tensor, v: Tensor, colour: Tensor, p: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Strands; see `skin_colour_at`."""
    n = noise_at(u, v, p["seed"] + 21.0, (1.6, 0.55))
    curly = p["curly"]
    strand = (1 - curly) * n[:, 2] + curly * n[:, 3]
    albedo = colour * (0.85 + 0.4 * p["texture"] * strand).clamp(0.12, 2.6)[:, None]
    return albedo, (0.35 + 0.3 * strand).clamp(0, 1), torch.ones_like(u)
