"""Deep Alignment Network (Kowalski, Naruniec, Trzcinski, CVPR Workshops 2017).

Every stage sees the whole face and adds a displacement to the shape before it. Between stages a connection layer
(section 3.2) turns the face upright by the latest shape and tells the next stage, as two more channels, where the
landmarks are believed to be (heat map) and what the stage before thought (feature image).

Legend: B batch, K landmarks, C image channels. Points are (x, y) pixels of the network input.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from canthus.geometry import affine
from canthus.geometry.warp import warp

__all__ = ["DAN", "SUPPORTS", "connection", "inverse_distance_map"]

CHANNELS = (64, 128, 256, 512)  # table 1 of the paper
HIDDEN = 256  # fc1
EPSILON = 1e-4  # of batch norm: Lasagne's default, with which the released models were trained
SUPPORTS = ("disc", "window")


def inverse_distance_map(points: Tensor, size: int, *, support: str = "disc", radius: int = 16) -> Tensor:
    """Heat map of a shape, H(p) = 1 / (1 + distance to the nearest landmark) near landmarks, else 0 (equation 3).

    Args:
        points: (B, K, 2).
        size: side of the map, pixels.
        support: ``disc``: distances up to ``radius`` (the paper: 16). ``window``: the released code's 17 x 17 squares
            around the landmarks' integer parts, which are first kept 8 pixels away from the border.
        radius: of the disc; the window has half that on each side.

    Returns:
        (B, 1, size, size) in [0, 1].
    """
    axis = torch.arange(size, device=points.device, dtype=torch.float32)
    points = points.float()
    if support == "disc":
        squared = _nearest_squared(points, axis)
        distance = squared.clamp_min(1e-12).sqrt()  # the clamp keeps the gradient finite on a landmark
        return torch.where(distance <= radius, 1 / (1 + distance), 0)[:, None]
    half = radius // 2
    points = points.clamp(half, size - 1 - half)
    outside = (axis - points.trunc()[..., None]).abs() > half  # (B, K, 2, size)
    distance = (_nearest_squared(points, axis, outside) + 1e-6).sqrt()
    return torch.where(distance.isfinite(), 1 / (1 + distance), 0)[:, None]


def _nearest_squared(points: Tensor, axis: Tensor, outside: Tensor | None = None) -> Tensor:
    """(B, H, W) squared distances to the nearest point; infinite where all of them are ``outside``."""
    squared = (axis - points[..., None]).square()  # (B, K, 2, size): separable
    if outside is not None:
        squared = squared.masked_fill(outside, torch.inf)
    return (squared[:, :, 1, :, None] + squared[:, :, 0, None, :]).amin(1)


def connection(points: Tensor, mean_shape: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
    """Turn a face to the mean shape: estimate the similarity from the latest points and warp the image by it.

    The image is always the first stage's input, never an earlier warp (section 3.2), so blur does not add up.

    Args:
        points: (B, K, 2).
        mean_shape: (K, 2).
        image: (B, C, H, W).

    Returns:
        (B, 2, 3) maps from input pixels to upright pixels, and the (B, C, H, W) upright image.
    """
    to_upright = affine.similarity_fit(points, mean_shape[None])
    return to_upright, warp(image, affine.invert(to_upright), image.shape[-1])


def _conv(inputs: int, outputs: int) -> nn.Sequential:
    """Convolution without bias, then batch norm, then ReLU: this order is the released code's."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs, eps=EPSILON), nn.ReLU()
    )


