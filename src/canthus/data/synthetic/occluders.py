"""Things in front of a face: hands, books, sunglasses, masks. One geometry serves the label and the picture."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from canthus.data.synthetic.canvas import Points, smooth

HELD = ("hand", "book", "mug", "microphone")
"""Kinds that are held before the face."""


@dataclass(frozen=True, eq=False)
class Occluder:
    """An opaque thing made of polygons.

    Attributes:
        kind: ``hand``, ``book``, ``mug``, ``microphone``, ``sunglasses`` or ``mask``.
        pieces: (n, 2) polygons in pixels, drawn in this order.
    """

    kind: str
    pieces: tuple[Points, ...]

    @cached_property
    def _outlines(self) -> list[NDArray[np.float32]]:
        return [piece.astype(np.float32) for piece in self.pieces]

    def covers(self, points: Points) -> NDArray[np.bool_]:
        """Which of (K, 2) points lie under a piece, (K,)."""
        return np.array(
            [any(cv2.pointPolygonTest(o, (x, y), False) >= 0 for o in self._outlines) for x, y in points.tolist()]
        )


def held(kind: str, random: np.random.Generator, landmarks: Points, scale: float) -> tuple[Occluder, ...]:
    """Something held before the face.

    Args:
        kind: one of ``HELD``.
        random: the face's stream.
        landmarks: (68, 2) pixels.
        scale: pixels per interocular distance.
    """
    # people cover mouth, chin and cheeks more often than brows
    target = landmarks[random.choice([3, 5, 8, 11, 13, 33, 51, 57, 57, 36, 45])] + random.normal(size=2) * 0.15 * scale
    # the thing comes in from below or from the side that it covers
    side = float(np.sign(target[0] - landmarks[27:36, 0].mean()) or 1.0)
    direction = np.array([side * random.uniform(0.1, 0.8), 1.0])
    direction /= np.linalg.norm(direction)
    across = np.array([-direction[1], direction[0]])
    frame = np.stack([across, direction]) * scale * random.uniform(0.85, 1.1)

    def place(x: float, y: float) -> Points:
        return np.asarray(target + np.array([x, y]) @ frame)

    if kind == "hand":
        return (Occluder(kind, _hand(random, place, float(np.linalg.norm(frame[0])))),)
    if kind == "book":
        half, tall = random.uniform(0.4, 0.7), random.uniform(0.8, 1.3)
        corners = [(-half, 0), (half, 0), (half, tall), (-half, tall)]
        return (Occluder(kind, (np.array([place(x, y) for x, y in corners]),)),)
    if kind == "mug":
        body = [(-0.3, 0), (0.3, 0), (0.27, 0.7), (0.2, 0.76), (-0.2, 0.76), (-0.27, 0.7)]
        handle = _capsule(place(-0.28, 0.2), place(-0.45, 0.35), 0.06 * scale)
        return (Occluder(kind, (handle, np.array([place(x, y) for x, y in body]))),)
    head = smooth(
        np.array([place(0.17 * np.cos(a), 0.2 + 0.2 * np.sin(a)) for a in np.arange(8) * np.pi / 4]), closed=True
    )
    return (Occluder(kind, (_capsule(place(0, 0.3), place(0, 1.6), 0.08 * scale), head)),)


def worn(kind: str, landmarks: Points, scale: float) -> tuple[Occluder, ...]:
    """Sunglasses or a surgical mask, fitted to (68, 2) landmarks."""
    if kind == "mask":
        # slightly wider than the jaw, or the covered points would be its visible border
        jaw, top = landmarks[2:15], landmarks[28]
        edge = np.concatenate([jaw, top[None]])
        middle = landmarks[[2, 14, 57]].mean(0)
        return (Occluder(kind, (middle + (edge - middle) * 1.05,)),)
    across = landmarks[45] - landmarks[36]
    down = np.array([-across[1], across[0]]) / np.linalg.norm(across) * scale
    lenses = []
    for eye, outwards in ((slice(36, 42), -1), (slice(42, 48), 1)):
        half = max(float(np.linalg.norm(np.ptp(landmarks[eye], axis=0))), 0.1 * scale) * 0.72
        x = across / np.linalg.norm(across) * half
        centre = landmarks[eye].mean(0) + 0.05 * down + 0.06 * outwards * x
        lens = [(-1, -0.14), (0, -0.18), (1, -0.14), (0.95, 0.08), (0.6, 0.2), (0, 0.23), (-0.6, 0.2), (-0.95, 0.08)]
        lenses.append(smooth(np.array([centre + u * x + v * down for u, v in lens]), closed=True, pieces=3))
    return (Occluder(kind, tuple(lenses)),)


def _hand(random: np.random.Generator, place: Callable[[float, float], Points], unit: float) -> tuple[Points, ...]:
    """Forearm, thumb, palm and four fingers with tips about the target; ``unit`` is the hand's scale in pixels."""
    spread = random.uniform(0.02, 0.1)
    lengths = np.array([0.52, 0.60, 0.56, 0.42]) * random.uniform(0.7, 1, 4)
    x = np.array([-0.24, -0.08, 0.08, 0.24])
    fingers = [
        _capsule(place(root, 0.62), place(root * (1 + 4 * spread), 0.62 - length), 0.078 * unit)
        for root, length in zip(x.tolist(), lengths.tolist(), strict=True)
    ]
    palm = [(-0.33, 0.52), (0.33, 0.52), (0.35, 0.9), (0.22, 1.2), (-0.22, 1.2), (-0.36, 0.9)]
    thumb = _capsule(place(0.26, 1.0), place(0.52, 0.56), 0.085 * unit)
    arm = np.array([place(-0.2, 1.1), place(0.2, 1.1), place(0.3, 4.0), place(-0.3, 4.0)])
    return (arm, thumb, np.array([place(a, b) for a, b in palm]), *fingers)


def _capsule(start: Points, end: Points, radius: float) -> Points:
    """A thick line with round ends, as an (18, 2) polygon."""
    along = (end - start) / (np.linalg.norm(end - start) + 1e-9)
    across = np.array([-along[1], along[0]])
    angle = np.linspace(0, np.pi, 9)[:, None]
    cap = np.cos(angle) * across
    return np.concatenate(
        [start + radius * (cap - np.sin(angle) * along), end + radius * (np.sin(angle) * along - cap)]
    )
