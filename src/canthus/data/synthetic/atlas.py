"""What is painted on a head: distances to lips, lids, brows and hair line for every place on the map, and noise."""

from functools import cache, lru_cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from canthus.data.synthetic.mesh import BROW_HALF, BROWS, EYE, LIPS, LOWER, UPPER, curve, eye_loops, head_mesh
from canthus.data.synthetic.surface import Array, controls

__all__ = ["CHANNELS", "NOISE", "atlas", "atlas_texels", "noise"]

STEP = 0.5
"""Millimetres of the map per texel."""
S_REACH, V_REACH = 120.0, 115.0
CHANNELS = (
    "lip",
    "seam",
    "brow_across",
    "brow_along",
    "upper_lid",
    "lower_lid",
    "crease",
    "beard",
    "moustache",
    "goatee",
    "scalp",
    "nostril",
    "blush",
    "socket",
    "wrinkle",
    "shade",
)
"""lip: millimetres into the lips; seam: from the line between them; brow_across: 1 at the borders of a usual brow,
negative above; brow_along: 0 outer end to 1 inner end, beyond outside; lids, crease: distances; scalp: millimetres
above the hair line; others 0 to 1."""
# outlines on the map, millimetres
BEARD = np.array(
    [(-100, -8), (-80, 12), (-58, 26), (-40, 22), (-30, 10), (-14, 12), (0, 11.5), (14, 12), (30, 10), (40, 22),
     (58, 26), (80, 12), (100, -8)]
)  # fmt: skip
"""Upper edge; the lower one is the jaw."""
GOATEE = np.array([(-38, 18), (-12, 11), (12, 11), (38, 18), (36, 40), (22, 82), (-22, 82), (-36, 40)])
MOUSTACHE = np.array(
    [(-31, 36), (-27, 24), (-13, 12.5), (0, 13), (13, 12.5), (27, 24), (31, 36), (25, 30), (0, 24), (-25, 30)]
)
HAIR_LINE = ((0, 30, 55, 72, 90, 106, 116, 140), (-92, -90, -82, -64, -46, -22, -18, -10))
"""Heights at distances from the middle."""
NOISE = 512
"""Side of the noise in texels, a power of 2."""


@cache
def atlas(device: torch.device) -> Tensor:
    """(rows * columns, channels) float16 on a device: half the memory to look up from."""
    return _atlas().to(device)


@lru_cache(maxsize=1)
def _atlas() -> Tensor:
    mesh, at = head_mesh(), controls().places
    sheet = _Sheet()
    eyes = sheet.area(*eye_loops(mesh.places, mesh.named))
    assert EYE == 1
    channels = {
        **_lips(sheet, at),
        **_brows(sheet, at),
        **_lids(sheet, at),
        **_hair(sheet, at),
        **_marks(sheet),
        "shade": _shade(sheet, eyes),
    }
    return torch.from_numpy(
        np.stack([channels[name] for name in CHANNELS], -1).reshape(sheet.s.size, -1).astype(np.float16)
    )


class _Sheet:
    """The map as a raster, and what can be drawn on it.

    Attributes:
        s: (rows, columns) millimetres to the right of the middle of the face.
        v: (rows, columns) millimetres below it.
    """

    def __init__(self) -> None:
        columns, rows = int(2 * S_REACH / STEP), int(2 * V_REACH / STEP)
        down, right = np.arange(rows) * STEP - V_REACH, np.arange(columns) * STEP - S_REACH
        self.v, self.s = np.meshgrid(down, right, indexing="ij")

    def distance(self, *lines: Array) -> Array:
        """Millimetres to the nearest of some lines."""
        drawn = np.full(self.s.shape, 255, np.uint8)
        for line in lines:
            cv2.polylines(drawn, [_texels(line)], False, 0, 1, cv2.LINE_8, 4)
        return np.asarray(cv2.distanceTransform(drawn, cv2.DIST_L2, 5) * STEP)

    def area(self, *polygons: Array) -> Array:
        """1 inside some polygons, 0 outside."""
        drawn = np.zeros(self.s.shape, np.uint8)
        for polygon in polygons:
            cv2.fillPoly(drawn, [_texels(polygon)], 255, cv2.LINE_8, 4)
        return np.asarray(drawn, dtype=np.float32) / 255

    def blob(self, *places: tuple[float, float, float, float]) -> Array:
        """1 in the middle of some places (x, y, half width, half height) on both sides of the face, fading to 0."""
        total = np.zeros_like(self.s)
        for x, y, a, b in places:
            for sign in {1, -1 if x else 1}:
                total = np.maximum(total, np.exp(-(((self.s - sign * x) / a) ** 2) - ((self.v - y) / b) ** 2))
        return np.asarray(total)


