"""Pictures of a corruption suite: error over severity, and what the model sees and answers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from canthus.callbacks.drawing import stage_strip
from canthus.callbacks.evaluation import Evaluation
from canthus.data.batch import unscale_pixels
from canthus.escaping import figure_text
from canthus.geometry import affine
from canthus.picture_files import save_figure
from canthus.reporting.corruptions import severity_table
from canthus.reporting.curves import COLOURS, DASHES, words

if TYPE_CHECKING:
    from canthus.data.datamodule import FaceDataModule

__all__ = ["input_tiles", "severity_figure"]


def severity_figure(content: Mapping[str, Any], path: Path) -> Path:
    """Draw NME and failure rate over severity, a curve per difficulty that begins at the clean value.

    Args:
        content: see `canthus.reporting.corruptions.corruptions_summary`.
        path: the PNG; written whole or not at all.

    Returns:
        ``path``.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 4.2), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    labels = {
        "nme": f"NME in % of {words(content['normaliser'])}",
        "failure_rate": f"faces above {content['threshold']:g} %, in %",
    }
    for axes, (measure, label) in zip(figure.subplots(1, 2), labels.items(), strict=True):
        columns, rows = severity_table(content, measure)
        last = columns.index("mean")
        ticks = columns[1:last]
        for i, row in enumerate(rows):
            axes.plot(
                ticks,
                row[1:last],
                label=str(row[0]).replace("_", " "),
                color=COLOURS[i % len(COLOURS)],
                linestyle=DASHES[i % len(DASHES)],
                marker="o",
                markersize=4,
                linewidth=1.8,
            )
        axes.axhline(rows[0][1], color="0.55", linewidth=1, linestyle=(0, (2, 2)))
        axes.set(xlabel="severity", ylabel=label)
        axes.set_ylim(bottom=0)
        axes.grid(color="0.9", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(loc="best", frameon=True, framealpha=0.9, edgecolor="0.8")
    faces = content["clean"]["subsets"]["full"]["faces"]
    figure.suptitle(figure_text(f"{content['model']} on {content['data']} {content['split']}, {faces} faces"))
    save_figure(path, figure)
    return path


def input_tiles(
    data: "FaceDataModule", result: Evaluation, rows: Sequence[int], caption: str, *, height: int = 208
) -> list[NDArray[np.uint8]]:
    """Draw faces as the network sees them, with its last estimate over the label.

    Args:
        data: set to the corruption that ``result`` was measured with.
        result: of an evaluator.
        rows: of ``result.table``.
        caption: beneath each picture, before its error.
        height: of a tile, pixels.

    Returns:
        A (height, W, 3) RGB picture per row.
    """
    table = result.table
    chosen = list(rows)
    batch = data.inputs_of(result.split, table.index[chosen].tolist())
    to_input = affine.invert(batch["to_original"])
    estimates = affine.apply(to_input, table.points[chosen, -1].cpu().float())
    pixels = unscale_pixels(batch["image"], data.input.scaling).clamp(0, 1).expand(-1, 3, -1, -1)
    pictures = (pixels.permute(0, 2, 3, 1) * 255).round().byte().numpy()
    return [
        stage_strip(
            np.ascontiguousarray(pictures[i]),
            [estimates[i].numpy()],
            batch["landmarks"][i].numpy(),
            batch["box"][i].numpy(),
            data.scheme,
            height=height,
            caption=[caption],
            nme=[float(table.nme[row, -1])],
            visibility=batch["visibility"][i].numpy(),
        )
        for i, row in enumerate(chosen)
    ]
