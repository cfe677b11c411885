"""What a pass over images found: recall, precision and curves of face detection."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from canthus.evaluation.files import DetectionMetrics
from canthus.metrics import DetectedFaces, FDDBCurve, fddb_roc, wider_average_precision
from canthus.metrics.detection import matched_detections
from canthus.utils.files import replacing

if TYPE_CHECKING:
    from canthus.data.detection.datamodule import ImageDataModule
    from canthus.data.face import WholeImage

__all__ = ["DetectionResult", "write_matches"]


@dataclass(frozen=True, eq=False)
class DetectionResult:
    """What one pass over the images of a split found.

    Attributes:
        split: ``val`` or ``test``.
        photo: numbers of the images, in the order of ``stages``.
        stages: per stage, what was found in every image, original pixels.
        average_precision: per stage, percent, as WIDER FACE computes it.
        recall: per stage, percent of the faces that some box of it overlaps by ``iou``.
        iou: of both.
        counted: attribute of faces -> per image of ``photo``, which of its faces have it. Those that the data set
            itself ignores are left out, small ones are not.
    """

    split: str
    photo: Sequence[int]
    stages: Sequence[Sequence[DetectedFaces]]
    average_precision: Sequence[float]
    recall: Sequence[float]
    iou: float
    counted: Mapping[str, Sequence[NDArray[np.bool_]]] = field(default_factory=dict)

    @property
    def faces(self) -> int:
        """Faces that count."""
        return sum(int(len(photo.labels) - _ignored(photo).sum()) for photo in self.stages[-1])

    def roc(self) -> FDDBCurve:
        """FDDB's curves of the last stage."""
        return fddb_roc(self.stages[-1])

    def subsets(self) -> dict[str, dict[str, float]]:
        """Of the last stage, about the faces with an attribute, where the others are neither found nor missed.

        For ``easy``, ``medium`` and ``hard`` these are the figures of WIDER FACE's evaluation.
        """
        measured = {}
        for name, counted in self.counted.items():
            photos = [replace(p, ignored=~c) for p, c in zip(self.stages[-1], counted, strict=True)]
            precision, recall = wider_average_precision(photos, iou=self.iou)
            measured[name] = {"faces": int(sum(c.sum() for c in counted)), "ap": precision, "recall": recall}
        return measured

    def report(self) -> DetectionMetrics:
        """``detection`` of metrics.json."""
        curve = self.roc()
        boxes = [sum(len(photo.boxes) for photo in photos) / len(photos) for photos in self.stages]
        return {
            "images": len(self.photo),
            "faces": self.faces,
            "iou": self.iou,
            "ap": self.average_precision[-1],
            "recall": self.recall[-1],
            "ap_per_stage": list(self.average_precision),
            "recall_per_stage": list(self.recall),
            "boxes_per_stage": boxes,  # of an image, on average
            "subsets": self.subsets(),
            # FDDB's own 2845 images are quoted at 2000 false positives; a tenth of the images is as strict
            "rate_at_false_positives": {
                str(count): curve.at(count)[0] for count in sorted({10, 100, max(len(self.photo) // 10, 1)})
            },
        }


def write_matches(path: Path, result: DetectionResult, data: "ImageDataModule") -> None:
    """Write ``detections.json``: what is needed to draw the images again, without their boxes.

    It holds ``images``, how many ``faces`` of each count, and per stage three lists over all boxes: number of the
    ``image``, ``score``, and ``match``: 1 true, 0 false, -1 where the box does not count.

    Args:
        path: the file.
        result: of the pass.
        data: whose images were searched.
    """
    stages = []
    for stage in result.stages:
        pairs = [matched_detections(image, result.iou) for image in stage]
        rows = [
            (number, round(float(score), 6), int(found) if counted else -1)
            for number, (image, (true, counts)) in enumerate(zip(stage, pairs, strict=True))
            for score, found, counted in zip(image.scores, true, counts, strict=True)
        ]
        columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
        stages.append(dict(zip(("image", "score", "match"), columns, strict=True)))
    images = data.images(result.split)
    content = {
        "images": [str(images[number].photo) for number in result.photo],
        "faces": [int(len(image.labels) - _ignored(image).sum()) for image in result.stages[-1]],
        "iou": result.iou,
        "stages": stages,
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content) + "\n", encoding="utf-8")


def _result(
    split: str, photos: list[int], found: list[dict[int, Any]], data: "ImageDataModule", iou: float
) -> DetectionResult:
    images, ignored = data.images(split), data.ignored(split)
    stages = [
        [DetectedFaces(stage[p][:, 1:], stage[p][:, 0], images[p].boxes, ignored[p]) for p in photos] for stage in found
    ]
    measured = [wider_average_precision(stage, iou=iou) for stage in stages]
    precision, recall = zip(*measured, strict=True)
    return DetectionResult(split, photos, stages, precision, recall, iou, _by_attribute([images[p] for p in photos]))


def _by_attribute(images: Sequence["WholeImage"]) -> dict[str, list[NDArray[np.bool_]]]:
    names = sorted({name for image in images for face in image.faces for name in face.attributes})
    counted = {
        name: [np.array([name in face.attributes for face in p.faces], dtype=np.bool_) & ~p.ignored for p in images]
        for name in names
    }
    return {name: masks for name, masks in counted.items() if any(mask.any() for mask in masks)}


def _ignored(photo: DetectedFaces) -> Any:
    return photo.ignored if photo.ignored is not None else np.zeros(len(photo.labels), dtype=bool)
