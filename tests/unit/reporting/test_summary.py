import json
import re
from urllib.parse import unquote

import cv2
import numpy as np
import pytest

from canthus.evaluation.files import write_metrics_json
from canthus.reporting.summary import write_summary
from canthus.visualization.curves import ced_figure

SUBSET = {"faces": 330, "nme": 4.12, "nme_per_stage": [5.3, 4.12], "auc": 49.1, "failure_rate": 3.0}
SUBSETS = {"full": SUBSET, "common": SUBSET, "challenging": SUBSET}


@pytest.fixture
def run_folder(tmp_path):
    """An evaluated run with everything a summary can show."""
    write_metrics_json(
        tmp_path / "metrics.json",
        model="dan",
        data="w300",
        normaliser="inter_ocular",
        threshold=8.0,
        subsets=SUBSETS,
        regions={"jaw": [8.5, 7.25], "mouth": [4.0, 3.5]},
    )
    ced_figure({"stage 1": [5.0, 6.0]}, tmp_path / "ced.png", threshold=8.0, normaliser="inter_ocular")
    for name in ("worst/face 1.png", "best/face 2.jpg", "face (3).png"):
        path = tmp_path / "overlays" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.zeros((8, 8, 3), np.uint8))
    provenance = {"git": {"commit": "abc123", "dirty": False}, "argv": ["canthus-train", "seed=0"], "pip": "x" * 999}
    (tmp_path / "provenance.json").write_text(json.dumps(provenance))
    return tmp_path


def test_summary_names_everything_and_its_links_exist(run_folder):
    text = write_summary(run_folder, shown=2).read_text(encoding="utf-8")
    for word in (*SUBSETS, "jaw", "mouth", "inter_ocular", "dan", "w300", "7.25", "AUC@8", "abc123", "canthus-train"):
        assert word in text
    assert "x" * 999 not in text
    links = re.findall(r"\]\(([^)]*)\)", text)
    assert {"ced.png", "metrics.json", "overlays/worst/face%201.png", "overlays/face%20%283%29.png"} <= set(links)
    for link in links:
        assert (run_folder / unquote(link)).is_file(), link
    assert text.count("![") == 3  # the curve and two of the three overlays


def test_summary_needs_only_metrics(run_folder):
    for path in sorted(run_folder.rglob("*"), reverse=True):
        if path.is_dir():
            path.rmdir()
        elif path.name != "metrics.json":
            path.unlink()
    text = write_summary(run_folder).read_text(encoding="utf-8")
    assert "## Subsets" in text
    assert "## Faces" not in text
    assert "## Provenance" not in text


def test_summary_of_an_unevaluated_run_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="canthus-eval run="):
        write_summary(tmp_path)


def test_published_numbers_stand_beside_a_whole_test_set(tmp_path):
    other = {"other_normalisers": {"inter_pupil": {"nme": 5.55, "nme_per_stage": [5.55]}}}
    subsets = {
        "full": SUBSET | other | {"faces": 689},
        "challenging": SUBSET | other | {"faces": 135},
        "odd": SUBSET | other,
    }
    content = {"model": "dan", "data": "w300", "normaliser": "inter_ocular", "threshold": 8.0, "scheme": "68"}
    text = {}
    for split in ("test", "val"):
        write_metrics_json(tmp_path / split / "metrics.json", **content, subsets=subsets, split=split)
        text[split] = write_summary(tmp_path / split).read_text(encoding="utf-8")
    assert "## Published" not in text["val"]
    _, section = text["test"].split("## Published on these faces")
    ocular, pupil = section.split("### In % of ")[1:]
    assert ocular.startswith("inter_ocular")
    assert "| **dan** | - | 4.12 | 4.12 | this evaluation | - |" in ocular
    assert "| **dan** | - | 5.55 | 5.55 | this evaluation | - |" in pupil
    assert "| CFAN | 2014 | 7.69 | 16.78 |" in pupil
    assert "CFAN" not in ocular
    assert "odd" not in section


@pytest.mark.parametrize(
    ("changes", "of_full", "beside"),
    [
        ({}, {}, {"full", "challenging"}),
        ({"scheme": "51"}, {}, set()),
        ({"corruption": "blur", "severity": 3}, {}, set()),
        ({}, {"missing": 0}, {"full", "challenging"}),
        ({}, {"missing": 2}, {"challenging"}),  # the full NME is over 687 faces then
    ],
)
def test_nothing_published_beside_other_errors(changes, of_full, beside, tmp_path):
    subsets = {"full": SUBSET | {"faces": 689} | of_full, "challenging": SUBSET | {"faces": 135}}
    content = {"model": "dan", "data": "w300", "normaliser": "inter_ocular", "threshold": 8.0, "scheme": "68"}
    write_metrics_json(tmp_path / "metrics.json", **content | changes, subsets=subsets, split="test")
    text = write_summary(tmp_path).read_text(encoding="utf-8")
    column = re.search(r"\| method \| year \| (.*) \| source", text)
    assert (set(column[1].split(" | ")) if column else set()) == beside
    corrupted = " under blur 3" if "corruption" in changes else ""
    assert text.startswith(f"# dan on w300 test{corrupted}\n")
