"""Runs that something stops: what is left, what the user is told, and that they go on."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from canthus.callbacks.checkpoint import CheckpointFiles
from canthus.runs.faults import last_epoch

SETTINGS = [
    "data=synthetic", "trainer=cpu", "trainer.max_epochs=4", "model.width=0.05", "data.size=40", "data.resolution=128",
    "data.batch_size=10", "data.validation=0.25", "model.statistics_faces=16", "callbacks.overlays.every_n_epochs=100",
]  # fmt: skip
MEGABYTE = 1 << 20


def bomb(name: str, **arguments: object) -> str:
    inside = ",".join(f"{key}:{value}" for key, value in arguments.items())
    return f"+callbacks.bomb={{_target_:tests.helpers.bombs.{name},{inside}}}"


def record(folder: Path) -> dict:
    return json.loads((folder / "provenance.json").read_text())


def in_a_process(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "canthus.commands.train", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        # a shell that runs the tests in the background hands down that Ctrl-C is to be ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("gpu", "out of memory (CUDA out of memory)"),
        ("host", "out of memory (DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
    ],
)
def test_out_of_memory(kind: str, words: str, run_command, cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    arguments = [*SETTINGS, f"paths.cache={cache}", f"hydra.run.dir={folder}", bomb("Fault", epoch=2, kind=kind)]
    assert run_command("train", *arguments) == 1
    text = (folder / "train.log").read_text()
    assert words in text
    assert "trainer.accumulate_grad_batches=2" in text
    assert f"last.ckpt is intact (epoch 1): canthus-train resume={folder} goes on from it" in text
    assert "Traceback" not in text
    assert record(folder)["status"].startswith("failed: ")
    assert record(folder)["exit_status"] == 1
    assert last_epoch(folder / "checkpoints/last.ckpt") == 1


def test_the_remedy_for_too_little_memory_works(run_command, cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    arguments = [*SETTINGS, f"paths.cache={cache}", f"hydra.run.dir={folder}"]
    assert run_command("train", *arguments, bomb("Fault", epoch=2, kind="gpu")) == 1
    # the bomb is part of the run; only its moment can pass
    config = (folder / "config.yaml").read_text().replace("epoch: 2", "epoch: 99")
    (folder / "config.yaml").write_text(config)
    assert run_command("train", f"resume={folder}", "trust=true", "trainer.accumulate_grad_batches=2") == 0
    assert "trainer.accumulate_grad_batches changes from None to 2" in (folder / "train.log").read_text()
    assert last_epoch(folder / "checkpoints/last.ckpt") == 3
    assert (
        run_command("train", f"resume={folder}", "trust=true", "trainer.gradient_clip_val=1", "trainer.max_epochs=5")
        == 2
    )
    assert "trainer.gradient_clip_val was None and is now 1" in (folder / "train.log").read_text()


@pytest.mark.parametrize(
    ("kind", "epoch", "status", "ended", "words"),
    [
        pytest.param(
            "SIGTERM",
            1,
            143,
            "terminated (SIGTERM)",
            "stopped by SIGTERM; last.ckpt is intact (epoch 0)",
            marks=pytest.mark.slow,
        ),
        ("SIGTERM", -1, 143, "terminated (SIGTERM)", "stopped by SIGTERM; last.ckpt is intact (epoch 1)"),
        pytest.param(
            "SIGINT",
            0,
            130,
            "interrupted",
            "stopped by Ctrl-C; no epoch was finished: canthus-train resume=",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_signals(
    kind: str, epoch: int, status: int, ended: str, words: str, run_command, cache: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    settings = [*SETTINGS, "trainer.max_epochs=2", f"paths.cache={cache}", f"hydra.run.dir={folder}"]
    done = in_a_process(*settings, bomb("Fault", epoch=epoch, kind=kind))
    assert done.returncode == status
    assert (record(folder)["status"], record(folder)["exit_status"]) == (ended, status)
    assert words in (folder / "train.log").read_text()
    assert "Traceback" not in done.stdout + done.stderr
    if epoch != 1:  # what the message promises
        (folder / "config.yaml").write_text((folder / "config.yaml").read_text().replace(f"epoch: {epoch}", "epoch: 9"))
        assert run_command("train", f"resume={folder}", "trust=true") == 0
        assert record(folder)["status"] == "finished"
        assert last_epoch(folder / "checkpoints/last.ckpt") == 1
        assert (folder / "metrics.json").is_file()


def test_an_unforeseen_error_also_says_how_to_go_on(run_command, cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    arguments = [*SETTINGS, f"paths.cache={cache}", f"hydra.run.dir={folder}", bomb("Fault", epoch=1, kind="bug")]
    assert run_command("train", *arguments) == 1
    text = (folder / "train.log").read_text()
    assert "KeyError: 'a mistake in a model'; once that is mended, last.ckpt is intact (epoch 0)" in text


def test_what_lightning_refuses_is_one_message(run_command, tmp_path: Path, capsys) -> None:
    absent = "mps" if torch.cuda.is_available() else "gpu"
    assert run_command("train", *SETTINGS, f"trainer.accelerator={absent}", f"hydra.run.dir={tmp_path}") == 2
    output = capsys.readouterr()
    assert "Traceback" not in output.out + output.err
    assert (tmp_path / "train.log").read_text().count("ERROR") == 1
    assert record(tmp_path)["exit_status"] == 2


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
def test_a_full_disk_while_saving(run_command, cache: Path, small_disk) -> None:
    folder = small_disk(24 << 10) / "run"  # two checkpoints of 9.4 MB, but not a third beside them
    assert run_command("train", *SETTINGS, f"paths.cache={cache}", f"hydra.run.dir={folder}") == 1
    text = (folder / "train.log").read_text()
    assert "Traceback" not in text
    assert "MB too little. Free some space; last.ckpt is intact (epoch 0): canthus-train resume=" in text
    assert last_epoch(folder / "checkpoints/last.ckpt") == 0
    assert record(folder)["status"].startswith("failed: OSError: [Errno 28] the disk is full")
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
    small_disk(64 << 10, "remount")
    assert run_command("train", f"resume={folder}", "trust=true") == 0
    assert last_epoch(folder / "checkpoints/last.ckpt") == 3


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
def test_a_disk_without_a_byte_left(run_command, cache: Path, small_disk, capsys) -> None:
    folder = small_disk(64 << 10) / "run"
    arguments = [*SETTINGS, f"paths.cache={cache}", f"hydra.run.dir={folder}", bomb("Fault", epoch=2, kind="full")]
    assert run_command("train", *arguments) == 1
    output = capsys.readouterr()
    said = output.out + output.err
    assert "Traceback" not in said
    assert "Logging error" not in said
    assert "Free some space; last.ckpt is intact (epoch 1)" in said
    assert last_epoch(folder / "checkpoints/last.ckpt") == 1
    assert record(folder)["status"].startswith("failed: OSError: [Errno 28]")
    (folder / "filler").unlink()
    (folder / "config.yaml").write_text((folder / "config.yaml").read_text().replace("epoch: 2", "epoch: 9"))
    assert run_command("train", f"resume={folder}", "trust=true") == 0


def test_a_checkpoint_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the old one: a temporary folder on another file system would mean to copy over it."""
    path = tmp_path / "last.ckpt"
    files = CheckpointFiles()
    files.save_checkpoint({"epoch": 0, "weights": torch.arange(9.0)}, path)
    moved = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda source, target: (moved.append(Path(source)), replace(source, target)))
    files.save_checkpoint({"epoch": 1, "weights": torch.arange(9.0)}, path)
    assert [source.parent for source in moved] == [tmp_path]
    assert torch.load(path, weights_only=True)["weights"].tolist() == list(range(9))
    files.remove_checkpoint(path)
    assert list(tmp_path.iterdir()) == []
