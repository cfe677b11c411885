"""Every file for people, and the console, with names that mean something to somebody's program."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from canthus.evaluation.external.predictions import read_predicted
from canthus.evaluation.files import (
    Prediction,
    read_metrics_json,
    read_predictions,
    write_metrics_json,
    write_predictions,
)
from canthus.inspection.card import Measured as MeasuredSet
from canthus.inspection.card import write_card
from canthus.inspection.measures import MEASURES
from canthus.models.san.discovery import read_domains, write_clusters
from canthus.reporting.comparison import write_comparison
from canthus.reporting.corruptions import Cell, corruptions_summary, write_corruptions
from canthus.reporting.page.files import write_csv, write_markdown
from canthus.reporting.page.measured import Measured
from canthus.reporting.page.page import Context, page_sections, write_page
from canthus.reporting.page.protocols import grouped
from canthus.reporting.page.records import read_record
from canthus.reporting.results import print_results
from canthus.reporting.styles import styles_summary, write_styles
from canthus.reporting.summary import write_summary
from canthus.reporting.sweep import write_sweep
from canthus.runs.jobs import Job
from canthus.utils.escaping import csv_value, one_line, visible
from canthus.visualization.curves import ced_figure
from tests.helpers.nasty import PIECES, HTMLPage, MarkdownPage, hidden, names

NAMES = [*PIECES, *(f"a{piece}b" for piece in PIECES), *(f" {piece}" for piece in PIECES)]
SUBSET = {"faces": 2, "nme": 4.5, "nme_per_stage": [6.0, 4.5], "auc": 49.0, "failure_rate": 0.0}
FORMULAS = ("=", "@", "\t", "\r", "\uff1d")


def row(index: int, name: str, *, attributes: bool = True) -> Prediction:
    held = {name.replace(";", "")} - {""} if attributes else ()
    return Prediction(index, name, name, name, frozenset(held), np.arange(4.0), np.array([2.0, 1.0]), np.ones((3, 2)))


def table_cells(text: str) -> set[str]:
    page = MarkdownPage(text)
    assert not page.raw
    return {cell for cells in page.rows for cell in cells}


def squeezed(name: str) -> str:
    return (
        " ".join(one_line(name).split(" ")) if "  " not in name else " ".join(filter(None, one_line(name).split(" ")))
    )


@pytest.fixture
def evaluated(tmp_path):
    """A run whose every name is nasty."""
    subsets = {"full": SUBSET} | dict.fromkeys(NAMES, SUBSET)
    model, data = "[/bold]|<b>`x`\x1b[31m=1", "$x$_\u202e[x]\n# y"
    write_metrics_json(
        tmp_path / "metrics.json", model=model, data=data, normaliser="`|<i>", threshold=8.0, subsets=subsets
    )
    content = json.loads((tmp_path / "metrics.json").read_text())
    content["regions"] = {name: [2.0, 1.0] for name in NAMES}
    (tmp_path / "metrics.json").write_text(json.dumps(content))
    provenance = {"command": ["canthus-train", "`", "``a`` <b>"], "<script>": {"[x](y)": "`"}, "commit": "\x1b[0m"}
    (tmp_path / "provenance.json").write_text(json.dumps(provenance))
    for number, name in enumerate(("a](x", "<b>", "_x_", "é &", "\udce9", "`", "![", "% #?", "\x1b")):
        path = tmp_path / "overlays" / f"{number}{name}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    return tmp_path


def test_the_summary_shows_names_and_obeys_none(evaluated):
    text = write_summary(evaluated, shown=4).read_text(encoding="utf-8")
    assert not hidden(text.replace("\n", ""))
    page = MarkdownPage(text)
    assert not page.raw
    structure = {"table", "thead", "tbody", "tr", "th", "td", "h1", "h2", "p", "ul", "li", "a", "img", "code", ""}
    assert page.tags <= structure
    assert {len(cells) for cells in page.rows} == {3, 6}
    shown = {squeezed(cells[0]) for cells in page.rows}
    assert {squeezed(name) for name in NAMES} <= shown
    assert len([link for link in page.links if link.startswith("overlays/")]) == 9
    assert all(":" not in link for link in page.links)


def test_tables_on_the_console_show_names_as_they_are(evaluated, capsys):
    print_results(read_metrics_json(evaluated / "metrics.json"), evaluated / "out[/b][x]")
    text = capsys.readouterr().out
    assert "out[/b][x]/summary.md" in text
    assert not hidden(text.replace("\n", ""))
    words = " ".join(text.split())
    for name in ("[/bold]", "[red]", ":bomb:", r"\x1b[31m", r"\u202e"):
        assert name in words


def test_the_page_its_markdown_and_its_csv(evaluated, tmp_path):
    record = read_record(evaluated)
    record.metrics["model"] = "<script>[x](y)|\x1b\u202e=1"
    groups = grouped([record])
    sections = page_sections(groups, {})
    context = Context([("made", "<b>\u202e")], Measured(), [f"{name} is missing" for name in NAMES])
    out = tmp_path / "out"
    write_page(out / "r.html", "<t>\x00\udce9", sections, context)
    write_markdown(out / "r.md", "<t>\x00\udce9", sections, context)
    write_csv(out / "r.csv", groups, {})
    text = (out / "r.html").read_text(encoding="utf-8")
    page = HTMLPage(text)
    assert not hidden(text.replace("\n", ""))
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    items = [" ".join(text.split()) for text in page.texts]
    assert {" ".join(f"{one_line(name)} is missing".split()) for name in NAMES} <= set(items)
    series = {value for tag, name, value in page.attributes if name in ("data-series", "data-toggle")}
    assert series == {r"<script>[x](y)|\x1b\u202e=1"}  # a button finds its curve
    assert {squeezed(name) for name in NAMES} <= set(map(squeezed, table_cells((out / "r.md").read_text())))
    with (out / "r.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    written = [name.encode("utf-8", "backslashreplace").decode() for name in dict.fromkeys(["full", *NAMES])]
    assert [csv_value(line["subset"]) for line in rows] == written
    assert not [cell for line in rows for cell in line.values() if cell.startswith(FORMULAS)]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names(4), names(4))
def test_predictions_come_back(tmp_path, first, second):
    rows = [row(0, first), row(1, second)]
    path = write_predictions(tmp_path / "p.csv", rows)
    path.read_text(encoding="utf-8")
    for before, after in zip(rows, read_predictions(path), strict=True):
        for one, other in zip(
            (before.image, before.photo, before.part, *before.attributes),
            (after.image, after.photo, after.part, *after.attributes),
            strict=True,
        ):
            assert other == one.encode("utf-8", "backslashreplace").decode()
    known = set(read_predicted(path).faces)
    assert known == {name.image.encode("utf-8", "backslashreplace").decode() for name in rows}


def test_predictions_of_earlier_versions_still_read(tmp_path):
    """They have no apostrophes before formulas, and keep those that are part of a name."""
    path = write_predictions(tmp_path / "p.csv", [row(0, "NAME", attributes=False)])
    for name in ("=a.jpg", "@x", "'quoted'", "it's", "-1"):
        text = path.read_text().replace("NAME", name)
        (tmp_path / "old.csv").write_text(text)
        assert read_predictions(tmp_path / "old.csv")[0].image == name


def test_the_comparison_names_the_other_run(evaluated, tmp_path):
    write_predictions(evaluated / "predictions.csv", [row(0, "=x<b>|"), row(1, "[/bold]`")])
    content = write_comparison(evaluated, evaluated)
    text = write_summary(evaluated).read_text(encoding="utf-8")
    assert {"=x<b>|", "[/bold]`"} <= table_cells(text)
    print_results(read_metrics_json(evaluated / "metrics.json"), evaluated, content)


def test_corruptions_and_styles(evaluated):
    name = "=a|b[/x]<i>"
    cells = [Cell(name, 1, {"full": SUBSET, name: SUBSET})]
    clean = Cell("clean", 0, {"full": SUBSET, name: SUBSET})
    context = {"model": name, "data": name, "split": "val", "normaliser": name, "threshold": 8.0}
    write_corruptions(evaluated, corruptions_summary(clean, cells, in_training=[name], **context))
    context["trained_on"] = [name]
    write_styles(evaluated, styles_summary({name: {"full": SUBSET, name: SUBSET}}, {"full": SUBSET}, [name], **context))
    assert name in table_cells(write_summary(evaluated).read_text(encoding="utf-8"))
    for file, column in (("corruptions.csv", "corruption"), ("styles.csv", "style")):
        with (evaluated / file).open(newline="") as opened:
            rows = list(csv.DictReader(opened))
        assert f"'{name}" in {line[column] for line in rows}
        assert csv_value(rows[-1]["subset"]) == name


@pytest.mark.filterwarnings("ignore:Glyph")
def test_the_card_of_a_data_set(tmp_path):
    values = {key: np.linspace(0.1, 0.9, 5) for key in MEASURES}
    sets = [
        MeasuredSet(name, 5, "train", values, {f"{name}{piece}": 0.5 for piece in PIECES}) for name in ("<b>|", "$")
    ]
    write_card(tmp_path, sets)
    text = (tmp_path / "card.md").read_text(encoding="utf-8")
    cells = set(map(squeezed, table_cells(text)))
    assert {squeezed(f"<b>|{piece}") for piece in PIECES} <= cells
    assert MarkdownPage(text).links == ["card.png"]


def test_a_sweep_of_nasty_settings(tmp_path, capsys):
    settings_of = ["data.train_parts=[train]", "data.train_parts=[/data/mine]", "data.train_parts==1+1", "x=$a$b$\\q$"]
    jobs = [
        Job(number, [word], "finished", "val/nme", score=float(number), seconds=1.0)
        for number, word in enumerate(settings_of)
    ]
    jobs.append(Job(9, ["data.train_parts=\x1b[2J"], "failed", "val/nme", error="[/bold] is\nodd\x1b[2J"))
    assert write_sweep(tmp_path, jobs) == 1
    with (tmp_path / "sweep.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [line["data.train_parts"] for line in rows][:3] == ["[train]", "[/data/mine]", "'=1+1"]
    text = capsys.readouterr().out
    for words in ("[train]", "[/data/mine]", "job 9 failed: [/bold] is\nodd\\x1b[2J"):
        assert words in text
    assert "\x1b" not in text


def test_curves_have_names_with_dollars(tmp_path):
    ced_figure({r"$\frac$": [1.0, 2.0]}, tmp_path / "a.png", threshold=8.0, normaliser="$x$", title=r"$\nosuch{$ on \$")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_clusters_come_back(tmp_path):
    keys = ["=a/1", "'=b/1", "plain/2", "é\n/3"]
    write_clusters(tmp_path, keys, np.array([0, 1, 0, 1]), (0, 1), ["s"])
    assert read_domains(tmp_path, keys, "run") == ([0, 2], [1, 3])


def test_paths_with_line_breaks_print_on_one_line(tmp_path, capsys):
    write_metrics_json(
        tmp_path / "metrics.json", model="m", data="d", normaliser="n", threshold=8.0, subsets={"full": SUBSET}
    )
    print_results(read_metrics_json(tmp_path / "metrics.json"), Path("a\nb\x1b[1A"))
    assert visible("a\nb\x1b[1A/summary.md") in capsys.readouterr().out