class Stage(nn.Module):
    """Feed-forward part of a stage (table 1): image to a displacement of the points.

    Args:
        inputs: input channels.
        num_landmarks: K.
        size: side of the input, pixels.
        channels: of the four pairs of convolutions.
        dropout: before fc1.
    """

    def __init__(self, inputs: int, num_landmarks: int, size: int, channels: Sequence[int], dropout: float) -> None:
        super().__init__()
        widths = (inputs, *channels)
        self.features = nn.Sequential(
            *[
                nn.Sequential(_conv(before, width), _conv(width, width), nn.MaxPool2d(2))
                for before, width in zip(widths, channels, strict=False)
            ]
        )
        side = size // 2 ** len(channels)
        self.dropout = nn.Dropout(dropout)
        self.fc1 = nn.Linear(channels[-1] * side * side, HIDDEN, bias=False)
        self.norm = nn.BatchNorm1d(HIDDEN, eps=EPSILON)
        self.fc2 = nn.Linear(HIDDEN, 2 * num_landmarks)
        for module in self.features.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight, gain=2**0.5)
        nn.init.xavier_uniform_(self.fc1.weight, gain=2**0.5)
        nn.init.xavier_uniform_(self.fc2.weight)
        nn.init.zeros_(self.fc2.bias)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) to the displacement (B, K, 2), float32, and fc1's output (B, 256)."""
        hidden = self.fc1(self.dropout(self.features(image)).flatten(1))
        hidden = functional.relu(self.norm(hidden))
        with torch.autocast(image.device.type, enabled=False):  # bfloat16 would round points to 1/16 pixel
            displacement = self.fc2(hidden.float())
        return displacement.unflatten(1, (-1, 2)), hidden


