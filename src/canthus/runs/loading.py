"""A run's folder: resolved config, provenance, how it ended; and loading a run again, safely."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from logging import getLogger
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from canthus import zoo
from canthus.models.cascade import Cascade, cascade_of
from canthus.models.pretrained import checked_state
from canthus.runs import weights as packing
from canthus.runs.own_classes import own_class
from canthus.runs.status import read_provenance
from canthus.runs.trust import check_sizes, check_trust, config_of, own_file, read_plain, regular_file, shown
from canthus.utils.errors import ConfigError, DataError
from canthus.utils.files import why_refused

__all__ = ["LoadedRun", "building", "built", "checkpoint_of", "load_config", "load_weights", "open_run"]

log = getLogger(__name__)


def load_config(run: Path) -> DictConfig:
    """Read the config of a run: plain values, in which nothing is resolved and from which nothing has run.

    Args:
        run: its folder, a model of the zoo (``zoo/NAME``), or a ``.safetensors`` file that canthus-export wrote.

    Raises:
        ConfigError: none of these, or a config that `canthus.runs.trust.config_of` refuses.
    """
    if stored := zoo.stored_file(run):
        return packing.read_config(stored)
    path = run / "config.yaml"
    if not path.exists():
        raise ConfigError(
            f"run={run} is not a run folder: it has no config.yaml; name the folder that training printed"
        )
    return config_of(read_plain(path), str(path))


def checkpoint_of(run: Path, which: str) -> Path:
    """Path of a run's checkpoint: ``best``, ``last``, or a file of its own.

    Raises:
        ConfigError: no such checkpoint (the message names those that are there), or a link out of the run.
    """
    if which in ("best", "last") and (stored := zoo.stored_file(run)):
        if which == "last":
            raise ConfigError(f"checkpoint=last: {run} holds the best weights only; leave the checkpoint out")
        return stored
    own = which in ("best", "last")
    path = run / "checkpoints" / f"{which}.ckpt" if own else Path(which)
    path = own_file(path, run) if own else regular_file(path)
    if not path.is_file():
        there = sorted(str(found) for found in (run / "checkpoints").glob("*.ckpt"))
        raise ConfigError(f"checkpoint {path} does not exist; there are: {', '.join(there) or 'none'}")
    return path


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read the weights of a checkpoint without running anything that it contains.

    Raises:
        ConfigError: damaged file, one that holds pickled code or no weights, or weights that are not finite.
    """
    if path.suffix == zoo.SUFFIX:
        return packing.read_weights(path)
    try:
        checkpoint = torch.load(regular_file(path), map_location="cpu", weights_only=True)
    except ConfigError:
        raise
    except Exception as error:  # torch raises whatever the damaged bytes lead to
        raise ConfigError(f"checkpoint {path} cannot be loaded safely: {why_refused(error)}") from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise ConfigError(
            f"{path} holds no Lightning checkpoint (no state_dict); take one of a run's checkpoints/, or store the "
            'weights as torch.save({"state_dict": weights}, FILE)'
        )
    try:
        return checked_state(checkpoint["state_dict"], str(path))
    except DataError as error:
        raise ConfigError(str(error)) from error


def _take_weights(model: nn.Module, weights: dict[str, torch.Tensor]) -> str | None:
    """Load weights into a model; why they do not fit, if they do not, and then nothing is changed."""
    own = model.state_dict()
    wrong = [f"{name} is missing" for name in own if name not in weights]
    wrong += [f"{name} has no place" for name in weights if name not in own]
    wrong += [
        f"{name} is {tuple(weights[name].shape)} there and {tuple(own[name].shape)} here"
        for name in own
        if name in weights and weights[name].shape != own[name].shape
    ]
    if wrong:
        return "; ".join(wrong[:3]) + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else "")
    model.load_state_dict(weights)
    return None


def warm_start(model: nn.Module, path: Path) -> None:
    """Give a model the weights of a checkpoint.

    Raises:
        ConfigError: damaged file, or weights of another network; it names what does not fit.
    """
    if wrong := _take_weights(model, load_weights(path)):
        raise ConfigError(
            f"init_from: {path} holds another network ({wrong}); give model=... and model.* as in that run's "
            "config.yaml"
        )


@dataclass(frozen=True)
class LoadedRun:
    """A trained model and where it comes from.

    Attributes:
        folder: of the run, or the file of weights that stands for it.
        config: as it was trained with, plain values.
        model: with its weights, in evaluation mode.
        provenance: how it was made and how that ended (`canthus.runs.record`); empty without a record.
    """

    folder: Path
    config: DictConfig
    model: Cascade
    provenance: dict[str, Any]

    @property
    def crops(self) -> tuple[float, float]:
        """``extent`` and ``oversample`` of its crops, see `canthus.data.store.StoreSpec`.

        Raises:
            ConfigError: missing, or no such number.
        """
        return _crop_settings(self.config, self.folder)


