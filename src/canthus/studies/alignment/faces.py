"""The faces of a study: chosen persons, in boxes as a detector would give them, the same for every method."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from canthus.data.face import Face, Reader, WholeImage

__all__ = ["StudyFaces"]


class StudyFaces(Reader):
    """Faces of another reader with moved boxes.

    Args:
        source: of the faces.
        persons: how many, drawn from those that it names; all faces, nameless ones too, if None.
        box_noise: standard deviation of the shift in shares of the side, and of the logarithm of the scale.
        seed: of both draws.
    """

    def __init__(self, source: Reader, persons: int | None, box_noise: float, seed: int) -> None:
        self.source, self.persons, self.box_noise, self.seed = source, persons, box_noise, seed
        self.scheme, self.exif = source.scheme, source.exif

    def faces(self, parts: Sequence[str]) -> list[Face]:
        """Parse, choose, and move the boxes."""
        faces = self.source.faces(parts)
        names = sorted({face.identity for face in faces if face.identity is not None})
        random = np.random.default_rng(self.seed)
        chosen = set(random.permutation(names)[: self.persons]) if self.persons is not None else {*names, None}
        kept = [face for face in faces if face.identity in chosen]
        draws = random.standard_normal((len(kept), 3)) * self.box_noise
        return [replace(face, box=_moved(face.box, draw)) for face, draw in zip(kept, draws, strict=True)]

    def pixels(self, image: Path) -> NDArray[np.uint8]:
        """As the source."""
        return self.source.pixels(image)

    def stated_size(self, image: Path) -> tuple[int, int] | None:
        """As the source."""
        return self.source.stated_size(image)

    def file(self, image: Path) -> Path:
        """As the source."""
        return self.source.file(image)

    def fingerprint(self, face: Face | WholeImage) -> str:
        """As the source."""
        return self.source.fingerprint(face)


def _moved(box: NDArray[np.float64], draw: NDArray[np.float64]) -> NDArray[np.float64]:
    centre, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    centre, half = centre + draw[:2] * size, size / 2 * np.exp(draw[2])
    return np.concatenate([centre - half, centre + half])
