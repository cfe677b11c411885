"""A model on renderings of the same faces: a row of the SAN paper's table of train style by test style."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.progress import track

from canthus.callbacks.drawing import contact_sheet
from canthus.callbacks.evaluation import Evaluation
from canthus.config import chosen
from canthus.data.styles import STYLES, Styles
from canthus.picture_files import save_picture
from canthus.reporting.corruption_pictures import input_tiles
from canthus.reporting.styles import FACES, FILE, TABLE, print_styles, styles_summary, write_styles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from canthus.data.datamodule import FaceDataModule

__all__ = ["chosen_styles", "evaluate_styles", "forget_styles"]

SHOWN = 4
"""Faces on the contact sheet."""


def chosen_styles(words: Any) -> list[str]:
    """Renderings that ``styles=`` names: ``all``, one, or a list.

    Raises:
        DataError: an unknown one.
        ConfigError: none at all.
    """
    names = chosen("styles", words, STYLES)
    return list(dict.fromkeys(Styles(names, option="styles").names)) if names else []


def evaluate_styles(
    names: list[str],
    plain: Evaluation,
    evaluate: Callable[[], Evaluation],
    data: "FaceDataModule",
    folder: Path,
    *,
    write: bool,
    **context: Any,
) -> None:
    """Evaluate every rendering and leave a table and a picture.

    Args:
        names: of `STYLES`.
        plain: of the same faces in the style that the data has without this.
        evaluate: runs the model over the data once more.
        data: its ``styles`` are set for each pass and given back at the end.
        folder: for styles.json, styles.csv and styles_faces.png.
        write: whether this is the process that writes; all processes take part in the passes.
        **context: further entries of styles.json.
    """
    own = data.styles
    shown = own.names if own else ["original"]
    rows = np.unique(np.linspace(0, len(plain.table) - 1, SHOWN).round().astype(int)).tolist()
    results: dict[str, Evaluation] = {}
    columns: list[list[NDArray[np.uint8]]] = []
    for name in track(names, "styles", transient=True, disable=not write):
        data.styles = Styles([name])
        results[name] = plain if shown == [name] else evaluate()
        if write:
            columns.append(input_tiles(data, results[name], rows, name))
    data.styles = own
    if not write:
        return
    content = styles_summary(
        {name: result.summaries() for name, result in results.items()},
        plain.summaries(),
        shown,
        data=data.name,
        split=plain.split,
        normaliser=plain.table.normaliser,
        threshold=plain.threshold,
        **context,
    )
    write_styles(folder, content)
    save_picture(
        folder / FACES,
        contact_sheet([tile for of_face in zip(*columns, strict=True) for tile in of_face], len(columns)),
    )
    print_styles(content)


def forget_styles(folder: Path) -> None:
    """Remove what an earlier table left in an evaluation's folder, so that it does not stand beside new figures."""
    for name in (FILE, TABLE, FACES):
        (folder / name).unlink(missing_ok=True)
