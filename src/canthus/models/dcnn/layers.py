"""The layers of section 3 of the paper: locally shared convolution, pooling with gain and bias, structures S0 to S7.

Each layer also runs for E networks of one structure at once (see `canthus.models.experts`); E = 1 is the paper's layer.

Legend: B batch, E experts, I and O input and output maps, p x q regions of a map, h w rows and columns.
"""

import re

import torch
from torch import Tensor, nn
from torch.nn import functional

from canthus.models.experts import GroupedLinear

__all__ = ["STRUCTURES", "AbsTanh", "GainPool", "LocalConv2d", "Structure"]

STRUCTURES = {
    "S0": "I(39,39) CR(4,20,2,2) P(2) CR(3,40,2,2) P(2) CR(3,60,3,3) P(2) CR(2,80,2,2) F(120) F(10)",
    "S1": "I(31,39) CR(4,20,1,1) P(2) CR(3,40,2,2) P(2) CR(3,60,2,3) P(2) CR(2,80,1,2) F(100) F(6)",
    "S2": "I(15,15) CR(4,20,1,1) P(2) CR(3,40,1,1) P(2) F(60) F(2)",
    "S3": "I(39,39) CR(4,20,2,2) P(2) CR(3,40,2,2) P(2) CR(3,60,3,3) P(2) F(120) F(10)",
    "S4": "I(39,39) CR(4,20,2,2) P(2) CR(3,40,2,2) P(2) F(120) F(10)",
    "S5": "I(39,39) CR(4,20,2,2) P(2) F(120) F(10)",
    "S6": "I(39,39) C(4,20,2,2) P(2) C(3,40,2,2) P(2) C(3,60,3,3) P(2) C(2,80,2,2) F(120) F(10)",
    "S7": "I(39,39) CR(4,20,1,1) P(2) CR(3,40,1,1) P(2) CR(3,60,1,1) P(2) CR(2,80,1,1) F(120) F(10)",
}
"""Table 1. I(h,w) input; CR(s,n,p,q) and C(s,n,p,q) convolution with and without absolute value; P(s); F(n)."""


