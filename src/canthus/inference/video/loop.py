"""canthus-predict on a video: every frame's faces, followed, written and drawn as they come."""

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from io import FileIO
from itertools import count
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from canthus.inference.ahead import Behind, ahead
from canthus.inference.landmark_files import face_entry, plain_json
from canthus.inference.predictor import Predictor
from canthus.inference.video.options import VideoConfig
from canthus.inference.video.pictures import annotated
from canthus.inference.video.smoothing import OneEuro
from canthus.inference.video.tracking import TrackedFace, Tracker
from canthus.inference.video.video import FrameSource, VideoFile, name_of
from canthus.schemes import Scheme
from canthus.utils.errors import ConfigError
from canthus.utils.escaping import visible
from canthus.utils.files import read_json, replacing
from canthus.utils.outputs import is_same

__all__ = ["VideoOptions", "check_video_output", "locate_in_video"]

log = getLogger(__name__)

Boxes = Callable[[NDArray[np.uint8]], NDArray[np.float64]]
"""From a frame to (N, 4) face boxes."""
Frame = tuple[float, NDArray[np.uint8]]
"""Time in seconds, and (H, W, 3) uint8 RGB."""
AHEAD = 4
"""Frames that may be decoded before they are worked on, and that may wait to be drawn."""


@dataclass
class VideoOptions(VideoConfig):
    """How a video is gone through.

    Attributes:
        detect_every: frames from one search for faces to the next; in between they are followed by their points. None:
            faces are sought in the first frame only.
        smoothing: whether points are smoothed over time (see `OneEuro`).
        cutoff: see `OneEuro`.
        beta: see `OneEuro`.
        stages: draw the stages of the surest face below every frame.
        frames: stop after so many; None: at the end, or when Ctrl-C ends a camera.

    Raises:
        ConfigError: a setting outside its range.
    """

    def __post_init__(self) -> None:
        for key, least in (("detect_every", 1), ("frames", 1)):
            if (value := getattr(self, key)) is not None and value < least:
                raise ConfigError(f"video.{key}={value}: at least {least}, or null")
        try:
            OneEuro(self.cutoff, self.beta)
        except ValueError as error:
            raise ConfigError(f"video: {error}") from error


def check_video_output(output: Path, source: str, *, draw: bool) -> list[Path]:
    """The files that `locate_in_video` writes.

    Raises:
        ConfigError: they would replace the prediction of another video, or a video that canthus did not make.
    """
    film, summary = output / f"{name_of(source)}.mp4", output / "video.json"
    if summary.is_file():
        before = read_json(summary, "name another output").get("source")
        same = before == source or is_same(Path(str(before)), Path(source))
        if not same:
            raise ConfigError(f"output={output} holds the prediction of {before}; name another folder for {source}")
    elif draw and film.exists() and not is_same(film, Path(source)):
        raise ConfigError(f"output={output} holds a {film.name} that is no prediction; name another folder")
    return [output / "landmarks.jsonl", summary, *([film] if draw else [])]


def locate_in_video(
    source: FrameSource, predictor: Predictor, find: Boxes, output: Path, options: VideoOptions, *, draw: bool
) -> dict[str, Any]:
    """Go through a video; what was done is kept when an error or Ctrl-C ends it.

    Args:
        source: open.
        predictor: the model.
        find: seeks faces.
        output: folder of ``landmarks.jsonl`` (a line a frame), ``video.json``, and ``NAME.mp4``.
        options: see there.
        draw: write the annotated video.

    Returns:
        What ``video.json`` says.
    """
    model, planned = predictor.model, options.frames or source.frames
    counts, finished = Counter[str](), False
    output.mkdir(parents=True, exist_ok=True)
    try:
        with ExitStack() as stack:
            lines = stack.enter_context((output / "landmarks.jsonl").open("wb", buffering=0))
            video = stack.enter_context(VideoFile(output / f"{source.name}.mp4", source.rate)) if draw else None
            drawing = stack.enter_context(Behind[None](AHEAD, _raised))
            bar = stack.enter_context(_progress())
            task = bar.add_task(visible(source.name), total=planned)
            frames = stack.enter_context(closing(_read_ahead(source)))
            for time, frame, located, faces in _followed(frames, predictor, find, options):
                record = [{"track": each.number, **face_entry(each.face)} for each in faces]
                _write_line(lines, plain_json({"frame": counts["frames"], "time": round(time, 4), "faces": record}))
                counts.update(frames=1, faces=len(faces), faces_without_points=located - len(faces))
                if video is not None:
                    stages = model.depth if options.stages else 0
                    drawing.give(None, partial(_add, video, frame, faces, model.scheme, stages))
                bar.advance(task)
                if counts["frames"] == options.frames:
                    break
            finished = True
    except KeyboardInterrupt:  # the usual end of a camera
        pass
    finally:
        summary = _summary(source, predictor, options, counts, finished=finished)
        if counts["frames"]:
            with replacing(output / "video.json") as temporary:
                temporary.write_text(plain_json(summary, indent=1))
    _warn(source, options, counts, finished=finished)
    return summary


