"""The record of one rendered image: a head before a camera, and everything else in the image."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from canthus.data.synthetic.expression import Expression
from canthus.data.synthetic.film import Film
from canthus.data.synthetic.light import Light
from canthus.data.synthetic.parts import Part
from canthus.data.synthetic.person import Person
from canthus.data.synthetic.surface import Array
from canthus.geometry.pose import camera_rotation

__all__ = ["Scene"]

EYES_APART = 79.0
"""Millimetres between the outer eye corners of a usual head."""


@dataclass(frozen=True, eq=False)
class Scene:
    """One head before a camera. Positions are in the frame of the camera, turned but not yet moved away from it.

    Attributes:
        person: who.
        expression: with what expression.
        angles: (3,) yaw, pitch, roll, see `canthus.geometry.pose`.
        corners: (V, 3) of the head.
        parts: everything else.
        gaze: (2, 3) unit vectors out of the pupils.
        eyes: (2, 3) centres of the eyeballs.
        distance: from the camera to the middle of the head, millimetres.
        scale: pixels per millimetre there.
        centre: (2,) pixel of the middle of the head.
        light: see `Light`.
        film: what the camera makes of it.
        glasses: kind of glasses, or none.
        curly: 0 for straight hair, 1 for curls.
    """

    person: Person
    expression: Expression
    angles: Array
    corners: Array
    parts: tuple[Part, ...]
    gaze: Array
    eyes: Array
    distance: float
    scale: float
    centre: Array
    light: Light
    film: Film
    glasses: str | None
    curly: float

    def project(self, points: Array) -> Array:
        """(..., 3) positions to (..., 2) pixels."""
        return np.asarray(
            self.centre + self.scale * self.distance * points[..., :2] / (self.distance + points[..., 2:])
        )

    @cached_property
    def rotation(self) -> Array:
        """(3, 3) from the head's frame."""
        return np.asarray(camera_rotation(torch.from_numpy(self.angles)).numpy())

    def conditions(self, visible: NDArray[np.bool_]) -> frozenset[str]:
        """The conditions that hold, by the names that the data sets use; ``visible`` of its landmarks."""
        yaw, pitch, roll = np.abs(np.rad2deg(self.angles))
        e, f = self.expression, self.film
        around = self.light.around
        held = {
            "occlusion": bool((~visible).mean() > 0.06),
            "low_resolution": f.reduction > 1.5,
            "lighting": bool(self.light.harsh > 0.5 or np.abs(around[1:4]).max() > 0.75 or not 0.6 < f.exposure < 1.65),
            "blur": f.blur > 0.016 * EYES_APART * self.scale,
            "pose": bool(yaw > 30 or pitch > 18 or roll > 25),
            "expression": e.jaw > 0.15 or abs(e.smile) > 0.8 or max(e.blink) > 0.6 or e.pucker > 0.5,
        }
        return frozenset(name for name, holds in held.items() if holds)
