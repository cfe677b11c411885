"""Locks on files: of the kernel (``flock``), so that a lock ends with its process, however that dies.

A lock file that a killed process left behind locks nothing. Over NFS the server gives the lock of a crashed machine
back when its lease ends. Kept free of torch.
"""

import json
import os
import socket
import stat
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from canthus.utils.errors import ConfigError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["AVAILABLE", "NoLocks", "described", "held_here", "holder", "release", "take"]

AVAILABLE = fcntl is not None
held_here: set[int] = set()
"""Descriptors of the locks that this process holds."""


class NoLocks(OSError):
    """The file system has no locks."""


def take(path: Path) -> int | None:
    """Lock a file, which is made if need be, and say in it who holds it.

    Returns:
        A descriptor for `release`; None if another process, or another thread, holds the lock.

    Raises:
        NoLocks: see there.
        ConfigError: the name is that of something else than a plain file.
        OSError: the file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ConfigError(f"{path} is no plain file: remove it")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        except OSError as error:
            path.unlink(missing_ok=True)
            raise NoLocks(error.errno, error.strerror) from error
        if not _is_at(path, descriptor):  # the one before has just removed it
            return take(path)
        held_here.add(descriptor)
        _sign(descriptor)
        return descriptor
    finally:
        if descriptor not in held_here:
            os.close(descriptor)


def release(path: Path, descriptor: int) -> None:
    """Give a lock back and remove its file. A forked process, which has no lock, may come here, too."""
    if descriptor not in held_here:
        return
    held_here.discard(descriptor)
    with suppress(OSError):
        if _is_at(path, descriptor):
            path.unlink()
    os.close(descriptor)


def holder(path: Path) -> dict[str, str]:
    """What the holder of a lock says of itself: process, host, command, since. Empty where that cannot be read."""
    try:
        return {key: str(value) for key, value in json.loads(path.read_bytes()[:4096]).items()}
    except (OSError, ValueError, AttributeError):
        return {}


def described(path: Path) -> str:
    """The holder of a lock in words."""
    known = holder(path)
    if not known.keys() >= {"process", "host", "command", "since"}:
        return "another process"
    here = known["host"] == socket.gethostname()
    where = "on this machine" if here else f"on {known['host']}"
    text = f"{known['command']}, process {known['process']} {where} since {known['since']}"
    return text if here else f"{text} (if that machine has crashed, remove {path})"


def _sign(descriptor: int) -> None:
    record = {
        "process": os.getpid(),
        "host": socket.gethostname(),
        "command": Path(sys.argv[0]).name,
        "since": datetime.now().astimezone().isoformat(sep=" ", timespec="seconds"),
    }
    with suppress(OSError):  # a full disk is told by what comes next
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(record).encode(), 0)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _forget() -> None:
    """A forked process, such as a data loader's worker, must not keep the lock when this one is killed."""
    for descriptor in held_here:
        os.close(descriptor)
    held_here.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
