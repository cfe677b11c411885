"""Folders that commands write: a new one where nobody chose the name, and one process at a time in each.

A folder is locked by `canthus.utils.locks` on ``FOLDER/.lock``. Kept free of torch.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging import getLogger
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from canthus.utils import locks, processes
from canthus.utils.errors import ConfigError

__all__ = ["LOCK", "FolderInUse", "claimed", "claimed_by_command", "held", "writes_a_folder"]

log = getLogger(__name__)

LOCK = ".lock"
REQUEUED = 300.0
"""Seconds that a requeued job waits for the lock of the process before it, whose machine may have crashed."""
POLL = 0.2


class FolderInUse(ConfigError):
    """Another process writes into the folder; the message names it."""


@contextmanager
def held(folder: Path, *, wait: float = 0.0, instead: str = "name another folder") -> Iterator[None]:
    """Keep other processes out of a folder, which is made if need be, until the block or this process ends.

    Of processes that train together, the first holds the lock for all.

    Args:
        folder: that is going to be written.
        wait: seconds to wait for another process; infinity for as long as it takes.
        instead: what the message advises beside waiting.

    Raises:
        FolderInUse: another process still holds it.
        OSError: the folder cannot be written.
    """
    if not processes.first() or not locks.AVAILABLE:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    descriptor = _acquire(path, wait, instead)
    try:
        yield
    finally:
        if descriptor is not None:
            locks.release(path, descriptor)


def _acquire(path: Path, wait: float, instead: str) -> int | None:
    """Lock a file. None where the file system has no locks."""
    end, told = time.monotonic() + wait, False
    while True:
        try:
            descriptor = locks.take(path)
        except locks.NoLocks as error:
            log.warning("%s: no locks here (%s), so let no other process write into this folder", path, error.strerror)
            return None
        if descriptor is not None:
            return descriptor
        by = locks.described(path)
        if time.monotonic() >= end:
            raise FolderInUse(f"{path.parent} is in use by {by}: {instead}")
        if not told:
            log.warning("%s is in use by %s: waiting for its end", path.parent, by)
            told = True
        time.sleep(POLL)


@contextmanager
def claimed(name: Callable[[], str], *, instead: str = "name another folder") -> Iterator[Path]:
    """Hold the folder that a command writes.

    If its name has the time in it, the folder is made by this process and no other; a number is added where several
    commands begin in the same second. A folder that somebody named is taken as it is.

    Args:
        name: of the folder; called again when the time in it has changed.
        instead: see `held`.

    Yields:
        The folder.

    Raises:
        FolderInUse: another process writes into it.
    """
    if not processes.first():
        yield Path(name())
        return
    processes.restart_clock()
    while True:
        folder = Path(name())
        try:
            folder.mkdir(parents=True)
            break
        except FileExistsError:
            processes.next_name()
            if Path(name()) == folder:  # somebody chose it
                break
    with held(folder, wait=REQUEUED if processes.requeued() else 0.0, instead=instead):
        yield folder


def writes_a_folder(hydra: Any) -> bool:
    """Whether a command writes a folder, and not a file such as a report's page.

    Args:
        hydra: node ``hydra`` of its config.
    """
    return bool(hydra.run._get_node("dir")._value() != ".")


@contextmanager
def claimed_by_command(cfg: DictConfig) -> Iterator[Path | None]:
    """Hold the folder of a whole command, before Hydra writes into it.

    Args:
        cfg: composed, with the node ``hydra`` and its mode.

    Yields:
        The folder of the run or sweep; None for commands that write a file.

    Raises:
        FolderInUse: another process writes into it.
        ConfigError: it holds a training that would be written over.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    sweep = cfg.hydra.mode == RunMode.MULTIRUN
    if not sweep and not writes_a_folder(cfg.hydra):
        yield None
        return
    key = "hydra.sweep.dir" if sweep else "hydra.run.dir"
    trains = "sweep" in cfg
    option = key if sweep or trains else "output"

    def name() -> str:
        instance, before = HydraConfig.instance(), HydraConfig.instance().cfg
        instance.set_config(cfg)  # for ${hydra:runtime.choices.model}
        try:
            return str(OmegaConf.select(cfg, key))
        finally:
            instance.cfg = before

    resumes = trains and (cfg.resume or cfg.sweep.resume)
    instead = "it can be resumed when that has ended" if resumes else f"wait for its end, or name another {option}"
    with claimed(name, instead=instead) as folder:
        if not sweep and not resumes:
            _keep_training(folder, trains=trains)
        yield folder


def _keep_training(folder: Path, *, trains: bool) -> None:
    """Refuse to write over a training."""
    if not any((folder / "checkpoints").glob("*.ckpt")) or not processes.first():
        return
    if not trains:
        raise ConfigError(
            f"output={folder} is the folder of a training, whose records would be lost; name another folder"
        )
    if not processes.requeued():
        raise ConfigError(
            f"{folder} holds a run already; go on with it by resume={folder}, or name another hydra.run.dir"
        )
