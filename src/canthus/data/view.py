"""A data loader's view of faces: store crops of a split."""

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from canthus.data.batch import Batch
from canthus.data.corruptions import face_keys
from canthus.data.labels import StoredLandmarks
from canthus.data.store import Store

__all__ = ["FaceView"]


class FaceView(Dataset[Batch]):
    """Rows of a store as batches. Crops are copied only for devices that cannot read the memory map themselves."""

    def __init__(self, store: Store, rows: np.ndarray[Any, np.dtype[np.int64]], landmarks: StoredLandmarks) -> None:
        self.store, self.rows, self.landmarks = store, rows, landmarks
        self.copy_rows = False

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, indices: list[int]) -> Batch:
        """One batch at once: the loader then neither indexes nor collates face by face."""
        return self.batch(indices, copy=self.copy_rows)

    @cached_property
    def _keys(self) -> list[str]:
        return face_keys(self.store.faces)

    def keys(self, indices: list[int]) -> list[str]:
        """What the faces of some indices are called in every run."""
        return [self._keys[row] for row in self.rows[indices]]

    def batch(self, indices: list[int], *, copy: bool) -> Batch:
        """The faces of some indices, with or without their crops."""
        rows = self.rows[indices]
        labels = self.landmarks
        image = torch.from_numpy(self.store.crops[rows]) if copy else torch.empty(0, dtype=torch.uint8)
        return Batch(
            image=image,
            landmarks=labels.points[rows],
            visibility=labels.visibility[rows],
            box=labels.box[rows],
            to_original=labels.to_original[rows],
            index=torch.tensor(indices),
        )
