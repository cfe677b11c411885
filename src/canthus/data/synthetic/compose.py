"""One image of a crowd: people are rendered each alone, and put over one another by what they cover."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from canthus.data.synthetic.crowd import Crowd, Streams
from canthus.data.synthetic.film import Film, image
from canthus.data.synthetic.person import linear
from canthus.data.synthetic.place import place
from canthus.data.synthetic.render import PLAIN, cut_out

__all__ = ["paint"]

DIM = 0.4
"""Exposure of a person alone, so that nothing is brighter than an eight-bit image holds."""


def paint(crowd: Crowd, stream: Streams, resolution: int) -> NDArray[np.uint8]:
    """The image, (H, W, 3) uint8 RGB."""
    light = linear(place(stream("place"), resolution, crowd.horizon, crowd.floor).astype(np.float64))
    if crowd.people:
        plain = [replace(scene, film=Film(exposure=DIM)) for scene in crowd.people]
        streams = [stream("unused") for _ in plain]  # neither background nor film draws
        for shown, share in reversed(list(cut_out(plain, streams, resolution))):
            picture, covered = linear(shown.astype(np.float64)), share[..., None]
            behind = np.median(picture[covered[..., 0] <= covered.min()])  # each was exposed on its own
            light = np.clip(picture * PLAIN / behind - (1 - covered) * PLAIN, 0, None) + (1 - covered) * light
        # cameras are set to the faces
        skin = np.mean([scene.person.skin.mean() for scene in crowd.people])
        light = light * np.clip((0.2 / skin) ** 0.3, 0.7, 1.5)
    return image(np.asarray(light, dtype=np.float32), crowd.film, stream("camera"))
