"""What canthus itself defines, by dotted path."""

import torch
from hydra.utils import get_object

from canthus.data.face import Reader
from canthus.models.cascade import cascade_of

__all__ = ["is_own", "own_class"]

TORCH = {"optimizer": torch.optim.Optimizer, "scheduler": torch.optim.lr_scheduler.LRScheduler}
"""Kinds of what torch defines, and what they have to be."""


def _class_of(kind: str) -> type | None:
    """What has to be the base of classes that a config may build as that kind."""
    if kind == "reader":
        return Reader
    import lightning  # seconds, which prediction does without: the cascade of a method is known without its module
    from lightning.pytorch.loggers import Logger

    return {"model": lightning.LightningModule, "callback": lightning.Callback, "logger": Logger}.get(kind)


def is_own(kind: str, target: str) -> bool:
    """Whether a dotted path is a class of that kind that canthus, or for optimisers torch, defines itself."""
    if kind in TORCH:
        module = torch.optim if kind == "optimizer" else torch.optim.lr_scheduler
        place, _, name = target.rpartition(".")
        found = getattr(module, name, None) if place == module.__name__ else None
        return isinstance(found, type) and issubclass(found, TORCH[kind])
    if kind == "model" and cascade_of(target) is not None:
        return True
    found, base = own_class(target), _class_of(kind)
    return found is not None and base is not None and issubclass(found, base)


def own_class(target: str) -> type | None:
    """The class that a dotted path names, if canthus itself defines it."""
    if not target.startswith("canthus."):
        return None
    try:
        found = get_object(target)
    except (ImportError, AttributeError, ValueError):
        return None
    return found if isinstance(found, type) and found.__module__.startswith("canthus.") else None
