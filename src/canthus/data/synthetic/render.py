"""Scenes to pictures: triangles, the nearest at each sample, their colours, the light on them, the camera."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from canthus.data.synthetic.background import background
from canthus.data.synthetic.film import image
from canthus.data.synthetic.light import Lighting
from canthus.data.synthetic.mesh import EYE, EYEBALL, MOUTH, SKIN
from canthus.data.synthetic.parts import CLOTH, FLESH, HAIRY, TOOTH
from canthus.data.synthetic.raster import Samples, rasterise, samples_of
from canthus.data.synthetic.scene import Scene
from canthus.data.synthetic.shade import Surface, cloth_at, eye_at, flesh_at, hair_at, mix, skin_at
from canthus.data.synthetic.table import Table

__all__ = ["PLAIN", "RENDERER", "cut_out", "render"]

RENDERER = "head-2"
"""Enters every fingerprint: change it whenever the same scene begins to give other pixels."""
SAMPLES = 1.5
"""Samples per pixel and axis."""
PLAIN = 0.2
"""Light of the background where there is none."""
KINDS = 9
"""Materials, see `canthus.data.synthetic.mesh` and `canthus.data.synthetic.parts`."""
PAINTERS = {FLESH: flesh_at, HAIRY: hair_at, CLOTH: cloth_at}
TOGETHER = 64
"""Pictures of a batch on an accelerator. A processor takes them one by one, whose numbers stay in its cache."""


def render(
    scenes: Sequence[Scene],
    randoms: Sequence[np.random.Generator],
    resolution: int,
    device: str | torch.device = "cpu",
    without: Sequence[str] = (),
) -> NDArray[np.uint8]:
    """Render scenes.

    Args:
        scenes: what is in them.
        randoms: one stream each for backgrounds and noise.
        resolution: side of the images, pixels.
        device: that samples are found and shaded on; backgrounds and film are the host's.
        without: parts to leave out, see `canthus.data.synthetic.draw.WITHOUT`.

    Returns:
        (B, H, W, 3) uint8 RGB.
    """
    pictures = np.empty((len(scenes), resolution, resolution, 3), dtype=np.uint8)
    for number, (picture, _) in enumerate(_images(scenes, randoms, resolution, torch.device(device), without)):
        pictures[number] = picture
    return pictures


def cut_out(
    scenes: Sequence[Scene], randoms: Sequence[np.random.Generator], resolution: int
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float64]]]:
    """Render scenes before a background of `PLAIN` light, to be put before others.

    Args:
        scenes: see `render`, as the other arguments.
        randoms: of the noise.
        resolution: side of the images, pixels.

    Yields:
        Of each scene (H, W, 3) uint8 RGB and (H, W) share of each pixel that it covers, by all but glass.
    """
    for picture, covered in _images(scenes, randoms, resolution, torch.device("cpu"), ("background",)):
        share = cv2.resize(covered.astype(np.float32), (resolution, resolution), interpolation=cv2.INTER_AREA)
        yield picture, share.astype(np.float64)


def _images(
    scenes: Sequence[Scene],
    randoms: Sequence[np.random.Generator],
    resolution: int,
    device: torch.device,
    without: Sequence[str],
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
    """Of each scene the image and the (side, side) samples that it covers."""
    together = 1 if device.type == "cpu" else TOGETHER
    for begin in range(0, len(scenes), together):
        some = slice(begin, begin + together)
        batch = zip(*_light(scenes[some], randoms[some], resolution, device, without), strict=True)
        for number, (planes, covered) in enumerate(batch, begin):
            yield _imageed(planes, scenes[number], randoms[number], resolution), covered


def _light(
    scenes: Sequence[Scene],
    randoms: Sequence[np.random.Generator],
    resolution: int,
    device: torch.device,
    without: Sequence[str],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(B, 3, side, side) linear light of a batch, and the (B, side, side) samples that scenes cover."""
    side = round(SAMPLES * resolution)
    table = Table(scenes, [_values(scene, without) for scene in scenes], side / resolution, device)
    behind = np.stack([_behind(random, side, without) for random in randoms], 1).reshape(3, -1)
    light = torch.from_numpy(behind).to(device)
    covered = _put_before(table, light, side)
    planes = light.view(3, len(scenes), side, side).transpose(0, 1)
    return planes.cpu().numpy(), covered.view(len(scenes), side, side).cpu().numpy()


