"""Which of two models is better, in numbers and in colours: rows minus columns, first minus second."""

import numpy as np
import pytest

from canthus.reporting.page.protocols import grouped
from canthus.reporting.page.records import read_record
from canthus.reporting.page.significance import compare_rows, matrix_table, pair_table


def test_signs_and_colours_of_differences(make_run):
    """Three models at 3, 4 and 6 percent: the row is better where it is lower."""
    levels = {"low": 3.0, "middle": 4.0, "high": 6.0}
    folders = {
        name: make_run(name, level, model=name, seed=number) for number, (name, level) in enumerate(levels.items())
    }
    errors = {name: make_run.errors(level, seed=number)[:, -1] for number, (name, level) in enumerate(levels.items())}
    (group,) = grouped([read_record(folder) for folder in folders.values()])
    pairs = compare_rows(group)
    table = matrix_table(group, pairs)
    names = [column.name for column in table.columns][1:]
    assert names == ["low", "middle", "high"]
    for row in table.rows:
        for name, cell in zip(names, row[1:], strict=True):
            mine = row[0].text
            if name == mine:
                assert (cell.text, cell.value) == ("·", None)
                continue
            difference = (errors[mine] - errors[name]).mean()
            assert cell.value == pytest.approx(difference, abs=1e-3)
            assert cell.text == f"{cell.value:+.2f}"
            assert cell.tone == ("good" if levels[mine] < levels[name] else "bad")
    listed = pair_table(group, pairs)
    found = {(row[0].text, row[1].text): row for row in listed.rows}
    assert set(found) == {("low", "middle"), ("low", "high"), ("middle", "high")}
    for (first, second), row in found.items():
        difference = errors[first] - errors[second]
        assert row[2].text == "40"
        assert row[3].value == pytest.approx(difference.mean(), abs=1e-3)
        wins = int((difference < 0).sum())
        assert row[5].text == f"{wins} / {40 - wins} / 0"
        low, high = (float(word) for word in row[4].text.split(" to "))
        half = 1.96 * difference.std(ddof=1) / np.sqrt(40)
        assert low == pytest.approx(difference.mean() - half, abs=0.3 * half + 0.01)
        assert high == pytest.approx(difference.mean() + half, abs=0.3 * half + 0.01)
        assert row[-1].text == f"{first} better"
