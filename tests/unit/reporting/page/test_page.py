"""The page, Markdown and csv of made runs, a hostile one among them."""

import csv
import json
import re

import pytest
import yaml

from canthus.evaluation.cost import Cost, Times
from canthus.reporting import published
from canthus.reporting.page.files import write_csv, write_markdown
from canthus.reporting.page.measured import DrawnFace, Measured, Picture
from canthus.reporting.page.page import Context, page_sections, write_page
from canthus.reporting.page.protocols import grouped
from canthus.reporting.page.records import read_record
from tests.helpers.nasty import HTMLPage, MarkdownPage

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


@pytest.fixture
def written(make_run, make_suite, tmp_path):
    """A page of three protocols; the folder, its text and its records."""
    folders = [make_run("a", 4.0, seed=0), make_run("a1", 4.0, seed=1), make_run("b", 4.5, model="mdm")]
    make_suite(folders[0], 4.0)
    hostile = {"provenance": {"commit": EVIL, "command": [EVIL, "=1+1"], "selected_on": "| a | ](javascript:alert(3))"}}
    folders.append(make_run("evil", 6.0, model=EVIL, config={"model": {"x": EVIL}, "seed": 9}, **hostile))
    folders.append(make_run("=formula", model="=cmd()", normaliser="inter_pupil"))
    records = [read_record(folder) for folder in folders]
    groups = grouped(records)
    measured = Measured()
    row = groups[0].rows[0]
    face = DrawnFace(EVIL, [4.0, 3.0], ["stage 1", "stage 2"], [b"\xff\xd8a", b"\xff\xd8b"], [EVIL])
    measured.own[groups[0]] = [Picture("best", row, face)]
    measured.common[groups[0]] = [Picture("easy", row, face.last)]
    context = Context([("made", EVIL)], measured, [f"{EVIL} is missing"])
    sections = page_sections(groups, {})
    write_page(tmp_path / "report.html", EVIL, sections, context)
    write_markdown(tmp_path / "report.md", EVIL, sections, context)
    write_csv(tmp_path / "report.csv", groups, {})
    return tmp_path, (tmp_path / "report.html").read_text(encoding="utf-8"), records


def test_the_page_is_well_formed_and_its_anchors_exist(written):
    _, text, _ = written
    page = HTMLPage(text)
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(set(ids)) == len(ids)
    targets = {value[1:] for tag, name, value in page.attributes if tag == "a" and name == "href"}
    targets |= {value for _, name, value in page.attributes if name == "aria-labelledby"}
    assert targets <= set(ids)
    assert {"protocols", "pA", "pB", "claims", "published", "provenance", "missing"} <= set(ids)


def test_nothing_is_loaded_and_nothing_of_a_run_is_markup(written):
    _, text, _ = written
    page = HTMLPage(text)
    loaded = [value for _, name, value in page.attributes if name in ("src", "href", "srcset", "action", "data")]
    assert all(value.startswith(("#", "data:image/jpeg;base64,")) or value == "data:," for value in loaded)
    assert not re.search(r"url\(|@import|https?:|javascript:", text.replace("](javascript:", ""))
    assert [name for _, name, _ in page.attributes if name.startswith("on")] == []
    assert text.count("<script>") == 1
    assert "&lt;script&gt;alert(1)" in text
    policy = next(value for _, name, value in page.attributes if name == "content" and "default-src" in value)
    assert "default-src 'none'" in policy
    assert "script-src 'sha256-" in policy


