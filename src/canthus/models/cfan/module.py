"""CFAN as a LightningModule: tied pretraining of each stage, then fine-tuning, one stage after the other."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from canthus.data.batch import Batch, InputSpec
from canthus.geometry.boxes import centred_box
from canthus.models.base import LandmarkModel
from canthus.models.cfan.network import CFAN, from_unit, to_unit
from canthus.models.estimates import Estimates

if TYPE_CHECKING:
    from canthus.data.datamodule import FaceDataModule

__all__ = ["CFANModule"]


class CFANModule(LandmarkModel):
    """Coarse-to-Fine Auto-encoder Networks.

    Args:
        optimizer: see `LandmarkModel`; the authors' is unknown. Pretraining runs at its rate, without the scheduler.
        scheduler: see `LandmarkModel`.
        scheme: landmark scheme.
        global_size: see `CFAN`.
        global_hidden: see `CFAN`.
        local_sizes: see `CFAN`; the largest is the side of the network input.
        local_hidden: see `CFAN`.
        descriptor: see `CFAN`.
        dropout: see `CFAN`.
        jitter: see `CFAN`.
        face_share: side of the face box in the crop, as a share of the crop's side.
        alpha: weight of the squared norms of the weights; the paper's 0.001 stands beside sums over all training faces,
            so it is divided by their number here, where losses are means.

    Raises:
        ValueError: an argument that does not describe a cascade, named.
    """

    name = "cfan"
    stagewise = True
    pretrains = True
    train_faces: Tensor

    def __init__(
        self,
        optimizer: Callable[[Sequence[nn.Parameter]], torch.optim.Optimizer],
        scheduler: Callable[..., torch.optim.lr_scheduler.LRScheduler] | None = None,
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
    ) -> None:
        stages = bool(global_hidden) + len(local_sizes)
        super().__init__(scheme=scheme, stages=stages, optimizer=optimizer, scheduler=scheduler)
        self.save_hyperparameters(ignore=["optimizer", "scheduler"])
        self.network = CFAN(
            self.scheme.num_landmarks,
            global_size=global_size,
            global_hidden=global_hidden,
            local_sizes=local_sizes,
            local_hidden=local_hidden,
            descriptor=descriptor,
            dropout=dropout,
            jitter=jitter,
        )
        self.alpha = alpha
        self.register_buffer("train_faces", torch.tensor(1))
        size = max([global_size, *local_sizes])
        self._input = InputSpec(size, 1, centred_box(size, face_share))

    @property
    def input(self) -> InputSpec:
        """The crop at the highest resolution of the cascade."""
        return self._input

    def initialise(self, data: "FaceDataModule") -> None:
        """Set the mean shape, and the number of faces that ``alpha`` refers to."""
        self.network.set_mean_shape(to_unit(data.mean_position(), self.input.size))
        self.train_faces.fill_(len(data.faces("train")))

    def stage_parameters(self, stage: int) -> Iterator[nn.Parameter]:
        """The decoders' biases serve pretraining only."""
        yield from self.network.stages[stage].parameters()
        yield from self.network.decoders[stage].parameters()

    def train(self, mode: bool = True) -> "CFANModule":
        """Training mode; finished stages are as they are in evaluation."""
        super().train(mode)
        self.network.stages[: min(self.trained_stages)].eval()
        return self

    def estimates(self, batch: Batch) -> Estimates:
        """Points of the active stages."""
        frozen = min(self.trained_stages) if self.training else 0
        points = self.network(batch["image"], depth=self.depth, frozen=frozen)
        mean = from_unit(self.network.mean_shape, self.input.size)
        return Estimates(points=points, initial=None if self.network.has_global else mean.expand_as(points[0]))

    def losses(self, batch: Batch, estimates: Estimates) -> dict[str, Tensor]:
        """Squared error of the shapes (equation 9 and 12) of the stages that train; when pretraining, of images."""
        alpha = self.alpha / int(self.train_faces)
        if self.pretraining:
            return {
                f"reconstruction{stage + 1}": self._reconstruction(stage, batch, estimates, alpha)
                for stage in self.trained_stages
            }
        size, terms = self.input.size, {}
        truth, labelled = to_unit(batch["landmarks"], size), (batch["visibility"] > 0)[..., None]
        for stage in self.trained_stages:
            error = torch.where(labelled, to_unit(estimates.points[stage], size) - truth, 0)
            terms[f"stage{stage + 1}"] = error.square().sum((1, 2)).mean()
            terms[f"penalty{stage + 1}"] = alpha * self.network.stages[stage].penalty()  # type: ignore[operator]
        return terms

    def _reconstruction(self, stage: int, batch: Batch, estimates: Estimates, alpha: float) -> Tensor:
        """Of the hidden layers whose turn it is: each has an equal share of the phase's epochs, the lowest first."""
        network = self.network
        if stage:
            before: Tensor | None = to_unit(estimates.points[stage - 1].detach(), self.input.size)
        else:
            before = None if network.has_global else network.mean_shape.expand(len(batch["image"]), -1, -1)
        with torch.no_grad():
            value = network.features(stage, batch["image"], before)
        epoch, epochs = self.current_epoch - self.phase_begin, self.phase_epochs or 1
        layers = len(network.stages[stage].encoder)  # type: ignore[arg-type]
        first = min(epoch * layers // epochs, layers - 1)
        turn = range(first, max(first + 1, (epoch + 1) * layers // epochs))  # several, if epochs are fewer than layers
        decoder, san = network.decoders[stage], network.stages[stage]
        return torch.stack([decoder(san, value, layer, alpha) for layer in turn]).sum()
