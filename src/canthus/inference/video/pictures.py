"""What a frame of an annotated video shows: all faces, and below them the stages of one."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from canthus.inference.video.tracking import TrackedFace
from canthus.schemes import Scheme
from canthus.visualization.drawing import PAPER, draw_prediction, stage_strip

__all__ = ["annotated"]

LARGEST_STRIP = 256
"""Pixels: height of the row of stages."""


def annotated(frame: NDArray[np.uint8], faces: Sequence[TrackedFace], scheme: Scheme, stages: int) -> NDArray[np.uint8]:
    """Draw the faces of a frame, and the stages of the first of them in a row below.

    Args:
        frame: (H, W, 3) uint8 RGB.
        faces: in it.
        scheme: of the points.
        stages: number of stages S; 0 leaves the row out.

    Returns:
        (H + row, W, 3) uint8 RGB, of the same size for every frame; H and W are even, as codecs want them.
    """
    located = [each.face for each in faces]
    drawn = draw_prediction(frame, [face.box for face in located], [face.landmarks for face in located], scheme)
    if stages:
        width = frame.shape[1]
        height = max(min(LARGEST_STRIP, width // stages - 2), 32)
        row = np.full((height + height % 2, width, 3), PAPER, np.uint8)
        if located:
            strip = stage_strip(frame, list(located[0].stages), None, located[0].box, scheme, height=height)
            strip = strip[:, :width]
            row[: strip.shape[0], : strip.shape[1]] = strip
        drawn = np.vstack([drawn, row])
    return np.asarray(np.pad(drawn, [(0, side % 2) for side in drawn.shape[:2]] + [(0, 0)], mode="edge"))
