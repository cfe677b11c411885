"""Sweeps: failures are marked and do not spread, tables tell what happened, and what failed can be run again."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from canthus.runs.jobs import Job

SMALL = [
    "data=synthetic", "trainer=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=1", "model.width=0.05",
    "data.size=30", "data.batch_size=10", "data.resolution=128", "data.validation=0.25", "model.statistics_faces=8",
    "~callbacks.overlays", "~callbacks.progress",
]  # fmt: skip


def sweep(*arguments: object) -> subprocess.CompletedProcess:
    """Run ``canthus-train`` as a process of its own: sweepers and launchers keep global state."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment = {k: v for k, v in environment.items() if k not in ("HYDRA_FULL_ERROR", "PL_GLOBAL_SEED")}
    words = [sys.executable, "-m", "canthus.commands.train", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, env=environment, check=False, timeout=500)


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "sweep.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def statuses(folder: Path) -> list[str]:
    return [row["status"] for row in table(folder)]


@pytest.mark.slow
def test_a_failed_job_is_marked_stops_nothing_and_can_be_run_again(trained: Path, cache: Path, tmp_path: Path) -> None:
    folder, later = tmp_path / "a sweep, with=signs", tmp_path / "later"
    grid = ["-m", *SMALL, f"init_from={later},null", "seed=0,1", f"paths.cache={cache}", f"hydra.sweep.dir='{folder}'"]
    done = sweep(*grid)
    assert done.returncode == 1
    assert statuses(folder) == ["failed", "failed", "finished", "finished"]
    first = Job.read(folder / "0")
    assert first is not None
    assert "later" in (first.error or "")
    assert f"{later}" in (folder / "0" / "train.log").read_text()
    assert f"canthus-train -m sweep.resume={folder}" in done.stdout
    rows = table(folder)
    assert [row["seed"] for row in rows] == ["0", "1", "0", "1"]
    assert all(float(row["val/nme_inter_ocular"]) > 0 for row in rows[2:])
    assert (folder / "sweep.png").stat().st_size > 5000
    untouched = (folder / "3" / "metrics.csv").stat().st_mtime_ns

    shutil.copytree(trained, later)
    shutil.rmtree(folder / "2")  # as if the sweep had been killed before it
    done = sweep("-m", f"sweep.resume={folder}")
    assert done.returncode == 0, done.stderr[-3000:]
    assert statuses(folder) == ["finished"] * 4
    assert done.stdout.count("is finished: not run again") == 1
    assert (folder / "3" / "metrics.csv").stat().st_mtime_ns == untouched
    assert [row["init_from"] for row in table(folder)] == [str(later)] * 2 + ["null"] * 2


@pytest.mark.slow
def test_a_killed_job_goes_on_from_its_checkpoint(cache: Path, tmp_path: Path) -> None:
    arguments = ["-m", *SMALL, "seed=0,1", "trainer.max_epochs=2", f"paths.cache={cache}"]
    assert sweep(*arguments, f"hydra.sweep.dir={tmp_path / 'whole'}").returncode == 0
    folder = shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    job = Job.read(folder / "1")
    assert job is not None
    Job(job.number, job.overrides).write(folder / "1")  # still running, as after kill -9
    record = json.loads((folder / "1" / "provenance.json").read_text())
    (folder / "1" / "provenance.json").write_text(json.dumps(record | {"status": "running"}))
    begin = json.loads((folder / "sweep.json").read_text())["arguments"]
    (folder / "sweep.json").write_text(json.dumps({"arguments": [a.replace("whole", "killed") for a in begin]}))
    done = sweep("-m", f"sweep.resume={folder}")
    assert done.returncode == 0, done.stderr[-3000:]
    record = json.loads((folder / "1" / "provenance.json").read_text())
    assert record["status"] == "finished"
    assert [earlier["status"] for earlier in record["earlier"]] == ["running"]
    assert (folder / "1" / "metrics.csv").read_text() == (tmp_path / "whole/1/metrics.csv").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["seed=5,6"], "a sweep resumes with its own settings"), (["hydra/launcher=basic"], None)],
)
def test_only_the_launcher_may_change(arguments: list[str], words: str | None, tmp_path: Path, monkeypatch) -> None:
    from canthus.commands.sweeps import resumed_arguments
    from canthus.utils.errors import ConfigError

    (tmp_path / "sweep.json").write_text(json.dumps({"arguments": ["-m", "seed=0,1"]}))
    if words:
        with pytest.raises(ConfigError, match=words):
            resumed_arguments(tmp_path, ["-m", *arguments])
    else:
        assert resumed_arguments(tmp_path, ["-m", *arguments])[:3] == ["-m", "seed=0,1", "hydra/launcher=basic"]


