"""Options of videos and cameras. Kept free of torch."""

from dataclasses import dataclass

__all__ = ["VideoConfig"]


@dataclass
class VideoConfig:
    """Key ``video`` of predict.yaml, see `canthus.inference.video.loop.VideoOptions`."""

    detect_every: int | None = 1
    smoothing: bool = False
    cutoff: float = 1.0
    beta: float = 10.0
    stages: bool = True
    frames: int | None = None
