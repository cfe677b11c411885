import statistics

import numpy as np
import pytest

from canthus.reporting.page.corruptions import corruption_seeds, corruption_table, corruptions_of, severities
from canthus.reporting.page.protocols import Number, grouped
from canthus.reporting.page.records import read_record
from canthus.reporting.page.results import main_table, subset_table
from canthus.reporting.page.significance import compare_rows, matrix_table, pair_table


def groups_of(*folders):
    return grouped([read_record(folder) for folder in folders])


def test_what_agrees_shares_a_protocol_best_first(make_run):
    (group,) = groups_of(make_run("a", 5.0), make_run("b", 3.0, model="mdm"))
    assert [row.label for row in group.rows] == ["mdm", "dan"]
    assert (group.name, group.faces, group.boxes) == ("A", 40, "tight boxes of the labels (gt)")


@pytest.mark.parametrize(
    "change",
    [
        {"normaliser": "inter_pupil"},
        {"scheme": "68"},
        {"threshold": 10.0},
        {"data": "wflw"},
        {"split": "test"},
        {"corruption": "blur", "severity": 3},
        {"shift": 0.5},  # other boxes
        {"faces": 39},  # other faces
        {"config": {"data": {"name": "w300", "scheme": "5", "styles": ["sketch"]}}},
    ],
)
def test_whatever_differs_separates(change, make_run):
    groups = groups_of(make_run("a"), make_run("b", model="mdm", **change))
    assert [len(group.rows) for group in groups] == [1, 1]
    assert groups[0].protocol != groups[1].protocol or groups[0].keys != groups[1].keys or "shift" in change


def test_faces_that_nobody_names_compare_with_nothing(make_run):
    first, second = make_run("a"), make_run("b", model="mdm")
    for folder in (first, second):
        (folder / "predictions.csv").unlink()
    assert len(groups_of(first, second)) == 2


def test_seeds_of_one_recipe_are_one_row(make_run):
    folders = [make_run(f"seed{seed}", seed=seed) for seed in range(3)]
    (group,) = groups_of(*folders, make_run("wider", 3.0, config={"model": {"width": 2}}))
    row = next(row for row in group.rows if len(row.records) > 1)
    assert row.label.endswith("(3 seeds)")
    values = [record.metrics["subsets"]["full"]["nme"] for record in row.records]
    assert row.number("full", "nme") == Number(statistics.fmean(values), statistics.stdev(values))
    errors = row.errors(group.keys)
    assert errors == pytest.approx(
        np.mean([make_run.errors(4.0, seed=seed)[:, -1] for seed in range(3)], axis=0), abs=1e-3
    )
    cells = next(
        cells for cells in main_table(group, {}).rows if cells[0].text == row.label and cells[1].text == "full"
    )
    assert f"{statistics.fmean(values):.2f} ± {statistics.stdev(values):.2f}" in [cell.text for cell in cells]


def test_the_same_seed_again_is_no_further_seed(make_run):
    (group,) = groups_of(make_run("one"), make_run("two"))
    assert sorted(row.label for row in group.rows) == ["dan (one)", "dan (two)"]


def test_a_repeated_evaluation_is_no_second_row_unless_it_disagrees(make_run):
    run = make_run("run")
    again = {"config": {"run": str(run), "checkpoint": "best"}}
    folders = [run]
    for name, level in (("run/evaluation/same", 4.0), ("run/evaluation/other", 4.5)):
        folder = make_run(name, level, **again)
        text = (folder / "config.yaml").read_text().replace("model:", "was:")
        (folder / "config.yaml").write_text(text)
        folders.append(folder)
    records = [read_record(folder) for folder in folders]
    (group,) = grouped(records)
    assert [[len(row.records), len(row.copies)] for row in group.rows] == [[1, 1], [1, 0]]
    assert any("gives other figures" in problem for problem in records[2].problems)
    assert len({row.label for row in group.rows}) == 2


def test_a_subset_with_other_faces_is_another_column(make_run):
    first, second = make_run("a"), make_run("b", model="mdm")
    text = (second / "metrics.json").read_text()
    (second / "metrics.json").write_text(text.replace('"afw": {\n      "faces": 20', '"afw": {\n      "faces": 19'))
    (group,) = groups_of(first, second)
    table = subset_table(group)
    assert [column.name for column in table.columns[1:]] == ["full (40)", "afw (20)", "helen/trainset (20)", "afw (19)"]
    assert [[cell.text == "-" for cell in row[1:]] for row in table.rows].count([False, False, False, True]) == 1


def test_significance_is_paired_and_corrected(make_run):
    (group,) = groups_of(make_run("a", 4.0), make_run("b", 4.4, model="mdm"), make_run("c", 4.0, model="cfan", seed=9))
    pairs = compare_rows(group)
    assert len(pairs) == 3
    by_names = {frozenset((pair.first.model, pair.second.model)): pair for pair in pairs}
    assert by_names[frozenset(("dan", "mdm"))].verdict == "better"
    assert by_names[frozenset(("dan", "cfan"))].verdict == "no difference shown"
    assert all(pair.p_mean >= pair.numbers.p_sign_flip for pair in pairs)
    matrix = matrix_table(group, pairs)
    values = {(row[0].text, matrix.columns[i].name): cell for row in matrix.rows for i, cell in enumerate(row)}
    assert values["dan", "mdm"].value == pytest.approx(-values["mdm", "dan"].value)
    assert (values["dan", "mdm"].tone, values["mdm", "dan"].tone) == ("good", "bad")
    table = pair_table(group, pairs)
    row = next(row for row in table.rows if {row[0].text, row[1].text} == {"dan", "mdm"})
    assert row[-1].text == "dan better"


def test_faces_without_an_estimate_are_said(make_run):
    (group,) = groups_of(make_run("a", lost=1), make_run("b", model="mdm"))
    assert any("1 faces have no estimate" in note for note in main_table(group, {}).notes)
    (pair,) = compare_rows(group)
    assert (pair.numbers.faces, pair.numbers.left_out) == (39, 1)
    assert any("without an estimate" in note for note in pair_table(group, [pair]).notes)


def test_suites_under_other_seeds_do_not_share_a_table(make_run, make_suite):
    folders = [make_run("a"), make_run("b", model="mdm")]
    make_suite(folders[0], 4.0, seed=0)
    make_suite(folders[1], 5.0, seed=1)
    (group,) = groups_of(*folders)
    assert sorted(corruption_seeds(group)) == [0, 1]
    assert corruptions_of(group, 0) == ["blur", "occlusion"]
    dan = next(row for row in group.rows if row.model == "dan")
    assert [(place, number.value) for place, number in severities(dan, 0, "blur")][:3] == [(0, 4.0), (1, 4.5), (2, 5.0)]
    assert severities(dan, 1, "blur") == []
    (row,) = corruption_table(group, 1, ["blur", "occlusion"]).rows
    assert [cell.text for cell in row] == ["mdm", "5.00", "6.50", "8.00", "7.25", "45.0", "10.0", "blur"]
