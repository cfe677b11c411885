"""Fan & Zhou as a LightningModule: level 2 learns from errors like those that level 1 makes on held-out faces."""

from collections.abc import Callable, Iterator, Sequence
from logging import getLogger
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from canthus.data.batch import Batch, InputSpec
from canthus.geometry import affine
from canthus.geometry.boxes import centred_box
from canthus.models.base import LandmarkModel
from canthus.models.estimates import Estimates
from canthus.models.fan_zhou.network import EYE_DISTANCE, FanZhou, PatchNetworks
from canthus.models.losses import pair_distance, vote_loss

if TYPE_CHECKING:
    from canthus.data.datamodule import FaceDataModule

__all__ = ["FanZhouModule"]

log = getLogger(__name__)

BOX_SHARE = 0.8
"""Of the input's side: the crop is 1.25 tight boxes wide, so that all points lie inside (inferred)."""
RESIDUALS = 1024
"""Level-1 errors that are kept."""
ASSUMED_ERROR = 0.035
"""Deviation of level 1's errors in eye distances where no faces are held out (inferred in the reference: 3 to 4 %)."""
RECTIFICATIONS = ("procrustes", "eye_mouth")


class FanZhouModule(LandmarkModel):
    """Fan & Zhou's two levels.

    Args:
        optimizer: see `LandmarkModel`.
        scheduler: see `LandmarkModel`.
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

    Raises:
        ValueError: an unknown option, or a scheme without the distance.
    """

    name = "fan_zhou"
    stagewise = True
    residuals: Tensor
    measured: Tensor

    def __init__(
        self,
        optimizer: Callable[[Sequence[nn.Parameter]], torch.optim.Optimizer],
        scheduler: Callable[..., torch.optim.lr_scheduler.LRScheduler] | None = None,
        scheme: str | int = "68",
        levels: int = 2,
        votes: int = 3,
        width: float = 1.0,
        size: int = 128,
        dropout: float = 0.0,
        rectification: str = "procrustes",
        rotation: float = 5.0,
        scale: float = 0.05,
    ) -> None:
        super().__init__(scheme=scheme, stages=levels, optimizer=optimizer, scheduler=scheduler)
        if rectification not in RECTIFICATIONS:
            raise ValueError(f"model.rectification is {rectification!r}; one of {', '.join(RECTIFICATIONS)}")
        if "inter_ocular" not in self.scheme.normalisers:
            raise ValueError(
                f"scheme {self.scheme.name!r} has no outer eye corners, which set the size of upright faces"
            )
        self.save_hyperparameters(ignore=["optimizer", "scheduler"])
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

    @property
    def patches(self) -> PatchNetworks:
        """Level 2."""
        assert self.network.patches is not None
        return self.network.patches

    def initialise(self, data: "FaceDataModule") -> None:
        """Set the upright frame; level 1 begins with the mean position of the training points."""
        self.network.whole.start_from(data.mean_position())
        if self.num_stages == 2:
            shape = data.mean_shape()
            shape = shape * EYE_DISTANCE / pair_distance(shape[None], self.scheme.normalisers["inter_ocular"])
            self.patches.set_shape(shape)

    def _eyes_and_mouth(self) -> Tensor:
        """(2, K) weights of the centres of eyes and mouth."""
        eyes = {point for group in self.scheme.normalisers["inter_pupil"] for point in group}
        mouth = {point for name, group in self.scheme.regions.items() if name.startswith("mouth") for point in group}
        points = range(self.scheme.num_landmarks)
        return torch.tensor([[float(point in group) / len(group) for point in points] for group in (eyes, mouth)])

    def stage_parameters(self, stage: int) -> Iterator[nn.Parameter]:
        """Level 1's network, or all patch networks."""
        return self.network.whole.parameters() if stage == 0 else self.patches.parameters()

    # -- level 2 trains on the truth moved by what level 1 gets wrong ------------------------------------------------

    def on_train_epoch_start(self) -> None:
        """Measure level 1's errors when level 2 begins to train, and every epoch as long as level 1 trains, too."""
        if 1 in self.trained_stages and (0 in self.trained_stages or not self.measured):
            self.measure_residuals(self.trainer.datamodule)  # type: ignore[attr-defined]

    @torch.no_grad()
    def measure_residuals(self, data: "FaceDataModule") -> None:
        """Fill ``residuals`` with level 1's errors on the held-out faces and their mirror images, upright.

        Those on the training faces are too small to learn from.
        """
        training, found = self.training, []
        self.eval()
        for batch in data.inputs("val"):
            points = self.network(batch["image"].to(self.device), depth=1)[0].average(self.scheme.num_landmarks)
            truth, weight = batch["landmarks"].to(self.device), (batch["visibility"] > 0).to(self.device)
            upright = self._truth_upright(truth, weight)
            errors = affine.apply(upright, points) - affine.apply(upright, truth)
            found.append(torch.where(weight[..., None], errors, 0))
        self.train(training)
        if found:
            errors = torch.cat(found)
            mirrored = errors[:, list(self.scheme.flip)] * errors.new_tensor([-1, 1])
            errors = torch.cat([errors, mirrored])
            self.residuals.copy_(errors[torch.arange(RESIDUALS, device=errors.device) % len(errors)])
            size = errors.square().sum(-1).sqrt().mean() / EYE_DISTANCE
            log.info("level 1 is off by %.2f %% of the eye distance on held-out faces", 100 * size)
        else:
            log.warning("no faces are held out, so level 2 trains on Gaussian errors of %.1f %%", 100 * ASSUMED_ERROR)
            self.residuals.normal_(0, ASSUMED_ERROR * EYE_DISTANCE)
        self.measured.fill_(True)

    def _truth_upright(self, truth: Tensor, labelled: Tensor) -> Tensor:
        """Similarities from labels to the mean shape; all points count, whatever rectifies estimates."""
        return affine.similarity_fit(truth, self.patches.mean_shape[None], labelled.float())

    def _disturbed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The truth with errors of level 1, (B, K, 2), and (B, 2, 3) disturbances of the rectification."""
        truth, labelled = batch["landmarks"], batch["visibility"] > 0
        count, device = len(truth), truth.device
        upright = self._truth_upright(truth, labelled)
        shape = torch.where(labelled[..., None], affine.apply(upright, truth), self.patches.mean_shape)
        shape = shape + self.residuals[torch.randint(RESIDUALS, (count,), device=device)]
        angle, growth = 2 * torch.rand(2, count, device=device) - 1
        jitter = affine.rotation_scale(
            angle * self.rotation * torch.pi / 180, 1 + growth * self.scale, torch.zeros(count, 2, device=device)
        )
        return affine.apply(affine.invert(upright), shape), jitter

    def estimates(self, batch: Batch) -> Estimates:
        """Points of the active levels; in training, those of level 2 come from around the disturbed truth."""
        if not self.training:
            votes = self.network(batch["image"], depth=self.depth)
        else:
            with torch.set_grad_enabled(torch.is_grad_enabled() and 0 in self.trained_stages):
                votes = self.network(batch["image"], depth=1)
            if self.depth == 2:
                votes.append(self.patches(batch["image"], *self._disturbed(batch)))
        return Estimates(points=[level.average(self.scheme.num_landmarks) for level in votes], votes=votes)

    def losses(self, batch: Batch, estimates: Estimates) -> dict[str, Tensor]:
        """Squared error of the networks' outputs, for each level that trains."""
        assert estimates.votes is not None
        return {
            f"level{stage + 1}": vote_loss(estimates.votes[stage], batch["landmarks"], batch["visibility"])
            for stage in self.trained_stages
        }
