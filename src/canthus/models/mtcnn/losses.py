"""The masked loss over windows of several kinds, with online hard example mining (section II.C of the paper)."""

import torch
from torch import Tensor
from torch.nn import functional

from canthus.geometry.devices import constant
from canthus.models.mtcnn.network import Outputs
from canthus.models.mtcnn.windows import LANDMARK, NEGATIVE, PART, POSITIVE, Windows

__all__ = ["ALPHA", "BETA", "hardest", "masked_losses"]

ALPHA = {"pnet": (1.0, 0.5, 0.5), "rnet": (1.0, 0.5, 0.5), "onet": (1.0, 0.5, 1.0)}
"""Weights of classification, box regression and landmarks (equation 4 and the text below it)."""

BETA = {NEGATIVE: (1, 0, 0), POSITIVE: (1, 1, 0), PART: (0, 1, 0), LANDMARK: (0, 0, 1)}
"""Which of the three tasks a window of each kind enters (the types of annotation in section 3)."""


def hardest(losses: Tensor, counted: Tensor | None = None, share: tuple[int, int] = (7, 10)) -> Tensor:
    """Online hard example mining: the mean of the largest losses of a batch; the others have no gradient.

    The number of windows stays on the device: the host waits for nothing.

    Args:
        losses: (N,), not negative.
        counted: (N,) bool, the n windows that count; all of them when absent.
        share: kept, as a fraction of whole numbers: 7 n // 10 is exact where int(0.7 n) is not.

    Returns:
        A scalar; 0 without windows.
    """
    counted = torch.ones_like(losses, dtype=torch.bool) if counted is None else counted
    total = counted.sum()
    some = share[0] * total // share[1]
    kept = torch.where(some > 0, some, total)
    ranked = torch.where(counted, losses, -1).sort(descending=True).values
    hard = torch.arange(len(losses), device=losses.device) < kept
    return torch.where(hard, ranked, 0).sum() / kept.clamp_min(1)


def masked_losses(
    outputs: Outputs, windows: Windows, *, ohem: bool = True, share: tuple[int, int] = (7, 10)
) -> dict[str, Tensor]:
    """Losses of the three tasks, each over the windows that it concerns, not yet weighted by `ALPHA`.

    Args:
        outputs: of a network, flattened to two dimensions.
        windows: what it saw.
        ohem: keep the hardest of the classified windows; all, otherwise.
        share: that is kept, see `hardest`.

    Returns:
        ``face``: cross-entropy; ``box`` and ``landmarks``: squared distances, summed over coordinates, averaged over
        windows. A task without windows is 0.
    """
    logits, offsets, landmarks = outputs
    assert landmarks is not None
    table = constant([task for kind in sorted(BETA) for task in BETA[kind]], logits, torch.long).view(len(BETA), 3)
    classified, boxed, marked = ((table[windows.kind] > 0) & (windows.weight > 0)[:, None]).unbind(1)
    target = (windows.kind == POSITIVE).long()
    entropy = torch.where(classified, functional.cross_entropy(logits, target, reduction="none"), 0)
    face = hardest(entropy, classified, share) if ohem else entropy.sum() / classified.sum().clamp_min(1)
    box, points = (
        (given - true).square().sum(1) for given, true in ((offsets, windows.offsets), (landmarks, windows.landmarks))
    )
    return {
        "face": face,
        "box": (box * boxed).sum() / boxed.sum().clamp_min(1),
        "landmarks": (points * marked).sum() / marked.sum().clamp_min(1),
    }
