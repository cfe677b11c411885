"""Dividing faces by photograph."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from canthus.data.face import DataError, Face

__all__ = ["first_of", "hold_out"]


def hold_out(faces: Sequence[Face], share: float, seed: int) -> NDArray[np.bool_]:
    """Choose the faces to validate on: whole photographs, the same share of each part.

    A face, not a file, is the sample, and several faces share one photograph: dividing by face would leak.

    Args:
        faces: all faces of the training parts.
        share: of the photographs of each part, in [0, 1).
        seed: another seed, other photographs.

    Returns:
        (N,) mask of the held-out faces.

    Raises:
        DataError: a part with so few photographs that the share holds out none.
    """
    chosen: set[str] = set()  # by photograph alone: a part may hold the mirror images of another part's
    if share:
        for part in sorted({face.part for face in faces}):
            photographs = sorted({face.photo for face in faces if face.part == part})
            count = round(share * len(photographs))
            if not 0 < count < len(photographs):
                raise DataError(
                    f"{part or 'the data'}: a validation share of {share} of {len(photographs)} photographs holds out "
                    f"{count}; change data.validation, or set it to 0 to train without model selection"
                )
            order = np.random.default_rng(seed).permutation(len(photographs))
            chosen.update(photographs[i] for i in order[:count])
    return np.array([face.photo in chosen for face in faces], dtype=np.bool_)


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
