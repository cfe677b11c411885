"""Mirroring images, labels and predictions leaves every error as it is, through the whole evaluation path.

Wrong frames (``W - x`` for ``W - 1 - x``), lost pairs of a permutation and one-pixel origins all show here.
"""

import csv
import json
from collections.abc import Iterable
from pathlib import Path

import cv2
import lightning
import numpy as np
import pytest
import torch

from canthus.callbacks.evaluator import Evaluator
from canthus.data import face_data
from canthus.data.batch import InputSpec
from canthus.data.face import Face, Reader
from canthus.data.readers import W300, YTF68, write_pts
from canthus.geometry.boxes import centred_box
from canthus.models.base import LandmarkModel
from canthus.models.estimates import Estimates
from canthus.schemes import load_scheme

FLIP = list(load_scheme(68).flip)


def mirrored(points: np.ndarray, width: int) -> np.ndarray:
    return np.stack([width - 1 - points[FLIP, 0], points[FLIP, 1]], 1)


def write_w300(root: Path, faces: Iterable[tuple[str, str, np.ndarray, np.ndarray]]) -> None:
    for part, name, pixels, points in faces:
        (root / part).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / part / name), pixels[..., ::-1])
        write_pts(root / part / f"{Path(name).stem}.pts", points)


def write_ytf68(root: Path, faces: Iterable[tuple[str, str, np.ndarray, np.ndarray]]) -> None:
    (root / "training").mkdir(parents=True)
    with (root / "training_frames_keypoints.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["", *range(136)])
        for _, name, pixels, points in faces:
            cv2.imwrite(str(root / "training" / name), pixels[..., ::-1])
            rows.writerow([name, *points.reshape(-1)])


WRITERS = {"w300": write_w300, "ytf68": write_ytf68}


def write_both(folder: Path, data: str, reader: Reader, faces: list[Face]) -> None:
    """Trees ``plain`` and ``mirrored`` of the same faces, with predictions that err by some pixels."""
    random = np.random.default_rng(0)
    trees = {"plain": [], "mirrored": []}
    predictions = {"plain": {}, "mirrored": {}}
    for face in faces:
        pixels = reader.pixels(face.image)
        name = face.image.name
        guess = face.landmarks + random.normal(0, 3, (68, 2)) + random.normal(0, 3, 2)
        width = pixels.shape[1]
        trees["plain"].append((face.part, name, pixels, face.landmarks))
        trees["mirrored"].append((face.part, name, pixels[:, ::-1], mirrored(face.landmarks, width)))
        predictions["plain"][f"{face.part}/{name}"] = guess.tolist()
        predictions["mirrored"][f"{face.part}/{name}"] = mirrored(guess, width).tolist()
    for which, found in predictions.items():
        WRITERS[data](folder / which, trees[which])
        (folder / f"{which}.json").write_text(json.dumps(found))


def scores(folder: Path, data: str, parts: list[str], run_command) -> dict[str, dict]:
    for which in ("plain", "mirrored"):
        arguments = [f"data={data}", f"data.root={folder / which}", f"data.test_parts=[{','.join(parts)}]"]
        arguments += ["data.allow_partial=true"] if data == "w300" else []  # the default of ytf68
        arguments += [f"paths.cache={folder / 'cache'}", "normalisers=all", "overlays=0"]
        predictions = f"predictions={folder / which}.json"
        assert run_command("evaluate", predictions, *arguments, f"output={folder / 'out' / which}") == 0
    return {w: json.loads((folder / "out" / w / "metrics.json").read_text()) for w in ("plain", "mirrored")}


def largest_difference(found: dict[str, dict]) -> float:
    """Over every subset, normaliser and region; a region is compared with the one that it becomes."""
    swap = {"left": "right", "right": "left"}
    plain, other = found["plain"], found["mirrored"]
    assert plain["subsets"].keys() == other["subsets"].keys()
    pairs = []
    for name, subset in plain["subsets"].items():
        twin = other["subsets"][name]
        pairs += [(subset[key], twin[key]) for key in ("faces", "nme", "auc", "failure_rate")]
        assert len(subset["other_normalisers"]) == 5
        pairs += [(v["nme"], twin["other_normalisers"][n]["nme"]) for n, v in subset["other_normalisers"].items()]
    for name, values in plain["regions"].items():
        counterpart = "_".join(swap.get(word, word) for word in name.split("_"))
        pairs.append((values[-1], other["regions"][counterpart][-1]))
    return max(abs(a - b) for a, b in pairs)


def sample(reader: Reader, parts: list[str], count: int) -> list[Face]:
    """The same number of faces of each part, spread over it."""
    faces = []
    for part in parts:
        found = reader.faces([part])
        rows = np.linspace(0, len(found) - 1, min(count, len(found))).astype(int)
        faces += [found[row] for row in rows]
    return faces


SETS = {"w300": (W300, ["helen/trainset", "afw"]), "ytf68": (YTF68, ["training"])}


@pytest.mark.parametrize("data", SETS)
def test_mirrored_predictions_have_the_same_errors(data, real_data, run_command, tmp_path) -> None:
    kind, parts = SETS[data]
    reader = kind(real_data / ("300w" if data == "w300" else data), allow_partial=True)
    write_both(tmp_path, data, reader, sample(reader, parts, 12))
    found = scores(tmp_path, data, parts, run_command)
    assert largest_difference(found) < 1e-6
    errors = np.array([subset["nme"] for subset in found["plain"]["subsets"].values()])
    assert (errors > 1).all()  # there was something to compare


class Oracle(LandmarkModel):
    """Knows the labels and errs by a fixed pattern, or by that pattern seen in a mirror."""

    name = "oracle"

    def __init__(self, mirrored: bool) -> None:
        super().__init__(scheme=68, stages=1, optimizer=torch.optim.SGD)
        offsets = 3 * torch.randn(68, 2, generator=torch.Generator().manual_seed(0))
        self.offsets = offsets[FLIP] * torch.tensor([-1.0, 1.0]) if mirrored else offsets

    @property
    def input(self) -> InputSpec:
        return InputSpec(112, 1, centred_box(112, 0.6))

    def estimates(self, batch) -> Estimates:
        return Estimates([batch["landmarks"] + self.offsets])

    def losses(self, batch, estimates):
        return {}

    def stage_parameters(self, stage):
        return iter(())


@pytest.mark.parametrize("data", SETS)
def test_mirrored_faces_have_the_same_errors_under_a_model(data, real_data, tmp_path) -> None:
    """Through store, crop and evaluator, in single precision."""
    kind, parts = SETS[data]
    reader = kind(real_data / ("300w" if data == "w300" else data), allow_partial=True)
    write_both(tmp_path, data, reader, sample(reader, parts, 12))
    errors = []
    for which in ("plain", "mirrored"):
        model, evaluator = Oracle(which == "mirrored"), Evaluator()
        options = {"root": tmp_path / which, "test_parts": parts, "cache": tmp_path / "cache", "name": data}
        module = face_data(model.input, f"canthus.data.readers.{kind.__name__}", allow_partial=True, **options)
        settings = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
        trainer = lightning.Trainer(accelerator="cpu", callbacks=[evaluator], default_root_dir=tmp_path, **settings)
        trainer.test(model, module, verbose=False)
        errors.append(evaluator.result.table.nme[:, -1])
    assert errors[0].mean() > 1
    torch.testing.assert_close(errors[0], errors[1], rtol=1e-5, atol=0)
