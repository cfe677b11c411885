"""Two processes: the same figures as one, and the same hyper-parameters on both, also inside a sweep."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SETTINGS = [
    "data=synthetic", "trainer=ddp_sim", "trainer.max_epochs=2", "model.width=0.05", "data.size=60",
    "data.resolution=128", "data.batch_size=12", "data.validation=0.25", "model.statistics_faces=32",
]  # fmt: skip


def command(module: str, *arguments: object) -> subprocess.CompletedProcess:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}
    environment = {name: value for name, value in environment.items() if name != "PL_GLOBAL_SEED"}
    words = [sys.executable, "-m", f"canthus.commands.{module}", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, env=environment, check=False, timeout=300)


def test_evaluation_is_the_same_on_one_and_two_processes(trained: Path, tmp_path: Path) -> None:
    """15 faces do not divide by 2: padding would count one twice."""
    for name, trainer in (("one", "cpu"), ("two", "ddp_sim")):
        done = command("evaluate", f"run={trained}", f"trainer={trainer}", f"output={tmp_path / name}")
        assert done.returncode == 0, done.stderr[-2000:]
    one, two = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "two"))
    assert one["subsets"]["full"]["faces"] == 15
    for name, subset in one["subsets"].items():
        for key, value in subset.items():
            assert two["subsets"][name][key] == pytest.approx(value, abs=1e-4), (name, key)


@pytest.mark.slow
def test_corrupted_faces_are_the_same_on_one_and_two_processes(trained: Path, tmp_path: Path) -> None:
    """Every process must meet the corruptions of its own faces; after each pass the processes go on together."""
    found = []
    for name, trainer in (("one", "cpu"), ("two", "ddp_sim")):
        words = [f"run={trained}", f"trainer={trainer}", "corruptions=[occlusion]", f"output={tmp_path / name}"]
        done = command("evaluate", *words)
        assert done.returncode == 0, done.stderr[-2000:]
        found.append(json.loads((tmp_path / name / "corruptions.json").read_text())["corruptions"]["occlusion"])
    one, two = (entry["severities"] for entry in found)
    for severity, level in one.items():
        assert two[severity]["subsets"]["full"]["nme"] == pytest.approx(level["subsets"]["full"]["nme"], abs=1e-4)
        assert two[severity]["nme_covered"] == pytest.approx(level["nme_covered"], abs=1e-4)


def ranks_of(folder: Path, others: str = "train_ddp_process_1.log") -> list[tuple[str, str]]:
    """Learning rate and rank that each process of a job wrote into its log."""
    logs = [folder / "train.log", folder / others]
    return [found for log in logs for found in re.findall(r"learning rate ([0-9.e-]+), rank (\d)", log.read_text())]


@pytest.mark.slow
def test_a_study_on_two_processes(cache: Path, tmp_path: Path) -> None:
    """Each process with a sampler of its own would train another learning rate, and average the gradients."""
    pytest.importorskip("optuna")
    study = ["hparams_search=dan_optuna", "hydra.sweeper.n_trials=2", "hydra.sweeper.sampler.seed=null"]
    settings = [*SETTINGS, "trainer.max_epochs=1", f"paths.cache={cache}", f"hydra.sweep.dir={tmp_path}"]
    done = command("train", *study, *settings)
    assert done.returncode == 0, done.stderr[-2000:]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["0", "1"]
    rates = set()
    for job in ("0", "1"):
        (first, zero), (second, one) = ranks_of(tmp_path / job)
        assert (zero, one) == ("0", "1")
        assert first == second
        rates.add(first)
    assert len(rates) == 2


@pytest.mark.slow
def test_torchrun_processes_agree_on_a_folder(cache: Path, tmp_path: Path) -> None:
    arguments = [*SETTINGS, "trainer.max_epochs=1", f"paths.cache={cache}", f"paths.log_dir={tmp_path}"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [*torchrun, "-m", "canthus.commands.train", *arguments]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    (folder,) = (tmp_path / "dan_synthetic" / "runs").iterdir()
    assert ranks_of(folder, "train_rank_1.log") == [("0.001", "0"), ("0.001", "1")]
    assert json.loads((folder / "provenance.json").read_text())["status"] == "finished"


@pytest.mark.slow
def test_slurm_tasks_share_the_folder_of_their_job(cache: Path, tmp_path: Path) -> None:
    """Two processes with the environment that srun gives them."""
    arguments = [*SETTINGS, "trainer.max_epochs=1", f"paths.cache={cache}", f"paths.log_dir={tmp_path}"]
    slurm = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2"}
    slurm |= {"SLURM_JOB_NAME": "train", "SLURM_NODEID": "0", "SLURM_NODELIST": "localhost", "OMP_NUM_THREADS": "1"}
    slurm |= {"MASTER_ADDR": "127.0.0.1"}
    tasks = [
        subprocess.Popen(
            [sys.executable, "-m", "canthus.commands.train", *arguments],
            env={**os.environ, **slurm, "SLURM_PROCID": rank, "SLURM_LOCALID": rank},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        for rank in ("0", "1")
    ]
    errors = [task.communicate(timeout=300)[1] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], errors[0][-2000:]
    folder = tmp_path / "dan_synthetic" / "runs" / "slurm-7-0"
    assert ranks_of(folder, "train_rank_1.log") == [("0.001", "0"), ("0.001", "1")]


def test_a_sweep_under_torchrun_is_refused(run_command, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setattr("canthus.utils.processes.started", lambda: "now")
    assert run_command("train", "-m", "seed=0,1") == 2
    assert "-m under torchrun: every process would sweep by itself" in capsys.readouterr().err


@pytest.mark.slow
def test_resume_on_two_processes(cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a run"
    arguments = [*SETTINGS, f"paths.cache={cache}"]
    assert command("train", *arguments, "trainer.max_epochs=1", f"hydra.run.dir='{folder}'").returncode == 0
    done = command("train", f"resume={folder}", "trainer.max_epochs=2")
    assert done.returncode == 0, done.stderr[-2000:]
    with (folder / "metrics.csv").open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1"]


@pytest.mark.slow
def test_a_sweep_of_two_jobs_on_two_processes(cache: Path, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    done = command(
        "train", "-m", *SETTINGS, "model.optimizer.lr=0.001,0.002", f"paths.cache={cache}", f"hydra.sweep.dir={sweep}"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert sorted(path.name for path in sweep.iterdir() if path.is_dir()) == ["0", "1"]
    for job, rate in (("0", "0.001"), ("1", "0.002")):
        folder = sweep / job
        logs = sorted(folder.glob("train*.log"))
        assert [log.name for log in logs] == ["train.log", "train_ddp_process_1.log"]
        seen = [re.findall(r"learning rate ([0-9.]+), rank (\d)", log.read_text()) for log in logs]
        assert seen == [[(rate, "0")], [(rate, "1")]]
        with (folder / "metrics.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [float(row["train/lr"]) for row in rows] == pytest.approx([float(rate)] * 2)
        assert json.loads((folder / "provenance.json").read_text())["status"] == "finished"


@pytest.mark.slow
def test_a_detector_on_two_processes(small_300w: Path, tmp_path: Path) -> None:
    """Every process searches its own images for hard examples; all learn from what all have found."""
    folder, cache = tmp_path / "run", f"paths.cache={tmp_path / 'cache'}"
    settings = [
        "experiment=mtcnn_cpu", "trainer=ddp_sim", f"data.root={small_300w}", "trainer.max_epochs=3", "data.scenes=6",
        "data.batch_size=4", "data.landmark_faces=4", "data.validation=0.4", "model.candidates=20",
        "trainer.check_val_every_n_epoch=1", "model.thresholds=[0.3,0.01,0.01]", cache, f"hydra.run.dir={folder}",
    ]  # fmt: skip
    done = command("train", *settings)
    assert done.returncode == 0, done.stderr[-3000:]
    mined = [re.findall(r"(\d+) boxes of earlier networks", path.read_text()) for path in sorted(folder.glob("*.log"))]
    assert len(mined) == 2
    assert mined[0] == mined[1]
    assert len(mined[0]) == 2  # for R-Net, and for O-Net
    for name, trainer in (("one", "cpu"), ("two", "ddp_sim")):
        words = [f"run={folder}", "checkpoint=last", f"trainer={trainer}", f"output={tmp_path / name}", cache]
        done = command("evaluate", *words)
        assert done.returncode == 0, done.stderr[-3000:]
    one, two = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "two"))
    assert one["detection"]["images"] == two["detection"]["images"] > 2
    assert one["detection"]["boxes_per_stage"][0] > 0
    for name, value in one["detection"].items():
        assert two["detection"][name] == pytest.approx(value, abs=1e-4), name
    for key, value in one["subsets"]["full"].items():
        assert two["subsets"]["full"][key] == pytest.approx(value, abs=1e-3), key
