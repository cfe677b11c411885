"""Sweeps: every job is marked as it ends, none stops the others, and what failed can be run again.

``job.json`` in a job's folder says what it was and how it ended; ``sweep.json`` beside the jobs says how the sweep was
started. Kept free of torch.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from logging import getLogger
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from canthus.runs import folders
from canthus.runs.faults import mendable
from canthus.runs.interruptions import signal_of
from canthus.runs.jobs import Job, _write, jobs_of
from canthus.utils import processes
from canthus.utils.config import quoted
from canthus.utils.errors import ConfigError, RunError

__all__ = ["JobFailed", "overrides", "recorded", "resumed_arguments", "run_job"]

log = getLogger("canthus.sweep")

CHANGEABLE = ("hydra/launcher=", "hydra.launcher.", "+hydra.launcher.", "hydra.sweeper.n_trials=")
"""What may differ when a sweep is resumed: where its jobs run, and how many trials a study has."""


class JobFailed(RunError):
    """A trial failed. One line of text, so that it crosses process borders whatever the cause was."""


# -- one job ---------------------------------------------------------------------------------------------------------


def run_job(task: Callable[[DictConfig], Any], cfg: DictConfig) -> Any:
    """Run one job of a sweep and mark in its folder how it ended.

    Args:
        task: of the command.
        cfg: of the job. With ``sweep.resume``, a job that is finished is not run again, and one that left a checkpoint
            goes on from it.

    Returns:
        What the task returned; None if it failed.

    Raises:
        JobFailed: a trial of a study, or a job of another command than training, failed.
        ConfigError: the folder holds another job.
    """
    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    with ExitStack() as stack:
        try:
            stack.enter_context(folders.held(folder, wait=folders.REQUEUED if processes.requeued() else 0.0))
            if "sweep" not in cfg and folders.writes_a_folder(hydra):  # results go to a folder of their own
                stack.enter_context(folders.claimed(lambda: str(hydra.run.dir)))
        except folders.FolderInUse as error:
            log.error("job %d is not run: %s", hydra.job.num, error)
            raise JobFailed(f"job {hydra.job.num} is not run: {error}") from None
        return _run_job(task, cfg, folder)


def _run_job(task: Callable[[DictConfig], Any], cfg: DictConfig, folder: Path) -> Any:

    hydra = HydraConfig.get()
    given = [word for word in hydra.overrides.task if not word.lstrip("+").startswith("sweep.")]
    sweep = cfg.get("sweep") or OmegaConf.create({"resume": None, "first_job": 0})  # only training has sweeps to resume
    number = int(hydra.job.num) + sweep.first_job
    job = Job(number, given, objective=OmegaConf.select(cfg, "callbacks.best.monitor"))
    if sweep.resume:
        before = Job.read(folder)
        if before and before.overrides != job.overrides:
            raise ConfigError(
                f"job {job.number} of {sweep.resume} was {' '.join(before.overrides)} and would now be "
                f"{' '.join(job.overrides)}; start another sweep"
            )
        if before and before.status == "finished":
            log.info("job %d is finished: not run again", job.number)
            return before.score
        if list((folder / "checkpoints").glob("*.ckpt")):
            cfg.resume = str(folder)
    if hydra.launcher._target_.rpartition(".")[2] in ("JoblibLauncher", "LocalLauncher"):
        job.gpu = processes.pin_gpu(folder.parent)
    job.write(folder)
    begin = time.monotonic()
    try:
        score = task(cfg)
        job.status, job.score = "finished", score
        return score
    except (Exception, SystemExit) as error:
        if signal_of(error) is not None:  # Ctrl-C and the like are meant for all jobs
            job.status = "interrupted"
            raise
        job.status = "failed"
        job.error = mendable(error) or f"{type(error).__name__}: {error}"
        log.error("job %d failed: %s", job.number, job.error, exc_info=mendable(error) is None)
        # a study must hear of it, and so must Hydra where no table of the sweep tells the exit status
        if "n_trials" in hydra.sweeper or "sweep" not in cfg:
            raise JobFailed(f"job {job.number}: {job.error}") from None
        return None
    except BaseException:
        job.status = "interrupted"
        raise
    finally:
        job.seconds = round(time.monotonic() - begin, 1)
        job.write(folder)


# -- the whole sweep -------------------------------------------------------------------------------------------------


@contextmanager
def recorded(folder: Path, arguments: list[str]) -> Iterator[None]:
    """Keep how a sweep was started, and make its table however it ends.

    Ends the process with status 1 if a job failed or is missing: Hydra would not, where a sweeper forgives failures.

    Args:
        folder: of the sweep.
        arguments: words of the command line.
    """
    from canthus.reporting.sweep import write_sweep  # imports torch

    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "sweep.json").exists():
        _write(folder / "sweep.json", {"arguments": arguments})
    code: Any = 0
    try:
        yield
    except SystemExit as end:
        code = end.code
    finally:
        failed = write_sweep(folder, jobs_of(folder))
    if code or failed:
        sys.exit(code or 1)


def overrides(cfg: DictConfig, folder: Path) -> list[str]:
    """What a sweep adds to its command line: its folder and, for a study that goes on, what is left of it.

    Args:
        cfg: composed, with the node ``hydra``.
        folder: of the sweep.

    Raises:
        ConfigError: the folder holds another sweep, or a study that is finished.
    """
    added = [f"hydra.sweep.dir={quoted(str(folder))}"]  # workers would name it by their own time
    if "sweep" not in cfg:  # only trainings have sweeps to resume
        return added
    sweeper = cfg.hydra.sweeper
    if not cfg.sweep.resume and (folder / "sweep.json").exists():
        raise ConfigError(
            f"{folder} holds a sweep already; go on with it by sweep.resume={folder}, or name another one"
        )
    if not cfg.sweep.resume or "n_trials" not in sweeper:
        return added
    jobs = jobs_of(folder)
    left = sweeper.n_trials - sum(job.status == "finished" for job in jobs)
    if left < 1:
        raise ConfigError(f"{folder} has finished its {sweeper.n_trials} trials; add hydra.sweeper.n_trials=N for more")
    first = max((job.number for job in jobs), default=-1) + 1
    # the sampler begins anew: with the old seed it would suggest the first trials once more
    seed = (sweeper.sampler.get("seed") or 0) + first
    return [*added, f"hydra.sweeper.n_trials={left}", f"sweep.first_job={first}", f"hydra.sweeper.sampler.seed={seed}"]


def resumed_arguments(folder: Path, arguments: list[str]) -> list[str]:
    """The command line that runs the failed and missing jobs of a sweep.

    Args:
        folder: of the sweep.
        arguments: what was typed: ``sweep.resume=FOLDER`` and, if anything else, words of the first command line or
            others of `CHANGEABLE`.

    Raises:
        ConfigError: not a sweep, or changed settings.
    """
    try:
        first: list[str] = json.loads((folder / "sweep.json").read_text())["arguments"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(
            f"sweep.resume={folder} is not a sweep: it has no readable sweep.json; name the folder that holds the jobs"
        ) from error
    typed = [word for word in arguments if word not in ("-m", "--multirun") and not word.startswith("sweep.resume=")]
    changed = [word for word in typed if word not in first and not word.startswith(CHANGEABLE)]
    if changed:
        raise ConfigError(
            f"{' '.join(changed)}: a sweep resumes with its own settings, {' '.join(first)}; only where its jobs run "
            "(hydra/launcher) and hydra.sweeper.n_trials may change"
        )
    new = [word for word in typed if word not in first]
    replaced = {word.partition("=")[0] for word in new}
    kept = [word for word in first if word.partition("=")[0] not in replaced]
    return [*kept, *new, f"sweep.resume={quoted(str(folder))}", f"hydra.sweep.dir={quoted(str(folder))}"]
