"""Light on a head, and what the camera makes of the picture."""

import cv2
import numpy as np
from numpy.typing import NDArray

from canthus.data.synthetic.canvas import SAMPLES, Points
from canthus.data.synthetic.scene import Scene

COARSE = 2
"""Picture pixels per shading pixel: shading is smooth, and a quarter of the pixels costs a quarter of the time."""
DIAMOND = ((-1, 0), (0, -1), (1, 0), (0, 1))
"""A round patch, once it is blurred."""


def shading(scene: Scene, size: int, person: list[Points]) -> NDArray[np.uint8]:
    """How bright each sample is, as (2 * size, 2 * size) uint8 with 128 for unchanged.

    A smooth round head under a directional light, and the hollows and ridges of a face drawn softly on top.

    Args:
        scene: pose and light.
        size: side of the picture, pixels.
        person: polygons that the light falls on; the background keeps its brightness.
    """
    side = size // COARSE
    p, scale = scene.landmarks, scene.camera.scale
    middle = 0.5 * (p[27] + p[[2, 14]].mean(0))
    axis = (p[8] - p[27]) / (np.linalg.norm(p[8] - p[27]) + 1e-9)
    grid = (np.arange(side, dtype=np.float32) * COARSE + (COARSE - 1) / 2).astype(np.float32)
    x, y = grid[None, :] - np.float32(middle[0]), grid[:, None] - np.float32(middle[1])
    across = np.array([axis[1], -axis[0]])
    u = (x * np.float32(across[0]) + y * np.float32(across[1])) / np.float32(0.98 * scale)
    v = (x * np.float32(axis[0]) + y * np.float32(axis[1])) / np.float32(1.5 * scale)
    depth = np.sqrt(np.maximum(1 - u * u - v * v, 0.03))
    light = np.array([scene.light[0] * across[0] + scene.light[1] * across[1], *_down_and_front(scene, axis)])
    lit = np.maximum(u * np.float32(light[0]) + v * np.float32(light[1]) + depth * np.float32(light[2]), 0)
    gain = (1 + scene.contrast * (1.6 * lit - 0.95)) * scene.exposure * (0.8 + 0.2 * depth)
    gain += _relief(scene, side, float(light[0]))
    mask = np.zeros((side, side), dtype=np.uint8)
    for polygon in person:
        cv2.fillPoly(mask, [_fixed(polygon)], 1, cv2.LINE_8, 4)
    gain = np.where(mask > 0, gain, 0.5 + 0.5 * scene.exposure)
    coarse = np.clip(gain * 128, 20, 235).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (SAMPLES * size,) * 2, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _down_and_front(scene: Scene, axis: Points) -> tuple[float, float]:
    return float(scene.light[0] * axis[0] + scene.light[1] * axis[1]), scene.light[2]


def _relief(scene: Scene, side: int, light: float) -> NDArray[np.float32]:
    """Hollows (negative) and ridges (positive) of the face, (side, side); ``light`` is its share from the right."""
    p, scale = scene.landmarks, scene.camera.scale
    soft = np.zeros((side, side), dtype=np.float32)
    fine = np.zeros((side, side), dtype=np.float32)

    def add(target: NDArray[np.float32], amount: float, *corners: Points) -> None:
        cv2.fillPoly(target, [_fixed(np.array(corners))], amount, cv2.LINE_8, 4)

    out, chin = p[[31, 35]] - p[33], p[8]
    for eye, brow, wing, bridge, way in (
        (p[36:42], p[17:22], p[31], p[[27, 28, 29, 30]], -1),
        (p[[45, 44, 43, 42, 47, 46]], p[26:21:-1], p[35], p[[27, 28, 29, 30]], 1),
    ):
        add(soft, -0.16, brow[1], brow[2], brow[4], bridge[1], eye[4], eye[5], eye[0])
        cheek = 0.5 * eye[4:6].mean(0) + 0.5 * (p[48] if way < 0 else p[54])
        half = 0.17 * scale
        add(soft, 0.1, *(cheek + half * np.array(d) for d in DIAMOND))
        # the side of the nose that looks away from the light
        add(
            fine,
            -0.13 + 0.12 * way * light,
            bridge[0],
            bridge[1],
            bridge[2],
            bridge[3],
            wing,
            0.6 * eye[3] + 0.4 * wing,
        )
        corner = p[48] if way < 0 else p[54]
        fold = wing + 0.6 * out[0 if way < 0 else 1]
        add(
            fine,
            -0.05 - 0.12 * max(scene.traits.smile, 0),
            wing,
            fold,
            corner + 0.45 * out[0 if way < 0 else 1],
            corner,
        )
    add(fine, -0.2, p[31], p[32], p[33], p[34], p[35], 0.75 * p[33] + 0.25 * p[51])
    add(fine, -0.18, p[58], p[57], p[56], 0.72 * p[57] + 0.28 * chin)
    add(soft, 0.1, *(0.6 * chin + 0.4 * p[57] + 0.12 * scale * np.array(d) for d in DIAMOND))
    forehead = p[27] + 1.6 * (p[[19, 24]].mean(0) - p[27]) + 0.7 * (p[27] - p[30])
    add(soft, 0.1, *(forehead + 0.3 * scale * np.array(d) for d in ((-1, 0), (0, -0.6), (1, 0), (0, 0.6))))
    ridge = np.array([0.03, 0.0]) * scale
    add(fine, 0.12, p[27] - ridge, p[27] + ridge, p[30] + 1.6 * ridge, p[30] - 1.6 * ridge)
    wide = cv2.GaussianBlur(soft, (0, 0), max(0.075 * scale / COARSE, 0.3))
    return np.asarray(wide + cv2.GaussianBlur(fine, (0, 0), max(0.03 * scale / COARSE, 0.3)), dtype=np.float32)


def _fixed(points: Points) -> NDArray[np.int32]:
    return np.round(((points + 0.5) / COARSE - 0.5) * 16).astype(np.int32)


def photograph(picture: NDArray[np.uint8], scene: Scene, random: np.random.Generator) -> NDArray[np.uint8]:
    """White balance, contrast, blur, few pixels and noise.

    Args:
        picture: (H, W, 3) uint8 RGB, sharp.
        scene: how bad the camera is.
        random: the appearance stream.
    """
    size = len(picture)
    ramp = np.arange(256)[:, None] / 255
    curve = ramp ** random.uniform(0.8, 1.25) * 255 * random.uniform(0.93, 1.07, 3)
    shot = cv2.LUT(picture, np.clip(curve, 0, 255).astype(np.uint8)[None])
    if random.random() < 0.05:
        shot = cv2.merge([cv2.cvtColor(shot, cv2.COLOR_RGB2GRAY)] * 3)
    if scene.blur > 0.25:
        shot = cv2.GaussianBlur(shot, (0, 0), scene.blur)
    if scene.reduction > 1:
        few = max(round(size / scene.reduction), 8)
        shot = cv2.resize(shot, (few, few), interpolation=cv2.INTER_AREA)
        shot = cv2.resize(shot, (size, size), interpolation=cv2.INTER_LINEAR)
    # grey noise: cameras suppress its colour
    noise = random.standard_normal((size, size), dtype=np.float32) * np.float32(scene.noise)
    return np.asarray(cv2.add(shot, cv2.merge([noise] * 3), dtype=cv2.CV_8U), dtype=np.uint8)
