"""SAN's detector (Dong, Yan, Ouyang, Yang, CVPR 2018): belief maps from a face and its style-aggregated version.

Both images go through one VGG trunk, one feature head and one first stage, whose weights they share. Later stages see
the features of both beside the maps before them.

Legend: B batch, K landmarks, S stages, H W rows and columns of the input. Maps have K + 1 channels; the last is the
background.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from canthus.models.san.gan import Generator, scaled
from canthus.utils.errors import check_choice

__all__ = ["INITIALISATIONS", "SAN", "STRIDES", "Trunk"]

VGG = (64, 64, None, 128, 128, None, 256, 256, 256, None, 512, 512, 512)
"""Channels of VGG-16 from conv1_1 to conv4_3; None is a pooling."""
FEATURES = (256, 128)
HIDDEN = 512
"""Channels before the maps of stage 1."""
STRIDES = (4, 8)
INITIALISATIONS = ("released", "kaiming")


class Layers(nn.Sequential):
    """Convolutions that keep the size, each followed by ReLU, the last one optionally by nothing.

    Args:
        inputs: input channels.
        layers: (side of the kernel, output channels) each.
        batch_norm: between a convolution and its ReLU; the paper has none.
        linear: leave out the last ReLU.
    """

    def __init__(
        self, inputs: int, layers: Sequence[tuple[int, int]], *, batch_norm: bool = False, linear: bool = False
    ) -> None:
        modules: list[nn.Module] = []
        for number, (side, outputs) in enumerate(layers):
            modules.append(nn.Conv2d(inputs, outputs, side, padding=side // 2))
            if not (linear and number == len(layers) - 1):
                modules += [nn.BatchNorm2d(outputs)] * batch_norm + [nn.ReLU(inplace=True)]
            inputs = outputs
        super().__init__(*modules)


class Trunk(nn.Module):
    """VGG-16's first ten convolutions, numbered as there, so that ImageNet weights fit.

    Args:
        width: factor of the channels.
        stride: 8 as in the paper; 4 leaves out the last pooling.
        batch_norm: as in VGG-16-BN; the paper has none.
    """

    def __init__(self, width: float, stride: int, batch_norm: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs, poolings = 3, STRIDES.index(stride) + 2
        for channels in VGG:
            if channels is None:
                poolings -= 1
                layers.append(nn.MaxPool2d(2) if poolings >= 0 else nn.Identity())
                continue
            outputs = scaled(channels, width)
            layers.append(nn.Conv2d(inputs, outputs, 3, padding=1))
            layers += [nn.BatchNorm2d(outputs)] * batch_norm + [nn.ReLU(inplace=True)]
            inputs = outputs
        self.features = nn.Sequential(*layers)
        self.channels = inputs

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, C, H / stride, W / stride)."""
        features: Tensor = self.features(image)
        return features


