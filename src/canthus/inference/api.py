"""canthus from Python: ``canthus.load("zoo/dan")("photo.jpg")``."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from canthus import zoo
from canthus.data import images as image_files
from canthus.data.store import box_fault
from canthus.inference.ahead import ahead
from canthus.inference.face_detector import FaceFinder, FoundFace
from canthus.inference.predictor import LocatedFace, Predictor
from canthus.inference.sources import whole_box
from canthus.runs.faults import is_out_of_memory
from canthus.runs.loading import open_run
from canthus.schemes import Scheme
from canthus.utils.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

__all__ = ["ImageResult", "Locator", "SkippedFace", "load", "why_skipped"]


TOGETHER = 8
"""Images whose faces may go through the model together."""
MOST_PIXELS = 2**25
"""Pixels of the images that wait for each other."""


@dataclass(frozen=True)
class SkippedFace:
    """A box without points.

    Attributes:
        box: (4,) ``xyxy``, pixels.
        reason: why.
    """

    box: NDArray[np.float64]
    reason: str


@dataclass(frozen=True)
class ImageResult:
    """What was found in one of many images.

    Attributes:
        image: as it was given.
        pixels: (H, W, 3) uint8 RGB; None where the image could not be used.
        faces: whose landmarks were located.
        skipped: faces that were not.
        reason: why the image could not be used at all.
    """

    image: Any
    pixels: NDArray[np.uint8] | None = None
    faces: list[LocatedFace] = field(default_factory=list)
    skipped: list[SkippedFace] = field(default_factory=list)
    reason: str | None = None


@dataclass(frozen=True)
class _Searched:
    """An image before the model sees it: ``boxes`` (N, 4), of which those without a fault are used."""

    image: Any
    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float64]
    found: Sequence[FoundFace | None]

    @cached_property
    def faults(self) -> dict[int, str]:
        """Row of a box that cannot be used -> why."""
        shape = self.pixels.shape
        return {row: fault for row, box in enumerate(self.boxes) if (fault := box_fault(box, shape))}

    @property
    def usable(self) -> list[int]:
        """Rows of the others."""
        return [row for row in range(len(self.boxes)) if row not in self.faults]


class Locator:
    """Finds the landmarks of the faces of images.

    Args:
        predictor: a trained model.
        finder: finds the faces; None takes an image without boxes for one face box.
    """

    def __init__(self, predictor: Predictor, finder: FaceFinder | None) -> None:
        self.predictor, self.finder = predictor, finder

    @property
    def scheme(self) -> Scheme:
        """Names, regions and lines of the landmarks."""
        return self.predictor.model.scheme

    def __call__(
        self, image: "str | PathLike[str] | PillowImage | NDArray[np.uint8]", boxes: ArrayLike | None = None
    ) -> list[LocatedFace]:
        """Locate the landmarks of every face.

        Args:
            image: path of an image or a Pillow image, both turned as their EXIF data ask; or (H, W, 3) or (H, W) uint8
                in RGB or grey.
            boxes: (N, 4) or (4,) ``xyxy`` face boxes in pixels, from brows to chin, instead of the detector's.

        Returns:
            A face for each box, or the faces found, the surest first: ``landmarks`` (K, 2) and all ``stages`` in pixels
            of the image, ``box``, ``scores``, ``scheme``, ``detection_score``.

        Raises:
            DataError: a file that is no image, an array of another kind, or boxes that are none.
        """
        searched = self._searched(image, None if boxes is None else lambda *_: _checked(boxes))
        if searched.faults:
            raise DataError(f"{next(iter(searched.faults.values()))}; give boxes of faces in this image")
        return self._with_points([searched])[0]

    def each(
        self,
        images: "Iterable[str | PathLike[str] | PillowImage | NDArray[np.uint8]]",
        boxes: "Callable[[Any, NDArray[np.uint8]], NDArray[np.float64]] | None" = None,
    ) -> Generator[ImageResult, None, None]:
        """Locate the landmarks of every face of many images; faster than image by image.

        The next images are read and searched for faces while the model works on those before, on the faces of several
        images at once. An image that cannot be used has a ``reason`` and stops no other.

        Args:
            images: as for one image.
            boxes: takes an image, as it was given, and its pixels; returns its (N, 4) boxes, instead of the detector's,
                or raises a DataError, which becomes the image's ``reason``.

        Yields:
            A result an image, in their order.
        """
        group: list[_Searched] = []
        for one in ahead(lambda image: self._tried(image, boxes), images, TOGETHER):
            if isinstance(one, _Searched):
                group.append(one)
            if isinstance(one, ImageResult) or self._is_full(group):
                yield from self._results(group)
                group = []
            if isinstance(one, ImageResult):
                yield one
        yield from self._results(group)

    def _is_full(self, group: Sequence[_Searched]) -> bool:
        faces = sum(len(one.boxes) for one in group)
        pixels = sum(one.pixels.size // 3 for one in group)
        return len(group) >= TOGETHER or faces >= self.predictor.batch_size or pixels >= MOST_PIXELS

    def _tried(self, image: Any, boxes: Callable[..., NDArray[np.float64]] | None) -> "_Searched | ImageResult":
        try:
            return self._searched(image, boxes)
        except Exception as error:
            return _unusable(image, error)

    def _searched(self, image: Any, boxes: Callable[..., NDArray[np.float64]] | None) -> _Searched:
        """Read an image, and have its faces found if nobody says where they are."""
        pixels = _pixels(image)
        if boxes is None and self.finder is not None:
            found = self.finder(pixels)
            return _Searched(image, pixels, np.array([face.box for face in found]).reshape(-1, 4), found)
        given = whole_box(pixels, 0.0) if boxes is None else boxes(image, pixels)
        return _Searched(image, pixels, given, [None] * len(given))

    def _with_points(self, group: Sequence[_Searched]) -> list[list[LocatedFace]]:
        """The usable faces of each image."""
        located = self.predictor.locate([one.pixels for one in group], [one.boxes[one.usable] for one in group])
        return [
            [replace(face, detection=one.found[row]) for row, face in zip(one.usable, faces, strict=True)]
            for one, faces in zip(group, located, strict=True)
        ]

    def _results(self, group: Sequence[_Searched]) -> Iterator[ImageResult]:
        """Of several images at once; where that fails, of each alone, so that one that cannot be used is known."""
        try:
            located = self._with_points(group)
        except Exception as error:
            if len(group) > 1:
                for one in group:
                    yield from self._results([one])
            else:
                yield _unusable(group[0].image, error)
            return
        for one, faces in zip(group, located, strict=True):
            yield _result(one, faces)


def _result(searched: _Searched, faces: Sequence[LocatedFace]) -> ImageResult:
    """What comes of an image; where it has faces and all are skipped, their reasons are the image's."""
    boxes, faults = searched.boxes, dict(searched.faults)
    for row, face in zip(searched.usable, faces, strict=True):
        if not face.found:
            words = ", ".join(f"{value:.1f}" for value in boxes[row])
            faults[row] = f"the points in box ({words}) are not finite numbers; check the model"
    skipped = [SkippedFace(boxes[row], faults[row]) for row in sorted(faults)]
    good = [face for face in faces if face.found]
    reason = None
    if skipped and not good:
        reason = "; ".join(f"{searched.image}: {fault}" for fault in dict.fromkeys(faults.values()))
    return ImageResult(searched.image, searched.pixels, good, skipped, reason)


