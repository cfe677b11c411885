"""Mnemonic Descent Method (Trigeorgis, Snape, Nicolaou, Antonakos, Zafeiriou, CVPR 2016).

Every step looks at a patch around each landmark, updates a memory of what the steps before saw, and moves all points.
The convolutions, the memory's weights and the output are the same in every step and are trained through all of them.

Legend: B batch, K landmarks, P side of a patch. Points are (x, y) pixels of the network input.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from canthus.geometry.patches import extract_patches
from canthus.utils.errors import check_choice

__all__ = ["MDM", "PatchEncoder", "Step"]

CHANNELS = 32
HIDDEN = 512
DEVIATION = 0.01
INITIALISATIONS = ("released", "kaiming")


def _initialise(layer: nn.Linear | nn.Conv2d) -> None:
    """The released code's: weights normal, cut at two standard deviations; biases zero."""
    nn.init.trunc_normal_(layer.weight, std=DEVIATION, a=-2 * DEVIATION, b=2 * DEVIATION)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class PatchEncoder(nn.Module):
    """Two convolutions and a skip: the pooled second one beside its own unpooled centre.

    Args:
        patch: P.
        channels: of each convolution.
        initialisation: of the convolutions: ``released`` (normal, 0.01) or ``kaiming``, whose outputs are a hundred
            times larger, so that a short training begins at once.

    Raises:
        ValueError: patches too small for two convolutions and two poolings.
    """

    def __init__(self, patch: int, channels: int = CHANNELS, initialisation: str = "released") -> None:
        super().__init__()
        self.convolved = (patch - 2) // 2 - 2  # rows that the second convolution leaves
        self.side = self.convolved // 2
        if self.side < 1:
            raise ValueError(f"patch is {patch}; two convolutions and poolings need at least 10 pixels")
        self.first = nn.Conv2d(3, channels, 3)
        self.second = nn.Conv2d(channels, channels, 3)
        self.features = 2 * channels * self.side**2
        for layer in (self.first, self.second):
            _initialise(layer)
            if initialisation == "kaiming":
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def maps(self, patches: Tensor) -> Tensor:
        """(N, 3, P, P) patches to (N, 2 x channels, side, side)."""
        hidden = functional.max_pool2d(functional.relu(self.first(patches)), 2)
        hidden = functional.relu(self.second(hidden))
        pooled = functional.max_pool2d(hidden, 2)
        # the released code's crop: for an odd side half a pixel off the middle
        centre = self.convolved // 2
        begin, end = int(centre - self.side / 2), int(centre + self.side / 2)
        return torch.cat([hidden[..., begin:end, begin:end], pooled], 1)

    def forward(self, patches: Tensor) -> Tensor:
        """(B, K, 3, P, P) patches to (B, K, features)."""
        flat = patches.flatten(0, 1).contiguous(memory_format=torch.channels_last)  # a quarter faster on CPUs
        features: Tensor = self.maps(flat).flatten(1).unflatten(0, patches.shape[:2])
        return features