class SAN(nn.Module):
    """The detector, with its generators if it sees aggregated faces.

    Args:
        num_landmarks: K.
        stages: S, at least 1; the paper has 3.
        aggregated: two streams; False is the baseline without generators.
        width: factor of all channels, for small machines; the paper: 1.
        later_width: factor of the channels of stages 2 and up, ``width`` by default. With fewer channels than maps a
            stage cannot pass on what the one before it found.
        stride: input pixels per cell of a map, 8 in the paper, or 4.
        batch_norm: in trunk, head and stages; the paper has none.
        initialisation: ``released``, normal with deviation 0.01 and no bias, or ``kaiming`` for all but the last
            layers of the stages: a trunk without ImageNet weights learns nothing from the former.
        generator_width: factor of the generators' channels.
        generator_blocks: residual blocks of each generator; the paper: 6.

    Raises:
        ValueError: an argument that does not describe a network, named.
    """

    def __init__(
        self,
        num_landmarks: int,
        stages: int = 3,
        aggregated: bool = True,
        width: float = 1.0,
        later_width: float | None = None,
        stride: int = 8,
        batch_norm: bool = False,
        initialisation: str = "released",
        generator_width: float = 1.0,
        generator_blocks: int = 6,
    ) -> None:
        super().__init__()
        later_width = width if later_width is None else later_width
        if stages < 1 or min(width, later_width) <= 0 or stride not in STRIDES:
            raise ValueError(
                f"stages={stages}, width={width}, later_width={later_width}, stride={stride}: need stages >= 1, "
                "widths > 0, stride 4, 8"
            )
        check_choice("initialisation", initialisation, INITIALISATIONS)
        self.streams = 2 if aggregated else 1
        maps, head = num_landmarks + 1, [scaled(channels, width) for channels in FEATURES]
        features, hidden, refined = head[-1], scaled(HIDDEN, width), scaled(FEATURES[-1], later_width)
        self.trunk = Trunk(width, stride, batch_norm)
        self.head = Layers(self.trunk.channels, [(3, channels) for channels in head], batch_norm=batch_norm)
        first = [(3, features)] * 4 + [(1, hidden), (1, maps)]
        self.first = Layers(features, first, batch_norm=batch_norm, linear=True)
        later = [(7, refined)] * 3 + [(3, refined)] * 4 + [(1, refined), (1, maps)]
        self.refinements = nn.ModuleList(
            Layers(
                self.streams * features + (self.streams if number == 0 else 1) * maps,
                later,
                batch_norm=batch_norm,
                linear=True,
            )
            for number in range(stages - 1)
        )
        self._initialise(initialisation)
        self.generators = nn.ModuleList(
            Generator(generator_width, generator_blocks) for _ in range(2 if aggregated else 0)
        ).requires_grad_(False)

    def _initialise(self, kind: str) -> None:
        last = {id(stage[-1]) for stage in (self.first, *self.refinements)}
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                if kind == "kaiming" and id(module) not in last:
                    nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                else:
                    nn.init.normal_(module.weight, std=0.01)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def _streams(self, both: Tensor) -> list[Tensor]:
        """What belongs to the face as it is, and to the aggregated one. Not by `chunk`: its parts need a known size."""
        return list(both.unflatten(0, (self.streams, -1)).unbind())

    def stage(self, number: int) -> list[nn.Module]:
        """The modules that hold the parameters of one stage, counted from 0; the first owns trunk and head."""
        return [self.trunk, self.head, self.first] if number == 0 else [self.refinements[number - 1]]

    def train(self, mode: bool = True) -> "SAN":
        """Training mode; the generators stay as they were trained."""
        super().train(mode)
        self.generators.eval()
        return self

    @torch.no_grad()
    def aggregate(self, image: Tensor) -> Tensor:
        """The style-aggregated face: the mean of what both generators make of it, whatever its style.

        Args:
            image: (B, 3, H, W) in [-1, 1]; H and W divide by 4.

        Returns:
            The same shape, in [-1, 1].
        """
        one, other = (generator(image) for generator in self.generators)
        aggregated: Tensor = (one + other) / 2
        return aggregated

    def forward(self, image: Tensor, depth: int | None = None) -> tuple[list[list[Tensor]], Tensor | None]:
        """Make belief maps.

        Args:
            image: (B, 3, H, W) in [-1, 1].
            depth: number of stages to run; all by default.

        Returns:
            For every stage its maps (B, K + 1, H / stride, W / stride), linear: stage 1 has one for each stream, of the
            face as it is and of the aggregated one. And the aggregated face, if there are generators.
        """
        depth = 1 + len(self.refinements) if depth is None else depth
        aggregated = self.aggregate(image) if self.streams == 2 else None
        pictures = image if aggregated is None else torch.cat([image, aggregated])
        both = self.head(self.trunk(pictures))
        features = self._streams(both)
        maps = [self._streams(self.first(both))]
        for refine in self.refinements[: depth - 1]:
            maps.append([refine(torch.cat([*features, *maps[-1]], 1))])
        return maps, aggregated
