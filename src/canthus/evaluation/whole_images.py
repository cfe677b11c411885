"""From the whole image to points: a detector finds the faces, a model places their landmarks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torchvision.ops import box_iou

from canthus.data.labels import reduced_face
from canthus.data.store import box_fault
from canthus.evaluation.evaluation import Evaluation
from canthus.evaluation.points import measured_points
from canthus.geometry.box_pca import BoxPCA
from canthus.inference.predictor import LocatedFace, Predictor
from canthus.utils.errors import ConfigError

if TYPE_CHECKING:
    from canthus.data.datamodule import FaceDataModule
    from canthus.inference.face_detector import FaceFinder

__all__ = ["FoundFaces", "WholeImages", "find_faces", "measure_whole_images"]

OVERLAP = 0.5
"""Intersection over union from which a box is that of a labelled face, as in the evaluation of detectors."""
FEWEST = 15
"""Points whose tight box is about that of the face."""


@dataclass(frozen=True, eq=False)
class FoundFaces:
    """Labelled faces and what was found of them.

    Attributes:
        points: (N, S, K, 2) in the detector's boxes, original pixels; NaN for faces that were missed.
        in_label_boxes: (N, S, K, 2) likewise in the boxes of the labels.
        boxes: (N, 4) the detector's, as the model takes them; NaN for faces that were missed.
        labels: (N, 4) of the labels.
        images: that were searched.
        false: boxes that are of no labelled face, in all of them.
    """

    points: NDArray[np.float64]
    in_label_boxes: NDArray[np.float64]
    boxes: NDArray[np.float64]
    labels: NDArray[np.float64]
    images: int
    false: int

    @property
    def found(self) -> NDArray[np.bool_]:
        """(N,)."""
        return np.asarray(np.isfinite(self.boxes).all(1), dtype=np.bool_)

    def box_noise(self) -> dict[str, Any] | None:
        """How the found boxes lie about those of the labels, see `BoxPCA`; None for fewer than two."""
        found = self.found
        if found.sum() < 2:
            return None
        return BoxPCA.fit(*(torch.from_numpy(boxes[found]) for boxes in (self.boxes, self.labels))).numbers()


@dataclass(frozen=True, eq=False)
class WholeImages:
    """The figures.

    Attributes:
        evaluation: of the points in the detector's boxes; missed faces are failures.
        report: ``end_to_end`` of metrics.json.
        found: what they are made of.
    """

    evaluation: Evaluation
    report: Mapping[str, Any]
    found: FoundFaces


def find_faces(
    data: "FaceDataModule", split: str, predictor: Predictor, finder: "FaceFinder", refine: int = 0
) -> FoundFaces:
    """Search the images of a split.

    Args:
        data: set up.
        split: ``val`` or ``test``.
        predictor: of the model.
        finder: of the faces.
        refine: further passes of the model, each in the tight box of the points of the pass before.
    """
    faces = data.faces(split)
    by_image: dict[Path, list[int]] = {}
    for number, face in enumerate(faces):
        by_image.setdefault(face.image, []).append(number)
    model = predictor.model
    shape = (len(faces), model.depth, model.scheme.num_landmarks, 2)
    points, reference = np.full(shape, np.nan), np.full(shape, np.nan)
    boxes, labels = np.full((len(faces), 4), np.nan), np.stack([face.box for face in faces])
    false = 0
    for image, numbers in by_image.items():
        pixels = data.reader.pixels(image)
        detected = np.array([face.box for face in finder(pixels)]).reshape(-1, 4)
        pairs = list(_pairs(detected, labels[numbers]))
        false += len(detected) - len(pairs)
        for number, placed in zip(numbers, predictor(pixels, labels[numbers]), strict=True):
            reference[number] = placed.stages
        located = predictor(pixels, detected[[row for row, _ in pairs]]) if pairs else []
        for _ in range(refine):
            located = refined(predictor, pixels, located)
        for (row, column), placed in zip(pairs, located, strict=True):
            points[numbers[column]], boxes[numbers[column]] = placed.stages, detected[row]
    return FoundFaces(points, reference, boxes, labels, len(by_image), false)


def refined(predictor: Predictor, pixels: NDArray[np.uint8], faces: Sequence[LocatedFace]) -> list[LocatedFace]:
    """The faces once more, each in the tight box of its own points; a face without a usable box stays as it is.

    Raises:
        ConfigError: a model whose few points do not make the box that it was trained in.
    """
    if predictor.model.scheme.num_landmarks < FEWEST:
        raise ConfigError(
            f"refine: the tight box of {predictor.model.scheme.num_landmarks} points is not the box of a face; leave "
            "it out"
        )
    again = {}
    for number, face in enumerate(faces):
        box = np.concatenate([face.landmarks.min(0), face.landmarks.max(0)])
        if box_fault(box, pixels.shape) is None:
            again[number] = box
    placed = dict(zip(again, predictor(pixels, np.array([*again.values()]).reshape(-1, 4)), strict=True))
    return [placed.get(number, face) for number, face in enumerate(faces)]


def measure_whole_images(
    data: "FaceDataModule", split: str, found: FoundFaces, detector: str, refine: int, **settings: Any
) -> WholeImages:
    """Errors of what was found, and of the same faces in the boxes of their labels.

    Args:
        data: set up, in the scheme of the points.
        split: that was searched.
        found: in it.
        detector: its name, for tables.
        refine: passes, likewise.
        **settings: of `measured_points`.

    Raises:
        ConfigError: no face was found.
    """
    faces = [reduced_face(face, data.scheme.name) for face in data.faces(split)]
    mask = torch.from_numpy(found.found)
    if not mask.any():
        raise ConfigError(f"detector={detector} finds none of the {len(mask)} faces")
    evaluation = measured_points(data, split, faces, found.points, **settings)
    beside = measured_points(data, split, faces, found.in_label_boxes, **settings)
    error, reference = (float(one.table.select(mask).nme[:, -1].nanmean()) for one in (evaluation, beside))
    report = {
        "detector": detector,
        "refine": refine,
        "overlap": OVERLAP,
        "images": found.images,
        "faces": len(mask),
        "found": int(mask.sum()),
        "recall": 100 * float(mask.float().mean()),
        "false_faces": found.false,
        "false_per_image": found.false / found.images,
        "nme": error,
        "nme_in_label_boxes": reference,
        "ratio": error / reference,
    }
    return WholeImages(evaluation, report, found)


def _pairs(detected: NDArray[np.float64], labels: NDArray[np.float64]) -> Iterator[tuple[int, int]]:
    """Boxes of an image and the labelled faces that they are of, one to one, so that the sum of overlaps is largest."""
    overlap = box_iou(torch.from_numpy(detected), torch.from_numpy(labels)).numpy()
    overlap = np.where(overlap >= OVERLAP, overlap, 0)
    for row, column in zip(*linear_sum_assignment(-overlap), strict=True):
        if overlap[row, column]:
            yield int(row), int(column)
