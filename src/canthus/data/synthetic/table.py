"""A batch of scenes as tensors, everything in rows: one row of numbers per coordinate, channel or value."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from canthus.data.synthetic.light import corner_normals, reached
from canthus.data.synthetic.mesh import head_mesh
from canthus.data.synthetic.one_thread import one_thread
from canthus.data.synthetic.parts import GLASS
from canthus.data.synthetic.raster import Triangles
from canthus.data.synthetic.scene import Scene

__all__ = ["Table"]

NEAR = 250.0
"""Millimetres that things may stand out from the middle of a head towards the camera."""


class Table:
    """All corners and triangles of a batch of B scenes, and what is known of each scene.

    Attributes:
        count: B.
        corners: (3, V) sample column, sample row and nearness.
        normals: (3, V).
        places: (2, V) texture coordinates, on the head its map.
        colours: (3, V) linear RGB, of parts only.
        reached: (2, V) how much of the directional light, and of light from around, comes to a corner.
        solid: triangles that hide what is behind them.
        clear: triangles of glass.
        material: (T,) of the solid triangles.
        values: name -> (B,) or (3, B), see `canthus.data.synthetic.render`.
        around: (27, B) light from around, see `canthus.data.synthetic.light`; sun, sun_colour: (3, B); harsh: (B,).
        eyes: (6, B) centres of the eyeballs before the camera, left then right in the image; gaze: (6, B) likewise.
        lens: (3, B) sample column and row of the middle of the image, samples at depth 1.
    """

    def __init__(
        self, scenes: Sequence[Scene], values: Sequence[Mapping[str, Any]], samples: float, device: torch.device
    ) -> None:
        """Collect scenes.

        Args:
            scenes: what is in the batch.
            values: of each scene, the same names in all.
            samples: per pixel and axis.
            device: of the tensors.
        """
        blocks = [block for scene in scenes for block in _blocks(scene)]
        counts = np.array([len(points) for points, *_ in blocks])
        owners = [number for number, scene in enumerate(scenes) for _ in range(1 + len(scene.parts))]
        triangles = np.concatenate(
            [faces + first for (_, _, faces, _), first in zip(blocks, counts.cumsum() - counts, strict=True)]
        )
        material = np.concatenate([kinds for *_, kinds in blocks])
        pictures = np.repeat(owners, [len(faces) for _, _, faces, _ in blocks])
        attributes = torch.from_numpy(np.concatenate([rows for _, rows, *_ in blocks], axis=1)).to(device)

        def rows(values: Sequence[Any]) -> Tensor:
            """(..., B) float32 of B arrays of any shape, flattened."""
            flat = np.array(values, dtype=np.float32).reshape(len(scenes), -1).T
            return torch.from_numpy(np.ascontiguousarray(flat)).to(device)

        def chosen(mask: NDArray[np.bool_]) -> Triangles:
            corners = np.ascontiguousarray(triangles[mask].T, dtype=np.int32)
            owner = pictures[mask].astype(np.int32)
            return Triangles(torch.from_numpy(corners).to(device), torch.from_numpy(owner).to(device))

        self.count = len(scenes)
        self.corners = torch.from_numpy(
            np.concatenate(
                [
                    _on_screen(scenes[owner], points, samples)
                    for (points, *_), owner in zip(blocks, owners, strict=True)
                ],
                axis=1,
            )
        ).to(device)
        self.normals, self.places, self.colours, self.reached = attributes.split((3, 2, 3, 2))
        self.solid, self.clear = chosen(material != GLASS), chosen(material == GLASS)
        self.material = torch.from_numpy(material[material != GLASS].astype(np.uint8)).to(device)
        self.values = {key: rows([value[key] for value in values]).squeeze(0) for key in values[0]}
        self.around = rows([scene.light.around for scene in scenes])
        self.sun, self.sun_colour = rows([s.light.sun for s in scenes]), rows([s.light.colour for s in scenes])
        self.harsh = rows([scene.light.harsh for scene in scenes])[0]
        self.eyes = rows([scene.eyes + scene.distance * np.array([0, 0, 1]) for scene in scenes])
        self.gaze = rows([scene.gaze for scene in scenes])
        self.lens = rows([[*((s.centre + 0.5) * samples - 0.5), s.scale * samples * s.distance] for s in scenes])

    def each(self, value: Tensor, picture: Tensor) -> Tensor:
        """(..., B) values of scenes to (..., N) at samples of images (N,); one scene's are left to broadcast."""
        if self.count == 1:
            return value
        return value[..., picture]


_Block = tuple[NDArray[Any], NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]


@one_thread
def _blocks(scene: Scene) -> list[_Block]:
    """Points (V, 3), attributes (10, V), triangles (T, 3) and materials (T,) of the head and of every part."""
    mesh = head_mesh()
    sun, around = reached(scene.rotation.T @ scene.light.sun)
    head = np.zeros((10, len(scene.corners)), dtype=np.float32)
    head[:3], head[3:5], head[8], head[9] = corner_normals(scene.corners).T, mesh.places.T, sun, around
    blocks: list[_Block] = [(scene.corners, head, mesh.triangles, mesh.material)]
    for part in scene.parts:
        rows = np.ones((10, len(part.points)), dtype=np.float32)
        rows[:3], rows[3:5], rows[5:8] = part.normals.T, part.uv.T, part.colours.T
        blocks.append((part.points, rows, part.triangles, np.full(len(part.triangles), part.material)))
    return blocks


def _on_screen(scene: Scene, points: NDArray[Any], samples: float) -> NDArray[np.float32]:
    """(3, V) sample column, sample row and nearness of (V, 3) points."""
    nearness = max(scene.distance - NEAR, 60.0) / (scene.distance + points[:, 2])
    return np.stack([*((scene.project(points) + 0.5) * samples - 0.5).T, nearness]).astype(np.float32)
