"""The image view: whole images with all their faces beside the face view's crops, for methods that detect."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from logging import getLogger
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from canthus.data.augment import Augmentation
from canthus.data.batch import Batch, InputSpec
from canthus.data.datamodule import FaceDataModule
from canthus.data.detection.collage import SCENES, Collages
from canthus.data.detection.pyramids import Pyramids
from canthus.data.detection.store import ImageStore
from canthus.data.face import Face, Reader, WholeImage
from canthus.data.making import make_reader, reader_options
from canthus.data.orientations import warn_of_doubts
from canthus.data.sampling import EpochSampler, as_it_is, mix
from canthus.data.split import hold_out, hold_out_names
from canthus.data.view import FaceView
from canthus.utils.errors import DataError

__all__ = ["ImageBatch", "ImageDataModule"]

log = getLogger(__name__)


ON_HOST = ("sizes", "index", "complete", "boxes", "owner", "ignored")
"""Of a batch of images, what its windows are drawn by."""


class ImageBatch(TypedDict):
    """A batch of images. B images, F faces in all of them; boxes are in the stored images' pixels."""

    pixels: Pyramids
    sizes: Tensor  # (B, 2) width and height of the images
    index: Tensor  # (B,) row in the data module's images of the split
    shrink: Tensor  # (B,) original pixels per stored pixel
    complete: Tensor  # (B,) bool, whether all faces are labelled
    boxes: Tensor  # (F, 4)
    owner: Tensor  # (F,) place of the face's image in this batch
    ignored: Tensor  # (F,) bool, neither to be found nor missed
    faces: Batch | None  # of the face view, for landmarks; none outside training


