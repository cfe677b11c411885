"""``canthus-eval predictions=...``: other tools' results through the protocol of trained models."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from canthus.data.readers import read_pts, write_pts

PARTS = ("helen/testset", "lfpw/testset", "ibug")


def labels(root: Path) -> dict[str, np.ndarray]:
    files = [file for part in PARTS for file in sorted((root / part).glob("*.pts"))]
    images = {file: next(f for f in file.parent.glob(f"{file.stem}.*") if f.suffix != ".pts") for file in files}
    return {image.relative_to(root).as_posix(): read_pts(file) for file, image in images.items()}


@pytest.fixture
def score(run_command, small_300w: Path, cache: Path, tmp_path: Path):
    """Score a json of predictions on the small 300-W; gives the exit status and the folder."""

    def call(predictions, *arguments: str, source: Path | None = None) -> tuple[int, Path]:
        path = source or tmp_path / "tool.json"
        if source is None:
            path.write_text(json.dumps({name: points.tolist() for name, points in predictions.items()}))
        output = tmp_path / "out"
        data = ["data=w300", f"data.root={small_300w}", "data.allow_partial=true", f"paths.cache={cache}"]
        return run_command("evaluate", f"predictions={path}", *data, f"output={output}", *arguments), output

    return call


def metrics_of(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def test_a_perfect_score_is_0(score, small_300w: Path, monkeypatch) -> None:
    from canthus.commands import score as command

    returned, real = [], command.score
    monkeypatch.setattr(command, "score", lambda cfg: returned.append(real(cfg)) or returned[-1])
    status, folder = score(labels(small_300w), "overlays=0")
    assert status == 0
    assert metrics_of(folder)["subsets"]["full"]["nme"] == 0
    assert returned == [0.0]
    assert "| full | 24 | 0.00 |" in (folder / "summary.md").read_text()


def test_the_files_of_an_evaluation(score, small_300w: Path) -> None:
    truth = labels(small_300w)
    offset = np.array([3.0, 4.0])
    status, folder = score(
        {name: points + offset for name, points in truth.items()}, "name=shifted", "normalisers=[box]"
    )
    assert status == 0
    metrics = metrics_of(folder)
    assert (metrics["model"], metrics["split"], metrics["scheme"]) == ("shifted", "test", "68")
    expected = {name: 500 / np.linalg.norm(points[36] - points[45]) for name, points in truth.items()}
    full = metrics["subsets"]["full"]
    assert full["faces"] == 24
    assert full["nme"] == pytest.approx(np.mean(list(expected.values())), abs=1e-9)
    assert full["failure_rate"] == 100 * np.mean([error > 8 for error in expected.values()])
    common = np.mean([error for name, error in expected.items() if not name.startswith("ibug")])
    assert metrics["subsets"]["common"]["nme"] == pytest.approx(common, abs=1e-9)
    sizes = [np.sqrt(np.ptp(points, axis=0).prod()) for points in truth.values()]
    assert full["other_normalisers"]["box"]["nme"] == pytest.approx(np.mean(500 / np.array(sizes)), abs=1e-9)
    for name in ("predictions.csv", "ced.png", "summary.md", "overlays/faces.png", "config.yaml", "provenance.json"):
        assert (folder / name).is_file(), name
    with (folder / "predictions.csv").open(newline="") as file:
        rows = {row["image"]: float(row["nme_stage_1"]) for row in csv.DictReader(file)}
    assert rows == pytest.approx({str(small_300w / name): error for name, error in expected.items()}, abs=1e-4)


def test_every_kind_of_file_gives_the_same(score, small_300w: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    guesses = {name: points + random.normal(0, 2, points.shape) for name, points in labels(small_300w).items()}
    _, folder = score(guesses)
    expected = metrics_of(folder)["subsets"]
    shutil.move(folder / "predictions.csv", tmp_path / "own.csv")
    for name, points in guesses.items():
        file = (tmp_path / "pts" / name).with_suffix(".pts")
        file.parent.mkdir(parents=True, exist_ok=True)
        write_pts(file, points)
    for source in (tmp_path / "own.csv", tmp_path / "pts"):
        status, folder = score(None, source=source)
        assert status == 0
        for name, subset in metrics_of(folder)["subsets"].items():
            assert subset["nme"] == pytest.approx(expected[name]["nme"], abs=1e-3), source
    status, folder = score({name: points + 1 for name, points in guesses.items()}, "first_pixel=1")
    assert metrics_of(folder)["subsets"]["full"]["nme"] == pytest.approx(expected["full"]["nme"], abs=1e-9)


def test_missing_faces(score, small_300w: Path, tmp_path: Path) -> None:
    truth = labels(small_300w)
    lost = [name for name in truth if name.startswith("ibug")][:3]
    guesses = {name: points + np.array([0.3, 0]) for name, points in truth.items() if name not in lost}
    status, folder = score(guesses)
    assert status == 2
    log = (folder / "evaluate.log").read_text() if (folder / "evaluate.log").exists() else _logs(tmp_path)
    assert "3 of 24 faces have no prediction" in log
    assert lost[0] in log
    assert not (folder / "metrics.json").exists()
    _, folder = score(guesses, "missing=failure")
    counted = metrics_of(folder)
    _, folder = score(guesses, "missing=skip")
    skipped = metrics_of(folder)
    assert counted["missing"]["treated"] == "failure"
    assert [Path(name).name for name in counted["missing"]["faces"]] == [Path(name).name for name in lost]
    for name in ("full", "challenging"):
        one, other = counted["subsets"][name], skipped["subsets"][name]
        assert one["nme"] == other["nme"]
        assert (one["missing"], one["faces"] - other["faces"]) == (3, 3)
        assert one["failure_rate"] == pytest.approx(100 * 3 / one["faces"])
        assert other["failure_rate"] == 0
        assert one["auc"] == pytest.approx(other["auc"] * other["faces"] / one["faces"])
    assert "3 faces without an estimate were left out" in (folder / "summary.md").read_text()


def _logs(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.rglob("*.log"))


def test_held_out_faces_are_those_of_a_run(
    trained: Path, run_command, small_300w: Path, cache: Path, tmp_path: Path
) -> None:
    """A run's own predictions.csv, scored again on the same split, and compared with the run: nothing differs."""
    options = ["data=w300", f"data.root={small_300w}", "data.allow_partial=true", "data.validation=0.25", "split=val"]
    options += [f"paths.cache={cache}", "overlays=0"]
    first, second = tmp_path / "first", tmp_path / "second"
    assert run_command("evaluate", f"run={trained}", *options, f"output={first}") == 0
    arguments = [f"predictions={first / 'predictions.csv'}", *options, f"output={second}", f"compare={first}"]
    assert run_command("evaluate", *arguments) == 0
    for name, subset in metrics_of(first)["subsets"].items():
        assert metrics_of(second)["subsets"][name]["nme"] == pytest.approx(subset["nme"], rel=1e-4)
    comparison = json.loads((second / "comparison.json").read_text())
    assert comparison["subsets"]["full"]["faces"] == metrics_of(first)["subsets"]["full"]["faces"] == 6
    assert abs(comparison["subsets"]["full"]["mean_difference"]) < 1e-3
    assert "## Compared with dan" in (second / "summary.md").read_text()


