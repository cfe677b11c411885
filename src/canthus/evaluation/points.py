"""Tables for points that are at hand, whoever placed them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from canthus.evaluation.evaluation import Evaluation
from canthus.evaluation.normalisers import (
    check_normaliser,
    known_normalisers,
    other_normalisers,
    with_label_distances,
)
from canthus.metrics import FaceTable
from canthus.utils.errors import ConfigError

if TYPE_CHECKING:
    from canthus.data.datamodule import FaceDataModule
    from canthus.data.face import Face

__all__ = ["measured_points"]


def measured_points(
    data: "FaceDataModule",
    split: str,
    faces: Sequence["Face"],
    points: NDArray[np.float64],
    *,
    normaliser: str,
    normalisers: Sequence[str] | str | None,
    threshold: float,
    skip_missing: bool = False,
) -> Evaluation:
    """The same tables as for a model's own pass, in double precision.

    Args:
        data: set up; whose split was looked at.
        split: ``val`` or ``test``.
        faces: of the split, in its order, in the data's scheme.
        points: (N, S, K, 2), original pixels; not finite where a face has none.
        normaliser: of NME, AUC and failure rate.
        normalisers: further ones, see `canthus.evaluation.normalisers.other_normalisers`.
        threshold: of AUC and failure rate, percent.
        skip_missing: leave faces without points out; they are failures otherwise.

    Raises:
        ConfigError: a normaliser that the faces do not allow.
    """
    columns = {
        "index": np.arange(len(faces)),
        "points": points,
        "landmarks": np.stack([face.landmarks for face in faces]),
        "visibility": np.stack([face.visibility for face in faces]),
        "box": np.stack([face.box for face in faces]),
    }
    check_normaliser(normaliser, data)
    others = other_normalisers(normalisers, normaliser, known_normalisers(data))
    tensors = {name: torch.from_numpy(values) for name, values in columns.items()}
    table = FaceTable.build(**tensors, normaliser="face_box", scheme=data.scheme)
    table = with_label_distances(table, (normaliser, *others), data, split)
    try:
        table = table.under(normaliser, data.scheme)
    except ValueError as error:
        raise ConfigError(f"normaliser={normaliser}: {error}") from error
    return Evaluation.of(
        split,
        table.select(table.found) if skip_missing else table,
        data.subset_members(split),
        data.scheme,
        threshold=threshold,
        normalisers=others,
    )
