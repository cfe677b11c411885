"""``landmarks.json``: points of images, kept whatever ends the command; and how a face is written."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from canthus.inference.face_detector import FoundFace
from canthus.inference.predictor import LocatedFace

__all__ = ["LandmarkFile", "face_entry", "plain_json"]

END = 100
"""Bytes that the end of a file takes at most, apart from its reasons."""


def plain_json(value: Any, **options: Any) -> str:
    """JSON in ASCII that every reader accepts.

    Raises:
        ValueError: a number that is not finite, which JSON does not know.
    """
    return json.dumps(value, allow_nan=False, **options)


class LandmarkFile:
    """Writes ``landmarks.json`` image by image, so that an error, Ctrl-C or a full disk loses no points already made.

    The file grows under a temporary name. It always has room for its own end: an entry for which the disk has no room
    is not begun. On leaving, the end is written and the file takes its place, whole, over that of an earlier run;
    ``complete`` tells whether every image was gone through. Without a single image, nothing is written.

    Args:
        path: of the file; folders on the way are made.
        header: what holds for all images, such as the model.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self.path = path
        self.located, self.faces, self.faces_skipped = 0, 0, 0
        self.skipped: dict[str, str] = {}
        self.without_picture: dict[str, str] = {}
        self._begin = plain_json(dict(header), indent=1).removesuffix("\n}") + ',\n "images": {'
        self._temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
        self._place, self._room, self._end_size = 0, 0, END

    def __enter__(self) -> "LandmarkFile":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = self._temporary.open("w+b", buffering=0)
        try:
            self._append(self._begin)
        except OSError:
            self._discard()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not (self.located or self.skipped):
            self._discard()
            return
        end = self._end(complete=error is None)
        self._write(self._place, end)
        self._file.truncate(self._place + len(end))
        self._file.close()
        os.replace(self._temporary, self.path)

    def add(self, image: Path, faces: list[dict[str, Any]], skipped: list[dict[str, Any]]) -> None:
        """Write the faces of an image.

        Args:
            image: its path.
            faces: see `face_entry`.
            skipped: faces without points, each with its ``reason``.

        Raises:
            OSError: there is no room; what was written before is as it was.
        """
        entry: dict[str, Any] = {"faces": faces} | ({"skipped": skipped} if skipped else {})
        comma = "," if self.located else ""
        self._append(f"{comma}\n  {plain_json(str(image))}: {plain_json(entry)}")
        self.located += 1
        self.faces += len(faces)
        self.faces_skipped += len(skipped)

    def skip(self, image: Path, reason: str, faces: int = 0) -> None:
        """Say why an image has no points; ``faces`` boxes were given or found in it."""
        self._remember(self.skipped, image, reason)
        self.faces_skipped += faces

    def skip_picture(self, image: Path, reason: str) -> None:
        """Say why the points of an image are written and not drawn."""
        self._remember(self.without_picture, image, reason)

    def _remember(self, reasons: dict[str, str], image: Path, reason: str) -> None:
        more = len(plain_json({str(image): reason}, indent=1)) + 2
        self._append("", more_at_end=more)
        reasons[str(image)] = reason

    def _end(self, *, complete: bool) -> bytes:
        """What closes the file."""
        reasons = {"skipped": self.skipped, "without_picture": self.without_picture}
        content = {key: value for key, value in reasons.items() if value or key == "skipped"} | {"complete": complete}
        return f"\n }},\n {plain_json(content, indent=1)[3:]}\n".encode("ascii")

    def _append(self, text: str, more_at_end: int = 0) -> None:
        """Write text, once there is room for it and for the end."""
        content = text.encode("ascii")
        needed = self._place + len(content) + self._end_size + more_at_end
        if needed > self._room:
            self._write(self._room, b" " * (needed - self._room))
            self._room = needed
        self._write(self._place, content)
        self._place += len(content)
        self._end_size += more_at_end

    def _write(self, place: int, content: bytes) -> None:
        self._file.seek(place)
        left = memoryview(content)
        while left:  # a disk that fills takes a part, and says so at the next attempt
            left = left[self._file.write(left) :]

    def _discard(self) -> None:
        self._file.close()
        self._temporary.unlink(missing_ok=True)


def face_entry(face: LocatedFace) -> dict[str, Any]:
    """A face as files have it: numbers rounded; None where a score or a pose is not finite."""
    entry: dict[str, Any] = {"box": face.box.round(3).tolist(), "landmarks": face.landmarks.round(3).tolist()}
    if face.scores is not None:
        entry["scores"] = _finite(face.scores, 4)
    if face.pose is not None:
        entry["pose_degrees"] = dict(zip(("yaw", "pitch", "roll"), _finite(np.degrees(face.pose), 2), strict=True))
    if face.detection is not None:
        entry["detection"] = _detection_entry(face.detection)
    return entry


def _detection_entry(face: FoundFace) -> dict[str, Any]:
    """What the detector said of a face."""
    return {
        "box": face.detected.round(3).tolist(),
        "score": round(face.score, 4),
        "points": face.points.round(3).tolist(),
    }


def _finite(values: NDArray[np.float64], digits: int) -> list[float | None]:
    return [round(value, digits) if np.isfinite(value) else None for value in values.tolist()]
