"""Losses that more than one method uses."""

from collections.abc import Sequence

import torch
from torch import Tensor

from canthus.models.estimates import Votes

__all__ = ["normalised_point_loss", "pair_distance", "vote_loss"]


def pair_distance(landmarks: Tensor, pair: tuple[Sequence[int], Sequence[int]]) -> Tensor:
    """Distance between the means of two groups of points: (B, K, 2) to (B,), pixels.

    With a normaliser of a scheme as the pair: the inter-ocular or inter-pupil distance.
    """
    first, second = (landmarks[:, list(group)].mean(1) for group in pair)
    return (first - second).square().sum(-1).sqrt()


def normalised_point_loss(
    points: Tensor, landmarks: Tensor, visibility: Tensor, pair: tuple[Sequence[int], Sequence[int]]
) -> Tensor:
    """Mean over faces of the mean point-to-point distance, divided by a distance of the true shape.

    DAN's equation 4 (pair: the pupils), MDM's loss of one step (pair: the outer eye corners).

    Args:
        points: (B, K, 2) estimates.
        landmarks: (B, K, 2) truth.
        visibility: (B, K); unlabelled points enter nothing, nor do faces whose pair is not labelled whole.
        pair: see `pair_distance`.

    Returns:
        A scalar; 0.05 is five percent of the distance.
    """
    labelled = visibility > 0
    errors = torch.where(labelled, (points - landmarks).square().sum(-1).clamp_min(1e-12).sqrt(), 0)
    per_face = errors.sum(1) / labelled.sum(1).clamp_min(1)
    measured = labelled[:, [*pair[0], *pair[1]]].all(1)  # without its normaliser a face has no error
    # a face in profile has its pupils on one spot: at least a pixel, so that it does not rule the batch
    relative = per_face / pair_distance(landmarks, pair).clamp_min(1.0)
    return torch.where(measured, relative, 0).sum() / measured.sum().clamp_min(1)


def vote_loss(votes: Votes, landmarks: Tensor, visibility: Tensor) -> Tensor:
    """Mean squared distance of every network's votes from the truth, each in the unit of that network's output.

    The squared error of the encoded targets, so the networks of a stage learn independently of each other.

    Args:
        votes: of one stage.
        landmarks: (B, K, 2) truth.
        visibility: (B, K); unlabelled points enter nothing.

    Returns:
        A scalar.
    """
    labelled = (visibility > 0)[:, votes.landmarks]
    truth = torch.where(labelled[..., None], landmarks[:, votes.landmarks], votes.points.detach())
    squared = ((votes.points - truth) / votes.unit).square().sum(-1)
    return squared.sum() / labelled.sum().clamp_min(1)
