"""Approaching human level facial landmark localization by deep learning (Fan, Zhou, Image and Vision Computing 2016).

Level 1: one network sees the whole face and places all points. A similarity then turns the face upright and to one
size. Level 2: one network for each landmark sees the upright patch around it and places the k landmarks nearest to it
in the mean shape (k = 1: itself). Every landmark is the mean of the votes for it, brought back into the image.

Legend: B batch, K landmarks, k landmarks that a patch network places. Points are (x, y) pixels of the network input;
*upright* pixels are those of the frame in which the outer eye corners of the mean shape are `EYE_DISTANCE` apart.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from canthus.geometry import affine
from canthus.geometry.devices import constant
from canthus.geometry.patches import region_maps, warp_patches
from canthus.models.estimates import Votes
from canthus.models.experts import GroupedLinear

__all__ = ["EYE_DISTANCE", "PATCH", "FanZhou", "PatchNetworks", "WholeFace"]

POOL = 0
LEVEL_1 = (32, POOL, 64, 64, POOL, 64, 64, POOL, 128, 128, POOL, 256)
"""Table 1: output maps of 3x3 convolutions, and 2x2 pooling. The paper prints no padding; it must be 1, because without
any the patches of level 2 would run out of pixels."""
LEVEL_2 = (32, POOL, 64, 64, POOL, 64, 128)
HIDDEN_1, HIDDEN_2 = 1024, 256
PATCH = 24
"""Side of the patches of level 2, pixels (table 1)."""
EYE_DISTANCE = 50.0
"""Of the outer eye corners in the upright frame, pixels: patches span about a quarter of the face (inferred)."""


def _convolutions(inputs: int, plan: Sequence[int], width: float, experts: int = 1) -> tuple[nn.Sequential, int]:
    """A column of table 1 for each expert, and the maps that it ends with."""
    layers: list[nn.Module] = []
    for maps in plan:
        if maps == POOL:
            layers.append(nn.MaxPool2d(2))
            continue
        outputs = max(round(maps * width), 1)
        layers += [nn.Conv2d(experts * inputs, experts * outputs, 3, padding=1, groups=experts), nn.ReLU(inplace=True)]
        inputs = outputs
    return nn.Sequential(*layers), inputs


def _initialise(module: nn.Module) -> None:
    """He's start for layers before a ReLU, and 0 for the last: a level that has learnt nothing moves nothing."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear | GroupedLinear)]
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    nn.init.zeros_(layers[-1].weight)


