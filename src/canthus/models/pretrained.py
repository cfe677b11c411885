"""Weights that others have trained: timm's ImageNet weights, a file of one's own, or another run's."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from canthus.data.face import DataError
from canthus.files import why_refused

__all__ = ["file_weights", "imagenet_model", "run_weights"]


def imagenet_model(name: str, option: str, **arguments: Any) -> nn.Module:
    """A model of timm with its ImageNet weights.

    Args:
        name: of the model, ``resnet152``.
        option: key of the config that asked for the weights, for the message.
        **arguments: of `timm.create_model`.

    Raises:
        DataError: they cannot be had.
    """
    import timm

    try:
        return timm.create_model(name, pretrained=True, **arguments)
    except (OSError, RuntimeError) as error:  # what the hub's client raises without a network, and timm without weights
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{option}=true: the ImageNet weights of {name} cannot be had ({reason}). Give a file of weights, "
            f"{option}=FILE, run once where there is a network (they stay in the cache of the Hugging Face hub), or "
            f"start from random weights, {option}=false"
        ) from error


def file_weights(path: Path, option: str) -> dict[str, Tensor]:
    """The tensors of a file that `torch.save` wrote, read without running anything that it contains.

    Args:
        path: holds a ``state_dict``, or a checkpoint with one.
        option: key of the config that names the file, for the message.

    Raises:
        DataError: no such file, or one that holds no weights.
    """
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        return dict(loaded.get("state_dict", loaded))
    except Exception as error:  # torch raises whatever the damaged bytes lead to
        raise DataError(f"{option}={path}: no weights can be read from it ({why_refused(error)})") from error


def run_weights(run: Path, prefix: str, option: str) -> dict[str, Tensor]:
    """Some weights of another run's last checkpoint, without their prefix.

    Args:
        run: run folder.
        prefix: of the names, ``generators.``.
        option: key of the config that names the run, for the message.

    Raises:
        DataError: not a run folder, or a run of another kind.
    """
    path = run / "checkpoints" / "last.ckpt"
    if not path.is_file():
        raise DataError(f"{option}={run}: there is no checkpoints/last.ckpt; name the folder that the training made")
    weights = file_weights(path, option)
    chosen = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    if not chosen:
        raise DataError(f"{option}={run}: its checkpoint holds nothing called {prefix}*; it is a run of another model")
    return chosen
