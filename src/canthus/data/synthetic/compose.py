"""One picture of a crowd: people are rendered each alone, and put over one another by what they cover."""

from dataclasses import replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from canthus.data.synthetic.crowd import Crowd, Streams
from canthus.data.synthetic.film import Film, photograph
from canthus.data.synthetic.mesh import head_mesh
from canthus.data.synthetic.parts import GLASS
from canthus.data.synthetic.person import linear
from canthus.data.synthetic.place import place
from canthus.data.synthetic.raster import Triangles, rasterise
from canthus.data.synthetic.render import SAMPLES, render
from canthus.data.synthetic.scene import Scene
from canthus.data.synthetic.surface import Array

__all__ = ["cover", "paint"]

FLAT = 0.2
"""Light of the background of `render` without one."""
DIM = 0.4
"""Exposure of a person alone, so that nothing is brighter than an eight-bit picture holds."""


def paint(crowd: Crowd, stream: Streams, resolution: int) -> NDArray[np.uint8]:
    """The picture, (H, W, 3) uint8 RGB."""
    light = linear(place(stream("place"), resolution, crowd.horizon, crowd.floor).astype(np.float64))
    if crowd.people:
        plain = [replace(scene, film=Film(exposure=DIM)) for scene in crowd.people]
        streams = [stream("unused") for _ in plain]  # neither background nor film draws
        shown = linear(render(plain, streams, resolution, without=["background"]).astype(np.float64))
        for scene, picture in reversed(list(zip(crowd.people, shown, strict=True))):
            covered = cover(scene, resolution)[..., None]
            behind = np.median(picture[covered[..., 0] <= covered.min()])  # each was exposed on its own
            light = np.clip(picture * FLAT / behind - (1 - covered) * FLAT, 0, None) + (1 - covered) * light
        # cameras are set to the faces
        skin = np.mean([scene.person.skin.mean() for scene in crowd.people])
        light = light * np.clip((0.2 / skin) ** 0.3, 0.7, 1.5)
    return photograph(np.asarray(light, dtype=np.float32), crowd.film, stream("camera"))


def cover(scene: Scene, resolution: int) -> Array:
    """(H, W) share of each pixel that a person covers, by the samples that `render` takes."""
    side = round(SAMPLES * resolution)
    blocks = [(scene.corners, head_mesh().triangles)]
    blocks += [(part.points, part.triangles) for part in scene.parts if part.material != GLASS]
    points = np.concatenate([block[0] for block in blocks])
    starts = np.cumsum([0, *(len(block[0]) for block in blocks[:-1])])
    triangles = np.concatenate([block[1] + start for block, start in zip(blocks, starts, strict=True)])
    samples = (scene.project(points) + 0.5) * side / resolution - 0.5
    corners = torch.tensor(np.vstack([samples.T, np.ones(len(points))]), dtype=torch.float32)
    one = torch.zeros(len(triangles), dtype=torch.int32)
    found = rasterise(
        corners, Triangles(torch.tensor(np.ascontiguousarray(triangles.T), dtype=torch.int32), one), 1, side
    )
    covered = (found >= 0).view(side, side).numpy().astype(np.float32)
    return np.asarray(cv2.resize(covered, (resolution, resolution), interpolation=cv2.INTER_AREA), dtype=np.float64)