def _texels(points: Array) -> NDArray[np.int32]:
    """(N, 2) millimetres as sixteenths of texels, as OpenCV draws them."""
    return np.asarray(np.rint((points + np.array([S_REACH, V_REACH])) / STEP * 16), dtype=np.int32)


def _soft(field: Array, size: float) -> Array:
    """Blurred by a standard deviation in millimetres."""
    return np.asarray(cv2.GaussianBlur(field.astype(np.float32), (0, 0), size / STEP))


def _lips(sheet: _Sheet, at: Array) -> dict[str, Array]:
    lines = {name: curve(at[list(points)], np.linspace(0, len(points) - 1, 60)) for name, points in LIPS.items()}
    outer = np.concatenate([lines["upper"], lines["lower"]])
    return {
        "lip": np.where(sheet.area(outer) > 0, 1, -1) * sheet.distance(outer),
        "seam": sheet.distance(lines["upper_in"], lines["lower_in"]),
    }


def _brows(sheet: _Sheet, at: Array) -> dict[str, Array]:
    s, v = sheet.s, sheet.v
    across, along = np.full_like(s, 9.0), np.full_like(s, 9.0)
    for side in range(2):
        points = at[list(BROWS[side] if side == 0 else BROWS[side][::-1])]
        line = curve(points, np.linspace(0, 4, 200))
        order = np.argsort(line[:, 0])
        t = np.interp(
            s, line[order, 0], np.linspace(0, 1, 200)[order], left=-1 if side == 0 else 2, right=2 if side == 0 else -1
        )
        middle = np.interp(s, line[order, 0], line[order, 1])
        half = np.interp(t, np.linspace(0, 1, 5), BROW_HALF)
        here = (s < 0) == (side == 0)
        across, along = np.where(here, (v - middle) / half, across), np.where(here, t, along)
    return {"brow_across": across, "brow_along": along}


def _lids(sheet: _Sheet, at: Array) -> dict[str, Array]:
    """Lines of the lids, and the folds above the upper ones."""
    lid = {
        kind: sheet.distance(*(curve(at[list(points)], np.linspace(0, 3, 60)) for points in pair))
        for kind, pair in (("upper", UPPER), ("lower", LOWER))
    }
    folds = []
    for side in range(2):
        line = curve(at[list(UPPER[side])], np.linspace(-0.15, 3.15, 60))
        folds.append(line + np.stack([np.zeros(60), -4.2 * np.sin(np.linspace(0.25, np.pi - 0.25, 60)) - 0.8], 1))
    return {"upper_lid": lid["upper"], "lower_lid": lid["lower"], "crease": sheet.distance(*folds)}


def _hair(sheet: _Sheet, at: Array) -> dict[str, Array]:
    """Where a beard, a moustache, a goatee and the hair of the head grow."""
    jaw = curve(at[:17], np.linspace(0, 16, 90))
    bearded = sheet.area(np.concatenate([BEARD, jaw[::-1] + np.array([0, 14])]))
    mouth_area = _soft(sheet.area(curve(GOATEE, np.linspace(0, 7, 80))), 3)
    forehead = np.interp(np.abs(sheet.s), *HAIR_LINE)
    return {
        "beard": _soft(bearded, 4),
        "moustache": _soft(sheet.area(MOUSTACHE), 1.5),
        "goatee": mouth_area * (sheet.v > 14),
        "scalp": forehead - sheet.v,
    }


