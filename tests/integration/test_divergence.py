"""Trainings that come to nothing say so: a loss that is no number, a stage that never improved on the one before."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from canthus.runs.faults import last_epoch

SMALL = [
    "data=synthetic", "trainer=cpu", "trainer.max_epochs=4", "model.width=0.05", "data.size=40", "data.resolution=128",
    "data.batch_size=10", "data.validation=0.25", "model.statistics_faces=16", "~callbacks.overlays",
    "callbacks.progress=null",
]  # fmt: skip


def spoil(**arguments: object) -> str:
    inside = ",".join(f"{key}:{value}" for key, value in arguments.items())
    return f"+callbacks.bomb={{_target_:tests.helpers.bombs.Spoil,{inside}}}"


def record(folder: Path) -> dict:
    return json.loads((folder / "provenance.json").read_text())


def test_a_training_that_diverges_ends_at_once(run_command, cache: Path, tmp_path: Path) -> None:
    """In the first epoch of the second stage, which would otherwise be trained to the end, and never kept."""
    folder = tmp_path / "run"
    arguments = [*SMALL, f"paths.cache={cache}", f"hydra.run.dir={folder}", spoil(epoch=2, value="nan")]
    assert run_command("train", *arguments) == 1
    text = (folder / "train.log").read_text()
    assert "is not finite any more, in epoch 2" in text
    assert "the training has diverged. The checkpoints are of before, up to epoch 1" in text
    assert "Traceback" not in text
    assert record(folder)["status"].startswith("failed: RunError: the ")
    assert (folder / "metrics.csv").read_text().count("\n") == 3
    assert last_epoch(folder / "checkpoints/last.ckpt") == 1
    best = torch.load(folder / "checkpoints/best.ckpt", weights_only=True)
    assert best["epoch"] < 2
    assert all(value.isfinite().all() for value in best["state_dict"].values())
    assert run_command("evaluate", f"run={folder}", f"output={tmp_path / 'best'}", "overlays=0") == 0
    assert json.loads((tmp_path / "best/metrics.json").read_text())["subsets"]["full"]["nme"] < 100
    assert run_command("train", f"resume={folder}", "trust=true") == 1  # the cause is still there
    assert (folder / "train.log").read_text().count("is not finite any more, in epoch 2") == 2


def test_a_stage_that_never_improves_is_told(run_command, cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    arguments = [*SMALL, f"paths.cache={cache}", f"hydra.run.dir={folder}", spoil(epoch=2, value=0.7)]
    assert run_command("train", *arguments) == 0
    epoch = torch.load(folder / "checkpoints/best.ckpt", weights_only=True)["epoch"]
    assert epoch in (0, 1)
    note = f"stage 2 never improved on stage 1: best.ckpt is of epoch {epoch} and holds stage 1 of 2"
    assert note in (folder / "train.log").read_text()
    assert record(folder)["notes"] == [note]
    assert (record(folder)["best_epoch"], record(folder)["status"]) == (epoch, "finished")
    assert f"**Note:** {note}." in (folder / "summary.md").read_text()
    assert len(json.loads((folder / "metrics.json").read_text())["subsets"]["full"]["nme_per_stage"]) == 1


def test_settings_that_canthus_would_replace_are_refused(run_command, tmp_path: Path) -> None:
    for word, group in (("trainer.logger=false", "logger"), ("trainer.callbacks=[]", "callbacks")):
        assert run_command("train", *SMALL, word, f"hydra.run.dir={tmp_path}") == 2
        assert f"name them in the group {group}, not for trainer" in (tmp_path / "train.log").read_text()


@pytest.mark.slow
def test_one_process_that_diverges_ends_both(cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = [*SMALL, "trainer=ddp_sim", f"paths.cache={cache}", f"hydra.run.dir={folder}"]
    words.append(spoil(epoch=1, value="nan", rank=1))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}
    command = [sys.executable, "-m", "canthus.commands.train", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=300)
    assert done.returncode == 1
    assert "is not finite any more, in epoch 1" in (folder / "train.log").read_text()
    assert last_epoch(folder / "checkpoints/last.ckpt") == 0
