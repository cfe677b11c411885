"""The head as triangles: denser where a face has its features, with the landmarks of all schemes among its corners."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay

from canthus.data.synthetic.one_thread import one_thread
from canthus.data.synthetic.surface import RADIUS, Array, controls, followers, skull

__all__ = ["HeadMesh", "curve", "head_mesh", "inside"]

SKIN, EYE, MOUTH = 0, 1, 2
"""Materials of triangles."""
EYEBALL = 12.0
"""Radius, millimetres."""
UPPER, LOWER = ((36, 37, 38, 39), (42, 43, 44, 45)), ((39, 40, 41, 36), (45, 46, 47, 42))
LIPS = {
    "upper": (48, 49, 50, 51, 52, 53, 54),
    "lower": (54, 55, 56, 57, 58, 59, 48),
    "upper_in": (60, 61, 62, 63, 64),
    "lower_in": (64, 65, 66, 67, 60),
}
BROWS = ((17, 18, 19, 20, 21), (22, 23, 24, 25, 26))
BROW_HALF = (0.6, 2.6, 3.4, 3.6, 3.2)
"""Half the height of a usual brow from its outer to its inner end, millimetres."""
REACH = 12
"""Places along each line on which a jaw point may lie."""


def curve(points: Array, at: Array) -> Array:
    """Catmull-Rom spline through (n, D) points at parameters in [0, n - 1]."""
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    i = np.clip(np.floor(at + 1e-9).astype(int), 0, len(points) - 2)
    t = (at - i)[:, None]
    a, b, c, d = (padded[i + k] for k in range(4))
    return np.asarray(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))


def inside(polygon: Array, points: Array) -> NDArray[np.bool_]:
    """Which of (N, 2) points lie in a polygon."""
    outline = (polygon * 64).astype(np.float32)
    return np.array([cv2.pointPolygonTest(outline, (x, y), False) > 0 for x, y in (points * 64).tolist()])


@dataclass(frozen=True, eq=False)
class HeadMesh:
    """Corners and triangles of every head.

    Attributes:
        places: (V, 2) on the map.
        triangles: (T, 3), clockwise as seen from outside with y down.
        material: (T,) ``SKIN``, ``EYE`` or ``MOUTH``.
        follow: (V, C) how corners follow control points.
        rest: (V, 3) the head at rest.
        named: name -> corner.
        jaw: (33, REACH) corners on the line of each jaw point of 98, from the jaw inwards.
    """

    places: Array
    triangles: NDArray[np.int64]
    material: NDArray[np.int64]
    follow: NDArray[np.float32]
    rest: Array
    named: dict[str, int]
    jaw: NDArray[np.int64]

    @one_thread
    def shaped(self, points: Array) -> Array:
        """(C, 3) control points to (V, 3) corners."""
        return np.asarray(self.rest + self.follow @ (points - controls().points).astype(np.float32))


class _Places:
    """Distinct places on the map, symmetric, the first that came at each spot."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, float]] = []

    def add(self, place: Array, gap: float = 1e-6) -> int:
        if self.rows:
            distance = (
                np.abs(np.array(self.rows) - place).sum(1) if gap < 1e-3 else np.hypot(*(np.array(self.rows) - place).T)
            )
            nearest = int(distance.argmin())
            if distance[nearest] < gap:
                return nearest if gap < 1e-3 else -1
        self.rows.append((float(place[0]), float(place[1])))
        return len(self.rows) - 1


