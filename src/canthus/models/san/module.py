"""SAN as a LightningModule: squared errors of every belief map, rates by layer, frozen generators."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from canthus.data.batch import Batch
from canthus.models.base import LandmarkModel
from canthus.models.estimates import Estimates
from canthus.models.losses import adaptive_wing
from canthus.models.pretrained import file_weights, imagenet_model, run_weights
from canthus.models.san.cascade import SANCascade
from canthus.utils.errors import DataError

if TYPE_CHECKING:
    from canthus.data.datamodule import FaceDataModule

__all__ = ["SANModule", "map_loss"]


def map_loss(maps: Tensor, target: Tensor, weight: Tensor, loss: str = "published") -> Tensor:
    """Half the squared errors, summed over maps and cells, mean over faces (the released code's loss of one output).

    Args:
        maps: (B, K + 1, H, W).
        target: likewise.
        weight: (B, K + 1), 0 for maps that teach nothing.
        loss: ``adaptive_wing`` instead, with that paper's weighted loss map: cells of a landmark's map within one of a
            value of at least 0.2 weigh eleven times as much.

    Returns:
        A scalar.
    """
    if loss == "adaptive_wing":
        near = functional.max_pool2d(target[:, :-1], 3, stride=1, padding=1) >= 0.2
        cells = torch.cat([1 + 10.0 * near, torch.ones_like(target[:, -1:])], 1)
        errors = (cells * adaptive_wing(maps.float(), target)).sum((2, 3)) * weight
    else:
        errors = (maps.float() - target).square().sum((2, 3)) * weight
    return errors.sum() / (2 * len(maps))


class SANModule(LandmarkModel, SANCascade):
    """Trains SAN.

    Args:
        optimizer: see `LandmarkModel`; the released code: SGD, 5e-5, Nesterov momentum 0.9, weight decay 5e-4.
        scheduler: see `LandmarkModel`; the released code: halved at epochs 30, 35, 40 and 45 of 50.
        **settings: see `SANCascade`.
    """

    def initialise(self, data: "FaceDataModule") -> None:
        """Take ImageNet's trunk and the trained generators; a checkpoint of this model brings its own."""
        if self.pretrained:
            self._take_trunk()
        if self.generators is not None:
            weights = run_weights(Path(self.generators), "generators.", "model.generators")
            try:
                self.network.generators.load_state_dict(weights)
            except RuntimeError as error:
                raise DataError(
                    f"model.generators={self.generators}: the generators there are of another size; set "
                    "model.generator_width and model.generator_blocks to that run's model.width and model.blocks"
                ) from error

    def _take_trunk(self) -> None:
        name = "vgg16_bn" if self.batch_norm else "vgg16"
        if isinstance(self.pretrained, str):
            weights = file_weights(Path(self.pretrained), "model.pretrained")
        else:
            weights = imagenet_model(name, "model.pretrained").state_dict()
        trunk = self.network.trunk
        wanted = {key: weights[key] for key in trunk.state_dict() if key in weights}
        try:
            trunk.load_state_dict(wanted)
        except RuntimeError as error:
            raise DataError(f"model.pretrained={self.pretrained}: these are not the weights of {name}") from error

    # -- optimisation ------------------------------------------------------------------------------------------------

    def stage_parameters(self, stage: int) -> Iterator[nn.Parameter]:
        """Trunk, head and stage 1 are the first stage; the generators belong to none."""
        for module in self.network.stage(stage):
            yield from module.parameters()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Weights and biases of trunk, head and stages apart, with their factors; the generators with the factor 0."""
        modules = [(module, stage) for stage in self.trained_stages for module in self.network.stage(stage)]
        groups: list[dict[str, Any]] = []
        for module, stage in modules:
            factor = 1.0 if stage == 0 else self.later_rate
            # norms count as biases: neither should decay
            biases = [parameter for parameter in module.parameters() if parameter.ndim == 1]
            weights = [parameter for parameter in module.parameters() if parameter.ndim > 1]
            groups.append({"params": weights, "rate": factor})
            groups.append({"params": biases, "rate": factor * self.bias_rate, "weight_decay": 0.0})
        return groups + [{"params": list(one.parameters()), "rate": 0.0} for one in self.network.generators]

    # -- losses ---------------------------------------------------------------------------------------------

    def losses(self, batch: Batch, estimates: Estimates) -> dict[str, Tensor]:
        """Errors of all maps of the stages that train; points without label or outside the crop teach nothing."""
        assert estimates.heatmaps is not None
        points, size = batch["landmarks"], self.input.size
        inside = ((points >= -0.5) & (points <= size - 0.5)).all(-1)  # NaN is not
        shown = (batch["visibility"] > 0) & inside
        target = self._render(torch.where(shown[..., None], points, 0), shown)
        weight = torch.cat([shown, shown.new_ones(len(shown), 1)], 1).float()
        streams = self.network.streams
        names = ["stage1", "stage1_aggregated"][:streams] + [f"stage{number}" for number in range(2, self.depth + 1)]
        stages = [0] * streams + list(range(1, self.depth))
        return {
            name: map_loss(maps, target, weight, self.loss)
            for name, stage, maps in zip(names, stages, estimates.heatmaps, strict=True)
            if stage in self.trained_stages
        }
