"""canthus-predict on a video: every frame's faces, followed, written and drawn as they come."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
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

from canthus.config import ConfigError
from canthus.config_schemas import VideoConfig
from canthus.files import replacing
from canthus.inference import Predictor
from canthus.live.pictures import annotated
from canthus.live.smoothing import OneEuro
from canthus.live.tracking import Tracker
from canthus.live.video import FrameSource, VideoFile

__all__ = ["VideoOptions", "locate_in_video"]

log = getLogger(__name__)

Boxes = Callable[[NDArray[np.uint8]], NDArray[np.float64]]
"""From a frame to (N, 4) face boxes."""


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


def locate_in_video(
    source: FrameSource,
    predictor: Predictor,
    find: Boxes,
    output: Path,
    options: VideoOptions,
    *,
    entry: Callable[[Any], dict[str, Any]],
    draw: bool,
) -> dict[str, Any]:
    """Go through a video; what was done is kept when Ctrl-C ends it.

    Args:
        source: open.
        predictor: the model.
        find: seeks faces.
        output: folder of ``landmarks.jsonl`` (a line a frame), ``video.json``, and ``NAME.mp4``.
        options: see there.
        entry: of a face, for the files.
        draw: write the annotated video.

    Returns:
        What ``video.json`` says.
    """
    tracker = Tracker((lambda: OneEuro(options.cutoff, options.beta)) if options.smoothing else None)
    model, planned = predictor.model, options.frames or source.frames
    count, faces_seen, interrupted = 0, 0, False
    output.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        lines = stack.enter_context((output / "landmarks.jsonl").open("w", encoding="utf-8"))
        video = stack.enter_context(VideoFile(output / f"{source.name}.mp4", source.rate)) if draw else None
        bar = stack.enter_context(_progress())
        task = bar.add_task(source.name, total=planned)
        try:
            for time, frame in source:
                detected = count == 0 if options.detect_every is None else count % options.detect_every == 0
                boxes = find(frame) if detected else tracker.boxes((frame.shape[0], frame.shape[1]))
                faces = tracker.update(predictor(frame, boxes), time, detected=detected)
                record = [{"track": each.number, **entry(each.face)} for each in faces]
                lines.write(json.dumps({"frame": count, "time": round(time, 4), "faces": record}) + "\n")
                if video is not None:
                    video.add(annotated(frame, faces, model.scheme, model.depth if options.stages else 0))
                count, faces_seen = count + 1, faces_seen + len(faces)
                bar.advance(task)
                if count == options.frames:
                    break
        except KeyboardInterrupt:  # the usual end of a camera
            interrupted = True
    if source.frames and count < min(source.frames, options.frames or source.frames) and not interrupted:
        log.warning(
            "%s: only %d of the %d frames that the file names could be read", source.source, count, source.frames
        )
    summary = {
        "model": model.name,
        "scheme": model.scheme.name,
        "source": source.source,
        "frames": count,
        "rate": source.rate,
        "size": list(source.size),
        "faces": faces_seen,
        "detect_every": options.detect_every,
        "smoothing": {"cutoff": options.cutoff, "beta": options.beta} if options.smoothing else None,
    }
    with replacing(output / "video.json") as temporary:
        temporary.write_text(json.dumps(summary, indent=1))
    return summary


class _Rate(ProgressColumn):
    """Frames a second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.1f} frames/s")


def _progress() -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