class WholeFace(nn.Module):
    """Level 1: the image to all points.

    Args:
        num_landmarks: K.
        size: side of the input, pixels; divisible by 16.
        width: factor of all layers but the last.
        dropout: before the last layer; table 1 has none.
    """

    landmarks: Tensor

    def __init__(self, num_landmarks: int, size: int, width: float, dropout: float) -> None:
        super().__init__()
        self.features, maps = _convolutions(3, LEVEL_1, width)
        hidden = max(round(HIDDEN_1 * width), 1)
        self.hidden = nn.Linear(maps * (size // 16) ** 2, hidden)
        self.dropout = nn.Dropout(dropout)
        self.points = nn.Linear(hidden, 2 * num_landmarks)
        self.middle, self.reach = (size - 1) / 2, size / 2
        self.register_buffer("landmarks", torch.arange(num_landmarks), persistent=False)
        _initialise(self)

    def start_from(self, points: Tensor) -> None:
        """Let a network that has seen nothing answer with (K, 2) points."""
        with torch.no_grad():
            self.points.bias.copy_(((points - self.middle) / self.reach).flatten())

    def forward(self, image: Tensor) -> Votes:
        """(B, 3, size, size) to one vote for each landmark; outputs are -1 and 1 at the borders of the image."""
        hidden = torch.relu(self.hidden(self.features(image).flatten(1)))
        with torch.autocast(image.device.type, enabled=False):  # bfloat16 would round points to a quarter of a pixel
            out = self.points(self.dropout(hidden).float()).unflatten(1, (-1, 2))
        return Votes(self.middle + self.reach * out, self.landmarks, constant(self.reach, out, out.dtype))


class PatchNetworks(nn.Module):
    """Level 2: a network for each landmark, all as one grouped network.

    Args:
        num_landmarks: K.
        votes: k, at most K.
        width: factor of all layers but the last.
        anchors: (A, K) weights: the similarity is fitted to A weighted means of points; by default to all points.

    Buffers, set before training and kept in the checkpoint:
        mean_shape: (K, 2), upright pixels.
        neighbours: (K, k) the landmarks that each network places.
    """

    mean_shape: Tensor
    anchors: Tensor
    neighbours: Tensor

    def __init__(self, num_landmarks: int, votes: int, width: float, anchors: Tensor | None = None) -> None:
        super().__init__()
        self.votes = votes
        self.features, maps = _convolutions(3, LEVEL_2, width, experts=num_landmarks)
        hidden = max(round(HIDDEN_2 * width), 1)
        self.hidden = GroupedLinear(num_landmarks, maps * (PATCH // 4) ** 2, hidden)
        self.points = GroupedLinear(num_landmarks, hidden, 2 * votes)
        self.register_buffer("mean_shape", torch.zeros(num_landmarks, 2))
        self.register_buffer("anchors", torch.eye(num_landmarks) if anchors is None else anchors, persistent=False)
        self.register_buffer("neighbours", torch.zeros(num_landmarks, votes, dtype=torch.int64))
        _initialise(self)

    def set_shape(self, mean_shape: Tensor) -> None:
        """Fix the upright frame by a (K, 2) shape in its pixels, and with it who votes for whom."""
        self.mean_shape.copy_(mean_shape)
        self.neighbours.copy_(torch.cdist(mean_shape, mean_shape).argsort(1)[:, : self.votes])

    def upright(self, points: Tensor) -> Tensor:
        """(B, 2, 3) similarities from the input image to the upright frame, by (B, K, 2) points."""
        with torch.autocast(points.device.type, enabled=False):
            return affine.similarity_fit(self.anchors @ points.float(), self.anchors @ self.mean_shape)

    def forward(self, image: Tensor, points: Tensor, jitter: Tensor | None = None) -> Votes:
        """Look around (B, K, 2) points.

        Args:
            image: (B, 3, H, W); patches are cut from it in one interpolation.
            points: an earlier estimate; no gradient reaches it.
            jitter: (B, 2, 3) maps of the upright frame that disturb the rectification, in training.

        Returns:
            k votes of each network. Their mean is the same in the image as in the upright frame.
        """
        points = points.detach()
        to_upright = self.upright(points)
        if jitter is not None:
            to_upright = affine.compose(jitter, to_upright)
        to_image = affine.invert(to_upright)
        centres = affine.apply(to_upright, points)
        regions = torch.cat([centres - PATCH / 2, centres + PATCH / 2], -1)
        maps = affine.compose(to_image[:, None], region_maps(regions, (PATCH, PATCH)))
        patches = warp_patches(image, maps, (PATCH, PATCH))
        features = self.features(patches.flatten(1, 2)).unflatten(1, (len(self.neighbours), -1)).flatten(2)
        hidden = torch.relu(self.hidden(features))
        with torch.autocast(image.device.type, enabled=False):
            out = self.points(hidden.float()).unflatten(2, (-1, 2))
        votes = (centres[:, :, None] + PATCH / 2 * out).flatten(1, 2)
        scale = torch.linalg.vector_norm(to_image[:, :, 0], dim=-1)  # image pixels in an upright pixel
        return Votes(affine.apply(to_image, votes), self.neighbours.flatten(), PATCH / 2 * scale[:, None, None])


class FanZhou(nn.Module):
    """Both levels.

    Args:
        num_landmarks: K.
        votes: k, the landmarks that a patch network places: 1 or 3 in the paper.
        size: side of the input, pixels; divisible by 16.
        width: factor of the layers, for small machines; the paper has 1.
        dropout: before the last layer of level 1.
        levels: 1 or 2.
        anchors: see `PatchNetworks`.

    Raises:
        ValueError: an argument that does not describe a network, named.
    """

    def __init__(
        self,
        num_landmarks: int,
        votes: int = 3,
        size: int = 128,
        width: float = 1.0,
        dropout: float = 0.0,
        levels: int = 2,
        anchors: Tensor | None = None,
    ) -> None:
        super().__init__()
        if size % 16 or width <= 0 or levels not in (1, 2):
            raise ValueError(f"size={size}, width={width}, levels={levels}: need 16 | size, width > 0, 1 or 2 levels")
        if not 1 <= votes <= num_landmarks:
            raise ValueError(
                f"votes={votes}: a patch network places 1 to {num_landmarks} of the {num_landmarks} points"
            )
        self.num_landmarks = num_landmarks
        self.whole = WholeFace(num_landmarks, size, width, dropout)
        self.patches = PatchNetworks(num_landmarks, votes, width, anchors) if levels == 2 else None

    def forward(self, image: Tensor, depth: int | None = None) -> list[Votes]:
        """Locate the landmarks.

        Args:
            image: (B, 3, size, size) in [-1, 1].
            depth: number of levels to run; all by default.

        Returns:
            The votes of each level.
        """
        votes = [self.whole(image)]
        if self.patches is not None and depth != 1:
            votes.append(self.patches(image, votes[0].average(self.num_landmarks)))
        return votes
