"""The other processes of a command that works on several devices: each is started by a plain command line.

Lightning would start them by repeating the command line of this process. Under ``-m`` each would run the whole sweep
again, with other hyper-parameters in the same step (Lightning issue 2727), and a worker of a parallel launcher is
another program altogether. So the command line is made here, from what Hydra was told about this job alone.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import lightning
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import get_original_cwd
from lightning.pytorch.strategies.launchers.subprocess_script import _SubprocessScriptLauncher

from canthus.utils.config import quoted

__all__ = ["command_of_rank", "nothing_left_behind", "start_by_command"]

VARIABLES = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "PL_GLOBAL_SEED")
"""Of the environment, by which processes know each other."""


def start_by_command(trainer: lightning.Trainer, command: str, resume: str | None = None) -> None:
    """Let a trainer that starts its other processes itself start each as `command_of_rank` says.

    Args:
        trainer: nothing has run in it yet. Under torchrun and srun, and on one device, nothing changes.
        command: module of `canthus.commands`.
        resume: run folder that the job of a sweep goes on with.
    """
    strategy = trainer.strategy
    if type(strategy.launcher) is _SubprocessScriptLauncher:
        strategy._launcher = _CommandLauncher(strategy.launcher, command, resume)


def command_of_rank(rank: int, command: str, resume: str | None = None) -> list[str]:
    """The command line of a process beside this one; Hydra writes its log, and nothing else, beside that of this one.

    Args:
        rank: of the process, on this machine.
        command: see `start_by_command`.
        resume: see `start_by_command`.
    """
    hydra = HydraConfig.get()
    words = [*hydra.overrides.task, *hydra.overrides.hydra]
    if hydra.mode == RunMode.MULTIRUN:
        job = [word for word in hydra.overrides.task if not word.lstrip("+").startswith("sweep.")]
        searched = [word for word in hydra.overrides.hydra if word.lstrip("+").startswith("hydra.searchpath")]
        words = [*([f"resume={quoted(resume)}"] if resume else [*job, *searched]), "hydra.mode=RUN"]
    own = [
        f"hydra.run.dir={quoted(hydra.runtime.output_dir)}",
        f"hydra.job.name={hydra.job.name}_ddp_process_{rank}",
        "hydra.output_subdir=null",
    ]
    return [sys.executable, "-m", f"canthus.commands.{command}", *words, *own]


class _CommandLauncher(_SubprocessScriptLauncher):
    """Lightning's own, which also ends all processes with any of them, with another command line."""

    def __init__(self, usual: _SubprocessScriptLauncher, command: str, resume: str | None) -> None:
        super().__init__(usual.cluster_environment, usual.num_processes, usual.num_nodes)
        self.command, self.resume = command, resume

    def _call_children_scripts(self) -> None:
        self._check_can_spawn_children()
        place = self.cluster_environment
        os.environ |= {
            "MASTER_ADDR": place.main_address,
            "MASTER_PORT": str(place.main_port),
            "NODE_RANK": str(place.node_rank()),
            "LOCAL_RANK": str(place.local_rank()),
            "WORLD_SIZE": str(self.num_processes * self.num_nodes),
        }
        self.procs = [
            subprocess.Popen(
                command_of_rank(rank, self.command, self.resume),
                env=os.environ | {"LOCAL_RANK": str(rank)},
                cwd=get_original_cwd(),
            )
            for rank in range(1, self.num_processes)
        ]


@contextmanager
def nothing_left_behind() -> Iterator[None]:
    """After a job of a sweep, let the next one in the same process be rank 0 of a group of its own."""
    if HydraConfig.get().mode != RunMode.MULTIRUN:
        yield
        return
    before = {name: os.environ.get(name) for name in VARIABLES}
    try:
        yield
    finally:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
