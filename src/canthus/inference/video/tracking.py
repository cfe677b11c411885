"""Faces from frame to frame: boxes from the points of the frame before, and who is who when faces are found anew."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from canthus.geometry.boxes import overlaps
from canthus.inference.predictor import LocatedFace
from canthus.inference.video.smoothing import OneEuro

__all__ = ["TrackedFace", "Tracker"]

SAME = 0.3
"""Overlap (intersection over union) from which a found face is the one that was followed."""
SMALLEST = 8.0
"""Pixels: a face whose box is smaller is lost."""
GROWTH = 4.0
"""Factor by which a face may grow or shrink while it is only followed; beyond, its points have gone astray."""


@dataclass(frozen=True)
class TrackedFace:
    """A face of a frame.

    Attributes:
        number: the same as long as the face is followed.
        face: box and points, smoothed if that was asked for.
    """

    number: int
    face: LocatedFace


@dataclass
class _Track:
    number: int
    box: NDArray[np.float64]  # in which the points were found, in the frame where the face was last detected
    points: NDArray[np.float64]  # of that frame
    last: NDArray[np.float64]  # points of the last frame
    smooth: OneEuro | None

    def next_box(self) -> NDArray[np.float64]:
        """The detected box, moved and grown as the points have moved and grown since.

        Not the box of the points: a box made of points found in a box made of points shrinks from frame to frame.
        """
        before, now = self.points.mean(0), self.last.mean(0)
        growth = np.linalg.norm(self.last - now) / max(float(np.linalg.norm(self.points - before)), 1e-6)
        corners = self.box.reshape(2, 2)
        moved: NDArray[np.float64] = (now + growth * (corners - before)).ravel()
        return moved


class Tracker:
    """Follows faces through a video.

    Args:
        smoothing: makes the filter of a face that appears; None leaves points as the model finds them.
    """

    def __init__(self, smoothing: Callable[[], OneEuro] | None = None) -> None:
        self.smoothing = smoothing
        self._tracks: list[_Track] = []
        self._count = 0

    def boxes(self, shape: tuple[int, int]) -> NDArray[np.float64]:
        """(N, 4) boxes in which to look in a frame of (height, width) pixels; faces that left it are forgotten."""
        self._tracks = [track for track in self._tracks if _is_there(track, shape)]
        return np.array([track.next_box() for track in self._tracks]).reshape(-1, 4)

    def update(self, faces: Sequence[LocatedFace], time: float, *, detected: bool) -> list[TrackedFace]:
        """Take the faces of a frame; one whose points are not finite is lost.

        Args:
            faces: of detected boxes, or those of `boxes`, in order.
            time: of the frame, seconds.
            detected: which of both.
        """
        if not detected:
            self._tracks = [track for track, face in zip(self._tracks, faces, strict=True) if face.found]
        faces = [face for face in faces if face.found]
        if detected:
            self._tracks = self._matched(faces)
        shown = []
        for track, face in zip(self._tracks, faces, strict=True):
            track.last = face.landmarks
            if track.smooth is not None:
                side = float((face.box[2:] - face.box[:2]).mean())
                face = replace(face, stages=track.smooth(face.stages, time, side))
            shown.append(TrackedFace(track.number, face))
        return shown

    def _matched(self, faces: Sequence[LocatedFace]) -> list[_Track]:
        """A track for each face: the one that it continues, or a new one."""
        before = self._tracks
        continued: dict[int, _Track] = {}
        if before and faces:
            found = torch.from_numpy(np.stack([face.box for face in faces]))
            followed = torch.from_numpy(np.stack([track.next_box() for track in before]))
            overlap = overlaps(found, followed).numpy()
            for row, column in zip(*linear_sum_assignment(-overlap), strict=True):
                if overlap[row, column] >= SAME:
                    continued[row] = before[column]
        tracks = []
        for row, face in enumerate(faces):
            track = continued.get(row)
            if track is None:
                smooth = self.smoothing() if self.smoothing else None
                track = _Track(self._count, face.box, face.landmarks, face.landmarks, smooth)
                self._count += 1
            track.box, track.points = face.box, face.landmarks
            tracks.append(track)
        return tracks


def _is_there(track: _Track, shape: tuple[int, int]) -> bool:
    """Whether a face can still be looked for."""
    box = track.next_box()
    sides, centre = box[2:] - box[:2], (box[:2] + box[2:]) / 2
    growth = float(sides.mean() / (track.box[2:] - track.box[:2]).mean())
    inside = (centre >= 0).all() and (centre < shape[::-1]).all()
    return bool(np.isfinite(box).all() and inside and sides.min() >= SMALLEST and 1 / GROWTH < growth < GROWTH)
