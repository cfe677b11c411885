"""Video files and cameras: frames in, faces followed from frame to frame, annotated video out."""

from canthus.live.smoothing import OneEuro
from canthus.live.tracking import TrackedFace, Tracker
from canthus.live.video import FrameSource, VideoFile, is_video

__all__ = ["FrameSource", "OneEuro", "TrackedFace", "Tracker", "VideoFile", "is_video"]
