"""What every model returns: all of its estimates, coarse to fine."""

from dataclasses import dataclass

from torch import Tensor

__all__ = ["Estimates"]


@dataclass
class Estimates:
    """Landmark estimates of a batch.

    Attributes:
        points: S tensors (B, K, 2), one per stage, coarse to fine, in the pixels of the batch's ``image``.
        initial: (B, K, 2) what the first stage started from, if the method starts from a shape.
        scores: (B, K) confidence of the last stage's points, if the method gives one.
        heatmaps: (B, K, H, W) of the last stage, if the method makes them.
        boxes: (B, 4) face boxes, if the method refines them; pixels of ``image``.
        pose: (B, 3) yaw, pitch, roll in radians, if the method estimates it.
    """

    points: list[Tensor]
    initial: Tensor | None = None
    scores: Tensor | None = None
    heatmaps: Tensor | None = None
    boxes: Tensor | None = None
    pose: Tensor | None = None
