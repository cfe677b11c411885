"""Statistics of landmark shapes."""

from collections.abc import Sequence

import torch
from torch import Tensor

from canthus.geometry import affine

__all__ = ["procrustes_mean"]


def procrustes_mean(
    shapes: Tensor, visibility: Tensor, flip: Sequence[int], *, iterations: int = 10, tolerance: float = 1e-6
) -> Tensor:
    """Generalised Procrustes mean of a set of shapes, upright and exactly left-right symmetric.

    Every shape is fitted to the current mean by a similarity; the mean of the fitted shapes, averaged with its own
    mirror image, is the next mean (how DAN's mean face was built: its issues 8 and 52).

    Args:
        shapes: (N, K, 2).
        visibility: (N, K); unlabelled points enter no mean.
        flip: the scheme's flip permutation.
        iterations: rounds at most.
        tolerance: stop when no point moves further than this share of the shape's size.

    Returns:
        (K, 2) with centroid 0 and larger side 1.

    Raises:
        ValueError: a landmark that no face has, or no face with two labelled points.
    """
    weight = (visibility > 0).to(torch.float64)
    usable = weight.sum(1) >= 2  # a similarity needs two points
    if not usable.any():
        raise ValueError("no face has two labelled points, so a mean shape cannot be computed")
    shapes, weight = shapes[usable], weight[usable]
    missing = torch.nonzero(weight.sum(0) == 0).flatten().tolist()
    if missing:
        raise ValueError(f"landmarks {missing} are labelled in no face, so a mean shape cannot be computed")
    points = torch.where(weight[..., None] > 0, shapes.double(), 0)
    permutation = torch.as_tensor(flip)
    # start: every face at unit size about its own centroid, which keeps the mean upright
    centroid = (weight[..., None] * points).sum(1, keepdim=True) / weight.sum(1)[:, None, None]
    spread = (weight[..., None] * (points - centroid)).square().sum((1, 2), keepdim=True).sqrt()
    fitted = (points - centroid) / spread
    mean = _normalised(_weighted_mean(fitted, weight), permutation)
    for _ in range(iterations):
        fitted = affine.apply(affine.similarity_fit(points, mean[None], weight), points)
        update = _normalised(_weighted_mean(fitted, weight), permutation)
        moved = (update - mean).abs().max()
        mean = update
        if moved < tolerance:
            break
    return mean.float()


def _weighted_mean(shapes: Tensor, weight: Tensor) -> Tensor:
    return (weight[..., None] * shapes).sum(0) / weight.sum(0)[:, None]


def _normalised(mean: Tensor, permutation: Tensor) -> Tensor:
    """Centroid 0, symmetric about x = 0, larger side 1."""
    mean = mean - mean.mean(0)
    mirrored = mean[permutation] * mean.new_tensor([-1.0, 1.0])
    mean = (mean + mirrored) / 2
    return mean / (mean.amax(0) - mean.amin(0)).max()
