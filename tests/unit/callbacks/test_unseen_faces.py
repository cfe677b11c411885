"""Test faces train and choose nothing: what would break that is refused."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from canthus.callbacks.faces import EvaluatedFaces, TrainingFaces
from canthus.data.datamodule import FaceDataModule
from canthus.data.face import Face, Reader
from canthus.data.readers import W300
from canthus.data.remembered import FaceList
from canthus.reporting.tables import incomplete_text
from canthus.utils.errors import ConfigError


class Files(Reader):
    scheme = "5"

    def faces(self, parts: Sequence[str]) -> list[Face]:
        return []


def face(part: str, number: int) -> Face:
    points = np.random.default_rng([number, *part.encode()]).uniform(0, 100, (5, 2))
    box = np.array([0.0, 0.0, 100.0, 100.0])
    name = f"{part}/{number}"
    return Face(Path(f"{name}.jpg"), points, np.full(5, 2, np.uint8), box, "5", name, part)


TRAIN, VAL, TEST = ([face(part, number) for number in range(4)] for part in ("train", "val", "test"))


class Data:
    """Faces of a split that is evaluated."""

    name = "own"

    def __init__(self, faces: list[Face]) -> None:
        self._faces = faces

    def lists(self, split: str) -> Iterator[tuple[str, list[Face], Reader]]:
        yield "faces", self._faces, Files()


def evaluated(faces: list[Face], *, unseen: bool) -> EvaluatedFaces:
    known = FaceList.of_faces("own", Files(), train=TRAIN, val=VAL).remembered()
    callback = EvaluatedFaces(known, own=True, allow=False, unseen=unseen)
    callback.setup(SimpleNamespace(datamodule=Data(faces)), None, "test")  # type: ignore[arg-type]
    return callback


def test_faces_that_trained_or_chose_a_run_are_refused_where_unseen_ones_are_asked_for() -> None:
    assert evaluated(TEST, unseen=True).counts == {"faces": 0}
    with pytest.raises(ConfigError, match=r"^1 of the 5 faces to evaluate \(2\.jpg\) trained or chose this run"):
        evaluated([*TEST, TRAIN[2]], unseen=True)
    with pytest.raises(ConfigError, match=r"^2 of the 6 faces to evaluate \(0\.jpg, 1\.jpg\)"):
        evaluated([*TEST, *VAL[:2]], unseen=True)
    assert evaluated([*TEST, TRAIN[2], *VAL], unseen=False).counts == {"faces": 1}


def training(**options: Any) -> None:
    module = SimpleNamespace(**({"train_parts": ["a", "b"], "test_parts": ["c"], "include_test": False} | options))
    TrainingFaces(Path("x"), None, None).setup(SimpleNamespace(datamodule=module), None, "fit")  # type: ignore[arg-type]


def test_a_part_cannot_train_and_test() -> None:
    with pytest.raises(ConfigError, match=r"^b stands in data.train_parts and in data.test_parts"):
        training(test_parts=["b", "c"])
    with pytest.raises(AttributeError):  # it goes on, to faces that this stand-in does not have
        training()
    with pytest.raises(AttributeError):
        training(test_parts=["b"], include_test=True)


def test_a_subset_without_one_of_its_parts_is_no_row() -> None:
    data = SimpleNamespace(
        faces=lambda split: TEST, test_parts=["test"], train_parts=[], subsets={"all": ("test",), "more": ("test", "x")}
    )
    members = FaceDataModule.subset_members(data, "test")  # type: ignore[arg-type]
    assert {name: mask.tolist() for name, mask in members.items()} == {"all": torch.ones(4).bool().tolist()}


def test_a_part_that_is_not_at_hand_as_a_whole_is_told() -> None:
    published = W300("nowhere").published(["helen/testset", "ibug", "Test/01_Indoor", "mine"])
    assert published == {"helen/testset": 330, "ibug": 135, "Test/01_Indoor": 300}
    data = SimpleNamespace(
        reader=SimpleNamespace(published=lambda parts: {"test": 9, "small": 0}), test_parts=["test"],
        faces=lambda split: TEST,
    )  # fmt: skip
    found = FaceDataModule.incomplete(data)  # type: ignore[arg-type]
    assert found == {"test": (4, 9)}
    metrics: Any = {"incomplete": found | {"odd": "text", "odder": [1, 2.5]}}
    assert incomplete_text(metrics) == "4 of the 9 faces of test; the others were not at hand."
    assert incomplete_text({"incomplete": 3}) == ""  # type: ignore[typeddict-item]
