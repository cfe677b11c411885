"""MDM as a LightningModule: starts drawn from a box generator, a loss at every step."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from canthus.data.batch import Batch
from canthus.geometry import affine, boxes
from canthus.geometry.box_pca import BoxPCA
from canthus.models.base import LandmarkModel
from canthus.models.estimates import Estimates
from canthus.models.losses import coordinate_loss, normalised_point_loss
from canthus.models.mdm.cascade import MDMCascade

if TYPE_CHECKING:
    from canthus.data.datamodule import FaceDataModule

__all__ = ["MDMModule"]


class MDMModule(LandmarkModel, MDMCascade):
    """Trains MDM.

    Args:
        optimizer: see `LandmarkModel`; the released code: Adam, 0.001.
        scheduler: see `LandmarkModel`; the released code: a tenth every 15 000 steps.
        **settings: see `MDMCascade`.
    """

    def initialise(self, data: "FaceDataModule") -> None:
        """Set the reference shape and its box, and how boxes lie about true ones."""
        points, visibility, detected = data.training_labels()
        if self.mean_shape == "raw":
            weight = (visibility > 0)[..., None]
            shape = (points * weight).sum(0) / weight.sum(0)
        else:
            shape = data.mean_shape()
        if data.reduced:  # the face box is not the box of these points, so the shape lies where they lie on average
            shape = affine.apply(affine.similarity_fit(shape[None], data.mean_position()[None]), shape)[0]
        else:
            shape = boxes.shape_in_box(shape, self.input.reference[None], by="diagonal")[0]
            self.reference_box.copy_(boxes.box_of_points(shape))
        self.network.mean_shape.copy_(shape)
        generator = BoxPCA.fit(detected, boxes.box_of_points(points, visibility))
        self.start_mean.copy_(generator.mean)
        self.start_axes.copy_(generator.axes)
        if float(generator.axes.norm()) < 1e-3:
            right, down = torch.tensor([1.0, 0.0, 1.0, 0.0]), torch.tensor([0.0, 1.0, 0.0, 1.0])
            wider, higher = torch.tensor([-0.5, 0.0, 0.5, 0.0]), torch.tensor([0.0, -0.5, 0.0, 0.5])
            self.start_axes.copy_(self.box_noise * torch.stack([right, down, wider, higher]))

    def stage_parameters(self, stage: int) -> Iterator[nn.Parameter]:
        """All weights are those of every step, unless steps are independent."""
        return self.network.step(stage).parameters()

    def initial_shape(self, batch: Batch) -> Tensor:
        """(B, K, 2): the reference shape in the face box, or, while training, in a box drawn around the true one."""
        box = batch["box"]
        if self.training:
            seen = (batch["visibility"] > 0).any(1, keepdim=True)  # a face without labels starts from its own box
            true = boxes.box_of_points(batch["landmarks"], (batch["visibility"] > 0) | ~seen, checked=True)
            true = torch.where(seen, true, box)
            box = BoxPCA(self.start_mean, self.start_axes).sample(true, torch.default_generator)
        return self.placed(box)

    def estimates(self, batch: Batch) -> Estimates:
        """Points of the active steps."""
        initial = self.initial_shape(batch)
        frozen = min(self.trained_stages) if self.training else 0
        points = self.network(batch["image"], initial, depth=self.depth, frozen=frozen)
        return Estimates(points, initial=initial)

    def losses(self, batch: Batch, estimates: Estimates) -> dict[str, Tensor]:
        """The error of every step that trains, all of one weight."""
        truth, visibility = batch["landmarks"], batch["visibility"]
        points = {f"step{number + 1}": estimates.points[number] for number in self.trained_stages}
        if self.loss != "published":
            return {
                name: coordinate_loss(self.loss, one, truth, visibility, self.input.size)
                for name, one in points.items()
            }
        return {name: normalised_point_loss(one, truth, visibility, self.loss_pair) for name, one in points.items()}
