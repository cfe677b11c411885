"""Reading every image of a data set once: what is broken, how large it is, and what it looks like in 256 bits."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from canthus.data.face import Reader
from canthus.data.images import orientation_to_follow
from canthus.utils.errors import DataError

__all__ = ["HASH_SIDE", "InspectedImage", "read_images"]

HASH_SIDE = 16
"""Rows of the thumbnail that copies are found by; it has a column more, so that it holds 16 x 16 differences."""


@dataclass(frozen=True, eq=False)
class InspectedImage:
    """What is kept of a decoded image.

    Attributes:
        width: pixels.
        height: pixels.
        digest: of the decoded pixels: equal for the same image, whatever its file is called or how it is packed.
        thumbnail: (16, 17) uint8 grey, each pixel the mean of its part of the image.
        orientation: of the file, as EXIF says it; 1 is upright.
        upright: whether the image was turned as its orientation asks.
    """

    width: int
    height: int
    digest: bytes
    thumbnail: NDArray[np.uint8]
    orientation: int = 1
    upright: bool = True

    @property
    def contrast(self) -> float:
        """Standard deviation of the thumbnail, of 255 grey levels."""
        return float(self.thumbnail.std())


def read_images(
    reader: Reader, images: Sequence[Path], *, workers: int | None = None
) -> tuple[dict[Path, InspectedImage], dict[Path, str]]:
    """Decode images in parallel, with a progress bar.

    Args:
        reader: decodes them.
        images: each once.
        workers: threads; all processors by default.

    Returns:
        The readable ones, and why the others are not, both in the order given.
    """

    def look(image: Path) -> InspectedImage | str:
        try:
            pixels = reader.pixels(image)
        except DataError as error:
            return str(error)
        whole, header = _image(pixels), reader.header(image)
        if header is None or header.orientation == 1:
            return whole
        followed = orientation_to_follow(image, header, reader.exif, reader.stated_size(image))
        return replace(whole, orientation=header.orientation, upright=followed != 1)

    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool, Progress(transient=True) as progress:
        looked = progress.track(pool.map(look, images), len(images), description="reading images")
        found = dict(zip(images, looked, strict=True))
    broken = {image: what for image, what in found.items() if isinstance(what, str)}
    return {image: what for image, what in found.items() if isinstance(what, InspectedImage)}, broken


def _image(pixels: NDArray[np.uint8]) -> InspectedImage:
    height, width = pixels.shape[:2]
    digest = hashlib.blake2b(f"{height}x{width}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels).data)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (HASH_SIDE + 1, HASH_SIDE), interpolation=cv2.INTER_AREA)
    return InspectedImage(width, height, digest.digest(), np.asarray(small, dtype=np.uint8))
