"""Light on surfaces: second-order spherical harmonics for what surrounds a head, a directional light with shadows."""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from canthus.data.synthetic.mesh import head_mesh
from canthus.data.synthetic.one_thread import one_thread
from canthus.data.synthetic.raster import Triangles, rasterise
from canthus.data.synthetic.shade import Surface, step
from canthus.data.synthetic.surface import Array

__all__ = ["Light", "Lighting", "corner_normals", "draw_light", "reached"]


@dataclass(frozen=True, eq=False)
class Light:
    """The light in an image, in the frame of the camera.

    Attributes:
        around: (9, 3) per colour, the light on a surface from all around: coefficients of 1, x, y, z, xy, yz,
            3z^2 - 1, xz and x^2 - y^2 of its normal.
        sun: (3,) unit vector towards the directional light.
        colour: (3,) of the directional light.
        harsh: share of the directional light, 0 to 1.
    """

    around: Array
    sun: Array
    colour: Array
    harsh: float


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


SKY = (0.0, -0.42, -0.91)
"""From where even light shines on gloss."""
BLEED = (0.16, 0.05, 0.03)
"""How far light creeps into the shade of flesh, per channel."""


class Lighting(NamedTuple):
    """The light at N samples, or at all samples of one picture: N is then 1.

    Attributes:
        around: (27, N) see `Light`, channels of a harmonic next to each other; sun, colour: (3, N); harsh: (N,).
    """

    around: Tensor
    sun: Tensor
    colour: Tensor
    harsh: Tensor

    def on(self, surface: Surface, normal: Tensor, reached: Tensor, flesh: Tensor) -> Tensor:
        """(3, N) light that surfaces send to the camera.

        Args:
            surface: what is lit.
            normal: (3, N) unit normals.
            reached: (2, N) shares of the directional light and of light from around that come here.
            flesh: (N,) 1 where light creeps into the shade, 0 elsewhere.
        """
        albedo, gloss, hollow = surface
        sun, open_ = reached
        shade, cosine = (1 - 0.55 * self.harsh) * (0.35 + 0.65 * open_) * hollow, _dot(normal, self.sun)
        beam = 1.7 * self.harsh * sun * (0.5 + 0.5 * hollow)
        soft = [_harmonics(normal, self.around[channel::3]).clamp_(min=0.06).mul_(shade) for channel in range(3)]
        light = []
        for channel, bleed in enumerate(BLEED):
            direct = (cosine + (bleed / (1 + bleed)) * flesh * (1 - cosine)).clamp_(min=0)
            light.append(albedo[channel] * (soft[channel] + direct * beam * self.colour[channel]))
        glint, sheen = _eighth(_dot(normal, self.halfway()).clamp(min=0)), _eighth(_dot(normal, SKY).clamp(min=0))
        shine = gloss * (0.22 * self.harsh * sun * glint + 0.045 * sheen * (1 - 0.5 * self.harsh))
        rim = (1 + normal[2]).clamp(0, 1)
        shine = shine + 0.05 * flesh * rim * rim * rim * (soft[0] + soft[1] + soft[2]) / 3
        return torch.stack([row + shine for row in light])

    def halfway(self) -> Tensor:
        """(3, N) unit vectors between the directional light and the camera."""
        half = torch.stack([self.sun[0], self.sun[1], self.sun[2] - 1])
        return half / _dot(half, half).sqrt().clamp(min=1e-6)

    def wet(self, normal: Tensor) -> Tensor:
        """(N,) share of white that a wet ball with these normals reflects."""
        window = 0.35 * step(0.93, 0.97, _dot(normal, (-0.25, -0.4, -0.88)))
        return (0.9 * step(0.965, 0.99, _dot(normal, self.halfway())) + window).clamp(0, 1)


