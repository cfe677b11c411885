"""Scenes for detection: labelled faces pasted on images that show no other face, and such images alone.

Labelled images show few faces, each at one size, and people who are not labelled; here every face is known, and
what is between them is painted, or made of pieces of images that are too small to hold a face.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from canthus.data.face import Face, Reader, WholeImage
from canthus.data.synthetic.background import background, muted, skin_colour
from canthus.utils.errors import DataError

__all__ = ["Collages"]

FORMAT = "collage-2"
"""Enters every fingerprint: change it whenever the same scene begins to give other pixels."""
_NAME = re.compile(r"collages/(\d{6,})\.png")
SIZES = (24.0, 150.0)
"""Sides of the pasted face boxes, pixels."""
SCENES = "collages"
"""The part that scenes form."""
SPACING = 0.8
"""Of the sides of two faces, between their centres: heads may touch, faces do not."""


class Collages(Reader):
    """A number of scenes beside the images of another reader. Scene i of a seed is always the same.

    Args:
        source: reads the images that faces and pieces are taken from.
        donors: those images; of the training split only.
        count: scenes.
        empty: share of scenes without a face.
        size: side of a scene, pixels.
        seed: which scenes.

    Raises:
        DataError: no donor with a face.
    """

    def __init__(
        self,
        source: Reader,
        donors: Sequence[WholeImage],
        count: int,
        *,
        empty: float = 0.4,
        size: int = 320,
        seed: int = 0,
    ) -> None:
        self.source, self.scheme = source, source.scheme
        self.donors = [donor for donor in donors if donor.faces]
        if count and not self.donors:
            raise DataError("scenes are made of labelled faces, and there are none; set data.scenes=0")
        self.count, self.empty, self.size, self.seed = count, empty, size, seed

    def faces(self, parts: Sequence[str]) -> list[Face]:
        """Those of the source and, as part ``collages``, those of the scenes."""
        own = [face for scene in self.scenes() for face in scene.faces] if SCENES in parts else []
        return [*self.source.faces([part for part in parts if part != SCENES]), *own]

    def scenes(self) -> list[WholeImage]:
        """Label the scenes; nothing is painted."""
        return [self._scene(number)[0] for number in range(self.count)]

    def pixels(self, image: Path) -> NDArray[np.uint8]:
        """Paint a scene, or decode an image of the source."""
        match = _NAME.fullmatch(image.as_posix())
        if match is None:
            return self.source.pixels(image)
        number = int(match[1])
        random = self._stream(number, 1)
        picture = self._background(random)
        scene, pasted = self._scene(number)
        for face, donor in zip(scene.faces, pasted, strict=True):
            _paste(picture, self.source.pixels(donor.image), donor.box, face.box)
        return picture

    def file(self, image: Path) -> Path:
        """As the source. A scene has none; the files that it is made of are those of images, too."""
        return image if _NAME.fullmatch(image.as_posix()) else self.source.file(image)

    def fingerprint(self, face: Face | WholeImage) -> str:
        """Of a scene: its number and seed, and the files that it is made of."""
        match = _NAME.fullmatch(face.image.as_posix())
        if match is None:
            return self.source.fingerprint(face)
        pasted = self._scene(int(match[1]))[1]
        files = "|".join(self.source.fingerprint(donor) for donor in pasted)
        return f"{FORMAT}:{self.seed}:{self.size}:{len(self.donors)}:{face.image.as_posix()}:{files}"

    def _stream(self, number: int, purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, number, purpose])

    def _scene(self, number: int) -> tuple[WholeImage, list[Face]]:
        """The labels of a scene, and the faces that it shows as their images have them."""
        random = self._stream(number, 0)
        image, photo = Path(f"collages/{number:06d}.png"), f"collages/{number:06d}"
        faces: list[Face] = []
        pasted: list[Face] = []
        wanted = 0 if random.random() < self.empty else int(random.integers(1, 6))
        for _ in range(wanted):
            donor = self._donor(random)
            side = float(np.exp(random.uniform(*np.log(SIZES))))
            extent = donor.box[2:] - donor.box[:2]
            scale = side / float(extent.mean())
            for _ in range(8):
                centre = random.uniform(0.35 * side, self.size - 0.35 * side, 2)  # some are cut by the border
                half = extent * scale / 2
                box = np.concatenate([centre - half, centre + half])
                if all(_apart(box, other.box) for other in faces):
                    landmarks = (donor.landmarks - (donor.box[:2] + donor.box[2:]) / 2) * scale + centre
                    faces.append(
                        Face(image, landmarks, donor.visibility, box, donor.scheme, photo, SCENES, donor.attributes)
                    )
                    pasted.append(donor)
                    break
        return WholeImage(image, photo, SCENES, tuple(faces), np.zeros(len(faces), dtype=np.bool_)), pasted

    def _donor(self, random: np.random.Generator) -> Face:
        faces = self.donors[int(random.integers(len(self.donors)))].faces
        return faces[int(random.integers(len(faces)))]

    def _background(self, random: np.random.Generator) -> NDArray[np.uint8]:
        picture = self._pieces(random) if random.random() < 0.65 else background(random, self.size)
        if random.random() < 0.5:
            _clutter(picture, random)
        noise = random.normal(size=picture.shape[:2]) * random.uniform(0, 8)
        return np.asarray(np.clip(picture + noise[..., None], 0, 255), dtype=np.uint8)

    def _pieces(self, random: np.random.Generator) -> NDArray[np.uint8]:
        """Squares of images, each less than half a face wide, so that none is one."""
        picture = np.zeros((self.size, self.size, 3), dtype=np.uint8)
        tile = int(random.choice([20, 32, 40, 64, 80]))
        images: list[tuple[NDArray[np.uint8], float]] = []
        for _ in range(3):
            face = self._donor(random)
            images.append((self.source.pixels(face.image), float((face.box[2:] - face.box[:2]).max())))
        for top in range(0, self.size, tile):
            for left in range(0, self.size, tile):
                pixels, side = images[int(random.integers(len(images)))]
                cut = max(int(random.uniform(0.15, 0.45) * side), 2)
                height, width = pixels.shape[:2]
                if min(height, width) <= cut:
                    continue
                y, x = int(random.integers(height - cut)), int(random.integers(width - cut))
                target = picture[top : top + tile, left : left + tile]
                piece = cv2.resize(pixels[y : y + cut, x : x + cut], (tile, tile), interpolation=cv2.INTER_AREA)
                target[...] = np.rot90(piece, int(random.integers(4)))[: target.shape[0], : target.shape[1]]
        return picture


def _apart(box: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    centres = (box[:2] + box[2:] - other[:2] - other[2:]) / 2
    sides = (box[2:] - box[:2] + other[2:] - other[:2]) / 2
    return bool((np.abs(centres) > SPACING * sides).any())


def _clutter(picture: NDArray[np.uint8], random: np.random.Generator) -> None:
    """Edges, rings and skin-coloured blobs: what a detector of faces takes for one."""
    size = picture.shape[0]
    for _ in range(int(random.integers(3, 14))):
        colour = tuple((skin_colour(random) if random.random() < 0.5 else muted(random)).tolist())
        centre = tuple(random.integers(0, size, 2).tolist())
        thickness = -1 if random.random() < 0.6 else int(random.integers(1, 6))
        extent = tuple(random.integers(4, size // 4, 2).tolist())
        kind = int(random.integers(3))
        if kind == 0:
            cv2.ellipse(picture, centre, extent, float(random.uniform(0, 180)), 0, 360, colour, thickness, cv2.LINE_AA)
        elif kind == 1:
            corner = (centre[0] + extent[0], centre[1] + extent[1])
            cv2.rectangle(picture, centre, corner, colour, thickness, cv2.LINE_AA)
        else:
            end = tuple(random.integers(0, size, 2).tolist())
            cv2.line(picture, centre, end, colour, int(random.integers(1, 24)), cv2.LINE_AA)


def _paste(
    picture: NDArray[np.uint8], pixels: NDArray[np.uint8], source: NDArray[np.float64], target: NDArray[np.float64]
) -> None:
    """Put the head around a face box of an image around a box of the image, with a soft border."""
    scale = float((target[2:] - target[:2]).mean() / (source[2:] - source[:2]).mean())
    centre, extent = (target[:2] + target[2:]) / 2, target[2:] - target[:2]
    offset = centre - scale * (source[:2] + source[2:]) / 2
    if scale < 0.75:  # bilinear sampling would skip pixels
        small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        factor = np.array(small.shape[1::-1]) / pixels.shape[1::-1]
        pixels, offset = np.asarray(small, dtype=np.uint8), offset + scale * (0.5 / factor - 0.5)
        scale = scale / float(factor.mean())
    size = picture.shape[0]
    matrix = np.array([[scale, 0, offset[0]], [0, scale, offset[1]]])
    warped = cv2.warpAffine(pixels, matrix, (size, size), flags=cv2.INTER_LINEAR)
    # the tight box of 68 points ends at the brows: the head is higher
    middle = centre - [0, 0.12 * extent[1]]
    mask = np.zeros((size, size), dtype=np.float32)
    axes = tuple(np.round(extent * (0.66, 0.78) * 16).astype(int).tolist())
    cv2.ellipse(mask, tuple(np.round(middle * 16).astype(int).tolist()), axes, 0, 0, 360, 1.0, -1, cv2.LINE_AA, 4)
    inside = cv2.warpAffine(np.ones(pixels.shape[:2], np.float32), matrix, (size, size))
    mask = cv2.GaussianBlur(mask, (0, 0), max(0.05 * float(extent.mean()), 0.5)) * inside
    picture[...] = np.round(picture * (1 - mask[..., None]) + warped * mask[..., None]).astype(np.uint8)
