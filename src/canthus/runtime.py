"""A run's folder: resolved config, provenance, how it ended; and loading a run again, safely."""

import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from logging import getLogger
from pathlib import Path
from typing import Any, cast

import lightning
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from hydra.utils import get_object, instantiate
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf, read_write
from torch import nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from canthus import packing, zoo
from canthus.data.face import DataError, Reader
from canthus.errors import ConfigError
from canthus.faults import exit_status
from canthus.files import replacing, why_refused
from canthus.interruptions import how_it_ended
from canthus.models.base import LandmarkModel
from canthus.models.pretrained import checked_state
from canthus.trust import check_sizes, check_trust, config_of, own_file, read_plain, regular_file, shown

__all__ = [
    "built",
    "checkpoint_of",
    "crop_settings",
    "describe_machine",
    "hush",
    "is_own",
    "load_config",
    "load_model",
    "load_weights",
    "one_job_of_a_sweep",
    "recorded",
]

log = getLogger(__name__)
PACKAGES = (
    "canthus", "torch", "torchvision", "lightning", "torchmetrics", "hydra-core", "omegaconf", "kornia", "timm",
    "numpy", "scipy", "scikit-learn", "opencv-python-headless", "wandb",
)  # fmt: skip
RESERVE = 4096
"""Blanks behind the record of a running process, so that a full disk has room for how it ended."""


def hush() -> None:
    """Keep Lightning's advertisements and device listings out of the log; provenance.json has the devices."""
    getLogger("lightning.pytorch.utilities.rank_zero").setLevel("WARNING")


RANK_VARIABLES = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "PL_GLOBAL_SEED")


@contextmanager
def one_job_of_a_sweep(resume: str | None = None) -> Iterator[None]:
    """Keep processes that Lightning starts for DDP to this job.

    Lightning starts the other processes by repeating the command line. Under ``-m`` each would run the whole sweep
    again, with other hyper-parameters in the same DDP step (Lightning issue 2727). So while a job of a sweep runs, the
    command line is that of the job alone; afterwards no rank is left behind for the next job.

    Args:
        resume: run folder that the job goes on with.
    """
    hydra = HydraConfig.get()
    if hydra.mode != RunMode.MULTIRUN:
        yield
        return
    main = sys.modules["__main__"]
    command, spec, before = sys.argv, main.__spec__, {name: os.environ.get(name) for name in RANK_VARIABLES}
    job = [word for word in hydra.overrides.task if not word.lstrip("+").startswith("sweep.")]
    searched = [word for word in hydra.overrides.hydra if word.lstrip("+").startswith("hydra.searchpath")]
    sys.argv = [command[0], *([f"resume={resume}"] if resume else [*job, *searched, "hydra.mode=RUN"])]
    main.__spec__ = importlib.util.find_spec("canthus.train")  # a parallel launcher's worker is another program
    with read_write(cast(DictConfig, hydra)):
        hydra.run.dir = hydra.runtime.output_dir  # Lightning passes it on to the processes
    try:
        yield
    finally:
        sys.argv, main.__spec__ = command, spec
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def recorded(folder: Path, cfg: DictConfig) -> Iterator[dict[str, Any]]:
    """Keep what is needed to repeat a run, and how it ended, in ``config.yaml`` and ``provenance.json``.

    A process that was killed leaves the status ``running``; a resumed run keeps the records before under ``earlier``.

    Args:
        folder: of the run.
        cfg: composed config; saved with every interpolation resolved.

    Yields:
        The record, for the run to add to.
    """
    begin = time.monotonic()
    record: dict[str, Any] = {
        "status": "running",
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],  # not where somebody keeps the program
        "seed": cfg.get("seed"),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "process": os.getpid(),
        **_code_version(),
        "packages": {name: _package_version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "machine": describe_machine(),
        "earlier": _earlier(folder),
    }
    _save_config(folder, cfg)
    _save_record(folder, record)
    try:
        yield record
    except BaseException as error:
        record |= {"status": how_it_ended(error), "exit_status": exit_status(error)}
        raise
    else:
        record |= {"status": "finished", "exit_status": 0}
    finally:
        record["seconds"] = round(time.monotonic() - begin, 1)
        try:
            _save_record(folder, record)
            _refresh_summary(folder)
        except OSError as error:  # a full disk must not hide what went wrong before
            log.error("%s could not be written: %s", folder / "provenance.json", error)


