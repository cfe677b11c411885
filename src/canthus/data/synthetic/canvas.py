"""Drawing with sub-pixel positions.

All positions are picture pixels with centres at integers. The canvas holds 2 x 2 samples per pixel, so that edges are
anti-aliased where they are and not half a pixel outside, which is what OpenCV's own anti-aliasing does to polygons.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Colour = tuple[float, float, float]

SAMPLES = 2
SHIFT = 5
"""Binary digits behind the point of OpenCV's integer coordinates: positions are exact to 1/64 of a sample."""


class Canvas:
    """A square RGB picture under construction.

    Attributes:
        size: side of the finished picture, pixels.
        samples: (2 * size, 2 * size, 3) uint8, what is drawn on.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.samples = np.zeros((SAMPLES * size, SAMPLES * size, 3), dtype=np.uint8)

    def polygon(self, points: Points, colour: Colour, alpha: float = 1.0) -> None:
        """Fill the polygon with (n, 2) corners; with ``alpha`` below 1 what lies under it shines through."""
        fixed = _fixed(points)
        if alpha >= 1:
            cv2.fillPoly(self.samples, [fixed], colour, cv2.LINE_8, SHIFT)
            return
        rows, columns = self._window(points)
        under = self.samples[rows, columns].copy()
        cv2.fillPoly(self.samples, [fixed], colour, cv2.LINE_8, SHIFT)
        self.samples[rows, columns] = cv2.addWeighted(self.samples[rows, columns], alpha, under, 1 - alpha, 0)

    def disc(self, centre: Points, radius: float, colour: Colour) -> None:
        """Fill a disc about a (2,) centre."""
        angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        self.polygon(centre + radius * np.column_stack([np.cos(angle), np.sin(angle)]), colour)

    def stroke(self, points: Points, width: float | Sequence[float], colour: Colour, alpha: float = 1.0) -> None:
        """Draw a line through (n, 2) points; ``width`` in pixels, one for all or one per control point, may taper to 0."""
        widths = np.interp(np.linspace(0, 1, len(points)), np.linspace(0, 1, np.size(width)), np.atleast_1d(width))
        along = np.gradient(points, axis=0)
        across = np.column_stack([-along[:, 1], along[:, 0]]) / (np.hypot(*along.T)[:, None] + 1e-9)
        half = across * widths[:, None] / 2
        self.polygon(np.concatenate([points + half, (points - half)[::-1]]), colour, alpha)

    @contextmanager
    def clipped(self, points: Points) -> Iterator[None]:
        """Whatever is drawn in this context shows inside the polygon only."""
        rows, columns = self._window(points)
        before = self.samples.copy()
        yield
        mask = np.zeros(self.samples.shape[:2], dtype=np.uint8)
        cv2.fillPoly(mask, [_fixed(points)], 1, cv2.LINE_8, SHIFT)
        inside = mask[rows, columns, None].astype(bool)
        before[rows, columns] = np.where(inside, self.samples[rows, columns], before[rows, columns])
        self.samples = before

    def finish(self) -> NDArray[np.uint8]:
        """The (size, size, 3) picture."""
        picture = cv2.resize(self.samples, (self.size, self.size), interpolation=cv2.INTER_AREA)
        return np.asarray(picture, dtype=np.uint8)

    def _window(self, points: Points) -> tuple[slice, slice]:
        """Rows and columns of samples that a polygon can touch."""
        low = np.clip((points.min(0) - 2) * SAMPLES, 0, len(self.samples) - 1).astype(int)
        high = np.clip((points.max(0) + 3) * SAMPLES, 1, len(self.samples)).astype(int)
        return slice(low[1], high[1]), slice(low[0], high[0])


def _fixed(points: Points) -> NDArray[np.int32]:
    """Picture positions to OpenCV's fixed-point sample positions."""
    # the middle of a pixel is the middle of its samples: sample 2x + 0.5
    samples = points * SAMPLES + (SAMPLES - 1) / 2
    return np.round(np.clip(samples, -4000, 8000) * (1 << SHIFT)).astype(np.int32)


def smooth(points: Points, *, closed: bool = False, pieces: int = 5) -> Points:
    """A curve through (n, 2) points (Catmull-Rom); the points are on the curve."""
    if closed:
        padded = np.concatenate([points[-1:], points, points[:2]])
    else:
        padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    t = np.linspace(0, 1, pieces, endpoint=False)[None, :, None]
    a, b, c, d = padded[:-3, None], padded[1:-2, None], padded[2:-1, None], padded[3:, None]
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    curve = curve.reshape(-1, points.shape[1])
    return np.asarray(curve if closed else np.concatenate([curve, points[-1:]]))
