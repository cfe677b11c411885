"""Face detection: WIDER FACE's average precision, FDDB's ROC curves, and COCO's AP through torchmetrics.

Legend: D detections and G labels of one image. Boxes are float ``xyxy``; ellipses are two radii, the angle of the
first in radians, and the centre. Precisions, recalls and rates are in percent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from canthus.geometry.boxes import overlaps
from canthus.metrics.ellipse import box_ellipse_iou

__all__ = [
    "DetectedFaces",
    "FDDBCurve",
    "coco_average_precision",
    "fddb_roc",
    "matched_detections",
    "precision_and_recall",
    "wider_average_precision",
]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DetectedFaces:
    """Detections and labels of one image.

    Attributes:
        boxes: (D, 4) ``xyxy``.
        scores: (D,), higher is surer.
        labels: (G, 4) boxes ``xyxy``, or (G, 5) ellipses.
        ignored: (G,) labels that count neither when found nor when missed; none when absent.
    """

    boxes: Array
    scores: Array
    labels: Array
    ignored: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises:
            ValueError: shapes that do not belong together, or scores that are not numbers.
        """
        d, g = len(self.boxes), len(self.labels)
        if self.boxes.shape != (d, 4) or self.scores.shape != (d,) or self.labels.shape not in ((g, 4), (g, 5)):
            raise ValueError(
                f"boxes {self.boxes.shape}, scores {self.scores.shape} and labels {self.labels.shape} do not have the "
                "shapes (D, 4), (D,) and (G, 4) or (G, 5)"
            )
        if np.isnan(self.scores).any() or (self.ignored is not None and self.ignored.shape != (g,)):
            raise ValueError("every detection needs a score that is a number, and ignored must be (G,)")


def wider_average_precision(
    images: Sequence[DetectedFaces], *, iou: float = 0.5, thresholds: int = 1000
) -> tuple[float, float]:
    """Average precision as WIDER FACE's evaluation computes it (Yang et al., CVPR 2016).

    In the order of scores, a detection belongs to the label that it overlaps most, if by ``iou`` or more. A second one
    of a taken label is false, one of an ignored label does not count. Scores are spread to [0, 1] over the whole run
    and cut at ``thresholds`` places; the area is that under the envelope of precision. Widths count both border pixels.

    Returns:
        AP, and recall over all detections, percent.

    Raises:
        ValueError: no label that counts, or labels that are ellipses.
    """
    kept = sum(int((~_ignored(image)).sum()) for image in images)
    if not kept:
        raise ValueError("no label counts, so there is nothing to find; check the images and what is ignored")
    scores = np.concatenate([image.scores for image in images])
    found, counted = (
        np.concatenate(parts) for parts in zip(*(matched_detections(image, iou) for image in images), strict=True)
    )
    return precision_and_recall(scores, found, counted, kept, thresholds=thresholds)


def precision_and_recall(
    scores: Array, found: NDArray[Any], counted: NDArray[Any], kept: float, *, thresholds: int = 1000
) -> tuple[float, float]:
    """`wider_average_precision` of detections that are matched already.

    Args:
        scores: (D,) of all images.
        found: (D,) how often each is true: 0 or 1, or a multiple where an image counts several times.
        counted: (D,) how often each counts, likewise.
        kept: labels that count.
        thresholds: places at which scores are cut.

    Returns:
        AP, and recall over all detections, percent.
    """
    if not len(scores):
        return 0.0, 0.0
    spread = (scores - scores.min()) / (np.ptp(scores) or 1.0)
    order = np.argsort(-spread, kind="stable")
    true, proposed = np.cumsum(found[order]), np.cumsum(counted[order])
    cuts = 1 - np.arange(1, thresholds + 1) / thresholds
    ends = np.searchsorted(-spread[order], -cuts, side="right") - 1
    ends = ends[ends >= 0]
    recall, precision = true[ends] / kept, true[ends] / np.maximum(proposed[ends], 1)
    area = _area_under_envelope(recall, precision)
    return 100 * area, 100 * float(true[-1]) / kept


@dataclass(frozen=True, eq=False)
class FDDBCurve:
    """FDDB's two ROC curves, a point per distinct score, from the surest on.

    Attributes:
        false_positives: (M,) in all images together.
        discrete: (M,) percent of the faces found with an overlap above one half.
        continuous: (M,) percent: the overlaps of matched faces themselves.
    """

    false_positives: Array
    discrete: Array
    continuous: Array

    def at(self, false_positives: int) -> tuple[float, float]:
        """Discrete and continuous rate at no more than so many false positives (1000 and 2000 are quoted)."""
        within = np.flatnonzero(self.false_positives <= false_positives)
        return (float(self.discrete[within[-1]]), float(self.continuous[within[-1]])) if within.size else (0.0, 0.0)


