"""What errors are divided by: distances of the evaluated points and, where labels were reduced, of the labels.

Five points have no outer eye corners, but the 68 labels that they were made of do: with these, methods of any number of
points share one normaliser.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from canthus.data.face import Face
from canthus.metrics import FaceTable, normaliser_distance, normaliser_names
from canthus.schemes import load_scheme
from canthus.utils.errors import DataError

if TYPE_CHECKING:
    from canthus.data.datamodule import FaceDataModule

__all__ = ["check_normaliser", "known_normalisers", "other_normalisers", "with_label_distances"]


def known_normalisers(data: "FaceDataModule") -> tuple[str, ...]:
    """Every normaliser that a data module's faces have: of its scheme, then of the labels that were reduced to it."""
    own = normaliser_names(data.scheme)
    return (*own, *(name for name in load_scheme(data.reader.scheme).normalisers if name not in own))


def check_normaliser(name: str, data: "FaceDataModule") -> None:
    """Refuse a normaliser that the faces do not have.

    Raises:
        DataError: naming those that they have.
    """
    known = known_normalisers(data)
    if name not in known:
        raise DataError(
            f"normaliser={name}: scheme {data.scheme.name!r} has no normaliser {name!r}; choose one of "
            f"{', '.join(known)}"
        )


def other_normalisers(wanted: str | Sequence[str] | None, normaliser: str, known: Sequence[str]) -> tuple[str, ...]:
    """Further normalisers as a user names them: a list, one name, or ``all`` that are known.

    Raises:
        DataError: an unknown name.
    """
    names = known if wanted == "all" else (wanted,) if isinstance(wanted, str) else tuple(wanted or ())
    for name in names:
        if name not in known:
            raise DataError(
                f"normalisers={name}: there is no such normaliser of these points; choose from {', '.join(known)}, or "
                "write normalisers=all"
            )
    return tuple(dict.fromkeys(name for name in names if name != normaliser))


def with_label_distances(table: FaceTable, names: Iterable[str], data: "FaceDataModule", split: str) -> FaceTable:
    """A table that has the normalisers of the labels its points were reduced from.

    Args:
        table: of faces of the split.
        names: of the normalisers wanted; those that the table's own points have are left to them.
        data: whose faces they are.
        split: of the faces.

    Raises:
        DataError: a normaliser that some face does not allow.
    """
    own = normaliser_names(data.scheme)
    faces = data.faces(split)
    lent = {name: _distances(name, [faces[row] for row in table.index.tolist()]) for name in names if name not in own}
    return replace(table, lent={name: distance.to(table.distance) for name, distance in lent.items()})


def _distances(name: str, faces: Sequence[Face]) -> torch.Tensor:
    """(N,) original-image pixels, between the labels as the data set gives them."""
    columns = (np.stack([getattr(face, key) for face in faces]) for key in ("landmarks", "visibility", "box"))
    landmarks, visibility, box = map(torch.from_numpy, columns)
    try:
        return normaliser_distance(landmarks, visibility, box, name, load_scheme(faces[0].scheme))
    except ValueError as error:
        raise DataError(f"normaliser={name}: {error}") from error
