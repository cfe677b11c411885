"""Pieces of surface in the image beside the head, and how they are built: every one is a grid of points."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from canthus.data.synthetic.surface import Array

__all__ = [
    "CLOTH",
    "FLESH",
    "GLASS",
    "HAIRY",
    "TOOTH",
    "Part",
    "capsule",
    "ears",
    "ellipsoid",
    "sheet",
    "teeth",
    "torso",
    "tube",
]

FLESH, HAIRY, CLOTH, TOOTH, SHINY, GLASS = 3, 4, 5, 6, 7, 8
"""Materials; the head's own are in `canthus.data.synthetic.mesh`."""


@dataclass(frozen=True, eq=False)
class Part:
    """A grid of points with colours. What only images need is made when they ask for it.

    Attributes:
        points: (V, 3), row after row of the grid.
        grid: rows, columns, and whether the last column joins the first.
        colours: (V, 3) linear RGB.
        material: see the constants.
        places: (V, 2) texture coordinates, about millimetres; lengths along rows and columns when absent.
        opaque: hides what is behind it.
    """

    points: Array
    grid: tuple[int, int, bool]
    colours: Array
    material: int
    places: Array | None = None
    opaque: bool = True

    @property
    def triangles(self) -> NDArray[np.int64]:
        """(T, 3)."""
        return _grid(*self.grid)

    @property
    def normals(self) -> Array:
        """(V, 3) of unit length; which of both sides they point to does not matter."""
        (x, y, z), (u, v, w) = (step.reshape(-1, 3).T for step in self._steps())
        normals = np.stack([y * w - z * v, z * u - x * w, x * v - y * u], 1)
        return np.asarray(normals / (np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9))

    @property
    def uv(self) -> Array:
        """(V, 2) texture coordinates."""
        if self.places is not None:
            return self.places
        along, down = (np.linalg.norm(step, axis=-1) for step in self._steps())
        both = np.broadcast_arrays(along.mean(0).cumsum()[None], down.mean(1).cumsum()[:, None])
        return np.stack(both, -1).reshape(-1, 2)

    def _steps(self) -> tuple[Array, Array]:
        """(R, C, 3) along the rows and down the columns."""
        rows, columns, wrap = self.grid
        points = self.points.reshape(rows, columns, 3)
        along = np.roll(points, -1, 1) - np.roll(points, 1, 1) if wrap else np.gradient(points, axis=1)
        return np.asarray(along), np.asarray(np.gradient(points, axis=0))

    def turned(self, rotation: Array, pivot: Array | float = 0.0) -> "Part":
        """The part turned about a pivot."""
        return replace(self, points=(self.points - pivot) @ rotation.T + pivot)


@lru_cache(maxsize=64)
def _grid(rows: int, columns: int, wrap: bool) -> NDArray[np.int64]:
    """Triangles of a grid, both sides of each, so that open sheets are seen from behind, too."""
    r, c = np.meshgrid(np.arange(rows - 1), np.arange(columns if wrap else columns - 1), indexing="ij")
    a, b = r * columns + c, r * columns + (c + 1) % columns
    d, e = a + columns, b + columns
    one = np.stack([np.stack([a, b, d], -1), np.stack([b, e, d], -1)]).reshape(-1, 3)
    return np.concatenate([one, one[:, ::-1]])


def sheet(
    points: Array, colour: Array, material: int, *, wrap: bool = False, uv: Array | None = None, opaque: bool = True
) -> Part:
    """A (R, C, 3) grid as a part.

    Args:
        points: of the grid; with ``wrap`` the last column joins the first.
        colour: (3,), or (R, C, 3).
        material: see the constants.
        wrap: closed along the columns.
        uv: (R, C, 2); lengths along rows and columns by default.
        opaque: hides what is behind it.
    """
    rows, columns = points.shape[:2]
    colours = np.broadcast_to(colour, points.shape).reshape(-1, 3)
    places = None if uv is None else uv.reshape(-1, 2)
    return Part(points.reshape(-1, 3), (rows, columns, wrap), colours, material, places, opaque)