class ImageDataModule(FaceDataModule):
    """Images to learn detection from, and the faces of the face view to learn landmarks from.

    A training batch holds ``batch_size`` images and ``landmark_faces`` faces. Validation and test give the
    held-out faces first, as the face view does, then the held-out images.

    Args:
        input: see `FaceDataModule`.
        reader: likewise; of the images, and of the faces if there is no other source of landmarks.
        image_side: limit of the longer side of a stored image, pixels.
        landmark_faces: faces of a training batch.
        landmarks: another source of landmark faces: ``reader`` (dotted path), its options, ``train_parts`` and
            ``test_parts``. Its images are not searched for faces.
        landmark_box: side of a landmark face's box in larger sides of the tight box of its points, where the data
            set's own boxes are of another kind than those to be detected; the reader's boxes when absent.
        incomplete_parts: parts whose images show faces without labels.
        smallest_face: shorter faces than this (larger side, stored pixels) are neither found nor missed.
        scenes: images made of the training faces, added to those of the reader, see `Collages`.
        **options: of `FaceDataModule`.

    Raises:
        DataError: as `FaceDataModule`; unknown options of the landmark source.
    """

    def __init__(
        self,
        input: InputSpec,
        reader: Reader,
        *,
        image_side: int = 1024,
        landmark_faces: int = 128,
        landmarks: Mapping[str, Any] | None = None,
        landmark_box: float | None = None,
        incomplete_parts: Sequence[str] = (),
        smallest_face: float = 20.0,
        scenes: int = 0,
        **options: Any,
    ) -> None:
        self.image_reader = reader
        self.image_parts = {"train": list(options.get("train_parts", ())), "test": list(options.get("test_parts", ()))}
        if landmarks is not None:
            reader, parts = _source(landmarks)
            options |= parts
        # at the size of a window, not of the face view's input, and the same for windows of both
        self.pixel_changes: Augmentation | None = options.get("augmentation")
        if self.pixel_changes is not None:
            options["augmentation"] = self.pixel_changes.geometric()
        super().__init__(input, reader, **options)
        if landmark_faces < 1 or image_side < 12 or scenes < 0:
            raise DataError(
                f"data.landmark_faces={landmark_faces}, data.image_side={image_side} and data.scenes={scenes} must be "
                "at least 1, 12 and 0"
            )
        self.other_source = landmarks is not None
        self.image_side, self.landmark_faces, self.landmark_box = image_side, landmark_faces, landmark_box
        self.incomplete_parts, self.smallest_face, self.scenes = set(incomplete_parts), smallest_face, scenes
        self._lists: dict[str, list[WholeImage]] = {}
        self._image_stores: dict[str, ImageStore] = {}
        self._image_views: dict[str, ImageView] = {}

    # -- preparation -------------------------------------------------------------------------------------------------

    def prepare_data(self) -> None:
        """Build the stores of faces and images."""
        super().prepare_data()
        self._open_images("test" if self._stage() == "test" else "train")

    def setup(self, stage: str) -> None:
        """Open the stores and divide both by image."""
        super().setup(stage)
        split = "test" if stage in ("test", "predict") else "train"
        if split in self._image_views:
            return
        store = self._open_images(split)
        if split == "test":
            self._image_views["test"] = self._image_view(store, np.arange(len(store)))
            return
        held = np.array([whole.photo in self._held_images for whole in store.images])
        self._image_views["train"] = self._image_view(store, np.flatnonzero(~held))
        self._image_views["val"] = self._image_view(store, np.flatnonzero(held))
        count = sum(len(whole.faces) for whole in self.images("train"))
        log.info("%s: %d images with %d faces to train on, %d held out", self.name, (~held).sum(), count, held.sum())

    def _stored_faces(self, split: str) -> list[Face]:
        """Faces for the face view: those with a labelled point."""
        faces = [face for face in super()._stored_faces(split) if (face.visibility > 0).any()]
        if not faces:
            raise DataError(
                f"no face of {self.name} ({split}) has landmarks to learn from; name a source by data.landmarks, with "
                "reader, root and train_parts"
            )
        return faces if self.landmark_box is None else [_squared(face, self.landmark_box) for face in faces]

    def _held_out(self, faces: Sequence[Face]) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """An image that is held out is so in both views."""
        if self.other_source:
            return super()._held_out(faces)
        return np.array([face.photo in self._held_images for face in faces], dtype=np.bool_)

    @cached_property
    def _held_images(self) -> set[str]:
        """Names of the images to validate on, with faces or without."""
        images = self._listed("train")
        if self.remembered is not None:
            known = self.remembered.held_out([whole.photo for whole in images], "images")
            if known is not None:
                return {whole.photo for whole, out in zip(images, known, strict=True) if out}
        faces = [face for whole in images for face in whole.faces]
        settings = self.validation, self.validation_seed, self.validation_rule
        held = hold_out(faces, *settings)
        chosen = hold_out_names([whole.photo for whole in images if not whole.faces], *settings)
        return chosen | {face.photo for face, out in zip(faces, held, strict=True) if out}

    def _listed(self, split: str) -> list[WholeImage]:
        if split not in self._lists:
            self._lists[split] = self.image_reader.whole_images(self.image_parts[split])
        return self._lists[split]

    def _open_images(self, split: str) -> ImageStore:
        if split not in self._image_stores:
            reader, images = self.image_reader, self._listed(split)
            if reader is not self.reader:  # else said of the faces already
                warn_of_doubts(reader, (whole.image for whole in images), f"{self.name} {split}")
            if split == "train" and self.scenes:
                donors = [photo for photo in images if photo.photo not in self._held_images]
                reader = collages = Collages(reader, donors, self.scenes)
                images = [*images, *collages.scenes()]
            label = f"{self.name} {split} images"
            options = {"max_broken": self.max_broken, "verify": self.verify_store, "label": label}
            self._image_stores[split] = ImageStore.prepare(reader, images, self.image_side, self.cache, **options)  # type: ignore[arg-type]
        return self._image_stores[split]

    def _image_view(self, store: ImageStore, rows: np.ndarray[Any, np.dtype[np.int64]]) -> "ImageView":
        return ImageView(store, rows, self.incomplete_parts, self.smallest_face)

    def lists(self, split: str) -> Iterator[tuple[str, Sequence[Face | WholeImage], Reader]]:
        """Faces, then, as ``images``, the images themselves; scenes are made of these."""
        yield from super().lists(split)
        own = [whole for whole in self.images(split) if whole.part != SCENES]
        yield "images", own, self.image_reader

    def images(self, split: str) -> list[WholeImage]:
        """The images of a split, in the order of the batches' ``index``."""
        view = self._image_views[split]
        return [view.store.images[row] for row in view.rows]

    def ignored(self, split: str) -> list[np.ndarray[Any, np.dtype[np.bool_]]]:
        """Per image of a split, which of its faces are neither found nor missed."""
        view = self._image_views[split]
        return [view.ignored(row) for row in view.rows.tolist()]

    # -- loaders -----------------------------------------------------------------------------------------------------

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps in one epoch: it is over when every image was seen."""
        return len(self._image_views["train"].rows) // self.batch_size

    def train_dataloader(self) -> DataLoader[Any]:
        """Images, shuffled by epoch, with as many faces beside each batch as were asked for."""
        self._drawn_epoch = -1  # another run begins
        trainer, view, faces = self.trainer, self._image_views["train"], self._views["train"]
        parts, world, rank = 1, 1, 0
        if trainer:
            world, rank = trainer.world_size, trainer.global_rank
            parts = world * trainer.accumulate_grad_batches
        share, face_share = max(self.batch_size // parts, 1), max(self.landmark_faces // parts, 1)
        if share * parts != self.batch_size or face_share * parts != self.landmark_faces:
            raise DataError(
                f"data.batch_size={self.batch_size} and data.landmark_faces={self.landmark_faces} do not divide into "
                f"{parts}: processes x accumulated"
            )
        if not self.steps_per_epoch:
            raise DataError(
                f"{len(view.rows)} training images do not fill a batch of {self.batch_size}; lower data.batch_size"
            )
        workers, accelerated = self._workers()
        view.pack = accelerated or workers > 0
        faces.copy_rows = view.pack
        photos = EpochSampler(len(view.rows), True, self.seed, rank, world, step=self.batch_size)
        return DataLoader(
            Together(view, faces, share),
            batch_size=share + face_share,
            sampler=TogetherSampler(photos, len(faces), share, face_share),
            drop_last=True,
            generator=torch.Generator(),
            collate_fn=as_it_is,  # __getitems__ has made the batch
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=accelerated,
        )

    def val_dataloader(self) -> list[DataLoader[Any]]:  # type: ignore[override]
        """Every held-out face once, then every held-out image."""
        return self._both("val") if len(self._image_views["val"].rows) else []

    def test_dataloader(self) -> list[DataLoader[Any]]:  # type: ignore[override]
        """Every test face once, then every test image."""
        return self._both("test")

    def _both(self, split: str) -> list[DataLoader[Any]]:
        view = self._image_views[split]
        world, rank = (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)
        if len(view.rows) < world:
            raise DataError(f"{len(view.rows)} images cannot be divided among {world} processes; use fewer devices")
        workers, accelerated = self._workers()
        view.pack = accelerated or workers > 0
        images: DataLoader[Any] = DataLoader(
            view,
            batch_size=min(self.batch_size, 16),  # whole images are searched, not windows
            sampler=EpochSampler(len(view.rows), False, self.seed, rank, world),
            generator=torch.Generator(),
            collate_fn=as_it_is,  # __getitems__ has made the batch
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=accelerated,
        )
        return [self._loader(split), images] if len(self._views[split].rows) else [images]

    def _workers(self) -> tuple[int, bool]:
        accelerated = self.trainer is not None and self.trainer.strategy.root_device.type != "cpu"
        return self.num_workers if self.num_workers is not None else (4 if accelerated else 0), accelerated

    def every_image(self, split: str, rows: Sequence[int]) -> Iterator[ImageBatch]:
        """Chosen images of a split, a few at a time, on the host: what hard examples are mined in."""
        view = self._image_views[split]
        for begin in range(0, len(rows), 16):
            yield view.batch(list(rows[begin : begin + 16]), pack=False)

    # -- on the device -----------------------------------------------------------------------------------------------

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Labels of images stay on the host, which draws the windows: on a device it would have to wait for them."""
        if "pixels" not in batch:
            return super().transfer_batch_to_device(batch, device, dataloader_idx)
        kept = {key: batch[key] for key in ON_HOST}
        rest = {key: value for key, value in batch.items() if key not in ON_HOST}
        return super().transfer_batch_to_device(rest, device, dataloader_idx) | kept

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Faces become network inputs as in the face view; windows of images are up to the model."""
        if "pixels" not in batch:
            return super().on_after_batch_transfer(batch, dataloader_idx)
        if batch["faces"] is not None:
            batch["faces"] = super().on_after_batch_transfer(batch["faces"], dataloader_idx)
        return batch

    def change_pixels(self, windows: Tensor) -> Tensor:
        """The augmentation's changes of the pixels of (W, 3, S, S) windows in [0, 1], not made to the faces yet."""
        if self.pixel_changes is None or not self.pixel_changes.changes_pixels:
            return windows
        return self.pixel_changes.change_pixels(windows, self._random)