def _read_ahead(source: FrameSource) -> Generator[Frame, None, None]:
    """The frames of a source, decoded while those before are worked on."""
    frames = iter(source)
    for one in ahead(lambda _: next(frames, None), count(), AHEAD):
        if one is None:
            return
        yield one


def _followed(
    frames: Iterable[Frame], predictor: Predictor, find: Boxes, options: VideoOptions
) -> Iterator[tuple[float, NDArray[np.uint8], int, list[TrackedFace]]]:
    """Time and pixels of each frame, the number of faces that were looked for, and those that have points."""
    tracker = Tracker((lambda: OneEuro(options.cutoff, options.beta)) if options.smoothing else None)
    for number, (time, frame) in enumerate(frames):
        detected = number == 0 if options.detect_every is None else number % options.detect_every == 0
        boxes = find(frame) if detected else tracker.boxes((frame.shape[0], frame.shape[1]))
        located = predictor(frame, boxes)
        yield time, frame, len(located), tracker.update(located, time, detected=detected)


def _add(video: VideoFile, frame: NDArray[np.uint8], faces: Sequence[TrackedFace], scheme: Scheme, stages: int) -> None:
    video.add(annotated(frame, faces, scheme, stages))


def _raised(_: None, error: BaseException | None) -> None:
    if error is not None:
        raise error


def _write_line(file: FileIO, text: str) -> None:
    """Append a line, whole or not at all."""
    place, left = file.tell(), memoryview(f"{text}\n".encode("ascii"))
    try:
        while left:  # a disk that fills takes a part, and says so at the next attempt
            left = left[file.write(left) :]
    except OSError:
        file.truncate(place)
        raise


def _summary(
    source: FrameSource, predictor: Predictor, options: VideoOptions, counts: Counter[str], *, finished: bool
) -> dict[str, Any]:
    """What ``video.json`` says."""
    return {
        "model": predictor.model.name,
        "scheme": predictor.model.scheme.name,
        "source": source.source,
        "frames": counts["frames"],
        "frames_of_source": source.frames,
        "complete": finished,
        "rate": source.rate,
        "size": list(source.size),
        "faces": counts["faces"],
        "faces_without_points": counts["faces_without_points"],
        "detect_every": options.detect_every,
        "smoothing": {"cutoff": options.cutoff, "beta": options.beta} if options.smoothing else None,
    }


def _warn(source: FrameSource, options: VideoOptions, counts: Counter[str], *, finished: bool) -> None:
    """Say what is missing."""
    if counts["faces_without_points"]:
        log.warning(
            "%s: the points of %d faces are not finite numbers, and left out; check the model",
            *(source.source, counts["faces_without_points"]),
        )
    if finished and source.frames and counts["frames"] < min(source.frames, options.frames or source.frames):
        log.warning(
            "%s: only %d of the %d frames that the file names could be read; it is cut or damaged",
            *(source.source, counts["frames"], source.frames),
        )


class _Rate(ProgressColumn):
    """Frames a second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.1f} frames/s")


def _progress() -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
