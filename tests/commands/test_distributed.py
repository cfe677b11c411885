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
    words = [sys.executable, "-m", f"canthus.{module}", *map(str, arguments)]
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
