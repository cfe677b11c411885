"""Weights in a small safetensors file, beside the config that builds their model. Such a file holds no code.

Parameters are stored in half precision, or, with ``int8``, as whole numbers from -127 to 127 with a scale for each
output. That is undone on reading, so that a model never knows how its weights were kept. Buffers (mean shapes,
statistics) stay as they are: half precision would move points.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from canthus.models.pretrained import checked_state
from canthus.runs.trust import config_of, plain_yaml, regular_file
from canthus.utils.errors import ConfigError, DataError
from canthus.utils.files import replacing

__all__ = ["STORAGES", "packed", "read_config", "read_header", "read_weights", "unpacked", "write_weights"]

STORAGES = ("half", "int8")
HEADER = "canthus"
"""Key of the header's entry; one, because their order in the file is random."""
SCALE = ":scale"
LEVELS = 127
LONGEST_HEADER = 64_000_000
"""Characters; the hashes of 200,000 faces have about 10 million."""


def packed(model: nn.Module, storage: str = "half") -> dict[str, Tensor]:
    """The tensors to store for a model.

    Args:
        model: as it was trained.
        storage: one of `STORAGES`. Biases and norms are in half precision in both.

    Raises:
        ValueError: an unknown storage.
    """
    if storage not in STORAGES:
        raise ValueError(f"storage={storage}: {' or '.join(STORAGES)}")
    parameters = dict(model.named_parameters())
    tensors: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        value = value.detach().cpu().contiguous()
        if name not in parameters or not value.is_floating_point():
            tensors[name] = value
        elif storage == "half" or value.ndim < 2:
            tensors[name] = value.half()
        else:
            # half precision first, so that reading multiplies by what was divided by
            scale = (value.float().flatten(1).abs().amax(1) / LEVELS).clamp_min(1e-7).half()
            tensors[name] = (value / _spread(scale, value)).round().clamp(-LEVELS, LEVELS).to(torch.int8)
            tensors[name + SCALE] = scale
    return tensors


def unpacked(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A model's state dict from the stored tensors; floating-point values in float32."""
    plain: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if name + SCALE in tensors:
            value = value.float() * _spread(tensors[name + SCALE], value)
        if not name.endswith(SCALE):
            plain[name] = value.float() if value.is_floating_point() else value
    return plain


def _spread(scale: Tensor, like: Tensor) -> Tensor:
    """A scale per output, in float32, to multiply weights with."""
    return scale.float().view(-1, *[1] * (like.ndim - 1))


def write_weights(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write stored tensors and a header (anything that JSON can say) to a file, whole or not at all."""
    content = save(dict(tensors), metadata={HEADER: json.dumps(header)})
    with replacing(path) as temporary:
        temporary.write_bytes(content)  # the library's own file would be for its owner alone


def read_header(path: Path) -> dict[str, Any]:
    """What `write_weights` wrote beside the tensors.

    Raises:
        ConfigError: no such file, a damaged one, or one of another program.
    """
    try:
        with safe_open(regular_file(path), "pt") as file:
            text = (file.metadata() or {})[HEADER]
        if len(text) > LONGEST_HEADER:
            raise ConfigError(f"{path}: its header has {len(text):,} characters; up to {LONGEST_HEADER:,} are read")
        content = json.loads(text)
    except ConfigError:
        raise
    except (OSError, SafetensorError, ValueError, KeyError, RecursionError) as error:
        raise ConfigError(f"{path}: {_reason(error)}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: its header holds a {type(content).__name__}; canthus-export did not write it")
    return content


def read_config(path: Path) -> DictConfig:
    """The config of the training that a file's header holds.

    Raises:
        ConfigError: no such file, or another content than `canthus.runs.trust` lets pass.
    """
    text = read_header(path).get("config")
    if not isinstance(text, str):
        raise ConfigError(f"{path}: its header holds no config; canthus-export did not write it")
    return config_of(plain_yaml(text, f"{path}, config"), str(path))


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dict of a file.

    Raises:
        ConfigError: no such file, a damaged one, or weights that are not finite.
    """
    try:
        with safe_open(regular_file(path), "pt") as file:
            return checked_state(unpacked(dict(_tensors(file))), str(path))
    except DataError as error:
        raise ConfigError(str(error)) from error
    except (OSError, SafetensorError, RuntimeError) as error:  # RuntimeError: scales that do not fit
        raise ConfigError(f"{path}: {_reason(error)}") from error


def _tensors(file: Any) -> Iterator[tuple[str, Tensor]]:
    for name in file.keys():  # noqa: SIM118  # not a mapping
        yield name, file.get_tensor(name)


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, RecursionError):
        return "its header is nested too deep; canthus-export did not write it"
    if isinstance(error, json.JSONDecodeError):
        return f"its header is not JSON ({error}); canthus-export did not write it"
    if isinstance(error, KeyError):
        return "a safetensors file that canthus-export did not write"
    return f"not a whole safetensors file ({error})"
