"""Frames from video files and cameras, and video files from frames, through OpenCV."""

import errno
import math
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

import cv2
import numpy as np
from numpy.typing import NDArray

from canthus.utils.errors import ConfigError

__all__ = ["FrameSource", "VideoFile", "check_source", "is_video", "name_of"]

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".ogv", ".gif")
CAMERA = "camera:"
USUAL_RATE = 25.0
"""Frames a second, where a source does not say."""
LOST = 500
"""Damaged frames one after the other behind which a film is not searched any further."""
ROOM = 1 << 20
"""Bytes: a disk with less is full."""
CODEC = "mp4v"
"""MPEG-4, which every build of OpenCV can write."""


def is_video(source: str) -> bool:
    """Whether a source of canthus-predict is a camera, an address in a network, or the name of a video file."""
    named = Path(source).suffix.lower() in VIDEO_SUFFIXES and not Path(source).is_dir()
    return source.startswith(CAMERA) or _is_address(source) or named


def check_source(source: str) -> None:
    """Refuse what is no video file and no camera.

    Raises:
        ConfigError: a camera without a number, a file that is not there, or an address: streams are not read.
    """
    if _is_address(source):
        address = urlsplit(source)
        shown = f"{address.scheme}://{address.netloc.rpartition('@')[2]}{address.path}"  # without a password
        raise ConfigError(
            f"source={shown}: streams are not read; record some of it to a file, such as camera.mp4, and name that"
        )
    if source.startswith(CAMERA):
        if not source.removeprefix(CAMERA).isdecimal():
            raise ConfigError(f"source={source}: cameras are counted, camera:0 is the first")
    elif not Path(source).is_file():
        raise ConfigError(f"source={source}: no such file")


def name_of(source: str) -> str:
    """What files made from a source are called."""
    return source.replace(CAMERA, "camera_") if source.startswith(CAMERA) else Path(source).stem


def _is_address(source: str) -> bool:
    return "://" in source and not Path(source).exists()


@contextmanager
def _plain_name(path: Path) -> Iterator[str]:
    """A name of a file or folder that OpenCV takes; it ends the process on one that is not UTF-8."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        with tempfile.TemporaryDirectory() as folder:
            link = Path(folder, f"link{path.suffix}" if path.suffix.isascii() else "link")
            link.symlink_to(path.absolute())
            yield str(link)
    else:
        yield str(path)


class FrameSource:
    """A video file or ``camera:N``, open for reading.

    Args:
        source: path or ``camera:N``.

    Attributes:
        name: for files made from it.
        is_camera: whether it ends only when somebody ends it.
        rate: frames a second, of a variable one the mean.
        size: (width, height), pixels.
        frames: number of frames, if the file says it.

    Raises:
        ConfigError: no such file or camera, or one that cannot be read.
    """

    def __init__(self, source: str) -> None:
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "8")  # a damaged film gives thousands of lines else
        check_source(source)
        self.source, self.is_camera, self.name = source, source.startswith(CAMERA), name_of(source)
        if self.is_camera:
            self._capture = cv2.VideoCapture(int(source.removeprefix(CAMERA)))
            problem = "no such camera, or another program has it"
        else:
            with _plain_name(Path(source)) as name:
                self._capture = cv2.VideoCapture(name)
            problem = "not a video that OpenCV can read; convert it, for example to mp4"
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.frames = count if count > 0 and not self.is_camera else None
        self._reads = 0
        first = self._read() if self._capture.isOpened() else None
        if first is None:
            self._capture.release()
            raise ConfigError(f"source={source}: {problem}")
        self._first: NDArray[np.uint8] | None = first
        rate = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.rate = rate if 0 < rate < 1000 else USUAL_RATE
        self.size = (first.shape[1], first.shape[0])

    def __iter__(self) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        """Time in seconds and (H, W, 3) uint8 RGB of every frame, once; H and W are those of the first.

        Times rise: they are those of the file, which need not be evenly spaced, or of a camera's clock.
        """
        begin, now, frame = time.monotonic(), -math.inf, self._first
        self._first = None
        while frame is not None:
            now = self._time(begin, now)
            if frame.shape[1::-1] != self.size:  # some files change it on the way
                frame = np.asarray(cv2.resize(frame, self.size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
            yield now, np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), dtype=np.uint8)
            frame = self._read()

    def _read(self) -> NDArray[np.uint8] | None:
        """The next frame that can be decoded; None at the end.

        Damaged frames are passed over: a film goes on behind them, and has ended only once as many frames were tried as
        it names.
        """
        for _ in range(LOST):
            read, frame = self._capture.read()
            self._reads += 1
            if read and frame is not None:
                return np.asarray(frame, dtype=np.uint8)
            if self.frames is None or self._reads >= self.frames:
                break
        return None

    def _time(self, begin: float, before: float) -> float:
        """Seconds at which the frame that was read last is shown; evenly spaced where the file does not say it."""
        told = 0.0 if self.is_camera else float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
        now = time.monotonic() - begin if self.is_camera else told
        if math.isinf(before):
            return now if 0 <= now < math.inf else 0.0
        return now if before < now < math.inf else before + 1 / self.rate

    def __enter__(self) -> "FrameSource":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._capture.release()


class VideoFile:
    """A video file that is being written; the first frame sets its size.

    It takes its place when it is whole, also after an error or Ctrl-C in the block: with the frames until then.

    Args:
        path: of the file, ``.mp4``.
        rate: frames a second.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self.path, self.rate = path, rate
        self._temporary = path.with_name(f".video.{os.getpid()}.tmp.mp4")
        self._writer: cv2.VideoWriter | None = None
        self._count = 0

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Append (H, W, 3) uint8 RGB.

        Raises:
            OSError: the file cannot be written.
        """
        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.is_dir():
                raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(self.path))
            self._temporary.touch()  # says why, where nothing can be written
            code = cv2.VideoWriter.fourcc(*CODEC)
            with _plain_name(self.path.parent) as folder:
                name = str(Path(folder, self._temporary.name))
                self._writer = cv2.VideoWriter(name, code, self.rate, frame.shape[1::-1])
            if not self._writer.isOpened():
                raise OSError(f"{self.path} could not be written: no room, or an OpenCV without {CODEC}")
        self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        self._count += 1

    def __enter__(self) -> "VideoFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._writer is not None and self._writer.isOpened():
                self._writer.release()
                self._check()
                os.replace(self._temporary, self.path)
        finally:
            self._temporary.unlink(missing_ok=True)

    def _check(self) -> None:
        """Look whether the file is whole; OpenCV does not say when the disk is full.

        Raises:
            OSError: it is not.
        """
        with _plain_name(self.path.parent) as folder:
            capture = cv2.VideoCapture(str(Path(folder, self._temporary.name)))
            count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
            capture.release()
        if count < self._count:
            number = errno.ENOSPC if shutil.disk_usage(self.path.parent).free < ROOM else errno.EIO
            reason = f"{os.strerror(number)}: {count} of {self._count} frames were written"
            raise OSError(number, reason, str(self.path))