class LocalConv2d(nn.Module):
    """Convolution whose weights are shared only within each of p x q regions of the output map (equation 1).

    The regions are equal rectangles, p along the height. Receptive fields cross region borders: only weights are local.
    Computed as one grouped convolution over the overlapping tiles that the regions see.

    Args:
        experts: E.
        inputs: I of one expert.
        outputs: O of one expert.
        kernel: side s of the kernels.
        regions: (p, q).
    """

    def __init__(self, experts: int, inputs: int, outputs: int, kernel: int, regions: tuple[int, int]) -> None:
        super().__init__()
        self.experts, self.kernel, self.regions = experts, kernel, regions
        groups = experts * regions[0] * regions[1]
        self.weight = nn.Parameter(torch.empty(groups * outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(groups * outputs))
        nn.init.kaiming_normal_(self.weight)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, E * I, h, w) to (B, E * O, h - s + 1, w - s + 1).

        Raises:
            ValueError: an output that does not divide into the regions.
        """
        (p, q), overlap = self.regions, self.kernel - 1
        if p == q == 1:
            return functional.conv2d(maps, self.weight, self.bias, groups=self.experts)
        height, width = maps.shape[-2] - overlap, maps.shape[-1] - overlap
        if height % p or width % q:
            raise ValueError(f"{height} x {width} outputs do not divide into {p} x {q} regions")
        rows, columns = height // p, width // q
        tiles = maps.unfold(2, rows + overlap, rows).unfold(3, columns + overlap, columns)
        tiles = tiles.unflatten(1, (self.experts, -1)).permute(0, 1, 3, 4, 2, 5, 6)  # (B, E, p, q, I, rows, columns)
        groups = self.experts * p * q
        out = functional.conv2d(tiles.flatten(1, 4), self.weight, self.bias, groups=groups)
        out = out.unflatten(1, (self.experts, p, q, -1)).permute(0, 1, 4, 2, 5, 3, 6)  # (B, E, O, p, rows, q, columns)
        joined: Tensor = out.flatten(5, 6).flatten(3, 4).flatten(1, 2)
        return joined


class GainPool(nn.Module):
    """Max pooling without overlap, then ``tanh(g * max + b)`` with g and b for each map and region (equation 3).

    Args:
        maps: E * O.
        size: side of a pooling window.
        regions: (p, q) of the convolution before.
    """

    def __init__(self, maps: int, size: int, regions: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.gain = nn.Parameter(torch.ones(maps, *regions))
        self.bias = nn.Parameter(torch.zeros(maps, *regions))

    def forward(self, maps: Tensor) -> Tensor:
        """(B, maps, h, w) to (B, maps, h / size, w / size), in (-1, 1)."""
        pooled = functional.max_pool2d(maps, self.size)
        (p, q), (height, width) = self.gain.shape[1:], pooled.shape[-2:]
        gain, bias = (
            values.repeat_interleave(height // p, 1).repeat_interleave(width // q, 2)
            for values in (self.gain, self.bias)
        )
        return torch.tanh(torch.addcmul(bias, gain, pooled))


class AbsTanh(nn.Module):
    """``|tanh(x)|``, the R of CR."""

    def forward(self, maps: Tensor) -> Tensor:
        """Any shape to the same, in [0, 1)."""
        return torch.tanh(maps).abs()


class Structure(nn.Module):
    """E networks of one structure: grey patches in, numbers in (-1, 1) out. All of `F` is tanh, the output too.

    Args:
        layers: a value of `STRUCTURES`.
        experts: E.

    Attributes:
        size: (h, w) of the patches.

    Raises:
        ValueError: layers that do not read like those of table 1.
    """

    def __init__(self, layers: str, experts: int = 1) -> None:
        super().__init__()
        self.experts = experts
        convolutions: list[nn.Module] = []
        dense: list[nn.Module] = []
        maps, features, regions = 1, 0, (1, 1)
        for kind, numbers in _parse(layers):
            if kind == "I":
                self.size = height, width = (numbers[0], numbers[1])
            elif kind == "P":
                convolutions.append(GainPool(experts * maps, numbers[0], regions))
                height, width = height // numbers[0], width // numbers[0]
            elif kind == "F":
                dense += [GroupedLinear(experts, features or maps * height * width, numbers[0]), nn.Tanh()]
                features = numbers[0]
            else:
                kernel, outputs, *split = numbers
                regions = (split[0], split[1])
                convolutions.append(LocalConv2d(experts, maps, outputs, kernel, regions))
                convolutions.append(AbsTanh() if kind == "CR" else nn.Tanh())
                maps, height, width = outputs, height - kernel + 1, width - kernel + 1
        self.convolutions, self.dense = nn.Sequential(*convolutions), nn.Sequential(*dense)
        for module in self.modules():
            if isinstance(
                module, LocalConv2d | GroupedLinear
            ):  # LeCun's start for tanh; the paper: small random numbers
                nn.init.kaiming_normal_(module.weight, nonlinearity="linear")

    def forward(self, patches: Tensor) -> Tensor:
        """(B, E, h, w) to (B, E, n) with n the last F."""
        maps = self.convolutions(patches)
        out: Tensor = self.dense(maps.unflatten(1, (self.experts, -1)).flatten(2))
        return out


def _parse(layers: str) -> list[tuple[str, list[int]]]:
    """``CR(4,20,2,2)`` to ``("CR", [4, 20, 2, 2])``, for every layer."""
    arity = {"I": 2, "CR": 4, "C": 4, "P": 1, "F": 1}
    parsed = []
    for layer in layers.split():
        match = re.fullmatch(r"([A-Z]+)\(([\d,]+)\)", layer)
        numbers = [int(number) for number in match[2].split(",") if number] if match else []
        if not match or len(numbers) != arity.get(match[1]):
            raise ValueError(f"{layer!r} is no layer; one of I(h,w) CR(s,n,p,q) C(s,n,p,q) P(s) F(n)")
        parsed.append((match[1], numbers))
    return parsed
