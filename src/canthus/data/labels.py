"""Landmarks of stored faces as tensors, in store pixels and in the scheme that the run uses."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from canthus.data.face import Face
from canthus.data.store import Store
from canthus.geometry import affine
from canthus.schemes import load_scheme, reduce_landmarks
from canthus.utils.errors import DataError

__all__ = ["StoredLandmarks", "reduced_face"]


def reduced_face(face: Face, scheme: str) -> Face:
    """A face with its labels in another scheme.

    Raises:
        DataError: they do not reduce to it.
    """
    try:
        landmarks, visibility = reduce_landmarks(face.landmarks, face.visibility, load_scheme(face.scheme), scheme)
    except ValueError as error:
        raise DataError(f"{face.image}: {error}; choose another data.scheme") from error
    return replace(face, landmarks=landmarks, visibility=visibility, scheme=scheme)


@dataclass(frozen=True)
class StoredLandmarks:
    """Labels of every row of a store.

    Attributes:
        points: (N, K, 2) store pixels; unlabelled points are 0, never NaN, so that masked losses stay finite.
        visibility: (N, K) uint8.
        box: (N, 4) face boxes, store pixels.
        to_original: (N, 2, 3) from store pixels to original pixels.
    """

    points: Tensor
    visibility: Tensor
    box: Tensor
    to_original: Tensor

    @classmethod
    def of(cls, store: Store, scheme: str) -> "StoredLandmarks":
        """Collect the labels of a store.

        Args:
            store: the crops.
            scheme: name of the scheme wanted.

        Raises:
            DataError: a face whose scheme does not reduce to the one wanted.
        """
        points, visibility = [], []
        for face in store.faces:
            reduced = reduced_face(face, scheme)
            points.append(reduced.landmarks)
            visibility.append(reduced.visibility)
        seen = torch.from_numpy(np.stack(visibility))
        original = torch.from_numpy(np.stack(points))
        to_original = torch.from_numpy(store.to_original)
        to_store = affine.invert(to_original)
        stored = affine.apply(to_store, original)
        stored = torch.where((seen > 0)[..., None], stored, 0)
        box = torch.from_numpy(np.stack([face.box for face in store.faces])).unflatten(1, (2, 2))
        return cls(stored.float(), seen, affine.apply(to_store, box).flatten(1).float(), to_original.float())