@rank_zero_only
def _refresh_summary(folder: Path) -> None:
    """The summary was written by the run itself, before it knew how it would end."""
    if (folder / "metrics.json").is_file():
        from canthus.reporting import write_summary

        write_summary(folder, overlays="overlays/faces")


def _earlier(folder: Path) -> list[dict[str, Any]]:
    """Records of the processes that worked on this run before."""
    try:
        before = json.loads((folder / "provenance.json").read_text())
    except (OSError, json.JSONDecodeError):
        return []
    short = {key: before.get(key) for key in ("status", "command", "started", "seconds", "commit")}
    return [*before.get("earlier", []), short]


@rank_zero_only
def _save_config(folder: Path, cfg: DictConfig) -> None:
    with replacing(folder / "config.yaml") as temporary:
        OmegaConf.save(cfg, temporary, resolve=True)


@rank_zero_only
def _save_record(folder: Path, record: dict[str, Any]) -> None:
    path, text = folder / "provenance.json", json.dumps(record, indent=1)
    running = record["status"] == "running"
    try:
        with replacing(path) as temporary:
            temporary.write_text(text + " " * RESERVE * running)
    except OSError:
        size = path.stat().st_size if path.is_file() else 0
        if running or size < len(text.encode()):
            raise
        with path.open("r+") as file:  # into the space that the first record has kept
            file.write(text.ljust(size))


def _code_version() -> dict[str, Any]:
    """Commit and whether files differ from it, if canthus runs from a checkout."""

    def git(*words: str) -> str | None:
        here = Path(__file__).parent
        try:
            done = subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True, timeout=10)
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    inside = git("ls-files", "--error-unmatch", "runtime.py")  # not a checkout that merely holds the environment
    status = git("status", "--porcelain") if inside else None
    return {"commit": git("rev-parse", "HEAD") if inside else None, "dirty": bool(status) if inside else None}


def _package_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def describe_machine() -> dict[str, Any]:
    """What numbers and times depend on; no names of hosts or people."""
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),  # sums are taken in another order with another number
        "memory_gb": _memory(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "cuda": torch.version.cuda,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None


def load_config(run: Path) -> DictConfig:
    """Read the config of a run: plain values, in which nothing is resolved and from which nothing has run.

    Args:
        run: its folder, a model of the zoo (``zoo/NAME``), or a ``.safetensors`` file that canthus-export wrote.

    Raises:
        ConfigError: none of these, or a config that `canthus.trust.config_of` refuses.
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


def warm_start(model: LandmarkModel, path: Path) -> None:
    """Give a model the weights of a checkpoint.

    Raises:
        ConfigError: damaged file, or weights of another network; it names what does not fit.
    """
    if wrong := _take_weights(model, load_weights(path)):
        raise ConfigError(
            f"init_from: {path} holds another network ({wrong}); give model=... and model.* as in that run's "
            "config.yaml"
        )


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
    found = _own_class(target)
    return found is not None and issubclass(found, OWN.get(kind, ()))


def _own_class(target: str) -> type | None:
    """The class that a dotted path names, if canthus itself defines it."""
    if not target.startswith("canthus."):
        return None
    try:
        found = get_object(target)
    except (ImportError, AttributeError, ValueError):
        return None
    return found if isinstance(found, type) and found.__module__.startswith("canthus.") else None


def load_model(run: Path, cfg: DictConfig, which: str, *, trust: bool) -> LandmarkModel:
    """Build the model of a run and load its weights.

    Args:
        run: run folder.
        cfg: its config.
        which: see `checkpoint_of`.
        trust: build a model class from outside canthus, which can run any code.

    Raises:
        ConfigError: no model, one that places no landmarks, one from outside canthus without ``trust``, or weights that
            do not fit.
    """
    step = _own_class(str(cfg.model.get("_target_")))
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
    with _no_larger_than(weights):
        model = built(settings, f"the model of {run}", optimizer=None, scheduler=None)
    if not isinstance(model, LandmarkModel):
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
    try:
        return instantiate(settings, _partial_=True, _convert_="all")(**given)
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


def crop_settings(cfg: DictConfig, run: Path) -> tuple[float, float]:
    """``extent`` and ``oversample`` of a run's data, for `canthus.inference.Predictor`.

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
