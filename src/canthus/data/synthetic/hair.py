"""Hair of the head and the beard. None of it covers a landmark."""

import cv2
import numpy as np
from numpy.typing import NDArray

from canthus.data.synthetic.canvas import SAMPLES, Canvas, Points, smooth
from canthus.data.synthetic.features import mix
from canthus.data.synthetic.scene import Scene


def paint_long_hair(
    canvas: Canvas, random: np.random.Generator, crown: Points, collar: Points, colour: NDArray[np.float64]
) -> None:
    """Hair that falls behind the neck.

    Args:
        canvas: picture under construction.
        random: the appearance stream.
        crown: (n, 2) outline of the head without its lower end, from the lower left to the lower right, pixels.
        collar: (2,) where the clothes begin.
        colour: RGB.
    """
    wide = np.ptp(crown[:, 0])
    low = collar[1] + random.uniform(-0.25, 0.4) * wide
    flare = random.uniform(0.0, 0.15) * wide
    left, right = crown[0], crown[-1]
    fall = np.array(
        [
            (right[0] + flare, 0.5 * (right[1] + low)),
            (right[0] + flare, low),
            (left[0] - flare, low),
            (left[0] - flare, 0.5 * (left[1] + low)),
        ]
    )
    canvas.polygon(smooth(np.concatenate([crown, fall]), closed=True), mix(colour, (0, 0, 0), 0.25))
    for place in random.uniform(0, 1, 24).tolist():
        top = crown[0] * (1 - place) + crown[-1] * place
        bottom = np.array([top[0] + (2 * place - 1) * flare, low])
        tone = mix(colour, (0, 0, 0) if random.random() < 0.6 else (255, 240, 220), random.uniform(0, 0.3))
        canvas.stroke(np.stack([top, (top + bottom) / 2, bottom]), [0.01 * wide, 0.02 * wide, 0.0], tone, 0.5)


def paint_hair(canvas: Canvas, random: np.random.Generator, mass: Points, colour: NDArray[np.float64]) -> None:
    """Hair that encloses the skull, with strands from the crown outwards; ``mass`` is its (n, 2) outline."""
    middle = mass.mean(0)
    canvas.polygon(mass, mix(colour, (0, 0, 0), 0.1))
    crown = middle + np.array([random.normal() * 0.15, -0.55]) * np.ptp(mass, axis=0) / 2
    width = float(np.ptp(mass[:, 0]))
    ends = mass[random.integers(0, len(mass), 36)]
    with canvas.clipped(mass):
        for end in ends:
            tone = mix(colour, (0, 0, 0) if random.random() < 0.6 else (255, 240, 220), random.uniform(0.05, 0.3))
            bow = (crown + end) / 2 + np.array([0, -0.06 * width])
            canvas.stroke(smooth(np.stack([crown, bow, end])), [0.0, 0.02 * width, 0.008 * width], tone, 0.5)


def paint_fringe(
    canvas: Canvas, random: np.random.Generator, border: Points, scene: Scene, colour: NDArray[np.float64]
) -> None:
    """Hair that falls over the forehead and ends above the brows.

    Args:
        canvas: picture under construction.
        random: the appearance stream.
        border: (10, 2) hairline from the left to the right temple, pixels.
        scene: gives the brows.
        colour: RGB.
    """
    brows = scene.landmarks[17:27]
    up = scene.landmarks[27] - scene.landmarks[33]
    up /= np.linalg.norm(up) + 1e-9
    top = border[1:-1]
    share = np.interp(np.linspace(0, 1, len(top)), [0, 0.5, 1], random.uniform(0.1, 0.85, 3))
    # height left above the nearest brow point, so that no label is covered
    height = np.array([((point - brows[np.abs(brows - point).sum(1).argmin()]) @ up) for point in top])
    drop = np.maximum(height - 0.09 * scene.camera.scale, 0) * share
    bottom = top - drop[:, None] * up
    edge = smooth(bottom)
    canvas.polygon(
        np.concatenate([smooth(top + 0.05 * scene.camera.scale * up), edge[::-1]]), mix(colour, (0, 0, 0), 0.1)
    )
    for i in range(0, len(edge), 3):
        tone = mix(colour, (0, 0, 0), random.uniform(0.1, 0.5))
        root = smooth(top)[i]
        canvas.stroke(np.stack([root, edge[i]]), [0.02 * scene.camera.scale, 0.0], tone, 0.6)


def paint_beard(canvas: Canvas, random: np.random.Generator, scene: Scene, colour: NDArray[np.float64]) -> None:
    """Stubble or a beard with a soft upper border; the lips are painted over it later."""
    p, scale = scene.landmarks, scene.camera.scale
    kind = random.choice(["none", "stubble", "beard", "moustache", "goatee"], p=[0.72, 0.12, 0.08, 0.04, 0.04])
    if kind == "none":
        return
    strength = random.uniform(0.12, 0.35) if kind == "stubble" else random.uniform(0.55, 0.9)
    upper_lip = [0.6 * p[54] + 0.4 * p[35], 0.5 * (p[33] + p[51]), 0.6 * p[48] + 0.4 * p[31]]
    if kind in ("stubble", "beard"):
        area = np.concatenate([p[2:15], [0.7 * p[13] + 0.3 * p[54]], upper_lip, [0.7 * p[3] + 0.3 * p[48]]])
    elif kind == "goatee":
        area = np.concatenate([p[7:10], [0.3 * p[10] + 0.7 * p[54]], [p[57]], [0.3 * p[6] + 0.7 * p[48]]])
    else:
        area = np.concatenate([[p[48]], upper_lip[::-1], p[54:55], p[50:53][::-1]])
    mask = Canvas(canvas.size)
    mask.polygon(area, (255, 255, 255))
    small = cv2.resize(mask.samples[..., 0], (canvas.size // 2, canvas.size // 2), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), max((0.02 if kind == "moustache" else 0.05) * scale, 0.3))
    weight = cv2.resize(small, (SAMPLES * canvas.size,) * 2, interpolation=cv2.INTER_LINEAR)
    # soft towards the cheek, but a beard ends with the jaw
    mask.polygon(smooth(p[:17]), (255, 255, 255))
    weight = cv2.min(weight, mask.samples[..., 0])
    weight = cv2.merge([weight] * 3)
    hair = np.empty_like(canvas.samples)
    hair[:] = np.array(mix(colour, (20, 15, 12), 0.3), dtype=np.uint8)
    added = cv2.multiply(cv2.subtract(hair, canvas.samples), weight, scale=strength / 255)
    removed = cv2.multiply(cv2.subtract(canvas.samples, hair), weight, scale=strength / 255)
    canvas.samples = np.asarray(cv2.subtract(cv2.add(canvas.samples, added), removed), dtype=np.uint8)