class ImageView(Dataset[ImageBatch]):
    """Rows of a store of images as batches."""

    def __init__(
        self,
        store: ImageStore,
        rows: np.ndarray[Any, np.dtype[np.int64]],
        incomplete_parts: set[str],
        smallest_face: float,
    ) -> None:
        self.store, self.rows, self.smallest_face = store, rows, smallest_face
        self.pack = False
        self.complete = np.array([photo.part not in incomplete_parts for photo in store.images], dtype=np.bool_)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, indices: list[int]) -> ImageBatch:
        return self.batch(indices, pack=self.pack)

    def ignored(self, row: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which faces of a row of the store are neither found nor missed."""
        whole = self.store.images[row]
        extent = (whole.boxes[:, 2:] - whole.boxes[:, :2]).max(1, initial=0) / self.store.shrink[row]
        return np.asarray(whole.ignored | (extent < self.smallest_face))

    def batch(self, indices: list[int], *, pack: bool) -> ImageBatch:
        """The images of some indices; packed for devices and other processes."""
        rows = self.rows[indices]
        shrink = self.store.shrink[rows]
        # pixel centres are at integers: the left border of the image is at -0.5 at every size
        boxes = [(self.store.images[row].boxes + 0.5) / s - 0.5 for row, s in zip(rows, shrink, strict=True)]
        pixels = self.store.pyramids.select(torch.from_numpy(rows))
        return ImageBatch(
            pixels=pixels.packed() if pack else pixels,
            sizes=pixels.sizes,
            index=torch.tensor(indices),
            shrink=torch.from_numpy(shrink).float(),
            complete=torch.from_numpy(self.complete[rows]),
            boxes=torch.from_numpy(np.concatenate(boxes)).float(),
            owner=torch.from_numpy(np.repeat(np.arange(len(rows)), [len(some) for some in boxes])),
            ignored=torch.from_numpy(np.concatenate([self.ignored(row) for row in rows.tolist()])),
            faces=None,
        )


class Together(Dataset[ImageBatch]):
    """Batches of ``share`` images, the first indices, and faces, the others."""

    def __init__(self, images: ImageView, faces: FaceView, share: int) -> None:
        self.images, self.faces, self.share = images, faces, share

    def __getitems__(self, indices: list[int]) -> ImageBatch:
        batch = self.images.batch(indices[: self.share], pack=self.images.pack)
        batch["faces"] = self.faces.batch(indices[self.share :], copy=self.faces.copy_rows)
        return batch


class TogetherSampler(Sampler[int]):
    """For every ``share`` images of a sampler, ``face_share`` faces, which begin again when all were shown."""

    def __init__(self, images: EpochSampler, faces: int, share: int, face_share: int) -> None:
        self.images, self.faces, self.share, self.face_share = images, faces, share, face_share

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.images.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.images) // self.share * (self.share + self.face_share)

    def __iter__(self) -> Iterator[int]:
        images, faces = iter(self.images), self._faces()
        for _ in range(len(self.images) // self.share):
            yield from (next(images) for _ in range(self.share))
            yield from (next(faces) for _ in range(self.face_share))

    def _faces(self) -> Iterator[int]:
        p = self.images
        random = torch.Generator().manual_seed(mix(p.seed, p.epoch, p.rank, 1))
        while True:
            yield from torch.randperm(self.faces, generator=random).tolist()


def _source(options: Mapping[str, Any]) -> tuple[Reader, dict[str, list[str]]]:
    """Reader and parts of a second data set.

    Raises:
        DataError: no reader, or options that it does not have.
    """
    given = dict(options)
    if "reader" not in given:
        raise DataError("data.landmarks needs `reader`, the dotted path of a reader, beside its options")
    name = str(given.pop("reader"))
    parts = {key: list(given.pop(key, ())) for key in ("train_parts", "test_parts")}
    unknown = sorted(set(given) - set(reader_options(name)))
    if unknown:
        raise DataError(f"data.landmarks: {name} has no option {', '.join(unknown)}")
    return make_reader(name, given), parts


def _squared(face: Face, sides: float) -> Face:
    """The face with a square box about the tight box of its points, ``sides`` times as large as its larger side."""
    points = face.landmarks[face.visibility > 0]
    low, high = points.min(0), points.max(0)
    half = max(sides * float((high - low).max()) / 2, 0.5)
    centre = (low + high) / 2
    return replace(face, box=np.concatenate([centre - half, centre + half]))
