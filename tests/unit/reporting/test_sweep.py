"""The table and picture of a sweep, from the jobs' records."""

import csv
from pathlib import Path

import pytest

from canthus.evaluation.files import write_metrics_json
from canthus.reporting.sweep import write_sweep
from canthus.runs.jobs import Job, jobs_of

SETTINGS = [["seed=0", "model.optimizer.lr=0.001", "++model.dropout=0.3"], ["seed=0", "model.optimizer.lr=0.1"]]


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A failed job, a finished one with results, and one that was killed."""
    jobs = [
        Job(0, SETTINGS[1], "failed", "val/auc", error="it diverged", seconds=2.0),
        Job(1, SETTINGS[0], "finished", "val/auc", score=61.5, seconds=3.0),
        Job(2, SETTINGS[1]),
        Job(10, SETTINGS[0], "finished", "val/auc", score=60.25, seconds=3.0),
    ]
    for job in jobs:
        (tmp_path / str(job.number)).mkdir()
        job.write(tmp_path / str(job.number))
    full = {"faces": 9, "nme": 4.0, "nme_per_stage": [5.0, 4.0], "auc": 61.5, "failure_rate": 0.0}
    about = {"model": "dan", "data": "w300", "normaliser": "box", "threshold": 8.0}
    write_metrics_json(tmp_path / "1" / "metrics.json", **about, subsets={"full": full})
    (tmp_path / ".submitit").mkdir()  # other folders are no jobs
    return tmp_path


def test_the_table_has_what_differs_and_what_came_of_it(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert write_sweep(sweep, jobs_of(sweep)) == 2
    with (sweep / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["job"] for row in rows] == ["0", "1", "2", "10"]
    assert [row["status"] for row in rows] == ["failed", "finished", "running", "finished"]
    assert [row["model.optimizer.lr"] for row in rows] == ["0.1", "0.001", "0.1", "0.001"]
    assert "seed" not in rows[0]  # the same for all
    assert [row["val/auc"] for row in rows] == ["", "61.5", "", "60.25"]
    assert (rows[1]["nme_stage1"], rows[1]["nme_stage2"]) == ("5", "4")
    assert rows[0]["error"] == "it diverged"
    assert list(rows[0])[-2:] == ["seconds", "error"]
    shown = capsys.readouterr().out
    assert "job 0 failed: it diverged" in shown
    assert "2 of 4 jobs did not finish" in shown


def test_the_picture_names_the_best_job(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AUC is to be maximised."""
    from matplotlib.figure import Figure

    titles = []
    before = Figure.suptitle
    monkeypatch.setattr(Figure, "suptitle", lambda self, text, **more: titles.append(text) or before(self, text))
    write_sweep(sweep, jobs_of(sweep))
    assert titles == ["4 jobs, 2 without a result (x); best: job 1, 61.5"]
    assert (sweep / "sweep.png").is_file()


def test_a_record_that_was_cut_off_is_no_job(sweep: Path) -> None:
    (sweep / "1" / "job.json").write_text('{"number": 1, "over')
    assert [job.number for job in jobs_of(sweep)] == [0, 2, 10]


def test_a_sweep_without_jobs_leaves_nothing(tmp_path: Path) -> None:
    assert write_sweep(tmp_path, []) == 0
    assert not list(tmp_path.iterdir())
