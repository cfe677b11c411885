"""The detection evaluator: exact numbers from known boxes, over processes, and the files that it leaves."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from canthus.callbacks.detection_evaluator import DetectionEvaluator
from canthus.evaluation.detection import write_matches
from canthus.metrics.proposals import GatheredDetections
from canthus.reporting.detection import draw_detection, print_detection
from canthus.studies.claims.figures import Detected

FACES = [[(10.0, 10.0, 50.0, 50.0)], [], [(20.0, 20.0, 60.0, 70.0), (80.0, 20.0, 99.0, 39.0)]]
ATTRIBUTES = [[{"easy", "hard"}], [], [{"hard", "invalid"}, {"hard"}]]


class Data:
    """Three images; the second shows nobody, the last face of the third does not count."""

    name = "made"
    image_reader = SimpleNamespace(pixels=lambda image: np.full((90, 120, 3), 128, dtype=np.uint8))

    def images(self, split):
        return [
            SimpleNamespace(
                boxes=np.array(boxes).reshape(-1, 4),
                faces=[SimpleNamespace(attributes=frozenset(names)) for names in attributes],
                ignored=np.array(["invalid" in names for names in attributes], dtype=bool),
                image=None,
                photo=f"image {number}",
            )
            for number, (boxes, attributes) in enumerate(zip(FACES, ATTRIBUTES, strict=True))
        ]

    def ignored(self, split):
        return [np.array([False]), np.zeros(0, dtype=bool), np.array([False, True])]


class Module:
    device = torch.device("cpu")

    def __init__(self):
        self.logged = {}

    def log(self, name, value, **_):
        self.logged[name] = float(value)


def boxes_of(*rows):
    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 5)
    return table[:, 1:], table[:, 0]


FIRST = [  # a stage that finds both faces, and doubles
    boxes_of((0.9, 10, 10, 50, 50), (0.8, 12, 10, 52, 50)),
    boxes_of((0.7, 0, 0, 30, 30)),
    boxes_of((0.6, 20, 20, 60, 72), (0.5, 80, 20, 99, 39)),
]
SECOND = [boxes_of((0.95, 10, 10, 50, 51)), boxes_of(), boxes_of((0.4, 0, 0, 20, 20))]


def evaluated(order=(0, 1, 2)):
    evaluator, module = DetectionEvaluator(), Module()
    trainer = SimpleNamespace(datamodule=Data())
    evaluator.on_validation_epoch_start(trainer, module)
    evaluator.on_validation_batch_end(trainer, module, {"estimates": None}, {"index": torch.tensor([0])})
    for photo in order:
        outputs = {"detections": [[FIRST[photo], SECOND[photo]]]}
        evaluator.on_validation_batch_end(trainer, module, outputs, {"index": torch.tensor([photo])})
    evaluator.on_validation_epoch_end(trainer, module)
    return evaluator.result, module.logged


def test_recall_and_precision_of_every_stage():
    result, logged = evaluated()
    assert result.recall == (100.0, 50.0)
    assert result.faces == 2
    # sorted: true, double, false, true, ignored: precision 1 at half of the faces, then 2 / 4
    assert result.average_precision[0] == pytest.approx(75.0)
    assert result.average_precision[1] == pytest.approx(50.0)
    assert logged["val/ap"] == logged["val/ap_stage2"] == pytest.approx(50.0)
    assert logged["val/recall_stage1"] == 100
    report = result.report()
    assert report["images"] == 3
    assert report["recall_per_stage"] == [100, 50]
    assert report["boxes_per_stage"] == pytest.approx([5 / 3, 2 / 3])


def test_faces_with_an_attribute():
    """Small faces count there, those that the data set ignores do not; what finds another face is no mistake."""
    result, _ = evaluated()
    assert result.subsets() == {
        "easy": {"faces": 1, "ap": pytest.approx(100.0), "recall": 100.0},
        "hard": {"faces": 2, "ap": pytest.approx(50.0), "recall": 50.0},
    }
    assert result.report()["subsets"] == result.subsets()


def test_the_order_of_batches_changes_nothing():
    first, second = evaluated()[0], evaluated((2, 0, 1))[0]
    assert first.report() == second.report()
    assert list(first.photo) == list(second.photo) == [0, 1, 2]


def test_without_images_there_is_no_result():
    evaluator, module, trainer = DetectionEvaluator(), Module(), SimpleNamespace(datamodule=Data())
    evaluator.on_test_epoch_start(trainer, module)
    evaluator.on_test_batch_end(trainer, module, {"estimates": None}, {})
    evaluator.on_test_epoch_end(trainer, module)
    assert evaluator.result is None
    assert not module.logged


def test_processes_together_give_what_one_gives():
    """What two processes gather is what one would have kept."""
    whole, parts = GatheredDetections(), [GatheredDetections(), GatheredDetections()]
    for photo in range(3):
        update = (torch.tensor([photo]), [[FIRST[photo], SECOND[photo]]])
        whole.update(*update)
        parts[photo % 2].update(*update)
    gathered = GatheredDetections()
    gathered.photos = [torch.cat([torch.cat(part.photos) for part in parts])]
    gathered.rows = [torch.cat([torch.cat(part.rows) for part in parts])]
    gathered.depth = parts[0].depth
    gathered._update_count = 1
    photos, found = gathered.compute()
    alone, expected = whole.compute()
    assert photos == alone == [0, 1, 2]
    assert len(found) == len(expected) == 2
    for stage, other in zip(found, expected, strict=True):
        for photo in photos:
            np.testing.assert_array_equal(stage[photo], other[photo])


def test_files_of_a_detection(tmp_path, capsys):
    result, _ = evaluated()
    draw_detection(tmp_path, result, Data(), score=0.3)
    assert (tmp_path / "roc.png").stat().st_size > 1000
    assert (tmp_path / "detections.png").stat().st_size > 300
    print_detection(result.report())
    shown = capsys.readouterr().out
    assert "50.00" in shown
    assert "hard" in shown


def test_the_boxes_that_are_kept_give_the_same_numbers(tmp_path):
    """What detections.json has of boxes and faces is all that average precision and recall need."""
    result, _ = evaluated()
    write_matches(tmp_path / "detections.json", result, Data())
    content, report = json.loads((tmp_path / "detections.json").read_text()), result.report()
    assert content["images"] == [f"image {number}" for number in range(len(FACES))]
    for stage, expected in enumerate(zip(report["ap_per_stage"], report["recall_per_stage"], strict=True)):
        boxes = {key: np.array(values) for key, values in content["stages"][stage].items()}
        units, faces = tuple(content["images"]), np.array(content["faces"], dtype=float)
        for kind, value in zip(("average_precision", "recall"), expected, strict=True):
            figure = Detected(kind, units, faces, boxes["image"], boxes["score"], boxes["match"])
            assert figure.value == pytest.approx(value)


def test_nothing_found_is_no_error(tmp_path):
    evaluator, module, trainer = DetectionEvaluator(), Module(), SimpleNamespace(datamodule=Data())
    evaluator.on_test_epoch_start(trainer, module)
    none = {"detections": [[boxes_of()] for _ in range(3)]}
    evaluator.on_test_batch_end(trainer, module, none, {"index": torch.arange(3)})
    evaluator.on_test_epoch_end(trainer, module)
    assert module.logged == {"test/ap": 0, "test/ap_stage1": 0, "test/recall": 0, "test/recall_stage1": 0}
    assert evaluator.result.report()["ap"] == 0
    draw_detection(tmp_path, evaluator.result, Data())
    write_matches(tmp_path / "detections.json", evaluator.result, Data())
