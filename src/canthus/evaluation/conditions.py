"""The same faces under other conditions: corruptions by severity, and styles, with one store and one model.

Each suite runs the model over the data again and again and returns what it found; whoever asked for it writes it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.progress import Progress, track

from canthus.data.batch import input_to_store
from canthus.data.corruptions import CORRUPTIONS, SEVERITIES, Corruption, known_corruption
from canthus.data.face import OCCLUDED, VISIBLE
from canthus.data.styles import STYLES, Styles
from canthus.evaluation.evaluation import Evaluation
from canthus.evaluation.tiles import input_tiles
from canthus.geometry import affine, boxes
from canthus.metrics import FaceTable, nme_per_face, point_errors
from canthus.utils.config import chosen

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from canthus.data.datamodule import FaceDataModule

__all__ = [
    "Cell",
    "CorruptionSuite",
    "StyleSuite",
    "chosen_corruptions",
    "chosen_styles",
    "run_corruptions",
    "run_styles",
]

SHOWN = 4
"""Faces on the contact sheet of a suite."""


@dataclass(frozen=True)
class Cell:
    """One pass over the faces under a corruption.

    Attributes:
        corruption: its name; ``clean`` for none.
        severity: 1 to 5; 0 for none.
        subsets: subset name to its numbers, as in ``metrics.json``; ``full`` first.
        nme_covered: percent, mean over faces of the points that the occluder covers; None without any.
        nme_uncovered: percent, the same of the points that are seen; None where nothing is covered.
        already_smaller: faces that had no more pixels than low resolution leaves; None for other corruptions.
    """

    corruption: str
    severity: int
    subsets: Mapping[str, Mapping[str, Any]]
    nme_covered: float | None = None
    nme_uncovered: float | None = None
    already_smaller: int | None = None


@dataclass(frozen=True)
class CorruptionSuite:
    """What a suite of corruptions found.

    Attributes:
        clean: the pass without any.
        cells: a pass for each severity of each corruption, in their order.
        tiles: a few faces as the network saw them, with its estimate: a row of each face for every corruption, the
            clean face first. Empty on processes that do not draw.
    """

    clean: Cell
    cells: Sequence[Cell]
    tiles: Sequence["NDArray[np.uint8]"] = ()


@dataclass(frozen=True)
class StyleSuite:
    """What a suite of styles found.

    Attributes:
        plain: of the same faces in the style that the data has without this.
        shown: that style, or those that its faces take turns in.
        results: style -> what was found.
        tiles: a row of each of a few faces, a column of each style. Empty on processes that do not draw.
    """

    plain: Evaluation
    shown: Sequence[str]
    results: Mapping[str, Evaluation]
    tiles: Sequence["NDArray[np.uint8]"] = field(default=())


def chosen_corruptions(words: Any) -> list[str]:
    """Corruptions that ``corruptions=`` names: ``all``, one, or a list.

    Raises:
        DataError: an unknown one.
        ConfigError: none at all.
    """
    return list(dict.fromkeys(known_corruption(name) for name in chosen("corruptions", words, CORRUPTIONS)))


def chosen_styles(words: Any) -> list[str]:
    """Styles that ``styles=`` names: ``all``, one, or a list.

    Raises:
        DataError: an unknown one.
        ConfigError: none at all.
    """
    names = chosen("styles", words, STYLES)
    return list(dict.fromkeys(Styles(names, option="styles").names)) if names else []


def run_corruptions(
    names: Sequence[str],
    clean: Evaluation,
    evaluate: Callable[[], Evaluation],
    data: "FaceDataModule",
    *,
    draw: bool,
) -> CorruptionSuite:
    """Evaluate every severity of some corruptions.

    Args:
        names: of the corruptions.
        clean: of the same faces as they are.
        evaluate: runs the model over the data once more.
        data: its ``corruption`` is set for each pass and cleared at the end.
        draw: whether this process shows progress and draws; all processes take part in the passes.
    """
    rows = _spread(clean)
    cells = []
    tiles: list[NDArray[np.uint8]] = []
    with Progress(transient=True, disable=not draw) as progress:
        passes = progress.add_task("corruptions", total=len(names) * len(SEVERITIES))
        for name in names:
            columns = [input_tiles(data, clean, rows, "clean")] if draw else []
            for severity in SEVERITIES:
                progress.update(passes, description=f"{name} {severity}")
                data.corruption = Corruption(name, severity, data.corruption_seed)
                result = evaluate()
                covered, in_view = _by_cover(clean.table, result.table)
                small = _already_smaller(data.corruption, result.table, data)
                cells.append(Cell(name, severity, result.summaries(), covered, in_view, small))
                if draw:
                    columns.append(input_tiles(data, result, rows, f"{name.replace('_', ' ')} {severity}"))
                progress.advance(passes)
            data.corruption = None
            tiles += _by_face(columns)
    return CorruptionSuite(Cell("clean", 0, clean.summaries()), cells, tiles)


def run_styles(
    names: Sequence[str],
    plain: Evaluation,
    evaluate: Callable[[], Evaluation],
    data: "FaceDataModule",
    *,
    draw: bool,
) -> StyleSuite:
    """Evaluate the faces in every one of some styles.

    Args:
        names: of the styles.
        plain: of the same faces in the style that the data has without this.
        evaluate: runs the model over the data once more.
        data: its ``styles`` are set for each pass and given back at the end.
        draw: whether this process shows progress and draws; all processes take part in the passes.
    """
    own = data.styles
    shown = own.names if own else ["original"]
    rows = _spread(plain)
    results: dict[str, Evaluation] = {}
    columns: list[list[NDArray[np.uint8]]] = []
    for name in track(names, "styles", transient=True, disable=not draw):
        data.styles = Styles([name])
        results[name] = plain if shown == [name] else evaluate()
        if draw:
            columns.append(input_tiles(data, results[name], rows, name))
    data.styles = own
    return StyleSuite(plain, list(shown), results, _by_face(columns))


def _spread(result: Evaluation) -> list[int]:
    """Rows of a few faces, spread over the table."""
    return [int(row) for row in np.unique(np.linspace(0, len(result.table) - 1, SHOWN).round().astype(int))]


def _by_face(columns: Sequence[Sequence["NDArray[np.uint8]"]]) -> list["NDArray[np.uint8]"]:
    return [tile for of_face in zip(*columns, strict=True) for tile in of_face]


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
