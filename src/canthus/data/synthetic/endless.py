"""Training on rendered faces without end: every epoch draws faces that no epoch before it has shown."""

from collections.abc import Callable, Sequence
from functools import cached_property
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, get_worker_info

from canthus.data.batch import Batch, InputSpec
from canthus.data.datamodule import FaceDataModule
from canthus.data.face import Face, Reader
from canthus.data.labels import StoredLandmarks
from canthus.data.sampling import mix
from canthus.data.split import first_of
from canthus.data.store import Store, StoreSpec, crop
from canthus.data.synthetic.source import Synthetic
from canthus.data.view import FaceView
from canthus.utils.errors import DataError

__all__ = ["EndlessDataModule", "EndlessView"]

log = getLogger(__name__)


class EndlessDataModule(FaceDataModule):
    """Rendered faces, new ones in every training epoch; validation and test faces stay what they are without end.

    Epoch e shows images ``e * size`` and following of the reader's stream, those left out that are held out of epoch
    0, each cut as the store would cut it. They are rendered in the loader: on the training device, or, with
    ``num_workers``, on the processors beside it. Indices of training batches count on from epoch to epoch; what is
    asked of the training split as a whole (mean shape, labels, statistics) is that of epoch 0.

    Args:
        input: see `FaceDataModule`.
        reader: makes the faces.
        num_workers: loader processes that render; none by default.
        **options: of `FaceDataModule`.

    Raises:
        DataError: a reader that does not render, or other training parts than ``train``.
    """

    def __init__(
        self,
        input: InputSpec,
        reader: Reader | Callable[[], Reader],
        *,
        num_workers: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(input, reader, num_workers=num_workers or 0, **options)
        if not isinstance(self.reader, Synthetic):
            raise DataError(f"data.endless=true needs rendered faces (data=synthetic), not {self.name}")
        if self.train_parts != ["train"]:
            raise DataError(f"data.endless=true trains on part train, not on {', '.join(self.train_parts)}")
        self.order = self._epoch_order

    def setup(self, stage: str) -> None:
        """Open the store of the held-out or the test faces, and label the training faces of epoch 0."""
        if stage in ("test", "predict") or "train" in self._views:
            super().setup(stage)
            return
        store = self._open("train")
        self._views["val"] = FaceView(store, np.arange(len(store)), self._landmarks(store))
        faces, held_out = self._divided
        rows = first_of(np.flatnonzero(~held_out), self.train_faces)
        assert isinstance(self.reader, Synthetic)
        self._views["train"] = EndlessView(self.reader, faces, rows, self.store_spec, self.scheme.name)
        log.info("%s: %d new faces in every epoch, %d held out", self.name, len(rows), len(store))

    @cached_property
    def _divided(self) -> tuple[list[Face], NDArray[np.bool_]]:
        """The faces of epoch 0, and which of them are held out."""
        faces = self.reader.faces(self.train_parts)
        self.period = len(faces)
        return faces, self._held_out(faces)

    def _stored_faces(self, split: str) -> list[Face]:
        if split == "test":
            return super()._stored_faces(split)
        faces, held_out = self._divided
        return [faces[row] for row in np.flatnonzero(held_out)]

    def _epoch_order(self, epoch: int) -> Sequence[int]:
        count = len(self._views["train"].rows)
        random = torch.Generator().manual_seed(mix(self.seed, epoch))
        return (epoch * count + torch.randperm(count, generator=random)).tolist()

    def train_dataloader(self) -> DataLoader[Batch]:
        """The faces of the epoch, shuffled; the last incomplete batch is left out."""
        view = self._views["train"]
        assert isinstance(view, EndlessView)
        view.device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        return super().train_dataloader()


class EndlessView(FaceView):
    """Faces of a stream as batches, rendered when they are asked for.

    Attributes:
        device: that the process of the trainer renders on. Workers of its loader have the processor.
    """

    def __init__(
        self, reader: Synthetic, faces: Sequence[Face], rows: NDArray[np.int64], spec: StoreSpec, scheme: str
    ) -> None:
        """Begin a stream.

        Args:
            reader: draws and renders.
            faces: of epoch 0.
            rows: those of them to train on.
            spec: of the crops.
            scheme: of the labels in batches.
        """
        store = _Unrendered(faces, spec)
        super().__init__(store, rows, StoredLandmarks.of(store, scheme))
        self.reader, self.scheme, self.spec, self.device = reader, scheme, spec, torch.device("cpu")

    def batch(self, indices: list[int], *, copy: bool) -> Batch:
        """The faces of some indices, which count on from epoch to epoch; always with their crops."""
        epochs, places = np.divmod(np.array(indices), len(self.rows))
        numbers = (epochs * len(self.store) + self.rows[places]).tolist()
        drawn = [self.reader.drawn("train", number) for number in numbers]
        device = torch.device("cpu") if get_worker_info() else self.device
        pictures = self.reader.painted("train", numbers, [scene for scene, _ in drawn], device)
        store = _Unrendered([face for _, face in drawn], self.spec)
        crops = [crop(picture, to, self.spec) for picture, to in zip(pictures, store.to_original, strict=True)]
        labels = StoredLandmarks.of(store, self.scheme)
        return Batch(
            image=torch.from_numpy(np.stack(crops)),
            landmarks=labels.points,
            visibility=labels.visibility,
            box=labels.box,
            to_original=labels.to_original,
            index=torch.tensor(indices),
        )


class _Unrendered(Store):
    """The geometry of a store whose crops nobody has made."""

    def __init__(self, faces: Sequence[Face], spec: StoreSpec) -> None:
        self.folder, self.broken, self.faces = Path(), {}, list(faces)
        self.to_original = np.stack([spec.to_original(face.box) for face in faces])
