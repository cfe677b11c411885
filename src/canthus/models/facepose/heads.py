"""The last layer's output: a pose as six or nine numbers, each with mean 0 and standard deviation 1 in training."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from canthus.geometry.pose import rotation_of_columns, rotation_of_vector, vector_of_rotation

__all__ = ["HEADS", "ContinuousHead", "PoseHead", "RotationVectorHead"]


class PoseHead(nn.Module, ABC):
    """Encodes poses as vectors, z-scores them, and measures their errors.

    Attributes:
        size: numbers D of a pose.
    """

    size: int
    mean: Tensor
    deviation: Tensor
    rotation_spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(self.size))
        self.register_buffer("deviation", torch.ones(self.size))
        self.register_buffer("rotation_spread", torch.tensor(1.0))

    @abstractmethod
    def vector(self, rotation: Tensor, translation: Tensor) -> Tensor:
        """(B, 3, 3) and (B, 3) to (B, D), not normalised."""

    @abstractmethod
    def pose(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """The inverse of `vector`."""

    def fit(self, rotation: Tensor, translation: Tensor) -> None:
        """Take mean and standard deviation from the poses of the training faces."""
        vectors = self.vector(rotation, translation).double()
        self.mean.copy_(vectors.mean(0))
        self.deviation.copy_(vectors.std(0).clamp_min(1e-6))
        away = rotation.double() - rotation.double().mean(0)
        self.rotation_spread.copy_(away.square().sum((1, 2)).mean().clamp_min(1e-6))

    def encode(self, rotation: Tensor, translation: Tensor) -> Tensor:
        """Poses to (B, D) z-scores."""
        return (self.vector(rotation, translation) - self.mean) / self.deviation

    def decode(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) z-scores to rotations (B, 3, 3) and translations (B, 3)."""
        return self.pose(scores.float() * self.deviation + self.mean)

    def errors(self, scores: Tensor, rotation: Tensor, translation: Tensor) -> Tensor:
        """(B,) squared error, summed over the z-scores (the published loss)."""
        return (scores.float() - self.encode(rotation, translation)).square().sum(1)


class RotationVectorHead(PoseHead):
    """The published six numbers h: rotation vector (radians) and translation.

    The paper calls the first three Euler angles; its code gives them to Rodrigues' formula.
    """

    size = 6

    def vector(self, rotation: Tensor, translation: Tensor) -> Tensor:
        """Rotation vector and translation."""
        return torch.cat([vector_of_rotation(rotation), translation], 1)

    def pose(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """The inverse."""
        return rotation_of_vector(vector[:, :3]), vector[:, 3:]


class ContinuousHead(PoseHead):
    """Two columns of the rotation (Zhou et al., CVPR 2019), tx / tz, ty / tz and log tz.

    No two images that are nearly the same have labels far apart, and depth is always positive. The error of the
    rotation is the squared Frobenius distance, in units in which its spread counts as three z-scores.
    """

    size = 9

    def vector(self, rotation: Tensor, translation: Tensor) -> Tensor:
        """First column, second column, places in the image and log depth."""
        return torch.cat([rotation[:, :, 0], rotation[:, :, 1], self._placement(translation)], 1)

    def pose(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """The inverse for anything that is nearly a rotation."""
        depth = vector[:, 8:].exp()
        return rotation_of_columns(vector[:, :6]), torch.cat([vector[:, 6:8] * depth, depth], 1)

    def errors(self, scores: Tensor, rotation: Tensor, translation: Tensor) -> Tensor:
        """(B,) squared distances of the rotations and of the placements."""
        found, _ = self.decode(scores)
        turned = (found - rotation).square().sum((1, 2)) * 3 / self.rotation_spread
        wanted = (self._placement(translation) - self.mean[6:]) / self.deviation[6:]
        return turned + (scores[:, 6:].float() - wanted).square().sum(1)

    def _placement(self, translation: Tensor) -> Tensor:
        depth = translation[:, 2:]
        return torch.cat([translation[:, :2] / depth, depth.log()], 1)


HEADS: dict[str, type[PoseHead]] = {"rotvec": RotationVectorHead, "6d": ContinuousHead}
