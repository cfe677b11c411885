"""What stops a run from outside (signals, a full disk, too little memory), and what the user is told then."""

import errno
import logging
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from logging import getLogger
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO, cast

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException

from canthus.config import RunError
from canthus.files import replacing
from canthus.sweeps import mendable

__all__ = ["CheckpointFiles", "by_ctrl_c", "exit_status", "explained", "last_epoch"]

log = getLogger(__name__)

FULL = (errno.ENOSPC, errno.EDQUOT)
MEMORY = ("can't allocate memory", "CUDA out of memory", "MPS backend out of memory", "not enough memory")
"""How allocators of torch say it where they raise a plain RuntimeError."""


class CheckpointFiles(TorchCheckpointIO):
    """Writes checkpoints whole or not at all, wherever they lie.

    Lightning writes to the system's temporary folder first. If that is another file system, as on most clusters, it
    then copies over the old checkpoint, and a process killed or a disk full at that moment leaves neither.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write beside the old file, then take its place.

        Raises:
            OSError: ENOSPC, if the disk is full; the message says how much it lacks.
        """
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        path, sink = Path(path), _Counting()
        try:
            with replacing(path) as temporary, temporary.open("wb") as file:
                sink.file = file
                torch.save(checkpoint, cast(BinaryIO, sink))
                if sink.error is not None:
                    raise sink.error
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in FULL:
                raise
            free = shutil.disk_usage(path.parent).free
            lacking = max(sink.needed - free, 0)
            raise OSError(
                error.errno,
                f"the disk is full: the file needs {sink.needed / 1e6:.1f} MB beside the one before it, "
                f"{free / 1e6:.1f} MB are free, {lacking / 1e6:.1f} MB too little",
                str(path),
            ) from error


class _Counting:
    """A file for `torch.save`, which hides the reason when writing fails; counts on, to know the whole size."""

    file: BinaryIO

    def __init__(self) -> None:
        self.needed = 0
        self.error: OSError | None = None

    def write(self, data: bytes | memoryview) -> int:
        size = memoryview(data).nbytes
        self.needed += size
        if self.error is None:
            try:
                self.file.write(data)
            except OSError as error:
                self.error = error
        return size

    def flush(self) -> None:
        """Done by the owner of the file."""


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Say in one message how a training was stopped and how it goes on.

    Args:
        folder: of the run.

    Raises:
        RunError: the disk is full, or the memory: nothing is wrong with the program.
        SystemExit: with status 130 after Ctrl-C and 143 after SIGTERM.
    """
    raising, logging.raiseExceptions = logging.raiseExceptions, False  # no traceback when train.log finds no space
    try:
        with _sigterm_raises():
            yield
    except (KeyboardInterrupt, SystemExit) as error:
        if not isinstance(error, SIGTERMException) and not by_ctrl_c(error):  # whoever exits has said why
            raise
        by = "SIGTERM" if isinstance(error, SIGTERMException) else "Ctrl-C"
        _tell(f"stopped by {by}; {_how_to_go_on(folder)}")
        raise SystemExit(exit_status(error)) from None
    except Exception as error:
        if mendable(error):  # what the command says then is enough
            raise
        reason = _reason(error)
        if reason is not None:
            raise RunError(f"{reason}; {_how_to_go_on(folder)}") from error
        _tell(f"{type(error).__name__}: {error}; once that is mended, {_how_to_go_on(folder)}")
        raise
    finally:
        logging.raiseExceptions = raising


@rank_zero_only
def _tell(message: str) -> None:
    log.error("%s", message)


def by_ctrl_c(error: BaseException) -> bool:
    """Whether it was Ctrl-C, which Lightning turns into an exit."""
    return isinstance(error, KeyboardInterrupt) or (
        isinstance(error, SystemExit) and isinstance(error.__context__, KeyboardInterrupt)
    )


def exit_status(error: BaseException) -> int:
    """What the shell gets: 130 and 143 as for other programs, 2 for what the user can mend, 1 for faults."""
    if isinstance(error, SIGTERMException):
        return 128 + signal.SIGTERM
    if by_ctrl_c(error):
        return 128 + signal.SIGINT
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    return 2 if mendable(error) else 1


def last_epoch(checkpoint: Path) -> int | None:
    """The epoch at whose end a checkpoint was written, from 0; None if there is no intact one."""
    try:
        # mapped: the weights need not be read for this, which matters when memory has just run out
        return int(torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["epoch"])
    except Exception:  # torch raises whatever the damaged bytes lead to
        return None


def _how_to_go_on(folder: Path) -> str:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    epoch = last_epoch(folder / "checkpoints" / "last.ckpt")
    command = f"canthus-train resume={folder}"
    if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        command = f"canthus-train -m sweep.resume={folder.parent}"
    if epoch is None:
        return f"no epoch was finished: {command} begins again"
    return f"last.ckpt is intact (epoch {epoch}): {command} goes on from it"


def _reason(error: Exception) -> str | None:
    """What happened and what to do about it, for faults that are not the program's."""
    if isinstance(error, OSError) and error.errno in FULL:
        return f"{error.filename or error}: {error.strerror}. Free some space"
    text = str(error)
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(words in text for words in MEMORY):
        sentences = text.splitlines()[0].split(". ") if text else [type(error).__name__]
        short = next((sentence for sentence in sentences if any(words in sentence for words in MEMORY)), sentences[0])
        return (
            f"out of memory ({short}). Resume with trainer.accumulate_grad_batches=2, which computes the same batch in "
            "two pieces, or start again with a smaller data.batch_size"
        )
    if "DataLoader worker" in text and "killed" in text:
        return f"out of memory? {text.splitlines()[0]} Resume with a lower data.num_workers"
    return None


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Let SIGTERM end the run in order outside Lightning's loops, too: while data are prepared, and at the end."""
    free = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if not free:  # whoever has a handler, such as submitit, has a plan
        yield
        return

    owner, received = os.getpid(), False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal received
        if os.getpid() != owner:  # a forked helper has no records to write
            os._exit(128 + number)
        if not received:  # what follows the first one writes the records
            received = True
            raise SIGTERMException

    signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
