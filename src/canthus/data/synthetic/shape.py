"""A parametric 68-point face in three dimensions: who it is and what it does.

Frame: the middle of the outer eye corners is the origin and their distance the unit; ``x`` to the image's right, ``y``
down, ``z`` towards the camera. The proportions were set by hand. Only the left half and the mid line are written down;
the right half is their mirror image through the scheme's permutation, so symmetry is exact.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from canthus.schemes import load_scheme

Points = NDArray[np.float64]

LEFT_AND_MIDDLE: dict[int, tuple[float, float, float]] = {
    # jaw, ear to chin
    0: (-0.790, 0.02, -0.75),
    1: (-0.785, 0.22, -0.72),
    2: (-0.760, 0.43, -0.67),
    3: (-0.710, 0.63, -0.57),
    4: (-0.625, 0.81, -0.42),
    5: (-0.505, 0.96, -0.22),
    6: (-0.355, 1.09, -0.05),
    7: (-0.185, 1.18, 0.07),
    8: (0.0, 1.21, 0.12),
    # brow, outer to inner end
    17: (-0.665, -0.14, -0.05),
    18: (-0.570, -0.225, 0.08),
    19: (-0.430, -0.255, 0.18),
    20: (-0.280, -0.240, 0.24),
    21: (-0.135, -0.195, 0.27),
    # nose: bridge to tip, then base
    27: (0.0, -0.025, 0.28),
    28: (0.0, 0.11, 0.37),
    29: (0.0, 0.245, 0.47),
    30: (0.0, 0.38, 0.56),
    31: (-0.165, 0.475, 0.29),
    32: (-0.085, 0.502, 0.36),
    33: (0.0, 0.522, 0.40),
    # eye: outer corner, upper lid, inner corner, lower lid
    36: (-0.500, 0.0, 0.0),
    37: (-0.410, -0.058, 0.10),
    38: (-0.298, -0.055, 0.14),
    39: (-0.205, 0.02, 0.12),
    40: (-0.300, 0.045, 0.13),
    41: (-0.412, 0.043, 0.09),
    # outer lip contour
    48: (-0.310, 0.725, 0.17),
    49: (-0.200, 0.680, 0.28),
    50: (-0.078, 0.655, 0.35),
    51: (0.0, 0.670, 0.36),
    57: (0.0, 0.868, 0.32),
    58: (-0.088, 0.860, 0.31),
    59: (-0.202, 0.815, 0.26),
    # inner lip contour, all but closed
    60: (-0.265, 0.728, 0.20),
    61: (-0.080, 0.737, 0.32),
    62: (0.0, 0.742, 0.335),
    66: (0.0, 0.750, 0.325),
    67: (-0.080, 0.746, 0.31),
}
JAW, BROWS, EYES, MOUTH = slice(0, 17), slice(17, 27), slice(36, 48), slice(48, 68)
UPPER_LIDS, LOWER_LIDS = [37, 38, 43, 44], [41, 40, 47, 46]
"""Points of the upper lids and, in the same order, those of the lower lids that they close upon."""
LOWER_LIP = [55, 56, 57, 58, 59, 65, 66, 67]
CORNERS, NEAR_CORNERS = [48, 54, 60, 64], [49, 53, 55, 59]


@dataclass(frozen=True)
class Traits:
    """Identity and expression; 0 is the average, identity modes are in standard deviations.

    Attributes:
        width: broad (+) or narrow head.
        jaw: broad or pointed lower face.
        length: long or short lower face.
        nose: long or short nose.
        nostrils: broad or narrow nose.
        mouth: wide or narrow mouth.
        lips: full or thin lips.
        eyes: large or small eyes.
        spacing: eyes far apart or close together.
        brows: high or low brows.
        slant: outer brow ends high or low.
        open: jaw, 0 closed to 1 wide open.
        smile: -1 corners down to 1 broad smile.
        pucker: 0 to 1, lips drawn together.
        raise_: brows, -1 frown to 1 raised.
        blink_left: image-left eye, 0 open to 1 closed.
        blink_right: image-right eye, likewise.
    """

    width: float = 0.0
    jaw: float = 0.0
    length: float = 0.0
    nose: float = 0.0
    nostrils: float = 0.0
    mouth: float = 0.0
    lips: float = 0.0
    eyes: float = 0.0
    spacing: float = 0.0
    brows: float = 0.0
    slant: float = 0.0
    open: float = 0.0
    smile: float = 0.0
    pucker: float = 0.0
    raise_: float = 0.0
    blink_left: float = 0.0
    blink_right: float = 0.0

    def mirrored(self) -> "Traits":
        """The same face in a mirror."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        values["blink_left"], values["blink_right"] = self.blink_right, self.blink_left
        return Traits(**values)


