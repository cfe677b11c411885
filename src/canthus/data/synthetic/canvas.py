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
        self._corner = (0, 0)  # column and row of the top-left sample; moves while a clip is open

    def polygon(self, points: Points, colour: Colour, alpha: float = 1.0) -> None:
        """Fill the polygon with (n, 2) corners; with ``alpha`` below 1 what lies under it shines through."""
        fixed = self._fixed(points)
        if alpha >= 1:
            cv2.fillPoly(self.samples, [fixed], colour, cv2.LINE_8, SHIFT)
            return
        window = self._window(points)
        part = self.samples[window]
        under = part.copy()
        cv2.fillPoly(self.samples, [fixed], colour, cv2.LINE_8, SHIFT)
        if part.size:
            part[...] = cv2.addWeighted(part, alpha, under, 1 - alpha, 0)

    def disc(self, centre: Points, radius: float, colour: Colour) -> None:
        """Fill a disc about a (2,) centre."""
        angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        self.polygon(centre + radius * np.column_stack([np.cos(angle), np.sin(angle)]), colour)

    def stroke(self, points: Points, width: float | Sequence[float], colour: Colour, alpha: float = 1.0) -> None:
        """Draw a line through (n, 2) points; ``width`` in pixels, one for all or several from start to end."""
        widths: float | Points
        if isinstance(width, Sequence):
            widths = np.interp(np.linspace(0, 1, len(points)), np.linspace(0, 1, len(width)), width)[:, None]
        else:
            widths = width
        half = normals(points) * widths / 2
        self.polygon(np.concatenate([points + half, (points - half)[::-1]]), colour, alpha)

    @contextmanager
    def clipped(self, points: Points) -> Iterator[None]:
        """Whatever is drawn in this context shows inside the polygon only."""
        whole, corner = self.samples, self._corner
        window = self._window(points)
        part = whole[window]
        if not part.size:  # out of the picture: nothing of it will show
            part = np.zeros((1, 1, 3), dtype=np.uint8)
        self.samples = part.copy()
        self._corner = (corner[0] + window[1].start, corner[1] + window[0].start)
        try:
            yield
            mask = np.zeros(part.shape[:2], dtype=np.uint8)
            cv2.fillPoly(mask, [self._fixed(points)], 255, cv2.LINE_8, SHIFT)
            part[...] = np.where(mask[..., None] > 0, self.samples, part)
        finally:
            self.samples, self._corner = whole, corner

    def finish(self) -> NDArray[np.uint8]:
        """The (size, size, 3) picture."""
        picture = cv2.resize(self.samples, (self.size, self.size), interpolation=cv2.INTER_AREA)
        return np.asarray(picture, dtype=np.uint8)

    def _window(self, points: Points) -> tuple[slice, slice]:
        """Rows and columns of the samples at hand that a polygon can touch."""
        (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
        rows, columns = self.samples.shape[:2]

        def inside(low: float, high: float, start: int, count: int) -> slice:
            first = min(max(int((low - 2) * SAMPLES) - start, 0), count)
            return slice(first, min(max(int((high + 3) * SAMPLES) - start, first), count))

        return inside(top, bottom, self._corner[1], rows), inside(left, right, self._corner[0], columns)

    def _fixed(self, points: Points) -> NDArray[np.int32]:
        """Picture positions to OpenCV's fixed-point positions among the samples at hand."""
        # the middle of a pixel is the middle of its samples: sample 2x + 0.5
        offset = np.array(self._corner) - (SAMPLES - 1) / 2
        return np.rint((points * SAMPLES - offset) * (1 << SHIFT)).astype(np.int32)


def normals(points: Points) -> Points:
    """Unit vectors across a line through (n, 2) points, 90 degrees clockwise (y points down) from its direction."""
    along = np.empty_like(points)
    along[1:-1] = points[2:] - points[:-2]
    along[0], along[-1] = points[1] - points[0], points[-1] - points[-2]
    length = np.sqrt((along**2).sum(1, keepdims=True)) + 1e-9
    return np.asarray(along[:, ::-1] * (-1, 1) / length)


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