def _behind(random: np.random.Generator, side: int, without: Sequence[str]) -> NDArray[np.float32]:
    """(3, side, side) linear light of a background."""
    if "background" in without:
        return np.full((3, side, side), PLAIN, dtype=np.float32)
    # out of focus: made small
    planes = [(plane.astype(np.float32) / 255) ** 2 for plane in cv2.split(background(random, side // 2))]
    return np.stack([cv2.resize(plane, (side, side), interpolation=cv2.INTER_LINEAR) for plane in planes])


def _imageed(
    planes: NDArray[np.float32], scene: Scene, random: np.random.Generator, resolution: int
) -> NDArray[np.uint8]:
    """(H, W, 3) image that the scene's camera takes of (3, side, side) light."""
    small: Any = cv2.resize(cv2.merge(list(planes)), (resolution, resolution), interpolation=cv2.INTER_AREA)
    # cameras are set to the face
    return image(small * np.float32((0.2 / scene.person.skin.mean()) ** 0.4), scene.film, random)


def _values(scene: Scene, without: Sequence[str]) -> dict[str, Any]:
    """What shading needs to know of a scene, numbers and RGB colours."""
    p = scene.person
    random = np.random.default_rng(p.seed)
    r = random.random(12)
    plain = "skin" in without
    smile = float(np.clip(scene.expression.smile, 0, 1))
    dense = {"shadow": 0.0, "stubble": 0.25}.get(p.beard, 1.0)
    strength = {"none": 0.0, "shadow": 0.35, "stubble": 0.7}.get(p.beard, 1.0)
    full, lip, chin = (
        p.beard in ("beard", "shadow", "stubble"),
        p.beard in ("moustache", "goatee", "beard"),
        p.beard == "goatee",
    )
    brow = np.minimum(p.hair * 0.6, p.skin * 0.3)
    return {
        "seed": float(p.seed % 400000), "skin": p.skin, "lips": p.lips, "hair": p.hair, "iris": p.iris, "brow": brow,
        "texture": 0.0 if plain else 1.0, "blush": 0.0 if plain else 0.4 + 0.6 * r[0], "age": 0.0 if plain else p.age,
        "freckles": 0.0 if plain else p.freckles, "circles": 0.0 if plain else r[1],
        "wrinkles": 0.0 if plain else 0.05 + 0.22 * p.age**2 + 0.12 * smile + 0.05 * r[2], "make_up": p.make_up,
        "beard": strength * full, "moustache": strength * lip, "goatee": strength * chin, "beard_dense": dense,
        "brow_thick": p.brow[0], "brow_dense": p.brow[1], "crease": 0.35 + 0.65 * r[3], "shadow": r[4],
        "hairline": p.hairline, "scalp": 1.0 if p.style != "bald" else 0.25 * (r[5] > 0.4) * (not plain),
        "relief": 0.8 + 0.5 * r[6], "curly": scene.curly, "iris_radius": 0.46 + 0.06 * r[7],
        "pupil": 0.13 + 0.12 * r[8],
        "oily": 0.4 + 0.9 * r[9],
    }  # fmt: skip


def _put_before(t: Table, light: Tensor, side: int) -> Tensor:
    """Put scenes before backgrounds (3, B * side * side), in place; returns the (B * side * side,) covered samples."""
    found = rasterise(t.corners, t.solid, t.count, side)
    covered = (found >= 0).nonzero()[:, 0]
    ids = found.index_select(0, covered)
    # all samples of a material in a row, so that each is painted at once
    kinds, order = t.material.index_select(0, ids).sort(stable=True)
    covered, ids = covered.index_select(0, order), ids.index_select(0, order)
    painted = _lit(t, samples_of(t.corners, t.solid, ids, covered, side), kinds)
    for channel, row in zip(light, painted, strict=True):
        channel.scatter_(0, covered, row)
    if len(t.clear):
        _glaze(t, light, found, side)
    return found >= 0


def _glaze(t: Table, light: Tensor, found: Tensor, side: int) -> None:
    """Darken what is seen through glass; ``found``: the solid triangle at each sample."""
    over = rasterise(t.corners, t.clear, t.count, side)
    at = (over >= 0).nonzero()[:, 0]
    under = found.index_select(0, at)
    near, far = (
        samples_of(t.corners, triangles, ids, at, side).interpolate(t.corners[2:])[0]
        for triangles, ids in ((t.clear, over.index_select(0, at)), (t.solid, under.clamp(min=0)))
    )
    at = at[(under < 0) | (near > far)]
    light[:, at] = light[:, at] * 0.86 + 0.02


def _lit(t: Table, samples: Samples, kinds: Tensor) -> Tensor:
    """(3, N) light that samples, sorted by their (N,) materials, send to the camera."""
    ends = torch.bincount(kinds, minlength=KINDS).cumsum(0).tolist()
    of = {kind: slice(begin, end) for kind, (begin, end) in enumerate(zip([0, *ends], ends, strict=False))}
    head, parts = slice(0, ends[MOUTH]), slice(ends[MOUTH], None)
    normal = samples.interpolate(t.normals)
    # parts are seen from both sides
    normal[:, parts] *= torch.copysign(torch.ones_like(normal[2, parts]), -normal[2, parts])
    normal = normal / (normal * normal).sum(0).sqrt().clamp(min=1e-6)
    if len(samples.part(of[EYE])):
        normal[:, of[EYE]] = _eyeballs(t, samples.part(of[EYE]))
    reached = torch.ones_like(samples.weights[:2])
    reached[:, head] = samples.part(head).interpolate(t.reached)
    flesh = torch.zeros_like(samples.x)
    flesh[of[SKIN]] = flesh[of[FLESH]] = 1

    lighting = _lighting(t, samples)
    result = lighting.on(_painted(t, samples, of, normal), normal, reached, flesh)
    eyes = _lighting(t, samples.part(of[EYE])).wet(normal[:, of[EYE]])
    result[:, of[EYE]] = mix(result[:, of[EYE]], torch.ones_like(result[:, of[EYE]]), eyes)
    return result.clamp(0, 4)


def _lighting(t: Table, samples: Samples) -> Lighting:
    return Lighting(*(t.each(value, samples.picture) for value in (t.around, t.sun, t.sun_colour, t.harsh)))


def _painted(t: Table, samples: Samples, of: Mapping[int, slice], normal: Tensor) -> Surface:
    """The surfaces at samples, sorted by material; ``of``: where each material is."""
    parts = slice(of[MOUTH].stop, None)
    albedo = torch.empty_like(normal)
    albedo[:, parts] = samples.part(parts).interpolate(t.colours)
    gloss, hollow = torch.full_like(samples.x, 0.15), torch.ones_like(samples.x)
    for kind, which in of.items():
        here = samples.part(which)
        if not len(here):
            continue
        person = {key: t.each(value, here.picture) for key, value in t.values.items()}
        u, v = here.interpolate(t.places)
        if kind == SKIN:
            surface = skin_at(u, v, person)
        elif kind == EYE:
            surface = eye_at(normal[:, which], _of_eye(t.gaze, t, here, u), u, v, person)
        elif kind == MOUTH:
            surface = Surface(albedo.new_tensor([[0.03], [0.006], [0.006]]), 0.0, 1.0)
        elif kind in PAINTERS:
            surface = PAINTERS[kind](u, v, albedo[:, which], person)
        else:
            # the mouth is a cave: the deeper, the darker
            surface = Surface(albedo[:, which], *((0.4, 0.55) if kind == TOOTH else (1.5, 1.0)))
        albedo[:, which], gloss[which], hollow[which] = surface
    return Surface(albedo, gloss, hollow)


def _of_eye(both: Tensor, t: Table, samples: Samples, u: Tensor) -> Tensor:
    """(3, N) of the (6, B) vectors of both eyes, that of the eye that samples with places ``u`` are on."""
    left, right = t.each(both, samples.picture).split(3)
    return torch.where(u > 0, right, left)


def _eyeballs(t: Table, samples: Samples) -> Tensor:
    """(3, N) normals of the balls between the lids, where the rays of samples meet them."""
    column, row, depth = t.each(t.lens, samples.picture)
    ray = torch.stack([(samples.x - column) / depth, (samples.y - row) / depth, torch.ones_like(samples.x)])
    centre = _of_eye(t.eyes, t, samples, samples.interpolate(t.places)[0])
    aa, bb = (ray * ray).sum(0), (ray * centre).sum(0)
    root = (bb * bb - aa * ((centre * centre).sum(0) - EYEBALL**2)).clamp(min=0).sqrt()
    ball = (ray * ((bb - root) / aa) - centre) / EYEBALL
    return ball / (ball * ball).sum(0).sqrt().clamp(min=1e-6)
