"""The one way in which images are written to the disk: encoded in memory, written by Python, whole or not at all.

OpenCV's own writer ends the process on file names that are not UTF-8, and leaves half a file on a full disk.
"""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from canthus.utils.files import replacing

__all__ = ["PictureError", "encoded", "save_picture"]


class PictureError(ValueError):
    """A picture that its format cannot hold, such as a JPEG with a side above 65,500 pixels."""


def encoded(picture: NDArray[np.uint8], suffix: str, *, quality: int | None = None) -> bytes:
    """Encode a picture.

    Args:
        picture: (H, W, 3) uint8 RGB.
        suffix: ``.png``, ``.jpg`` or another that OpenCV knows.
        quality: of a JPEG, percent; None for OpenCV's own.

    Raises:
        PictureError: the format is unknown, or cannot hold the picture.
    """
    options = [] if quality is None else [cv2.IMWRITE_JPEG_QUALITY, quality]
    try:
        done, content = cv2.imencode(suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    except cv2.error as error:
        raise PictureError(
            f"a picture of shape {picture.shape} cannot be made a {suffix} file ({error.err})"
        ) from error
    if not done:
        raise PictureError(f"a picture of shape {picture.shape} cannot be made a {suffix} file")
    return content.tobytes()


def save_picture(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write a picture, (H, W, 3) uint8 RGB; the ending names the format.

    Raises:
        PictureError: see `encoded`.
        OSError: the file cannot be written.
    """
    content = encoded(picture, path.suffix)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
