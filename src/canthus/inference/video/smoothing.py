"""The one-euro filter (Casiez, Roussel, Vogel, CHI 2012): calm when a face is still, quick when it moves."""

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["OneEuro"]


class OneEuro:
    """A low-pass filter of points whose cutoff rises with their speed.

    Positions are measured in a unit that the caller gives, the side of the face, so that the settings do not depend on
    how large faces are. A point's x and y share one cutoff, else slanted motion would bend.

    Args:
        cutoff: Hz, of a point at rest: lower is calmer and lags more.
        beta: by which the cutoff rises per unit a second of speed: higher lags less in motion.
        speed_cutoff: Hz, of the speed itself; the paper: 1.

    Raises:
        ValueError: a setting outside its range.
    """

    def __init__(self, cutoff: float = 1.0, beta: float = 10.0, speed_cutoff: float = 1.0) -> None:
        if cutoff <= 0 or beta < 0 or speed_cutoff <= 0:
            raise ValueError(f"cutoff={cutoff}, beta={beta}, speed_cutoff={speed_cutoff}: need > 0, >= 0, > 0")
        self.cutoff, self.beta, self.speed_cutoff = cutoff, beta, speed_cutoff
        self._time = 0.0
        self._raw: NDArray[np.float64] | None = None
        self._value = np.empty(0)
        self._velocity = np.empty(0)

    def __call__(self, points: NDArray[np.float64], time: float, unit: float = 1.0) -> NDArray[np.float64]:
        """Smooth the next points.

        Args:
            points: (..., 2).
            time: of the frame, seconds; after that of the frame before.
            unit: pixels.

        Returns:
            The same shape; the first points come back as they are.

        Raises:
            ValueError: time that does not go on.
        """
        if self._raw is None:
            self._time, self._raw, self._value, self._velocity = time, points, points, np.zeros_like(points)
            return points
        step = time - self._time
        if step <= 0:
            raise ValueError(f"a frame at {time} s follows one at {self._time} s")
        velocity = (points - self._raw) / (step * unit)
        self._velocity = self._velocity + _share(self.speed_cutoff, step) * (velocity - self._velocity)
        speed = np.linalg.norm(self._velocity, axis=-1, keepdims=True)
        self._value = self._value + _share(self.cutoff + self.beta * speed, step) * (points - self._value)
        self._time, self._raw = time, points
        return self._value


def _share(cutoff: "float | NDArray[np.float64]", step: float) -> "float | NDArray[np.float64]":
    """Weight of the new value in an exponential filter (equation 3)."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * step))
