import io
import json

import numpy as np
import pytest
from rich.console import Console

from canthus.evaluation.files import (
    Prediction,
    read_metrics_json,
    read_predictions,
    write_metrics_json,
    write_predictions,
)
from canthus.reporting.tables import markdown_table, rich_table, subset_table

SUBSET = {"faces": 330, "nme": 4.12, "nme_per_stage": [5.3, 4.12], "auc": 49.1, "failure_rate": 3.0}
METRICS = {
    "model": "dan",
    "data": "w300",
    "normaliser": "inter_ocular",
    "threshold": 8.0,
    "subsets": {"full": SUBSET, "common": SUBSET | {"faces": 200}},
}


def prediction(index, *, stages=3, points=68, **changes):
    rng = np.random.default_rng(index)
    fields = {
        "index": index,
        "image": f"a folder, with comma/{index} \u00e9.jpg",
        "photo": f"photo {index}",
        "part": "helen/testset",
        "attributes": frozenset({"occlusion", "blur"}) if index else frozenset(),
        "box": rng.normal(100, 50, 4),
        "nme_per_stage": rng.gamma(2, 2, stages),
        "landmarks": rng.normal(100, 500, (points, 2)).astype(np.float32),
    }
    return Prediction(**(fields | changes))


def test_predictions_round_trip(tmp_path):
    rows = [prediction(i) for i in range(5)]
    path = write_predictions(tmp_path / "run" / "predictions.csv", iter(rows))
    back = read_predictions(path)
    for row, copy in zip(rows, back, strict=True):
        for name in ("index", "image", "photo", "part", "attributes"):
            assert getattr(copy, name) == getattr(row, name)
        for name in ("box", "nme_per_stage", "landmarks"):
            value = np.asarray(getattr(row, name), dtype=np.float64)
            assert getattr(copy, name).shape == value.shape
            np.testing.assert_array_equal(getattr(copy, name), value.round(4))
    header = path.read_text(encoding="utf-8").splitlines()[0].split(",")
    assert header[5:14] == [
        "box_x1",
        "box_y1",
        "box_x2",
        "box_y2",
        "nme_stage_1",
        "nme_stage_2",
        "nme_stage_3",
        "x0",
        "y0",
    ]
    assert header[-1] == "y67"


def test_failed_and_unmeasured_faces_stay_in_the_table(tmp_path):
    row = prediction(0, nme_per_stage=[np.nan, np.inf], landmarks=np.full((68, 2), np.nan))
    (copy,) = read_predictions(write_predictions(tmp_path / "predictions.csv", [row]))
    np.testing.assert_array_equal(copy.nme_per_stage, [np.nan, np.inf])
    assert np.isnan(copy.landmarks).all()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no predictions"),
        ([prediction(0), prediction(1, stages=2)], "face 1 has 2 stages"),
        ([prediction(0, attributes={"a;b"})], "separator"),
        ([prediction(0, box=np.zeros(3))], "shapes"),
    ],
)
def test_bad_predictions_leave_the_old_file(tmp_path, rows, message):
    path = tmp_path / "predictions.csv"
    path.write_text("old")
    with pytest.raises(ValueError, match=message):
        write_predictions(path, rows)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


def test_foreign_and_torn_csv_are_refused(tmp_path):
    path = tmp_path / "predictions.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="header"):
        read_predictions(path)
    write_predictions(path, [prediction(0)])
    path.write_text(path.read_text(encoding="utf-8").rstrip()[:-60], encoding="utf-8")
    with pytest.raises(ValueError, match="row 2 has"):
        read_predictions(path)


def test_metrics_round_trip(tmp_path):
    path = write_metrics_json(tmp_path / "metrics.json", **METRICS)
    assert json.loads(path.read_text()) == METRICS
    assert read_metrics_json(path) == METRICS
    more = METRICS | {"regions": {"jaw": [7.5, 5.25]}, "stages": ["stage 1", "stage 2"]}
    assert read_metrics_json(write_metrics_json(path, **more)) == more


def test_metrics_take_array_scalars(tmp_path):
    subset = SUBSET | {"nme": np.float32(4.5), "faces": np.int64(3), "nme_per_stage": np.array([5.5, 4.5])}
    path = write_metrics_json(tmp_path / "metrics.json", **(METRICS | {"subsets": {"full": subset}}))
    assert read_metrics_json(path)["subsets"]["full"] == SUBSET | {"nme": 4.5, "faces": 3, "nme_per_stage": [5.5, 4.5]}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"nme": float("nan")}, "subsets: full: nme is nan"),
        ({"nme_per_stage": [5.3, np.float32("inf")]}, r"nme_per_stage\[1\] is inf"),
        ({"auc": np.float64("nan")}, "auc is nan"),
    ],
)
def test_metrics_that_are_not_numbers_are_refused(tmp_path, change, place):
    path = tmp_path / "metrics.json"
    with pytest.raises(ValueError, match=place):
        write_metrics_json(path, **(METRICS | {"subsets": {"full": SUBSET | change}}))
    assert not list(tmp_path.iterdir())


def test_damaged_metrics_are_refused_by_name(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(METRICS | {"subsets": {"full": {"faces": 3}}}))
    with pytest.raises(ValueError, match=r"subsets\.full\.nme.*missing"):
        read_metrics_json(path)
    path.write_text(json.dumps(METRICS)[:-9])
    with pytest.raises(ValueError, match="not JSON"):
        read_metrics_json(path)
    path.write_text(json.dumps(METRICS).replace("49.1", "NaN"))
    with pytest.raises(ValueError, match="auc is nan"):
        read_metrics_json(path)


def test_markdown_table():
    table = markdown_table([["a|b", 3, 4.126], ["c", 12, None]], ["name", "faces", "NME"])
    assert table.splitlines() == [
        "| name | faces | NME |",
        "| --- | --: | --: |",
        r"| a\|b | 3 | 4.13 |",
        "| c | 12 | - |",
    ]
    with pytest.raises(ValueError, match="2 cells"):
        markdown_table([[1, 2]], ["a"])


def test_rich_table_names_every_subset():
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(rich_table(METRICS))
    text = console.export_text()
    for word in ("dan", "w300", "inter_ocular", "full", "common", "330", "49.10", "AUC@8", "NME stage 2"):
        assert word in text


def test_every_column_of_the_table_of_subsets():
    """A different number in every field, so that no two can change places."""
    full = {
        "faces": 330, "missing": 2, "nme_initial": 20.5, "nme": 4.25, "nme_per_stage": [5.75, 4.25],
        "nme_interval": [4.125, 4.375], "auc": 49.5, "failure_rate": 3.25,
    }  # fmt: skip
    rest = {"faces": 7, "nme": None, "nme_per_stage": [None, None], "auc": 1.5, "failure_rate": 99.5}
    columns, rows = subset_table(METRICS | {"threshold": 7.5, "subsets": {"full": full, "rest": rest}})
    assert dict(zip(columns, rows[0], strict=True)) == {
        "subset": "full", "faces": 330, "missing": 2, "NME start": 20.5, "NME stage 1": 5.75, "NME stage 2": 4.25,
        "95 % interval": "4.12 to 4.38", "AUC@7.5": 49.5, "FR@7.5": 3.25,
    }  # fmt: skip
    assert rows[1] == ["rest", 7, 0, None, None, None, None, 1.5, 99.5]
    assert subset_table(METRICS | {"stages": ["coarse", "fine"]})[0][2:4] == ["NME coarse", "NME fine"]
