"""Landmark errors as pure functions: normalisers, normalised mean error, AUC, failure rate, cumulative error.

Legend: N faces, K landmarks, M thresholds; an ellipsis stands for any further axes, usually the stages of a cascade.
All results keep the floating type of their input. NME, AUC and failure rate are in percent; equations: 300-W
(Sagonas et al., ICCVW 2013) for NME and CED, with the exact integral of the CED for the AUC.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from canthus.data.face import UNLABELLED, VISIBLE
from canthus.schemes import Scheme

__all__ = [
    "area_under_curve",
    "cumulative_error",
    "failure_rate",
    "nme_over_all_points",
    "nme_per_face",
    "nme_pooled",
    "normaliser_distance",
    "normaliser_names",
    "point_errors",
]

BOX_NORMALISERS = ("box", "box_diagonal", "face_box", "face_box_diagonal")
"""Valid for every scheme: of the tight box of the labelled landmarks, and of the face box that comes with the data."""


def normaliser_names(scheme: Scheme) -> tuple[str, ...]:
    """Every normaliser that works with a scheme: its point pairs, then the boxes."""
    return (*scheme.normalisers, *BOX_NORMALISERS)


def normaliser_distance(
    landmarks: Tensor, visibility: Tensor, box: Tensor, name: str, scheme: Scheme, index: Tensor | None = None
) -> Tensor:
    """The length, per face, by which its errors are divided.

    ``inter_ocular`` is the distance of the outer eye corners, ``inter_pupil`` that of the eye centres (each the mean of
    the eye's points where pupils are not labelled); the scheme holds the indices. ``box`` is ``sqrt(w * h)`` and
    ``box_diagonal`` ``sqrt(w^2 + h^2)`` of the tight box of the labelled landmarks; ``face_box`` and
    ``face_box_diagonal`` are the same of the given box. Widths are ``x2 - x1``.

    Args:
        landmarks: (N, K, 2) labels, pixels.
        visibility: (N, K), 0 where not labelled.
        box: (N, 4) face boxes ``xyxy``, pixels.
        name: one of `normaliser_names`.
        scheme: landmark scheme of the labels.
        index: (N,) what error messages call the faces; their rows by default.

    Returns:
        (N,) pixels, positive and finite.

    Raises:
        ValueError: a name the scheme does not have, or faces on which the distance is zero, not finite or rests on
            unlabelled points. No constant ever stands in for such a distance.
    """
    if name in BOX_NORMALISERS:
        edges = box if name.startswith("face_") else _tight_box(landmarks, visibility)
        # an inverted box has no size, though its product and squares are positive
        size = edges[:, 2:] - edges[:, :2]
        size = torch.where((size < 0).any(1, keepdim=True), torch.nan, size)
        distance = torch.linalg.vector_norm(size, dim=1) if name.endswith("diagonal") else size.prod(1).sqrt()
    elif name in scheme.normalisers:
        first, second = (list(points) for points in scheme.normalisers[name])
        distance = torch.linalg.vector_norm(landmarks[:, first].mean(1) - landmarks[:, second].mean(1), dim=1)
        labelled = (visibility[:, first + second] != UNLABELLED).all(1)
        distance = torch.where(labelled, distance, torch.nan)
    else:
        raise ValueError(
            f"scheme {scheme.name!r} has no normaliser {name!r}; choose one of {', '.join(normaliser_names(scheme))}"
        )
    usable = torch.isfinite(distance) & (distance > 0)
    if not bool(usable.all()):
        rows = torch.nonzero(~usable).flatten()
        faces = (rows if index is None else index[rows]).tolist()
        shown = ", ".join(map(str, faces[:10])) + (f" and {len(faces) - 10} more" if len(faces) > 10 else "")
        raise ValueError(
            f"normaliser {name!r} is zero, not finite or not labelled on face(s) {shown}; choose a normaliser "
            "that every face has, such as 'box' or 'face_box', or leave these faces out"
        )
    return distance


def point_errors(predictions: Tensor, landmarks: Tensor) -> Tensor:
    """Euclidean distances of predictions from labels.

    Args:
        predictions: (N, ..., K, 2) pixels.
        landmarks: (N, K, 2) pixels of the same frame, broadcast over the middle axes.

    Returns:
        (N, ..., K) pixels; NaN where the label is NaN.

    Raises:
        ValueError: shapes that do not belong together.
    """
    n, k = landmarks.shape[:2]
    if landmarks.shape != (n, k, 2) or predictions.shape[:1] != (n,) or predictions.shape[-2:] != (k, 2):
        raise ValueError(
            f"predictions {tuple(predictions.shape)} do not fit landmarks {tuple(landmarks.shape)}; "
            "expected (N, ..., K, 2) and (N, K, 2)"
        )
    between = (1,) * (predictions.ndim - 3)
    errors: Tensor = torch.linalg.vector_norm(predictions - landmarks.reshape(n, *between, k, 2), dim=-1)
    return errors


def nme_per_face(
    errors: Tensor,
    visibility: Tensor,
    distance: Tensor,
    points: Sequence[int] | None = None,
    visible_only: bool = False,
) -> Tensor:
    """Normalised mean error of each face: the mean over its own labelled points, divided by its distance.

    The data set's NME is the plain mean of these values (300-W's way: per image first, then over images). A face
    without a single counted point has no error: it reads NaN, and every mean over faces leaves it out (``nanmean``).
    A NaN *error* at a counted point is a failed prediction and counts as infinite, so it cannot disappear.

    Args:
        errors: (N, ..., K) pixels, see `point_errors`.
        visibility: (N, K) codes 0 not labelled, 1 occluded, 2 visible.
        distance: (N,) pixels, see `normaliser_distance`.
        points: indices of a region; all points by default.
        visible_only: leave occluded points out as well.

    Returns:
        (N, ...) percent of the distance.
    """
    errors, counted = _counted(errors, visibility, points, visible_only)
    return 100 * errors.sum(-1) / (counted.sum(-1) * _like(distance, errors[..., 0]))


def nme_over_all_points(errors: Tensor, visibility: Tensor, distance: Tensor) -> Tensor:
    """As `nme_per_face`, but the sum over labelled points is divided by K, labelled or not.

    The protocol of MERL-RAV (LUVLi, SPIGA), only for comparison with their numbers: unlabelled points count as perfect.

    Returns:
        (N, ...) percent of the distance.
    """
    errors, _ = _counted(errors, visibility)
    return 100 * errors.sum(-1) / (errors.shape[-1] * _like(distance, errors[..., 0]))


def nme_pooled(errors: Tensor, visibility: Tensor, distance: Tensor) -> Tensor:
    """Mean of all labelled points of all faces at once, each divided by its face's distance.

    MMPose's NME, only for comparison with its numbers: faces with more labelled points weigh more.

    Returns:
        (...) percent of the distance; NaN without a labelled point.
    """
    errors, counted = _counted(errors, visibility)
    normalised = 100 * errors / _like(distance, errors)
    return normalised.sum(-1).sum(0) / counted.sum(-1).sum(0)


def area_under_curve(nme: Tensor, threshold: float) -> Tensor:
    """Area under the cumulative error curve up to a threshold, as a share of the largest possible.

    The exact integral ``mean(max(0, T - e)) / T``. Grids in circulation differ from it in the third digit, and the
    common ``arange`` one overshoots at T = 0.05 and 0.07.

    Args:
        nme: (N, ...) percent; NaN faces are left out.
        threshold: T in percent.

    Returns:
        (...) percent.

    Raises:
        ValueError: no faces, or a threshold that is not positive.
    """
    _check(nme, threshold)
    return 100 * _mean((threshold - nme).clamp(min=0), nme) / threshold


def failure_rate(nme: Tensor, threshold: float) -> Tensor:
    """Share of faces with an error strictly above a threshold.

    Args:
        nme: (N, ...) percent; NaN faces are left out.
        threshold: percent.

    Returns:
        (...) percent.

    Raises:
        ValueError: no faces, or a threshold that is not positive.
    """
    _check(nme, threshold)
    return 100 * _mean((nme > threshold).to(nme.dtype), nme)


def cumulative_error(nme: Tensor, thresholds: Tensor) -> Tensor:
    """Cumulative error distribution: share of faces with an error at or below each threshold.

    Args:
        nme: (N,) percent; NaN faces are left out.
        thresholds: (M,) percent, in any order.

    Returns:
        (M,) fractions; NaN when every face is NaN.

    Raises:
        ValueError: no faces.
    """
    _check(nme, 1.0)
    measured = nme[~nme.isnan()].sort().values
    counts = torch.searchsorted(measured, thresholds.to(nme), right=True)
    return counts.to(nme.dtype) / len(measured)


def _tight_box(landmarks: Tensor, visibility: Tensor) -> Tensor:
    """(N, 4) boxes of the labelled landmarks; inverted and infinite where a face has none."""
    labelled = (visibility != UNLABELLED)[..., None]
    low = torch.where(labelled, landmarks, torch.inf).amin(1)
    high = torch.where(labelled, landmarks, -torch.inf).amax(1)
    return torch.cat([low, high], 1)


def _counted(
    errors: Tensor, visibility: Tensor, points: Sequence[int] | None = None, visible_only: bool = False
) -> tuple[Tensor, Tensor]:
    """Errors (N, ..., K') with zeros where nothing counts, and which count, broadcast to (N, 1..., K')."""
    if points is not None:
        chosen = list(points)
        errors, visibility = errors[..., chosen], visibility[..., chosen]
    counted = _like(visibility >= VISIBLE if visible_only else visibility != UNLABELLED, errors, keep=1)
    errors = torch.where(errors.isnan(), torch.inf, errors)
    # chosen, not multiplied: infinity times zero would be NaN
    return torch.where(counted, errors, 0.0), counted


def _like(values: Tensor, target: Tensor, keep: int = 0) -> Tensor:
    """(N, <keep axes>) values with axes of one inserted after the first, to as many axes as the target."""
    missing = target.ndim - 1 - keep
    return values.reshape(values.shape[0], *(1,) * missing, *values.shape[1:])


def _mean(values: Tensor, nme: Tensor) -> Tensor:
    """Mean over the first axis of values, without the faces whose NME is NaN."""
    return torch.where(nme.isnan(), torch.nan, values).nanmean(0)


def _check(nme: Tensor, threshold: float) -> None:
    if len(nme) == 0:
        raise ValueError("there are no faces to measure; check the split or subset that was selected")
    if not threshold > 0:
        raise ValueError(f"threshold {threshold} must be positive, in percent of the normaliser (8.0, not 0.08)")
