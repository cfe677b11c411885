"""Weights that others have trained: timm's ImageNet weights, a file of one's own, or another run's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from canthus.utils.errors import DataError
from canthus.utils.files import why_refused

__all__ = ["checked_state", "file_weights", "imagenet_model", "run_weights"]


def checked_state(state: Any, place: str) -> dict[str, Tensor]:
    """The tensors of a state dict, once they can be weights: by name, as large as what holds them, and finite.

    Args:
        state: what a file holds.
        place: where it stands, for messages.

    Raises:
        DataError: something else, which the message names.
    """
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise DataError(f"{place} holds a {type(state).__name__} where weights by name should be")
    for name, value in state.items():
        if not isinstance(value, Tensor) or value.layout != torch.strided or value.is_quantized or value.is_meta:
            raise DataError(f"{place}: {name} is a {type(value).__name__} where a plain tensor should be")
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise DataError(f"{place}: {name} of shape {tuple(value.shape)} is larger than what the file holds of it")
        if (value.is_floating_point() or value.is_complex()) and not (finite := value.isfinite()).all():
            count = value.numel() - int(finite.sum())
            raise DataError(
                f"{place}: {count} of {value.numel()} values of {name} are NaN or infinite: the training diverged, or "
                "the file is damaged; take another checkpoint"
            )
    return dict(state)


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
    except Exception as error:  # torch raises whatever the damaged bytes lead to
        raise DataError(f"{option}={path}: no weights can be read from it ({why_refused(error)})") from error
    state = loaded.get("state_dict", loaded) if isinstance(loaded, Mapping) else loaded
    return checked_state(state, f"{option}={path}")


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
