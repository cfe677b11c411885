"""canthus: facial landmark localisation experiments on PyTorch Lightning and Hydra.

import canthus

model = canthus.load("zoo/dan")
faces = model("photo.jpg")
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from canthus.inference.api import load

__all__ = ["__version__", "load"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """``load``, imported when it is first asked for: torch takes seconds, and shell completion must not wait for it."""
    if name == "load":
        from canthus.inference.api import load

        return load
    raise AttributeError(f"module 'canthus' has no attribute {name!r}")
