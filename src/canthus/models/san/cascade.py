"""Style Aggregated Network, as prediction needs it."""

import torch

from canthus.data.batch import Batch, InputSpec
from canthus.geometry.boxes import centred_box
from canthus.models.cascade import Cascade
from canthus.models.estimates import Estimates
from canthus.models.heatmaps import GaussianMaps, decode_maps
from canthus.models.losses import check_loss
from canthus.models.san.network import SAN

__all__ = ["BOX_SHARE", "SANCascade"]

BOX_SHARE = 1 / 1.4
"""Of the input's side: the released crop is the face box and a fifth of it more on each side."""


class SANCascade(Cascade):
    """Style Aggregated Network.

    Args:
        scheme: landmark scheme.
        generators: run folder of ``model=san_style``, whose generators aggregate styles; null is the baseline without.
        stages: see `SAN`.
        width: see `SAN`.
        later_width: see `SAN`.
        size: side of the input, pixels.
        stride: see `SAN`.
        sigma: deviation of the maps' Gaussians, input pixels; the released code: 4, half a cell.
        radius: of the window around the highest cell from which a point is read, cells.
        later_rate: factor of the learning rate of stages 2 and up; the released code: 4.
        bias_rate: factor of the learning rate of biases, which have no weight decay; the released code: 2.
        pretrained: start the trunk from VGG-16's ImageNet weights: true (timm's), or a file of them.
        batch_norm: see `SAN`.
        initialisation: see `SAN`.
        generator_width: see `SAN`; that of the run in ``generators``.
        generator_blocks: see `SAN`; likewise.
        loss: ``published`` or ``adaptive_wing``, see `canthus.models.san.module.map_loss`.

    Raises:
        ValueError: options that do not describe a network.
    """

    name = "san"

    def __init__(
        self,
        *,
        scheme: str | int = "68",
        generators: str | None = None,
        stages: int = 3,
        width: float = 1.0,
        later_width: float | None = None,
        size: int = 128,
        stride: int = 8,
        sigma: float = 4.0,
        radius: int = 3,
        later_rate: float = 4.0,
        bias_rate: float = 2.0,
        pretrained: bool | str = False,
        batch_norm: bool = False,
        initialisation: str = "released",
        generator_width: float = 1.0,
        generator_blocks: int = 6,
        loss: str = "published",
    ) -> None:
        super().__init__(scheme=scheme, stages=stages)
        self.loss = check_loss(loss, ("adaptive_wing",))
        if size % stride:
            raise ValueError(f"model.size is {size}; it has to divide by the stride {stride} of the maps")
        if pretrained and width != 1:
            raise ValueError(f"model.pretrained needs model.width=1, which is {width}: the weights are VGG-16's")
        self.network = SAN(
            self.scheme.num_landmarks,
            stages=stages,
            aggregated=generators is not None,
            width=width,
            later_width=later_width,
            stride=stride,
            batch_norm=batch_norm,
            initialisation=initialisation,
            generator_width=generator_width,
            generator_blocks=generator_blocks,
        ).to(memory_format=torch.channels_last)
        self.generators, self.pretrained, self.batch_norm = generators, pretrained, batch_norm
        self.stride, self.radius = stride, radius
        self.later_rate, self.bias_rate = later_rate, bias_rate
        self._render = GaussianMaps((size // stride, size // stride), stride, sigma)
        self._input = InputSpec(size, 3, centred_box(size, BOX_SHARE), "signed")

    @property
    def input(self) -> InputSpec:
        """The face box and a fifth more on each side, in the generators' range."""
        return self._input

    def estimates(self, batch: Batch) -> Estimates:
        """Points read from the maps of the active stages; stage 1 shows those of the face as it is."""
        maps, aggregated = self.network(batch["image"], depth=self.depth)
        read = [decode_maps(stage[0][:, :-1], self.stride, radius=self.radius) for stage in maps]
        heatmaps = [one for stage in maps for one in stage]
        return Estimates([points for points, _ in read], scores=read[-1][1], heatmaps=heatmaps, aggregated=aggregated)
