"""What a camera makes of a scene: exposure, white balance, blur, few pixels, noise, compression."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Film", "draw_film", "image"]

FINE = 4096
_DISPLAY = np.round(255 * (np.arange(FINE) / (FINE - 1)) ** (1 / 2.2)).astype(np.uint8)


@dataclass(frozen=True)
class Film:
    """A camera without faults, unless told otherwise.

    Attributes:
        exposure: factor on all light.
        balance: factors on red, green and blue.
        contrast: exponent of the tone curve.
        grey: an image without colour.
        blur: standard deviation, pixels; ``motion``: length and angle (radians) of a shake.
        reduction: pixels of the image per pixel of the camera, 1 or more.
        noise: standard deviation, grey levels.
        quality: of the JPEG file, 100 for none.
    """

    exposure: float = 1.0
    balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    contrast: float = 1.0
    grey: bool = False
    blur: float = 0.0
    motion: tuple[float, float] = (0.0, 0.0)
    reduction: float = 1.0
    noise: float = 0.0
    quality: int = 100


def draw_film(random: np.random.Generator, badness: float, face: float) -> Film:
    """Draw a camera; ``badness`` 0 to 1, ``face``: pixels between the outer eye corners of a usual face."""
    r = random.random(8)
    balance = 1 + 0.09 * random.normal() * np.array([1, 0, -1.0]) + 0.03 * random.normal(size=3)
    coarse = r[0] < 0.3 * badness
    return Film(
        exposure=float(np.exp((0.12 + 0.25 * badness) * np.clip(random.normal(), -1.8, 1.8))),
        balance=(float(balance[0]), float(balance[1]), float(balance[2])),
        contrast=float(np.exp(0.16 * random.normal())),
        grey=bool(r[1] < 0.07),
        blur=float(r[2] ** 2 * 0.045 * badness * face),
        motion=(float(0.12 * badness * face * r[4]), float(np.pi * r[5])) if r[3] < 0.1 * badness else (0.0, 0.0),
        # at least 14 camera pixels lie between the eyes' outer corners
        reduction=min(random.uniform(1.6, 4.5), max(face / 14, 1.0)) if coarse else 1.0,
        noise=float(r[6] ** 2 * 9 * badness),
        quality=int(random.integers(25, 96)) if r[7] < 0.75 else 100,
    )


def image(picture: NDArray[np.float32], film: Film, random: np.random.Generator) -> NDArray[np.uint8]:
    """(H, W, 3) linear light to (H, W, 3) uint8 RGB."""
    size = len(picture)
    light = np.clip(picture * (np.array(film.balance) * film.exposure).astype(np.float32), 0, 1)
    shot: Any = _DISPLAY[(light * (FINE - 1)).astype(np.int32)]
    ramp = np.arange(256) / 255
    curve = np.round(255 * ramp**film.contrast).astype(np.uint8)
    shot = cv2.LUT(shot, curve)
    if film.grey:
        shot = cv2.merge([cv2.cvtColor(shot, cv2.COLOR_RGB2GRAY)] * 3)
    if film.blur > 0.25:
        shot = cv2.GaussianBlur(shot, (0, 0), film.blur)
    if film.motion[0] > 1:
        shot = cv2.filter2D(shot, -1, _shake(*film.motion))
    if film.reduction > 1:
        few = max(round(size / film.reduction), 8)
        shot = cv2.resize(shot, (few, few), interpolation=cv2.INTER_AREA)
    if film.noise > 0.3:
        # cameras suppress the colour of noise more than its brightness
        grain = random.standard_normal(shot.shape[:2], dtype=np.float32)
        colour: Any = random.standard_normal(((shot.shape[0] + 1) // 2, (shot.shape[1] + 1) // 2, 3), dtype=np.float32)
        colour = cv2.resize(colour, shot.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        shot = cv2.add(shot, np.float32(film.noise) * (grain[..., None] + np.float32(0.6) * colour), dtype=cv2.CV_8U)
    if film.quality < 100:
        _, file = cv2.imencode(".jpg", shot, [cv2.IMWRITE_JPEG_QUALITY, film.quality])
        shot = cv2.imdecode(file, cv2.IMREAD_COLOR)  # twice the same order of channels: none is exchanged
    if film.reduction > 1:
        shot = cv2.resize(shot, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.asarray(shot, dtype=np.uint8)


def _shake(length: float, angle: float) -> NDArray[np.float32]:
    half = int(np.ceil(length / 2)) + 1
    kernel = np.zeros((2 * half + 1, 2 * half + 1), dtype=np.float32)
    end = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    ends = [tuple(round((half + sign * e) * 16) for e in end) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_AA, 4)
    return np.asarray(kernel / kernel.sum(), dtype=np.float32)