def fddb_roc(images: Sequence[DetectedFaces]) -> FDDBCurve:
    """ROC curves of FDDB (Jain and Learned-Miller, 2010, section 5), over all folds together.

    At every score, the detections above it and the labels of an image are matched one to one so that the sum of
    overlaps is largest. Labels may be ellipses; their overlaps are exact areas, where FDDB's program counts pixels.

    Raises:
        ValueError: no faces.
    """
    from scipy.optimize import linear_sum_assignment

    faces = sum(len(image.labels) for image in images)
    if not faces:
        raise ValueError("there are no labelled faces; check the folds")
    steps: list[tuple[float, float, float, float]] = []  # score, and what it adds to the three sums
    for image in images:
        order = np.argsort(-image.scores, kind="stable")
        overlap, before = _overlap(image)[order], np.zeros(3)
        for count, row in enumerate(order, 1):
            pairs = overlap[:count][linear_sum_assignment(overlap[:count], maximize=True)]
            discrete = float((pairs > 0.5).sum())
            now = np.array([count - discrete, discrete, pairs.sum()])
            steps.append((float(image.scores[row]), *(now - before)))
            before = now
    table = np.array(sorted(steps, key=lambda step: -step[0])).reshape(-1, 4)
    sums = np.cumsum(table[:, 1:], axis=0)
    last = np.flatnonzero(np.append(table[1:, 0] != table[:-1, 0], True)) if len(table) else np.array([], dtype=int)
    return FDDBCurve(sums[last, 0], 100 * sums[last, 1] / faces, 100 * sums[last, 2] / faces)


def coco_average_precision(images: Sequence[DetectedFaces]) -> dict[str, float]:
    """COCO's AP and average recall through torchmetrics, percent: ``map`` (0.50 to 0.95), ``map_50``, ``mar_100``, ...

    Ignored labels are COCO's crowds.

    Raises:
        ValueError: labels that are ellipses.
    """
    from torchmetrics.detection import MeanAveragePrecision

    metric = MeanAveragePrecision(iou_type="bbox", backend="pycocotools")
    for image in images:
        _check_boxes(image)
        boxes, labels = (torch.from_numpy(values).float() for values in (image.boxes, image.labels))
        scores = torch.from_numpy(image.scores).float()
        found: dict[str, Any] = {"boxes": boxes, "scores": scores, "labels": torch.zeros(len(boxes), dtype=torch.long)}
        crowd = torch.from_numpy(_ignored(image)).long()
        metric.update([found], [{"boxes": labels, "labels": torch.zeros_like(crowd), "iscrowd": crowd}])
    values = {name: float(value) for name, value in metric.compute().items() if value.numel() == 1}
    return {name: 100 * value for name, value in values.items() if name.startswith(("map", "mar")) and value >= 0}


def matched_detections(image: DetectedFaces, iou: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Per detection whether it is true, and whether it counts, in the order of the detections.

    Raises:
        ValueError: labels that are ellipses.
    """
    _check_boxes(image)
    found, counted = np.zeros(len(image.boxes), dtype=np.int64), np.ones(len(image.boxes), dtype=np.int64)
    if not len(image.labels):
        return found, counted
    # both border pixels belong to a box
    grown = [np.concatenate([boxes[:, :2], boxes[:, 2:] + 1], 1) for boxes in (image.boxes, image.labels)]
    overlap = overlaps(*(torch.from_numpy(boxes) for boxes in grown)).numpy()
    ignored, taken = _ignored(image), set()
    for row in np.argsort(-image.scores, kind="stable"):
        best = int(overlap[row].argmax())
        if overlap[row, best] >= iou:
            if ignored[best]:
                counted[row] = 0
            elif best not in taken:
                found[row] = 1
                taken.add(best)
    return found, counted


def _area_under_envelope(recall: Array, precision: Array) -> float:
    recall, precision = np.concatenate([[0.0], recall, [1.0]]), np.concatenate([[0.0], precision, [0.0]])
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall) * envelope[1:]).sum())


def _overlap(image: DetectedFaces) -> Array:
    """(D, G) intersection over union of the detections with boxes or ellipses."""
    if image.labels.shape[1] == 5:
        pairs = [[box_ellipse_iou(box, ellipse) for ellipse in image.labels] for box in image.boxes]
        return np.array(pairs, dtype=np.float64).reshape(len(image.boxes), len(image.labels))
    overlap: Array = overlaps(torch.from_numpy(image.boxes), torch.from_numpy(image.labels)).numpy()
    return overlap


def _ignored(image: DetectedFaces) -> NDArray[np.bool_]:
    return image.ignored if image.ignored is not None else np.zeros(len(image.labels), dtype=np.bool_)


def _check_boxes(image: DetectedFaces) -> None:
    if image.labels.shape[1] != 4:
        raise ValueError("this measure wants labels that are boxes; take the boxes around ellipses, or fddb_roc")