def _harmonics(normal: Tensor, of: Tensor) -> Tensor:
    """(N,) sum of 1, x, y, z, xy, yz, 3z^2 - 1, xz and x^2 - y^2 of (3, N) normals with (9, N) coefficients."""
    x, y, z = normal.unbind()
    total = (of[0] - of[6]) + x * (of[1] + of[4] * y + of[7] * z + of[8] * x)
    return total + y * (of[2] + of[5] * z - of[8] * y) + z * (of[3] + 3 * of[6] * z)


def _dot(a: Tensor, b: Tensor | tuple[float, float, float]) -> Tensor:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _eighth(x: Tensor) -> Tensor:
    """The eighth power."""
    x = x * x
    x = x * x
    return x * x


@lru_cache(maxsize=1)
@one_thread
def _seen() -> tuple[Array, Array]:
    """Directions (D, 3) and how well each corner of the head at rest sees them, (V, D): shadows for all heads."""
    mesh = head_mesh()
    i = np.arange(64)
    z = 1 - (2 * i + 1) / 64
    angle = np.pi * (1 + 5**0.5) * i
    every = np.stack([np.sqrt(1 - z * z) * np.cos(angle), np.sqrt(1 - z * z) * np.sin(angle), z], 1)
    directions = every[(every[:, 2] < 0.35)]
    side, seen = 112, []
    corners = torch.from_numpy(np.ascontiguousarray(mesh.triangles.T, dtype=np.int32))
    triangles = Triangles(corners, torch.zeros(len(mesh.triangles), dtype=torch.int32))
    for direction in directions:
        across = np.cross(direction, (0.3, 1, 0.2))
        across /= np.linalg.norm(across)
        frame = np.stack([across, np.cross(direction, across), -direction])
        turned = mesh.rest @ frame.T
        at = np.column_stack([(turned[:, :2] - turned[:, :2].mean(0)) * 0.36 + side / 2, 0.5 - turned[:, 2] / 800])
        points = torch.tensor(np.ascontiguousarray(at.T), dtype=torch.float32)
        found = rasterise(points, triangles, 1, side).view(side, side).numpy()
        column, row = (np.clip(np.rint(at[:, k]).astype(int), 0, side - 1) for k in range(2))
        front = np.where(found[row, column] < 0, 1e9, turned[mesh.triangles[found[row, column]], 2].mean(1))
        seen.append(np.clip((front + 9 - turned[:, 2]) / 5, 0, 1))
    return directions, np.stack(seen, 1)


@one_thread
def reached(light: Array) -> tuple[Array, Array]:
    """How much of the directional light, and of light from all around, reaches each corner of a head: (V,) and (V,).

    Args:
        light: (3,) direction in the head's frame.
    """
    directions, seen = _seen()
    weight = np.clip(directions @ light, 0, None) ** 24 + 1e-6
    return np.asarray(seen @ (weight / weight.sum())), _open()


@lru_cache(maxsize=1)
@one_thread
def _open() -> Array:
    directions, seen = _seen()
    mesh = head_mesh()
    normals = corner_normals(mesh.rest)
    weight = np.clip(normals @ directions.T, 0, None) + 0.02
    return np.asarray((seen * weight).sum(1) / weight.sum(1))


def corner_normals(points: Array) -> Array:
    """(V, 3) outward unit normals of a head's corners."""
    a, b, c = (points.T[:, corner] for corner in head_mesh().triangles.T)
    (x, y, z), (u, v, w) = c - a, b - a
    normals = _triangles_at_corners() @ np.stack([y * w - z * v, z * u - x * w, x * v - y * u], 1)
    return np.asarray(normals / (np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9))


@lru_cache(maxsize=1)
def _triangles_at_corners() -> csr_array:
    """(V, T) 1 where a triangle has a corner."""
    triangles = head_mesh().triangles
    column = np.repeat(np.arange(len(triangles)), 3)
    return csr_array((np.ones(len(column)), (triangles.ravel(), column)), shape=(len(head_mesh().rest), len(triangles)))
