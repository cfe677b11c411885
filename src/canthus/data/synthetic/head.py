"""The head around the 68 points: turning it, its outline from any side, parts without landmarks, the camera."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

SQUARENESS = 0.8
"""Exponent of the cross-sections: 1 is an ellipse, less is squarer. Faces are flatter in front than an ellipse."""
FACE_FRONT = np.array([0.25, 0.25, 0.25, 0.24, 0.22, 0.20, 0.18, 0.15, 0.12])
"""Depth of the cheeks' foremost point at the height of jaw points 0 to 8 (the nose left aside)."""
SKULL = np.array(
    # y, half width, front, back
    [
        (0.50, 0.70, -0.10, -1.40),
        (0.20, 0.80, 0.05, -1.55),
        (-0.10, 0.83, 0.15, -1.65),
        (-0.40, 0.83, 0.22, -1.65),
        (-0.70, 0.76, 0.12, -1.58),
        (-0.92, 0.64, -0.02, -1.42),
        (-1.07, 0.46, -0.20, -1.25),
        (-1.15, 0.24, -0.40, -1.05),
    ]
)
HAIRLINE = np.array(
    # y, half width, depth of the widest point, front, angle at which hair begins (degrees from the front)
    [
        (-0.14, 0.79, -0.74, 0.25, 82),
        (-0.32, 0.79, -0.72, 0.25, 74),
        (-0.50, 0.77, -0.68, 0.22, 62),
        (-0.63, 0.73, -0.62, 0.16, 46),
        (-0.70, 0.68, -0.55, 0.11, 24),
    ]
)
EAR = np.array(
    [
        (-0.77, -0.08, -0.78),
        (-0.85, -0.16, -0.92),
        (-0.92, -0.12, -1.00),
        (-0.93, 0.04, -1.00),
        (-0.90, 0.20, -0.95),
        (-0.85, 0.33, -0.86),
        (-0.80, 0.40, -0.78),
        (-0.76, 0.33, -0.74),
    ]
)


def rotation(yaw: float, pitch: float, roll: float) -> Points:
    """The (3, 3) matrix that turns a head: pitch first, then yaw, then roll, all in radians.

    Positive yaw turns the nose to the image's right, positive pitch lifts it, positive roll turns the head clockwise
    in the picture. A mirror changes the signs of yaw and roll.
    """
    (cy, sy), (cp, sp), (cr, sr) = ((np.cos(angle), np.sin(angle)) for angle in (yaw, pitch, roll))
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    nod = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    tilt = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(tilt @ turn @ nod, dtype=np.float64)


def outline(sections: Points, across: Points, reach: Points) -> tuple[Points, Points]:
    """Where horizontal sections of a head end to the left and to the right, seen from one side.

    Args:
        sections: (L, 4) height, half width, depth of the widest point, depth of the foremost point.
        across: (3,) direction in the head's frame that points to the image's right before roll.
        reach: (L,) how far round a section the surface counts, radians from the front: pi / 2 stops at the widest
            point. On the side turned away the outline is the silhouette of the surface; on the side turned to the
            camera it stays at the end of the reach. This is how people label jaws in pictures.

    Returns:
        Left and right ends, (L, 3) each.
    """
    angle = np.linspace(-1, 1, 65) * reach[:, None]
    sine, cosine = np.sin(angle), np.cos(angle)
    height, half, middle, front = (sections[:, i, None] for i in range(4))
    x = half * np.sign(sine) * np.abs(sine) ** SQUARENESS
    z = middle + (front - middle) * np.sign(cosine) * np.abs(cosine) ** SQUARENESS
    points = np.stack([x, np.broadcast_to(height, x.shape), z], -1)
    position = points @ across
    rows = np.arange(len(sections))
    return points[rows, position.argmin(1)], points[rows, position.argmax(1)]


def with_contour(points: Points, turn: Points) -> Points:
    """A (68, 3) shape whose jaw points lie on the outline that a camera sees.

    Args:
        points: the shape in its own frame.
        turn: (3, 3) rotation without its roll.
    """
    p = points.copy()
    sections = np.column_stack([p[:8, 1], (p[16:8:-1, 0] - p[:8, 0]) / 2, p[:8, 2], FACE_FRONT[:8]])
    left, right = outline(sections, turn[0], np.full(8, np.pi / 2))
    p[:8], p[16:8:-1] = left, right
    return p


def hairline(turn: Points, width: float, height: float) -> Points:
    """(10, 3) the border of forehead and hair, from the left temple over the top to the right one."""
    sections = HAIRLINE[:, :4] * (1, width, 1, 1)
    sections[:, 0] -= height * np.linspace(0, 1, len(sections))
    left, right = outline(sections, turn[0], np.deg2rad(HAIRLINE[:, 4]))
    return np.concatenate([left, right[::-1]])


def skull(turn: Points, width: float) -> Points:
    """(16, 3) the outline of the head above the neck, closed, from the lower left over the top to the lower right."""
    sections = np.column_stack([SKULL[:, 0], SKULL[:, 1] * width, (SKULL[:, 2] + SKULL[:, 3]) / 2, SKULL[:, 2]])
    left, right = outline(sections, turn[0], np.full(len(sections), np.pi))
    return np.concatenate([left, right[::-1]])


def ears(width: float) -> tuple[Points, Points]:
    """Outlines of the image-left and the image-right ear, (8, 3) each."""
    left = EAR * (width, 1, 1)
    return left, left * (-1, 1, 1)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera in front of the head's origin.

    Attributes:
        scale: pixels per interocular distance at the origin.
        centre: ``(x, y)`` of the origin in the picture, pixels.
        distance: from camera to origin, in interocular distances; the nearer, the stronger the perspective.
    """

    scale: float
    centre: tuple[float, float]
    distance: float

    def project(self, points: Points) -> Points:
        """Turned (..., 3) points to (..., 2) pixels."""
        nearness = self.distance / (self.distance - points[..., 2:])
        return np.asarray(points[..., :2] * nearness * self.scale + np.array(self.centre), dtype=np.float64)
