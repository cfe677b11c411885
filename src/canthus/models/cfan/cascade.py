"""Coarse-to-Fine Auto-encoder Networks, as prediction needs it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from canthus.data.batch import Batch, InputSpec
from canthus.geometry.boxes import centred_box
from canthus.models.cascade import Cascade
from canthus.models.cfan.network import CFAN, from_unit
from canthus.models.estimates import Estimates
from canthus.models.losses import check_loss

__all__ = ["CFANCascade"]


class CFANCascade(Cascade):
    """Coarse-to-Fine Auto-encoder Networks.

    Args:
        scheme: landmark scheme.
        global_size: see `CFAN`.
        global_hidden: see `CFAN`.
        local_sizes: see `CFAN`; the largest is the side of the network input.
        local_hidden: see `CFAN`.
        descriptor: see `CFAN`.
        dropout: see `CFAN`.
        jitter: see `CFAN`.
        units: see `CFAN`.
        face_share: side of the face box in the crop, as a share of the crop's side.
        alpha: weight of the squared norms of the weights; the paper's 0.001 stands beside sums over all training faces,
            so it is divided by their number here, where losses are means.
        loss: ``published``, or ``l1``, ``smooth_l1`` or ``wing``, see `canthus.models.losses.coordinate_loss`.

    Raises:
        ValueError: an argument that does not describe a cascade, named.
    """

    name = "cfan"
    train_faces: Tensor

    def __init__(
        self,
        *,
        scheme: str | int = "68",
        global_size: int = 50,
        global_hidden: Sequence[int] | None = (1600, 900, 400),
        local_sizes: Sequence[int] = (80, 110, 140),
        local_hidden: Sequence[int] = (1296, 784, 400),
        descriptor: str = "dense",
        dropout: float = 0.0,
        jitter: float = 0.0,
        face_share: float = 0.7,
        alpha: float = 0.001,
        loss: str = "published",
        units: str = "sigmoid",
    ) -> None:
        stages = bool(global_hidden) + len(local_sizes)
        super().__init__(scheme=scheme, stages=stages)
        self.loss = check_loss(loss)
        self.network = CFAN(
            self.scheme.num_landmarks,
            global_size=global_size,
            global_hidden=global_hidden,
            local_sizes=local_sizes,
            local_hidden=local_hidden,
            descriptor=descriptor,
            dropout=dropout,
            jitter=jitter,
            units=units,
        )
        self.alpha = alpha
        self.register_buffer("train_faces", torch.tensor(1))
        size = max([global_size, *local_sizes])
        self._input = InputSpec(size, 1, centred_box(size, face_share))

    @property
    def input(self) -> InputSpec:
        """The crop at the highest resolution of the cascade."""
        return self._input

    def estimates(self, batch: Batch) -> Estimates:
        """Points of the active stages."""
        return self.started(self.network(batch["image"], depth=self.depth))

    def started(self, points: list[Tensor]) -> Estimates:
        """Points of stages, with the mean shape where the first of them started from it."""
        mean = from_unit(self.network.mean_shape, self.input.size)
        return Estimates(points=points, initial=None if self.network.has_global else mean.expand_as(points[0]))
