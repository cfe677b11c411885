"""Supervised Descent Method (Xiong and De la Torre, CVPR 2013).

From the mean shape, a few linear steps: each reads SIFT descriptors at the points it is given and adds a linear
function of them to the shape, ``x + R phi(x) + b``. R and b of a step are a linear regression, in closed form.

Legend: B batch, P starts of each face, K landmarks. Shapes inside are in units of the crop, ``(pixel + 0.5) / side``;
points outside are (x, y) pixels of the network input.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from canthus.models.cfan.network import SIFT_MEAN, from_unit
from canthus.models.cfan.sift import SIZE, DenseSIFT
from canthus.utils.errors import ConfigError

__all__ = ["SDM", "NormalEquations"]


class SDM(nn.Module):
    """The cascade.

    Args:
        num_landmarks: K.
        sizes: side of the square crop of every step, pixels. A SIFT window is 32 of them.

    Raises:
        ValueError: no steps, or a crop without a window.
    """

    mean_shape: Tensor

    def __init__(self, num_landmarks: int, sizes: Sequence[int] = (100, 100, 100, 100)) -> None:
        super().__init__()
        if not sizes or min(sizes) < 32:
            raise ValueError(f"sizes={list(sizes)}: the crop of every step, one or more, 32 pixels or more")
        self.sizes = tuple(sizes)
        self.sift = DenseSIFT()
        outputs = 2 * num_landmarks
        steps = [nn.Linear(num_landmarks * SIZE, outputs) for _ in sizes]
        for step in steps:  # an untrained step leaves the shape as it is
            nn.init.zeros_(step.weight)
            nn.init.zeros_(step.bias)
        self.steps = nn.ModuleList(steps)
        self.register_buffer("mean_shape", torch.full((num_landmarks, 2), 0.5))

    def features(self, number: int, image: Tensor, shapes: Tensor) -> Tensor:
        """What a step reads.

        Args:
            number: of the step, from 0.
            image: (B, 1, size, size) in [0, 1].
            shapes: (B, P, K, 2) in units of the crop.

        Returns:
            (B, P, K x 128), less the mean of a descriptor's values.
        """
        size = self.sizes[number]
        described: Tensor = self.sift(_resized(image, size), from_unit(shapes, size).flatten(1, 2))
        read: Tensor = (described - SIFT_MEAN).unflatten(1, shapes.shape[1:3]).flatten(2)
        return read

    def step(self, number: int, image: Tensor, shapes: Tensor) -> Tensor:
        """(B, P, K, 2) shapes after a step."""
        with torch.autocast(image.device.type, enabled=False):  # bfloat16 would round the shape
            update: Tensor = self.steps[number](self.features(number, image, shapes))
            moved: Tensor = shapes + update.unflatten(-1, (-1, 2))
            return moved

    def forward(self, image: Tensor, depth: int | None = None) -> list[Tensor]:
        """Locate the landmarks, from the mean shape.

        Args:
            image: (B, 1, size, size) in [0, 1].
            depth: number of steps to run; all by default.

        Returns:
            One (B, K, 2) float32 per step, input pixels.
        """
        shapes, points = self.mean_shape.expand(image.shape[0], 1, -1, -1), []
        for number in range(len(self.steps) if depth is None else depth):
            shapes = self.step(number, image, shapes)
            points.append(from_unit(shapes[:, 0], image.shape[-1]))
        return points


def _resized(image: Tensor, size: int) -> Tensor:
    if image.shape[-1] == size:
        return image.float()
    return functional.interpolate(image.float(), size=size, mode="bilinear", align_corners=False, antialias=True)


class NormalEquations:
    """Linear regression with a bias from samples that are seen once: their sums are all that is kept.

    Args:
        inputs: length of a sample.
        outputs: length of what is to be predicted.
        device: of the sums.
        dtype: of the sums.
    """

    def __init__(
        self, inputs: int, outputs: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        self.gram = torch.zeros(inputs, inputs, device=device, dtype=dtype)
        self.cross = torch.zeros(inputs, outputs, device=device, dtype=dtype)
        self.input_sum = torch.zeros(inputs, device=device, dtype=dtype)
        self.output_sum = torch.zeros(outputs, device=device, dtype=dtype)
        self.count = torch.zeros((), dtype=torch.float64, device=device)

    def add(self, inputs: Tensor, outputs: Tensor) -> None:
        """Take (N, inputs) samples and (N, outputs) truths."""
        inputs, outputs = inputs.to(self.gram), outputs.to(self.gram)
        self.gram.addmm_(inputs.T, inputs)
        self.cross.addmm_(inputs.T, outputs)
        self.input_sum += inputs.sum(0)
        self.output_sum += outputs.sum(0)
        self.count += len(inputs)

    def reduce(self, total: Callable[[Tensor], Tensor]) -> None:
        """Replace every sum by that over all processes."""
        for name in ("gram", "cross", "input_sum", "output_sum", "count"):
            setattr(self, name, total(getattr(self, name)))

    def solve(self, ridge: float) -> tuple[Tensor, Tensor]:
        """Weight (outputs, inputs) and bias (outputs,), float64; the bias is not penalised.

        Args:
            ridge: penalty of the squared weights, in mean variances of the inputs times samples.

        Raises:
            ConfigError: no samples, or too few of them for this ridge.
        """
        count = float(self.count)
        if not count:
            raise ConfigError("no training face has all its points labelled; sdm learns from such faces alone")
        mean_in, mean_out = (total.double() / count for total in (self.input_sum, self.output_sum))
        gram = self.gram.double().addr_(mean_in, mean_in, alpha=-count)
        cross = self.cross.double().addr_(mean_in, mean_out, alpha=-count)
        variance = float(gram.diagonal().mean())
        gram.diagonal().add_(ridge * variance if variance > 0 else 1.0)  # inputs that never vary have no weight
        factor, failed = torch.linalg.cholesky_ex(gram)
        if int(failed):
            raise ConfigError(
                f"model.ridge={ridge:g}: {count:.0f} samples leave the {len(mean_in)} weights open; give more ridge, "
                "perturbations or faces"
            )
        weight = torch.cholesky_solve(cross, factor)
        return weight.T, mean_out - mean_in @ weight
