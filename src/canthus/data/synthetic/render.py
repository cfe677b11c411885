"""Scenes to pictures: triangles, the nearest at each sample, their colours, the light on them, the camera."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from canthus.data.synthetic.background import background
from canthus.data.synthetic.film import photograph
from canthus.data.synthetic.light import corner_normals, harmonics, reached
from canthus.data.synthetic.mesh import EYE, EYEBALL, MOUTH, SKIN, head_mesh
from canthus.data.synthetic.parts import CLOTH, FLESH, GLASS, HAIRY, SHINY, TOOTH
from canthus.data.synthetic.raster import barycentric, rasterise
from canthus.data.synthetic.scene import Scene
from canthus.data.synthetic.shade import eye_colour, hair_colour_at, mix, noise_at, skin_colour_at, step

__all__ = ["RENDERER", "render"]

RENDERER = "head-2"
"""Enters every fingerprint: change it whenever the same scene begins to give other pixels."""
SAMPLES = 1.5
"""Samples per pixel and axis."""
NEAR = 250.0
"""Millimetres that things may stand out from the middle of a head towards the camera."""


def render(
    scenes: Sequence[Scene],
    randoms: Sequence[np.random.Generator],
    resolution: int,
    device: str = "cpu",
    without: Sequence[str] = (),
) -> NDArray[np.uint8]:
    """Render scenes in one batch.

    Args:
        scenes: what is in them.
        randoms: one stream each for backgrounds and noise.
        resolution: side of the pictures, pixels.
        device: that samples are found and shaded on; backgrounds and film are the host's.
        without: parts to leave out, see `canthus.data.synthetic.scene.WITHOUT`.

    Returns:
        (B, H, W, 3) uint8 RGB.
    """
    side = round(SAMPLES * resolution)
    table = _Table(scenes, [_values(scene, without) for scene in scenes], side / resolution, torch.device(device))
    behind = np.stack([_behind(random, side // 2, without) for random in randoms])
    light = _shaded(table, torch.from_numpy(behind).to(device), side).cpu().numpy()
    pictures = []
    for picture, scene, random in zip(light, scenes, randoms, strict=True):
        small = cv2.resize(picture, (resolution, resolution), interpolation=cv2.INTER_AREA)
        # cameras are set to the face
        exposed = np.asarray(small, dtype=np.float32) * np.float32((0.2 / scene.person.skin.mean()) ** 0.4)
        pictures.append(photograph(exposed, scene.film, random))
    return np.stack(pictures)


def _behind(random: np.random.Generator, side: int, without: Sequence[str]) -> NDArray[np.float32]:
    if "background" in without:
        return np.full((side, side, 3), 0.2, dtype=np.float32)
    return np.asarray((background(random, side).astype(np.float32) / 255) ** 2, dtype=np.float32)


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


class _Table:
    """All corners and triangles of a batch of scenes as tensors."""

    def __init__(
        self, scenes: Sequence[Scene], values: Sequence[dict[str, Any]], samples: float, device: torch.device
    ) -> None:
        mesh = head_mesh()
        corners, attributes, triangles, materials, pictures = [], [], [], [], []
        count = 0
        for number, scene in enumerate(scenes):
            sun, open_ = reached(scene.rotation.T @ scene.light.sun)
            normals = corner_normals(scene.corners)
            head = np.column_stack([normals, mesh.places, np.zeros((len(normals), 3)), sun, open_])
            blocks = [(scene.corners, head, mesh.triangles, mesh.material)]
            for part in scene.parts:
                ones = np.ones((len(part.points), 2))
                rows = np.column_stack([part.normals, part.uv, part.colours, ones])
                blocks.append((part.points, rows, part.triangles, np.full(len(part.triangles), part.material)))
            for points, rows, faces, material in blocks:
                xy = (scene.project(points) + 0.5) * samples - 0.5
                depth = scene.distance + points[:, 2]
                corners.append(np.column_stack([xy, max(scene.distance - NEAR, 60.0) / depth]))
                attributes.append(rows)
                triangles.append(faces + count)
                materials.append(material)
                pictures.append(np.full(len(faces), number))
                count += len(points)

        def tensor(arrays: Sequence[NDArray[Any]], dtype: torch.dtype) -> Tensor:
            return torch.from_numpy(np.concatenate(arrays)).to(device, dtype)

        self.count = len(scenes)
        self.corners, self.attributes = tensor(corners, torch.float32), tensor(attributes, torch.float32)
        self.triangles, self.material = tensor(triangles, torch.int64), tensor(materials, torch.int64)
        self.picture = tensor(pictures, torch.int64)
        self.values = {
            key: torch.tensor(np.array([value[key] for value in values]), dtype=torch.float32, device=device)
            for key in values[0]
        }

        def per_scene(rows: Sequence[Any]) -> Tensor:
            return torch.tensor(np.array(rows), dtype=torch.float32, device=device)

        self.around = per_scene([s.light.around for s in scenes])
        self.sun, self.sun_colour = (
            per_scene([s.light.sun for s in scenes]),
            per_scene([s.light.colour for s in scenes]),
        )
        self.harsh = per_scene([s.light.harsh for s in scenes])
        self.eyes, self.gaze = (
            per_scene([s.eyes + s.distance * np.array([0, 0, 1]) for s in scenes]),
            per_scene([s.gaze for s in scenes]),
        )
        self.lens = per_scene([[*((s.centre + 0.5) * samples - 0.5), s.scale * samples * s.distance] for s in scenes])


def _shaded(t: _Table, behind: Tensor, side: int) -> Tensor:
    """(B, side, side, 3) linear light."""
    clear = t.material == GLASS
    solid = (~clear).nonzero()[:, 0]
    found = rasterise(t.corners, t.triangles[solid], t.picture[solid], t.count, side)
    image = torch.nn.functional.interpolate(
        behind.permute(0, 3, 1, 2), size=(side, side), mode="bilinear", align_corners=False
    )
    flat = image.permute(0, 2, 3, 1).reshape(-1, 3).contiguous()
    where = (found.view(-1) >= 0).nonzero()[:, 0]
    if len(where):
        ids = solid[found.view(-1)[where]]
        flat[where] = _light_of(t, ids, where, side)
    if bool(clear.any()):
        lens = clear.nonzero()[:, 0]
        over = rasterise(t.corners, t.triangles[lens], t.picture[lens], t.count, side).view(-1)
        both = (over >= 0).nonzero()[:, 0]
        x, y = (both % side).float(), (both // side % side).float()
        rows = t.triangles[lens[over[both]]]
        near = (barycentric(t.corners, rows, x, y) * t.corners[:, 2][rows]).sum(1)
        under = found.view(-1)[both]
        rows = t.triangles[solid[under.clamp(min=0)]]
        far = (barycentric(t.corners, rows, x, y) * t.corners[:, 2][rows]).sum(1)
        both = both[(under < 0) | (near > far)]
        flat[both] = flat[both] * 0.86 + 0.02
    return flat.view(t.count, side, side, 3)


def _light_of(t: _Table, ids: Tensor, where: Tensor, side: int) -> Tensor:
    """(N, 3) light that samples ``where`` send to the camera from triangles ``ids``."""
    x, y = (where % side).float(), (where // side % side).float()
    rows, picture, material = t.triangles[ids], t.picture[ids], t.material[ids]
    weight = barycentric(t.corners, rows, x, y)
    a = sum(weight[:, k, None] * t.attributes[rows[:, k]] for k in range(3))
    assert isinstance(a, Tensor)
    normal, u, v, colour, sun, open_ = a[:, :3], a[:, 3], a[:, 4], a[:, 5:8], a[:, 8], a[:, 9]
    normal = normal / (normal * normal).sum(1, keepdim=True).sqrt().clamp(min=1e-6)
    head = material < FLESH
    facing = torch.where((normal[:, 2] > 0) & ~head, -1.0, 1.0)
    normal = normal * facing[:, None]
    albedo, gloss, hollow = colour.clone(), torch.full_like(u, 0.15), torch.ones_like(u)

    def chosen(kind: int) -> tuple[Tensor, dict[str, Tensor]]:
        at = (material == kind).nonzero()[:, 0]
        one = t.count == 1
        return at, {
            key: (value.expand(len(at), *value.shape[1:]) if one else value[picture[at]])
            for key, value in t.values.items()
        }

    at, p = chosen(SKIN)
    if len(at):
        albedo[at], shine, hollow[at] = skin_colour_at(u[at], v[at], p)
        gloss[at] = shine * p["oily"]
    at, p = chosen(EYE)
    if len(at):
        which = (u[at] > 0).long()
        depth = t.lens[picture[at], 2]
        ray = torch.stack(
            [
                (x[at] - t.lens[picture[at], 0]) / depth,
                (y[at] - t.lens[picture[at], 1]) / depth,
                torch.ones_like(depth),
            ],
            1,
        )
        centre, gaze = t.eyes[picture[at], which], t.gaze[picture[at], which]
        aa, bb = (ray * ray).sum(1), (ray * centre).sum(1)
        root = (bb * bb - aa * ((centre * centre).sum(1) - EYEBALL**2)).clamp(min=0).sqrt()
        ball = (ray * ((bb - root) / aa)[:, None] - centre) / EYEBALL
        ball = ball / (ball * ball).sum(1, keepdim=True).sqrt().clamp(min=1e-6)
        albedo[at], gloss[at], hollow[at] = eye_colour(ball, gaze, u[at], v[at], p)
        normal[at], gloss[at] = ball, gloss[at] * 0.0
    at = (material == MOUTH).nonzero()[:, 0]
    albedo[at], gloss[at] = torch.tensor([0.03, 0.006, 0.006], device=u.device), 0.0
    at, p = chosen(HAIRY)
    if len(at):
        albedo[at], gloss[at], hollow[at] = hair_colour_at(u[at], v[at], colour[at], p)
        gloss[at] = gloss[at] * 1.4
    at, p = chosen(CLOTH)
    if len(at):
        n = noise_at(u[at], v[at], p["seed"] + 51.0, 0.8)
        albedo[at], gloss[at] = colour[at] * (1 + 0.10 * n[:, 1] + 0.12 * n[:, 0]).clamp(0.3, 2)[:, None], 0.03
    at, p = chosen(FLESH)
    if len(at):
        n = noise_at(u[at], v[at], p["seed"] + 61.0, 1.5)
        albedo[at], gloss[at] = colour[at] * (1 + 0.05 * n[:, 0] + 0.03 * n[:, 1])[:, None], 0.5
    gloss = torch.where(material == SHINY, 1.5, torch.where(material == TOOTH, 0.4, gloss))
    # the mouth is a cave: the deeper, the darker
    hollow = torch.where(material == TOOTH, 0.55, hollow)

    one = t.count == 1

    def each(value: Tensor) -> Tensor:
        return value.expand(len(u), *value.shape[1:]) if one else value[picture]

    around, direction, harsh = each(t.around), each(t.sun), each(t.harsh)
    basis = harmonics(normal)
    soft = sum(basis[:, k, None] * around[:, k] for k in range(9))
    assert isinstance(soft, Tensor)
    soft = soft.clamp(min=0.06) * ((1 - 0.55 * harsh) * (0.35 + 0.65 * open_) * hollow)[:, None]
    cosine = normal[:, 0] * direction[:, 0] + normal[:, 1] * direction[:, 1] + normal[:, 2] * direction[:, 2]
    fleshy = ((material == SKIN) | (material == FLESH)).float()
    bleed = torch.stack([0.16 * fleshy, 0.05 * fleshy, 0.03 * fleshy], 1)
    direct = (
        ((cosine[:, None] + bleed) / (1 + bleed)).clamp(min=0)
        * (1.7 * harsh * sun * (0.5 + 0.5 * hollow))[:, None]
        * each(t.sun_colour)
    )
    half = direction - torch.tensor([0.0, 0.0, 1.0], device=u.device)
    half = half / (half * half).sum(1, keepdim=True).sqrt().clamp(min=1e-6)
    h = (normal * half).sum(1).clamp(min=0)
    h = h * h
    h = h * h
    h = h * h
    above = (normal * torch.tensor([0.0, -0.42, -0.91], device=u.device)).sum(1).clamp(min=0)
    above = above * above
    above = above * above
    above = above * above
    shine = gloss * (0.22 * harsh * sun * h * h + 0.045 * above * above * (1 - 0.5 * harsh))
    rim = (1 + normal[:, 2]).clamp(0, 1)
    shine = shine + 0.05 * fleshy * rim * rim * rim * soft.mean(1)
    result = albedo * (soft + direct) + shine[:, None]
    wet = (material == EYE).float() * (
        0.9 * step(0.965, 0.99, (normal * half).sum(1))
        + 0.35 * step(0.93, 0.97, (normal * torch.tensor([-0.25, -0.4, -0.88], device=u.device)).sum(1))
    )
    return mix(result, torch.ones_like(result), wet.clamp(0, 1)).clamp(0, 4)
