"""MTCNN, as prediction needs it."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from canthus.data.batch import Batch, InputSpec
from canthus.geometry import boxes
from canthus.geometry.warp import warp
from canthus.geometry.windows import crop_maps, decode_points, square
from canthus.models.cascade import Cascade
from canthus.models.estimates import Estimates
from canthus.models.mtcnn.network import MTCNN, normalised

__all__ = ["MTCNNCascade", "face_windows"]

SIZE = 96
"""Side of the face view's input, pixels: O-Net's window around the face box, and room for a longer side of it."""


class MTCNNCascade(Cascade):
    """Multi-task cascaded networks: P-, R- and O-Net detect faces and place five points.

    As a landmark method it answers with every network's points in the square about the given box; whole images are for
    `canthus.models.mtcnn.detect.Detector`.

    Args:
        scheme: landmark scheme; only the five points of the paper.
        dropout: of O-Net.
        ohem: online hard example mining: only those of a batch's windows with the largest loss of classification.
        hard_percent: how many of them, percent.
        joint_landmarks: learn landmarks with detection; without, their loss has no weight (the paper's comparison).
        mining_thresholds: scores of P-Net and R-Net from which windows become examples for the next network.
        thresholds: scores of the three networks in validation; low, for average precision ranks all that is found.
        smallest_face: that mining and validation look for, stored pixels.
        factor: from one size of their pyramid to the next.
        candidates: windows of an image that mining and validation hand on to the next network, the surest first.

    Raises:
        ValueError: thresholds of another number than there are networks, or a share that is none.
    """

    name = "mtcnn"
    schemes = ("5",)

    def __init__(
        self,
        *,
        scheme: str | int = "5",
        dropout: float = 0.25,
        ohem: bool = True,
        joint_landmarks: bool = True,
        mining_thresholds: Sequence[float] = (0.3, 0.1),
        thresholds: Sequence[float] = (0.5, 0.5, 0.3),
        smallest_face: float = 20.0,
        factor: float = 0.709,
        candidates: int = 500,
        hard_percent: int = 70,
    ) -> None:
        super().__init__(scheme=scheme, stages=len(MTCNN.names))
        if len(mining_thresholds) != 2 or len(thresholds) != 3:
            raise ValueError(
                f"model.mining_thresholds={list(mining_thresholds)} and model.thresholds={list(thresholds)} need a "
                "score for each of two and of three networks"
            )
        if not 0 < hard_percent <= 100:
            raise ValueError(f"model.hard_percent={hard_percent}: above 0, up to 100")
        self.hard_share = hard_percent, 100
        self.network = MTCNN(dropout=dropout).to(memory_format=torch.channels_last)  # two thirds of the time on a CPU
        self.ohem, self.joint_landmarks = ohem, joint_landmarks
        self.mining_thresholds, self.thresholds = tuple(mining_thresholds), tuple(thresholds)
        self.smallest_face, self.factor, self.candidates = smallest_face, factor, candidates
        self._input = InputSpec(SIZE, 3, boxes.centred_box(SIZE, self.network.onet.window / SIZE))

    @property
    def input(self) -> InputSpec:
        """Twice the face box, at the size that O-Net sees."""
        return self._input

    def estimates(self, batch: Batch) -> Estimates:
        """Points of every active network in the square about the face box."""
        squares = square(batch["box"])
        points = []
        for net in self.network.stages[: self.depth]:
            outputs = net(normalised(face_windows(batch["image"], squares, net.window)))
            points.append(decode_points(squares, outputs.landmarks.flatten(1)))
        return Estimates(points=points)


def face_windows(image: Tensor, squares: Tensor, size: int) -> Tensor:
    """(B, 3, size, size) windows over squares of (B, 3, H, W) inputs."""
    factor = max(SIZE // (2 * size), 1)  # bilinear sampling would skip pixels: average blocks first
    pooled = functional.avg_pool2d(image, factor) if factor > 1 else image
    return warp(pooled, crop_maps((squares + 0.5) / factor - 0.5, size), size, padding="zeros")
