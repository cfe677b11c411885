"""What stops a command from outside, signals and lost streams, so that it ends in order or goes on.

SIGTERM and SIGHUP (a lost terminal) end a command as Ctrl-C does: records are written, and the exit status is 128 plus
the signal's number. Where they are ignored, as under ``nohup``, they stay so. A reader that leaves (``| head -1``) or a
stream that was closed from the beginning ends nothing: what a command makes lies in files, so it goes on for these.
Kept free of torch.
"""

import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Stopped", "how_it_ended", "lasting_streams", "signal_of", "signals_raise"]

LOST = (errno.EPIPE, errno.EIO)
"""What writing gives when the reader of a pipe, or a terminal, has gone."""


class Stopped(SystemExit):
    """A signal has asked the process to end.

    Args:
        number: of the signal.
        told: the user has been told already.
    """

    def __init__(self, number: int, *, told: bool = False) -> None:
        super().__init__(128 + number)
        self.number, self.told = number, told


def signal_of(error: BaseException) -> int | None:
    """Number of the signal that an exception stands for; None for other exceptions."""
    if isinstance(error, Stopped):
        return error.number
    if type(error).__name__ == "SIGTERMException":  # Lightning's, where somebody else has a handler
        return signal.SIGTERM
    # Lightning turns Ctrl-C into an exit
    exits = isinstance(error, SystemExit) and isinstance(error.__context__, KeyboardInterrupt)
    return signal.SIGINT if exits or isinstance(error, KeyboardInterrupt) else None


def how_it_ended(error: BaseException) -> str:
    """What ``provenance.json`` says of it."""
    number = signal_of(error)
    if number is not None:
        return "interrupted" if number == signal.SIGINT else f"terminated ({signal.Signals(number).name})"
    if isinstance(error, SystemExit):
        return f"failed: exit with status {error.code}"
    return f"failed: {type(error).__name__}: {error}"


@contextmanager
def signals_raise() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise `Stopped`, wherever the command is. Handlers of others, such as submitit's, stay."""
    names = ("SIGTERM", "SIGHUP")  # Windows has no SIGHUP
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    free = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread() or not free:
        yield
        return

    owner, received = os.getpid(), False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal received
        if os.getpid() != owner:  # a forked helper has no records to write
            os._exit(128 + number)
        if received:  # what follows the first one writes the records
            return
        received = True
        if number != signal.SIGTERM:
            signal.raise_signal(signal.SIGTERM)  # by which Lightning tells its other processes
        raise Stopped(number)

    for number in free:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in free:
            signal.signal(number, signal.SIG_DFL)


def lasting_streams() -> None:
    """Let the standard streams of this process outlive their readers."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:  # closed, so that the next file to be opened would take its place and what is printed
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:  # was closed
            setattr(sys, name, open(descriptor, "w", closefd=False))  # noqa: SIM115  # for the life of the process
        elif stream is getattr(sys, f"__{name}__") and not isinstance(getattr(stream.buffer, "raw", None), _Lasting):
            stream.flush()
            lasting = io.TextIOWrapper(
                io.BufferedWriter(_Lasting(descriptor, "w", closefd=False)),
                encoding=stream.encoding,
                errors="backslashreplace",  # a name that the terminal cannot show ends nothing either
                line_buffering=stream.line_buffering or name == "stderr",
            )
            setattr(sys, name, lasting)
            setattr(sys, f"__{name}__", lasting)


class _Lasting(io.FileIO):
    """A stream whose writes go nowhere once nobody reads it."""

    def write(self, data: "io.ReadableBuffer") -> int:  # type: ignore[name-defined]
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in LOST:
                raise
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())  # also for what libraries print by themselves
            os.close(nowhere)
            return memoryview(data).nbytes
