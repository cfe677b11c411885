"""Detections gathered over batches and processes, stage by stage. All the arithmetic is in `detection`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

__all__ = ["GatheredDetections"]


class GatheredDetections(Metric):
    """Keeps every box, because average precision ranks those of all images together.

    Args:
        **kwargs: of `torchmetrics.Metric`.
    """

    is_differentiable = False
    full_state_update = False

    photos: list[Tensor]
    rows: list[Tensor]
    depth: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("photos", [], dist_reduce_fx="cat")
        self.add_state("rows", [], dist_reduce_fx="cat")
        self.add_state("depth", torch.tensor(0), dist_reduce_fx="max")

    def update(self, photo: Tensor, detections: Sequence[Sequence[tuple[Tensor, Tensor]]]) -> None:
        """Add a batch.

        Args:
            photo: (B,) integers, the same for the same image in every process.
            detections: per image and stage, (D, 4) boxes ``xyxy``, original pixels, and (D,) scores.
        """
        # float64: boxes of large images, and the number of the image beside them
        rows = [torch.zeros(0, 7, dtype=torch.float64, device=photo.device)]
        for number, stages in zip(photo.tolist(), detections, strict=True):
            self.depth = self.depth.clamp_min(len(stages))  # a stage may find nothing anywhere
            for stage, (boxes, scores) in enumerate(stages):
                place = boxes.new_tensor([number, stage], dtype=torch.float64).expand(len(boxes), 2)
                rows.append(torch.cat([place, scores.detach().double()[:, None], boxes.detach().double()], 1))
        self.photos.append(photo.detach().long())
        self.rows.append(torch.cat(rows).to(photo.device))

    def compute(self) -> tuple[list[int], list[dict[int, NDArray[np.float64]]]]:
        """Numbers of the images that were searched, and per stage (D, 5) score and box of every image."""
        photos = torch.unique(dim_zero_cat(self.photos)).cpu().numpy()
        rows = dim_zero_cat(self.rows).cpu().numpy()
        places, inverse = np.unique(rows[:, :2].astype(np.int64), axis=0, return_inverse=True)
        order = np.argsort(inverse.reshape(-1), kind="stable")
        ends = np.cumsum(np.bincount(inverse.reshape(-1), minlength=len(places)))[:-1]
        found = np.split(rows[order, 2:], ends) if len(places) else []
        stages = [dict.fromkeys(photos.tolist(), np.zeros((0, 5))) for _ in range(int(self.depth))]
        for (photo, stage), some in zip(places.tolist(), found, strict=True):
            stages[stage][photo] = some
        return photos.tolist(), stages
