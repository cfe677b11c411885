"""Finds, without a GPU, where a training step would make a GPU and its host wait for each other."""

import sys

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

READS = (
    "_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero", "masked_select", "bincount", "_unique2",
    "unique_dim", "unique_consecutive", "_linalg_check_errors", "repeat_interleave.Tensor", "allclose",
)  # fmt: skip
"""Operations whose result, or the size of it, the host has to know."""
CALLS = (
    "cpu", "tolist", "item", "numpy", "__bool__", "__int__", "__float__", "__index__", "__array__", "new_tensor",
    "tensor", "as_tensor",
)  # fmt: skip
"""Functions that read a tensor, or copy numbers of the host's to a device."""


def _place() -> str:
    """The innermost line of canthus that is being executed."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if "/canthus/" in name and "/tests/" not in name:
            return f"{name.rpartition('/canthus/')[2]}:{frame.f_lineno}"
        frame = frame.f_back
    return "outside of canthus"


def _is_list(key) -> bool:
    parts = key if isinstance(key, tuple) else (key,)
    return any(isinstance(part, list | np.ndarray | range) for part in parts)


class _Calls(TorchFunctionMode):
    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if name in CALLS:
            self.found.append(f"{_place()}: {name}")
        if name == "__getitem__" and _is_list(args[1]):
            self.found.append(f"{_place()}: a list as an index")
        return func(*args, **(kwargs or {}))


class Stalls(TorchDispatchMode):
    """While it is entered, notes what would stall, as ``line of canthus: what`` in ``found``."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._calls = _Calls(self.found)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.removeprefix("aten::")
        full = f"{name}.{func._overloadname}" if func._overloadname else name
        if name in READS or full in READS:
            self.found.append(f"{_place()}: aten::{full}")
        if name in ("index", "index_put", "index_put_") and any(
            one is not None and one.dtype in (torch.bool, torch.uint8) for one in args[1]
        ):
            self.found.append(f"{_place()}: a mask as an index")
        return func(*args, **(kwargs or {}))

    def __enter__(self):
        self._calls.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        return self._calls.__exit__(*error)
