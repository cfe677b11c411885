"""Processes that somebody else starts: torchrun and srun ranks, parallel workers of a sweep.

Lightning starts its own processes with the run folder on their command line. Processes started from outside each read
the same command line, so what they must share (the run folder) is agreed here before Hydra makes anything.
"""

import os
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from canthus.utils.errors import ConfigError

__all__ = [
    "count_gpus",
    "first",
    "next_name",
    "overrides",
    "pin_gpu",
    "rank",
    "requeued",
    "restart_clock",
    "several",
    "stamp",
    "started",
]

TIME = "%Y-%m-%d_%H-%M-%S"


def _torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


def _slurm() -> bool:
    """Whether srun started several tasks; the batch script around them is an ordinary process."""
    return _srun() and int(os.environ.get("SLURM_NTASKS", "1")) > 1


def _srun() -> bool:
    return "SLURM_JOB_ID" in os.environ and "SLURM_STEP_ID" in os.environ


def requeued() -> bool:
    """Whether SLURM has started this job before, so that what its folder holds is its own."""
    return _srun() and int(os.environ.get("SLURM_RESTART_COUNT", "0")) > 0


def rank() -> int:
    """Number of this process among those that train together, before torch knows it."""
    if "LOCAL_RANK" in os.environ or _torchrun():  # Lightning's own processes, and torchrun's
        return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")))
    return int(os.environ.get("SLURM_PROCID", "0")) if _slurm() else 0


def several() -> bool:
    """Whether torchrun or srun has started more processes beside this one."""
    return (_torchrun() and int(os.environ.get("WORLD_SIZE", "1")) > 1) or _slurm()


def first() -> bool:
    """Whether this process is the one, of those that train together, that writes records and holds locks for all."""
    return rank() == 0 and ("RANK" in os.environ or int(os.environ.get("NODE_RANK", "0")) == 0)


@cache
def started() -> str:
    """Name for the folder of a run or sweep: the time, or what all processes of a run started together agree on.

    Under srun it is the numbers of job and step, so a job that is requeued finds its folder and checkpoint.

    Raises:
        ConfigError: torchrun offers no way to agree.
    """
    now = datetime.now(UTC).astimezone().strftime(f"{TIME}-%f")
    if _torchrun():
        return _agreed(now)
    if _srun():
        return f"slurm-{os.environ['SLURM_JOB_ID']}-{os.environ['SLURM_STEP_ID']}"
    return now


class _Clock:
    """The second at which a command began, and the how-manieth name with that second is in use."""

    second = ""
    number = 1


def stamp() -> str:
    """Part of the name of a folder of results: the time, and a number from 2 where other folders have that time."""
    if not _Clock.second:
        restart_clock()
    return _Clock.second if _Clock.number == 1 else f"{_Clock.second}-{_Clock.number}"


def restart_clock() -> None:
    """Let names of folders begin with the time that it is now."""
    _Clock.second, _Clock.number = datetime.now(UTC).astimezone().strftime(TIME), 1
    if not _torchrun():  # the other processes have agreed on it
        started.cache_clear()


def next_name() -> None:
    """Change what stands for the time in names of folders: one of that name is there already."""
    _Clock.number += 1
    if not _torchrun():
        started.cache_clear()


def _agreed(proposal: str) -> str:
    """Everybody takes what rank 0 proposes, through the store that torchrun keeps for its processes."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        raise ConfigError("this torchrun lets its processes share nothing, so name the folder: hydra.run.dir=DIR")
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    port = int(os.environ["MASTER_PORT"])
    store = TCPStore(os.environ["MASTER_ADDR"], port, is_master=False, timeout=timedelta(minutes=5))
    key = f"canthus/started/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"
    if rank() == 0:
        store.set(key, proposal)
    agreed: bytes = store.get(key)
    return agreed.decode()


def overrides(*, sweep: bool) -> list[str]:
    """Settings of Hydra for this process: only rank 0 writes ``.hydra/`` and ``train.log``.

    Args:
        sweep: whether the command is a sweep.

    Raises:
        ConfigError: a sweep whose processes would each choose jobs of their own.
    """
    if sweep and (_torchrun() or _slurm()):
        launcher = "torchrun" if _torchrun() else "srun"
        raise ConfigError(
            f"-m under {launcher}: every process would sweep by itself; start the sweep without {launcher}, with "
            "trainer=ddp for several GPUs a job, or with hydra/launcher=submitit_slurm for a cluster"
        )
    if rank() == 0 or not (_torchrun() or _slurm()):
        return []
    return ["hydra.output_subdir=null", f"hydra.job.name=train_rank_{rank()}"]


_held: list[Any] = []
"""The lock of this process; open until it ends."""


def pin_gpu(folder: Path) -> str | None:
    """Give this worker of a parallel sweep one GPU for as long as it lives; to be called before CUDA starts.

    Parallel launchers show every worker all GPUs. Workers take them by file locks, which vanish with the worker, so
    two workers share a GPU only if there are more workers than GPUs.

    Args:
        folder: of the sweep.

    Returns:
        What is now ``CUDA_VISIBLE_DEVICES``; None without a choice.
    """
    import fcntl  # not on Windows

    if _held:
        return os.environ["CUDA_VISIBLE_DEVICES"]
    gpus = _visible_gpus()
    if len(gpus) < 2:
        return None
    for round_ in range(1000):
        for gpu in gpus:
            lock = (folder / f".gpu_{gpu}_{round_}.lock").open("w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                continue
            _held.append(lock)
            os.environ["CUDA_VISIBLE_DEVICES"] = gpu
            return gpu
    raise ConfigError(f"{folder}: no GPU could be taken by a lock file; is the folder on a file system without locks?")


def count_gpus() -> int:
    """Number of GPUs that this process may use; 1 on a machine without, where it stands for the processor."""
    return max(len(_visible_gpus()), 1)


def _visible_gpus() -> list[str]:
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [gpu.strip() for gpu in named.split(",") if gpu.strip()]
    import torch  # counts through NVML, which does not start CUDA

    return [str(number) for number in range(torch.cuda.device_count())]