def test_a_sweep_is_not_overwritten(run_command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sweep.json").write_text(json.dumps({"arguments": ["-m", "seed=0,1"]}))
    assert run_command("train", "-m", "seed=5,6", f"hydra.sweep.dir={tmp_path}") == 2
    assert f"sweep.resume={tmp_path}" in capsys.readouterr().err


def test_failures_of_other_commands_reach_the_exit_status(run_command, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command("data", "-m", "data=synthetic", "data.size=10", "data.test_parts=[nothing],[]") == 1


def test_resuming_what_is_no_sweep(run_command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("train", "-m", f"sweep.resume={tmp_path}") == 2
    assert "is not a sweep" in capsys.readouterr().err


@pytest.mark.slow
def test_an_optuna_study_forgives_failures_and_goes_on(cache: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    folder = tmp_path / "study"
    study = ["hparams_search=dan_optuna", *SMALL, f"paths.cache={cache}", f"hydra.sweep.dir={folder}"]
    study.remove("data.batch_size=10")
    # a batch of 400 faces cannot be filled, so some trials fail
    space = ["data.batch_size=choice(10,400)", "model.optimizer.lr=interval(0.001,0.002)"]
    done = sweep(*study, *space, "hydra.sweeper.n_trials=5")
    assert {"finished", "failed"} == set(statuses(folder)), done.stderr[-3000:]
    assert done.returncode == 1
    assert "optimization_results.yaml" in {path.name for path in folder.iterdir()}
    finished = statuses(folder).count("finished")
    done = sweep(f"sweep.resume={folder}", f"hydra.sweeper.n_trials={finished + 1}")
    after = table(folder)
    assert [row["job"] for row in after] == [str(number) for number in range(6)], done.stderr[-3000:]
    rates = [row["model.optimizer.lr"] for row in after]
    assert len(set(rates)) == len(rates)  # the sampler did not begin with the same suggestions


def test_the_direction_of_a_study_follows_the_metric(tmp_path: Path) -> None:
    from hydra import compose, initialize_config_dir

    from canthus.commands import checks
    from canthus.utils import files

    checks.register_schemas()
    with initialize_config_dir(files.conf_path(), version_base="1.3"):
        for more, direction, mode in (
            ([], "minimize", "min"),
            (["callbacks.best.monitor=val/auc"], "maximize", "max"),
        ):
            cfg = compose("train", ["hparams_search=dan_optuna", *more], return_hydra_config=True)
            assert (cfg.hydra.sweeper.direction, cfg.callbacks.best.mode) == (direction, mode)


@pytest.mark.slow
def test_parallel_workers_take_a_gpu_each(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four jobs on two workers, as on a machine with two GPUs (which a CPU run never opens)."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    folder = tmp_path / "sweep"
    done = sweep(
        "-m", *SMALL, "seed=0,1,2,3", "hydra/launcher=per_gpu", f"paths.cache={cache}", f"hydra.sweep.dir={folder}"
    )
    assert done.returncode == 0, done.stderr[-3000:]
    jobs = [Job.read(folder / str(number)) for number in range(4)]
    assert {job.gpu for job in jobs if job} == {"0", "1"}
    pinned = {json.loads((folder / str(n) / "provenance.json").read_text())["process"]: jobs[n].gpu for n in range(4)}
    assert len(pinned) == 2
    assert set(pinned.values()) == {"0", "1"}


@pytest.mark.slow
def test_submitit_runs_the_same_jobs(cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    launcher = ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=10"]
    arguments = ["-m", *SMALL, f"init_from=null,{tmp_path}/nothing", *launcher, f"paths.cache={cache}"]
    done = sweep(*arguments, f"hydra.sweep.dir={folder}")
    assert statuses(folder) == ["finished", "failed"], done.stderr[-3000:]
    assert done.returncode == 1