class Step(nn.Module):
    """What happens between two estimates: patches to features, features and memory to memory, memory to a displacement.

    Args:
        num_landmarks: K.
        patch: P.
        hidden: length of the memory.
        channels: see `PatchEncoder`.
        projection: length to which each landmark's features are first reduced, all by one matrix, for small machines;
            None, as published, for none.
        initialisation: see `PatchEncoder`.
        memory: whether the step sees the memory of the one before.
    """

    def __init__(
        self,
        num_landmarks: int,
        patch: int,
        hidden: int,
        channels: int,
        projection: int | None,
        initialisation: str,
        memory: bool,
    ) -> None:
        super().__init__()
        self.encoder = PatchEncoder(patch, channels, initialisation)
        features = self.encoder.features
        self.reduce = None if projection is None else nn.Linear(features, projection, bias=False)
        # W [f ; h] + b as W_f f + b + W_h h: the big product stands alone, so that autocast can have it in bfloat16
        self.from_features = nn.Linear(num_landmarks * (projection or features), hidden)
        self.from_memory = nn.Linear(hidden, hidden, bias=False) if memory else None
        self.output = nn.Linear(hidden, 2 * num_landmarks)
        # the projection is not the released code's and keeps torch's initialisation: three layers at 0.01 hardly start
        for layer in (self.from_features, self.from_memory, self.output):
            if layer is not None:
                _initialise(layer)

    def forward(self, patches: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """(B, K, 3, P, P) patches and (B, hidden) memory to a displacement (B, K, 2), float32, and the new memory."""
        features = self.encoder(patches)
        if self.reduce is not None:
            features = self.reduce(features)
        seen = self.from_features(features.flatten(1))
        with torch.autocast(patches.device.type, enabled=False):  # points and memory stay in float32
            remembered = 0 if self.from_memory is None else self.from_memory(memory)
            memory = torch.tanh(seen.float() + remembered)
            displacement: Tensor = self.output(memory)
        return displacement.unflatten(1, (-1, 2)), memory


class MDM(nn.Module):
    """The recurrent cascade. Image and initial shape in, the points after every step out.

    Args:
        num_landmarks: K.
        steps: T; the released code: 4 (the paper's figure shows 3).
        patch: P; the paper: 30.
        hidden: length of the memory.
        channels: of each convolution.
        projection: see `Step`.
        initialisation: see `PatchEncoder`.
        unit: pixels that an output of 1 stands for; published 1, more lets short trainings move points sooner.
        independent: give every step weights of its own and no memory: a plain cascade of regressors, to compare with.

    Raises:
        ValueError: an argument that does not describe a network, named.

    Buffers, set before training and kept in the checkpoint:
        mean_shape: (K, 2) reference shape.
    """

    mean_shape: Tensor

    def __init__(
        self,
        num_landmarks: int,
        steps: int = 4,
        patch: int = 30,
        hidden: int = HIDDEN,
        channels: int = CHANNELS,
        projection: int | None = None,
        initialisation: str = "released",
        unit: float = 1.0,
        independent: bool = False,
    ) -> None:
        super().__init__()
        if steps < 1 or hidden < 1 or channels < 1:
            raise ValueError(f"steps={steps}, hidden={hidden}, channels={channels}: all at least 1")
        check_choice("initialisation", initialisation, INITIALISATIONS)
        self.count, self.patch, self.hidden, self.unit = steps, patch, hidden, unit
        self.register_buffer("mean_shape", torch.zeros(num_landmarks, 2))
        self.steps = nn.ModuleList(
            Step(num_landmarks, patch, hidden, channels, projection, initialisation, memory=not independent)
            for _ in range(steps if independent else 1)
        )

    def step(self, number: int) -> nn.Module:
        """The module that holds the weights of a step, counted from 0."""
        return self.steps[number % len(self.steps)]

    def forward(self, image: Tensor, initial: Tensor, depth: int | None = None, frozen: int = 0) -> list[Tensor]:
        """Locate the landmarks.

        No gradient flows from what a patch shows to where it lies; through memory and running sum it reaches all steps.

        Args:
            image: (B, 3, H, W) in [0, 1].
            initial: (B, K, 2) shape to start from, input pixels.
            depth: number of steps to run; all by default.
            frozen: number of leading steps to run without gradient, while later ones train.

        Returns:
            One (B, K, 2) float32 per step, input pixels.
        """
        displacement = torch.zeros_like(initial, dtype=torch.float32)
        memory = displacement.new_zeros(image.shape[0], self.hidden)
        points = []
        for number in range(self.count if depth is None else depth):
            with torch.set_grad_enabled(torch.is_grad_enabled() and number >= frozen):
                patches = extract_patches(image, (initial + displacement).detach(), self.patch)
                moved, memory = self.step(number)(patches, memory)
                displacement = displacement + self.unit * moved
                points.append(initial + displacement)
        return points
