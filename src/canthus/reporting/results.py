"""The files that an evaluation leaves in a folder."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from canthus.evaluation.detection import DetectionResult, write_matches
from canthus.evaluation.evaluation import Evaluation
from canthus.evaluation.files import (
    Metrics,
    MissingFaces,
    Prediction,
    ToolCost,
    read_metrics_json,
    write_errors,
    write_metrics_json,
    write_predictions,
)
from canthus.evaluation.poses import labelled_poses
from canthus.evaluation.tiles import face_strips
from canthus.reporting.comparison import comparison_table
from canthus.reporting.detection import draw_detection, print_detection
from canthus.reporting.summary import write_summary
from canthus.reporting.tables import (
    END_TO_END,
    console_table,
    data_name,
    end_to_end_rows,
    incomplete_text,
    rich_table,
    trained_on_text,
)
from canthus.utils.escaping import console
from canthus.utils.files import replacing
from canthus.visualization.curves import ced_figure
from canthus.visualization.drawing import contact_sheet
from canthus.visualization.images import save_picture

if TYPE_CHECKING:
    from canthus.data.datamodule import FaceDataModule
    from canthus.data.detection.datamodule import ImageDataModule

__all__ = ["print_results", "write_box_noise", "write_results"]


def write_results(
    folder: Path,
    result: Evaluation,
    data: "FaceDataModule",
    model: str,
    *,
    overlays: int = 24,
    missing: MissingFaces | None = None,
    detection: DetectionResult | None = None,
    trained_on: Mapping[str, int] | None = None,
    cost: ToolCost | None = None,
    end_to_end: Mapping[str, Any] | None = None,
    sought: NDArray[np.float64] | None = None,
) -> Metrics:
    """Write metrics.json, predictions.csv, errors.csv, ced.png, overlays/, summary.md; of a detector also its boxes.

    Args:
        folder: of the run or evaluation.
        result: of the evaluator.
        data: whose faces were evaluated.
        model: name of what was evaluated.
        overlays: pictures of single faces, from the best to the worst, evenly by rank.
        missing: faces without an estimate, and what was done about them; by default those on which the model diverged,
            counted as failures.
        detection: of the evaluator of a method that finds faces; ``data`` are then of whole images.
        trained_on: how many of the ``faces``, and of the ``images`` of a detector, the model was trained on; what is
            absent nobody knows.
        cost: of a tool that is no run.
        end_to_end: what a detector did before, see `canthus.evaluation.whole_images`.
        sought: (N, 4) boxes in which the points of all faces of the split were sought; the data's by default.

    Returns:
        What metrics.json says.
    """
    table = result.table
    of_regions = table.region_nme(data.scheme)
    regions = {
        name: values[table.found].nanmean(0).tolist()
        for name, values in of_regions.items()
        if not values[table.found].isnan().all()
    }
    corruption, known = data.corruption, trained_on or {}
    boxes = detection.report() if detection else None
    if boxes and "images" in known:
        boxes["trained_on"] = known["images"]
    write_metrics_json(
        folder / "metrics.json",
        model=model,
        data=str(data.name),
        split=result.split,
        scheme=data.scheme.name,
        corruption=corruption.name if corruption else None,
        severity=corruption.severity if corruption else None,
        normaliser=table.normaliser,
        threshold=result.threshold,
        subsets=result.report(),
        regions=regions,
        missing=missing or _lost(result, data),
        trained_on=known.get("faces"),
        detection=boxes,
        incomplete=(data.incomplete() or None) if result.split == "test" else None,
        cost=cost,
        end_to_end=end_to_end,
    )
    metrics = read_metrics_json(folder / "metrics.json")
    write_predictions(folder / "predictions.csv", _rows(result, data, sought))
    others = {name: tables["full"].nme for name, tables in result.others.items()}
    columns = {name: values.cpu() for name, values in (of_regions | others).items()}
    write_errors(folder / "errors.csv", table.index.cpu(), columns | labelled_poses(table, data.scheme))
    curves = {f"stage {stage + 1}": table.nme[:, stage].cpu() for stage in range(table.nme.shape[1])}
    if result.initial:
        curves = {"start": result.initial["full"].cpu(), **curves}
    ced_figure(
        {name: values[~values.isnan()].numpy() for name, values in curves.items()},
        folder / "ced.png",
        threshold=result.threshold,
        normaliser=table.normaliser,
        title=f"{model} on {data_name(metrics)}, {len(table)} faces",
    )
    _draw(folder / "overlays", result, data, overlays)
    if detection:
        images = cast("ImageDataModule", data)
        write_matches(folder / "detections.json", detection, images)
        draw_detection(folder, detection, images)
    (folder / "comparison.json").unlink(missing_ok=True)  # of an earlier evaluation
    write_summary(folder, overlays="overlays/faces")
    return metrics


def _lost(result: Evaluation, data: "FaceDataModule") -> MissingFaces | None:
    """Faces with an estimate that is not finite, None without any."""
    faces = data.faces(result.split)
    names = [str(faces[index].image) for index in result.table.index[~result.table.found].tolist()]
    return MissingFaces(treated="failure", faces=names) if names else None


def write_box_noise(folder: Path, noise: Mapping[str, Any] | None, detector: str) -> None:
    """Write how a detector's boxes lie about those of the labels, as a config of group ``boxes``."""
    path = folder / "box_noise.yaml"
    if noise is None:
        path.unlink(missing_ok=True)
        return
    axes = "".join(f"\n    - {row}" for row in noise["axes"])
    with replacing(path) as temporary:
        temporary.write_text(
            f"# @package data.augmentation\n# boxes of training faces as {json.dumps(detector)} finds them\n"
            f"box_noise:\n  mean: {noise['mean']}\n  axes: # standard deviations along the principal components{axes}\n"
        )


