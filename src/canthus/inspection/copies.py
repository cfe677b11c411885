"""Images that stand twice in a data set: the same pixels, or the same scene scaled, retouched or a moment later.

Alike images are found by a difference hash (Krawetz, "Kind of like that", 2013) of 256 bits: whether each pixel of a
16 x 17 thumbnail is brighter than its left neighbour. It does not change with size, compression, brightness or
contrast. Pairs that few bits tell apart are confirmed by the correlation of their thumbnails, since images with a
large even area have few bits that mean anything.

With both limits, 3 pairs of HELEN's training part are found, all of them right (a retouched print, two portraits of a
sitting, two shots of a party), and none of the 6 million pairs of YouTube Faces that show different people.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from canthus.inspection.images import HASH_SIDE, InspectedImage

__all__ = ["Copy", "find_alike", "find_identical"]

BITS = HASH_SIDE * HASH_SIDE
CORRELATION = 0.88
"""Least correlation of two thumbnails of one scene."""
FLAT = 4.0
"""Grey levels of contrast below which a thumbnail shows nothing that could be compared."""
BLOCK = 2048


@dataclass(frozen=True)
class Copy:
    """An image that is there already.

    Attributes:
        image: index of the copy.
        original: index of an earlier image.
        bits: of 256 by which their hashes differ; 0 for identical pixels too.
    """

    image: int
    original: int
    bits: int


def find_identical(images: Sequence[InspectedImage]) -> list[Copy]:
    """Images whose pixels are those of an earlier one, each with the first of its kind."""
    first: dict[bytes, int] = {}
    copies = []
    for i, image in enumerate(images):
        original = first.setdefault(image.digest, i)
        if original != i:
            copies.append(Copy(i, original, 0))
    return copies


def find_alike(images: Sequence[InspectedImage], related: Sequence[int], bits: int) -> list[Copy]:
    """Images that look like an earlier one but have other pixels, each with the nearest.

    Args:
        images: all of them; those without contrast take no part.
        related: a number each; images with the same number (frames of one video) are expected to be alike.
        bits: most bits of 256 by which two hashes of the same image differ.
    """
    if not images:
        return []
    thumbnails = np.stack([image.thumbnail for image in images]).astype(np.float32)
    # the product of two rows of signs counts the bits that agree less those that do not
    signs = np.where(np.diff(thumbnails, axis=2) > 0, 1, -1).reshape(len(images), BITS).astype(np.float32)
    centred = (thumbnails - thumbnails.mean((1, 2), keepdims=True)).reshape(len(images), -1)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = centred / np.maximum(length, 1e-6)
    usable = np.array([image.contrast >= FLAT for image in images])
    group = np.asarray(related)
    digests = [image.digest for image in images]
    copies = []
    for start in track(range(0, len(images), BLOCK), description="comparing images", transient=True):
        rows = slice(start, start + BLOCK)
        near = (BITS - signs[rows] @ signs[: start + BLOCK].T) / 2 <= bits
        candidates: dict[int, list[tuple[int, int]]] = {}
        for i, j in zip(*_pairs(near, start), strict=True):
            if group[i] != group[j] and usable[i] and usable[j] and digests[i] != digests[j]:
                different = int((BITS - signs[i] @ signs[j]) / 2)
                if float(unit[i] @ unit[j]) >= CORRELATION:
                    candidates.setdefault(i, []).append((different, j))
        copies += [Copy(i, *reversed(min(found))) for i, found in candidates.items()]
    return copies


def _pairs(near: NDArray[np.bool_], start: int) -> tuple[list[int], list[int]]:
    """Row and column of the pairs in which the row stands later."""
    i, j = np.nonzero(near)
    later = i + start > j
    return (i[later] + start).tolist(), j[later].tolist()
