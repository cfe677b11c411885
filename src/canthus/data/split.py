"""Dividing faces by image."""

from collections.abc import Collection, Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from canthus.data.face import Face
from canthus.utils.errors import DataError, check_choice

__all__ = ["RULES", "first_of", "hold_out", "hold_out_names"]

RULES = ("draw", "hash")
"""How images are chosen for validation, see `hold_out`."""
TRIED = 100
"""Seeds that are tried for a message."""


def hold_out(faces: Sequence[Face], share: float, seed: int, rule: str = "draw") -> NDArray[np.bool_]:
    """Choose the faces to validate on: whole images, the same share of each part.

    A face, not a file, is the sample, and several faces share one image: dividing by face would leak.

    Args:
        faces: all faces of the training parts.
        share: of the images of each part, in [0, 1).
        seed: another seed, other images.
        rule: ``draw``: exactly the share of each part, drawn from the list of its images; a list with one more is
            drawn anew. ``hash``: each image by its own name, about the share of them; adding some moves no other.

    Returns:
        (N,) mask of the held-out faces.

    Raises:
        DataError: so few images that the share holds out none, or all; an unknown rule.
    """
    check_choice("data.validation_rule", rule, RULES, DataError)
    if not 0 <= share < 1:  # nor NaN
        raise DataError(f"data.validation is {share}; the share held out lies in [0, 1)")
    if not share:
        return np.zeros(len(faces), dtype=np.bool_)
    chosen = _hashed(faces, share, seed) if rule == "hash" else _drawn(faces, share, seed)
    return np.array([face.photo in chosen for face in faces], dtype=np.bool_)


def hold_out_names(names: Collection[str], share: float, seed: int, rule: str) -> set[str]:
    """Likewise, of names of images alone; where they are few, it may be none of them."""
    if rule == "hash":
        return {name for name in names if _place(name, seed) < share}
    order = np.random.default_rng(seed).permutation(len(names))
    ordered = sorted(names)
    return {ordered[i] for i in order[: round(share * len(names))]}


def _drawn(faces: Sequence[Face], share: float, seed: int) -> set[str]:
    chosen: set[str] = set()  # by image alone: a part may hold mirrored copies of another part's images
    for part in sorted({face.part for face in faces}):
        images = {face.photo for face in faces if face.part == part}
        count = round(share * len(images))
        if not 0 < count < len(images):
            raise DataError(
                f"{part or 'the data'}: a validation share of {share} of {len(images)} images holds out "
                f"{count}; change data.validation, or set it to 0 to train without model selection"
            )
        chosen |= hold_out_names(images, share, seed, "draw")
    return chosen


def _hashed(faces: Sequence[Face], share: float, seed: int) -> set[str]:
    images = {face.photo for face in faces}
    chosen = hold_out_names(images, share, seed, "hash")
    if not 0 < len(chosen) < len(images):
        counts = ((other, len(hold_out_names(images, share, other, "hash"))) for other in range(TRIED))
        better = next((f"data.validation_seed={s} holds out {n}; " for s, n in counts if 0 < n < len(images)), "")
        raise DataError(
            f"a validation share of {share} of {len(images)} images, each chosen by its name, holds out "
            f"{len(chosen)}; {better}or change data.validation, or set it to 0 to train without model selection"
        )
    return chosen


def _place(name: str, seed: int) -> float:
    """A number in [0, 1) for an image, evenly spread over names and the same everywhere."""
    digest = blake2b(f"{seed}\n{name}".encode("utf-8", "surrogateescape"), digest_size=8, person=b"canthus-split")
    return float(int.from_bytes(digest.digest(), "big") / 2**64)


def first_of(rows: NDArray[np.int64], count: int | None) -> NDArray[np.int64]:
    """The first ``count`` of rows in an order drawn once and for all, so that small sets are part of large ones.

    Args:
        rows: (N,) of the training faces.
        count: how many to keep; all when absent.

    Returns:
        Rows in ascending order.

    Raises:
        DataError: more than there are, or none.
    """
    if count is None:
        return rows
    if not 0 < count <= len(rows):
        raise DataError(f"data.train_faces is {count}, but there are {len(rows)} training faces: 1 to {len(rows)}")
    return np.sort(rows[np.random.default_rng(0).permutation(len(rows))[:count]])
