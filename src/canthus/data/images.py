"""Decoding images: the one place where it is decided what the pixels of a file are, and which way up.

What is read: see `KINDS`. OpenCV decodes all of them but JPEG, and Pillow those that this OpenCV was built without;
Pillow reads the headers.
"""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from PIL.ImageFile import ImageFile

from canthus.data.jpeg import DamagedJpegError, decode_jpeg
from canthus.utils.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "IMAGE_SUFFIXES",
    "OTHER_IMAGE_SUFFIXES",
    "Exif",
    "ImageHeader",
    "of_pillow",
    "orientation_to_follow",
    "read_header",
    "read_image",
    "shown",
]

Exif = Literal["apply", "ignore"]
"""Whether an image is turned as its EXIF orientation asks, or taken as it is stored."""

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".pgm", ".ppm", ".pnm", ".pbm", ".webp"),
    *(".tif", ".tiff", ".jp2", ".avif"),
)
"""Of files that are taken for images that can be read."""
RAW_SUFFIXES = (".dng", ".cr2", ".nef", ".arw", ".orf", ".rw2", ".pef")
"""Of a camera's raw data in the guise of a TIFF, whose first image is a thumbnail."""
OTHER_IMAGE_SUFFIXES = (*RAW_SUFFIXES, ".cr3", ".raf", ".heic", ".heif", ".hif", ".jxl", ".psd")
"""Of images that cannot be read, and that must not go unmentioned."""
MAX_PIXELS = "CANTHUS_MAX_PIXELS"
"""Environment variable: no image of more pixels is decoded."""
DEFAULT_MAX_PIXELS = 200_000_000
"""What the largest sensors of telephones give."""
BYTES_PER_PIXEL = 8
"""Of the largest files: four channels of 16 bit, not compressed."""
HEAD = 64
"""Bytes that tell the kind of a file."""
HEIC = "HEIC"
PLUGINS: dict[str, Callable[[IO[bytes]], ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "PNM": PpmImagePlugin.PpmImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "JPEG 2000": Jpeg2KImagePlugin.Jpeg2KImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
    "GIF": GifImagePlugin.GifImageFile,
}
"""Kind -> what reads its header. Not Pillow's own choice: that also starts Ghostscript and warns of large images."""


@dataclass(frozen=True)
class ImageHeader:
    """What a file says about its image.

    Attributes:
        kind: format.
        width: of the image as stored, pixels.
        height: likewise.
        orientation: EXIF orientation, 1 to 8; 1 where there is none. 5 to 8 exchange width and height.
    """

    kind: str
    width: int
    height: int
    orientation: int = 1

    @property
    def stored(self) -> tuple[int, int]:
        """Width and height as stored."""
        return self.width, self.height

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height of the image turned as its orientation asks."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def read_image(path: Path, *, exif: Exif | None, stated: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Decode an image to (H, W, 3) uint8 RGB; grey is repeated, alpha dropped, 16 bit reduced to 8.

    Args:
        path: the file.
        exif: see `orientation_to_follow`.
        stated: see there.

    Raises:
        DataError: the file is missing, no regular file, empty, truncated, damaged, too large or of a kind that is not
            read; or its size is not what the labels state.
    """
    encoded = _read(path)
    header = _header(path, BytesIO(encoded))
    orientation = orientation_to_follow(path, header, exif, stated)
    try:
        return _turned(_decoded(path, header, encoded), orientation)
    except (MemoryError, cv2.error) as error:
        raise DataError(
            f"{shown(path)}: {header.width} x {header.height} pixels cannot be decoded here "
            f"({' '.join(str(error).split()) or 'out of memory'}); make the image smaller, or free memory"
        ) from error


def read_header(path: Path) -> ImageHeader:
    """Read kind, size and orientation without decoding.

    Raises:
        DataError: as `read_image`, as far as the header shows it.
    """
    with _opened(path) as file:
        return _header(path, file)


def orientation_to_follow(
    path: Path, header: ImageHeader, exif: Exif | None, stated: tuple[int, int] | None = None
) -> int:
    """Decide in which frame an image is: the orientation by which its stored pixels are turned, 1 for not at all.

    Args:
        path: the file, for messages.
        header: of the file.
        exif: ``apply``: upright, as people see it; ``ignore``: as stored; None: as ``stated`` tells, else upright.
        stated: width and height of the image according to its labels, if they say it.

    Raises:
        DataError: the image has another size.
    """
    if exif is None and decides(header, stated):
        exif = "ignore" if stated == header.stored else "apply"
    size = header.stored if exif == "ignore" else header.upright
    if stated is None or stated == size:
        return 1 if exif == "ignore" else header.orientation
    message = f"{shown(path)}: the labels state {stated[0]} x {stated[1]} pixels, the image has {size[0]} x {size[1]}"
    if stated in (header.stored, header.upright):
        other = "turned as its EXIF orientation asks" if exif == "ignore" else "as stored"
        remedy = f"that is its size {other}: set data.exif={'apply' if exif == 'ignore' else 'ignore'}, or null"
    else:
        remedy = "put the image there that was labelled, or correct its width and height in the labels"
    raise DataError(f"{message}; {remedy}")


def decides(header: ImageHeader, stated: tuple[int, int] | None) -> bool:
    """Whether the size that the labels state tells if they were made on the upright image or on the stored one."""
    return header.stored != header.upright and stated in (header.stored, header.upright)


def of_pillow(image: "Image") -> NDArray[np.uint8]:
    """Give a Pillow image as `read_image` with ``exif="apply"`` gives its file: (H, W, 3) uint8 RGB.

    Raises:
        DataError: a mode that does not hold colours or grey levels of 8 or 16 bit.
    """
    image.load()  # a TIFF is turned by this, and its orientation gone
    orientation = _orientation(image)
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.size and values.min() >= 0 and values.max() <= 65535:
            return _turned(np.repeat((values >> 8).astype(np.uint8)[..., None], 3, axis=2), orientation)
    elif image.mode != "F" and all(image.size):
        try:
            # by way of alpha, which is dropped and not blended: palettes may be transparent
            return _turned(np.asarray(image.convert("RGBA").convert("RGB")), orientation)
        except ValueError:  # modes that do not convert
            pass
    raise DataError(
        f"a Pillow image of mode {image.mode} and size {image.size}: give colours, or grey levels of 8 or 16 bit"
    )


def shown(path: Path) -> str:
    """Write a path for a message; what a console cannot print, such as bytes that are no UTF-8, as escapes."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def max_pixels() -> int:
    """Give the largest number of pixels of an image that is decoded.

    Raises:
        DataError: the environment variable is no positive whole number.
    """
    value = os.environ.get(MAX_PIXELS, "")
    if value and (not value.isdecimal() or int(value) == 0):
        raise DataError(f"{MAX_PIXELS}={value}: give a number of pixels, for example {DEFAULT_MAX_PIXELS}")
    return int(value) if value else DEFAULT_MAX_PIXELS


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """A regular file, open; reading a FIFO or a device may never end."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISREG(mode):
            with path.open("rb") as file:
                yield file
                return
        problem = "Is a directory" if stat.S_ISDIR(mode) else "it is a pipe, a socket or a device, not a file"
    except DataError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte
        raise DataError(f"{shown(path)}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    raise DataError(f"{shown(path)}: cannot be read ({problem})")


def _read(path: Path) -> bytes:
    limit = max_pixels() * BYTES_PER_PIXEL
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(HEAD)
        if _kind(head) is None:
            raise _unreadable(path, size)
        if size > limit:
            raise DataError(
                f"{shown(path)}: {size:,} bytes are more than an image of {max_pixels():,} pixels takes; set the "
                f"environment variable {MAX_PIXELS} higher to read it"
            )
        try:
            return head + file.read()
        except MemoryError as error:
            raise DataError(f"{shown(path)}: {size:,} bytes do not fit into memory; free some") from error


def _kind(head: bytes) -> str | None:
    """Tell a format by the first bytes of a file."""
    brands = head[8:] if head[4:8] == b"ftyp" else b""
    signs = {
        "JPEG": head.startswith(b"\xff\xd8\xff"),
        "PNG": head.startswith(b"\x89PNG\r\n\x1a\n"),
        "BMP": head.startswith(b"BM"),
        "PNM": head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace(),
        "WebP": head.startswith(b"RIFF") and head[8:12] == b"WEBP",
        "TIFF": head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
        "JPEG 2000": head.startswith((b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")),
        "AVIF": b"avif" in brands or b"avis" in brands,
        "GIF": head.startswith((b"GIF87a", b"GIF89a")),
        HEIC: brands.startswith((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")),
    }
    return next((kind for kind, found in signs.items() if found), None)


def _header(path: Path, file: IO[bytes]) -> ImageHeader:
    size = os.fstat(file.fileno()).st_size if not isinstance(file, BytesIO) else len(file.getbuffer())
    kind = _kind(file.read(HEAD))
    file.seek(0)
    if kind is None:
        raise _unreadable(path, size)
    if kind == HEIC or (kind == "TIFF" and path.suffix.lower() in RAW_SUFFIXES):
        name = HEIC if kind == HEIC else path.suffix.lower()
        raise DataError(f"{shown(path)}: images of kind {name} are not read; convert it to JPEG or PNG")
    try:
        header = _tiff_header(file) if kind == "TIFF" else _plugin_header(kind, file)
    except Exception as error:  # Pillow's readers raise nearly anything on damaged headers
        raise _unreadable(path, size) from error
    if header.width < 1 or header.height < 1:
        raise _unreadable(path, size)
    if header.width * header.height > max_pixels():
        raise DataError(
            f"{shown(path)}: {header.width} x {header.height} pixels are more than the limit of {max_pixels():,}; set "
            f"the environment variable {MAX_PIXELS} higher to read it"
        )
    return header


def _plugin_header(kind: str, file: IO[bytes]) -> ImageHeader:
    image = PLUGINS[kind](file)
    width, height = image.size
    if kind == "PNG":
        # Pillow would decode all pixels to see whether EXIF data follow them
        image.info.setdefault("exif", _png_exif(file))
    return ImageHeader(kind, width, height, _orientation(image))


def _png_exif(file: IO[bytes]) -> bytes:
    """Find the EXIF chunk of a PNG; empty where there is none."""
    file.seek(8)
    while len(start := file.read(8)) == 8:
        length, name = int.from_bytes(start[:4], "big"), start[4:]
        if name == b"eXIf":
            return b"Exif\0\0" + file.read(length)
        file.seek(length + 4, os.SEEK_CUR)
    return b""


def _tiff_header(file: IO[bytes]) -> ImageHeader:
    """Read the tags alone: Pillow refuses kinds of pixels, such as 16-bit colours, that OpenCV decodes."""
    start = file.read(8)
    start += file.read(8) if start[2:4] in (b"+\0", b"\0+") else b""
    tags: Any = TiffImagePlugin.ImageFileDirectory_v2(start)
    file.seek(tags.next)
    tags.load(file)
    orientation = tags.get(ExifTags.Base.Orientation)
    width, height = int(tags[TiffImagePlugin.IMAGEWIDTH]), int(tags[TiffImagePlugin.IMAGELENGTH])
    return ImageHeader("TIFF", width, height, _valid(orientation))


def _orientation(image: "Image") -> int:
    try:
        return _valid(image.getexif().get(ExifTags.Base.Orientation))
    except Exception:  # damaged EXIF data say nothing; the pixels may be as good as ever
        return 1


def _valid(orientation: Any) -> int:
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _decoded(path: Path, header: ImageHeader, encoded: bytes) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB, as stored."""
    if header.kind == "JPEG":
        try:
            pixels = decode_jpeg(encoded)
        except DamagedJpegError as error:
            raise DataError(_damaged(path, str(error), len(encoded))) from error
        if pixels is not None:
            return pixels
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(encoded, dtype=np.uint8), flags)
    if image is None and header.kind == "AVIF" and not _opencv_has_avif():
        return _pillow_decoded(path, header.kind, encoded)
    if image is None:
        raise _unreadable(path, len(encoded))
    pixels = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)
    if header.kind == "TIFF":
        _check_tiff(path, encoded)
        # OpenCV turns TIFF whatever it is asked
        pixels = _turned(pixels, BACK[header.orientation])
    return pixels


