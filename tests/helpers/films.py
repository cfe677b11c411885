"""Films whose frames are not evenly spaced, made by rewriting the times in an MP4 file."""

import struct
from collections.abc import Sequence
from pathlib import Path

PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


def with_times(path: Path, milliseconds: Sequence[int]) -> None:
    """Give the frames of a film other distances.

    Args:
        path: of a film of `canthus.inference.video.VideoFile`.
        milliseconds: from each frame to the next.
    """
    content = path.read_bytes()
    assert content.index(b"mdat") < content.index(b"moov")  # else places of frames would move
    path.write_bytes(_rewritten(content, milliseconds, scale=_scale(content)))


def _scale(content: bytes) -> int:
    """Units of time a second."""
    place = content.index(b"mdhd") + 4
    return int(struct.unpack(">I", content[place + 12 : place + 16])[0])


def _rewritten(content: bytes, milliseconds: Sequence[int], scale: int) -> bytes:
    done, place = b"", 0
    while place < len(content):
        size, kind = struct.unpack(">I4s", content[place : place + 8])
        body = content[place + 8 : place + size]
        if kind in PARENTS:
            body = _rewritten(body, milliseconds, scale)
        elif kind == b"stts":
            body = struct.pack(">II", 0, len(milliseconds))
            body += b"".join(struct.pack(">II", 1, round(step * scale / 1000)) for step in milliseconds)
        elif kind == b"edts":
            kind = b"free"  # says how long the film is shown
        done += struct.pack(">I4s", len(body) + 8, kind) + body
        place += size
    return done
