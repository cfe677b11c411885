"""Decoding photographs."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from canthus.data.face import DataError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".pgm", ".ppm", ".webp", ".tif", ".tiff")


def read_image(path: Path, *, upright: bool = False) -> NDArray[np.uint8]:
    """Decode a photograph to (H, W, 3) uint8 RGB; grey is repeated, alpha dropped, 16 bit reduced to 8.

    Args:
        path: the file.
        upright: turn the picture as its EXIF orientation asks. Off for labelled data, whose points were made on the
            raw pixel grid; on for photographs that people look at.

    Raises:
        DataError: the file is missing, empty, truncated or of no known format.
    """
    try:
        encoded = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    if _is_truncated_jpeg(encoded.tobytes()):
        raise DataError(f"{path}: the JPEG ends before its picture does ({encoded.size} bytes); fetch the file again")
    flags = cv2.IMREAD_COLOR if upright else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(encoded, flags) if encoded.size else None
    if image is None:
        raise DataError(f"{path}: not a readable image ({encoded.size} bytes); replace the file or remove its label")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _is_truncated_jpeg(encoded: bytes) -> bool:
    """Whether no end-of-image marker follows the last scan; OpenCV would fill the missing rows with grey in silence."""
    return encoded.startswith(b"\xff\xd8") and encoded.rfind(b"\xff\xd9") < encoded.rfind(b"\xff\xda")
