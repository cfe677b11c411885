"""A run that was killed and resumed ends with the weights of one that was not."""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from canthus.runs.relocation import relocated

SETTINGS = [
    "data=synthetic", "trainer=cpu", "trainer.max_epochs=6", "model.width=0.05", "data.size=60",
    "data.resolution=128", "data.batch_size=6", "data.validation=0.25", "model.statistics_faces=32",
    "trainer.deterministic=true", "callbacks.overlays.every_n_epochs=100",
]  # fmt: skip


STATEFUL = [
    "model.scheduler={_target_:torch.optim.lr_scheduler.OneCycleLR,_partial_:true,max_lr:0.002}",
    "trainer.precision=bf16-mixed",
    "trainer.accumulate_grad_batches=2",
    "+callbacks.average={_target_:lightning.pytorch.callbacks.EMAWeightAveraging,decay:0.9}",
]
"""A schedule that moves every step, low precision, gradients over two batches, and weights of a callback."""


def record(folder: Path) -> dict:
    return json.loads((folder / "provenance.json").read_text())


def last_epoch(folder: Path) -> int | None:
    from canthus.runs import faults

    return faults.last_epoch(folder / "checkpoints/last.ckpt")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]


def start(cache: Path, folder: Path, *more: str) -> subprocess.Popen:
    command = [
        sys.executable,
        "-m",
        "canthus.commands.train",
        *SETTINGS,
        f"paths.cache={cache}",
        f"hydra.run.dir={folder}",
        *more,
    ]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def wait_for_epoch(folder: Path, epoch: int, limit: float = 120) -> None:
    """Return as soon as metrics.csv has a row of the epoch."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        file = folder / "metrics.csv"
        if file.exists() and any(line.startswith(f"{epoch},") for line in file.read_text().splitlines()):
            return
        time.sleep(0.02)
    raise TimeoutError(f"epoch {epoch} was not reached")


def wait_for(file: Path, limit: float = 600) -> None:
    end = time.monotonic() + limit
    while not file.exists():
        assert time.monotonic() < end, f"{file} did not come"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def whole(run_command, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert run_command("train", *SETTINGS, f"paths.cache={cache}", f"hydra.run.dir={folder}") == 0
    return folder


def assert_equal_runs(folder: Path, whole: Path) -> None:
    resumed, expected = weights(folder), weights(whole)
    assert resumed.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(value, resumed[name]), name
    assert (folder / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()
    assert record(folder)["status"] == "finished"
    assert json.loads((folder / "metrics.json").read_text()) == json.loads((whole / "metrics.json").read_text())


@pytest.mark.parametrize("epoch", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(4, marks=pytest.mark.slow)])
def test_kill_and_resume(epoch: int, whole: Path, run_command, cache: Path, tmp_path: Path) -> None:
    """Killed inside the first stage, at the change of stages and inside the second."""
    folder = tmp_path / "run"
    process = start(cache, folder)
    wait_for_epoch(folder, epoch)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert record(folder)["status"] == "running"
    assert run_command("train", f"resume={folder}") == 0
    assert_equal_runs(folder, whole)
    assert [earlier["status"] for earlier in record(folder)["earlier"]] == ["running"]


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["half", "after"])
def test_kill_while_a_checkpoint_is_written(moment: str, whole: Path, run_command, cache: Path, tmp_path: Path) -> None:
    """Half-way, and when it has taken its place but the epoch is not logged yet."""
    folder = tmp_path / "run"
    start(cache, folder, f"+callbacks.bomb={{_target_:tests.helpers.bombs.Kill,epoch:3,moment:{moment}}}").wait()
    assert record(folder)["status"] == "running"
    assert len(list((folder / "checkpoints").glob(".last.*"))) == (moment == "half")
    assert torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["epoch"] == (2 if moment == "half" else 3)
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("epoch: 3", "epoch: 99"))
    assert run_command("train", f"resume={folder}", "trust=true") == 0
    assert_equal_runs(folder, whole)
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]


@pytest.fixture(scope="module")
def whole_stateful(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The undisturbed run, and how many seconds it took once its folder had begun."""
    parent = tmp_path_factory.mktemp("stateful")
    seconds = 0.0
    for name in ("warm", "whole"):  # the first fills the store, as the killed ones find it
        process = start(cache, parent / name, *STATEFUL)
        wait_for(parent / name / "config.yaml")
        begin = time.monotonic()
        assert process.wait() == 0
        seconds = time.monotonic() - begin
    return parent / "whole", seconds


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("number", range(10))
def test_ten_random_moments(
    number: int, whole_stateful: tuple[Path, float], run_command, cache: Path, tmp_path: Path
) -> None:
    """Ten of ten, spread over preparation, both stages and the evaluation, with everything that has a state."""
    whole, seconds = whole_stateful
    share = (number + random.Random(number).random()) / 10
    for attempt in range(20):
        folder = tmp_path / f"run{attempt}"
        process = start(cache, folder, *STATEFUL)
        wait_for(folder / "config.yaml")
        time.sleep(seconds * share)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if record(folder)["status"] == "running":
            break
        seconds = record(folder)["seconds"] * 0.9**attempt  # the machine was quicker this time
    rows = (folder / "metrics.csv").read_text().count("\n") - 1 if (folder / "metrics.csv").exists() else 0
    print(f"killed after {seconds * share:.1f} s of {seconds:.1f}: {rows} rows, last.ckpt of", last_epoch(folder))
    assert run_command("train", f"resume={folder}", "trust=true") == 0
    assert_equal_runs(folder, whole)
    assert [earlier["status"] for earlier in record(folder)["earlier"]] == ["running"]


