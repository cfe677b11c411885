"""The masked loss over windows of several kinds, with online hard example mining (section II.C of the paper)."""

import torch
from torch import Tensor
from torch.nn import functional

from canthus.models.mtcnn.network import Outputs
from canthus.models.mtcnn.windows import LANDMARK, NEGATIVE, PART, POSITIVE, Windows

__all__ = ["ALPHA", "BETA", "hardest", "masked_losses"]

ALPHA = {"pnet": (1.0, 0.5, 0.5), "rnet": (1.0, 0.5, 0.5), "onet": (1.0, 0.5, 1.0)}
"""Weights of classification, box regression and landmarks (equation 4 and the text below it)."""

BETA = {NEGATIVE: (1, 0, 0), POSITIVE: (1, 1, 0), PART: (0, 1, 0), LANDMARK: (0, 0, 1)}
"""Which of the three tasks a window of each kind enters (the types of annotation in section 3)."""


def hardest(losses: Tensor, share: tuple[int, int] = (7, 10)) -> Tensor:
    """Online hard example mining: the mean of the largest losses of a batch; the others have no gradient.

    Args:
        losses: (n,) of the windows that count, and of no others.
        share: kept, as a fraction of whole numbers: 7 n // 10 is exact where int(0.7 n) is not.

    Returns:
        A scalar; 0 without windows.
    """
    kept = share[0] * len(losses) // share[1] or len(losses)
    return losses.topk(kept).values.sum() / max(kept, 1)


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
    table = torch.tensor([BETA[kind] for kind in sorted(BETA)], device=logits.device)
    classified, boxed, marked = ((table[windows.kind] > 0) & (windows.weight > 0)[:, None]).unbind(1)
    target = (windows.kind == POSITIVE).long()
    entropy = functional.cross_entropy(logits, target, reduction="none")[classified]
    face = hardest(entropy, share) if ohem else entropy.sum() / classified.sum().clamp_min(1)
    box, points = (
        (given - true).square().sum(1) for given, true in ((offsets, windows.offsets), (landmarks, windows.landmarks))
    )
    return {
        "face": face,
        "box": (box * boxed).sum() / boxed.sum().clamp_min(1),
        "landmarks": (points * marked).sum() / marked.sum().clamp_min(1),
    }
