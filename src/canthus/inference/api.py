"""canthus from Python: ``canthus.load("zoo/dan")("photo.jpg")``."""

from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from canthus import zoo
from canthus.data.images import of_pillow, read_image
from canthus.inference.face_detector import FaceFinder
from canthus.inference.predictor import LocatedFace, Predictor
from canthus.inference.sources import whole_box
from canthus.runs.loading import open_run
from canthus.schemes import Scheme
from canthus.utils.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Locator", "load"]


class Locator:
    """Finds the landmarks of a picture's faces.

    Args:
        predictor: a trained model.
        finder: finds the faces; None takes a picture without boxes for one face box.
    """

    def __init__(self, predictor: Predictor, finder: FaceFinder | None) -> None:
        self.predictor, self.finder = predictor, finder

    @property
    def scheme(self) -> Scheme:
        """Names, regions and lines of the landmarks."""
        return self.predictor.model.scheme

    def __call__(
        self, image: "str | PathLike[str] | Image | NDArray[np.uint8]", boxes: ArrayLike | None = None
    ) -> list[LocatedFace]:
        """Locate the landmarks of every face.

        Args:
            image: path of an image or a Pillow image, both turned as their EXIF data ask; or (H, W, 3) or (H, W) uint8
                in RGB or grey.
            boxes: (N, 4) or (4,) ``xyxy`` face boxes in pixels, from brows to chin, instead of the detector's.

        Returns:
            A face for each box, or the faces found, the surest first: ``landmarks`` (K, 2) and all ``stages`` in pixels
            of the picture, ``box``, ``scores``, ``scheme``, ``detection_score``.

        Raises:
            DataError: a file that is no image, an array of another kind, or boxes that are none.
        """
        pixels = _pixels(image)
        if boxes is not None:
            return self.predictor(pixels, _checked(boxes))
        if self.finder is None:
            return self.predictor(pixels, whole_box(pixels, 0.0))
        found = self.finder(pixels)
        faces = self.predictor(pixels, np.array([face.box for face in found]).reshape(-1, 4))
        return [replace(face, detection_score=of.score) for face, of in zip(faces, found, strict=True)]


def load(
    run: str | PathLike[str],
    *,
    detector: str | PathLike[str] | None = zoo.MTCNN,
    checkpoint: str = "best",
    device: str = "auto",
    batch_size: int = 32,
    flip_average: bool | None = None,
    trust: bool = False,
) -> Locator:
    """Load a trained model, ready for pictures.

    Args:
        run: ``zoo/NAME``, a run folder, or a ``.safetensors`` file of canthus-export.
        detector: MTCNN run that finds the faces; None for none.
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
    finder = None if detector is None else FaceFinder(run=str(detector), device=predictor.device)
    return Locator(predictor, finder)


def _pixels(image: "str | PathLike[str] | Image | NDArray[np.uint8]") -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB."""
    if isinstance(image, (str, PathLike)):
        return read_image(Path(image), exif="apply")
    if not isinstance(image, np.ndarray) and hasattr(image, "convert"):  # Pillow
        return of_pillow(image)
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