def test_a_run_killed_before_it_began_names_the_command(run_command, tmp_path: Path, capsys) -> None:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra/overrides.yaml").write_text("- data=w300\n- data.test_parts=[helen/testset]\n")
    assert run_command("train", f"resume={tmp_path}") == 2
    said = capsys.readouterr().err
    assert f"canthus-train data=w300 'data.test_parts=[helen/testset]' hydra.run.dir={tmp_path}" in said


def test_a_moved_run_keeps_its_best_score(whole: Path, run_command, tmp_path: Path) -> None:
    folder = shutil.copytree(whole, tmp_path / "moved")
    assert run_command("train", f"resume={folder}", "trainer.max_epochs=7", "trainer.limit_train_batches=1") == 2
    assert run_command("train", f"resume={folder}", "trainer.max_epochs=7") == 0
    with (folder / "metrics.csv").open(newline="") as file:
        errors = [float(row["val/nme_inter_ocular"]) for row in csv.DictReader(file)]
    assert errors.index(min(errors)) != 6, "the last epoch must not be the best, or this shows nothing"
    state = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["callbacks"]
    best = next(value for key, value in state.items() if "monitor': 'val" in key)
    assert float(best["best_model_score"]) == pytest.approx(min(errors), rel=1e-6)
    assert best["best_model_path"] == str(folder / "checkpoints/best.ckpt")
    kept = torch.load(folder / "checkpoints/best.ckpt", weights_only=True)
    assert kept["epoch"] == errors.index(min(errors))


def test_a_longer_training_is_allowed_and_explained(whole: Path, run_command, tmp_path: Path) -> None:
    folder = shutil.copytree(whole, tmp_path / "moved")
    assert run_command("train", f"resume={folder}") == 2
    assert "has finished its 6 epochs; to go on, add trainer.max_epochs=N" in (folder / "train.log").read_text()
    assert run_command("train", f"resume={folder}", "trainer.max_epochs=7") == 0
    assert "trainer.max_epochs changes from 6 to 7" in (folder / "train.log").read_text()
    assert torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["epoch"] == 6
    assert json.loads((whole / "metrics.json").read_text())  # the original was not written to