def _rows(result: Evaluation, data: "FaceDataModule", boxes: NDArray[np.float64] | None) -> list[Prediction]:
    table, faces = result.table, data.faces(result.split)
    rows = []
    for row, index in enumerate(table.index.tolist()):
        face = faces[index]
        rows.append(
            Prediction(
                index=index,
                image=str(face.image),
                photo=face.photo,
                part=face.part,
                attributes=face.attributes,
                box=face.box if boxes is None else boxes[index],
                nme_per_stage=table.nme[row].cpu().numpy(),
                landmarks=table.points[row, -1].cpu().numpy(),
            )
        )
    return rows


def _draw(folder: Path, result: Evaluation, data: "FaceDataModule", count: int) -> None:
    """Single faces as ``faces/<rank>_nme_<error>.png`` and all of them on ``faces.png``."""
    shutil.rmtree(folder / "faces", ignore_errors=True)  # of an earlier evaluation
    order = result.table.nme[:, -1].cpu().nan_to_num(nan=-1.0).argsort().numpy()
    ranks = np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))
    strips = []
    for rank, (row, strip) in zip(ranks, face_strips(result, data, order[ranks].tolist()), strict=True):
        strips.append(strip)
        error = float(result.table.nme[row, -1])
        save_picture(folder / "faces" / f"{rank:05d}_nme_{error:05.2f}.png", strip)
    if strips:
        save_picture(folder / "faces.png", contact_sheet(strips, columns=2))


def print_results(metrics: Metrics, folder: Path, comparison: dict[str, Any] | None = None) -> None:
    """Show the table of subsets, what a comparison gave, and say where the rest is."""
    screen = console()
    screen.print(rich_table(metrics))
    for remark in filter(None, (trained_on_text(metrics), incomplete_text(metrics))):
        screen.print(remark, soft_wrap=True)
    if found := end_to_end_rows(metrics):
        screen.print(console_table(END_TO_END, [found], title="from the whole image"))
    if comparison:
        screen.print(comparison_table(comparison))
    if boxes := metrics.get("detection"):
        print_detection(boxes)
    screen.print(f"pictures, curves and every face: {folder / 'summary.md'}", soft_wrap=True)
