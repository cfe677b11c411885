import csv
import json

import pytest

from canthus.evaluation.conditions import Cell
from canthus.reporting.corruptions import corruptions_section, corruptions_summary, print_corruptions, write_corruptions

CONTEXT = {"model": "dan", "data": "w300", "split": "test", "normaliser": "box", "threshold": 8.0, "in_training": []}


def cell(name, severity, nme, **more):
    return Cell(name, severity, {"full": {"faces": 9, "nme": nme, "auc": 50.0, "failure_rate": 1.0}}, **more)


def written(folder, cells, clean=None):
    write_corruptions(folder, corruptions_summary(clean or cell("clean", 0, 4.0), cells, **CONTEXT))
    return json.loads((folder / "corruptions.json").read_text()), corruptions_section(folder)


def test_faces_that_a_severity_cannot_shrink_are_counted_and_marked(tmp_path):
    counts = dict(enumerate((5, 2, 0), 1))
    cells = [cell("low_resolution", severity, 4.0, already_smaller=count) for severity, count in counts.items()]
    content, text = written(tmp_path, cells)
    severities = content["corruptions"]["low_resolution"]["severities"]
    assert {int(key): level["already_smaller"] for key, level in severities.items()} == counts
    assert "stay as they are: 5 at low resolution 1, 2 at low resolution 2; of 9." in text
    with (tmp_path / "corruptions.csv").open(newline="") as file:
        assert [row["already_smaller"] for row in csv.DictReader(file)] == ["", "5", "2", "0"]
    _, text = written(tmp_path, [cell("blur", 1, 5.0)])
    assert "stay as they are" not in text


def test_faces_without_an_estimate_are_named(tmp_path):
    lost = cell("blur", 1, 5.0)
    lost.subsets["full"]["missing"] = 2
    lost.subsets["pose"] = lost.subsets["full"] | {"nme": None}
    content, text = written(tmp_path, [lost])
    assert content["corruptions"]["blur"]["severities"]["1"]["subsets"].keys() == {"full"}
    assert "2 at blur 1" in text
    with pytest.raises(ValueError, match="blur 1: no face has a finite estimate"):
        written(tmp_path, [cell("blur", 1, None)])


def test_a_perfect_clean_error_has_no_more(tmp_path, capsys):
    content, text = written(tmp_path, [cell("blur", 1, 2.0), cell("blur", 2, 4.0)], clean=cell("clean", 0, 0.0))
    assert content["mean_corruption_error"] == 3.0
    assert content["relative_corruption_error"] is None
    assert "Mean corruption error 3.00, against 0.00 on clean faces." in text
    assert "| blur | 0.00 | 2.00 | 4.00 | 3.00 | - |" in text
    with (tmp_path / "corruptions.csv").open(newline="") as file:
        assert {row["relative"] for row in csv.DictReader(file)} == {""}
    print_corruptions(content)
    assert "3.00" in capsys.readouterr().out


def test_means_and_relative_errors_by_hand(tmp_path):
    """A clean error of 4; 5 and 7 under blur, 9 and 11 under occlusion: means 6 and 10, and 8 of these two."""
    cells = [cell("blur", 1, 5.0), cell("blur", 2, 7.0), cell("occlusion", 1, 9.0), cell("occlusion", 2, 11.0)]
    content, text = written(tmp_path, cells)
    blur, occlusion = content["corruptions"]["blur"], content["corruptions"]["occlusion"]
    assert (blur["mean_nme"], blur["relative"]) == (6.0, 50.0)
    assert (occlusion["mean_nme"], occlusion["relative"]) == (10.0, 150.0)
    assert (content["mean_corruption_error"], content["relative_corruption_error"]) == (8.0, 100.0)
    assert content["worst"] == {"corruption": "occlusion", "severity": 2, "nme": 11.0}
    assert "| blur | 4.00 | 5.00 | 7.00 | 6.00 | 50.00 |" in text
    assert "| occlusion | 4.00 | 9.00 | 11.00 | 10.00 | 150.00 |" in text