def test_a_damaged_checkpoint_names_the_newest_intact_one(whole: Path, run_command, tmp_path: Path) -> None:
    folder = shutil.copytree(whole, tmp_path / "damaged")
    last = folder / "checkpoints/last.ckpt"
    os.truncate(last, last.stat().st_size // 2)
    assert run_command("train", f"resume={folder}", "trainer.max_epochs=9") == 2
    text = (folder / "train.log").read_text()
    assert "last.ckpt cannot be loaded safely" in text
    assert "newest intact checkpoint is" in text
    assert "best.ckpt" in text


LONG = "a folder with blanks, 'quotes' and a name that YAML breaks into several lines " + "because it is so long " * 4


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_copy_goes_on_in_its_own_folder(whole: Path, run_command, tmp_path: Path) -> None:
    """And so does a run whose folder was moved; the original is not touched."""
    original = shutil.copytree(whole, tmp_path / LONG / "run")
    saved = OmegaConf.to_container(OmegaConf.load(whole / "config.yaml"))
    OmegaConf.save(OmegaConf.create(relocated(saved, original)), original / "config.yaml")  # as if trained there
    copy = shutil.copytree(original, tmp_path / "copies" / f"copy of {LONG}")
    before = content(original)
    assert run_command("train", f"resume={copy}", "trainer.max_epochs=7") == 0
    assert content(original) == before
    assert last_epoch(copy) == 6
    assert (copy / "metrics.csv").read_text().count("\n") == 8
    assert str(original) not in json.dumps(OmegaConf.to_container(OmegaConf.load(copy / "config.yaml")))
    moved = original.rename(tmp_path / "moved")
    assert run_command("train", f"resume={moved}", "trainer.max_epochs=7") == 0
    assert (last_epoch(moved), original.exists()) == (6, False)


def test_words_that_have_no_place_beside_resume(whole: Path, run_command, tmp_path: Path, capsys) -> None:
    for word, message in (
        ("-m", "resume= goes on with one run"),
        (f"hydra.run.dir={tmp_path}", "a run goes on in its own folder"),
        (f"resume={tmp_path}", "one run at a time"),
    ):
        assert run_command("train", f"resume={whole}", word, "trainer.max_epochs=9") == 2
        assert message in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_that_stopped_early_is_finished(run_command, cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    stopping = "lightning.pytorch.callbacks.EarlyStopping,monitor:val/nme_inter_ocular,mode:min,patience:1"
    words = [*SETTINGS, f"+callbacks.stopping={{_target_:{stopping},min_delta:1000}}", f"paths.cache={cache}"]
    assert run_command("train", *words, f"hydra.run.dir={folder}") == 0
    rows = (folder / "metrics.csv").read_text()
    assert (last_epoch(folder), record(folder)["status"]) == (1, "finished")
    assert run_command("train", f"resume={folder}", "trust=true") == 2
    said = (folder / "train.log").read_text()
    assert (
        "has finished its 2 epochs of 6, and was stopped early; to go on, add trainer.max_epochs=N with N > 6" in said
    )
    # killed while it evaluated: nothing is trained, the rest is made
    metrics = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").unlink()
    (folder / "provenance.json").write_text(json.dumps(record(folder) | {"status": "running"}))
    assert run_command("train", f"resume={folder}", "trust=true") == 0
    assert (last_epoch(folder), (folder / "metrics.csv").read_text()) == (1, rows)
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    assert run_command("train", f"resume={folder}", "trust=true", "trainer.max_epochs=7") == 0
    assert last_epoch(folder) == 2


def test_only_the_length_may_change(whole: Path, run_command, tmp_path: Path) -> None:
    folder = shutil.copytree(whole, tmp_path / "changed")
    assert run_command("train", f"resume={folder}", "trainer.max_epochs=9", "data.batch_size=12") == 2
    assert "data.batch_size was 6 and is now 12" in (folder / "train.log").read_text()


def test_resume_of_nothing(run_command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("train", f"resume={tmp_path}") == 2
    assert "is not a run folder" in capsys.readouterr().err
