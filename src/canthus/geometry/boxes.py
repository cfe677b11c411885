"""Face boxes: float ``xyxy`` in pixels, pixel centres at integers."""

import torch
from torch import Tensor

from canthus.geometry import affine

__all__ = ["SCALES", "box_map", "box_of_points", "centre", "centred_box", "corners", "overlaps", "shape_in_box", "side"]

SCALES = ("sides", "diagonal", "longer")


def centre(box: Tensor) -> Tensor:
    """(..., 4) boxes to their (..., 2) centres."""
    return (box[..., :2] + box[..., 2:]) / 2


def side(box: Tensor) -> Tensor:
    """(..., 4) boxes to the (...) mean of width and height: the one length by which cascades size a face."""
    return (box[..., 2:] - box[..., :2]).mean(-1)


def corners(box: Tensor) -> Tensor:
    """(..., 4) boxes to their (..., 4, 2) corners."""
    return torch.stack([box[..., :2], box[..., [2, 1]], box[..., 2:], box[..., [0, 3]]], -2)


def overlaps(first: Tensor, second: Tensor) -> Tensor:
    """(N, M) intersections over unions of (N, 4) and (M, 4) boxes."""
    least = torch.maximum(first[:, None, :2], second[:, :2])
    most = torch.minimum(first[:, None, 2:], second[:, 2:])
    shared = (most - least).clamp_min(0).prod(-1)
    areas, others = ((boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (first, second))
    return shared / (areas[:, None] + others - shared)


def centred_box(size: float, share: float) -> tuple[float, float, float, float]:
    """The square box that fills a ``share`` of a square frame of ``size`` pixels, in its middle."""
    middle, half = (size - 1) / 2, share * size / 2
    return (middle - half, middle - half, middle + half, middle + half)


def box_of_points(points: Tensor, visibility: Tensor | None = None, *, checked: bool = False) -> Tensor:
    """Tight boxes of (B, K, 2) points; points with visibility 0 are left out.

    Args:
        points: of the faces.
        visibility: (B, K); all points count when absent.
        checked: every face is known to have a labelled point. To look would make the host wait for a GPU.

    Raises:
        ValueError: a face without a labelled point, unless ``checked``.
    """
    if visibility is None:
        return torch.cat([points.amin(-2), points.amax(-2)], -1)
    labelled = (visibility > 0)[..., None]
    if not checked and not bool(labelled.any(-2).all()):
        raise ValueError("a box of points needs at least one labelled point in every face")
    infinite = torch.full_like(points, torch.inf)
    return torch.cat(
        [torch.where(labelled, points, infinite).amin(-2), torch.where(labelled, points, -infinite).amax(-2)], -1
    )


def box_map(source: Tensor, target: Tensor, *, by: str = "sides") -> Tensor:
    """The upright similarity that places one box on another: centres meet, aspect ratio is not matched.

    Args:
        source: (B, 4).
        target: (B, 4) or (4,).
        by: what sets the scale: ``sides``, the mean of both sides' ratios (DAN), or ``diagonal``, the ratio of the
            diagonals, which is that of the corners' centred Frobenius norms (MDM: the least-squares fit of the corners
            without rotation), or ``longer``, the ratio of the longer sides (FacePoseNet).

    Returns:
        (B, 2, 3) maps from source to target frame.

    Raises:
        ValueError: an unknown ``by``.
    """
    if by not in SCALES:
        raise ValueError(f"by is {by!r}; one of {', '.join(SCALES)}")
    source, target = torch.broadcast_tensors(source, target)
    source_sides, target_sides = source[..., 2:] - source[..., :2], target[..., 2:] - target[..., :2]
    if by == "sides":
        scale = (target_sides / source_sides).mean(-1)
    elif by == "diagonal":
        scale = target_sides.norm(dim=-1) / source_sides.norm(dim=-1)
    else:
        scale = target_sides.amax(-1) / source_sides.amax(-1)
    linear = torch.eye(2, dtype=source.dtype, device=source.device) * scale[..., None, None]
    offset = centre(target) - scale[..., None] * centre(source)
    return torch.cat([linear, offset[..., None]], -1)


def shape_in_box(shape: Tensor, box: Tensor, *, by: str = "sides") -> Tensor:
    """Where a cascade starts: a reference shape whose tight box is placed on the face box.

    Args:
        shape: (K, 2).
        box: (B, 4).
        by: see `box_map`.

    Returns:
        (B, K, 2) in the frame of ``box``.
    """
    return affine.apply(box_map(box_of_points(shape), box, by=by), shape)
