"""The record of one labelled face, and what every reader provides.

Frame (fixed for the whole package): points are ``(x, y)`` float, pixel centres at integers, ``(0, 0)`` the centre of
the top-left pixel; boxes are float ``xyxy`` in the same frame.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from canthus.utils.errors import DataError

if TYPE_CHECKING:
    from canthus.data.images import Exif, ImageHeader

__all__ = ["OCCLUDED", "UNLABELLED", "VISIBLE", "DataError", "Face", "Reader", "WholeImage"]

UNLABELLED, OCCLUDED, VISIBLE = 0, 1, 2
"""Visibility codes of a landmark: no coordinate; labelled but covered; labelled and seen."""


@dataclass(frozen=True, eq=False)
class Face:
    """One labelled face. Readers make these; they neither crop nor filter.

    Attributes:
        image: path of the file (for sources without files, a name their reader understands).
        landmarks: (K, 2) float64, pixels; rows with visibility 0 hold NaN.
        visibility: (K,) uint8, see ``UNLABELLED``, ``OCCLUDED``, ``VISIBLE``.
        box: (4,) float64 ``xyxy``.
        scheme: name of the landmark scheme, for example ``"68"``.
        photo: key of the image. Splits keep an image whole.
        part: folder or list of the data set that the face comes from, as distributed (``"helen/trainset"``).
        attributes: names of the conditions that hold (``"occlusion"``, ``"blur"``).
        identity: person, where the data set knows it.
        pose: (3,) yaw, pitch, roll in radians, where the data set knows it.
    """

    image: Path
    landmarks: NDArray[np.float64]
    visibility: NDArray[np.uint8]
    box: NDArray[np.float64]
    scheme: str
    photo: str
    part: str = ""
    attributes: frozenset[str] = frozenset()
    identity: str | None = None
    pose: NDArray[np.float64] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check shapes and values.

        Raises:
            DataError: wrong shapes, a labelled point or a box that is not finite, an empty box.
        """
        k = len(self.landmarks)
        if self.landmarks.shape != (k, 2) or self.visibility.shape != (k,):
            raise DataError(
                f"{self.image}: landmarks {self.landmarks.shape} and visibility {self.visibility.shape} "
                "do not have the shapes (K, 2) and (K,)"
            )
        bad = np.flatnonzero((self.visibility > 0) & ~np.isfinite(self.landmarks).all(axis=1))
        if bad.size:
            raise DataError(f"{self.image}: landmark {bad[0]} is {self.landmarks[bad[0]]}, not a finite position")
        if self.box.shape != (4,) or not np.isfinite(self.box).all() or (self.box[2:] <= self.box[:2]).any():
            raise DataError(f"{self.image}: box {self.box} is not x1 < x2, y1 < y2")


@dataclass(frozen=True, eq=False)
class WholeImage:
    """One image with all its labelled faces, for detection.

    Attributes:
        image: see `Face`.
        photo: see `Face`.
        part: see `Face`.
        faces: in the order of the labels; none where the data set says that nobody is in the picture.
        ignored: (N,) bool, faces that are neither found nor missed: too small, blurred or hidden to be labelled well.
    """

    image: Path
    photo: str
    part: str = ""
    faces: tuple[Face, ...] = ()
    ignored: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))

    @property
    def boxes(self) -> NDArray[np.float64]:
        """(N, 4) ``xyxy``, image pixels."""
        return np.array([face.box for face in self.faces], dtype=np.float64).reshape(-1, 4)


class Reader(ABC):
    """One data set as distributed. Subclasses know a file format and nothing else.

    Attributes:
        scheme: name of the landmark scheme that the labels follow.
        processes: whether pictures are made by work that keeps Python's lock, so that the store needs processes for
            them; decoding does not, and has threads.
        exif: the frame of the labels, see `canthus.data.images.orientation_to_follow`. Published data sets were
            labelled on the pixels as stored.
        experimental: what was assumed about the files of a data set that this reader has met only in the documented
            form, never as distributed; None for a reader that was used on the real files.
    """

    scheme: str
    experimental: ClassVar[str | None] = None
    processes: ClassVar[bool] = False
    exif: "Exif | None" = "ignore"
    renders: ClassVar[bool] = False
    """Whether pixels are made, so that no name of an image leads to a file."""

    @abstractmethod
    def faces(self, parts: Sequence[str]) -> list[Face]:
        """Parse the named parts, in order.

        Raises:
            DataError: missing root or part, wrong count, unreadable label file.
        """

    def published(self, parts: Sequence[str]) -> dict[str, int]:
        """Faces of the named parts as published, where that is known."""
        return {}

    def whole_images(self, parts: Sequence[str]) -> list[WholeImage]:
        """The images of the named parts, each with its faces, in order. Readers that know of more override it.

        Raises:
            DataError: see `faces`.
        """
        grouped: dict[Path, list[Face]] = {}
        for face in self.faces(parts):
            grouped.setdefault(face.image, []).append(face)
        return [
            WholeImage(image, faces[0].photo, faces[0].part, tuple(faces), np.zeros(len(faces), dtype=np.bool_))
            for image, faces in grouped.items()
        ]

    def pixels(self, image: Path) -> NDArray[np.uint8]:
        """Decode one image to (H, W, 3) uint8 RGB, in the frame of the labels.

        Raises:
            DataError: the file is missing or cannot be decoded, or its size is not what the labels state.
        """
        from canthus.data.images import read_image  # images.py imports DataError from here

        return read_image(image, exif=self.exif, stated=self.stated_size(image))

    def stated_size(self, image: Path) -> tuple[int, int] | None:
        """Width and height of an image according to its labels, where they say it."""
        return None

    def doubtful_orientation(self, image: Path) -> int:
        """EXIF orientation of an image of which nobody knows whether the labels were made on it upright.

        1 where there is no doubt: the file has none, somebody decided (`exif`), or the stated size tells.
        """
        from canthus.data.images import decides

        header = None if self.exif is not None else self.header(image)
        return 1 if header is None or decides(header, self.stated_size(image)) else header.orientation

    def header(self, image: Path) -> "ImageHeader | None":
        """What the file of an image says about it; None where there is no such file, or none that can be read."""
        from canthus.data.images import read_header

        try:
            return read_header(image)
        except DataError:  # named where it is decoded
            return None

    def made_from(self, face: "Face | WholeImage") -> str | None:
        """What a rendered image was made from, so that it is known again; None for an image that was taken."""
        return None

    def file(self, image: Path) -> Path:
        """The file that holds the pixels of an image; a name of no file where they are made otherwise."""
        return image

    def fingerprint(self, face: "Face | WholeImage") -> str:
        """What identifies the pixels of an image, given itself or one of its faces: changes when they change."""
        try:
            status = face.image.stat()
        except OSError:  # named and counted when the store tries to decode it
            return f"{face.image}:missing"
        frame = "" if self.exif == "ignore" else f":{self.exif}:{self.stated_size(face.image)}"
        return f"{face.image.resolve()}:{status.st_size}:{status.st_mtime_ns}{frame}"
