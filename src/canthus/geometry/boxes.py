"""Face boxes: float ``xyxy`` in pixels, pixel centres at integers."""

import torch
from torch import Tensor

__all__ = ["box_map", "box_of_points", "centre", "centred_box", "corners", "side"]


def centre(box: Tensor) -> Tensor:
    """(..., 4) boxes to their (..., 2) centres."""
    return (box[..., :2] + box[..., 2:]) / 2


def side(box: Tensor) -> Tensor:
    """(..., 4) boxes to the (...) mean of width and height: the one length by which cascades size a face."""
    return (box[..., 2:] - box[..., :2]).mean(-1)


def corners(box: Tensor) -> Tensor:
    """(..., 4) boxes to their (..., 4, 2) corners."""
    return torch.stack([box[..., :2], box[..., [2, 1]], box[..., 2:], box[..., [0, 3]]], -2)


def centred_box(size: float, share: float) -> tuple[float, float, float, float]:
    """The square box that fills a ``share`` of a square frame of ``size`` pixels, in its middle."""
    middle, half = (size - 1) / 2, share * size / 2
    return (middle - half, middle - half, middle + half, middle + half)


def box_of_points(points: Tensor, visibility: Tensor | None = None) -> Tensor:
    """Tight boxes of (B, K, 2) points; points with visibility 0 are left out.

    Raises:
        ValueError: a face without a labelled point.
    """
    if visibility is None:
        return torch.cat([points.amin(-2), points.amax(-2)], -1)
    labelled = (visibility > 0)[..., None]
    if not bool(labelled.any(-2).all()):
        raise ValueError("a box of points needs at least one labelled point in every face")
    infinite = torch.full_like(points, torch.inf)
    return torch.cat(
        [torch.where(labelled, points, infinite).amin(-2), torch.where(labelled, points, -infinite).amax(-2)], -1
    )


def box_map(source: Tensor, target: Tensor) -> Tensor:
    """The upright similarity that places one box on another: centres meet, scale is the mean of both sides' ratios.

    This is how DAN (and, with another norm, MDM) puts the mean shape into a detector box: aspect ratio is not matched.

    Args:
        source: (B, 4).
        target: (B, 4) or (4,).

    Returns:
        (B, 2, 3) maps from source to target frame.
    """
    source, target = torch.broadcast_tensors(source, target)
    scale = ((target[..., 2:] - target[..., :2]) / (source[..., 2:] - source[..., :2])).mean(-1)
    linear = torch.eye(2, dtype=source.dtype, device=source.device) * scale[..., None, None]
    offset = centre(target) - scale[..., None] * centre(source)
    return torch.cat([linear, offset[..., None]], -1)
