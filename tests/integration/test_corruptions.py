"""``corruptions=`` and ``data.corruption=`` on the command line: tables, pictures, refusals."""

import csv
import json
from pathlib import Path

import cv2
import pytest

from canthus.data.corruptions import CORRUPTIONS, SEVERITIES

NAMES = ("corruptions.csv", "corruptions.json", "corruptions.png", "corruptions_faces.png")


@pytest.fixture(scope="module")
def suite(trained: Path, run_command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suite")
    assert run_command("evaluate", f"run={trained}", "corruptions=all", f"output={folder}") == 0
    return folder


@pytest.fixture(scope="module")
def plain(trained: Path, run_command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain")
    assert run_command("evaluate", f"run={trained}", f"output={folder}") == 0
    return folder


def content_of(folder: Path) -> dict:
    return json.loads((folder / "corruptions.json").read_text())


def test_the_clean_column_is_the_plain_evaluation(suite: Path, plain: Path) -> None:
    ours, theirs = (json.loads((folder / "metrics.json").read_text())["subsets"] for folder in (suite, plain))
    for name, subset in content_of(suite)["clean"]["subsets"].items():
        for key, value in subset.items():
            assert value == pytest.approx(theirs[name][key], abs=1e-6)
            assert ours[name][key] == pytest.approx(theirs[name][key], abs=1e-6)
    assert (suite / "predictions.csv").read_text() == (plain / "predictions.csv").read_text()


def test_every_corruption_and_severity_is_there(suite: Path) -> None:
    content = content_of(suite)
    assert tuple(content["corruptions"]) == CORRUPTIONS
    assert (content["normaliser"], content["model"], content["split"], content["seed"]) == (
        "inter_ocular",
        "dan",
        "val",
        0,
    )
    assert content["in_training"] == []
    means = []
    for name, entry in content["corruptions"].items():
        assert list(entry["severities"]) == [str(severity) for severity in SEVERITIES]
        errors = [level["subsets"]["full"]["nme"] for level in entry["severities"].values()]
        assert len(set(errors)) > 1, name
        assert all(level["subsets"]["full"]["faces"] == 15 for level in entry["severities"].values())
        assert entry["mean_nme"] == pytest.approx(sum(errors) / 5)
        means.append(entry["mean_nme"])
        assert all(("already_smaller" in level) == (name == "low_resolution") for level in entry["severities"].values())
        assert ("nme_covered" in entry["severities"]["5"]) == (name == "occlusion")
    clean = content["clean"]["subsets"]["full"]["nme"]
    assert content["mean_corruption_error"] == pytest.approx(sum(means) / 4)
    assert content["relative_corruption_error"] == pytest.approx(100 * (sum(means) / 4 / clean - 1))
    worst = content["worst"]
    cell = content["corruptions"][worst["corruption"]]["severities"][str(worst["severity"])]
    assert cell["subsets"]["full"]["nme"] == worst["nme"]


def test_the_csv_says_the_same(suite: Path) -> None:
    with (suite / "corruptions.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["subset"] == "full"]
    assert len(rows) == 1 + len(CORRUPTIONS) * len(SEVERITIES)
    assert (rows[0]["corruption"], rows[0]["severity"], rows[0]["relative"]) == ("clean", "0", "0.0000")
    corruptions = content_of(suite)["corruptions"]
    for row in rows[1:]:
        cell = corruptions[row["corruption"]]["severities"][row["severity"]]["subsets"]["full"]
        for key in ("nme", "failure_rate", "auc"):
            assert float(row[key]) == pytest.approx(cell[key], abs=1e-4)
        assert row["normaliser"] == "inter_ocular"


def test_pictures_and_summary(suite: Path) -> None:
    for name in ("corruptions.png", "corruptions_faces.png"):
        picture = cv2.imread(str(suite / name))
        assert picture is not None
        assert picture.std() > 10
    text = (suite / "summary.md").read_text()
    assert "## Corruptions" in text
    assert "| corruption | clean | 1 | 2 | 3 | 4 | 5 | mean | vs clean, % |" in text
    assert "Mean corruption error" in text
    assert "Training shows none of them." in text
    assert "![corruptions_faces.png](corruptions_faces.png)" in text


def test_one_cell_by_itself_is_the_same(suite: Path, trained: Path, run_command, tmp_path: Path) -> None:
    """Another batch size, another process, no suite around it: the faces meet the same blurs."""
    arguments = ["data.corruption=blur", "data.severity=4", "data.batch_size=7", f"output={tmp_path}"]
    assert run_command("evaluate", f"run={trained}", *arguments) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert (metrics["corruption"], metrics["severity"]) == ("blur", 4)
    assert "val under blur 4" in (tmp_path / "summary.md").read_text().splitlines()[0]
    assert "corruption" not in json.loads((suite / "metrics.json").read_text())
    alone = metrics["subsets"]["full"]
    cell = content_of(suite)["corruptions"]["blur"]["severities"]["4"]["subsets"]["full"]
    assert alone["nme"] == pytest.approx(cell["nme"], abs=1e-4)
    assert alone["nme"] != pytest.approx(content_of(suite)["clean"]["subsets"]["full"]["nme"], abs=1e-4)


def test_a_list_and_what_an_earlier_suite_left(trained: Path, run_command, tmp_path: Path) -> None:
    assert run_command("evaluate", f"run={trained}", "corruptions=[blur,occlusion,blur]", f"output={tmp_path}") == 0
    assert list(content_of(tmp_path)["corruptions"]) == ["blur", "occlusion"]
    assert run_command("evaluate", f"run={trained}", f"output={tmp_path}") == 0
    assert not any((tmp_path / name).exists() for name in NAMES)
    assert "## Corruptions" not in (tmp_path / "summary.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["corruptions=blurr"], "no corruption 'blurr'; did you mean 'blur'"),
        (["corruptions=[blur,light]"], "no corruption 'light'; did you mean 'lighting'"),
        (["corruptions=[]"], "names none"),
        (["corruptions=all", "data.corruption=blur", "data.severity=2"], "leave out data.corruption"),
        (["data.corruption=fog", "data.severity=2"], "no corruption 'fog'"),
        (["data.corruption=blur"], "data.severity is None"),
        (["data.corruption=blur", "data.severity=7"], "data.severity is 7"),
        (["data.corruptoin=blur"], "did you mean 'corruption'"),
    ],
)
def test_refusals(arguments, message, trained: Path, run_command, tmp_path: Path, capsys) -> None:
    assert run_command("evaluate", f"run={trained}", *arguments, f"output={tmp_path}") == 2
    logs = "".join(log.read_text() for log in tmp_path.rglob("evaluate.log")) + capsys.readouterr().err
    assert message in logs
    assert not (tmp_path / "metrics.json").exists()