IDENTITY_MODES = ("width", "jaw", "length", "nose", "nostrils", "mouth", "lips", "eyes", "spacing", "brows", "slant")


def _neutral() -> Points:
    points = np.empty((68, 3))
    for index, mirrored in enumerate(load_scheme("68").flip):
        written = index in LEFT_AND_MIDDLE
        x, y, z = LEFT_AND_MIDDLE[index if written else mirrored]
        points[index] = (x if written else -x, y, z)
    return points


NEUTRAL = _neutral()
NEUTRAL.setflags(write=False)
"""(68, 3) the average face, mouth all but closed."""


def shape(traits: Traits) -> Points:
    """The (68, 3) points of a face, in its own frame (not turned)."""
    p = NEUTRAL.copy()
    _identity(p, traits)
    _expression(p, traits)
    return p


def _identity(p: Points, t: Traits) -> None:
    """Change a shape in place to a person's proportions."""
    p[JAW, 0] *= 1 + 0.05 * t.width
    low = np.clip(p[JAW, 1] / 1.2, 0, 1)
    p[JAW, 0] *= 1 + 0.07 * t.jaw * low
    p[JAW, 1] += 0.05 * t.length * low
    p[MOUTH, 1] += 0.025 * t.length
    down = np.array([0, 0.33, 0.66, 1, 1, 1, 1, 1, 1])
    p[27:36, 1] += 0.03 * t.nose * down
    p[27:36, 2] += 0.03 * t.nose * down
    p[31:36, 0] *= 1 + 0.12 * t.nostrils
    p[MOUTH, 0] *= 1 + 0.1 * t.mouth
    # the outer contour moves away from the line between the lips, the inner contour stays
    p[48:60, 1] += 0.12 * t.lips * (p[48:60, 1] - p[[60, 62, 62, 62, 62, 62, 64, 66, 66, 66, 66, 66], 1])
    p[EYES, 1] *= 1 + 0.16 * t.eyes
    p[EYES, 0] += 0.02 * t.spacing * np.sign(p[EYES, 0])
    p[BROWS, 1] -= 0.03 * t.brows + 0.04 * t.slant * (np.abs(p[BROWS, 0]) - 0.4)


def _expression(p: Points, t: Traits) -> None:
    """Change a shape in place to an expression."""
    p[LOWER_LIP, 1] += 0.27 * t.open
    p[CORNERS, 1] += 0.10 * t.open
    p[CORNERS, 0] *= 1 - 0.06 * t.open
    lowered = np.clip((p[JAW, 1] - 0.3) / 0.7, 0, 1)
    p[JAW, 1] += 0.24 * t.open * lowered
    p[CORNERS, :2] += np.stack([0.06 * np.sign(p[CORNERS, 0]), np.full(4, -0.06)], 1) * t.smile
    p[NEAR_CORNERS, :2] += np.stack([0.03 * np.sign(p[NEAR_CORNERS, 0]), np.full(4, -0.025)], 1) * t.smile
    p[MOUTH, 2] -= 0.03 * max(t.smile, 0)
    p[MOUTH, 0] *= 1 - 0.28 * t.pucker
    p[MOUTH, 2] += 0.06 * t.pucker
    p[BROWS, 1] -= 0.07 * t.raise_ * (1 if t.raise_ > 0 else 0.6)
    p[[21, 22], 0] *= 1 + 0.25 * min(t.raise_, 0)
    closing = np.array([t.blink_left] * 2 + [t.blink_right] * 2)
    # closed lids still enclose a thin line, as labelled photographs do
    p[UPPER_LIDS, 1] += 0.93 * closing * (p[LOWER_LIDS, 1] - p[UPPER_LIDS, 1])