def _unusable(image: Any, error: Exception) -> ImageResult:
    """The result of an image that cannot be used while others can; what would end every other one is raised."""
    reason = why_skipped(image, error)
    if reason is None:
        raise error
    return ImageResult(image, reason=reason)


def why_skipped(image: Any, error: Exception) -> str | None:
    """Why one image cannot be used while others can; None for what would end every other one too."""
    short = (str(error).splitlines() or [""])[0] or type(error).__name__
    if isinstance(error, DataError):
        return str(error)
    if is_out_of_memory(error):
        return f"{image}: too little memory for it ({short}); make it smaller"
    return f"{image}: OpenCV cannot work on it ({short})" if isinstance(error, cv2.error) else None


def load(
    run: str | PathLike[str],
    *,
    detector: str | PathLike[str] | Callable[[torch.device], FaceFinder] | None = zoo.MTCNN,
    checkpoint: str = "best",
    device: str = "auto",
    batch_size: int = 32,
    flip_average: bool | None = None,
    trust: bool = False,
) -> Locator:
    """Load a trained model, ready for images.

    Args:
        run: ``zoo/NAME``, a run folder, or a ``.safetensors`` file of canthus-export.
        detector: MTCNN run that finds the faces, or what makes a finder on a device; None for none.
        checkpoint: of the run: ``best`` or ``last``, or a file.
        device: ``auto``, ``cpu``, ``cuda``, ``mps``.
        batch_size: faces at once.
        flip_average: average with the mirror image; None: as the model was configured.
        trust: run a model class from outside canthus that the run's config names.

    Raises:
        ConfigError: no such run, or one that cannot be loaded safely.
    """
    opened = open_run(run, checkpoint, trust=trust, flip_average=flip_average)
    predictor = Predictor.of(opened, device=device, batch_size=batch_size)
    if detector is None:
        finder = None
    elif callable(detector):
        finder = detector(predictor.device)
    else:
        finder = FaceFinder(run=str(detector), device=predictor.device)
    return Locator(predictor, finder)


def _pixels(image: "str | PathLike[str] | PillowImage | NDArray[np.uint8]") -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB."""
    if isinstance(image, (str, PathLike)):
        return image_files.read_image(Path(image), exif="apply")
    if not isinstance(image, np.ndarray) and hasattr(image, "convert"):  # Pillow
        return image_files.of_pillow(image)
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, 2)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise DataError(
            f"a picture of shape {pixels.shape} and type {pixels.dtype}: give (height, width, 3) RGB or (height, "
            "width) grey as uint8, a PIL picture, or a path"
        )
    return np.ascontiguousarray(pixels)


def _checked(boxes: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(boxes, dtype=np.float64)
    array = array[None] if array.ndim == 1 and array.size else array.reshape(-1, 4) if not array.size else array
    wrong = array.ndim != 2 or array.shape[1] != 4 or not np.isfinite(array).all()
    if wrong or (array[:, 2:] <= array[:, :2]).any():
        raise DataError(f"boxes of shape {array.shape} are not (N, 4) x1, y1, x2, y2 with x1 < x2, y1 < y2")
    return array
