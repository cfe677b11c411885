"""``trainer.precision=auto``: mixed precision where the processor and the method gain by it, and nowhere else.

The choice is made once, when a run begins, and stands in its config: a run that goes on elsewhere keeps its precision.
"""

from typing import Any

import torch

__all__ = ["AUTO", "FULL", "choose_precision", "has_native_bf16"]

AUTO = "auto"
MIXED, FULL = "bf16-mixed", "32-true"
GAIN = {"dan": 2.2, "fan_zhou": 1.7, "san": 1.7, "facepose": 1.6, "mdm": 1.5, "dcnn": 1.17}
"""How many times as fast a training step is in bfloat16 on two cores with AVX512-BF16, of the methods that gain: cfan
(0.9 to 1.03) and mtcnn (0.99) do not."""
DETECTED = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
"""Questions of `torch.cpu` that tell bfloat16 arithmetic of the processor's own; where it is emulated, a step takes
about ten times as long."""


def has_native_bf16() -> bool:
    """Whether this processor multiplies bfloat16 itself (AVX512-BF16 or AMX)."""
    return any(getattr(torch.cpu, question, bool)() for question in DETECTED)


def choose_precision(asked: Any, method: str, accelerator: str) -> tuple[Any, str]:
    """The precision of a training, and why.

    Args:
        asked: ``trainer.precision``.
        method: `LandmarkModel.name` of the model; others are trained in float32.
        accelerator: ``trainer.accelerator``.

    Returns:
        What Lightning is told, and the reason in a few words.
    """
    on_processor = accelerator == "cpu" or (accelerator == "auto" and not torch.accelerator.is_available())
    native = on_processor and has_native_bf16()
    if asked != AUTO:
        slow = on_processor and not native and str(asked).startswith("bf16")
        return asked, "as asked for" + "; this processor emulates it, in about ten times the time" * slow
    if not on_processor:
        return FULL, "auto: full precision on a GPU, unless the recipe says otherwise"
    if method not in GAIN:
        return FULL, f"auto: {method} does not gain by {MIXED}"
    if not native:
        return FULL, f"auto: this processor has no bfloat16 of its own, by which {method} would gain"
    return MIXED, f"auto: this processor has bfloat16, and {method} is {GAIN[method]:g} times as fast"
