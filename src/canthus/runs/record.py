"""A run's folder: resolved config, provenance, how it ended."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from logging import getLogger
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from canthus.runs.faults import exit_status
from canthus.runs.interruptions import how_it_ended
from canthus.runs.machine import describe_machine
from canthus.runs.status import read_provenance
from canthus.runs.tuning import tuning
from canthus.utils.files import replacing

__all__ = ["hush", "recorded"]

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


@contextmanager
def recorded(
    folder: Path, cfg: DictConfig, at_end: Callable[[Path], None] = lambda folder: None
) -> Iterator[dict[str, Any]]:
    """Keep what is needed to repeat a run, and how it ended, in ``config.yaml`` and ``provenance.json``.

    A process that was killed leaves the status ``running``; a resumed run keeps the records before under ``earlier``.

    Args:
        folder: of the run.
        cfg: composed config; saved with every interpolation resolved.
        at_end: called with the folder when the record says how it ended; a summary may show that.

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
        "tuning": tuning(),
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
            at_end(folder)
        except OSError as error:  # a full disk must not hide what went wrong before
            log.error("%s could not be written: %s", folder / "provenance.json", error)


def _earlier(folder: Path) -> list[dict[str, Any]]:
    """Records of the processes that worked on this run before."""
    before = read_provenance(folder)
    if not before:
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

    inside = git("ls-files", "--error-unmatch", Path(__file__).name)  # not a checkout that merely holds the environment
    status = git("status", "--porcelain") if inside else None
    return {"commit": git("rev-parse", "HEAD") if inside else None, "dirty": bool(status) if inside else None}


def _package_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