def _check_tiff(path: Path, encoded: bytes) -> None:
    """Refuse a TIFF whose packed pixels are damaged, which Pillow notices and OpenCV does not."""
    try:
        image = TiffImagePlugin.TiffImageFile(BytesIO(encoded))
    except Exception:  # a kind of pixels that Pillow does not know
        return
    if image.info.get("compression") in ("tiff_lzw", "tiff_deflate", "tiff_adobe_deflate"):
        try:
            image.load()
        except OSError as error:
            raise _unreadable(path, len(encoded)) from error


def _opencv_has_avif() -> bool:
    return bool(cv2.haveImageWriter("x.avif"))


def _pillow_decoded(path: Path, kind: str, encoded: bytes) -> NDArray[np.uint8]:
    try:
        return np.asarray(PLUGINS[kind](BytesIO(encoded)).convert("RGB"))
    except MemoryError:
        raise
    except Exception as error:
        raise _unreadable(path, len(encoded)) from error


BACK = {orientation: {6: 8, 8: 6}.get(orientation, orientation) for orientation in range(1, 9)}
"""Orientation -> the one that undoes it."""


def _turned(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn (H, W, 3) pixels as an EXIF orientation asks."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _unreadable(path: Path, size: int) -> DataError:
    suffix = path.suffix.lower()
    if suffix in OTHER_IMAGE_SUFFIXES:
        return DataError(f"{shown(path)}: images of kind {suffix} are not read; convert it to JPEG or PNG")
    return DataError(f"{shown(path)}: not a readable image ({size} bytes); replace the file or remove its label")


def _damaged(path: Path, warning: str, size: int) -> str:
    if "Premature end of JPEG file" in warning:
        return f"{shown(path)}: the JPEG ends before its picture does ({size} bytes); fetch the file again"
    return (
        f"{shown(path)}: the JPEG is damaged (libjpeg: {warning}); fetch the file again, or save it anew if it "
        "looks right"
    )
