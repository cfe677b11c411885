"""One command for all benchmarks: what it calls, and the one table that it makes of their results."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from tests.helpers.places import REPOSITORY

FOLDER = REPOSITORY / "benchmarks"


@pytest.fixture
def run_all(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CANTHUS_DATA", raising=False)
    spec = importlib.util.spec_from_file_location("run_all", FOLDER / "run_all.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "run_all", module)  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


RESULTS = {
    "data_path": [
        {"size": 112, "enlarged": False, "loader": "field", "median": 12.0},
        {"size": 112, "enlarged": False, "loader": "canthus + heat maps on the CPU", "median": 3.0},
        {"size": 112, "enlarged": True, "loader": "canthus + heat maps on the CPU", "median": 4.0},
        {"size": 112, "enlarged": True, "loader": "field", "median": 2.0},
    ],
    "reading": [{"labels": "csv", "faces": 100, "seconds": [0.5, 0.25, 1.0]}],
    "loop": [{"loop": "canthus", "overhead": {"cpu": 4.0, "wall": 9.0}, "bare": {"cpu": [99.0, 10.0, 10.0]}}],
    "steps": {
        "dan_cpu, idle": {"as the system has it": [{"cpu": 20.0, "wall": 9.0}], "canthus": [{"cpu": 10.0, "wall": 9.0}]}
    },
    "patches": {"32 patches": {"canthus": [2.0, 1.0, 3.0], "loop": [5.0, 5.0, 4.0]}},
    "maps": {"maps": {"canthus": [1.0], "loop": [0.5]}},
    "latency": {"batch 1": {"facepose": [2.0], "dan": [8.0]}},
    "start": {"a first prediction": {"import torch": [2.0], "predict": [4.0]}},
    "prediction": {"24 images": {"image by image": [8.0], "together": [4.0]}},
    "report": [{"runs": 300, "faces": 689, "seeds": 1, "wall": 30.0, "cpu": 20.0, "megabytes": 2.0}],
    "synthetic": {"rendering": {"canthus": [4.0], "peer": [2.0]}},
    "detection": [
        {"size": "640x480", "min_size": 60, "batch": 1, "threads": 1}
        | {"seconds": {"facenet-pytorch": [0.03], "canthus": [0.01]}}
    ],
}
RATIOS = {
    ("data_path", "training samples, 112 px", "field"): 4.0,
    ("data_path", "training samples, 112 px, from 800x1000", "field"): 0.5,
    ("reading", "reading labels", "csv"): None,
    ("loop", "training step, canthus beside a bare loop", "canthus"): 1.04,
    ("steps", "training step, dan_cpu, idle", "canthus"): 0.5,
    ("patches", "32 patches", "loop"): 2.5,
    ("maps", "maps", "loop"): 0.5,
    ("latency", "batch 1", "dan"): 4.0,
    ("start", "a first prediction", "predict"): 2.0,
    ("prediction", "24 images", "together"): 0.5,
    ("report", "report, 689 faces, 1 seeds of each recipe", "300 runs"): None,
    ("synthetic", "rendering", "peer"): 0.5,
    ("detection", "detection 640x480, min_size 60, batch 1, threads 1", "facenet-pytorch"): 3.0,
}


def stand_in(folder: Path, name: str, status: int = 0) -> None:
    """A file that writes a benchmark's result at once, and the words that it was called with."""
    text = f"import json, pathlib, sys\nsys.exit({status}) if {status} else None\n"
    text += "target = pathlib.Path(sys.argv[sys.argv.index('--json') + 1])\n"
    text += f"target.write_text({json.dumps(RESULTS[name])!r})\n"
    text += "target.with_suffix('.words').write_text(json.dumps(sys.argv[1:]))\n"
    (folder / f"{name}.py").write_text(text)


def test_one_table_of_all(run_all, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(run_all, "HERE", tmp_path)
    for name in run_all.BENCHMARKS:
        stand_in(tmp_path, name)
    words = ["--data", str(tmp_path), "--peer", str(tmp_path / "peer"), "--quick", "--output", str(tmp_path / "out")]
    assert run_all.main(words) == 0
    content = json.loads((tmp_path / "out/ratios.json").read_text())
    found = {(row["benchmark"], row["comparison"], row["contender"]): row["ratio"] for row in content["rows"]}
    assert {key: found[key] for key in RATIOS} == pytest.approx(RATIOS)
    assert sum(ratio == 1 for ratio in found.values()) == sum(ratio is not None for ratio in RATIOS.values())
    assert content["machine"]["processors"] >= 1
    assert {"processor", "threads", "python", "torch", "load"} <= content["machine"].keys()
    table = (tmp_path / "out/ratios.md").read_text()
    assert "| patches | 32 patches | loop | 5 | ms | 2.50 |" in table
    assert content["machine"]["processor"] in table
    called = json.loads((tmp_path / "out/detection.words").read_text())
    assert called[called.index("--peer") + 1] == str(tmp_path / "peer")
    assert "--scenes" in called
    assert "--dlib" not in json.loads((tmp_path / "out/latency.words").read_text())


def test_what_fails_or_is_left_out_is_named(run_all, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(run_all, "HERE", tmp_path)
    for name in ("maps", "detection", "data_path"):
        stand_in(tmp_path, name)
    stand_in(tmp_path, "patches", status=3)
    assert run_all.main(["--output", str(tmp_path / "out")]) == 1
    table = (tmp_path / "out/ratios.md").read_text()
    assert "`patches.py`: failed with status 3" in table
    assert "`detection.py`: left out, needs --peer and --data" in table
    assert "`data_path.py`: left out, needs --data" in table
    assert "| maps |" in table
    assert run_all.main(["--only", "maps", "--output", str(tmp_path / "out")]) == 0


def test_every_file_is_run(run_all) -> None:
    """A benchmark that is added here must be added there; quick options are options that the files have."""
    files = {path.stem for path in FOLDER.glob("*.py")} - {"run_all", "contenders"}
    assert files <= set(run_all.BENCHMARKS)
    for name in files:
        text, benchmark = (FOLDER / f"{name}.py").read_text(), run_all.BENCHMARKS[name]
        wanted = {word for word in benchmark.quick if word.startswith("--")} | {"--json"}
        wanted |= {f"--{key}" for key in (*benchmark.needs, *benchmark.takes)}
        assert all(f'"{word}"' in text for word in wanted), name