def _features(places: _Places) -> tuple[dict[str, int], NDArray[np.int64]]:
    """Corners on landmarks and on the lines between them; names and the jaw's lines."""
    at = controls().places
    named: dict[str, int] = {}
    for i in range(len(at)):
        if not controls().names[i].startswith("fixed"):
            named[controls().names[i]] = places.add(at[i])
    for side in range(2):
        for kind, points in (("upper", UPPER[side]), ("lower", LOWER[side])):
            line = curve(at[list(points)], np.arange(13) / 4)
            for k in range(13):
                named[f"lid_{side}_{kind}_{k}"] = places.add(line[k])
        centre = at[list(UPPER[side][:3] + LOWER[side][:3])].mean(0)
        for grow in (1.22, 1.5):  # rings about the eye keep the lids smooth
            for lid in (UPPER[side], LOWER[side]):
                for place in curve(at[list(lid)], np.arange(0, 13, 2) / 4):
                    offset = (place - centre) * (0.55 + 0.45 * grow, grow + 0.3)
                    places.add(centre + offset, 1.2)
        brow = at[list(BROWS[side])]
        half = np.array(BROW_HALF if side == 0 else BROW_HALF[::-1])
        for k in range(5):
            for name, sign in (("top", -1), ("bottom", 1)):
                named[f"brow_{side}_{name}_{k}"] = places.add(brow[k] + (0, sign * half[k]))
    for kind, border in LIPS.items():
        pieces = 4 * (len(border) - 1)
        line = curve(at[list(border)], np.arange(pieces + 1) / 4)
        for k in range(pieces + 1):
            named[f"lip_{kind}_{k}"] = places.add(line[k])
    for outer, inner in (("upper", "upper_in"), ("lower", "lower_in")):
        for t in np.linspace(0.04, 0.96, 16):
            a = curve(at[list(LIPS[outer])], np.array([6 * t]))[0]
            b = curve(at[list(LIPS[inner])], np.array([4 * t]))[0]
            places.add((a + b) / 2, 0.6)
    seam = (
        curve(at[list(LIPS["upper_in"])], np.linspace(0.4, 3.6, 12))
        + curve(at[list(LIPS["lower_in"])], np.linspace(3.6, 0.4, 12))
    ) / 2
    for k in range(12):
        named[f"cavity_{k}"] = places.add(seam[k])
    half = np.arange(33) / 2
    jaw = curve(at[:17], half)
    lines = np.zeros((33, REACH), dtype=np.int64)
    for j in range(33):
        # sideways near the ears, towards the lower lip at the chin
        share = np.clip(abs(j - 16) / 9, 0, 1)
        goal = share * np.array([0.12 * jaw[j, 0], jaw[j, 1] - 6]) + (1 - share) * np.array([0.75 * jaw[j, 0], 50.0])
        for k in range(REACH):
            lines[j, k] = places.add(jaw[j] + (goal - jaw[j]) * (k / (REACH - 1)) ** 1.4)
    return named, lines


def _fill(places: _Places, holes: list[Array]) -> None:
    """A triangular grid over the whole map, three times as dense in the face."""
    seam = np.pi * RADIUS
    feature = np.array(places.rows)
    grid: list[tuple[float, float, float]] = []
    for step, s_high, v_low, v_high in ((2.6, 24, -24, 20), (3.9, 70, -64, 84), (9.0, seam, -172, 170)):
        for row, v in enumerate(np.arange(v_low, v_high, step * 0.87)):
            columns = int(np.ceil(s_high / step))
            grid += [
                (s, v, step) for s in np.linspace(0, s_high, columns + 1) + (step / 2 if row % 2 else 0) if s <= s_high
            ]
    grid += [(seam, v, 3.0) for v in np.arange(-172, 170, 7.83)]
    taken = feature.copy()
    chosen: list[tuple[float, float]] = []
    for s, v, step in grid:
        gap = np.hypot(taken[:, 0] - s, taken[:, 1] - v).min()
        crowded = gap < 0.62 * step or seam - 2 < s < seam
        if crowded or any(inside(hole, np.array([[s, v]]))[0] for hole in holes):
            continue
        new = [(s, v)] if s == 0 else [(s, v), (-s, v)]
        chosen += new
        taken = np.concatenate([taken, np.array(new)])
    places.rows += chosen


@lru_cache(maxsize=1)
@one_thread
def head_mesh() -> HeadMesh:
    """Build the mesh, once per process."""
    places = _Places()
    named, jaw = _features(places)
    loops = eye_loops(np.array(places.rows), named)
    mouth = np.array(
        [places.rows[named[f"lip_{kind}_{k}"]] for kind, n in (("upper_in", 16), ("lower_in", 16)) for k in range(n)]
    )
    _fill(places, [*loops, mouth])
    at = np.array(places.rows)
    triangles = Delaunay(at).simplices.astype(np.int64)
    a, b, c = (at[triangles[:, k]] for k in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    triangles[area < 0] = triangles[area < 0][:, ::-1]
    triangles = triangles[np.abs(area) > 1e-6]
    middle = at[triangles].mean(1)
    material = np.full(len(triangles), SKIN)
    for loop in loops:
        material[inside(loop, middle)] = EYE
    material[inside(mouth, middle)] = MOUTH
    c0 = controls()
    follow = followers(at)
    rest = skull(at) + follow @ (c0.points - skull(c0.places))
    rest[[named[f"cavity_{k}"] for k in range(12)], 2] += 30
    return HeadMesh(at, triangles, material, follow.astype(np.float32), rest, named, jaw)


def eye_loops(at: Array, named: dict[str, int]) -> list[Array]:
    """Outlines of both eye openings on the map."""
    return [
        np.array([at[named[f"lid_{side}_{kind}_{k}"]] for kind in ("upper", "lower") for k in range(12)])
        for side in range(2)
    ]
