"""How detector boxes lie about the true ones, to start training from boxes like those of a test."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from canthus.geometry import boxes

__all__ = ["BoxPCA"]


@dataclass(frozen=True)
class BoxPCA:
    """Gaussian of detector boxes relative to true boxes: MDM's box generator (menpo/mdm, data preparation).

    A box is written relative to the true one: its centre taken away, divided by its width and height. MDM's principal
    components are of the eight corner coordinates, which hold the same four numbers twice; these are of the four.

    Attributes:
        mean: (4,) mean relative box.
        axes: (4, 4) principal components as rows, each as long as its standard deviation.
    """

    mean: Tensor
    axes: Tensor

    @classmethod
    def fit(cls, detected: Tensor, true: Tensor) -> "BoxPCA":
        """Measure it on (N, 4) detector boxes of faces with (N, 4) true boxes.

        Raises:
            ValueError: fewer than two faces, or a true box without extent.
        """
        if len(detected) < 2:
            raise ValueError(f"the variation of detector boxes needs at least 2 faces, not {len(detected)}")
        centre, sides = _frame(true)
        if not bool((sides > 0).all()):
            raise ValueError("a true box without width or height")
        relative = ((detected.double() - centre) / sides).cpu()
        mean = relative.mean(0)
        _, deviations, components = torch.linalg.svd((relative - mean) / (len(relative) - 1) ** 0.5, full_matrices=True)
        lengths = torch.zeros(4, dtype=torch.float64)
        lengths[: len(deviations)] = deviations
        return cls(mean.float(), (lengths[:, None] * components).float())

    @classmethod
    def of_numbers(cls, content: Any) -> "BoxPCA":
        """What `numbers` gave, of any origin.

        Raises:
            ValueError: something else.
        """
        try:
            mean, axes = (
                torch.tensor([_plain(value) for value in content[key]], dtype=torch.float32) for key in ("mean", "axes")
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError("it has to hold mean, four numbers, and axes, four times four") from error
        if mean.shape != (4,) or axes.shape != (4, 4) or not (mean.isfinite().all() and axes.isfinite().all()):
            raise ValueError("it has to hold mean, four numbers, and axes, four times four")
        if bool((mean[2:] - mean[:2] <= 0).any()):
            raise ValueError("its mean is no box: x1, y1, x2, y2 about the centre, in widths and heights")
        return cls(mean, axes)

    def numbers(self) -> dict[str, Any]:
        """As plain values, for a config."""
        return {"mean": _rounded(self.mean), "axes": [_rounded(row) for row in self.axes]}

    def sample(self, true: Tensor, random: torch.Generator) -> Tensor:
        """Draw a box for every true box: (B, 4) to (B, 4) on the device of both; ``random`` is a CPU generator."""
        centre, sides = _frame(true)
        weights = torch.randn(len(true), 4, generator=random).to(self.axes.device, non_blocking=True)
        with torch.autocast(true.device.type, enabled=False):
            relative = (self.mean + weights @ self.axes).to(true.dtype)
        return (relative * sides + centre).to(true.dtype)


def _plain(value: Any) -> Any:
    """A number, or a list of numbers from any kind of sequence."""
    return float(value) if isinstance(value, (int, float)) else [float(one) for one in value]


def _rounded(values: Tensor) -> list[float]:
    return [round(float(value), 5) for value in values]


def _frame(true: Tensor) -> tuple[Tensor, Tensor]:
    """Centre and sides, each twice, for both corners of a box."""
    return boxes.centre(true).repeat(1, 2), (true[:, 2:] - true[:, :2]).repeat(1, 2)
