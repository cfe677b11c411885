"""The reader of rendered faces: labels at once, pixels on demand."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from canthus.data.face import OCCLUDED, VISIBLE, DataError, Face, Photograph, Reader
from canthus.data.synthetic.head import rotation
from canthus.data.synthetic.render import RENDERER, render
from canthus.data.synthetic.scene import DIFFICULTIES, Scene, draw_scene
from canthus.geometry.pose import angles_of_rotation

PARTS = ("train", "test")
_NAME = re.compile(r"synthetic/(train|test)/(\d{6,})\.png")


class Synthetic(Reader):
    """Rendered faces with exact labels. Image i of a part and seed is always the same picture, whoever asks and when.

    Args:
        size: faces in part ``train``; part ``test`` has a fifth of that, at least one.
        render_seed: which faces; parts and seeds share none. Not called `seed`, which a run passes to its data module,
            so that runs with different seeds train on the same faces.
        difficulty: ``easy``, ``medium`` or ``hard``.
        resolution: side of the pictures, pixels.

    Raises:
        ValueError: unknown difficulty, size below 1, render_seed below 0 or resolution below 64.
    """

    scheme = "68"

    def __init__(
        self, *, size: int = 2000, render_seed: int = 0, difficulty: str = "medium", resolution: int = 256
    ) -> None:
        if difficulty not in DIFFICULTIES:
            raise ValueError(f"difficulty {difficulty!r} is none of {', '.join(DIFFICULTIES)}")
        for name, value, least in (("size", size, 1), ("render_seed", render_seed, 0), ("resolution", resolution, 64)):
            if value < least:
                raise ValueError(f"synthetic faces: {name}={value}, but it must be at least {least}")
        self.size, self.render_seed, self.difficulty, self.resolution = size, render_seed, difficulty, resolution

    def faces(self, parts: Sequence[str]) -> list[Face]:
        """Label the faces of the named parts, in order; nothing is rendered.

        Raises:
            DataError: a part that is neither ``train`` nor ``test``.
        """
        unknown = [part for part in parts if part not in PARTS]
        if unknown:
            raise DataError(f"synthetic faces have no part {unknown[0]!r}; the parts are {', '.join(PARTS)}")
        return [self._face(part, index) for part in parts for index in range(self._count(part))]

    def pixels(self, image: Path) -> NDArray[np.uint8]:
        """Render the photograph that a face names, (H, W, 3) uint8 RGB. Keeps no state, so threads may share a reader.

        Raises:
            DataError: not a name that ``faces`` gave.
        """
        match = _NAME.fullmatch(image.as_posix())
        if match is None or int(match[2]) >= self._count(match[1]):
            raise DataError(f"{image}: no face of this set; names run from synthetic/train/000000.png")
        part, index = match[1], int(match[2])
        # appearance has a stream of its own: changing how faces are painted leaves the labels as they are
        return render(self._scene(part, index), self._stream(part, index, 1), self.resolution)

    def fingerprint(self, face: Face | Photograph) -> str:
        """Renderer, parameters and name; ``size`` is left out, for a larger set begins with the same faces."""
        return f"{RENDERER}:{self.render_seed}:{self.difficulty}:{self.resolution}:{face.image.as_posix()}"

    def _count(self, part: str) -> int:
        return self.size if part == "train" else max(self.size // 5, 1)

    def _stream(self, part: str, index: int, purpose: int) -> np.random.Generator:
        key = np.random.SeedSequence([self.render_seed, PARTS.index(part), index, purpose])
        return np.random.Generator(np.random.Philox(key))

    def _scene(self, part: str, index: int) -> Scene:
        return draw_scene(self._stream(part, index, 0), DIFFICULTIES[self.difficulty], self.resolution)

    def _face(self, part: str, index: int) -> Face:
        scene = self._scene(part, index)
        visible = scene.visible
        return Face(
            image=Path(f"synthetic/{part}/{index:06d}.png"),
            landmarks=scene.landmarks,
            visibility=np.where(visible, VISIBLE, OCCLUDED).astype(np.uint8),
            box=np.concatenate([scene.landmarks.min(0), scene.landmarks.max(0)]),
            scheme=self.scheme,
            photo=f"{part}/{index:06d}",
            part=part,
            attributes=scene.attributes,
            identity=f"{part}/{self.render_seed}/{index}",
            pose=_pose(scene.pose),
        )


def _pose(pose: tuple[float, float, float]) -> NDArray[np.float64]:
    """Turn the renderer's yaw, pitch, roll into those of `Face.pose`, whose turns come in another order."""
    up = np.diag([1.0, -1.0, 1.0])  # the renderer's y axis points down
    return np.asarray(angles_of_rotation(torch.from_numpy(up @ rotation(*pose) @ up)).numpy())
