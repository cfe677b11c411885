"""The files and pictures of a corruption suite or of a suite of styles, and what the console shows of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from canthus.data.corruptions import SEVERITIES
from canthus.evaluation.conditions import CorruptionSuite, StyleSuite
from canthus.evaluation.evaluation import Evaluation
from canthus.reporting import corruptions as corruption_files
from canthus.reporting import styles as style_files
from canthus.reporting.corruptions import (
    corruptions_summary,
    print_corruptions,
    severity_table,
    write_corruptions,
)
from canthus.reporting.styles import print_styles, styles_summary, write_styles
from canthus.utils.escaping import figure_text
from canthus.visualization.curves import COLOURS, DASHES, words
from canthus.visualization.drawing import contact_sheet
from canthus.visualization.figures import figure, save_figure, with_grid
from canthus.visualization.images import save_picture

if TYPE_CHECKING:
    from canthus.data.datamodule import FaceDataModule

    pass

__all__ = ["severity_figure", "write_corruption_suite", "write_style_suite"]


def severity_figure(content: Mapping[str, Any], path: Path) -> Path:
    """Draw NME and failure rate over severity, a curve per corruption that begins at the clean value.

    Args:
        content: see `canthus.reporting.corruptions.corruptions_summary`.
        path: the PNG; written whole or not at all.

    Returns:
        ``path``.
    """
    with figure(9.0, 4.2) as drawn:
        labels = {
            "nme": f"NME in % of {words(content['normaliser'])}",
            "failure_rate": f"faces above {content['threshold']:g} %, in %",
        }
        for axes, (measure, label) in zip(drawn.subplots(1, 2), labels.items(), strict=True):
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
            with_grid(axes)
        drawn.axes[0].legend(loc="best", frameon=True, framealpha=0.9, edgecolor="0.8")
        faces = content["clean"]["subsets"]["full"]["faces"]
        drawn.suptitle(figure_text(f"{content['model']} on {content['data']} {content['split']}, {faces} faces"))
        save_figure(path, drawn)
    return path


def write_corruption_suite(
    folder: Path, suite: CorruptionSuite, result: Evaluation, data: "FaceDataModule", **context: Any
) -> None:
    """Write corruptions.json, corruptions.csv, corruptions.png and corruptions_faces.png; show the table.

    Args:
        folder: of the evaluation.
        suite: what was found.
        result: of the clean faces.
        data: whose faces they are.
        **context: further entries of corruptions.json.
    """
    content = corruptions_summary(
        suite.clean, suite.cells, **_protocol(result, data), seed=data.corruption_seed, **context
    )
    write_corruptions(folder, content)
    severity_figure(content, folder / corruption_files.CURVES)
    save_picture(folder / corruption_files.FACES, contact_sheet(suite.tiles, columns=1 + len(SEVERITIES)))
    print_corruptions(content)


def write_style_suite(folder: Path, suite: StyleSuite, data: "FaceDataModule", **context: Any) -> None:
    """Write styles.json, styles.csv and styles_faces.png; show the table.

    Args:
        folder: of the evaluation.
        suite: what was found.
        data: whose faces they are.
        **context: further entries of styles.json.
    """
    summaries = {name: result.summaries() for name, result in suite.results.items()}
    content = styles_summary(summaries, suite.plain.summaries(), suite.shown, **_protocol(suite.plain, data), **context)
    write_styles(folder, content)
    save_picture(folder / style_files.FACES, contact_sheet(suite.tiles, columns=len(suite.results)))
    print_styles(content)


def _protocol(result: Evaluation, data: "FaceDataModule") -> dict[str, Any]:
    """The entries that say how it was measured."""
    return {
        "data": data.name,
        "split": result.split,
        "normaliser": result.table.normaliser,
        "threshold": result.threshold,
    }
