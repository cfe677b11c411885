"""A page about more runs than anybody reads: what is left out is said, and nothing stalls."""

import json
import re

import numpy as np
import pytest

from canthus.reporting.page import measuring, tables
from canthus.reporting.page import page as page_module
from canthus.reporting.page.files import write_csv, write_markdown
from canthus.reporting.page.measured import DrawnFace, Measured, Picture
from canthus.reporting.page.measuring import chosen_faces
from canthus.reporting.page.page import Context, page_sections, write_page
from canthus.reporting.page.protocols import grouped
from canthus.reporting.page.records import names_of, read_record
from tests.helpers.nasty import HTMLPage, MarkdownPage

MANY = 24
MOST_CELLS = 40 * 15


@pytest.fixture(scope="module")
def groups(run_maker, tmp_path_factory):
    """More recipes than have curves, in one protocol."""
    make = run_maker(tmp_path_factory.mktemp("many"))
    config = [{"model": {"width": number}} for number in range(MANY)]
    folders = [make(f"r{n:02d}", 3 + n / 10, faces=12, config=config[n]) for n in range(MANY)]
    return grouped([read_record(folder) for folder in folders])


@pytest.fixture(scope="module")
def page(groups, tmp_path_factory):
    """That page: its sections, HTML with room for 600 cells a table and pictures of three runs, and Markdown."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "MOST_CELLS", MOST_CELLS)
        return written(groups, tmp_path_factory.mktemp("page"), measured(groups[0]))


def measured(group):
    faces = [Picture("best", row, DrawnFace("a.jpg", [1.0], ["stage 1"], [b"x"])) for row in group.rows[:3]]
    return Measured(own={group: faces})


def written(groups, folder, measured=None):
    sections = page_sections(groups, {})
    context = Context([], measured or Measured(), [])
    write_page(folder / "r.html", "t", sections, context)
    write_markdown(folder / "r.md", "t", sections, context)
    return sections, (folder / "r.html").read_text(encoding="utf-8"), (folder / "r.md").read_text(encoding="utf-8")


def test_the_best_are_compared_and_have_curves_and_the_page_says_so(groups, page):
    (section,), text, _ = page
    assert len(section.main.rows) == 3 * MANY
    matrix, pairs = section.differences
    assert len(matrix.rows) == 20
    assert len(pairs.rows) == 20 * 19 // 2
    assert [row[0].text for row in matrix.rows] == [row.label for row in groups[0].rows[:20]]
    assert f"The best 20 of {MANY} models are compared." in text
    assert f"Curves of the best 20 of {MANY} models." in text
    for chart in section.charts:
        assert chart.svg.count('<g class="series') == 20


def test_few_have_all_curves_and_no_such_words(make_run, tmp_path):
    few = grouped([read_record(make_run(f"r{n}", 3 + n, config={"model": {"w": n}})) for n in range(3)])
    (section,), text, _ = written(few, tmp_path)
    assert len(section.differences[1].rows) == 3
    assert not re.search(r"best \d+ of \d+ models|first \d+ of \d+ rows", text)
    assert 'data-fold="' not in text.split('id="pA-results"')[1].split("</figure>")[0]


def test_long_tables_fold_and_the_longest_are_cut(groups, page):
    (section,), text, markdown = page
    main = text.split('id="pA-results"')[1].split("</figure>")[0]
    assert main.startswith(' data-fold="30">')
    assert "data-more" in main
    kept = MOST_CELLS // len(section.main.columns)
    assert main.split("<tbody>")[1].count("<tr>") == kept
    assert f"The first {kept} of {3 * MANY} rows; the Markdown file beside this page has all." in main
    labels = [row.label for row in groups[0].rows]
    rows = [cells for cells in MarkdownPage(markdown).rows if cells[1:2] == ["full"]]
    assert [cells[0] for cells in rows] == labels
    HTMLPage(text)


def test_protocols_beyond_the_page_are_in_the_csv_file(make_run, tmp_path, monkeypatch):
    monkeypatch.setattr(page_module, "SECTIONS", 2)
    some = grouped([read_record(make_run(f"r{n}", data=f"set{n}")) for n in range(4)])
    sections, text, _ = written(some, tmp_path)
    assert len(sections) == 2
    assert 'id="pB"' in text
    assert 'id="pC"' not in text
    write_csv(tmp_path / "r.csv", some, {})
    assert all(f"set{n}" in (tmp_path / "r.csv").read_text() for n in range(4))


def test_faces_are_drawn_for_the_best_of_each_protocol_in_turn(groups, page, make_run):
    lone = grouped([read_record(make_run("lone", data="other"))])
    both = [*groups, *lone]
    chosen = measuring._best(both, 4)
    assert chosen == [*((groups[0], row) for row in groups[0].rows[:3]), (lone[0], lone[0].rows[0])]
    assert measuring._best(both, 99) == [(group, row) for group in both for row in group.rows]
    assert f"Faces of the best 3 of {MANY} models." in page[1]


def test_common_faces_are_those_of_the_mean_rank(groups):
    group = groups[0]
    ranks = []
    for row in group.rows:
        last = np.array([np.asarray(row.records[0].predictions[key].nme_per_stage)[-1] for key in group.keys])
        ranks.append(last.argsort().argsort())
    mean = np.mean(ranks, axis=0)
    found = dict(chosen_faces(group, group.rows[0]))
    assert found["easy"] == mean.argmin()
    assert found["hard"] == mean.argsort()[-1]


def test_many_seeds_of_one_recipe_are_one_row(make_run):
    records = [read_record(make_run(f"s{n}", seed=n, faces=4)) for n in range(30)]
    (group,) = grouped(records)
    row = group.rows[0]
    assert row.label == "dan (30 seeds)"
    assert len(row.records) == 30
    values = [record.metrics["subsets"]["full"]["nme"] for record in row.records]
    assert row.number("full", "nme").value == pytest.approx(np.mean(values))
    assert row.number("full", "nme").deviation == pytest.approx(np.std(values, ddof=1))


def test_names_of_many_folders(tmp_path):
    paths = [tmp_path / str(n % 40) / "runs" / str(n // 40) for n in range(800)]
    names = names_of(paths)
    assert len(set(names.values())) == 800
    assert names[paths[0]] == "0/runs/0"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m["subsets"].update({f"s{n}": m["subsets"]["full"] for n in range(3000)}), "3003 subsets"),
        (lambda m: m.update(regions={f"r{n}": [1.0] for n in range(3000)}), "3000 regions"),
        (lambda m: m["subsets"]["full"].update(nme_per_stage=[1.0] * 999), "999 stages"),
        (lambda m: m.update(scheme="106"), "106"),
        (lambda m: m.update(scheme=["68"]), "scheme is"),
        (lambda m: m.update(model={"a": 1}), "model is"),
        (lambda m: m.update(data=7), "data is '7'"),
        (lambda m: m.update(model="x" * 5000), "5000 characters"),
        (lambda m: m["subsets"]["full"].update(nme_interval=[1.0]), "evaluate the run again"),
        (lambda m: m["subsets"]["full"].update(pose={"yaw": 1.0}), "evaluate the run again"),
        (lambda m: m["subsets"]["full"].update(visible_only={"faces": 1}), "evaluate the run again"),
        (lambda m: m["subsets"]["full"].update(nme=True), "evaluate the run again"),
        (lambda m: m.update(subsets=[]), "subsets are no objects"),
        (lambda m: m.update(subsets={}), "no subsets"),
        (lambda m: m["subsets"].update(full=3), "subsets are no objects"),
    ],
)
def test_a_folder_that_cannot_be_shown_is_refused_by_name(change, words, make_run):
    folder = make_run("bad")
    content = json.loads((folder / "metrics.json").read_text())
    change(content)
    (folder / "metrics.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=words):
        read_record(folder)
