"""Photographs that stand twice in a data set: the same pixels, or the same scene scaled, retouched or a moment later.

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

from canthus.inspection.photographs import HASH_SIDE, Photograph

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
        photograph: index of the copy.
        original: index of an earlier image.
        bits: of 256 by which their hashes differ; 0 for identical pixels too.
    """

    photograph: int
    original: int
    bits: int


def find_identical(photographs: Sequence[Photograph]) -> list[Copy]:
    """Photographs whose pixels are those of an earlier one, each with the first of its kind."""
    first: dict[bytes, int] = {}
    copies = []
    for i, photograph in enumerate(photographs):
        original = first.setdefault(photograph.digest, i)
        if original != i:
            copies.append(Copy(i, original, 0))
    return copies


def find_alike(photographs: Sequence[Photograph], related: Sequence[int], bits: int) -> list[Copy]:
    """Photographs that look like an earlier one but have other pixels, each with the nearest.

    Args:
        photographs: all of them; those without contrast take no part.
        related: a number each; images with the same number (frames of one video) are expected to be alike.
        bits: most bits of 256 by which two hashes of the same image differ.
    """
    if not photographs:
        return []
    thumbnails = np.stack([photograph.thumbnail for photograph in photographs]).astype(np.float32)
    # the product of two rows of signs counts the bits that agree less those that do not
    signs = np.where(np.diff(thumbnails, axis=2) > 0, 1, -1).reshape(len(photographs), BITS).astype(np.float32)
    centred = (thumbnails - thumbnails.mean((1, 2), keepdims=True)).reshape(len(photographs), -1)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = centred / np.maximum(length, 1e-6)
    usable = np.array([photograph.contrast >= FLAT for photograph in photographs])
    group = np.asarray(related)
    digests = [photograph.digest for photograph in photographs]
    copies = []
    for start in track(range(0, len(photographs), BLOCK), description="comparing photographs", transient=True):
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
