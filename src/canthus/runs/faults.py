"""What ends a command besides success, and what the user is told then: one line for whatever the user can cause.

Settings, data and files that cannot be used end with status 2; what the machine cannot do (a full disk, too little
memory) with 1; signals with 128 and their number; a fault of the program with 1 and its traceback.
Kept free of torch, which must not be missing when too little memory for it is what has to be said.
"""

import dis
import errno
import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path

from canthus.runs.interruptions import Stopped, signal_of, signals_raise
from canthus.utils import processes
from canthus.utils.errors import ConfigError, DataError, RunError
from canthus.utils.escaping import visible

__all__ = [
    "LESS_MEMORY",
    "Reason",
    "boundary",
    "exit_status",
    "explained",
    "how_to_resume",
    "is_out_of_memory",
    "last_epoch",
    "mendable",
    "reason_of",
]

log = getLogger("canthus")

FULL = (errno.ENOSPC, errno.EDQUOT)
MACHINE = (*FULL, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ETIMEDOUT)
"""Errors of files that are no matter of which file was named."""
REMEDIES = {
    errno.EROFS: "Name a place that can be written",
    errno.EACCES: "Name a place that you may use",
    errno.EPERM: "Name a place that you may use",
    errno.ENOTDIR: "A folder is needed where a file is: name another place",
    errno.EISDIR: "A file is needed where a folder is: name another place",
    errno.EEXIST: "A folder is needed where a file is: name another place",
    errno.ENOENT: "Name what exists",
    errno.ENAMETOOLONG: "Name something shorter",
    errno.EIO: "Is the disk in order?",
    errno.ESTALE: "Is the network disk in order?",
    errno.EMFILE: "Raise the limit by ulimit -n, or lower data.num_workers",
    errno.ENFILE: "Too many files are open on this machine",
} | dict.fromkeys(FULL, "Free some space")
TEMPORARY = re.compile(r"\.([^/]+)\.\d+\.tmp((?:\.[^/.]*)?)$")
"""A name that `canthus.utils.files.replacing` gives."""
MEMORY = (
    "can't allocate memory", "CUDA out of memory", "MPS backend out of memory", "not enough memory", "bad_alloc",
    "Cannot allocate memory", "failed to map segment", "nsufficient memory", "can't start new thread",
    "MemoryError()",
)  # fmt: skip
"""How allocators of torch, OpenCV and the system say it where they raise no MemoryError."""
DEVICE = ("CUDA error", "CUDA driver", "CUDA unknown error", "NCCL error", "HIP error")
"""Beginnings of what torch says when an accelerator fails."""
LESS_MEMORY = (
    "Resume with trainer.accumulate_grad_batches=2, which computes the same batch in two pieces, or start again with a "
    "smaller data.batch_size"
)
"""What a training does about memory."""
ONE_VALUE = "Expected more than 1 value per channel"


@dataclass(frozen=True)
class Reason:
    """What happened, for errors that are not the program's.

    Attributes:
        text: one line with the value, the place and the remedy.
        outside: the machine is to blame, not the settings or the data.
        memory: it was too little memory.
    """

    text: str
    outside: bool = False
    memory: bool = False


def reason_of(error: BaseException) -> Reason | None:
    """What the user can mend, at the settings, the data or the machine; None for a fault of the program."""
    from hydra.errors import HydraException, InstantiationException
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(error, (ConfigError, DataError)):
        # what cannot be imported for lack of memory is no wrong setting
        short = error.__cause__ is not None and is_out_of_memory(error.__cause__)
        return _machine(error.__cause__) if short else Reason(str(error))  # type: ignore[arg-type]
    if isinstance(error, RunError):
        return Reason(str(error), outside=True)
    machine = _machine(error)
    if machine is not None:
        return machine
    if isinstance(error, InstantiationException):
        return _while_building(error)
    if type(error).__name__ == "MisconfigurationException":  # Lightning's, told by its name to do without torch
        return Reason(_line(error))
    if isinstance(error, OmegaConfBaseException):
        key = getattr(error, "full_key", None)
        line = re.sub(r"^\w+ raised while resolving interpolation: ", "", _line(error))
        return Reason(f"{key}: {line}" if key else line)
    if isinstance(error, HydraException):
        return Reason(_line(error))
    if isinstance(error, ValueError) and ONE_VALUE in str(error):
        return Reason(
            "data.batch_size leaves one face for a pass, and batch normalisation needs at least 2: raise it, or use "
            "fewer processes (trainer.devices) and pieces (trainer.accumulate_grad_batches)"
        )
    return Reason(str(error)) if _is_refusal(error) else None


