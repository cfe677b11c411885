"""``styles=`` and ``data.styles=`` on the command line: tables, pictures, refusals."""

import csv
import json
from pathlib import Path

import cv2
import pytest

from canthus.data.styles import STYLES

NAMES = ("styles.csv", "styles.json", "styles_faces.png")


@pytest.fixture(scope="module")
def table(trained: Path, run_command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("styles")
    assert run_command("evaluate", f"run={trained}", "styles=all", f"output={folder}") == 0
    return folder


def content_of(folder: Path) -> dict:
    return json.loads((folder / "styles.json").read_text())


def full(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())["subsets"]["full"]


def test_every_style_is_there_and_the_original_is_the_plain_evaluation(table: Path) -> None:
    content = content_of(table)
    assert tuple(content["styles"]) == tuple(STYLES)
    assert (content["model"], content["trained_on"], content["own"]["styles"]) == ("dan", ["original"], ["original"])
    assert content["styles"]["original"] == content["own"]["subsets"]
    assert content["styles"]["original"]["full"]["nme"] == pytest.approx(full(table)["nme"])
    errors = {name: subsets["full"]["nme"] for name, subsets in content["styles"].items()}
    assert errors["grey"] == pytest.approx(errors["original"], abs=1e-3)  # DAN sees grey pictures
    assert len({error for name, error in errors.items() if name != "grey"}) == len(STYLES) - 1
    with (table / "styles.csv").open(newline="") as file:
        rows = {row["style"]: row for row in csv.DictReader(file) if row["subset"] == "full"}
    for name, subsets in content["styles"].items():
        assert float(rows[name]["nme"]) == pytest.approx(subsets["full"]["nme"], abs=1e-4)
        for number, error in enumerate(subsets["full"]["nme_per_stage"], 1):
            assert float(rows[name][f"nme_stage_{number}"]) == pytest.approx(error, abs=1e-4)
        assert rows[name]["trained_on"] == "original"
        assert subsets["full"]["faces"] == 15


def test_one_style_by_itself_is_the_same(table: Path, trained: Path, run_command, tmp_path: Path) -> None:
    arguments = ["data.styles=[sketch]", "styles=[light,sketch]", f"output={tmp_path}"]
    assert run_command("evaluate", f"run={trained}", *arguments) == 0
    alone, all_of_them = content_of(tmp_path), content_of(table)["styles"]
    assert full(tmp_path)["nme"] == pytest.approx(all_of_them["sketch"]["full"]["nme"], abs=1e-4)
    assert alone["own"]["styles"] == ["sketch"]
    assert list(alone["styles"]) == ["light", "sketch"]
    assert alone["styles"]["light"]["full"]["nme"] == pytest.approx(all_of_them["light"]["full"]["nme"], abs=1e-4)


def test_picture_and_summary(table: Path) -> None:
    picture = cv2.imread(str(table / "styles_faces.png"))
    assert picture is not None
    assert picture.std() > 10
    text = (table / "summary.md").read_text()
    assert "## Styles" in text
    assert "Trained on original;" in text
    assert "| sketch |" in text
    assert "![styles_faces.png](styles_faces.png)" in text


def test_what_an_earlier_table_left(trained: Path, run_command, tmp_path: Path) -> None:
    assert run_command("evaluate", f"run={trained}", "styles=grey", f"output={tmp_path}") == 0
    assert list(content_of(tmp_path)["styles"]) == ["grey"]
    assert run_command("evaluate", f"run={trained}", f"output={tmp_path}") == 0
    assert not any((tmp_path / name).exists() for name in NAMES)
    assert "## Styles" not in (tmp_path / "summary.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["styles=skech"], "styles: there is no style 'skech'; there are: original, sketch"),
        (["styles=[]"], "names none"),
        (["data.styles=[skech]"], "data.styles: there is no style 'skech'"),
    ],
)
def test_refusals(arguments, message, trained: Path, run_command, tmp_path: Path, capsys) -> None:
    assert run_command("evaluate", f"run={trained}", *arguments, f"output={tmp_path}") == 2
    logs = "".join(log.read_text() for log in tmp_path.rglob("evaluate.log")) + capsys.readouterr().err
    assert message in logs
    assert not (tmp_path / "metrics.json").exists()
