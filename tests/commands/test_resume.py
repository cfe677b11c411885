"""A run that was killed and resumed ends with the weights of one that was not."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

SETTINGS = [
    "data=synthetic", "trainer=cpu", "trainer.max_epochs=6", "model.width=0.05", "data.size=60",
    "data.resolution=128", "data.batch_size=6", "data.validation=0.25", "model.statistics_faces=32",
    "trainer.deterministic=true", "callbacks.overlays.every_n_epochs=100",
]  # fmt: skip


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]


def start(cache: Path, folder: Path, *more: str) -> subprocess.Popen:
    command = [
        sys.executable,
        "-m",
        "canthus.train",
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


@pytest.fixture(scope="module")
def whole(run_command, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert run_command("train", *SETTINGS, f"paths.cache={cache}", f"hydra.run.dir={folder}") == 0
    return folder


@pytest.mark.parametrize("epoch", [1, 2, 4])
def test_kill_and_resume(epoch: int, whole: Path, run_command, cache: Path, tmp_path: Path) -> None:
    """Killed inside the first stage, at the change of stages and inside the second."""
    folder = tmp_path / "run"
    process = start(cache, folder)
    wait_for_epoch(folder, epoch)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert json.loads((folder / "provenance.json").read_text())["status"] == "running"
    assert run_command("train", f"resume={folder}") == 0
    resumed, expected = weights(folder), weights(whole)
    for name, value in expected.items():
        assert torch.equal(value, resumed[name]), name
    assert (folder / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()
    record = json.loads((folder / "provenance.json").read_text())
    assert record["status"] == "finished"
    assert [earlier["status"] for earlier in record["earlier"]] == ["running"]


def test_sigterm_leaves_a_checkpoint_and_says_so(run_command, cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start(cache, folder, "trainer.max_epochs=500")
    wait_for_epoch(folder, 1)
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=60)
    assert json.loads((folder / "provenance.json").read_text())["status"] == "terminated (SIGTERM)"
    assert weights(folder)


def test_a_longer_training_is_allowed_and_explained(whole: Path, run_command, tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(whole, tmp_path / "moved")
    assert run_command("train", f"resume={folder}") == 2
    assert "has finished its 6 epochs; to go on, add trainer.max_epochs=N" in (folder / "train.log").read_text()
    assert run_command("train", f"resume={folder}", "trainer.max_epochs=7") == 0
    assert "trainer.max_epochs changes from 6 to 7" in (folder / "train.log").read_text()
    assert torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["epoch"] == 6
    assert json.loads((whole / "metrics.json").read_text())  # the original was not written to


def test_a_damaged_checkpoint_names_the_newest_intact_one(whole: Path, run_command, tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(whole, tmp_path / "damaged")
    last = folder / "checkpoints/last.ckpt"
    os.truncate(last, last.stat().st_size // 2)
    assert run_command("train", f"resume={folder}", "trainer.max_epochs=9") == 2
    text = (folder / "train.log").read_text()
    assert "last.ckpt cannot be loaded safely" in text
    assert "newest intact checkpoint is" in text
    assert "best.ckpt" in text


def test_only_the_length_may_change(whole: Path, run_command, tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(whole, tmp_path / "changed")
    assert run_command("train", f"resume={folder}", "trainer.max_epochs=9", "data.batch_size=12") == 2
    assert "data.batch_size was 6 and is now 12" in (folder / "train.log").read_text()


def test_resume_of_nothing(run_command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("train", f"resume={tmp_path}") == 2
    assert "is not a run folder" in capsys.readouterr().err
