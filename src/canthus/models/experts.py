"""Many small networks of one build, run as one: grouped convolutions, then grouped dense layers.

Parameters have the experts in front, so that expert e of E owns the e-th of E equal parts of every parameter.

Legend: B batch, E experts.
"""

import torch
from torch import Tensor, nn

__all__ = ["GroupedLinear"]


class GroupedLinear(nn.Module):
    """A dense layer for each expert, in one batched product.

    Args:
        experts: E.
        inputs: of one expert.
        outputs: of one expert.
    """

    def __init__(self, experts: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.experts = experts
        self.weight = nn.Parameter(torch.empty(experts * outputs, inputs))  # fan-in as `nn.init` understands it
        self.bias = nn.Parameter(torch.zeros(experts * outputs))
        nn.init.kaiming_normal_(self.weight)

    def forward(self, features: Tensor) -> Tensor:
        """(B, E, inputs) to (B, E, outputs)."""
        weight, bias = (values.unflatten(0, (self.experts, -1)) for values in (self.weight, self.bias))
        return torch.baddbmm(bias[:, None], features.transpose(0, 1), weight.mT).transpose(0, 1)
