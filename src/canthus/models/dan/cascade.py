"""Deep Alignment Network, as prediction needs it."""

import torch
from torch import Tensor

from canthus.data.batch import Batch, InputSpec
from canthus.models.cascade import Cascade
from canthus.models.dan.network import DAN
from canthus.models.estimates import Estimates
from canthus.models.losses import check_loss
from canthus.utils.errors import check_choice

__all__ = ["DANCascade"]

REFERENCE_BOX = (28.0, 31.96, 84.0, 85.90)
"""Tight box of the canonical shape S0 in a 112 px input: larger side 56 (frameFraction 0.25), centroid (56, 56)."""
STANDARDISATIONS = ("pixel", "channel")
FROZEN_MODES = ("train", "eval")
LATER_STAGES = ("random", "previous")


class DANCascade(Cascade):
    """Deep Alignment Network.

    Args:
        scheme: landmark scheme; it needs the ``loss_normaliser``.
        stages: number of stages; the paper: 2.
        width: factor of the channels; the paper: 1.
        size: side of the input, pixels.
        channels: 1 grey (published models) or 3.
        dropout: before fc1.
        support: heat-map support: ``disc`` (paper) or ``window`` (released code).
        radius: heat-map radius, pixels.
        without: see `DAN`.
        standardise: ``pixel`` for maps of mean and deviation (released code), ``channel`` for one pair a channel.
        statistics_faces: augmented faces from which those are measured.
        frozen_stages: how finished stages run while a later one trains: ``train`` (released code: dropout and batch
            statistics make their shapes noisy, a free augmentation) or ``eval``.
        loss_normaliser: distance of the scheme that divides the published loss.
        later_stages: weights with which a later stage begins to train: ``random`` (paper) or ``previous``, those of the
            stage before it where shapes agree, so that a short training need not learn to see twice.
        loss: ``published``, or ``l1``, ``smooth_l1`` or ``wing``, see `canthus.models.losses.coordinate_loss`.

    Raises:
        ValueError: an unknown option, or a scheme without the normaliser.
    """

    name = "dan"
    begun: Tensor

    def __init__(
        self,
        *,
        scheme: str | int = "68",
        stages: int = 2,
        width: float = 1.0,
        size: int = 112,
        channels: int = 1,
        dropout: float = 0.5,
        support: str = "disc",
        radius: int = 16,
        standardise: str = "pixel",
        statistics_faces: int = 2048,
        frozen_stages: str = "train",
        loss_normaliser: str = "inter_pupil",
        later_stages: str = "random",
        loss: str = "published",
        without: str | None = None,
    ) -> None:
        super().__init__(scheme=scheme, stages=stages)
        self.loss = check_loss(loss)
        for name, value, choices in (
            ("standardise", standardise, STANDARDISATIONS),
            ("frozen_stages", frozen_stages, FROZEN_MODES),
            ("loss_normaliser", loss_normaliser, tuple(self.scheme.normalisers)),
            ("later_stages", later_stages, LATER_STAGES),
        ):
            check_choice(f"model.{name}", value, choices)
        self.network = DAN(
            self.scheme.num_landmarks,
            stages=stages,
            size=size,
            channels_in=channels,
            width=width,
            dropout=dropout,
            support=support,
            radius=radius,
            without=without,
        ).to(memory_format=torch.channels_last)
        self.standardise, self.statistics_faces, self.frozen_stages = standardise, statistics_faces, frozen_stages
        self.later_stages = later_stages
        self.register_buffer("begun", torch.arange(stages) == 0)  # stages that have trained, for resuming
        self.loss_pair = self.scheme.normalisers[loss_normaliser]
        self._input = InputSpec(size, channels, tuple(size / 112 * edge for edge in REFERENCE_BOX))  # type: ignore[arg-type]

    @property
    def input(self) -> InputSpec:
        """The crop in which S0 fits the face box."""
        return self._input

    def estimates(self, batch: Batch) -> Estimates:
        """Points of the active stages."""
        return self.started(self.network(batch["image"], depth=self.depth))

    def started(self, points: list[Tensor]) -> Estimates:
        """Points of stages, with the shape that the first of them started from."""
        return Estimates(points=points, initial=self.network.mean_shape.expand_as(points[0]))
