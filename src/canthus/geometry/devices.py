"""What keeps a GPU from waiting for the host, and the host for a GPU.

A number that the host reads, or makes in the middle of a step and copies over, stops both until the other is there.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

__all__ = ["constant", "reads_are_free"]


def constant(
    values: Sequence[float] | Sequence[bool] | float, like: Tensor | torch.device, dtype: torch.dtype
) -> Tensor:
    """A small tensor that is copied to a device once and shared by all who ask for it: never write into it.

    Args:
        values: numbers, for example places along a dimension (``torch.long``).
        like: where.
        dtype: of the numbers.
    """
    device = like.device if isinstance(like, Tensor) else like
    if torch.compiler.is_compiling() or torch.compiler.is_exporting():  # what they make is no tensor to keep
        return torch.tensor(values, dtype=dtype, device=device)
    return _kept(tuple(values) if isinstance(values, Sequence) else values, dtype, device)


@lru_cache(maxsize=512)
def _kept(values: tuple[float, ...] | float, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # a tensor of inference could not be used in training
        return torch.tensor(values, dtype=dtype, device=device)


def reads_are_free(tensor: Tensor) -> bool:
    """Whether the host can look at the values at once: to stop early, or to check them."""
    return tensor.device.type == "cpu"
