"""The command line of the other processes of a job; that they train is in tests/integration/test_distributed.py."""

import os
import sys

import lightning
import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import OmegaConf

from canthus.commands.ranks import VARIABLES, command_of_rank, nothing_left_behind, start_by_command

TASK = ["model=dan", "seed=3", "+sweep.first_job=2"]
OWN = ["hydra.run.dir='/a run/1'", "hydra.job.name=train_ddp_process_1", "hydra.output_subdir=null"]


def told(monkeypatch: pytest.MonkeyPatch, mode: RunMode) -> None:
    node = {
        "mode": mode,
        "job": {"name": "train"},
        "runtime": {"output_dir": "/a run/1"},
        "overrides": {"task": TASK, "hydra": ["hydra.searchpath=[file:///own]", "hydra.sweep.dir=/a run"]},
    }
    monkeypatch.setattr(HydraConfig, "get", staticmethod(lambda: OmegaConf.create(node)))


def test_a_single_job_is_told_what_hydra_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, RunMode.RUN)
    words = [*TASK, "hydra.searchpath=[file:///own]", "hydra.sweep.dir=/a run", *OWN]
    assert command_of_rank(1, "train") == [sys.executable, "-m", "canthus.commands.train", *words]


def test_a_job_of_a_sweep_is_a_job_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the sweep's own words each process would run the sweep; one that goes on takes its saved config."""
    told(monkeypatch, RunMode.MULTIRUN)
    begin = [sys.executable, "-m", "canthus.commands.train"]
    single = ["model=dan", "seed=3", "hydra.searchpath=[file:///own]", "hydra.mode=RUN"]
    assert command_of_rank(1, "train") == [*begin, *single, *OWN]
    assert command_of_rank(1, "train", "/a run/1") == [*begin, "resume='/a run/1'", "hydra.mode=RUN", *OWN]


def test_no_rank_is_left_for_the_next_job(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, RunMode.MULTIRUN)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MASTER_ADDR", "10.0.0.1")
    with nothing_left_behind():
        os.environ.update(dict.fromkeys(VARIABLES, "1"))
    assert {name: os.environ.get(name) for name in VARIABLES if name in os.environ} == {"MASTER_ADDR": "10.0.0.1"}


def test_lightning_hands_over_its_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a process that was started by another, or works alone, starts none."""
    monkeypatch.setattr(rank_zero_only, "rank", 0)  # a trainer of another rank sets it for the whole process
    options = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    trainer = lightning.Trainer(devices=2, strategy="ddp", **options)
    start_by_command(trainer, "train")
    launcher = trainer.strategy.launcher
    assert (launcher.command, launcher.num_processes, launcher.procs) == ("train", 2, [])
    alone = lightning.Trainer(devices=1, **options)
    start_by_command(alone, "train")
    assert alone.strategy.launcher is None
    monkeypatch.setenv("LOCAL_RANK", "1")
    started = lightning.Trainer(devices=2, strategy="ddp", **options)
    start_by_command(started, "train")
    assert started.strategy.launcher.launch(lambda: 7) == 7
    assert started.strategy.launcher.procs == []
