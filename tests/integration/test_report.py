"""``canthus-report`` on real, if tiny, runs."""

import csv
import json
import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def suite(trained: Path, run_command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reported") / "again"
    assert run_command("evaluate", f"run={trained}", "corruptions=[blur]", "overlays=0", f"output={folder}") == 0
    return folder


@pytest.fixture(scope="module")
def page(trained: Path, suite: Path, run_command) -> Path:
    output = suite.parent / "page/report.html"
    assert run_command("report", f"runs=[{trained},{suite}]", f"output={output}", "latency=2", "threads=1") == 0
    return output


def test_everything_is_on_the_page(page: Path, trained: Path) -> None:
    text = page.read_text(encoding="utf-8")
    stages = len(json.loads((trained / "metrics.json").read_text())["subsets"]["full"]["nme_per_stage"])
    assert text.count("data:image/jpeg;base64,") == 3 * stages  # of the best, the median and the worst
    for absent in ("labels are not at hand", "drawn anew", "not at hand", "cannot be loaded"):
        assert absent not in text
    assert "<figcaption>blur</figcaption>" in text
    assert str(trained) in text
    assert sorted(path.name for path in page.parent.iterdir()) == ["report.csv", "report.html", "report.md"]


def test_a_model_evaluated_on_fewer_points_than_it_places(trained: Path, run_command, tmp_path: Path) -> None:
    """Its stages are drawn in the points that were evaluated, where predictions.csv has them."""
    folder, output = tmp_path / "five", tmp_path / "report.html"
    assert run_command("evaluate", f"run={trained}", "data.scheme=5", "overlays=0", f"output={folder}") == 0
    stages = len(json.loads((folder / "metrics.json").read_text())["subsets"]["full"]["nme_per_stage"])
    assert run_command("report", f"runs={folder}", f"output={output}", "measure=false", "trust=true") == 0
    text = output.read_text(encoding="utf-8")
    assert text.count("data:image/jpeg;base64,") == 3 * stages
    for absent in ("drawn anew", "not at hand"):
        assert absent not in text


def test_the_csv_has_the_runs_numbers_once(page: Path, trained: Path) -> None:
    with page.with_suffix(".csv").open(newline="") as file:
        rows = {row["subset"]: row for row in csv.DictReader(file)}
    metrics = json.loads((trained / "metrics.json").read_text())
    assert list(rows) == list(metrics["subsets"])
    full = rows["full"]
    assert float(full["nme"]) == metrics["subsets"]["full"]["nme"]
    assert int(full["parameters"]) > 10_000
    assert int(full["flops"]) > int(full["parameters"])
    assert float(full["latency_ms"]) > 0
    assert int(full["epochs"]) == 4
    assert full["selected_on"].endswith("of held-out images")


def test_a_stopped_run_and_a_hostile_checkpoint_are_named(trained: Path, run_command, tmp_path: Path) -> None:
    stopped, hostile = tmp_path / "runs/stopped", tmp_path / "runs/hostile"
    for folder in (stopped, hostile):
        shutil.copytree(trained, folder, ignore=shutil.ignore_patterns("overlays", "checkpoints"))
    (stopped / "metrics.json").unlink()
    (hostile / "checkpoints").mkdir()
    (hostile / "checkpoints/best.ckpt").write_bytes(
        b"cposix\nsystem\n(S'touch " + str(tmp_path).encode() + b"/no'\ntR."
    )
    arguments = [f"runs={tmp_path / 'runs'}", f"output={tmp_path / 'report.html'}", "latency=0"]
    assert run_command("report", *arguments) == 0
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "stopped: no metrics.json (status: finished)" in text
    assert "hostile: its model cannot be loaded" in text
    assert "the model is not at hand, so the last stage alone is drawn" in text
    assert not (tmp_path / "no").exists()


def test_models_and_images_are_left_alone_when_asked(trained: Path, run_command, tmp_path: Path) -> None:
    output = tmp_path / "report.html"
    assert run_command("report", f"runs={trained}", f"output={output}", "measure=false", "faces=false") == 0
    assert "data:image/jpeg" not in output.read_text(encoding="utf-8")
    assert "not measured for this page" in output.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runs=RUN", "output=report.txt"], "name the page, such as report.html"),
        (["runs=nowhere", "output=report.html"], "runs: nowhere is no folder"),
        (["runs=EMPTY", "output=report.html"], "no metrics.json there"),
        (["runs=RUN"], "needed but not given: output=..."),
        (["output=report.html"], "needed but not given: runs=..."),
        (["runs=RUN", "output=report.html", "latency=-1"], "passes from 0"),
        (["runs=RUN", "output=report.html", "device=toaster"], "device=toaster"),
        (["runs=RUN", "output=report.html", "face=false"], "did you mean 'faces'?"),
    ],
)
def test_what_cannot_work_is_said(arguments, message, trained: Path, run_command, tmp_path: Path, capfd) -> None:
    words = {
        "runs=RUN": f"runs={trained}",
        "runs=EMPTY": f"runs={tmp_path}",
        "output=report.html": f"output={tmp_path}/r.html",
    }
    assert run_command("report", *(words.get(word, word) for word in arguments)) == 2
    captured = capfd.readouterr()
    assert message in captured.out + captured.err