def open_run(
    run: str | PathLike[str],
    checkpoint: str = "best",
    *,
    trust: bool = False,
    flip_average: bool | None = None,
    module: bool = False,
) -> LoadedRun:
    """Open a run: the only way from a run, a model of the zoo or a file of weights to a model.

    Args:
        run: run folder, ``zoo/NAME``, or a ``.safetensors`` file of canthus-export.
        checkpoint: ``best`` or ``last``, or a file.
        trust: build a model class from outside canthus, which can run any code.
        flip_average: average with the mirror image; None: as the model was configured.
        module: open the LightningModule, for a trainer, and not the cascade alone.

    Raises:
        ConfigError: no run, one that places no landmarks, one from outside canthus without ``trust``, or weights that
            do not fit.
    """
    folder = zoo.run_path(run)
    config = load_config(folder)
    model = _load_model(folder, config, checkpoint, trust=trust, module=module)
    if flip_average is not None:
        model.flip_average = flip_average
    stored = zoo.stored_file(folder)
    provenance = packing.read_header(stored).get("provenance") if stored else read_provenance(folder)
    return LoadedRun(folder, config, model, provenance if isinstance(provenance, dict) else {})


def _load_model(run: Path, cfg: DictConfig, which: str, *, trust: bool, module: bool) -> Cascade:
    """Build the model of a run and load its weights.

    Args:
        run: run folder.
        cfg: its config.
        which: see `checkpoint_of`.
        trust: build a model class from outside canthus, which can run any code.
        module: build the LightningModule.

    Raises:
        ConfigError: no model, one that places no landmarks, one from outside canthus without ``trust``, or weights that
            do not fit.
    """
    target = str(cfg.model.get("_target_"))
    cascade = None if module else cascade_of(target)
    step = own_class(target) if cascade is None else None
    if step is not None and hasattr(step, "used_by"):
        raise ConfigError(
            f"run={run} is of model={step.name}, which places no landmarks: it is a step before another model. Train "  # type: ignore[attr-defined]  # as those have
            f"that with {step.used_by}={run}, and name its run"
        )
    path = checkpoint_of(run, which)
    weights = load_weights(path)
    plain = OmegaConf.to_container(cfg.model)
    assert isinstance(plain, dict)
    settings = {str(key): value for key, value in plain.items() if key not in ("optimizer", "scheduler")}
    if "pretrained" in settings:  # the weights are at hand, so that none have to be fetched
        settings["pretrained"] = False
    check_trust({"model": settings}, run, trust=trust)
    check_sizes({"model": settings}, run, trust=trust)
    place = f"the model of {run}"
    with _no_larger_than(weights):
        if cascade is not None:
            with building(place):
                model = cascade(**{key: value for key, value in settings.items() if key != "_target_"})
        else:
            model = built(settings, place, optimizer=None, scheduler=None)
    if not isinstance(model, Cascade):
        raise ConfigError(f"run={run}: model._target_={plain['_target_']} places no landmarks")
    if wrong := _take_weights(model, weights):
        raise ConfigError(f"checkpoint {path} does not fit the run's config: {wrong}")
    if not 1 <= model.depth <= model.num_stages:
        raise ConfigError(f"checkpoint {path} is of {model.depth} stages, and the run's config has {model.num_stages}")
    return model.eval()


def built(settings: dict[str, Any], place: str, **given: Any) -> Any:
    """Build what the config of a run says, once `check_trust` has let it pass.

    Args:
        settings: plain container.
        place: what it is, for messages.
        **given: more arguments.

    Raises:
        ConfigError: values with which it cannot be built.
    """
    if "_target_" not in settings:
        raise ConfigError(f"{place} cannot be built: its config names no class (_target_)")
    with building(place):
        return instantiate(settings, _partial_=True, _convert_="all")(**given)


@contextmanager
def building(place: str) -> Iterator[None]:
    """Explain why something cannot be built as a stranger's config says.

    Args:
        place: what it is, for messages.

    Raises:
        ConfigError: whatever its values led to, in one line.
    """
    try:
        yield
    except (ConfigError, DataError) as error:
        if len(str(error)) > LONGEST_REASON:  # a value that it quotes
            raise ConfigError(shown(error, LONGEST_REASON)) from error
        raise
    except Exception as error:  # a stranger's values lead anywhere in what they are given to
        cause = error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
        words = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
        raise ConfigError(f"{place} cannot be built as its config says: {shown(words, LONGEST_REASON)}") from error


LONGEST_REASON = 400
"""Characters of why something cannot be built."""
SPARE = 10_000_000
"""Values that a network may make on its way, beside those that it keeps."""


@contextmanager
def _no_larger_than(weights: dict[str, torch.Tensor]) -> Iterator[None]:
    """Stop building a network that is much larger than its weights: no config may take all memory, or all time.

    Hooks of torch see every parameter before it is filled, and so before it needs memory.
    """
    most, count = 4 * sum(value.numel() for value in weights.values()) + SPARE, 0

    def add(module: nn.Module, name: str, value: Any) -> None:
        nonlocal count
        count += value.numel() if isinstance(value, torch.Tensor) else 500  # a module without weights costs as well
        if count > most:
            raise ConfigError(f"it would be larger than its weights, which are {most - SPARE:,} values: another config")

    hooks = [
        register_module_parameter_registration_hook(add),
        register_module_buffer_registration_hook(add),
        register_module_module_registration_hook(add),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _crop_settings(cfg: DictConfig, run: Path) -> tuple[float, float]:
    """``extent`` and ``oversample`` of a run's data.

    Raises:
        ConfigError: missing, or no such number.
    """
    found = []
    for key, low, high in (("extent", 1.0, 20.0), ("oversample", 0.1, 10.0)):
        value = cfg.data.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise ConfigError(f"run={run}: its data.{key} is {value}; a number between {low:g} and {high:g} is needed")
        found.append(float(value))
    return found[0], found[1]