def test_markdown_and_csv_are_no_markup_and_no_formula(written):
    folder, _, records = written
    text = (folder / "report.md").read_text(encoding="utf-8")
    page = MarkdownPage(text)
    assert page.tags <= {"", "h1", "h2", "p", "strong", "ul", "li", "table", "thead", "tbody", "tr", "th", "td"}
    assert not page.raw
    assert not page.links
    cells = {cell for row in page.rows for cell in row}
    assert {EVIL, "=cmd()", f"{EVIL} =1+1", "| a | ](javascript:alert(3))"} <= cells
    with (folder / "report.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["model"] for row in rows} == {"dan", "mdm", EVIL, "'=cmd()"}
    assert len(rows) == 3 * len(records)


def test_numbers_are_those_of_metrics_json(written):
    folder, text, records = written
    with (folder / "report.csv").open(newline="", encoding="utf-8") as file:
        rows = {(row["evaluation"], row["subset"]): row for row in csv.DictReader(file)}
    for record in records:
        for name, subset in json.loads((record.folder / "metrics.json").read_text())["subsets"].items():
            row = rows[str(record.folder), name]
            assert [float(row[f"nme_stage_{i}"]) for i in (1, 2)] == subset["nme_per_stage"]
            assert [float(row[key]) for key in ("nme", "auc", "failure_rate")] == [
                subset[key] for key in ("nme", "auc", "failure_rate")
            ]
            assert int(row["faces"]) == subset["faces"]
    mdm = records[2].metrics["subsets"]["full"]
    cells = re.search(r'<tr>\s*<th scope="row"[^>]*><i[^>]*></i>mdm</th>(.*?)</tr>', text, re.DOTALL)[1]
    values = [float(value) for value in re.findall(r'data-value="([^"]+)"', cells)]
    for value in (mdm["faces"], mdm["nme"], *mdm["nme_per_stage"], mdm["auc"], mdm["failure_rate"]):
        assert value in values


def test_costs_stand_beside_the_errors(make_run):
    folder = make_run("a")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints/best.ckpt").touch()
    groups = grouped([read_record(folder)])
    cost = Cost(1_500_000, 2_250_000_000, Times(12.5, 11, 14), Times(15.25, 14, 18))
    (section,) = page_sections(groups, {folder / "checkpoints/best.ckpt": cost})
    names = [column.name for column in section.main.columns]
    cells = dict(zip(names, section.main.rows[0], strict=True))
    assert [cells[name].text for name in ("M params", "GFLOP", "ms", "ms, crop too", "training", "epochs")] == [
        "1.50", "2.250", "12.5", "15.2", "2 min", "2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "beside"),
    [
        ({"split": "test", "scheme": "68"}, True),
        ({"split": "val", "scheme": "68"}, False),
        ({"split": "test", "scheme": "5"}, False),
        ({"split": "test", "scheme": "68", "normaliser": "box"}, False),
        ({"split": "test", "scheme": "68", "corruption": "blur", "severity": 1}, False),
    ],
)
def test_published_numbers_stand_beside_the_same_faces_only(changes, beside, make_run, monkeypatch):
    monkeypatch.setitem(published._FACES, "w300", {"full": 40})
    (section,) = page_sections(grouped([read_record(make_run("a", **changes))]), {})
    assert bool(section.beside) == beside
    if beside:
        (table,) = section.beside
        assert "inter_ocular" in table.caption
        kinds = {row[0].text: row[1].text for row in table.rows}
        assert kinds["dan"] == "measured"
        assert kinds["SAN (2018)"] == "published"
        assert not any(name.startswith("CFAN") for name in kinds)  # known under inter_pupil alone


def test_published_elsewhere_never_mixes_normalisers(written):
    _, text, _ = written
    tables = re.findall(r'id="page-elsewhere-\d+-caption">([^<]*)<', text)
    assert {"300W, inter_pupil", "300W, inter_ocular"} <= set(tables)
    assert len(set(tables)) == len(tables)


def test_shown_settings_are_not_resolved(make_run, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "hidden-value")
    folder = make_run("a")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["data"]["train_parts"] = ["${oc.env:SECRET}"]
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    sections = page_sections(grouped([read_record(folder)]), {})
    write_page(tmp_path / "page.html", "t", sections, Context([], Measured(), []))
    text = (tmp_path / "page.html").read_text()
    assert "hidden-value" not in text
    assert "${oc.env:SECRET}" in text


def test_perfect_errors_are_zeros_everywhere(make_run, make_suite, tmp_path):
    folder = make_run("perfect", 0.0)
    make_suite(folder, 0.001)
    suite = json.loads((folder / "corruptions.json").read_text())
    suite["clean"]["subsets"]["full"]["nme"], suite["relative_corruption_error"] = 0.0, None
    (folder / "corruptions.json").write_text(json.dumps(suite))
    record = read_record(folder)
    assert not any("corruptions" in problem for problem in record.problems)
    (section,) = page_sections(grouped([record]), {})
    cells = dict(zip([column.name for column in section.main.columns], section.main.rows[0], strict=True))
    assert [cells[name].text for name in ("NME", "stage 1", "stage 2", "AUC@8", "FR@8")] == ["0.00"] * 3 + [
        "100.00", "0.00",
    ]  # fmt: skip
    write_page(tmp_path / "p.html", "t", [section], Context([], Measured(), []))
    assert not re.search(r"\b(nan|inf)\b", (tmp_path / "p.html").read_text(), re.IGNORECASE)
