"""Commands as processes of their own, several at a time: each with its log file, none stopped by another's failure.

Kept free of torch.
"""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from canthus.utils.escaping import console

if TYPE_CHECKING:
    from rich.progress import TaskID

__all__ = ["Ended", "Step", "run_steps"]

POLL = 0.1
"""Seconds between two looks at the children."""
SHOWN = 25
"""Last lines of a failed step's log that are printed."""
TAIL = 64_000
"""Bytes that are read for them: a progress bar makes long lines."""


@dataclass(frozen=True)
class Step:
    """A command to run.

    Attributes:
        name: for people, unique.
        module: of ``canthus.commands``.
        words: of its command line.
        log: file that takes what it prints.
        after: names of the steps that must have succeeded before.
        lenient: of those, one is enough; it begins when all have ended, however that was.
        done: nothing is left to do.
    """

    name: str
    module: str
    words: tuple[str, ...]
    log: Path
    after: tuple[str, ...] = ()
    lenient: bool = False
    done: bool = False

    @property
    def command(self) -> tuple[str, ...]:
        """The whole command line."""
        return (sys.executable, "-m", f"canthus.commands.{self.module}", *self.words)


@dataclass
class Ended:
    """What came of some steps.

    Attributes:
        finished: those that succeeded now.
        failed: those that did not, each with its exit status.
        left_out: those that needed what failed.
    """

    finished: list[Step] = field(default_factory=list)
    failed: dict[Step, int] = field(default_factory=dict)
    left_out: list[Step] = field(default_factory=list)


def run_steps(steps: Sequence[Step], jobs: int, environment: Mapping[str, str]) -> Ended:
    """Run what is not done, the first steps first.

    Args:
        steps: in the order in which they begin, once those that they come after have succeeded.
        jobs: processes at a time.
        environment: of the processes.

    Raises:
        BaseException: Ctrl-C and other signals, after the running processes were asked to end by SIGTERM and have done
            so. A second Ctrl-C kills them.
        OSError: a log file that cannot be written, or a process that cannot be started; likewise.
    """
    ended, waiting = Ended(), [step for step in steps if not step.done]
    good, bad = {step.name for step in steps if step.done}, set[str]()  # bad: failed or left out
    with _Display(len(steps), len(good)) as display, _stopped_in_order(display) as running:
        while waiting or running:
            for step in list(waiting):
                if _is_hopeless(step, good, bad):
                    waiting.remove(step)
                    bad.add(step.name)
                    ended.left_out.append(step)
                elif len(running) < jobs and (good | bad if step.lenient else good) >= set(step.after):
                    waiting.remove(step)
                    running[step] = _start(step, environment)
                    display.begin(step)
            for step, status in [(step, process.poll()) for step, process in running.items()]:
                if status is None:
                    continue
                del running[step]
                (bad if status else good).add(step.name)
                if status:
                    ended.failed[step] = status
                else:
                    ended.finished.append(step)
                display.end(step, status)
            time.sleep(POLL if running else 0)
    return ended


def _is_hopeless(step: Step, good: set[str], bad: set[str]) -> bool:
    """Whether a step will never have what it needs."""
    if step.lenient and step.after:
        return bad >= set(step.after)
    return bool(bad & set(step.after))


def _start(step: Step, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Begin a step, in a session of its own: Ctrl-C at the terminal comes to it through this process, once."""
    step.log.parent.mkdir(parents=True, exist_ok=True)
    with step.log.open("wb") as log:
        return subprocess.Popen(
            step.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
        )


@contextmanager
def _stopped_in_order(display: "_Display") -> Iterator[dict[Step, subprocess.Popen[bytes]]]:
    """The running processes, of which none is left behind whatever happens."""
    running: dict[Step, subprocess.Popen[bytes]] = {}
    try:
        yield running
    except BaseException:
        left = {step: process for step, process in running.items() if process.poll() is None}
        try:
            if left:
                names = ", ".join(step.name for step in left)
                display.say(f"stopping {names}; Ctrl-C once more kills what takes too long")
            for process in left.values():
                process.terminate()
            for process in left.values():
                process.wait()
        except BaseException:
            for process in left.values():
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            raise
        raise


def _last_lines(log: Path) -> list[str]:
    """The end of a log. Of a line that was written over again and again, a progress bar, the last state."""
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
        lines = deque(file.read().decode(errors="replace").split("\n"), SHOWN + 1)
    shown = [line.rstrip("\r").rpartition("\r")[2] for line in lines]
    return shown[:-1] if shown[-1] == "" else shown[1:] if len(shown) > SHOWN else shown


class _Display:
    """Which steps run, how many have ended, and since when: on a terminal as a live list, in a log as lines.

    Args:
        total: number of steps.
        done: how many of them were done before.
    """

    def __init__(self, total: int, done: int) -> None:
        from rich.progress import Progress, TextColumn, TimeElapsedColumn

        self.total, self.ended = total, done
        self.console = console(soft_wrap=True)
        self.progress = Progress(
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self.tasks: dict[Step, tuple[TaskID, float]] = {}
        self.whole = self.progress.add_task(self._count(), total=None)

    def __enter__(self) -> "_Display":
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def say(self, text: str) -> None:
        """Print a line above the live list."""
        self.progress.console.print(text)

    def begin(self, step: Step) -> None:
        """A step runs."""
        self.tasks[step] = self.progress.add_task(f"  {step.name}", total=None), time.monotonic()
        self.say(f"{_clock()} {step.name}: begins; tail -f {step.log}")

    def end(self, step: Step, status: int) -> None:
        """A step has ended; if it has failed, why."""
        task, began = self.tasks.pop(step)
        self.progress.remove_task(task)
        self.ended += 1
        self.progress.update(self.whole, description=self._count())
        took = timedelta(seconds=round(time.monotonic() - began))
        if status:
            for line in _last_lines(step.log):
                self.say(line)
            how = f"status {status}" if status > 0 else f"signal {-status}"
            self.say(f"{_clock()} {step.name} failed ({how}) after {took}, {self._count()}: {step.log}")
        else:
            self.say(f"{_clock()} {step.name}: finished in {took}, {self._count()}")

    def _count(self) -> str:
        return f"{self.ended} of {self.total}"


def _clock() -> str:
    return f"{datetime.now().astimezone():%H:%M}"
