"""The report over many runs: wall time, processor time and size of the page, by the number of runs.

Runs are folders with made-up errors of the same faces, as an evaluation leaves them: no checkpoint, no image.
``--seeds`` makes so many of them share a recipe.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml
from rich.console import Console
from rich.table import Table

from canthus.evaluation.files import Prediction, write_metrics_json, write_predictions

PARTS = ("afw", "helen/testset", "lfpw/testset")
POINTS, STAGES = 68, 3


def write_runs(root: Path, runs: int, faces: int, seeds: int) -> None:
    """Folders of evaluated runs: the same faces are hard for all, and recipes differ in their level."""
    hard = np.random.default_rng(7).uniform(0.7, 1.6, faces)
    parts = [PARTS[face % len(PARTS)] for face in range(faces)]
    box = np.array([10.0, 20.0, 210.0, 220.0])
    for run in range(runs):
        random, recipe = np.random.default_rng(run), run // seeds
        level = 3 + 3 * (recipe * 0.618 % 1)
        errors = level * (hard[:, None] + random.normal(0, 0.05, (faces, STAGES))) * np.linspace(1.5, 1.0, STAGES)
        points = random.uniform(0, 200, (faces, POINTS, 2))
        folder = root / f"run_{run:04d}"
        images = [f"/images/{part}/{face:04d}.jpg" for face, part in enumerate(parts)]
        write_predictions(
            folder / "predictions.csv",
            (
                Prediction(face, images[face], images[face], parts[face], frozenset(), box, errors[face], points[face])
                for face in range(faces)
            ),
        )
        subsets = {"full": np.ones(faces, bool)} | {part: np.array(parts) == part for part in PARTS}
        write_metrics_json(
            folder / "metrics.json",
            model=("dan", "mdm", "san")[recipe % 3],
            data="w300",
            split="test",
            scheme="68",
            normaliser="inter_ocular",
            threshold=8.0,
            regions={name: errors.mean(0).tolist() for name in ("jaw", "brows", "nose", "eyes", "mouth")},
            subsets={
                name: {
                    "faces": int(mask.sum()),
                    "nme": float(errors[mask, -1].mean()),
                    "nme_per_stage": errors[mask].mean(0).tolist(),
                    "nme_interval": [level - 0.1, level + 0.1],
                    "auc": 40.0,
                    "failure_rate": 3.0,
                }
                for name, mask in subsets.items()
            },
        )
        config = {"seed": run % seeds, "normaliser": "inter_ocular", "trainer": {"max_epochs": 100}}
        config["model"] = {"_target_": "canthus.models.dan.module.DANModule", "optimizer": {"lr": 1e-4 * (recipe + 1)}}
        config["data"] = {"name": "w300", "scheme": "68", "box": "gt", "root": "/data", "train_parts": [*PARTS]}
        config["callbacks"] = {f"callback_{number}": {"_target_": "a.b.C", "every": number} for number in range(30)}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        made = {"status": "finished", "commit": "abcdef0123456789", "dirty": False, "seconds": 100.0, "python": "3.11"}
        made["command"] = ["canthus-train", "model=dan", f"model.optimizer.lr={1e-4 * (recipe + 1)}", f"seed={run}"]
        made["machine"] = {"processor": "Example processor 9000", "processors": 8, "threads": 8, "gpus": ["GPU"]}
        made["packages"] = {name: "1.2.3" for name in ("canthus", "torch", "lightning", "numpy")}
        (folder / "provenance.json").write_text(json.dumps(made))
        (folder / "metrics.csv").write_text("epoch,train/loss\n0,1.0\n1,0.5\n")


def measured(root: Path, output: Path) -> dict[str, float]:
    """Wall and processor seconds of ``canthus-report``, and the page's megabytes."""
    command = [sys.executable, "-m", "canthus.commands.report", f"runs={root}", f"output={output}", "latency=0"]
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": wall, "cpu": cpu, "megabytes": output.stat().st_size / 1e6}


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, nargs="+", default=[10, 100, 300])
    parser.add_argument("--faces", type=int, default=689)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    title = f"canthus-report, {options.faces} faces, {options.seeds} seeds of each recipe"
    table, results = Table("runs", "wall s", "CPU s", "page MB", title=title), []
    for runs in options.runs:
        with tempfile.TemporaryDirectory() as folder:
            write_runs(Path(folder) / "runs", runs, options.faces, options.seeds)
            result = measured(Path(folder) / "runs", Path(folder) / "report.html")
        table.add_row(str(runs), *(f"{value:.1f}" for value in result.values()))
        results.append({"runs": runs, "faces": options.faces, "seeds": options.seeds} | result)
    Console(width=120).print(table)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