def _marks(sheet: _Sheet) -> dict[str, Array]:
    """Nostrils, what reddens, sockets, and wrinkles: of the forehead, beside nose and eyes, between and under these."""
    wrinkles = [np.array([(x, y + 0.012 * x * x * 0.2) for x in np.linspace(-40, 40, 40)]) for y in (-64, -72, -81)]
    wrinkles += [np.array([(g * a, b) for a, b in ((19, 3), (27, 11), (33, 20), (37, 31))]) for g in (-1, 1)]
    wrinkles += [
        np.array([(g * a, b) for a, b in line])
        for g in (-1, 1)
        for line in (((58, -31), (68, -37)), ((58, -28), (69, -28)), ((57, -26), (66, -20)), ((6, -38), (5, -52)))
    ]
    wrinkles += [np.array([(g * a, b) for a, b in ((20, -27), (26, -22), (36, -20), (46, -23))]) for g in (-1, 1)]
    return {
        "nostril": sheet.blob((7.0, 6.6, 3.4, 1.9)),
        "blush": sheet.blob((42, 4, 20, 13), (0, -1, 10, 9), (0, 60, 16, 8)),
        "socket": sheet.blob((32, -20, 16, 4.5), (19, -30, 5, 6)),
        "wrinkle": np.exp(-((sheet.distance(*wrinkles) / 0.9) ** 2)),
    }


def _shade(sheet: _Sheet, eyes: Array) -> Array:
    """What light reaches less: sockets, beside and under the nose, under the lip and the chin, between lids."""
    s, v = sheet.s, sheet.v
    under_jaw = np.clip((v - np.interp(np.abs(s), (0, 40, 80, 110), (80, 66, 52, 20))) / 16, 0, 1) * (v > 18)
    hollows = 0.45 * sheet.blob((17, -36, 8, 8), (30, -38, 20, 4)) + 0.35 * sheet.blob(
        (20, 3, 3.5, 8), (0, 12, 15, 3.0)
    )
    hollows = hollows + 0.3 * sheet.blob((0, 46, 15, 4)) + 0.55 * under_jaw + 0.25 * eyes
    return np.asarray(1 - np.clip(hollows, 0, 0.8))


def atlas_texels(s: Tensor, v: Tensor) -> Tensor:
    """(N,) row of the atlas at places on the map; beyond its border the nearest."""
    columns, rows = int(2 * S_REACH / STEP), int(2 * V_REACH / STEP)
    x = ((s + S_REACH) * (1 / STEP) + 0.5).clamp(0, columns - 1).int()
    y = ((v + V_REACH) * (1 / STEP) + 0.5).clamp(0, rows - 1).int()
    return y * columns + x


@cache
def noise(device: torch.device) -> Tensor:
    """(4, NOISE * NOISE) float16 on a device that repeat seamlessly, mean 0, deviation 1.

    Clouds, grains, strands down, curls.
    """
    return _noise().to(device)


@lru_cache(maxsize=1)
def _noise() -> Tensor:
    random = np.random.default_rng(11)
    frequency = np.fft.fftfreq(NOISE) * NOISE
    fy, fx = np.meshgrid(frequency, frequency, indexing="ij")
    radius = np.hypot(fx, fy) + 1e-9
    filters = (
        np.where(radius >= 2, radius**-1.7, 0),
        np.exp(-(((radius - 90) / 60) ** 2)),
        np.exp(-((fx / 140) ** 2) - (fy / 5) ** 2) * np.where(np.abs(fx) > 12, 1, 0.5),
        np.exp(-(((radius - 45) / 25) ** 2)),
    )
    fields = []
    for shape in filters:
        field = np.fft.ifft2(np.fft.fft2(random.normal(size=(NOISE, NOISE))) * shape).real
        fields.append((field - field.mean()) / field.std())
    return torch.from_numpy(np.stack(fields).reshape(4, -1).astype(np.float16))
