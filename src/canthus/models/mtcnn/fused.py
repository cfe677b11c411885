"""MTCNN's networks in the form in which they run fastest: the same function, other operations.

- The scaling of pixels is folded into the first convolution, which is exact because nothing is padded.
- P-Net's first convolution computes the four values of a pool's window as four channels at a quarter of the places, so
  that its pool is the maximum of channels and no large map is ever written.
- On a CPU a pool is the maximum of shifted views; the library's pool also writes where each maximum was. A PReLU stays
  before its pool: published slopes are often negative, and then the two cannot change places.
- Memory is channels-last.
- One output tells face from background, the difference of the two logits, and the other heads run only where a face is.

Legend: N windows or images, H W rows and columns of cells, D features.
"""

import copy
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from canthus.models.mtcnn.network import ONet, PNet, RNet

__all__ = ["FusedNetwork", "max_pool"]

MEAN, DEVIATION = 127.5, 128.0
"""Pixels are scaled to (value - 127.5) / 128."""


class FusedNetwork(nn.Module):
    """A trained network for detection; takes pixels as they are, 0 to 255.

    Args:
        network: is copied; later training does not reach the copy.
        partial_cells: let P-Net see the last row and column of an image with odd sides, where its pool is cut.
    """

    def __init__(self, network: PNet | RNet | ONet, *, partial_cells: bool = False) -> None:
        super().__init__()
        self.window = network.window
        layers = [layer for layer in copy.deepcopy(network.features) if not isinstance(layer, nn.Dropout)]
        _fold_scaling(layers[0])
        if isinstance(network, PNet) and not partial_cells:
            layers[:3] = _in_phases(*layers[:3])
        self.layers = nn.ModuleList(layers)
        weight, bias = _dense(network.logits)
        self.face_weight, self.face_bias = nn.Buffer(weight[1] - weight[0]), nn.Buffer(bias[1] - bias[0])
        self.offset_weight, self.offset_bias = map(nn.Buffer, _dense(network.offsets))
        landmarks = network.landmarks
        if landmarks is not None:
            self.landmark_weight, self.landmark_bias = map(nn.Buffer, _dense(landmarks))
        self.requires_grad_(False).eval()
        self.to(memory_format=torch.channels_last)

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, rows, columns) to features: (N, D) of windows, (N, H, W, D) of images."""
        hidden = pixels.float().contiguous(memory_format=torch.channels_last)
        for layer in self.layers:
            hidden = (
                max_pool(hidden, cast(int, layer.kernel_size)) if isinstance(layer, nn.MaxPool2d) else layer(hidden)
            )
        return hidden.permute(0, 2, 3, 1) if hidden.ndim == 4 else hidden

    def evidence(self, features: Tensor) -> Tensor:
        """(..., D) to (...) log odds of a face."""
        return features @ self.face_weight + self.face_bias

    def offsets(self, features: Tensor) -> Tensor:
        """(..., D) to (..., 4), see `canthus.geometry.windows`."""
        return functional.linear(features, self.offset_weight, self.offset_bias)

    def landmarks(self, features: Tensor) -> Tensor:
        """(..., D) to (..., 10) shares of the window."""
        return functional.linear(features, self.landmark_weight, self.landmark_bias)


def max_pool(images: Tensor, kernel: int) -> Tensor:
    """Maximum pool with stride 2, rounded up, of channels-last images (N, C, H, W); ``kernel`` is 2 or 3."""
    if images.device.type != "cpu":
        return functional.max_pool2d(images, kernel, 2, ceil_mode=True)
    rows = _halve(images.permute(0, 2, 3, 1), 1, kernel)
    return _halve(rows, 2, kernel).permute(0, 3, 1, 2)


def _halve(values: Tensor, axis: int, kernel: int) -> Tensor:
    """One axis of the pool; windows that hang over the end have fewer members."""
    size = values.shape[axis]
    count = -(-(size - kernel) // 2) + 1

    def members(offset: int) -> Tensor:
        """Those at an offset in their windows, as far as there are any."""
        shifted = values.narrow(axis, offset, size - offset)
        return shifted[(slice(None),) * axis + (slice(0, 2 * count - 1, 2),)]

    largest = members(0).clone() if size < 2 * count else torch.maximum(members(0), members(1))
    for offset in range(1 if size < 2 * count else 2, kernel):
        more = members(offset)
        place = largest.narrow(axis, 0, more.shape[axis])
        torch.maximum(place, more, out=place)
    return largest


class _PhaseMaximum(nn.Module):
    """Maximum of four equal groups of channels, in channels-last memory."""

    def forward(self, phases: Tensor) -> Tensor:
        largest = phases.permute(0, 2, 3, 1)
        for _ in range(2):
            largest = torch.maximum(*largest.chunk(2, -1))
        return largest.permute(0, 3, 1, 2)


def _in_phases(conv: nn.Module, slopes: nn.Module, pool: nn.Module) -> list[nn.Module]:
    """A 3 x 3 convolution, a PReLU and a 2 x 2 pool as a 4 x 4 convolution with stride 2, a PReLU and a maximum."""
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(slopes, nn.PReLU)
    assert isinstance(pool, nn.MaxPool2d)
    assert conv.bias is not None
    outputs, inputs = conv.weight.shape[:2]
    wide, wide_slopes = nn.Conv2d(inputs, 4 * outputs, 4, 2), nn.PReLU(4 * outputs)
    with torch.no_grad():
        weight = wide.weight.zero_().unflatten(0, (2, 2, outputs))
        for row in range(2):
            for column in range(2):
                weight[row, column, :, :, row : row + 3, column : column + 3] = conv.weight
        cast(Tensor, wide.bias).copy_(conv.bias.repeat(4))
        wide_slopes.weight.copy_(slopes.weight.repeat(4))
    return [wide.to(conv.weight.device), wide_slopes.to(conv.weight.device), _PhaseMaximum()]


def _fold_scaling(layer: nn.Module) -> None:
    assert isinstance(layer, nn.Conv2d)
    assert layer.bias is not None
    with torch.no_grad():
        layer.weight /= DEVIATION
        layer.bias -= MEAN * layer.weight.sum((1, 2, 3))


def _dense(head: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight (outputs, D) and bias of a head, dense or a 1 x 1 convolution."""
    assert isinstance(head, (nn.Linear, nn.Conv2d))
    assert head.bias is not None
    return head.weight.detach().flatten(1).clone(), head.bias.detach().clone()
