"""Averaged weights and flip averaging through all commands; SeetaFace's five points."""

import json
from pathlib import Path

import pytest

from canthus.runs.loading import load_weights

TINY = [
    "data=synthetic",
    "trainer=cpu",
    "data.size=40",
    "data.resolution=96",
    "data.batch_size=5",
    "data.validation=0.25",
]
TINY += ["callbacks.overlays.every_n_epochs=100"]
MDM = ["model=mdm", "model.patch=10", "model.channels=2", "model.hidden=8", "model.projection=4", "model.size=64"]
MDM += [
    "model.diagonal=50",
    "model.unit=10",
    "+callbacks.ema._target_=canthus.callbacks.EMA",
    "+callbacks.ema.decay=0.7",
]


@pytest.fixture(scope="module")
def averaged(run_command, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("averaged") / "run"
    settings = [*TINY, *MDM, "trainer.max_epochs=3", f"paths.cache={cache}", f"hydra.run.dir={folder}"]
    assert run_command("train", *settings) == 0
    return folder


def nme(folder: Path) -> float:
    return json.loads((folder / "metrics.json").read_text())["subsets"]["full"]["nme"]


def test_evaluation_repeats_what_training_measured_on_the_averages(averaged, run_command, tmp_path) -> None:
    assert run_command("evaluate", f"run={averaged}", f"output={tmp_path / 'same'}", "overlays=0") == 0
    assert nme(tmp_path / "same") == pytest.approx(nme(averaged), rel=1e-6)
    summary = json.loads((averaged / "metrics.json").read_text())["subsets"]["full"]
    assert len(summary["nme_per_stage"]) == 4
    assert "nme_initial" in summary


def test_flip_averaging_can_be_switched_for_any_run(averaged, trained, run_command, tmp_path) -> None:
    for name, run, flag in (("plain", averaged, "false"), ("flipped", trained, "true")):
        assert (
            run_command("evaluate", f"run={run}", f"flip_average={flag}", f"output={tmp_path / name}", "overlays=0")
            == 0
        )
    assert nme(tmp_path / "plain") != pytest.approx(nme(averaged), rel=1e-6)
    assert nme(tmp_path / "flipped") != pytest.approx(nme(trained), rel=1e-6)


def test_prediction_uses_the_averages_and_the_mirror_image(averaged, run_command, images, tmp_path) -> None:
    points = {}
    for flag in ("true", "false"):
        output = tmp_path / flag
        settings = [f"source={images}", f"output={output}", f"flip_average={flag}", "overlays=false"]
        assert run_command("predict", f"run={averaged}", "device=cpu", *settings) == 0
        located = json.loads((output / "landmarks.json").read_text())["images"]
        points[flag] = [entry["faces"][0]["landmarks"] for entry in located.values()]
    assert len(points["true"]) == 3
    assert points["true"] != points["false"]


def test_resume_with_averaged_weights(averaged, run_command, tmp_path) -> None:
    import shutil

    folder = shutil.copytree(averaged, tmp_path / "run")
    assert run_command("train", f"resume={folder}", "trainer.max_epochs=4") == 0
    assert (
        load_weights(folder / "checkpoints/last.ckpt").keys() == load_weights(averaged / "checkpoints/last.ckpt").keys()
    )


def test_seetaface_has_five_points_and_two_stages(run_command, cache: Path, tmp_path: Path) -> None:
    settings = [*TINY, "model=cfan_seetaface", "data.scheme=5", "normaliser=inter_pupil", "trainer.max_epochs=8"]
    assert run_command("train", *settings, f"paths.cache={cache}", f"hydra.run.dir={tmp_path}") == 0
    summary = json.loads((tmp_path / "metrics.json").read_text())["subsets"]["full"]
    assert len(summary["nme_per_stage"]) == 2
    assert summary["nme"] < summary["nme_initial"]
