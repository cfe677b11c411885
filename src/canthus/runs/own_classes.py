"""What canthus itself defines, by dotted path."""

import lightning
import torch
from hydra.utils import get_object
from lightning.pytorch.loggers import Logger

from canthus.data.face import Reader

__all__ = ["is_own", "own_class"]

OWN: dict[str, tuple[type, ...]] = {
    "model": (lightning.LightningModule,),
    "callback": (lightning.Callback,),
    "logger": (Logger,),
    "reader": (Reader,),
    "optimizer": (torch.optim.Optimizer,),
    "scheduler": (torch.optim.lr_scheduler.LRScheduler,),
}
"""Kinds of what a config may build, and what they have to be."""


def is_own(kind: str, target: str) -> bool:
    """Whether a dotted path is a class of a kind of `OWN` that canthus, or for optimisers torch, defines itself."""
    if kind in ("optimizer", "scheduler"):
        module = torch.optim if kind == "optimizer" else torch.optim.lr_scheduler
        place, _, name = target.rpartition(".")
        found = getattr(module, name, None) if place == module.__name__ else None
        return isinstance(found, type) and issubclass(found, OWN[kind])
    found = own_class(target)
    return found is not None and issubclass(found, OWN.get(kind, ()))


def own_class(target: str) -> type | None:
    """The class that a dotted path names, if canthus itself defines it."""
    if not target.startswith("canthus."):
        return None
    try:
        found = get_object(target)
    except (ImportError, AttributeError, ValueError):
        return None
    return found if isinstance(found, type) and found.__module__.startswith("canthus.") else None
