"""All faces of a data set with the split each falls into, as arrays, beside what their images look like."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from canthus.data.face import Face, Reader
from canthus.data.split import hold_out
from canthus.inspection.images import InspectedImage, read_images
from canthus.schemes import Scheme, load_scheme
from canthus.utils.errors import DataError

__all__ = ["SPLITS", "Collection"]

log = getLogger(__name__)
SPLITS = ("train", "val", "test")
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Collection:
    """N faces in the order of their splits and parts.

    Attributes:
        faces: the records.
        splits: ``train``, ``val`` or ``test`` for each face.
        images: the readable ones, in the order of the first face on each.
        broken: image -> why it cannot be read.
        scheme: of the labels.
        points: (N, K, 2), NaN where not labelled.
        visibility: (N, K).
        box: (N, 4).
        size: (N, 2) width and height of the images, NaN where broken.
    """

    faces: Sequence[Face]
    splits: Sequence[str]
    images: Mapping[Path, InspectedImage]
    broken: Mapping[Path, str]
    scheme: Scheme
    points: Floats
    visibility: NDArray[np.uint8]
    box: Floats
    size: Floats

    @classmethod
    def read(
        cls,
        reader: Reader,
        train_parts: Sequence[str],
        test_parts: Sequence[str],
        *,
        validation: float = 0.0,
        validation_seed: int = 0,
        validation_rule: str = "draw",
    ) -> "Collection":
        """Parse the parts, divide them as a training run would, and read every image.

        Args:
            reader: of the data set.
            train_parts: parts to train and validate on.
            test_parts: parts to test on.
            validation: share of the images of each training part that is held out.
            validation_seed: which ones.
            validation_rule: see `canthus.data.split.hold_out`.

        Raises:
            DataError: of the reader; no parts, or parts without faces.
        """
        training = reader.faces(train_parts) if train_parts else []
        faces = [*training, *(reader.faces(test_parts) if test_parts else [])]
        if not faces:
            parts = [*train_parts, *test_parts]
            raise DataError(f"no faces in the parts {parts}; name parts in data.train_parts and data.test_parts")
        try:
            held_out = hold_out(training, validation, validation_seed, validation_rule)
        except DataError as error:  # training would stop here; looking at the faces need not
            log.warning("%s. All of them count as train here", error)
            held_out = np.zeros(len(training), dtype=np.bool_)
        splits = ["val" if held else "train" for held in held_out] + ["test"] * (len(faces) - len(training))
        images, broken = read_images(reader, list(dict.fromkeys(face.image for face in faces)))
        sizes = {image: (whole.width, whole.height) for image, whole in images.items()}
        visibility = np.stack([face.visibility for face in faces])
        points = np.stack([face.landmarks for face in faces])
        return cls(
            faces=faces,
            splits=splits,
            images=images,
            broken=broken,
            scheme=load_scheme(faces[0].scheme),
            points=np.where((visibility > 0)[..., None], points, np.nan),
            visibility=visibility,
            box=np.stack([face.box for face in faces]),
            size=np.array([sizes.get(face.image, (np.nan, np.nan)) for face in faces]),
        )

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """(N, K) which points have a place."""
        return self.visibility > 0

    @property
    def side(self) -> Floats:
        """(N,) mean of width and height of the face boxes, pixels."""
        return np.asarray((self.box[:, 2:] - self.box[:, :2]).mean(1))

    def points_box(self) -> Floats:
        """(N, 4) tight boxes of the labelled points; NaN for faces without any."""
        labelled = self.labelled[..., None]
        low = np.where(labelled, self.points, np.inf).min(1)
        high = np.where(labelled, self.points, -np.inf).max(1)
        box = np.concatenate([low, high], axis=1)
        return np.where(np.isfinite(box), box, np.nan)
