"""Two processes and one folder: the second is refused and changes nothing, or takes another folder."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from canthus.runs.folders import LOCK, held

SMALL = [
    "data=synthetic", "trainer=cpu", "model.width=0.05", "data.size=60", "data.resolution=128", "data.batch_size=6",
    "data.validation=0.25", "model.statistics_faces=16", "~callbacks.overlays", "callbacks.progress=null",
]  # fmt: skip


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_live_run_is_not_resumed(trained: Path, run_command, capsys: pytest.CaptureFixture[str]) -> None:
    with held(trained):
        before = content(trained)
        assert run_command("train", f"resume={trained}", "trainer.max_epochs=9") == 2
        assert content(trained) == before
        said = capsys.readouterr().err
        assert f"{trained} is in use by" in said
        assert said.strip().endswith("it can be resumed when that has ended")
        assert run_command("train", "data=synthetic", f"hydra.run.dir={trained}") == 2
        assert content(trained) == before
        assert "wait for its end, or name another hydra.run.dir" in capsys.readouterr().err


def test_a_training_is_not_written_over(trained: Path, run_command, capsys: pytest.CaptureFixture[str]) -> None:
    before = content(trained)
    assert run_command("train", "data=synthetic", f"hydra.run.dir={trained}") == 2
    assert f"holds a run already; go on with it by resume={trained}" in capsys.readouterr().err
    assert run_command("evaluate", f"run={trained}", f"output={trained}") == 2
    assert "whose records would be lost" in capsys.readouterr().err
    assert content(trained) == before


def test_a_sweep_is_one_process_too(run_command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with held(tmp_path):
        assert run_command("train", "-m", "seed=0,1", f"hydra.sweep.dir={tmp_path}") == 2
        assert "is in use by" in capsys.readouterr().err
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]


def test_jobs_of_a_sweep_of_evaluations_have_folders_of_their_own(
    trained: Path, run_command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = set((trained / "evaluation").glob("*"))
    assert run_command("evaluate", "-m", f"run={trained}", "checkpoint=best,last", "overlays=0") == 0
    made = set((trained / "evaluation").glob("*")) - before
    configs = [(folder / "config.yaml").read_text() for folder in made]
    assert sorted(("checkpoint: best" in text, "checkpoint: last" in text) for text in configs) == [
        (False, True),
        (True, False),
    ]
    assert all((folder / "metrics.json").is_file() for folder in made)


def start(command: str, *arguments: object) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", f"canthus.commands.{command}", *map(str, arguments)]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_three_trainings_into_one_folder(cache: Path, tmp_path: Path) -> None:
    """One trains; the others are told of it, and leave no trace."""
    folder = tmp_path / "run"
    settings = [*SMALL, "trainer.max_epochs=2", f"paths.cache={cache}", f"hydra.run.dir={folder}"]
    trainings = [start("train", *settings, f"seed={seed}") for seed in range(3)]
    said = [training.communicate(timeout=600)[1] for training in trainings]
    assert sorted(training.returncode for training in trainings) == [0, 2, 2]
    winner = next(seed for seed, training in enumerate(trainings) if training.returncode == 0)
    for seed in set(range(3)) - {winner}:
        assert f"is in use by train.py, process {trainings[winner].pid} on this machine" in said[seed]
        assert "Traceback" not in said[seed]
    record = json.loads((folder / "provenance.json").read_text())
    assert (record["seed"], record["status"], record["earlier"]) == (winner, "finished", [])
    assert f"seed={winner}" in (folder / ".hydra/overrides.yaml").read_text()
    assert (folder / "metrics.csv").read_text().count("\n") == 3
    assert not (folder / LOCK).exists()


@pytest.mark.slow
def test_a_live_run_is_refused_and_a_killed_one_goes_on(cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    # with workers, which a kill leaves behind for some seconds
    settings = [*SMALL, "trainer.max_epochs=40", "data.num_workers=1", f"paths.cache={cache}"]
    training = start("train", *settings, f"hydra.run.dir={folder}")
    end = time.monotonic() + 300
    while not (folder / "checkpoints/last.ckpt").exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    second = start("train", f"resume={folder}")
    assert f"process {training.pid} on this machine" in second.communicate(timeout=300)[1]
    assert second.returncode == 2
    assert training.poll() is None
    training.send_signal(signal.SIGKILL)
    training.communicate()
    assert (folder / LOCK).exists()
    done = (folder / "metrics.csv").read_text().count("\n") - 1
    third = start("train", f"resume={folder}", f"trainer.max_epochs={done + 2}")
    said = third.communicate(timeout=600)[1]
    assert third.returncode == 0, said[-3000:]
    record = json.loads((folder / "provenance.json").read_text())
    assert (record["status"], [before["status"] for before in record["earlier"]]) == ("finished", ["running"])


@pytest.mark.slow
def test_evaluations_in_the_same_second(trained: Path, tmp_path: Path) -> None:
    before = set((trained / "evaluation").glob("*"))
    evaluations = [start("evaluate", f"run={trained}", f"overlays={number}") for number in range(4)]
    said = [evaluation.communicate(timeout=600)[1] for evaluation in evaluations]
    assert [evaluation.returncode for evaluation in evaluations] == [0] * 4, said
    made = sorted(set((trained / "evaluation").glob("*")) - before)
    assert len(made) == 4
    shown = sorted((folder / "config.yaml").read_text().partition("overlays: ")[2][0] for folder in made)
    assert shown == ["0", "1", "2", "3"]
    assert all((folder / "metrics.json").is_file() for folder in made)
