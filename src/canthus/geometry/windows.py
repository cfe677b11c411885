"""Square windows that a detector looks at: targets in sides of the window, crops, and suppression of doubles.

Windows and boxes are float ``xyxy`` in the frame of `canthus.geometry.boxes`: n pixels from pixel p on are the window
p - 0.5 to p + n - 0.5. Offsets and shares are MTCNN's (Zhang et al., Signal Processing Letters 2016, as in its released
code: corners, where the text of the paper speaks of left, top, height and width).

Legend: N windows, K points.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from canthus.geometry.boxes import centre

__all__ = [
    "crop_maps", "decode", "decode_points", "encode", "encode_points", "mirror_offsets", "mirror_shares",
    "ranks", "square", "suppress", "suppress_nested",
]  # fmt: skip


def _sides(windows: Tensor) -> Tensor:
    """(..., 4) to (..., 4) width, height, width, height."""
    sides = windows[..., 2:] - windows[..., :2]
    return torch.cat([sides, sides], -1)


def encode(windows: Tensor, boxes: Tensor) -> Tensor:
    """(..., 4) offsets that lead from windows to boxes: differences of corners, in sides of the window."""
    return (boxes - windows) / _sides(windows)


def decode(windows: Tensor, offsets: Tensor) -> Tensor:
    """Inverse of `encode`."""
    return windows + offsets * _sides(windows)


def encode_points(windows: Tensor, points: Tensor) -> Tensor:
    """(..., K, 2) points to (..., 2 K) shares of the window, x1 to xK, then y1 to yK."""
    shares = (points - windows[..., None, :2]) / _sides(windows)[..., None, :2]
    return torch.cat([shares[..., 0], shares[..., 1]], -1)


def decode_points(windows: Tensor, shares: Tensor) -> Tensor:
    """Inverse of `encode_points`."""
    return windows[..., None, :2] + torch.stack(shares.chunk(2, -1), -1) * _sides(windows)[..., None, :2]


def mirror_offsets(offsets: Tensor) -> Tensor:
    """(..., 4) offsets in the mirrored window."""
    return torch.stack([-offsets[..., 2], offsets[..., 1], -offsets[..., 0], offsets[..., 3]], -1)


def mirror_shares(shares: Tensor, flip: Sequence[int] | Tensor) -> Tensor:
    """(..., 2 K) shares in the mirrored window.

    Args:
        shares: see `encode_points`.
        flip: the scheme's permutation, which renames left and right.
    """
    x, y = shares.chunk(2, -1)
    return torch.cat([(1 - x)[..., flip], y[..., flip]], -1)


def square(boxes: Tensor) -> Tensor:
    """(..., 4) squares about the same centres, with the longer side."""
    half = (boxes[..., 2:] - boxes[..., :2]).amax(-1, keepdim=True) / 2
    middle = centre(boxes)
    return torch.cat([middle - half, middle + half], -1)


def crop_maps(windows: Tensor, size: int) -> Tensor:
    """(N, 2, 3) maps from pixels of a ``size`` x ``size`` crop to those of the image, for `warp`."""
    scale = (windows[:, 2:] - windows[:, :2]) / size
    return torch.cat([torch.diag_embed(scale), (windows[:, :2] + scale / 2)[..., None]], -1)


def ranks(scores: Tensor, groups: Tensor) -> Tensor:
    """(N,) place of each in its group, the highest score first, from 0."""
    order = scores.argsort(descending=True, stable=True)
    order = order[groups[order].argsort(stable=True)]
    sizes = torch.bincount(groups)
    begins = (sizes.cumsum(0) - sizes)[groups[order]]
    places = torch.empty_like(order)
    places[order] = torch.arange(len(order), device=order.device) - begins
    return places


def suppress(boxes: Tensor, scores: Tensor, groups: Tensor, threshold: float) -> Tensor:
    """Greedy suppression by intersection over union.

    Args:
        boxes: (N, 4).
        scores: (N,).
        groups: (N,) whole numbers from 0; boxes of different groups leave each other alone.
        threshold: on the overlap, above which the less sure box goes.

    Returns:
        Indices of the boxes that stay, the highest score first.
    """
    if boxes.device.type != "cpu":
        from torchvision.ops import batched_nms  # a kernel of the device; seconds, which a CPU does without

        return batched_nms(boxes.double(), scores.double(), groups, threshold)  # type: ignore[no-any-return]
    rectangles = torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1).double().numpy()
    order, owners = scores.argsort(descending=True, stable=True).numpy(), groups.numpy()
    values = np.empty(len(order), dtype=np.float32)
    values[order] = np.arange(len(order), 0, -1)  # OpenCV takes no scores below 0
    kept = []
    for group in np.unique(owners):  # OpenCV's own groups compare every box with all that stay
        rows = np.flatnonzero(owners == group)
        stay = cv2.dnn.NMSBoxes(rectangles[rows], values[rows], 0.0, threshold)  # type: ignore[arg-type]  # arrays, too
        kept.append(rows[np.asarray(stay, dtype=np.int64).reshape(-1)])
    index = torch.from_numpy(np.sort(np.concatenate(kept))) if kept else torch.empty(0, dtype=torch.long)
    return index[scores[index].argsort(descending=True, stable=True)]


def suppress_nested(boxes: Tensor, scores: Tensor, groups: Tensor, threshold: float, *, border: float = 0.0) -> Tensor:
    """Greedy suppression by the intersection's share of the smaller box, so that a box inside another does not stay.

    All boxes decide at once, again and again, until nothing changes: those that no surer box can remove are right from
    the start, those that only these can remove after one round, and so on. The result is that of the loop over boxes.

    Args:
        boxes: (N, 4).
        scores: (N,).
        groups: (N,) whole numbers from 0; boxes of different groups leave each other alone.
        threshold: on the overlap, above which the less sure box goes.
        border: added to every width and height, 1 where both border pixels belong to a box.

    Returns:
        Indices of the boxes that stay, by group, the highest score first.
    """
    if not len(boxes):
        return torch.empty(0, dtype=torch.long, device=boxes.device)
    place = ranks(scores, groups)
    table = boxes.new_zeros(int(groups.max()) + 1, int(place.max()) + 1, 4)
    table[groups, place] = boxes
    there = torch.zeros(table.shape[:2], dtype=torch.bool, device=boxes.device)
    there[groups, place] = True
    area = (table[..., 2:] - table[..., :2] + border).prod(-1)
    least = torch.maximum(table[:, :, None, :2], table[:, None, :, :2])
    most = torch.minimum(table[:, :, None, 2:], table[:, None, :, 2:])
    shared = (most - least + border).clamp_min(0).prod(-1)
    removes = shared > threshold * torch.minimum(area[:, :, None], area[:, None])
    removes = (removes & there[:, :, None]).triu(1)  # (groups, remover, removed)
    stays = there
    while True:
        left = there & ~(removes & stays[..., None]).any(1)
        if bool((left == stays).all()):
            break
        stays = left
    index = torch.zeros(there.shape, dtype=torch.long, device=boxes.device)
    index[groups, place] = torch.arange(len(boxes), device=boxes.device)
    return index[stays]
