"""Fan & Zhou's two levels, as prediction needs it."""

import torch
from torch import Tensor

from canthus.data.batch import Batch, InputSpec
from canthus.geometry.boxes import centred_box
from canthus.models.cascade import Cascade
from canthus.models.estimates import Estimates, Votes
from canthus.models.fan_zhou.network import FanZhou
from canthus.models.losses import check_loss
from canthus.utils.errors import check_choice

__all__ = ["RESIDUALS", "FanZhouCascade"]

BOX_SHARE = 0.8
"""Of the input's side: the crop is 1.25 tight boxes wide, so that all points lie inside (inferred)."""
RESIDUALS = 1024
"""Level-1 errors that are kept."""
RECTIFICATIONS = ("procrustes", "eye_mouth")


class FanZhouCascade(Cascade):
    """Fan & Zhou's two levels.

    Args:
        scheme: landmark scheme; it needs the distance ``inter_ocular``.
        levels: 1 or 2.
        votes: landmarks that each patch network places; the paper tries 1 and 3.
        width: factor of the layers; the paper: 1.
        size: side of the input, pixels; the paper: 128.
        dropout: before the last layer of level 1; the paper: none.
        rectification: what turns a face upright: ``procrustes``, the similarity of all points to the mean shape, or
            ``eye_mouth``, that of the centres of eyes and mouth.
        rotation: largest further rotation of the upright frame in the training of level 2, degrees.
        scale: largest further change of its scale.
        loss: ``published``, or ``l1``, ``smooth_l1`` or ``wing``, see `canthus.models.losses.coordinate_loss`.

    Raises:
        ValueError: an unknown option, or a scheme without the distance.
    """

    name = "fan_zhou"
    residuals: Tensor
    measured: Tensor

    def __init__(
        self,
        *,
        scheme: str | int = "68",
        levels: int = 2,
        votes: int = 3,
        width: float = 1.0,
        size: int = 128,
        dropout: float = 0.0,
        rectification: str = "procrustes",
        rotation: float = 5.0,
        scale: float = 0.05,
        loss: str = "published",
    ) -> None:
        super().__init__(scheme=scheme, stages=levels)
        self.loss = check_loss(loss)
        check_choice("model.rectification", rectification, RECTIFICATIONS)
        if "inter_ocular" not in self.scheme.normalisers:
            raise ValueError(
                f"scheme {self.scheme.name!r} has no outer eye corners, which set the size of upright faces"
            )
        count = self.scheme.num_landmarks
        self.network = FanZhou(
            count,
            votes=votes,
            size=size,
            width=width,
            dropout=dropout,
            levels=levels,
            anchors=self._eyes_and_mouth() if rectification == "eye_mouth" else None,
        )
        self.network.whole.to(memory_format=torch.channels_last)  # grouped convolutions are slower so
        self.rotation, self.scale = rotation, scale
        self.register_buffer("residuals", torch.zeros(RESIDUALS, count, 2))  # upright pixels
        self.register_buffer("measured", torch.tensor(False))
        self._input = InputSpec(size, 3, centred_box(size, BOX_SHARE), "signed")

    @property
    def input(self) -> InputSpec:
        """The colour crop that level 1 sees and from which level 2's patches are cut."""
        return self._input

    def estimates(self, batch: Batch) -> Estimates:
        """Points of the active levels."""
        return self.averaged(self.network(batch["image"], depth=self.depth))

    def averaged(self, votes: list[Votes]) -> Estimates:
        """The mean of the votes of every level."""
        return Estimates(points=[level.average(self.scheme.num_landmarks) for level in votes], votes=votes)

    def _eyes_and_mouth(self) -> Tensor:
        """(2, K) weights of the centres of eyes and mouth."""
        eyes = {point for group in self.scheme.normalisers["inter_pupil"] for point in group}
        mouth = {point for name, group in self.scheme.regions.items() if name.startswith("mouth") for point in group}
        points = range(self.scheme.num_landmarks)
        return torch.tensor([[float(point in group) / len(group) for point in points] for group in (eyes, mouth)])
