"""What every model returns: all of its estimates, coarse to fine."""

from dataclasses import dataclass

from torch import Tensor

__all__ = ["Estimates", "Votes"]


@dataclass
class Votes:
    """What the networks of one stage say, each for itself: more than one may place the same landmark.

    Attributes:
        points: (B, V, 2) votes, in the pixels of the batch's ``image``.
        landmarks: (V,) int64, which landmark each vote is about.
        unit: broadcastable to ``points``: how many pixels are 1 in a network's output (half the side of what it sees).
    """

    points: Tensor
    landmarks: Tensor
    unit: Tensor

    def average(self, num_landmarks: int) -> Tensor:
        """(B, K, 2) mean of the votes for each landmark; every landmark must have one."""
        total = self.points.new_zeros(self.points.shape[0], num_landmarks, 2).index_add(1, self.landmarks, self.points)
        one = self.points.new_ones(len(self.landmarks))  # not by `bincount`, which a GPU's host waits for
        return total / self.points.new_zeros(num_landmarks).index_add(0, self.landmarks, one)[:, None]


@dataclass
class Estimates:
    """Landmark estimates of a batch.

    Attributes:
        points: S tensors (B, K, 2), one per stage, coarse to fine, in the pixels of the batch's ``image``.
        votes: S entries where the stages are many networks: what each of them said before the mean was taken.
        initial: (B, K, 2) what the first stage started from, if the method starts from a shape.
        scores: (B, K) confidence of the last stage's points, if the method gives one.
        heatmaps: maps (B, K + 1, H, W) in which the method looks for the points, the background last, coarse to fine; a
            stage may make more than one.
        aggregated: (B, C, H, W) the batch's ``image`` in the style that the method turns all images to.
        boxes: (B, 4) face boxes, if the method refines them; pixels of ``image``.
        pose: (B, 3) yaw, pitch, roll in radians, if the method estimates it.
        pose_scores: (B, D) what its network says about the pose, z-scored.
    """

    points: list[Tensor]
    votes: list[Votes] | None = None
    initial: Tensor | None = None
    scores: Tensor | None = None
    heatmaps: list[Tensor] | None = None
    aggregated: Tensor | None = None
    boxes: Tensor | None = None
    pose: Tensor | None = None
    pose_scores: Tensor | None = None
