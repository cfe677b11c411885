"""Offline W&B runs, read back from their files."""

import csv
import json
import os

import cv2
import pytest
import wandb
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.helpers.wandb_files import offline_runs

SMALL = [
    "data=synthetic",
    "trainer=cpu",
    "trainer.max_epochs=1",
    "model.width=0.05",
    "data.size=30",
    "data.batch_size=10",
]
SMALL += ["data.resolution=128", "data.validation=0.25", "model.statistics_faces=8", "callbacks.overlays.faces=2"]
OFFLINE = ["logger=wandb", "logger.wandb.offline=true"]


@pytest.fixture
def quiet_wandb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_SILENT", "true")
    wandb.teardown()  # a process keeps the settings and the key that it began with


def test_jobs_have_runs_of_their_own_and_leave_no_environment(run_command, cache, tmp_path, quiet_wandb) -> None:
    """The second one crashes: it must neither end in the first one's run nor look finished."""
    sweep = tmp_path / "sweep"
    arguments = [*SMALL, *OFFLINE, f"paths.cache={cache}", f"hydra.sweep.dir={sweep}"]
    assert run_command("train", "-m", *arguments, "data.batch_size=10,400") != 0
    (first,), (second,) = (offline_runs(sweep / job) for job in ("0", "1"))
    assert first.run_id == (sweep / "0/wandb_id.txt").read_text()
    assert first.run_id != second.run_id
    assert first.group == second.group == "sweep"
    assert (first.exit_code, second.exit_code) == (0, 1)
    assert first.config["data"]["batch_size"] == 10
    assert second.config["data"]["batch_size"] == 400
    assert "WANDB_MODE" not in os.environ


def test_a_sweep_makes_its_own_folder(run_command, cache, tmp_path, quiet_wandb) -> None:
    """Without hydra.sweep.dir, as people type it."""
    arguments = [*SMALL, f"paths.cache={cache}", f"paths.log_dir={tmp_path}", "trainer.limit_train_batches=1"]
    assert run_command("train", "-m", "seed=0,1", *arguments) == 0
    (sweep,) = (tmp_path / "multiruns").iterdir()
    for job in ("0", "1"):
        assert "- status: `finished`" in (sweep / job / "summary.md").read_text()


def test_what_an_offline_run_holds(run_command, cache, tmp_path, quiet_wandb) -> None:
    folder = tmp_path / "run"
    settings = ["trainer.max_epochs=2", "callbacks.overlays.every_n_epochs=1", "tags=[small,test]", "logger=many"]
    arguments = [*SMALL, *settings, "logger.wandb.offline=true", f"paths.cache={cache}", f"hydra.run.dir={folder}"]
    assert run_command("train", *arguments) == 0
    (run,) = offline_runs(folder)
    assert (run.group, run.job_type, run.name) == ("dan_synthetic", "train", "dan_synthetic-seed0")
    assert run.tags == ["small", "test"]
    assert run.exit_code == 0
    assert run.config["paths"]["output_dir"] == str(folder)  # resolved
    assert run.config["trainer"]["max_epochs"] == 2
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for name in ("val/nme_inter_ocular", "val/nme_inter_ocular_stage1", "val/nme_inter_ocular_stage2", "train/loss"):
        expected = [(int(row["step"]), float(row[name])) for row in rows if row[name]]
        assert run.series(name) == [(step, pytest.approx(value, rel=1e-6)) for step, value in expected]
    metrics = json.loads((folder / "metrics.json").read_text())["subsets"]["full"]
    assert run.summary["best/nme_inter_ocular"] == pytest.approx(metrics["nme"])
    assert [step for step, _ in run.series("val/overlays")] == [1, 3]
    for name in ("val/overlays", "best/ced", "best/faces"):
        (picture,) = run.summary[name]["filenames"]
        original = {"val/overlays": "overlays/epoch_0001", "best/ced": "ced", "best/faces": "overlays/faces"}[name]
        assert (cv2.imread(run.folder / "files" / picture) == cv2.imread(folder / f"{original}.png")).all()
    table = json.loads((run.folder / "files" / run.summary["val/nme_per_stage_table"]["path"]).read_text())
    curves = [(row[0], row[1], pytest.approx(row[2])) for row in table["data"]]
    per_stage = [[float(row[f"val/nme_inter_ocular_stage{stage}"] or -1) for row in rows] for stage in (1, 2)]
    assert sorted(map(str, [(0, "stage 1"), (1, "stage 1"), (1, "stage 2")])) == sorted(
        str((epoch, stage)) for epoch, stage, _ in curves
    )
    assert all(per_stage[int(stage[-1]) - 1][epoch] == value for epoch, stage, value in curves)
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    assert {"val/overlays", "best/ced", "best/faces"} <= set(events.Tags()["images"])
    assert [event.step for event in events.Scalars("val/nme_inter_ocular_stage1")] == [1, 3]


@pytest.mark.slow
def test_a_resumed_run_goes_on_in_the_same_wandb_run(run_command, cache, tmp_path, quiet_wandb) -> None:
    """Also when only the checkpoint remembers which."""
    folder = tmp_path / "run"
    assert run_command("train", *SMALL, *OFFLINE, f"paths.cache={cache}", f"hydra.run.dir={folder}") == 0
    run_id = (folder / "wandb_id.txt").read_text()
    (folder / "wandb_id.txt").unlink()
    assert run_command("train", f"resume={folder}", "trainer.max_epochs=2") == 0
    first, second = offline_runs(folder)
    assert first.run_id == second.run_id == run_id
    steps = [step for run in (first, second) for step, _ in run.series("val/nme_inter_ocular")]
    assert steps == [1, 3]  # never back
    table = json.loads((second.folder / "files" / second.summary["val/nme_per_stage_table"]["path"]).read_text())
    assert {row[0] for row in table["data"]} == {0, 1}  # the chart has the epochs before, too


@pytest.mark.slow
@pytest.mark.parametrize("key", [None, "0123456789" * 4])
def test_an_unreachable_server_never_stops_a_training(
    key: str | None, run_command, cache, tmp_path, quiet_wandb, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a key nobody is asked for one, even at a terminal; with one, a closed port is given up soon."""
    monkeypatch.setenv("HOME", str(tmp_path))  # no netrc
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    if key:
        monkeypatch.setenv("WANDB_API_KEY", key)
    else:
        monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked for a key"))
    monkeypatch.setattr("getpass.getpass", lambda *_: pytest.fail("asked for a key"))
    folder = tmp_path / "run"
    arguments = [*SMALL, "logger=many", "logger.wandb.settings.init_timeout=2", f"paths.cache={cache}"]
    assert run_command("train", *arguments, f"hydra.run.dir={folder}") == 0
    text = (folder / "train.log").read_text()
    assert "Weights & Biases is not available (" in text
    assert ("there is no API key" in text) == (key is None)
    (run,) = offline_runs(folder)
    assert run.exit_code == 0
    assert run.series("val/nme_inter_ocular")
    assert (folder / "metrics.csv").is_file()
    assert "WANDB_MODE" not in os.environ
