"""Run folders made by hand: files as training and evaluation leave them, without either."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from canthus.evaluation.files import Prediction, write_metrics_json, write_predictions
from canthus.metrics import area_under_curve, failure_rate

PARTS = ("afw", "helen/trainset")


class RunMaker:
    """Writes runs below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(
        self, name: str, level: float = 4.0, *, faces: int = 40, lost: int = 0, shift: float = 0.0, **changes
    ) -> Path:
        """A run.

        Args:
            name: of its folder.
            level: of its errors, percent.
            faces: how many.
            lost: of them, faces without an estimate.
            shift: of its face boxes, pixels.
            **changes: of metrics.json; ``seed``, ``config`` and ``provenance`` of those files.
        """
        folder, seed = self.root / name, changes.pop("seed", 0)
        errors = self.errors(level, faces=faces, seed=seed)
        errors[:lost] = np.inf
        parts = [PARTS[i % 2] for i in range(len(errors))]
        write_predictions(
            folder / "predictions.csv", [self.row(i, parts[i], row, shift) for i, row in enumerate(errors)]
        )
        config = {"model": {"_target_": "canthus.models.dan.module.DANModule"}, "seed": seed}
        config |= {"data": {"name": "w300", "scheme": "5", "box": "gt", "root": f"/{name}", "train_parts": [*PARTS]}}
        config |= changes.pop("config", {})
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        provenance = {"status": "finished", "commit": "abcdef0123456789", "dirty": False, "seconds": 100.0 + seed}
        provenance |= {"selected_on": "val/nme of held-out images", "earlier": [{"seconds": 20.0}]}
        (folder / "provenance.json").write_text(json.dumps(provenance | changes.pop("provenance", {})))
        (folder / "metrics.csv").write_text("epoch,train/loss\n0,1.0\n1,0.5\n")
        content = {"model": "dan", "data": "w300", "split": "val", "scheme": "5", "normaliser": "inter_ocular"}
        content |= {"threshold": 8.0, "regions": {"eye_left": errors[lost:].mean(0).tolist()}}
        masks = {"full": np.ones(len(errors), bool)} | {part: np.array(parts) == part for part in PARTS}
        content["subsets"] = {subset: numbers(errors[mask]) for subset, mask in masks.items()}
        write_metrics_json(folder / "metrics.json", **content | changes)
        return folder

    @staticmethod
    def errors(level: float, *, faces: int = 40, stages: int = 2, seed: int = 0) -> np.ndarray:
        """(N, S) percent, lower from stage to stage; the same faces are hard in all runs."""
        hard = np.random.default_rng(7).uniform(0.7, 1.6, faces)
        noise = np.random.default_rng(seed).normal(0, 0.05, (faces, stages))
        return level * (hard[:, None] + noise) * np.linspace(1.5, 1.0, stages)

    @staticmethod
    def row(index: int, part: str, errors: np.ndarray, shift: float) -> Prediction:
        box = np.array([10.0, 20.0, 60.0, 70.0]) + shift
        points = np.array([[20, 35], [50, 35], [35, 45], [25, 60], [45, 60]], float)
        image = f"/images/{part}/{index:03d}.jpg"
        return Prediction(index, image, f"{part}/{index:03d}", part, frozenset(), box, errors, points)


def numbers(errors: np.ndarray) -> dict:
    found = np.isfinite(errors[:, -1])
    last = torch.from_numpy(errors[:, -1])
    content = {
        "faces": len(errors),
        "nme": float(errors[found, -1].mean()),
        "nme_per_stage": errors[found].mean(0).tolist(),
    }
    content |= {"auc": float(area_under_curve(last, 8.0)), "failure_rate": float(failure_rate(last, 8.0))}
    return content if found.all() else content | {"missing": int((~found).sum())}


def suite_of(clean: float, seed: int = 0) -> dict:
    """corruptions.json of two corruptions."""

    def level(nme: float) -> dict:
        return {"subsets": {"full": {"faces": 40, "nme": nme, "auc": 50.0, "failure_rate": 10.0}}}

    corruptions = {
        name: {"severities": {str(s): level(clean + s * step) for s in range(1, 6)}, "mean_nme": clean + 3 * step}
        for name, step in (("blur", 0.5), ("occlusion", 1.0))
    }
    content = {"model": "dan", "data": "w300", "split": "val", "normaliser": "inter_ocular", "threshold": 8.0}
    content |= {"seed": seed, "in_training": ["blur"], "clean": level(clean), "corruptions": corruptions}
    return content | {"mean_corruption_error": clean + 2.25, "relative_corruption_error": 225 / clean}


@pytest.fixture(scope="session")
def run_maker() -> type[RunMaker]:
    return RunMaker


@pytest.fixture
def make_run(tmp_path: Path) -> RunMaker:
    return RunMaker(tmp_path / "runs")


@pytest.fixture(scope="session")
def make_suite():
    def make(folder: Path, clean: float, seed: int = 0) -> None:
        (folder / "corruptions.json").write_text(json.dumps(suite_of(clean, seed)))

    return make
