"""Frames from video files and cameras, and video files from frames, through OpenCV."""

import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

from canthus.config import ConfigError

__all__ = ["FrameSource", "VideoFile", "is_video"]

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".ogv", ".gif")
CAMERA = "camera:"
USUAL_RATE = 25.0
"""Frames a second, where a source does not say."""
CODEC = "mp4v"
"""MPEG-4, which every build of OpenCV can write."""


def is_video(source: str) -> bool:
    """Whether a source of canthus-predict is a camera or the name of a video file."""
    return source.startswith(CAMERA) or Path(source).suffix.lower() in VIDEO_SUFFIXES


class FrameSource:
    """A video file or ``camera:N``, open for reading.

    Args:
        source: path or ``camera:N``.

    Attributes:
        name: for files made from it.
        is_camera: whether it ends only when somebody ends it.
        rate: frames a second.
        size: (width, height), pixels.
        frames: number of frames, if the file says it.

    Raises:
        ConfigError: no such file or camera, or one that cannot be read.
    """

    def __init__(self, source: str) -> None:
        self.source, self.is_camera = source, source.startswith(CAMERA)
        if self.is_camera:
            number = source.removeprefix(CAMERA)
            if not number.isdecimal():
                raise ConfigError(f"source={source}: cameras are counted, camera:0 is the first")
            self.name = f"camera_{number}"
            self._capture = cv2.VideoCapture(int(number))
            problem = "no such camera, or another program has it"
        else:
            if not Path(source).is_file():
                raise ConfigError(f"source={source}: no such file")
            self.name = Path(source).stem
            self._capture = cv2.VideoCapture(source)
            problem = "not a video that OpenCV can read; convert it, for example to mp4"
        read, first = self._capture.read() if self._capture.isOpened() else (False, None)
        if not read or first is None:
            self._capture.release()
            raise ConfigError(f"source={source}: {problem}")
        self._first: NDArray[np.uint8] | None = np.asarray(first, dtype=np.uint8)
        rate = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.rate = rate if 0 < rate < 1000 else USUAL_RATE
        self.size = (self._first.shape[1], self._first.shape[0])
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.frames = count if count > 0 and not self.is_camera else None

    def __iter__(self) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        """Time in seconds and (H, W, 3) uint8 RGB of every frame, once."""
        begin, number, frame = time.monotonic(), 0, self._first
        self._first = None
        while frame is not None:
            # a camera's frames come when they come
            now = time.monotonic() - begin if self.is_camera else number / self.rate
            yield now, np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), dtype=np.uint8)
            read, following = self._capture.read()
            frame, number = (np.asarray(following, dtype=np.uint8) if read else None), number + 1

    def __enter__(self) -> "FrameSource":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._capture.release()


class VideoFile:
    """A video file that is being written; the first frame sets its size.

    Args:
        path: of the file, ``.mp4``.
        rate: frames a second.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self.path, self.rate = path, rate
        self._writer: cv2.VideoWriter | None = None

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Append (H, W, 3) uint8 RGB.

        Raises:
            OSError: the file cannot be written.
        """
        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            code = cv2.VideoWriter.fourcc(*CODEC)
            self._writer = cv2.VideoWriter(str(self.path), code, self.rate, frame.shape[1::-1])
            if not self._writer.isOpened():
                raise OSError(f"{self.path} could not be written: no room, no permission, or an OpenCV without {CODEC}")
        self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))

    def __enter__(self) -> "VideoFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.release()
