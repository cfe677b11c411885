"""Light on surfaces: second-order spherical harmonics for what surrounds a head, a directional light with shadows."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from canthus.data.synthetic.mesh import head_mesh
from canthus.data.synthetic.raster import rasterise
from canthus.data.synthetic.surface import Array

__all__ = ["Light", "draw_light", "harmonics", "reached"]


@dataclass(frozen=True, eq=False)
class Light:
    """The light in a picture, in the frame of the camera.

    Attributes:
        around: (9, 3) coefficients of `harmonics` per colour: the light on a surface from all around.
        sun: (3,) unit vector towards the directional light.
        colour: (3,) of the directional light.
        harsh: share of the directional light, 0 to 1.
    """

    around: Array
    sun: Array
    colour: Array
    harsh: float


def harmonics(normal: Tensor) -> Tensor:
    """(N, 3) normals to (N, 9): 1, x, y, z, xy, yz, 3z^2 - 1, xz, x^2 - y^2."""
    x, y, z = normal.unbind(-1)
    return torch.stack([torch.ones_like(x), x, y, z, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y], -1)


def draw_light(random: np.random.Generator, strength: float) -> Light:
    """Draw the light; ``strength``: how one-sided it may be, 0 to 1."""
    tint = 1 + 0.10 * random.normal() * np.array([1.0, 0.1, -1.0]) + 0.03 * random.normal(size=3)
    around = np.zeros((9, 3))
    around[0] = 1
    slope = random.normal(size=3) * (0.34, 0.24, 0.16) + (0, -0.3, -0.22)
    around[1:4] = (0.5 + 0.7 * strength) * slope[:, None] * (1 + 0.1 * random.normal(size=3))
    around[4:] = 0.09 * strength * random.normal(size=(5, 1)) * (1 + 0.2 * random.normal(size=(5, 3)))
    sun = random.normal(size=3) * (0.9, 0.5, 0.45) + (0, -0.55, -0.75)
    sun /= np.linalg.norm(sun)
    harsh = float(strength * random.random())
    return Light(around * tint, sun, tint * (1 + 0.07 * random.normal() * np.array([1.0, 0.0, -1.0])), harsh)


@lru_cache(maxsize=1)
def _seen() -> tuple[Array, Array]:
    """Directions (D, 3) and how well each corner of the head at rest sees them, (V, D): shadows for all heads."""
    mesh = head_mesh()
    i = np.arange(64)
    z = 1 - (2 * i + 1) / 64
    angle = np.pi * (1 + 5**0.5) * i
    every = np.stack([np.sqrt(1 - z * z) * np.cos(angle), np.sqrt(1 - z * z) * np.sin(angle), z], 1)
    directions = every[(every[:, 2] < 0.35)]
    side, seen = 112, []
    triangles = torch.from_numpy(mesh.triangles)
    for direction in directions:
        across = np.cross(direction, (0.3, 1, 0.2))
        across /= np.linalg.norm(across)
        frame = np.stack([across, np.cross(direction, across), -direction])
        turned = mesh.rest @ frame.T
        corners = np.column_stack([(turned[:, :2] - turned[:, :2].mean(0)) * 0.36 + side / 2, 0.5 - turned[:, 2] / 800])
        found = rasterise(
            torch.tensor(corners, dtype=torch.float32),
            triangles,
            torch.zeros(len(triangles), dtype=torch.long),
            1,
            side,
        )[0].numpy()
        column, row = (np.clip(np.rint(corners[:, k]).astype(int), 0, side - 1) for k in range(2))
        front = np.where(found[row, column] < 0, 1e9, turned[mesh.triangles[found[row, column]], 2].mean(1))
        seen.append(np.clip((front + 9 - turned[:, 2]) / 5, 0, 1))
    return directions, np.stack(seen, 1)


def reached(light: Array) -> tuple[Array, Array]:
    """How much of the directional light, and of light from all around, reaches each corner of a head: (V,) and (V,).

    Args:
        light: (3,) direction in the head's frame.
    """
    directions, seen = _seen()
    weight = np.clip(directions @ light, 0, None) ** 24 + 1e-6
    return np.asarray(seen @ (weight / weight.sum())), _open()


@lru_cache(maxsize=1)
def _open() -> Array:
    directions, seen = _seen()
    mesh = head_mesh()
    normals = corner_normals(mesh.rest)
    weight = np.clip(normals @ directions.T, 0, None) + 0.02
    return np.asarray((seen * weight).sum(1) / weight.sum(1))


def corner_normals(points: Array) -> Array:
    """(V, 3) outward unit normals of a head's corners."""
    mesh = head_mesh()
    t = mesh.triangles
    faces = np.cross(points[t[:, 2]] - points[t[:, 0]], points[t[:, 1]] - points[t[:, 0]])
    faces = np.concatenate([faces, np.zeros((1, 3))])
    normals = faces[mesh.neighbours].sum(1)
    return np.asarray(normals / (np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9))