def _is_refusal(error: BaseException) -> bool:
    """Whether canthus itself has raised it, with words for people: no library, no slip."""
    last = error.__traceback__
    if not isinstance(error, (ValueError, TypeError)) or last is None:
        return False
    while last.tb_next is not None:
        last = last.tb_next
    own = str(last.tb_frame.f_globals.get("__name__")).startswith("canthus.")
    return own and last.tb_frame.f_code.co_code[last.tb_lasti] == dis.opmap["RAISE_VARARGS"]


def _while_building(error: Exception) -> Reason | None:
    """What a class said that was built from settings, whose errors are nearly always those of the settings."""
    cause = error.__cause__
    if cause is None:
        return Reason(_line(error))
    known = reason_of(cause)
    if known is not None:
        return known
    found = re.search(r"full_key: (\S+)", str(error))
    place = f"{found[1]}: " if found else ""
    if isinstance(cause, ValueError):
        return Reason(f"{place}{cause}")
    target = re.search(r"'(\S+)'", str(error))
    return Reason(
        f"{place}{target[1] if target else 'it'} cannot be built from these settings "
        f"({type(cause).__name__}: {_line(cause)}); HYDRA_FULL_ERROR=1 shows where"
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, NumPy, OpenCV, torch or the system found no memory."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in MEMORY)


def _machine(error: BaseException) -> Reason | None:
    text = str(error)
    if is_out_of_memory(error):
        sentences = [sentence for line in text.splitlines() for sentence in line.split(". ")]
        short = next((sentence for sentence in sentences if any(words in sentence for words in MEMORY)), "MemoryError")
        if isinstance(error, ImportError):
            limit = "the program itself does not fit: raise the limit of its memory (ulimit -v, or that of the job)"
            return Reason(f"out of memory ({short}); {limit}", outside=True)
        return Reason(f"out of memory ({short})", outside=True, memory=True)
    if isinstance(error, OSError) and error.errno is not None:
        return Reason(_about_file(error), outside=error.errno in MACHINE)
    if "DataLoader worker" in text and "killed" in text:
        return Reason(f"out of memory? {text.splitlines()[0]} Lower data.num_workers", outside=True)
    if isinstance(error, RuntimeError) and text.startswith(DEVICE):
        return Reason(f"{_line(error)}; trainer=cpu or device=cpu does without", outside=True)
    return None


def _about_file(error: OSError) -> str:
    what = error.strerror or type(error).__name__
    path = error.filename if error.filename is not None else error.filename2
    if path is None:  # some errors of writing do not say where
        output = next((word for word in sys.argv[1:] if word.startswith(("output=", "hydra.run.dir="))), None)
        what = f"{output}: {what}" if output else what
    else:
        place = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else str(path)
        place = TEMPORARY.sub(r"\1\2", place)  # what the user knows of
        setting = _setting_of(place)
        what = f"{setting + ': ' if setting else ''}{place}: {what}"
    remedy = REMEDIES.get(error.errno or 0)
    return f"{what}. {remedy}" if remedy else what


def _setting_of(path: str) -> str | None:
    """The word of the command line that has led to a file, if one did."""
    for word in sys.argv[1:]:
        key, equals, value = word.partition("=")
        value = os.path.abspath(value.strip("'\"")) if equals and value.strip("'\"") else ""
        if value and f"{os.path.abspath(path)}/".startswith(f"{value.rstrip('/')}/"):
            return key.lstrip("+")
    return None


def _line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def mendable(error: BaseException) -> str | None:
    """The message of an error that the user can mend; None for a fault."""
    reason = reason_of(error)
    return None if reason is None else reason.text


def exit_status(error: BaseException) -> int:
    """What the shell gets: 128 and the number of a signal, 2 for wrong settings and data, 1 for everything else."""
    number = signal_of(error)
    if number is not None:
        return 128 + number
    if isinstance(error, SystemExit):
        return 0 if error.code is None else error.code if isinstance(error.code, int) else 1
    reason = reason_of(error)
    return 2 if reason is not None and not reason.outside else 1


@contextmanager
def explained(how_to_go_on: Callable[[], str], memory: str = "") -> Iterator[None]:
    """Say in one message how a piece of work was stopped and how it goes on.

    Args:
        how_to_go_on: the second half of the message; called when something has happened.
        memory: what needs less memory.

    Raises:
        RunError: the disk is full, or the memory: nothing is wrong with the program.
        Stopped: after Ctrl-C, SIGTERM and SIGHUP.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as error:
        number = signal_of(error)
        if number is None or (isinstance(error, Stopped) and error.told):
            raise
        _tell(f"stopped by {_name(number)}; {how_to_go_on()}")
        raise Stopped(number, told=True) from None
    except RunError:
        raise
    except Exception as error:
        reason = reason_of(error)
        if reason is None:
            _tell(f"{type(error).__name__}: {error}; once that is mended, {how_to_go_on()}")
            raise
        if not reason.outside:  # what the command says then is enough
            raise
        remedy = f". {memory}" if reason.memory and memory else ""
        raise RunError(f"{reason.text}{remedy}; {how_to_go_on()}") from error


def _tell(message: str) -> None:
    if processes.rank() == 0:
        log.error("%s", message)


@contextmanager
def boundary(tell: Callable[[str], None] | None = None) -> Iterator[None]:
    """Around everything that a command does: whatever happens inside ends the process as this module says.

    Args:
        tell: says the one line; without it, the standard error does.

    Raises:
        SystemExit: instead of any exception.
    """
    tell = tell or _print
    raising, logging.raiseExceptions = logging.raiseExceptions, False  # no traceback when a log finds no space
    try:
        with signals_raise():
            yield
    except (KeyboardInterrupt, SystemExit) as error:
        number = signal_of(error)
        if number is None:  # whoever exits has said why
            raise
        if not (isinstance(error, Stopped) and error.told):
            tell(f"stopped by {_name(number)}")
        raise Stopped(number, told=True) from None
    except Exception as error:
        reason = reason_of(error)
        if reason is None or "HYDRA_FULL_ERROR" in os.environ:  # not a wrong setting but a fault: show where
            traceback.print_exc()
        if reason is not None:
            tell(reason.text)
        sys.exit(exit_status(error))
    finally:
        logging.raiseExceptions = raising


def _print(message: str) -> None:
    print(*map(visible, f"canthus: {message}".split("\n")), sep="\n", file=sys.stderr)


def _name(number: int) -> str:
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name


def last_epoch(checkpoint: Path) -> int | None:
    """The epoch at whose end a checkpoint was written, from 0; None if there is no intact one."""
    import torch

    try:
        # mapped: the weights need not be read for this, which matters when memory has just run out
        return int(torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["epoch"])
    except Exception:  # torch raises whatever the damaged bytes lead to
        return None


def how_to_resume(folder: Path) -> str:
    """How the training of a run folder goes on, as the second half of a sentence."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    epoch = last_epoch(folder / "checkpoints" / "last.ckpt")
    command = f"canthus-train resume={folder}"
    if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        command = f"canthus-train -m sweep.resume={folder.parent}"
    if epoch is None:
        return f"no epoch was finished: {command} begins again"
    return f"last.ckpt is intact (epoch {epoch}): {command} goes on from it"
