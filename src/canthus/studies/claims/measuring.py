"""From the files of evaluations, studies and trainings to the figures of a claim."""

import csv
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from canthus.evaluation.files import Prediction, read_errors, read_metrics_json, read_predictions
from canthus.reporting.claims import Claim
from canthus.studies.claims.config import ClaimConfig, Quantity
from canthus.studies.claims.figures import Correlated, Detected, Draws, Figure, Fixed, Mean, Verified
from canthus.studies.claims.rule import compared, verdict_of_claim
from canthus.utils.errors import DataError
from canthus.utils.files import read_json

__all__ = ["Places", "judged", "measured"]

AGAIN = "remove its folder and repeat the command"


class Places(Protocol):
    """Where the results of a claim's arms lie."""

    def run(self, arm: str, seed: int) -> Path:
        """Folder of a training."""

    def evaluation(self, arm: str, seed: int, quantity: Quantity) -> Path:
        """Folder of the evaluation that has a quantity."""

    def study(self, kind: str, seed: int) -> Path:
        """Folder of the study of all arms that verifications or times come from."""


def judged(claim: ClaimConfig, places: Places, seeds: tuple[int, ...], *, command: str) -> Claim:
    """Measure a claim whose arms are all trained and evaluated.

    Args:
        claim: its config.
        places: of the results.
        seeds: of the trainings.
        command: that gives the figures.

    Raises:
        DataError: files that do not belong together.
        ValueError: damaged files.
    """
    draws, contrasts = Draws(), []
    for pair in claim.pairs:
        figures = {seed: (measured(pair.better, places, seed), measured(pair.worse, places, seed)) for seed in seeds}
        contrasts.append(compared(pair, figures, draws, lower=claim.lower_is_better(pair)))
    one_run = all(arm.run for arm in claim.arms.values())
    trainings = f"{len(seeds)} training{'s' * (len(seeds) > 1)} (seed{'s' * (len(seeds) > 1)} "
    trainings = "released weights" if one_run else trainings + f"{', '.join(map(str, seeds))})"
    return Claim(
        name=claim.name,
        model=claim.model,
        paper=claim.paper,
        place=claim.place,
        claim=claim.claim,
        verdict=verdict_of_claim([one.verdict for one in contrasts]),
        measured=claim.measured,
        command=command,
        source=f"{trainings}, {_drawn_from(claim, contrasts[0].units)}",
        contrasts=tuple(contrasts),
    )


def _drawn_from(claim: ClaimConfig, units: int) -> str:
    kind = claim.pairs[0].kind
    words = {"average_precision": "test images", "recall": "test images", "boxes": "test images"}
    return f"{units} {words.get(kind, 'persons' if kind == 'verification' else 'test faces')}" if units else "no faces"


def measured(quantity: Quantity, places: Places, seed: int) -> Figure:
    """A quantity of the trainings with a seed.

    Raises:
        DataError: the results do not have it.
        ValueError: damaged files.
    """
    if quantity.value is not None:
        return Fixed(quantity.value)
    return READERS[quantity.kind](quantity, places, seed)


def _error(quantity: Quantity, places: Places, seed: int) -> Mean:
    assert quantity.arm is not None
    folder = places.evaluation(quantity.arm, seed, quantity)
    faces = _predictions(folder)
    chosen = np.ones(len(faces), dtype=np.bool_)
    if quantity.part is not None:
        chosen &= [quantity.part == face.part or quantity.part in face.attributes for face in faces]
    values = _errors(folder, faces, quantity)
    for name, ends in (("yaw", quantity.yaw), ("mouth", quantity.mouth)):
        if ends is not None:
            place = np.abs(_column(folder, name))
            chosen &= (place >= ends[0]) & (place < ends[1])
    if not chosen.any():
        raise DataError(f"{folder}: no test face is {quantity.label}; choose another part, yaw or mouth")
    units = tuple(f"{face.index} {face.photo}" for face in faces)
    found = Mean(units, np.where(chosen, values, np.nan))
    if quantity.less is None:
        return found
    other = _error(replace(quantity, arm=quantity.less, less=None), places, seed)
    if other.units != units:
        raise DataError(f"{quantity.label}: not measured on the same faces; remove their evaluations and repeat")
    return Mean(units, found.values - other.values)


