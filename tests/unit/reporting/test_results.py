"""What an evaluation writes, from points whose errors are round numbers."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from canthus.data.face import Face
from canthus.evaluation.detection import DetectionResult
from canthus.evaluation.evaluation import Evaluation
from canthus.evaluation.files import read_metrics_json
from canthus.metrics import DetectedFaces, FaceTable
from canthus.reporting.results import write_results
from canthus.schemes import load_scheme

FIVE = np.array([[20.0, 20.0], [60.0, 20.0], [40.0, 40.0], [25.0, 60.0], [55.0, 60.0]])
MOVED = np.array([[[10.0, 0.0], [2.0, 0.0]], [[0.0, 20.0], [0.0, 6.0]], [[30.0, 0.0], [0.0, 12.0]]])
"""Of three faces, after each of two stages; eyes are 40 px apart: 25 and 5, 50 and 15, 75 and 30 percent."""


def measured() -> tuple[Evaluation, SimpleNamespace]:
    labels = np.stack([FIVE + 10 * number for number in range(3)])
    points = labels[:, None] + MOVED[:, :, None]
    points[0, 1, 2] += [0.0, 5.0]  # the tip of the nose alone is off by (2, 5) after the second stage
    visibility = np.full((3, 5), 2, np.uint8)
    visibility[1, 3:] = 1
    boxes = np.concatenate([labels.min(1), labels.max(1)], 1)
    faces = [
        Face(
            Path(f"a/{number}.jpg"), labels[number], visibility[number], boxes[number], "5", f"photo {number}",
            part="helen", attributes=frozenset({"blur", "pose"} if number == 2 else {"blur"} if number else ()),
        )
        for number in range(3)
    ]  # fmt: skip
    scheme = load_scheme("5")
    tensors = [torch.from_numpy(one) for one in (points, labels, visibility, boxes)]
    table = FaceTable.build(torch.arange(3), *tensors, "inter_pupil", scheme)
    members = {"blur": torch.tensor([False, True, True]), "pose": torch.tensor([False, False, True])}
    start = torch.tensor([100.0, 60.0, 80.0], dtype=torch.float64)
    result = Evaluation.of("test", table, members, scheme, threshold=20.0, normalisers=["box_diagonal"], initial=start)
    incomplete = {"helen": (3, 330)}
    data = SimpleNamespace(
        name="w300", scheme=scheme, corruption=None, faces=lambda split: faces, incomplete=lambda: incomplete
    )
    return result, data


@pytest.fixture
def written(tmp_path: Path) -> Path:
    write_results(tmp_path, *measured(), "dan", overlays=0)
    return tmp_path


NOSE = 100 * (4 * 2 + 29**0.5) / 5 / 40
"""Percent of the first face after the second stage."""


def test_metrics_json(written: Path) -> None:
    metrics = json.loads((written / "metrics.json").read_text())
    full, blur, pose = (metrics["subsets"][name] for name in ("full", "blur", "pose"))
    assert full["nme_per_stage"] == pytest.approx([50.0, (NOSE + 15 + 30) / 3])
    assert blur["nme_per_stage"] == pytest.approx([62.5, 22.5])
    assert (full["faces"], blur["faces"], pose["faces"]) == (3, 2, 1)
    assert full["nme"] == pytest.approx((NOSE + 45) / 3)
    assert [subset["nme_initial"] for subset in (full, blur, pose)] == pytest.approx([80.0, 70.0, 80.0])
    assert full["auc"] == pytest.approx(100 * ((1 - NOSE / 20) + 0.25 + 0) / 3)
    assert blur["auc"] == pytest.approx(12.5)
    assert [subset["failure_rate"] for subset in (full, blur, pose)] == pytest.approx([100 / 3, 50.0, 100.0])
    assert blur["visible_only"] == pytest.approx({"faces": 2, "nme": 22.5})
    diagonal = 100 / np.hypot(40, 40)
    assert blur["other_normalisers"]["box_diagonal"]["nme_per_stage"] == pytest.approx([25 * diagonal, 9 * diagonal])
    expected = {name: [50.0, (5 + 45) / 3] for name in load_scheme("5").regions}
    expected["nose"] = [50.0, (100 * 29**0.5 / 40 + 45) / 3]
    assert metrics["regions"] == {name: pytest.approx(values) for name, values in expected.items()}
    assert (metrics["model"], metrics["data"], metrics["split"], metrics["scheme"]) == ("dan", "w300", "test", "5")


def test_predictions_csv(written: Path) -> None:
    with (written / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["a/0.jpg", "a/1.jpg", "a/2.jpg"]
    assert [row["attributes"] for row in rows] == ["", "blur", "blur;pose"]
    errors = [[float(row[f"nme_stage_{stage}"]) for stage in (1, 2)] for row in rows]
    np.testing.assert_allclose(errors, [[25, NOSE], [50, 15], [75, 30]], atol=1e-4)
    points = np.array([[[float(row[f"{axis}{k}"]) for axis in "xy"] for k in range(5)] for row in rows])
    expected = np.stack([FIVE + 10 * number + MOVED[number, 1] for number in range(3)])
    expected[0, 2] += [0.0, 5.0]
    np.testing.assert_allclose(points, expected, atol=1e-4)
    assert [float(rows[1][f"box_{name}"]) for name in ("x1", "y1", "x2", "y2")] == [30.0, 30.0, 70.0, 70.0]


def test_summary_md(written: Path) -> None:
    lines = (written / "summary.md").read_text().splitlines()
    full = next(line for line in lines if line.startswith("| full |"))
    first = f"{(NOSE + 45) / 3:.2f}"
    assert full.startswith(f"| full | 3 | 80.00 | 50.00 | {first} | ")
    assert full.endswith(f" | {100 * (1.25 - NOSE / 20) / 3:.2f} | 33.33 |")
    assert "| pose | 1 | 80.00 | 75.00 | 30.00 | - | 0.00 | 100.00 |" in lines
    assert f"| blur | 22.50 | {900 / np.hypot(40, 40):.2f} | 22.50 |" in lines


def test_what_a_detector_found_stands_in_the_one_metrics_json(tmp_path: Path) -> None:
    """Both images hold one face: the first is found with certainty, on the second a box elsewhere is surer."""
    result, data = measured()
    label, other = np.array([[10.0, 10.0, 50.0, 60.0]]), np.array([[70.0, 70.0, 90.0, 90.0]])
    first = DetectedFaces(label, np.array([0.9]), label)
    second = DetectedFaces(np.concatenate([other, label]), np.array([0.95, 0.8]), label)
    found = DetectionResult("test", [0, 1], [[first, second]], [75.0], [100.0], 0.5)
    images = [SimpleNamespace(image=Path(f"{n}.png"), photo=n) for n in range(2)]
    data.images = lambda split: images
    data.image_reader = SimpleNamespace(pixels=lambda image: np.zeros((100, 100, 3), np.uint8))
    for times in (1, 2):  # and once more over what is there
        metrics = write_results(
            tmp_path, result, data, "mtcnn", overlays=0, detection=found, trained_on={"faces": times, "images": 2}
        )
        assert metrics == read_metrics_json(tmp_path / "metrics.json")
        assert (metrics["model"], metrics["trained_on"], metrics["subsets"]["full"]["faces"]) == ("mtcnn", times, 3)
        boxes = metrics["detection"]
        assert (boxes["images"], boxes["faces"], boxes["trained_on"]) == (2, 2, 2)
        assert (boxes["ap"], boxes["recall"], boxes["boxes_per_stage"]) == (75.0, 100.0, [1.5])
    assert {"roc.png", "detections.png"} <= {path.name for path in tmp_path.iterdir()}
    write_results(tmp_path, result, data, "dan", overlays=0)
    assert "detection" not in read_metrics_json(tmp_path / "metrics.json")