def test_five_points_of_a_run(trained: Path, run_command, small_300w: Path, cache: Path, tmp_path: Path) -> None:
    """A model of 68 points and its 68 predicted points, both scored as five over the labels' outer eye corners."""
    options = ["data=w300", f"data.root={small_300w}", "data.allow_partial=true", "data.validation=0.25", "split=val"]
    options += [f"paths.cache={cache}", "overlays=2"]
    five = ["data.scheme=5", "normaliser=inter_ocular", "normalisers=[inter_pupil]"]
    whole, ours, theirs = tmp_path / "whole", tmp_path / "ours", tmp_path / "theirs"
    assert run_command("evaluate", f"run={trained}", *options, f"output={whole}") == 0
    assert run_command("evaluate", f"run={trained}", *options, *five, "corruptions=blur", f"output={ours}") == 0
    assert run_command("evaluate", f"predictions={whole / 'predictions.csv'}", *options, *five, f"output={theirs}") == 0
    ran, scored = (metrics_of(folder)["subsets"]["full"] for folder in (ours, theirs))
    assert ran["nme"] == pytest.approx(scored["nme"], rel=1e-4)
    assert ran["nme"] != pytest.approx(metrics_of(whole)["subsets"]["full"]["nme"], rel=1e-3)
    for subset in (ran, scored):
        assert subset["other_normalisers"]["inter_pupil"]["nme"] > 1.2 * subset["nme"]
    corrupted = json.loads((ours / "corruptions.json").read_text())
    assert (corrupted["normaliser"], metrics_of(ours)["scheme"]) == ("inter_ocular", "5")
    assert (ours / "overlays" / "faces.png").is_file()


def test_five_points_of_68(score, small_300w: Path) -> None:
    truth = labels(small_300w)
    status, folder = score(truth, "data.scheme=5", "normaliser=inter_pupil")
    assert status == 0
    metrics = metrics_of(folder)
    assert (metrics["scheme"], metrics["normaliser"]) == ("5", "inter_pupil")
    assert metrics["subsets"]["full"]["nme"] == pytest.approx(0, abs=1e-9)
    assert set(metrics["regions"]) == {"eye_left", "eye_right", "nose", "mouth_left", "mouth_right"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing=ignore"], "missing=ignore: one of error, failure, skip"),
        (["split=train"], "split=train: one of val, test"),
        (["first_pixel=2"], "first_pixel=2: one of None, 0, 1"),
        (["scheme=98"], "scheme=98 has 98 points and the predictions 68"),
        (["scheme=ninety"], "scheme=ninety: there is no landmark scheme"),
        (["normaliser=eyes"], "normaliser=eyes: .*inter_ocular"),
        (["normalisers=[eyes]"], "normalisers=eyes: .*normalisers=all"),
        (["compare=/nowhere"], "compare=/nowhere: has no metrics.json"),
    ],
)
def test_settings_that_cannot_work(arguments, message, score, small_300w: Path, tmp_path: Path) -> None:
    import re

    status, _ = score(labels(small_300w), *arguments)
    assert status == 2
    assert re.search(message, _logs(tmp_path))


def test_predictions_with_fewer_points_than_the_labels(score, small_300w: Path, tmp_path: Path) -> None:
    status, _ = score({name: points[:5] for name, points in labels(small_300w).items()})
    assert status == 2
    assert "set data.scheme=5 if the labels reduce to it" in _logs(tmp_path)


def test_run_and_predictions_exclude_each_other(run_command, tmp_path: Path, capsys) -> None:
    assert run_command("evaluate", f"run={tmp_path}", "predictions=a.csv") == 2
    assert "not both" in capsys.readouterr().err


def test_data_has_to_be_named(run_command, tmp_path: Path, capsys) -> None:
    assert run_command("evaluate", "predictions=a.csv") == 2
    assert "data" in capsys.readouterr().err
