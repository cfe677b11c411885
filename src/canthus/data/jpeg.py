"""Decoding JPEG so that damage is noticed: libjpeg's warnings refuse a file, except for faults that touch no pixel."""

import re

import numpy as np
import simplejpeg
from numpy.typing import NDArray

__all__ = ["DamagedJpegError", "decode_jpeg"]

START, END, SCAN = b"\xff\xd8", b"\xff\xd9", 0xDA
SEQUENTIAL = (0xC0, 0xC1)
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
TABLES = frozenset({0xC4, 0xCC, 0xDB, 0xDD, 0xE0, 0xEE})  # Huffman, arithmetic, quantiser, restarts, JFIF, Adobe
MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")
"""A marker that ends a scan: neither a stuffed 0xFF nor a restart."""
PADDING = re.compile(r"(\d+) extraneous bytes before marker 0xd9")


class DamagedJpegError(ValueError):
    """A JPEG whose pixels cannot be trusted; the message is libjpeg's."""


def decode_jpeg(encoded: bytes) -> NDArray[np.uint8] | None:
    """Decode a JPEG to (H, W, 3) uint8 RGB, as stored, equal to OpenCV's to the bit.

    A warning of libjpeg means that data were missing, left over or senseless, and that what it shows in their place is
    made up. Some warnings are about the header or the bytes around the image instead: a version number that nobody
    knows, scan parameters that a sequential image does not use, zeros before the end, no end at all. Many cameras
    write such files, so those faults are mended, and the rest is decoded as strictly as ever.

    Returns:
        The pixels, or None for a kind that this decoder does not know, such as CMYK with halved colours.

    Raises:
        DamagedJpegError: damage, or a file that ends before its image does.
    """
    try:
        return np.asarray(simplejpeg.decode_jpeg(encoded), dtype=np.uint8)
    except ValueError as error:
        warning = str(error)
    mended = _mended(encoded, warning)
    try:
        simplejpeg.decode_jpeg_header(mended)
    except ValueError:
        return None
    try:
        return np.asarray(simplejpeg.decode_jpeg(mended), dtype=np.uint8)
    except ValueError:
        raise DamagedJpegError(warning) from None


def _mended(encoded: bytes, warning: str) -> bytes:
    """The same tables and scans, without what libjpeg warns of though no pixel depends on it."""
    parts, frame, whole, place = [START], 0, False, len(START)
    while (found := MARKER.search(encoded, place)) is not None:
        marker, begin = found[1][0], found.end()
        if marker == END[1]:
            parts.append(END)
            break
        length = int.from_bytes(encoded[begin : begin + 2], "big")
        place = begin + max(length, 2)
        body = bytearray(encoded[begin:place])
        if marker in FRAMES:
            frame, components = marker, body[7] if len(body) > 7 else 0
        if marker == 0xE0 and body[2:7] == b"JFIF\0" and len(body) > 7:
            body[7] = 1  # the only version there is
        if marker == SCAN:
            following = MARKER.search(encoded, place)
            end = len(encoded) if following is None else following.start()
            if frame in SEQUENTIAL and len(body) > 6:
                body[-3:] = b"\0\x3f\0"  # all coefficients at full precision: what a sequential scan is
                # the end alone is missing if one scan holds all colours; libjpeg then says whether it is complete
                whole = following is None and body[2] == components
            data = encoded[place:end]
            padding = PADDING.search(warning)
            if padding and data.endswith(bytes(int(padding[1]))):
                data = data[: -int(padding[1])]
            parts += [bytes([0xFF, marker]), bytes(body), data]
            place = end
        elif marker in FRAMES or marker in TABLES:
            parts += [bytes([0xFF, marker]), bytes(body)]
    if whole:
        parts.append(END)
    return b"".join(parts)
