"""A model under the four difficulties of the field: the same faces again and again, with one store and one model."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.progress import Progress

from canthus.callbacks.drawing import contact_sheet
from canthus.callbacks.evaluation import Evaluation
from canthus.config import chosen
from canthus.data.augment import input_to_store
from canthus.data.corruptions import DIFFICULTIES, SEVERITIES, Corruption, difficulty
from canthus.data.face import OCCLUDED, VISIBLE
from canthus.geometry import affine, boxes
from canthus.metrics import FaceTable, nme_per_face, point_errors
from canthus.picture_files import save_picture
from canthus.reporting.corruption_pictures import input_tiles, severity_figure
from canthus.reporting.corruptions import (
    CURVES,
    FACES,
    FILE,
    TABLE,
    Cell,
    corruptions_summary,
    print_corruptions,
    write_corruptions,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from canthus.data.datamodule import FaceDataModule

__all__ = ["chosen_difficulties", "evaluate_corrupted", "forget_corruptions"]

SHOWN = 4
"""Faces on the contact sheet."""


def chosen_difficulties(words: Any) -> list[str]:
    """Difficulties that ``corruptions=`` names: ``all``, one, or a list.

    Raises:
        DataError: an unknown one.
        ConfigError: none at all.
    """
    return list(dict.fromkeys(difficulty(name) for name in chosen("corruptions", words, DIFFICULTIES)))


def evaluate_corrupted(
    names: Sequence[str],
    clean: Evaluation,
    evaluate: Callable[[], Evaluation],
    data: "FaceDataModule",
    folder: Path,
    *,
    write: bool,
    **context: Any,
) -> None:
    """Evaluate every severity of some difficulties and leave tables and pictures.

    Args:
        names: of `DIFFICULTIES`.
        clean: of the same faces as they are.
        evaluate: runs the model over the data once more.
        data: its ``corruption`` is set for each pass and cleared at the end.
        folder: for corruptions.json, corruptions.csv, corruptions.png and corruptions_faces.png.
        write: whether this is the process that writes; all processes take part in the passes.
        **context: further entries of corruptions.json.
    """
    rows = np.unique(np.linspace(0, len(clean.table) - 1, SHOWN).round().astype(int)).tolist()
    plain = Cell("clean", 0, clean.summaries())
    cells = []
    pictures: list[NDArray[np.uint8]] = []
    with Progress(transient=True, disable=not write) as progress:
        passes = progress.add_task("corruptions", total=len(names) * len(SEVERITIES))
        for name in names:
            tiles = [input_tiles(data, clean, rows, "clean")] if write else []
            for severity in SEVERITIES:
                progress.update(passes, description=f"{name} {severity}")
                data.corruption = Corruption(name, severity, data.corruption_seed)
                result = evaluate()
                covered, in_view = _by_cover(clean.table, result.table)
                small = _already_smaller(data.corruption, result.table, data)
                cells.append(Cell(name, severity, result.summaries(), covered, in_view, small))
                if write:
                    tiles.append(input_tiles(data, result, rows, f"{name.replace('_', ' ')} {severity}"))
                progress.advance(passes)
            data.corruption = None
            pictures += [tile for of_face in zip(*tiles, strict=True) for tile in of_face]
    if not write:
        return
    content = corruptions_summary(
        plain,
        cells,
        data=data.name,
        split=clean.split,
        normaliser=clean.table.normaliser,
        threshold=clean.threshold,
        seed=data.corruption_seed,
        **context,
    )
    write_corruptions(folder, content)
    severity_figure(content, folder / CURVES)
    save_picture(folder / FACES, contact_sheet(pictures, columns=1 + len(SEVERITIES)))
    print_corruptions(content)


def forget_corruptions(folder: Path) -> None:
    """Remove what an earlier suite left in an evaluation's folder, so that it does not stand beside new figures."""
    for name in (FILE, TABLE, CURVES, FACES):
        (folder / name).unlink(missing_ok=True)


def _already_smaller(corruption: Corruption, table: FaceTable, data: "FaceDataModule") -> int | None:
    """Faces that a corruption can take nothing from; None if it changes all."""
    original = table.box.cpu().float()
    to_input = affine.invert(input_to_store(original, data.input))  # upright, whatever the store's frame
    shown = boxes.box_of_points(affine.apply(to_input, boxes.corners(original)))
    small = corruption.already_smaller(shown, data.input.size, original)
    return None if small is None else int(small.sum())


def _by_cover(clean: FaceTable, corrupted: FaceTable) -> tuple[float | None, float | None]:
    """NME of the last stage at points that the occluder covers and at those in view, percent; None if it covers none.

    Points that were hidden before belong to neither.
    """
    clean, corrupted = clean.select(corrupted.found), corrupted.select(corrupted.found)
    covered = (clean.visibility == VISIBLE) & (corrupted.visibility == OCCLUDED)
    if not bool(covered.any()):
        return None, None
    errors = point_errors(corrupted.points[:, -1], corrupted.landmarks)
    beneath, in_view = (
        nme_per_face(errors, mask.to(corrupted.visibility) * VISIBLE, corrupted.distance).nanmean().item()
        for mask in (covered, corrupted.visibility == VISIBLE)
    )
    return beneath, in_view
