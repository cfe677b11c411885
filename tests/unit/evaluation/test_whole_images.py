"""From the whole image to points: what a detector finds, misses and invents, and the errors in its boxes."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from canthus.commands.evaluate import check_detector, detector_words
from canthus.data.augment import Augmentation
from canthus.data.face import Face
from canthus.evaluation.whole_images import FoundFaces, find_faces, measure_whole_images, refined
from canthus.geometry.box_pca import BoxPCA
from canthus.reporting.results import write_box_noise
from canthus.reporting.tables import END_TO_END, end_to_end_rows
from canthus.schemes import load_scheme
from canthus.utils.errors import ConfigError

SCHEME = load_scheme("68")
RANDOM = np.random.default_rng(0)
SHAPE = RANDOM.uniform(0, 1, (68, 2)) * 60
SHAPE[0], SHAPE[1] = 0, 60  # so that the tight box has a side of 60


def face(name: str, corner: float) -> Face:
    points = SHAPE + corner
    box = np.concatenate([points.min(0), points.max(0)])
    return Face(Path(name), points, np.full(68, 2, np.uint8), box, "68", name, "part")


FACES = [face("a", 10), face("a", 110), face("b", 20), face("c", 30)]
FOUND = {
    "a": [[9.0, 10, 70, 71], [300.0, 300, 350, 350], [112.0, 110, 170, 170]],  # of both faces, and a false one
    "b": [[60.0, 60, 130, 130]],  # too far away: it is missed, and false
    "c": [[30.0, 30, 90, 90]],
}


class Model:
    depth, scheme = 2, SCHEME


class Predictor:
    """Lays the shape into the box: its first stage 3 pixels to the right, its last where the box is."""

    model = Model()

    def __call__(self, pixels: Any, boxes: Any) -> list[Any]:
        placed = []
        for box in boxes:
            points = SHAPE * (box[2:] - box[:2]) / 60 + box[:2]
            placed.append(SimpleNamespace(stages=np.stack([points + np.array([3, 0]), points]), landmarks=points))
        return placed


class Data:
    """A split of three images."""

    scheme, reader = SCHEME, SimpleNamespace(pixels=lambda image: image.name, scheme="68")

    def faces(self, split: str) -> list[Face]:
        return FACES

    def subset_members(self, split: str) -> dict[str, Any]:
        return {}


def finder(pixels: str) -> list[Any]:
    return [SimpleNamespace(box=np.array(box)) for box in FOUND[pixels]]


@pytest.fixture
def found() -> FoundFaces:
    return find_faces(Data(), "val", Predictor(), finder)  # type: ignore[arg-type]


def test_faces_are_found_missed_and_invented(found: FoundFaces) -> None:
    assert found.found.tolist() == [True, True, False, True]
    assert (found.images, found.false) == (3, 2)
    assert found.boxes[1].tolist() == [112, 110, 170, 170]
    assert np.isnan(found.points[2]).all()
    expected = SHAPE * np.array([61.0, 61.0]) / 60 + [9.0, 10.0]
    assert found.points[0, 1] == pytest.approx(expected)
    assert found.points[0, 0] == pytest.approx(expected + np.array([3, 0]))
    assert found.in_label_boxes[:, 1] == pytest.approx(np.stack([one.landmarks for one in FACES]))


def test_errors_are_those_of_the_found_faces(found: FoundFaces) -> None:
    whole = measure_whole_images(
        Data(), "val", found, "zoo/mtcnn", 0, normaliser="box", normalisers=[], threshold=8.0  # type: ignore[arg-type]
    )  # fmt: skip
    report = whole.report
    by_hand = [100 * np.linalg.norm(found.points[n, 1] - FACES[n].landmarks, axis=1).mean() / 60 for n in (0, 1, 3)]
    assert report["nme"] == pytest.approx(np.mean(by_hand), rel=1e-6)
    assert report["nme"] > 0.5
    assert report["nme_in_label_boxes"] == pytest.approx(0, abs=1e-9) or report["ratio"] > 1e6
    assert [report[key] for key in ("faces", "found", "false_faces", "images")] == [4, 3, 2, 3]
    assert (report["recall"], report["false_per_image"]) == (75.0, pytest.approx(2 / 3))
    assert whole.evaluation.summaries()["full"]["failure_rate"] == 25.0  # the face that was missed
    metrics: Any = {"end_to_end": {**report, "nme_in_label_boxes": 1.0, "ratio": report["nme"]}}
    assert dict(zip(END_TO_END, end_to_end_rows(metrics), strict=True))["recall %"] == 75.0
    with pytest.raises(ValueError, match="damaged"):
        end_to_end_rows({"end_to_end": {"detector": "x"}})  # type: ignore[typeddict-item]


def test_a_second_pass_looks_into_the_box_of_the_points() -> None:
    pixels: Any = np.zeros((400, 400, 3), np.uint8)
    seen = []

    def predictor(image: Any, boxes: Any) -> list[Any]:
        seen.append(boxes.tolist())
        return Predictor()(image, boxes)

    predictor.model = Model()  # type: ignore[attr-defined]
    first = Predictor()(pixels, np.array([[10.0, 10, 40, 70]]))
    lost = SimpleNamespace(landmarks=np.full((68, 2), np.nan))
    again = refined(predictor, pixels, [*first, lost])  # type: ignore[arg-type]
    assert seen == [[[10.0, 10.0, 40.0, 70.0]]]
    assert again[1] is lost
    predictor.model = SimpleNamespace(scheme=load_scheme("5"))  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="5 points is not the box of a face"):
        refined(predictor, pixels, first)  # type: ignore[arg-type]


def test_the_measured_boxes_are_those_that_training_draws(found: FoundFaces, tmp_path: Path) -> None:
    """By way of the file: mean and spread of drawn boxes are those of the found ones."""
    write_box_noise(tmp_path, found.box_noise(), "zoo/mtcnn\nmean: 1")
    text = (tmp_path / "box_noise.yaml").read_text()
    assert text.startswith("# @package data.augmentation\n")
    content = yaml.safe_load(text)
    assert list(content) == ["box_noise"]
    relative = (found.boxes - np.tile((found.labels[:, :2] + found.labels[:, 2:]) / 2, 2)) / 60
    relative = relative[found.found]
    assert content["box_noise"]["mean"] == pytest.approx(relative.mean(0), abs=1e-4)
    augmentation = Augmentation(box_noise=content["box_noise"])
    box = torch.tensor([[100.0, 50.0, 300.0, 150.0]]).repeat(20000, 1)
    drawn = augmentation.draw_boxes(box, torch.Generator().manual_seed(0))
    sides, centre = torch.tensor([200.0, 100.0]).repeat(2), torch.tensor([200.0, 100.0]).repeat(2)
    shares = ((drawn - centre) / sides).numpy()
    assert shares.mean(0) == pytest.approx(relative.mean(0), abs=2e-3)
    assert np.cov(shares.T) == pytest.approx(np.cov(relative.T), abs=2e-4)
    assert Augmentation().draw_boxes(box, torch.Generator()) is box
    for wrong in ({"mean": [0, 0, 1, 1]}, {"mean": [1, 0, 0, 1], "axes": [[0] * 4] * 4}, {"mean": 3, "axes": "x"}):
        with pytest.raises(ValueError, match=r"augmentation.box_noise is .* has to hold|no box"):
            Augmentation(box_noise=wrong)
    assert BoxPCA.of_numbers(content["box_noise"]).numbers() == content["box_noise"]


def test_what_does_not_go_together_is_told() -> None:
    def check(conditions: bool = False, **values: Any) -> None:
        settings = {"detector": "zoo/mtcnn", "refine": 0, "data": {}} | values
        check_detector(SimpleNamespace(**settings), conditions)  # type: ignore[arg-type]

    check()
    check(refine=2)
    for values, words in (
        ({"refine": -1}, "refine=-1"),
        ({"detector": None, "refine": 1}, "add detector=zoo/mtcnn"),
        ({"conditions": True}, "leave out corruptions"),
        ({"data": {"corruption": "blur"}}, "leave out data.corruption"),
    ):
        with pytest.raises(ConfigError, match=words):
            check(**values)


def test_a_run_is_a_detector() -> None:
    words = ["run=zoo/dan", "detector=zoo/mtcnn", "detector.min_size=40"]
    assert detector_words(words) == [words[0], "detector=mtcnn", "detector.run=zoo/mtcnn", words[2]]
    assert detector_words(["detector=mtcnn"]) == ["detector=mtcnn"]
    assert detector_words(["detector=none", "detector='/a b'"]) == [
        "detector=none",
        "detector=mtcnn",
        "detector.run='/a b'",
    ]
