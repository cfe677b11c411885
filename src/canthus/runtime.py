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

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import get_object, instantiate
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf, read_write

from canthus import packing, zoo
from canthus.config import ConfigError, nodes_of
from canthus.data.face import Reader
from canthus.faults import exit_status
from canthus.files import replacing, why_refused
from canthus.interruptions import how_it_ended
from canthus.models.base import LandmarkModel

__all__ = [
    "check_trust",
    "checkpoint_of",
    "describe_machine",
    "hush",
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
    """Read the resolved config of a run.

    Args:
        run: its folder, a model of the zoo (``zoo/NAME``), or a ``.safetensors`` file that canthus-export wrote.

    Raises:
        ConfigError: none of these.
    """
    if stored := zoo.stored_file(run):
        return cast(DictConfig, OmegaConf.create(packing.read_header(stored)["config"]))
    path = run / "config.yaml"
    if not path.is_file():
        raise ConfigError(
            f"run={run} is not a run folder: it has no config.yaml; name the folder that training printed"
        )
    cfg = OmegaConf.load(path)
    assert isinstance(cfg, DictConfig)
    return cfg


def checkpoint_of(run: Path, which: str) -> Path:
    """Path of a run's checkpoint: ``best``, ``last``, or a file of its own.

    Raises:
        ConfigError: no such checkpoint; the message names those that are there.
    """
    if which in ("best", "last") and (stored := zoo.stored_file(run)):
        if which == "last":
            raise ConfigError(f"checkpoint=last: {run} holds the best weights only; leave the checkpoint out")
        return stored
    path = run / "checkpoints" / f"{which}.ckpt" if which in ("best", "last") else Path(which)
    if not path.is_file():
        there = sorted(str(found) for found in (run / "checkpoints").glob("*.ckpt"))
        raise ConfigError(f"checkpoint {path} does not exist; there are: {', '.join(there) or 'none'}")
    return path


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read the weights of a checkpoint without running anything that it contains.

    Raises:
        ConfigError: damaged file, or one that holds pickled code.
    """
    if path.suffix == zoo.SUFFIX:
        return packing.read_weights(path)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        return dict(checkpoint["state_dict"])
    except Exception as error:  # torch raises whatever the damaged bytes lead to
        raise ConfigError(f"checkpoint {path} cannot be loaded safely: {why_refused(error)}") from error


def warm_start(model: LandmarkModel, path: Path) -> None:
    """Give a model the weights of a checkpoint.

    Raises:
        ConfigError: damaged file, or weights of another network; it names what does not fit.
    """
    weights, own = load_weights(path), model.state_dict()
    wrong = [f"{name} is missing" for name in own if name not in weights]
    wrong += [f"{name} has no place" for name in weights if name not in own]
    wrong += [
        f"{name} is {tuple(weights[name].shape)} there and {tuple(own[name].shape)} here"
        for name in own
        if name in weights and weights[name].shape != own[name].shape
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ConfigError(
            f"init_from: {path} holds another network ({'; '.join(wrong[:3])}{more}); give model=... and model.* as in "
            "that run's config.yaml"
        )
    model.load_state_dict(weights)


def check_trust(cfg: Any, run: Path, *, trust: bool) -> None:
    """Refuse a run's config that names code from outside canthus: whoever wrote it could run anything.

    Args:
        cfg: part of the run's config that is about to be built.
        run: for the message.
        trust: the user has read it.

    Raises:
        ConfigError: naming the place and the code.
    """
    if trust:
        return
    for place, node in nodes_of(cfg):
        leaf = place.rpartition(".")[2]
        if leaf == "_args_" or (leaf in ("_target_", "reader") and not _is_harmless(str(node))):
            raise ConfigError(
                f"{place}={node} is code from outside canthus, or says what to call; if you trust {run}: trust=true"
            )


HARMLESS = ("lightning.Trainer", "canthus.data.face_data", "canthus.data.augment.Augmentation")
"""What a run's config may build besides models and readers: callables that call nothing they are given."""


def _is_harmless(target: str) -> bool:
    """Whether a dotted path ends at a model or reader that canthus itself defines, or is one of `HARMLESS`."""
    found = _own_class(target)
    return target in HARMLESS or (found is not None and issubclass(found, (LandmarkModel, Reader)))


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
    settings = OmegaConf.create(
        {key: value for key, value in cfg.model.items() if key not in ("optimizer", "scheduler")}
    )
    check_trust(OmegaConf.create({"model": settings}), run, trust=trust)
    model = instantiate(settings, optimizer=None, scheduler=None, _convert_="all")
    assert isinstance(model, LandmarkModel)
    missing, unexpected = model.load_state_dict(weights, strict=False)
    if missing or unexpected:
        raise ConfigError(
            f"checkpoint {path} does not fit the run's config: missing {missing[:3]}, unknown {unexpected[:3]}"
        )
    return model.eval()
