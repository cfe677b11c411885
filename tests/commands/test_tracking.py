"""Offline W&B runs, read back from their files."""

import os
from pathlib import Path

import pytest

SMALL = [
    "data=synthetic",
    "trainer=cpu",
    "trainer.max_epochs=1",
    "model.width=0.05",
    "data.size=30",
    "data.batch_size=10",
]
SMALL += ["data.resolution=128", "data.validation=0.25", "model.statistics_faces=8", "callbacks.overlays.faces=2"]


def runs(folder: Path) -> list[str]:
    """Ids of the offline runs in a run folder."""
    # offline-run-<time>-<id>, and a number behind it when two start within a second
    return sorted(path.name.split("-")[3] for path in (folder / "wandb").glob("offline-run-*"))


@pytest.fixture
def quiet_wandb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_SILENT", "true")


def test_jobs_have_runs_of_their_own_and_leave_no_environment(run_command, cache, tmp_path, quiet_wandb) -> None:
    sweep = tmp_path / "sweep"
    arguments = [
        *SMALL,
        "logger=wandb",
        "logger.wandb.offline=true",
        f"paths.cache={cache}",
        f"hydra.sweep.dir={sweep}",
    ]
    assert run_command("train", "-m", "seed=0,1", *arguments) == 0
    first, second = (runs(sweep / job) for job in ("0", "1"))
    assert len(first) == len(second) == 1
    assert first != second
    assert first == [(sweep / "0/wandb_id.txt").read_text()]
    assert "WANDB_MODE" not in os.environ


def test_a_sweep_makes_its_own_folder(run_command, cache, tmp_path, quiet_wandb) -> None:
    """Without hydra.sweep.dir, as people type it."""
    arguments = [*SMALL, f"paths.cache={cache}", f"paths.log_dir={tmp_path}", "trainer.limit_train_batches=1"]
    assert run_command("train", "-m", "seed=0,1", *arguments) == 0
    (sweep,) = (tmp_path / "multiruns").iterdir()
    for job in ("0", "1"):
        assert "- status: `finished`" in (sweep / job / "summary.md").read_text()


def test_a_resumed_run_goes_on_in_the_same_wandb_run(run_command, cache, tmp_path, quiet_wandb) -> None:
    folder = tmp_path / "run"
    arguments = [*SMALL, "logger=wandb", "logger.wandb.offline=true", f"paths.cache={cache}", f"hydra.run.dir={folder}"]
    assert run_command("train", *arguments) == 0
    assert run_command("train", f"resume={folder}", "trainer.max_epochs=2") == 0
    assert set(runs(folder)) == {(folder / "wandb_id.txt").read_text()}
