"""Losses that more than one method uses."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from canthus.geometry.devices import constant
from canthus.models.estimates import Votes
from canthus.utils.errors import check_choice

__all__ = [
    "COORDINATE_LOSSES",
    "adaptive_wing",
    "check_loss",
    "coordinate_loss",
    "normalised_point_loss",
    "pair_distance",
    "vote_loss",
    "wing",
]

PUBLISHED = "published"
"""A method's own loss."""
COORDINATE_LOSSES = ("l1", "smooth_l1", "wing")
"""Losses of the error of a coordinate that may stand in its place."""
REFERENCE_SIDE = 256
"""Side in pixels of the input in which Feng et al. state Wing's numbers."""


def check_loss(loss: str, others: Sequence[str] = COORDINATE_LOSSES) -> str:
    """The name of a loss, once it is one of a method's own and some others.

    Raises:
        ValueError: it is none of these.
    """
    check_choice("model.loss", loss, (PUBLISHED, *others))
    return loss


def wing(errors: Tensor, width: float = 10.0, curvature: float = 2.0) -> Tensor:
    """Wing loss of each error: logarithmic, with a large gradient, below ``width``, and linear above.

    Feng et al., "Wing Loss for Robust Facial Landmark Localisation with Convolutional Neural Networks", CVPR 2018,
    equation 5, with its w = 10 and epsilon = 2 for inputs of 256 pixels.

    Args:
        errors: of coordinates, pixels, any shape.
        width: w.
        curvature: epsilon.
    """
    size = errors.abs()
    offset = width - width * math.log1p(width / curvature)
    return torch.where(size < width, width * torch.log1p(size / curvature), size - offset)


def adaptive_wing(
    maps: Tensor, target: Tensor, alpha: float = 2.1, omega: float = 14.0, epsilon: float = 1.0, theta: float = 0.5
) -> Tensor:
    """Adaptive Wing loss of each cell: like Wing where the target is high, like a squared error in the background.

    Wang, Bo & Li, "Adaptive Wing Loss for Robust Face Alignment via Heatmap Regression", ICCV 2019, equation 3 with
    its numbers.

    Args:
        maps: heatmaps, any shape.
        target: likewise, from 0 to 1.
        alpha: exponent, above 2.
        omega: factor of the logarithm.
        epsilon: curvature.
        theta: error from which the loss is linear.
    """
    error, power = (target - maps).abs(), alpha - target
    at_theta = (theta / epsilon) ** power
    slope = omega / (1 + at_theta) * power * (theta / epsilon) ** (power - 1) / epsilon
    near = omega * torch.log1p((error.clamp(max=theta) / epsilon) ** power)
    far = slope * error - (theta * slope - omega * torch.log1p(at_theta))
    return torch.where(error < theta, near, far)


def coordinate_loss(loss: str, points: Tensor, landmarks: Tensor, visibility: Tensor, size: Tensor | float) -> Tensor:
    """A loss of the errors in x and y, in place of a method's own.

    Errors are counted in pixels of an input of side 256, where the papers state their numbers; the mean is divided by
    256, which makes it about as large as a relative error and lets learning rates stand.

    Args:
        loss: ``l1``; ``smooth_l1`` (Girshick, "Fast R-CNN", ICCV 2015, equation 3); or ``wing``, see `wing`.
        points: (B, K, 2) estimates.
        landmarks: (B, K, 2) truth.
        visibility: (B, K); unlabelled points enter nothing.
        size: side of what the network sees, in the pixels of ``points``; may vary, broadcastable.

    Returns:
        A scalar: the mean over labelled points of the sum over x and y.
    """
    labelled = visibility > 0
    errors = torch.where(labelled[..., None], points - landmarks, 0) * (REFERENCE_SIDE / size)
    if loss == "l1":
        values = errors.abs()
    elif loss == "smooth_l1":
        values = functional.smooth_l1_loss(errors, torch.zeros_like(errors), reduction="none")
    else:
        values = wing(errors)
    return values.sum() / labelled.sum().clamp_min(1) / REFERENCE_SIDE


def pair_distance(landmarks: Tensor, pair: tuple[Sequence[int], Sequence[int]]) -> Tensor:
    """Distance between the means of two groups of points: (B, K, 2) to (B,), pixels.

    With a normaliser of a scheme as the pair: the inter-ocular or inter-pupil distance.
    """
    first, second = (landmarks[:, constant(tuple(group), landmarks, torch.long)].mean(1) for group in pair)
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
    both = constant((*pair[0], *pair[1]), labelled, torch.long)
    measured = labelled[:, both].all(1)  # without its normaliser a face has no error
    # a face in profile has its pupils on one spot: at least a pixel, so that it does not rule the batch
    relative = per_face / pair_distance(landmarks, pair).clamp_min(1.0)
    return torch.where(measured, relative, 0).sum() / measured.sum().clamp_min(1)


def vote_loss(votes: Votes, landmarks: Tensor, visibility: Tensor, loss: str = PUBLISHED) -> Tensor:
    """Mean squared distance of every network's votes from the truth, each in the unit of that network's output.

    The squared error of the encoded targets, so the networks of a stage learn independently of each other.

    Args:
        votes: of one stage.
        landmarks: (B, K, 2) truth.
        visibility: (B, K); unlabelled points enter nothing.
        loss: another than the squared error, see `coordinate_loss`.

    Returns:
        A scalar.
    """
    if loss != PUBLISHED:  # a unit is half the side of what a network sees
        truth, known = landmarks[:, votes.landmarks], visibility[:, votes.landmarks]
        return coordinate_loss(loss, votes.points, truth, known, 2 * votes.unit)
    labelled = (visibility > 0)[:, votes.landmarks]
    truth = torch.where(labelled[..., None], landmarks[:, votes.landmarks], votes.points.detach())
    squared = ((votes.points - truth) / votes.unit).square().sum(-1)
    return squared.sum() / labelled.sum().clamp_min(1)
