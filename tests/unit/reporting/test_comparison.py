import json
from dataclasses import replace

import numpy as np
import pytest

from canthus.evaluation.files import Prediction, write_metrics_json, write_predictions
from canthus.metrics import compare_paired
from canthus.reporting.comparison import check_comparable, comparison_table, write_comparison
from canthus.reporting.summary import write_summary
from canthus.utils.errors import ConfigError

BASE = np.random.default_rng(0).gamma(4, 1.2, 30).round(4)


def rows(errors, **changes):
    return [
        Prediction(
            index=i,
            image=f"/data/w300/afw/{i // 2}.jpg",  # two faces an image
            photo=f"afw/{i // 2}",
            part="afw" if i < 20 else "ibug",
            attributes=frozenset({"blur"} if i % 3 == 0 else ()),
            box=np.array([i, 0.0, i + 50, 60.0]),
            nme_per_stage=[9.0, error],
            landmarks=np.zeros((5, 2)),
            **changes,
        )
        for i, error in enumerate(errors)
    ]


def evaluation(folder, errors, *, model="dan", predictions=None, **changes):
    finite = [error for error in errors if np.isfinite(error)]
    full = {"faces": len(errors), "nme": np.mean(finite), "nme_per_stage": [9.0, np.mean(finite)], "auc": 50.0}
    content = {"model": model, "data": "w300", "normaliser": "inter_ocular", "threshold": 8.0, "scheme": "5"}
    subsets = {"full": full | {"failure_rate": 1.0}}
    write_metrics_json(folder / "metrics.json", **(content | changes), subsets=subsets)
    write_predictions(folder / "predictions.csv", predictions or rows(errors))
    return folder


def test_faces_are_joined_whatever_their_order_and_folder(tmp_path):
    first = evaluation(tmp_path / "a", BASE)
    moved = [replace(row, image=row.image.replace("/data", "/elsewhere")) for row in rows(BASE + 0.5)]
    second = evaluation(tmp_path / "b", BASE + 0.5, model="dlib", predictions=moved[::-1])
    content = write_comparison(first, second)
    assert json.loads((first / "comparison.json").read_text()) == json.loads(json.dumps(content))
    assert list(content["subsets"]) == ["full", "afw", "ibug", "blur"]
    assert [numbers["faces"] for numbers in content["subsets"].values()] == [30, 20, 10, 10]
    full = content["subsets"]["full"]
    assert full["mean_difference"] == pytest.approx(-0.5)
    assert (full["wins"], full["losses"]) == (30, 0)
    expected = compare_paired(BASE, (BASE + 0.5).round(4))
    assert full["p_sign_flip"] == expected.p_sign_flip


def test_the_page_and_the_console_name_both(tmp_path):
    first = evaluation(tmp_path / "a", BASE)
    content = write_comparison(first, evaluation(tmp_path / "b", [np.inf, *BASE[1:] + 1], model="dlib"))
    text = write_summary(first).read_text()
    assert "## Compared with dlib" in text
    assert "dan minus dlib, NME in % of inter_ocular" in text
    assert "| full | 29 |" in text
    assert "1 faces without a finite error" in text
    assert comparison_table(content).row_count == 4


def test_other_measures_are_refused(tmp_path):
    first = evaluation(tmp_path / "a", BASE)
    for key, value in (("normaliser", "box"), ("scheme", "68")):
        with pytest.raises(ConfigError, match=rf"its {key} is {value} and the one here"):
            write_comparison(first, evaluation(tmp_path / key, BASE, **{key: value}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: found[:-1], r"30 here and 29 there; 1 only here, such as afw/14/14\.jpg of part ibug; 0 only"),
        (lambda found: [replace(found[0], photo="afw/x"), *found[1:]], "1 only here.*1 only there, such as afw/x"),
        (
            lambda found: [replace(found[0], box=np.array([0, 0, 49, 60.0])), *found[1:]],
            "face 1 of .*the same data.box",
        ),
        (lambda found: [replace(row, landmarks=np.zeros((4, 2))) for row in found], "4 landmarks there and 5 here"),
    ],
)
def test_other_faces_are_refused(tmp_path, change, message):
    first = evaluation(tmp_path / "a", BASE)
    second = evaluation(tmp_path / "b", BASE, predictions=change(rows(BASE)))
    with pytest.raises(ConfigError, match=message):
        write_comparison(first, second)
    assert not (first / "comparison.json").exists()


def test_a_folder_without_an_evaluation(tmp_path):
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"has no predictions\.csv; name a run folder"):
        check_comparable(tmp_path)


@pytest.mark.parametrize(
    ("here", "there", "message"),
    [
        ({}, {"corruption": "blur", "severity": 3}, "under blur 3 and those here under no corruption"),
        (
            {"corruption": "blur", "severity": 2},
            {"corruption": "blur", "severity": 3},
            "under blur 3 and those here under blur 2",
        ),
    ],
)
def test_faces_shown_otherwise_do_not_compare(here, there, message, tmp_path):
    first, second = (evaluation(tmp_path / name, BASE, **each) for name, each in (("a", here), ("b", there)))
    with pytest.raises(ConfigError, match=message):
        write_comparison(first, second)
    write_comparison(second, evaluation(tmp_path / "c", BASE, **there))
