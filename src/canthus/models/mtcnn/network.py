"""Multi-task Cascaded Convolutional Networks (Zhang, Zhang, Li, Qiao, IEEE Signal Processing Letters 2016).

Three small networks look at square windows: P-Net proposes them (12 px, fully convolutional, so that it reads whole
images), R-Net refines (24 px), O-Net decides and places five points (48 px). Each tells face from background,
corrects the window to the face's box, and may place the points (figure 2 of the paper).

Input is RGB, ``(value - 127.5) / 128``. Convolutions have no padding, pools round up (Caffe), every hidden layer ends
in a PReLU. Features are flattened as (C, H, W); `canthus.models.mtcnn.weights` converts published weights.

Legend: N windows or images, H W rows and columns.
"""

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor, nn

__all__ = ["MTCNN", "ONet", "Outputs", "PNet", "RNet", "normalised"]


class Outputs(NamedTuple):
    """What a network says of its windows. P-Net adds two dimensions, rows and columns of cells.

    Attributes:
        logits: (N, 2) background, face.
        offsets: (N, 4) of x1, y1, x2, y2, in sides of the window, see `canthus.geometry.windows`.
        landmarks: (N, 10) x1 to x5, then y1 to y5, shares of the window; None without that head.
    """

    logits: Tensor
    offsets: Tensor
    landmarks: Tensor | None


def _initialise(network: nn.Module) -> None:
    """Xavier weights of Glorot and Bengio 2010 and zero biases; PReLU slopes start at 0.25 in torch."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _conv(inputs: int, outputs: int, kernel: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(inputs, outputs, kernel), nn.PReLU(outputs)


class _Network(nn.Module):
    """Features, then a head per task."""

    window: int
    """Side of the input, pixels."""

    def __init__(self, features: nn.Sequential, width: int, *, landmarks: bool, maps: bool = False) -> None:
        super().__init__()
        self.features = features

        def head(outputs: int) -> nn.Module:
            return nn.Conv2d(width, outputs, 1) if maps else nn.Linear(width, outputs)

        self.logits, self.offsets = head(2), head(4)
        self.landmarks = head(10) if landmarks else None
        _initialise(self)

    def forward(self, images: Tensor) -> Outputs:
        """Judge windows, (N, 3, window, window) in [-1, 1]; P-Net takes images of any size from its window on."""
        hidden = self.features(images)
        landmarks = None if self.landmarks is None else self.landmarks(hidden)
        return Outputs(self.logits(hidden), self.offsets(hidden), landmarks)


class PNet(_Network):
    """Proposals. Cell (i, j) of the output sees rows 2i to 2i + 11 and columns 2j to 2j + 11.

    Args:
        landmarks: build the landmark head, which serves training only; the published network has none.
    """

    window = 12
    stride = 2
    """Distance of neighbouring cells, pixels."""

    def __init__(self, landmarks: bool = True) -> None:
        features = nn.Sequential(
            *_conv(3, 10, 3),
            nn.MaxPool2d(2, 2, ceil_mode=True),
            *_conv(10, 16, 3),
            *_conv(16, 32, 3),
        )
        super().__init__(features, 32, landmarks=landmarks, maps=True)


class RNet(_Network):
    """Refinement of proposals.

    Args:
        landmarks: build the landmark head, which serves training only; the published network has none.
    """

    window = 24

    def __init__(self, landmarks: bool = True) -> None:
        features = nn.Sequential(
            *_conv(3, 28, 3),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            *_conv(28, 48, 3),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            *_conv(48, 64, 2),
            nn.Flatten(),
            nn.Linear(64 * 3 * 3, 128),
            nn.PReLU(128),
        )
        super().__init__(features, 128, landmarks=landmarks)


class ONet(_Network):
    """Final boxes and five points.

    Args:
        dropout: after the first dense layer, before its PReLU; the released definition has 0.25.
    """

    window = 48

    def __init__(self, dropout: float = 0.25) -> None:
        features = nn.Sequential(
            *_conv(3, 32, 3),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            *_conv(32, 64, 3),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            *_conv(64, 64, 3),
            nn.MaxPool2d(2, 2, ceil_mode=True),
            *_conv(64, 128, 2),
            nn.Flatten(),
            nn.Linear(128 * 3 * 3, 256),
            nn.Dropout(dropout),
            nn.PReLU(256),
        )
        super().__init__(features, 256, landmarks=True)


class MTCNN(nn.Module):
    """The three networks, trained one after the other; `canthus.models.mtcnn.detect` runs them on images.

    Args:
        landmarks: build the landmark heads of P- and R-Net, see `PNet`.
        dropout: see `ONet`.
    """

    def __init__(self, landmarks: bool = True, dropout: float = 0.25) -> None:
        super().__init__()
        self.pnet, self.rnet, self.onet = PNet(landmarks), RNet(landmarks), ONet(dropout)

    names = ("pnet", "rnet", "onet")

    @property
    def stages(self) -> tuple[PNet, RNet, ONet]:
        """The networks in the order in which they run."""
        return self.pnet, self.rnet, self.onet

    def stage_parameters(self, stage: int) -> Iterator[nn.Parameter]:
        """Parameters of one network, counted from 0."""
        return self.stages[stage].parameters()


def normalised(image: Tensor) -> Tensor:
    """Pixels in [0, 1] as the networks want them: ``(v - 127.5) / 128`` of 8-bit levels."""
    return (image * 255 - 127.5) / 128
