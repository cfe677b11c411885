import csv
import re
from importlib import resources

import pytest

from canthus.reporting.published import published_beside, published_results

KEYS = ("dataset", "subset", "metric")


def file_rows():
    text = resources.files("canthus.reporting").joinpath("published.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


def test_every_row_has_its_provenance():
    rows = file_rows()
    assert len(rows) == 697
    assert all(row["source"] and row["status"] for row in rows)
    words = {"own", "secondary", "reimplementation", "computed"}
    assert {row["status"].split(",")[0].split(" (")[0] for row in rows} == words


def test_a_number_of_the_literature():
    rows = {row.method: row for row in published_results("WFLW", "pose")}
    lab = rows["LAB"]
    assert (lab.value, lab.year, lab.params_m, lab.gflops) == (10.24, 2018, 12.26, 18.96)
    assert (lab.normaliser, lab.status) == ("inter_ocular", "secondary")
    assert lab.source == "table image in HeatmapInHeatmap repo"


@pytest.mark.parametrize("data", ["300W", "w300", "300-w"])
def test_different_normalisers_never_share_a_column(data):
    with pytest.raises(ValueError, match=r"NME on 300W full .* 2 normalisers: inter_ocular, inter_pupil;"):
        published_results(data, "full")
    for normaliser in ("inter_ocular", "inter_pupil"):
        rows = published_results(data, "full", normaliser=normaliser)
        assert rows
        assert {row.normaliser for row in rows} == {normaliser}


def test_no_call_gives_two_normalisers():
    rows = file_rows()
    for row in rows:
        column = (row["dataset"], row["subset"], row["metric"])
        normalisers = {each["normaliser"] for each in rows if tuple(each[key] for key in KEYS) == column}
        if len(normalisers) == 1:
            found = published_results(*column[:2], metric=column[2])
            assert {each.normaliser for each in found} == normalisers
        else:
            with pytest.raises(ValueError, match=re.escape(", ".join(sorted(normalisers)))):
                published_results(*column[:2], metric=column[2])


def test_every_row_can_be_had():
    for row in file_rows():
        found = published_results(row["dataset"], row["subset"], metric=row["metric"], normaliser=row["normaliser"])
        scale = 100 if row["metric"].startswith("AUC") else 1
        assert (row["method"], pytest.approx(float(row["value"]) * scale)) in [
            (each.method, each.value) for each in found
        ]


def test_best_first():
    errors = [row.value for row in published_results("wflw")]
    areas = [row.value for row in published_results("wflw", metric="AUC@0.10")]
    assert errors == sorted(errors)
    assert areas == sorted(areas, reverse=True)
    assert areas[0] > 60  # percent


def test_no_row_rests_on_memory():
    assert not [row for row in file_rows() if "memory" in row["source"] or "recalled" in " ".join(row.values())]


@pytest.mark.parametrize(
    ("data", "subset", "metric", "method", "status"),
    [
        ("WFLW", "blur", "NME", "DCFE", "doubtful: the four values from illumination to blur are DVLN's"),
        ("300W", "full", "NME", "SAN", "its table is headed inter-pupil"),
    ],
)
def test_what_is_odd_is_said(data, subset, metric, method, status):
    normaliser = "inter_ocular"
    (row,) = (r for r in published_results(data, subset, metric=metric, normaliser=normaliser) if r.method == method)
    assert status in row.status


def test_failure_rates_of_wing_stand_beside_the_errors_of_the_same_network():
    names = {row["method"] for row in file_rows() if row["source"].startswith("table image in AdaptiveWingLoss")}
    assert {name for name in names if name.startswith("Wing")} == {"Wing (CNN6/7 version)"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": "WFLV"}, r"data set 'WFLV', nearest 'WFLW'; there are: .*300W.*WIDER FACE"),
        ({"data": "WFLW", "subset": "blurr"}, r"subset of WFLW 'blurr', nearest 'blur'; there are: blur, "),
        ({"data": "WFLW", "metric": "AUC@0.1"}, r"metric of WFLW 'AUC@0.1', nearest 'AUC@0.10'"),
        ({"data": "300W", "normaliser": "interocular"}, r"normaliser of 300W 'interocular', nearest 'inter_ocular'"),
    ],
)
def test_unknown_names(arguments, message):
    with pytest.raises(ValueError, match=message):
        published_results(**arguments)


def test_beside_an_evaluation_stand_the_same_faces_and_normaliser_only():
    rows = published_beside("w300", "68", "full", "inter_ocular", 689)
    assert {(row.data, row.subset, row.normaliser, row.metric) for row in rows} == {
        ("300W", "full", "inter_ocular", "NME")
    }
    assert [row.value for row in rows] == sorted(row.value for row in rows)
    assert published_beside("w300", "68", "full", "inter_ocular", 135) == []  # iBUG alone is called full, too
    assert published_beside("w300", "68", "afw", "inter_ocular", 337) == []
    assert published_beside("synthetic", "68", "full", "inter_ocular", 689) == []
    assert {row.subset for row in published_beside("cofw", "29", "full", "inter_pupil", 507)} == {"test"}


def test_fewer_points_are_another_error():
    from canthus.reporting.published import _FACES, _SCHEMES

    assert _FACES.keys() == _SCHEMES.keys()
    assert published_beside("w300", "68", "full", "inter_ocular", 689)
    assert published_beside("w300", "51", "full", "inter_ocular", 689) == []
    assert published_beside("wflw", "68", "full", "inter_ocular", 2500) == []


def test_one_word_for_two_distances_is_no_match():
    """AFLW-19's published box is the face box; canthus calls box that of the landmarks."""
    assert published_beside("aflw19", "19", "full", "box", 4386) == []
    for ours, theirs in (("face_box", "box"), ("face_box_diagonal", "diag")):
        rows = published_beside("aflw19", "19", "full", ours, 4386)
        assert rows
        assert {row.normaliser for row in rows} == {theirs}


def test_every_official_subset_has_numbers():
    from canthus.reporting.published import _FACES, _SCHEMES

    found = {
        (data, n): published_beside(data, _SCHEMES[data], n, "inter_ocular", k)
        for data in _FACES
        for n, k in _FACES[data].items()
    }
    assert {key for key, rows in found.items() if not rows} == {("cofw68", "full"), ("aflw19", "full")}
