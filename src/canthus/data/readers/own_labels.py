"""What the readers of people's own labels share: names of images, boxes of partly labelled faces, options."""

from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from canthus.data.readers.boxes import check_choice, tight_box
from canthus.utils.errors import DataError

BOXES = {"gt": "tight box of the labelled points", "detector": "the file's own boxes"}


def check_options(box: str, first_pixel: int, exif: str | None) -> None:
    """Check the options that both formats have.

    Raises:
        DataError: a value that is none of the choices.
    """
    check_choice("box", box, BOXES)
    check_choice("first_pixel", str(first_pixel), {"0": "as Python counts", "1": "as MATLAB counts"})
    if exif is not None:
        check_choice("exif", exif, {"apply": "labelled on upright images", "ignore": "labelled on images as stored"})


def relative_name(place: str, root: Path, name: str) -> str:
    """Give the name of an image below the root, with forward slashes.

    Args:
        place: where the name stands, for messages.
        root: of the images.
        name: as labelled: relative to the root or absolute, with slashes of either kind.

    Raises:
        DataError: no name, or one that leaves the root.
    """
    path = PurePosixPath(name.strip().replace("\\", "/"))
    if path.is_absolute() and path.is_relative_to(root.absolute().as_posix()):
        path = path.relative_to(root.absolute().as_posix())
    if not path.name:
        raise DataError(f"{place}: {name!r} names no image; give its path below {root}")
    if path.is_absolute() or ".." in path.parts:
        raise DataError(
            f"{place}: {name!r} is not below {root}; give paths below data.root, or set data.root higher up"
        )
    return path.as_posix()


def file_key(image: Path, root: Path) -> str:
    """What the split knows an image by: its path below the root as it is on disk, whatever the labels call it."""
    return image.relative_to(root).as_posix()


def labelled_box(place: str, points: NDArray[np.float64], visibility: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Give the tight box of the labelled points.

    Raises:
        DataError: there are too few of them, or they lie on one line.
    """
    labelled = points[visibility > 0]
    box = tight_box(labelled) if len(labelled) else np.zeros(4)
    if (box[2:] <= box[:2]).any():
        raise DataError(
            f"{place}: the {len(labelled)} labelled points span no box; label more, remove the face, or give boxes and "
            "set data.box=detector"
        )
    return box
