"""Coarse-to-Fine Auto-encoder Networks (Zhang, Shan, Kan, Chen, ECCV 2014).

A global stacked auto-encoder network (SAN) reads a small image of the face and gives the whole shape; local ones read
SIFT descriptors around all landmarks at once, at rising resolution, and give updates of the whole shape.

Legend: B batch, K landmarks. Shapes inside are in units of the crop, ``(pixel + 0.5) / side``, whatever its resolution;
points outside are (x, y) pixels of the network input.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from canthus.models.cfan.sift import DESCRIPTORS, SIZE
from canthus.utils.errors import check_choice

SIFT_MEAN = 0.063
"""Of a descriptor's 128 values, whose squares sum to 1, measured on faces."""

UNITS = ("sigmoid", "linear")

__all__ = ["CFAN", "UNITS", "StackedAutoencoder", "TiedDecoder", "from_unit", "to_unit"]


def to_unit(points: Tensor, size: int) -> Tensor:
    """Pixels of a crop of some side to units of the crop."""
    return (points + 0.5) / size


def from_unit(points: Tensor, size: int) -> Tensor:
    """Units of the crop to pixels of a crop of some side."""
    return points * size - 0.5


class StackedAutoencoder(nn.Module):
    """A SAN: sigmoid hidden layers and a linear output (equations 7 and 8).

    All inputs of a layer are positive, so each has a constant taken away first. That changes nothing in what the layer
    can express (the bias takes it up) but much in training: with thousands of inputs of one sign, a few steps of Adam
    push every unit to one end of its sigmoid. The output layer starts at zero, so that an untrained local stage leaves
    the shape as it is.

    Args:
        inputs: length of the input.
        hidden: widths of the hidden layers.
        outputs: length of the output.
        dropout: of every hidden layer's input while training; the paper has none.
        centre: mean of the input's values, as far as it is known beforehand.
        units: of the hidden layers: ``sigmoid``, or ``linear``, its tangent at zero, with which all layers together are
            one linear map: what the paper holds against active appearance models.
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        outputs: int,
        dropout: float = 0.0,
        centre: float = 0.5,
        units: str = "sigmoid",
    ) -> None:
        super().__init__()
        self.units = units
        widths = [inputs, *hidden]
        layers = [nn.Linear(*pair) for pair in zip(widths, hidden, strict=False)]
        self.encoder = nn.ModuleList(layers)
        self.head = nn.Linear(widths[-1], outputs)
        self.dropout = dropout
        self.centres = [centre, *[0.5] * len(hidden)]
        for layer in layers:
            nn.init.xavier_normal_(layer.weight, gain=4.0)  # the reciprocal of the sigmoid's slope at zero
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def encode(self, value: Tensor, layers: int | None = None) -> Tensor:
        """Activations of the last of the first ``layers`` hidden layers; all by default."""
        for number in range(len(self.encoder) if layers is None else layers):
            value = self.hidden(value, number)
        return value

    def hidden(self, value: Tensor, layer: int) -> Tensor:
        """Activations of one hidden layer, from those of the layer below."""
        centred = functional.dropout(value - self.centres[layer], self.dropout, self.training)
        return self.activated(self.encoder[layer](centred))

    def activated(self, value: Tensor) -> Tensor:
        """What a unit makes of its input; at zero both kinds have the value 0.5 and the slope 0.25."""
        return torch.sigmoid(value) if self.units == "sigmoid" else 0.5 + 0.25 * value

    def forward(self, value: Tensor) -> Tensor:
        """(B, inputs) to (B, outputs), float32."""
        hidden = self.encode(value) - self.centres[-1]
        with torch.autocast(value.device.type, enabled=False):  # bfloat16 would round the shape
            output: Tensor = self.head(hidden.float())
        return output

    def penalty(self) -> Tensor:
        """Sum of the squared Frobenius norms of all weights; biases are free."""
        weights = [weight for name, weight in self.named_parameters() if name.endswith("weight")]
        # by the norm: one pass over millions of weights forward and one back
        return torch.stack([torch.linalg.vector_norm(weight).square() for weight in weights]).sum()


class TiedDecoder(nn.Module):
    """The decoders with which a SAN's hidden layers are pretrained: transposed encoders, so only biases are new.

    Args:
        inputs: length of the SAN's input.
        hidden: widths of its hidden layers.
    """

    def __init__(self, inputs: int, hidden: Sequence[int]) -> None:
        super().__init__()
        widths = [inputs, *hidden]
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(width)) for width in widths[:-1])

    def forward(self, san: StackedAutoencoder, value: Tensor, layer: int, alpha: float | Tensor) -> Tensor:
        """Loss of pretraining one hidden layer (equation 10 of the paper's numbering 7 to 12).

        Args:
            san: whose layer it is.
            value: (B, inputs) of the whole SAN, in [0, 1]; the layers below are not trained here.
            layer: number of the hidden layer.
            alpha: weight of the penalty on encoder and decoder, which are one matrix: it counts twice.

        Returns:
            Squared error of the reconstruction, summed over units, mean over the batch, plus the penalty.
        """
        with torch.no_grad():
            below = san.encode(value, layer)
        weight: Tensor = san.encoder[layer].weight  # type: ignore[assignment]
        hidden = san.hidden(below, layer) - san.centres[layer + 1]
        decoded = san.activated(functional.linear(hidden, weight.T, self.biases[layer]))
        error: Tensor = (decoded.float() - below.float()).square().sum(1).mean()
        penalty: Tensor = 2 * alpha * torch.linalg.vector_norm(weight).square()
        return error + penalty


class CFAN(nn.Module):
    """The cascade. Image in, every stage's points out.

    Args:
        num_landmarks: K.
        global_size: side of the image that the global SAN sees, pixels.
        global_hidden: widths of its hidden layers; None for no global stage: the cascade starts from a mean shape, as
            in SeetaFace.
        local_sizes: sides of the crops that the local stages see; the SIFT window stays 32 pixels.
        local_hidden: widths of their hidden layers.
        descriptor: ``dense`` (see `DenseSIFT`) or ``kornia`` (see `PatchSIFT`).
        dropout: see `StackedAutoencoder`.
        jitter: deviation of the noise that a local stage's start gets while training, in units of the crop.
        units: see `StackedAutoencoder`.

    Raises:
        ValueError: an argument that does not describe a cascade, named.

    Buffers, set before training and kept in the checkpoint:
        mean_shape: (K, 2) in units of the crop; the start where there is no global stage.
    """

    mean_shape: Tensor

    def __init__(
        self,
        num_landmarks: int,
        global_size: int = 50,
        global_hidden: Sequence[int] | None = (1600, 900, 400),
        local_sizes: Sequence[int] = (80, 110, 140),
        local_hidden: Sequence[int] = (1296, 784, 400),
        descriptor: str = "dense",
        dropout: float = 0.0,
        jitter: float = 0.0,
        units: str = "sigmoid",
    ) -> None:
        super().__init__()
        check_choice("units", units, UNITS)
        check_choice("descriptor", descriptor, DESCRIPTORS)
        if not global_hidden and not local_sizes:
            raise ValueError("a cascade needs a global stage (global_hidden) or local ones (local_sizes)")
        self.global_size, self.local_sizes = global_size, tuple(local_sizes)
        self.has_global, self.jitter = bool(global_hidden), jitter
        self.register_buffer("mean_shape", torch.zeros(num_landmarks, 2))
        self.sift = DESCRIPTORS[descriptor]()
        plans = [(global_size**2, tuple(global_hidden), 0.5)] if global_hidden else []
        plans += [(SIZE * num_landmarks, tuple(local_hidden), SIFT_MEAN)] * len(self.local_sizes)
        self.stages = nn.ModuleList(
            StackedAutoencoder(inputs, hidden, 2 * num_landmarks, dropout, mean, units)
            for inputs, hidden, mean in plans
        )
        self.decoders = nn.ModuleList(TiedDecoder(inputs, hidden) for inputs, hidden, _ in plans)

    def set_mean_shape(self, points: Tensor) -> None:
        """(K, 2) in units of the crop: what an untrained global stage answers, or where the cascade starts."""
        self.mean_shape.copy_(points)
        if self.has_global:
            self.stages[0].head.bias.data.copy_(points.flatten())  # type: ignore[union-attr, operator]

    def features(self, number: int, image: Tensor, shape: Tensor | None) -> Tensor:
        """What the SAN of a stage reads.

        Args:
            number: of the stage, from 0.
            image: (B, 1, size, size) in [0, 1].
            shape: (B, K, 2) before the stage, units of the crop; not needed by a global stage.

        Returns:
            (B, 2500) pixels or (B, K x 128) descriptors, values in [0, 1].
        """
        if self.has_global and number == 0:
            return _resized(image, self.global_size).flatten(1)
        assert shape is not None
        size = self.local_sizes[number - self.has_global]
        described: Tensor = self.sift(_resized(image, size), from_unit(shape, size))
        return described.mT.flatten(1)  # dimension-major, as in the authors' code

    def forward(self, image: Tensor, depth: int | None = None, frozen: int = 0) -> list[Tensor]:
        """Locate the landmarks.

        Gradients stay within a stage: each is trained on its own update (equation 12).

        Args:
            image: (B, 1, size, size) in [0, 1].
            depth: number of stages to run; all by default.
            frozen: number of leading stages to run without gradient, while later ones train.

        Returns:
            One (B, K, 2) float32 per stage, input pixels.
        """
        size, points = image.shape[-1], []
        shape = None if self.has_global else self.mean_shape.expand(image.shape[0], -1, -1)
        for number, san in enumerate(self.stages[: len(self.stages) if depth is None else depth]):
            if shape is not None and self.training and self.jitter and number >= frozen:
                shape = shape + self.jitter * torch.randn_like(shape)
            with torch.set_grad_enabled(torch.is_grad_enabled() and number >= frozen):
                update = san(self.features(number, image, shape)).unflatten(1, (-1, 2))
            updated = update if shape is None else shape + update
            points.append(from_unit(updated, size))
            shape = updated.detach()
        return points


def _resized(image: Tensor, size: int) -> Tensor:
    if image.shape[-1] == size:
        return image
    return functional.interpolate(image.float(), size=size, mode="bilinear", align_corners=False, antialias=True)