class RefinementStage(nn.Module):
    """A stage after the first: connection layer, then the feed-forward part on its three kinds of channels.

    Args:
        inputs: image channels.
        num_landmarks: K.
        size: side of the input, pixels.
        channels: see `Stage`.
        dropout: see `Stage`.
        support: see `inverse_distance_map`.
        radius: see `inverse_distance_map`.
        without: see `DAN`.
    """

    def __init__(
        self,
        inputs: int,
        num_landmarks: int,
        size: int,
        channels: Sequence[int],
        dropout: float,
        support: str,
        radius: int,
        without: str | None = None,
    ) -> None:
        super().__init__()
        self.size, self.support, self.radius, self.without = size, support, radius, without
        self.feature_image = nn.Linear(HIDDEN, (size // 2) ** 2)
        nn.init.xavier_uniform_(self.feature_image.weight, gain=2**0.5)
        nn.init.zeros_(self.feature_image.bias)
        self.norm = nn.BatchNorm2d(inputs + 2, eps=EPSILON)
        self.stage = Stage(inputs + 2, num_landmarks, size, channels, dropout)

    def forward(self, image: Tensor, points: Tensor, hidden: Tensor, mean_shape: Tensor) -> tuple[Tensor, Tensor]:
        """Refine (B, K, 2) points; returns them with this stage's fc1 output."""
        to_upright, upright = connection(points, mean_shape, image)
        upright_points = affine.apply(to_upright, points)
        heatmap = inverse_distance_map(upright_points, self.size, support=self.support, radius=self.radius)
        feature = functional.relu(self.feature_image(hidden)).unflatten(1, (1, self.size // 2, -1))
        feature = functional.interpolate(feature, scale_factor=2, mode="nearest").to(upright.dtype)
        shown = {"heatmap": heatmap, "feature": feature}
        if self.without is not None:  # blank, so that the network keeps its size
            shown[self.without] = torch.zeros_like(shown[self.without])
        displacement, hidden = self.stage(self.norm(torch.cat([upright, *shown.values()], 1)))
        return affine.apply(affine.invert(to_upright), upright_points + displacement), hidden


class DAN(nn.Module):
    """The cascade. Image in, every stage's points out.

    Args:
        num_landmarks: K.
        stages: S, at least 1; the paper has 2.
        size: side of the square input, pixels; divisible by 16.
        channels_in: image channels C; the released models have 1 (grey).
        width: factor of the convolutions' channels, for small machines; the paper has 1.
        dropout: before fc1.
        support: heat-map support, see `inverse_distance_map`.
        radius: heat-map radius, pixels.
        without: ``heatmap`` or ``feature``: an input of the later stages that is left blank; None for none.

    Raises:
        ValueError: an argument that does not describe a network, named.

    Buffers, set before training and kept in the checkpoint:
        mean_shape: (K, 2) canonical shape S0, input pixels.
        mean_image, std_image: (C, size, size), or (C, 1, 1) for one pair a channel.
    """

    mean_shape: Tensor
    mean_image: Tensor
    std_image: Tensor

    def __init__(
        self,
        num_landmarks: int,
        stages: int = 2,
        size: int = 112,
        channels_in: int = 1,
        width: float = 1.0,
        dropout: float = 0.5,
        support: str = "disc",
        radius: int = 16,
        without: str | None = None,
    ) -> None:
        super().__init__()
        if without not in (None, "heatmap", "feature"):
            raise ValueError(f"without={without}: heatmap, feature or null")
        if stages < 1 or size % 16 or width <= 0:
            raise ValueError(f"stages={stages}, size={size}, width={width}: need stages >= 1, 16 | size, width > 0")
        if support not in SUPPORTS:
            raise ValueError(f"heat-map support is {support!r}; one of {', '.join(SUPPORTS)}")
        channels = [max(round(c * width), 1) for c in CHANNELS]
        self.register_buffer("mean_shape", torch.zeros(num_landmarks, 2))
        self.register_buffer("mean_image", torch.zeros(channels_in, size, size))
        self.register_buffer("std_image", torch.ones(channels_in, size, size))
        self.first = Stage(channels_in, num_landmarks, size, channels, dropout)
        self.refinements = nn.ModuleList(
            RefinementStage(channels_in, num_landmarks, size, channels, dropout, support, radius, without)
            for _ in range(stages - 1)
        )

    def stage(self, number: int) -> nn.Module:
        """The module that holds the parameters of one stage, counted from 0."""
        return self.first if number == 0 else self.refinements[number - 1]

    def _feed_forward(self, number: int) -> Stage:
        return self.first if number == 0 else cast(Stage, self.refinements[number - 1].stage)

    def copy_stage(self, source: int, target: int) -> None:
        """Start a later stage from the feed-forward part of another: it sees the same faces, only upright.

        The first convolution keeps its own weights for the channels that the source does not have; the last layer
        is set to zero, so that the new stage begins by repeating the points before it.
        """
        taught, learner = self._feed_forward(source), self._feed_forward(target)
        weights = {name: value for name, value in taught.state_dict().items() if not name.startswith("fc2")}
        first = "features.0.0.0.weight"
        inputs = min(weights[first].shape[1], self.mean_image.shape[0])
        merged = learner.state_dict()[first].clone()
        merged[:, :inputs] = weights[first][:, :inputs]
        learner.load_state_dict({**weights, first: merged}, strict=False)
        nn.init.zeros_(learner.fc2.weight)
        nn.init.zeros_(learner.fc2.bias)

    def forward(self, image: Tensor, depth: int | None = None, frozen: int = 0) -> list[Tensor]:
        """Locate the landmarks.

        Args:
            image: (B, C, size, size) in [0, 1].
            depth: number of stages to run; all by default.
            frozen: number of leading stages to run without gradient, while later ones train.

        Returns:
            One (B, K, 2) float32 per stage, input pixels.
        """
        depth = 1 + len(self.refinements) if depth is None else depth
        image = (image - self.mean_image) / self.std_image
        with torch.set_grad_enabled(torch.is_grad_enabled() and frozen < 1):
            displacement, hidden = self.first(image)
            points = [self.mean_shape + displacement]
        for number, refine in enumerate(self.refinements[: depth - 1], start=1):
            with torch.set_grad_enabled(torch.is_grad_enabled() and frozen <= number):
                refined, hidden = refine(image, points[-1], hidden, self.mean_shape)
                points.append(refined)
        return points
