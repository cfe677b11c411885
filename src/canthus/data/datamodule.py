"""The one data module: faces from a reader, through the store, to network inputs on the device."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from logging import getLogger
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from canthus.data.augment import Augmentation, permute_mirrored
from canthus.data.batch import Batch, InputSpec, input_to_store, pixel_levels, scale_pixels
from canthus.data.corruptions import Corruption
from canthus.data.face import Face, Reader, WholeImage
from canthus.data.labels import StoredLandmarks
from canthus.data.orientations import warn_of_doubts
from canthus.data.remembered import Remembered
from canthus.data.sampling import EpochSampler, as_it_is, mix
from canthus.data.split import RULES, first_of, hold_out
from canthus.data.store import Store, StoreSpec
from canthus.data.styles import Styles
from canthus.data.view import FaceView
from canthus.geometry import affine, boxes
from canthus.geometry.shapes import procrustes_mean
from canthus.geometry.warp import scale_rows, warp, warp_rows
from canthus.schemes import load_scheme
from canthus.utils.errors import DataError, check_choice

__all__ = ["FaceDataModule"]

log = getLogger(__name__)


class FaceDataModule(lightning.LightningDataModule):
    """Faces of any reader, as batches that the model asked for.

    Splits: ``train`` and ``val`` come from ``train_parts``, divided by image within each part; ``test`` is
    ``test_parts``. Model selection sees ``val`` only.

    Args:
        input: the image that the model wants.
        reader: parses the data set, or a function that makes the reader.
        name: of the data set, for tables.
        train_parts: parts to train and validate on, as distributed.
        test_parts: parts to test on.
        include_test: train on the test parts, too: how the SAN authors found styles. Results on them are then no
            longer of unseen images.
        scheme: landmark scheme of the batches; the reader's own, or one that it reduces to.
        validation: share of the images of each training part that is held out.
        validation_seed: which images those are. Kept apart from the run's seed, so that runs are comparable.
        validation_rule: how they are chosen, ``draw`` or ``hash``, see `canthus.data.split.hold_out`.
        train_faces: train on so many faces only; fewer are part of more, and validation is the same. All by default.
        subsets: name -> parts, for tables (``common: [helen/testset, lfpw/testset]``).
        batch_size: faces per optimiser step, over all devices and accumulated batches.
        styles: renderings of `canthus.data.styles` in which faces are shown: drawn anew for every training face,
            by turns in evaluation.
        augmentation: changes during training; none when absent.
        corruption: corruption of the validation and test faces, see `canthus.data.corruptions`; training faces are
            never corrupted, what they meet is up to ``augmentation``.
        severity: of the corruption, 1 to 5.
        corruption_seed: of the corruption. Kept apart from the run's seed, so that all models meet the same images.
        extent: side of a stored crop, in face boxes.
        oversample: stored pixels per input pixel.
        cache: folder of the stores.
        max_broken: share of images that may be unreadable.
        verify_store: read all of a store before it is used, to see whether it is damaged; samples of it otherwise.
        num_workers: loader processes; none on a CPU, where the loader does next to nothing, 4 elsewhere.
        seed: of shuffling and augmentation.

    Raises:
        DataError: the reader's scheme does not reduce to ``scheme``, a share is out of range, or there is no such
            corruption or severity.
    """

    def __init__(
        self,
        input: InputSpec,
        reader: Reader | Callable[[], Reader],
        name: str,
        train_parts: Sequence[str] = (),
        test_parts: Sequence[str] = (),
        include_test: bool = False,
        scheme: str | int = "68",
        validation: float = 0.1,
        validation_seed: int = 0,
        validation_rule: str = "draw",
        train_faces: int | None = None,
        subsets: Mapping[str, Sequence[str]] | None = None,
        batch_size: int = 64,
        styles: Sequence[str] = (),
        augmentation: Augmentation | None = None,
        corruption: str | None = None,
        severity: int | None = None,
        corruption_seed: int = 0,
        extent: float = 3.0,
        oversample: float = 1.5,
        cache: str | Path = ".cache/canthus",
        max_broken: float = 0.01,
        verify_store: bool = False,
        num_workers: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise DataError(f"data.batch_size is {batch_size}; it counts faces, at least 1")
        if not 0 <= validation < 1:
            raise DataError(f"data.validation is {validation}; the share held out lies in [0, 1)")
        check_choice("data.validation_rule", validation_rule, RULES, DataError)
        if augmentation is not None and not isinstance(augmentation, Augmentation):
            raise DataError(f"data.augmentation is {augmentation}; null for none, or data.augmentation.NAME=VALUE")
        if not 0 <= max_broken <= 1:
            raise DataError(f"data.max_broken is {max_broken}; the share that may be unreadable lies in [0, 1]")
        for option, value, low in (("train_faces", train_faces, 1), ("num_workers", num_workers, 0)):
            if value is not None and value < low:
                raise DataError(f"data.{option} is {value}; it has to be at least {low}")
        for option, share in (("extent", extent), ("oversample", oversample)):
            if not 0 < share < 100:
                raise DataError(f"data.{option} is {share}; it lies between 0 and 100")
        self.input, self.name, self.scheme = input, name, load_scheme(scheme)
        self.reader = reader if isinstance(reader, Reader) else reader()
        self.train_parts, self.test_parts = list(train_parts), list(test_parts)
        self.include_test = include_test
        if include_test:
            log.warning("data.include_test: TEST IMAGES (%s) ARE TRAINED ON", ", ".join(test_parts))
            self.train_parts = list(dict.fromkeys([*train_parts, *test_parts]))
        self.validation, self.validation_seed, self.train_faces = validation, validation_seed, train_faces
        self.validation_rule = validation_rule
        self.remembered: Remembered | None = None  # of a run, whose split this then is
        self.period: int | None = None  # images of an epoch, if each has others
        self.subsets = {key: tuple(parts) for key, parts in (subsets or {}).items()}
        self.batch_size, self.num_workers, self.seed = batch_size, num_workers, seed
        self.augmentation, self.styles = augmentation, Styles(styles) if styles else None
        self.order: Callable[[int], Sequence[int]] | None = None  # epoch to training faces, if a model chooses them
        if corruption is None and severity is not None:
            raise DataError(f"data.severity is {severity} but there is no data.corruption; name one")
        self.corruption_seed = corruption_seed
        self.corruption = None if corruption is None else Corruption(corruption, severity, corruption_seed)  # type: ignore[arg-type]  # it checks
        self.store_spec = StoreSpec.for_input(input, extent=extent, oversample=oversample)
        self.cache, self.max_broken, self.verify_store = Path(cache).expanduser(), max_broken, verify_store
        self._stores: dict[str, Store] = {}
        self._views: dict[str, FaceView] = {}
        self._random = torch.Generator()
        self._drawn_epoch = -1

    # -- preparation -------------------------------------------------------------------------------------------------

    def prepare_data(self) -> None:
        """Build the store of the parts about to be used (one process per machine)."""
        self._open("test" if self._stage() == "test" else "train")

    def setup(self, stage: str) -> None:
        """Open the store and divide it by image."""
        if stage in ("test", "predict"):
            if "test" not in self._views:
                store = self._open("test")
                self._views["test"] = FaceView(store, np.arange(len(store)), self._landmarks(store))
        elif "train" not in self._views:
            store = self._open("train")
            landmarks = self._landmarks(store)
            held_out = self._held_out(store.faces)
            rows = first_of(np.flatnonzero(~held_out), self.train_faces)
            self._views["train"] = FaceView(store, rows, landmarks)
            self._views["val"] = FaceView(store, np.flatnonzero(held_out), landmarks)
            log.info("%s: %d faces to train on, %d held out", self.name, len(rows), held_out.sum())

    def _held_out(self, faces: Sequence[Face]) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """(N,) mask of the faces to validate on: those that a run remembers; new ones are none of them."""
        known = self.remembered.held_out([face.photo for face in faces]) if self.remembered else None
        return hold_out(faces, self.validation, self.validation_seed, self.validation_rule) if known is None else known

    def _stage(self) -> str:
        return self.trainer.state.fn.value if self.trainer and self.trainer.state.fn else "fit"

    def _open(self, split: str) -> Store:
        if split not in self._stores:
            self._stores[split] = self._prepare(split)
        return self._stores[split]

    def _prepare(self, split: str) -> Store:
        faces, label = self._stored_faces(split), f"{self.name} {split}"
        warn_of_doubts(self.reader, (face.image for face in faces), label)
        options = {"max_broken": self.max_broken, "verify": self.verify_store, "label": label}
        return Store.prepare(self.reader, faces, self.store_spec, self.cache, **options)  # type: ignore[arg-type]

    def _stored_faces(self, split: str) -> list[Face]:
        parts = self.test_parts if split == "test" else self.train_parts
        if not parts:
            raise DataError(f"data.{split}_parts is empty; name the parts of {self.name} to {split} on")
        return self.reader.faces(parts)

    def _landmarks(self, store: Store) -> StoredLandmarks:
        return StoredLandmarks.of(store, self.scheme.name)

    def faces(self, split: str) -> list[Face]:
        """The faces of a split (``train``, ``val`` or ``test``), in the order of the batches' ``index``."""
        view = self._views[split]
        return [view.store.faces[row] for row in view.rows]

    def lists(self, split: str) -> Iterator[tuple[str, Sequence[Face | WholeImage], Reader]]:
        """What a run remembers of a split: ``faces`` (of an endless training those of epoch 0) and their reader."""
        yield "faces", self.faces(split), self.reader

    def incomplete(self) -> dict[str, tuple[int, int]]:
        """Test parts with fewer faces than were published: how many were read, and how many there are."""
        official, read = self.reader.published(self.test_parts), Counter(face.part for face in self.faces("test"))
        return {part: (read[part], count) for part, count in official.items() if read[part] < count}

    def subset_members(self, split: str) -> dict[str, Tensor]:
        """Which faces each table row is about: (N,) bool per part, per named subset and per attribute.

        A named subset counts only where all its parts are evaluated: a part of it has another error.
        """
        faces = self.faces(split)
        parts = sorted({face.part for face in faces})
        attributes = sorted(set().union(*(face.attributes for face in faces)))
        members = {part: torch.tensor([face.part == part for face in faces]) for part in parts if len(parts) > 1}
        evaluated = set(self.test_parts if split == "test" else self.train_parts)
        whole = {name: group for name, group in self.subsets.items() if set(group) <= evaluated}
        members |= {name: torch.tensor([face.part in group for face in faces]) for name, group in whole.items()}
        members |= {name: torch.tensor([name in face.attributes for face in faces]) for name in attributes}
        return {name: mask for name, mask in members.items() if mask.any()}

    # -- loaders -----------------------------------------------------------------------------------------------------

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps in one epoch."""
        return self._training_size // self.batch_size

    @property
    def _training_size(self) -> int:
        return len(self._views["train"].rows) if self.order is None else len(self.order(0))

    def _loader(self, split: str) -> DataLoader[Batch]:
        trainer, view, training = self.trainer, self._views[split], split == "train"
        world, rank = (trainer.world_size, trainer.global_rank) if trainer else (1, 0)
        accelerated = trainer is not None and trainer.strategy.root_device.type != "cpu"
        parts = world * (trainer.accumulate_grad_batches if trainer and training else 1)
        share = max(self.batch_size // parts, 1)
        if training and share * parts != self.batch_size:
            raise DataError(f"data.batch_size={self.batch_size} does not divide into {parts}: processes x accumulated")
        if training and not self.steps_per_epoch:
            raise DataError(
                f"{len(view.rows)} training faces do not fill one batch of {self.batch_size}; lower data.batch_size"
            )
        if not training and len(view.rows) < world:
            raise DataError(f"{len(view.rows)} faces cannot be divided among {world} processes; use fewer devices")
        view.copy_rows = accelerated
        workers = self.num_workers if self.num_workers is not None else (4 if accelerated else 0)
        return DataLoader(
            view,
            batch_size=share,
            sampler=EpochSampler(
                self._training_size if training else len(view.rows),
                training,
                self.seed,
                rank,
                world,
                step=self.batch_size,
                order=self.order if training else None,
            ),
            drop_last=training,
            generator=torch.Generator(),  # iterators must not draw from the global one, which a resume restores
            collate_fn=as_it_is,  # __getitems__ has made the batch
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=accelerated,
        )

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled by epoch; the last incomplete batch is left out."""
        self._drawn_epoch = -1  # another run begins
        return self._loader("train")

    def val_dataloader(self) -> DataLoader[Batch]:
        """Every held-out face once, over all processes; nothing is padded."""
        return self._loader("val") if len(self._views["val"].rows) else []  # type: ignore[return-value]

    def test_dataloader(self) -> DataLoader[Batch]:
        """Every test face once."""
        return self._loader("test")

    # -- on the device -----------------------------------------------------------------------------------------------

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Turn store rows into network inputs: augmented when training, plain or corrupted otherwise."""
        trainer = self.trainer
        training = trainer is not None and trainer.training
        split = "train" if training else ("test" if trainer is not None and trainer.testing else "val")
        if trainer is not None and training and trainer.current_epoch != self._drawn_epoch:
            self._drawn_epoch = trainer.current_epoch
            self._random.manual_seed(mix(self.seed, self._drawn_epoch, trainer.global_rank))
        return self.to_input(batch, split, augment=training)

    def to_input(self, batch: Batch, split: str, *, augment: bool) -> Batch:
        """Warp store rows to network inputs and bring points, boxes and maps along.

        Args:
            batch: as the loader gives it, on the device.
            split: whose rows the indices name.
            augment: apply the training changes.
        """
        perturbation = mirrored = None
        device = batch["landmarks"].device
        if augment and self.augmentation:
            if self.augmentation.box_noise is not None:
                batch["box"] = self.augmentation.draw_boxes(batch["box"], self._random)
            drawn, mirrored = self.augmentation.draw(batch, self.input, self._random)
            perturbation = drawn.to(device, non_blocking=True)
        to_store = input_to_store(batch["box"], self.input, perturbation)
        augmentation = self.augmentation if augment and self.augmentation and self.augmentation.changes_pixels else None
        corruption = None if split == "train" else self.corruption
        # their pixels are scaled afterwards
        unit = augmentation is not None or corruption is not None or self.styles is not None
        to_input = affine.invert(to_store)
        landmarks, visibility = affine.apply(to_input, batch["landmarks"]), batch["visibility"]
        if mirrored is not None:
            landmarks = permute_mirrored(landmarks, mirrored, self.scheme.flip)
            visibility = permute_mirrored(visibility, mirrored, self.scheme.flip)
        by_levels = augmentation if corruption is None and self.styles is None and not batch["image"].numel() else None
        if by_levels is not None:  # on the host pixels are changed before they are scaled
            image, unit, augmentation = self._changed_levels(batch, to_store, split, by_levels), False, None
        else:
            image = self._warped(batch, to_store, split, "unit" if unit else self.input.scaling)
        shown = Batch(
            image=image,
            landmarks=landmarks,
            visibility=visibility,
            box=boxes.box_of_points(affine.apply(to_input, boxes.corners(batch["box"]))),
            to_original=affine.compose(batch["to_original"], to_store),
            index=batch["index"],
        )
        if self.styles is not None:
            shown["image"] = self.styles(shown["image"], batch["index"], self._random if augment else None)
        if augmentation is not None:
            shown["image"] = augmentation.change_pixels(shown["image"], self._random)
        if corruption is not None:
            shown = corruption(shown, self._views[split].keys(batch["index"].tolist()))
        if unit:
            shown["image"] = scale_pixels(shown["image"], self.input.scaling)
        return shown

    def inputs_of(self, split: str, indices: list[int]) -> Batch:
        """Network inputs of chosen faces as evaluation shows them, on the host."""
        return self.to_input(self._views[split].batch(indices, copy=False), split, augment=False)

    def _warped(self, batch: Batch, to_store: Tensor, split: str, scaling: str) -> Tensor:
        """Network inputs from the rows in the batch, on its device, or from the memory map, on the host."""
        if batch["image"].numel():
            crops = batch["image"].permute(0, 3, 1, 2).float()
            return scale_pixels(warp(crops, to_store, self.input.size, padding="zeros") / 255, scaling)
        rows = self._crops(batch, split)
        return warp_rows(rows, to_store, self.input.size, padding="zeros", levels=pixel_levels(scaling))

    def _changed_levels(self, batch: Batch, to_store: Tensor, split: str, augmentation: Augmentation) -> Tensor:
        """Network inputs from the memory map whose pixels an augmentation has changed."""
        warped = warp_rows(self._crops(batch, split), to_store, self.input.size, padding="zeros")
        levels = warped.permute(0, 2, 3, 1).numpy()
        augmentation.change_levels(levels, self._random)
        return scale_rows(levels, pixel_levels(self.input.scaling))

    def _crops(self, batch: Batch, split: str) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
        """Rows of the memory map."""
        view = self._views[split]
        return [view.store.crops[row] for row in view.rows[batch["index"].numpy()]]

    # -- statistics of the training split that models start from -------------------------------------------------------

    def mean_shape(self) -> Tensor:
        """(K, 2) generalised Procrustes mean of the training faces: centroid 0, larger side 1, symmetric."""
        view = self._views["train"]
        labels = view.landmarks
        return procrustes_mean(labels.points[view.rows], labels.visibility[view.rows], self.scheme.flip)

    def training_labels(self) -> tuple[Tensor, Tensor, Tensor]:
        """Landmarks (N, K, 2), visibility (N, K) and face boxes (N, 4) of the training faces, original pixels."""
        view = self._views["train"]
        labels = view.landmarks
        to_original, corners = labels.to_original[view.rows], boxes.corners(labels.box[view.rows])
        points = affine.apply(to_original, labels.points[view.rows])
        original_boxes = boxes.box_of_points(affine.apply(to_original, corners))
        return points, labels.visibility[view.rows], original_boxes

    @property
    def reduced(self) -> bool:
        """Whether the batches have fewer points than the labels that face boxes come from."""
        return any(face.scheme != self.scheme.name for face in self.faces("train"))

    def mean_position(self) -> Tensor:
        """(K, 2) mean of the training landmarks in unchanged network inputs, pixels."""
        view = self._views["train"]
        labels = view.landmarks
        points = affine.apply(affine.invert(input_to_store(labels.box, self.input)), labels.points)[view.rows]
        weight = (labels.visibility[view.rows] > 0)[..., None]
        return (points * weight).sum(0) / weight.sum(0)

    def inputs(self, split: str) -> Iterator[Batch]:
        """Every face of a split, likewise, in order."""
        count = len(self._views[split])
        for begin in range(0, count, self.batch_size):
            yield self.inputs_of(split, list(range(begin, min(begin + self.batch_size, count))))

    def training_inputs(self, count: int) -> Iterator[Tensor]:
        """Augmented network inputs (B, C, H, W) of at least ``count`` faces, the same for the same seed."""
        for batch in self.training_batches(count):
            yield batch["image"]

    def training_batches(self, count: int) -> Iterator[Batch]:
        """Augmented batches of at least ``count`` faces, the same for the same seed."""
        self._random.manual_seed(mix(self.seed, -1, 0))
        self._drawn_epoch = -1
        view = self._views["train"]
        order = torch.randperm(len(view.rows), generator=self._random)
        order = order.repeat(-(-count // len(order)))[:count]
        for rows in order.split(self.batch_size):
            yield self.to_input(view.batch(rows.tolist(), copy=False), "train", augment=True)