def _errors(folder: Path, faces: tuple[Prediction, ...], quantity: Quantity) -> Any:
    """(N,) percent of the quantity's normaliser after its stage."""
    stages = np.asarray([np.asarray(face.nme_per_stage) for face in faces])
    stage = stages.shape[1] if quantity.stage is None else quantity.stage
    if stage > stages.shape[1]:
        raise DataError(f"{folder}: stage {stage} of {quantity.arm}, which has {stages.shape[1]}")
    usual = read_metrics_json(folder / "metrics.json")["normaliser"]
    if quantity.region is not None and quantity.normaliser != usual:
        raise DataError(f"{folder}: regions are measured in % of {usual}, not of {quantity.normaliser}")
    if quantity.region is None and quantity.normaliser == usual:
        return stages[:, stage - 1]
    return _column(folder, f"{quantity.region or quantity.normaliser}_stage_{stage}")


def _column(folder: Path, name: str) -> Any:
    columns = _table(folder)
    if name not in columns:
        raise DataError(f"{folder}: errors.csv has no column {name}; it has {', '.join(columns)}")
    return columns[name]


def _predictions(folder: Path) -> tuple[Prediction, ...]:
    return tuple(sorted(read_predictions(folder / "predictions.csv"), key=lambda face: face.index))


def _table(folder: Path) -> Mapping[str, Any]:
    columns = read_errors(folder / "errors.csv")
    order = np.argsort(columns["index"])
    return {name: values[order] for name, values in columns.items()}


def _detected(quantity: Quantity, places: Places, seed: int) -> Figure:
    assert quantity.arm is not None
    path = places.evaluation(quantity.arm, seed, quantity) / "detections.json"
    content = read_json(path, AGAIN)
    stage = len(content["stages"]) if quantity.stage is None else quantity.stage
    if stage > len(content["stages"]):
        raise DataError(f"{path}: stage {stage} of {quantity.arm}, which has {len(content['stages'])}")
    boxes = content["stages"][stage - 1]
    return Detected(
        quantity.kind,
        tuple(f"{number} {name}" for number, name in enumerate(content["images"])),
        np.array(content["faces"], dtype=np.float64),
        np.array(boxes["image"], dtype=np.int64),
        np.array(boxes["score"], dtype=np.float64),
        np.array(boxes["match"], dtype=np.int64),
    )


def _verified(quantity: Quantity, places: Places, seed: int) -> Figure:
    path = places.study("verification", seed) / "verification.json"
    content = read_json(path, AGAIN)
    name = "ground truth" if quantity.arm == "labels" else places.run(str(quantity.arm), seed).name
    by_pose = f"{name}, pose"
    name = by_pose if quantity.align_by == "pose" and by_pose in content["right"] else name
    if name not in content["right"]:
        raise DataError(f"{path}: nothing is called {name!r}; there are {', '.join(content['right'])}")
    return Verified(
        tuple(map(str, range(content["persons"]))),
        np.array(content["of_pairs"], dtype=np.int64),
        np.array(content["same"], dtype=np.bool_),
        100.0 * np.array(content["right"][name], dtype=np.float64),
    )


def _milliseconds(quantity: Quantity, places: Places, seed: int) -> Figure:
    path = places.study("milliseconds", seed) / "critique.json"
    times = {row["name"]: row["milliseconds"] for row in read_json(path, AGAIN)["methods"]}
    name = places.run(str(quantity.arm), seed).name
    if name not in times:
        raise DataError(f"{path}: nothing is called {name!r}; there are {', '.join(times)}")
    return Fixed(float(times[name]))


def _correlated(quantity: Quantity, places: Places, seed: int) -> Figure:
    sides = [
        [READERS[kind](replace(quantity, kind=kind, arm=arm), places, seed) for arm in quantity.arms]
        for kind in quantity.between
    ]
    return Correlated(*sides)


def _gradient_norm(quantity: Quantity, places: Places, seed: int) -> Figure:
    """Mean over the first epochs of what `canthus.callbacks.GradientNorm` noted."""
    path = places.run(str(quantity.arm), seed) / "metrics.csv"
    with path.open(newline="", encoding="utf-8") as file:
        noted = [float(row["train/gradient_norm"]) for row in csv.DictReader(file) if row.get("train/gradient_norm")]
    if len(noted) < quantity.epochs:
        raise DataError(
            f"{path}: {len(noted)} epochs with train/gradient_norm, and {quantity.epochs} are asked for; train with "
            "+callbacks.gradient_norm._target_=canthus.callbacks.GradientNorm"
        )
    return Fixed(float(np.mean(noted[: quantity.epochs])))


READERS: Mapping[str, Callable[[Quantity, Places, int], Figure]] = {
    "error": _error,
    "average_precision": _detected,
    "recall": _detected,
    "boxes": _detected,
    "verification": _verified,
    "rank_correlation": _correlated,
    "gradient_norm": _gradient_norm,
    "milliseconds": _milliseconds,
}