def tube(
    line: Array, radius: Array | float, colour: Array, material: int, *, sides: int = 8, closed: bool = False
) -> Part:
    """A tube about (n, 3) points; ``radius`` one for all or (n,)."""
    if closed:
        line = np.concatenate([line, line[:1]])
        along = np.roll(line[:-1], -1, 0) - np.roll(line[:-1], 1, 0)
        along = np.concatenate([along, along[:1]])
    else:
        along = np.gradient(line, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
    other = np.where(np.abs(along[:, 2:]) < 0.9, [[0.0, 0, 1]], [[0.0, 1, 0]])
    x = np.cross(along, other)
    x /= np.linalg.norm(x, axis=1, keepdims=True) + 1e-9
    y = np.cross(along, x)
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    ring = np.cos(angle)[None, :, None] * x[:, None] + np.sin(angle)[None, :, None] * y[:, None]
    size = np.broadcast_to(radius, (len(line),))[:, None, None]
    return sheet(line[:, None] + size * ring, colour, material, wrap=True)


def capsule(
    start: Array, end: Array, radius: float, colour: Array, material: int, *, bend: Array | None = None
) -> Part:
    """A finger: a tube with a round end, ``bend`` (3,) pushing its middle aside."""
    t = np.array([0, 0.2, 0.4, 0.6, 0.8, 0.92, 1.0, 1.0, 1.0])
    reach = np.array([0, 0, 0, 0, 0, 0, 0.5, 0.85, 1.0]) * radius
    size = radius * np.array([1, 1.02, 0.95, 0.98, 0.92, 0.92, 0.8, 0.45, 0.02])
    direction = (end - start) / (np.linalg.norm(end - start) + 1e-9)
    line = start + t[:, None] * (end - start) + reach[:, None] * direction
    if bend is not None:
        line = line + (4 * t * (1 - t))[:, None] * bend
    return tube(line, size, colour, material, sides=10)


def ellipsoid(centre: Array, axes: Array, colour: Array, material: int) -> Part:
    """An ellipsoid; ``axes`` (3, 3) holds its half axes in rows."""
    latitude, longitude = np.linspace(0.02, np.pi - 0.02, 10), np.linspace(0, 2 * np.pi, 16, endpoint=False)
    unit = np.stack(
        np.broadcast_arrays(
            np.sin(latitude)[:, None] * np.cos(longitude),
            np.cos(latitude)[:, None],
            np.sin(latitude)[:, None] * np.sin(longitude),
        ),
        -1,
    )
    return sheet(centre + unit @ axes, colour, material, wrap=True)


_EAR_ANGLES = np.deg2rad(np.arange(0, 360, 15))
_EAR_OUTLINE = np.interp(
    np.arange(0, 360, 15), [0, 30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 330, 360],
    [1.0, 1.03, 1.02, 1.0, 0.93, 0.82, 0.75, 0.72, 0.78, 0.95, 0.9, 0.92, 1.0],
)  # fmt: skip
_EAR_PROFILE = (
    (0.0, -3.0, 0.35),
    (0.3, -3.5, 0.45),
    (0.5, 0.5, 0.9),
    (0.65, 2.5, 1.05),
    (0.78, 0.5, 0.75),
    (0.9, 4.0, 1.1),
    (1.0, 3.0, 1.1),
    (1.02, -2.0, 0.8),
    (0.85, -6.0, 0.6),
)
"""Radius, height over the plane of the ear, brightness: bowl, inner ridge, groove, rim, back."""


def ears(left: Array, right: Array, skin: Array) -> list[Part]:
    """Both ears behind the ends of the jaw line, (3,) each."""
    made = []
    redder = skin * (1.02, 0.86, 0.82)
    for corner, side in ((left, -1.0), (right, 1.0)):
        centre = corner + np.array([side * 4.0, 10.0, 17.0])
        up, back, out = np.array([0, -1, 0.18]), np.array([side * 0.42, 0.12, 0.9]), np.array([side * 0.9, 0, -0.42])
        rows = []
        colours = []
        for radius, height, bright in _EAR_PROFILE:
            r = radius * _EAR_OUTLINE
            rows.append(
                centre
                + (26 * r * np.sin(_EAR_ANGLES))[:, None] * up
                + (15 * r * np.cos(_EAR_ANGLES))[:, None] * back
                + height * out
            )
            colours.append(np.broadcast_to(redder * bright, (len(r), 3)))
        made.append(sheet(np.array(rows), np.array(colours), FLESH, wrap=True))
    return made


def teeth(
    upper_lip: Array, lower_lip: Array, tooth_top: float, tooth_bottom: float, jaw: float, white: Array
) -> list[Part]:
    """Rows of teeth behind the lips.

    Args:
        upper_lip: (3,) middle of its inner border; its depth places the teeth.
        lower_lip: likewise.
        tooth_top: height of the upper teeth's edge.
        tooth_bottom: height of the lower teeth's edge.
        jaw: turn of the jaw, radians: the lower teeth follow it.
        white: (3,) linear RGB.
    """
    a = np.linspace(-1.15, 1.15, 25)
    made = []
    dark = np.where(np.arange(25) % 2 == 0, 0.55, 1.0) * (1 - 0.5 * np.abs(a / 1.15) ** 2)
    gum = np.array([0.35, 0.07, 0.07])
    for lip, edge, way, shift in ((upper_lip, tooth_top, -1.0, 7.0), (lower_lip, tooth_bottom, 1.0, 8.5)):
        x, z = 19.5 * np.sin(a), lip[2] + shift + 17 * (1 - np.cos(a))
        rows, colours = [], []
        for depth, colour, lean in (
            (0.0, white, 0.0),
            (3.0, white, -0.5),
            (8.5, white * 0.85, 0.0),
            (8.8, gum, 0.0),
            (16, gum * 0.5, 1.0),
        ):
            rows.append(np.stack([x + lip[0], np.full(25, edge + way * depth) + 0.0 * a, z + lean], 1))
            colours.append(np.asarray(colour) * dark[:, None])
        made.append(sheet(np.array(rows), np.array(colours), TOOTH))
    tongue = ellipsoid(
        lower_lip + np.array([0, 4.0 - 20 * jaw, 24]), np.diag([14.0, 6.0, 14.0]), np.array([0.30, 0.07, 0.08]), TOOTH
    )
    return [*made, tongue]


def torso(random: np.random.Generator, colour: Array) -> Part:
    """Shoulders with a collar, upright and facing the camera."""
    collar, broad = random.uniform(104, 132), random.uniform(0.9, 1.12)
    height = np.array([-12, -2, 0, 10, 24, 42, 75, 150]) + collar
    half = np.array([50, 56, 60, 78, 118, 160, 182, 190]) * broad
    half[:3] = half[:3] / broad
    deep = np.array([44, 48, 52, 56, 62, 68, 74, 78.0])
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    front = np.maximum(-np.cos(angle), 0)
    drop = np.array([6, 6, 6, 3, 1, 0, 0, 0]) * random.uniform(0.3, 3.0)
    rows = [
        np.stack([w * np.sin(angle), np.full(32, y) + d * front, 62 + b * np.cos(angle)], 1)
        for y, w, b, d in zip(height, half, deep, drop, strict=True)
    ]
    shade = np.array([0.55, 0.75, 1, 1, 1, 1, 1, 1])[:, None, None]
    return sheet(np.array(rows), colour * np.broadcast_to(shade, (8, 32, 1)), CLOTH, wrap=True)
