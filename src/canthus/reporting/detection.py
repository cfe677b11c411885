"""What an evaluation of a detector shows beside its numbers in metrics.json: the ROC curve, boxes, a table."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import from_numpy

from canthus.evaluation.detection import DetectionResult
from canthus.evaluation.files import DetectionMetrics
from canthus.geometry.boxes import overlaps
from canthus.metrics import DetectedFaces, FDDBCurve
from canthus.utils.escaping import console
from canthus.visualization.drawing import contact_sheet
from canthus.visualization.figures import figure, save_figure, with_grid
from canthus.visualization.images import save_picture

if TYPE_CHECKING:
    from canthus.data.detection.datamodule import ImageDataModule

__all__ = ["detection_sheet", "draw_detection", "print_detection"]

FOUND, FALSE, MISSED, IGNORED = (60, 200, 60), (230, 120, 0), (220, 30, 30), (150, 150, 150)
"""Colours of a box: true, false, a face without a box, a face that does not count."""
SIDE = 320
"""Longer side of an image on the sheet, pixels."""


def draw_detection(
    folder: Path, result: DetectionResult, data: "ImageDataModule", *, images: int = 24, score: float = 0.7
) -> None:
    """Draw ``roc.png`` and ``detections.png``.

    Args:
        folder: of the run or evaluation.
        result: of the evaluator.
        data: whose images were searched.
        images: on the sheet, evenly spread.
        score: of the boxes that are drawn, at least.
    """
    _roc_figure(result.roc(), len(result.photo), folder / "roc.png")
    save_picture(folder / "detections.png", detection_sheet(result, data, images, score))


def print_detection(report: DetectionMetrics) -> None:
    """Show recall, precision and the number of boxes after every stage, and the last stage by attribute."""
    from rich.table import Table

    title = f"{report['faces']} faces in {report['images']} images, overlap {report['iou']:g}"
    table = Table(title=title)
    for column in ("stage", "recall %", "AP %", "boxes per image"):
        table.add_column(column, justify="right")
    columns = zip(report["recall_per_stage"], report["ap_per_stage"], report["boxes_per_stage"], strict=True)
    for number, (recall, precision, boxes) in enumerate(columns, 1):
        table.add_row(str(number), f"{recall:.2f}", f"{precision:.2f}", f"{boxes:.1f}")
    console().print(table)
    if report["subsets"]:
        table = Table(title="last stage, faces with an attribute")
        table.add_column("attribute")
        for column in ("faces", "recall %", "AP %"):
            table.add_column(column, justify="right")
        for name, values in report["subsets"].items():
            table.add_row(name, str(values["faces"]), f"{values['recall']:.2f}", f"{values['ap']:.2f}")
        console().print(table)


def detection_sheet(result: DetectionResult, data: "ImageDataModule", count: int, score: float) -> NDArray[np.uint8]:
    """Images with the boxes of the last stage: green true, orange false, red a face that was missed, grey ignored.

    Args:
        result: of the evaluator.
        data: decodes the images.
        count: images, evenly spread.
        score: of the boxes, at least.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    photos = data.images(result.split)
    rows = np.unique(np.linspace(0, len(result.photo) - 1, min(count, len(result.photo))).round().astype(int))
    tiles = []
    for row in rows.tolist():
        pixels = data.image_reader.pixels(photos[result.photo[row]].image)
        tiles.append(_tile(pixels, result.stages[-1][row], score, result.iou))
    return contact_sheet(tiles, columns=6)


def _tile(pixels: NDArray[np.uint8], photo: DetectedFaces, score: float, iou: float) -> NDArray[np.uint8]:
    scale = SIDE / max(pixels.shape[:2])
    tile = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    chosen = photo.scores >= score
    boxes, scores = photo.boxes[chosen], photo.scores[chosen]
    ignored = np.zeros(len(photo.labels), dtype=bool) if photo.ignored is None else photo.ignored
    overlap = overlaps(from_numpy(boxes), from_numpy(photo.labels)).numpy()
    hit = (overlap >= iou).any(0) if len(boxes) else np.zeros(len(photo.labels), dtype=bool)
    for label in photo.labels[ignored]:
        _rectangle(tile, label * scale, IGNORED)
    for label in photo.labels[~ignored & ~hit]:
        _rectangle(tile, label * scale, MISSED)
    for box, value, row in zip(boxes, scores, overlap, strict=True):
        colour = FOUND if row.size and row.max() >= iou else FALSE
        corner = _rectangle(tile, box * scale, colour)
        place = (corner[0], max(corner[1] - 3, 9))
        cv2.putText(tile, f"{value:.2f}", place, cv2.FONT_HERSHEY_SIMPLEX, 0.35, colour, 1, cv2.LINE_AA)
    return np.asarray(tile, dtype=np.uint8)


def _rectangle(tile: Any, box: NDArray[np.float64], colour: tuple[int, int, int]) -> tuple[int, int]:
    x1, y1, x2, y2 = box.round().astype(int).tolist()
    cv2.rectangle(tile, (x1, y1), (x2, y2), colour, 2, cv2.LINE_AA)
    return x1, y1


def _roc_figure(curve: FDDBCurve, images: int, path: Path) -> None:
    with figure(7.0, 4.8) as drawn:
        axes = drawn.add_subplot()
        for name, rates, line in (("discrete", curve.discrete, "-"), ("continuous", curve.continuous, "--")):
            axes.step(curve.false_positives, rates, where="post", label=name, linestyle=line, linewidth=1.8)
        axes.set(
            ylim=(0, 100.5),
            xlabel=f"false positives in {images} images",
            ylabel="true positive rate, %",
            title="FDDB's curves of the last stage",
        )
        axes.set_xlim(left=0)
        with_grid(axes)
        axes.legend(loc="lower right")
        save_figure(path, drawn)
