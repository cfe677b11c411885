"""What the alignment study leaves: study.json, alignment.csv, alignment.md, the scatter and the aligned faces."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from canthus.alignment import Measures, normalisers_over_yaw, verification_link, yaw_bins
from canthus.callbacks.drawing import contact_sheet
from canthus.callbacks.overlays import save_picture
from canthus.files import replacing
from canthus.metrics import bootstrap_interval
from canthus.reporting.curves import COLOURS
from canthus.reporting.tables import markdown_table

__all__ = ["print_study", "write_study"]

YAWS = (0, 30, 60, 80)


def write_study(
    folder: Path,
    measures: Sequence[Measures],
    same: NDArray[np.bool_],
    labels: Tensor,
    yaw: Tensor,
    context: Mapping[str, Any],
    *,
    seed: int,
) -> dict[str, Any]:
    """Write everything.

    Args:
        folder: of the study.
        measures: of every aligner; the first is the ground truth.
        same: (P,) which pairs are of one person.
        labels: (N, 68, 2) of the faces.
        yaw: (N,) radians.
        context: data set, counts and settings.
        seed: of the resampling.

    Returns:
        What study.json says.
    """
    rows = [_row(one, measures[0]) for one in measures]
    content: dict[str, Any] = dict(context) | {
        "methods": rows,
        "link": verification_link(measures, same, seed=seed),
        "normalisers_over_yaw": normalisers_over_yaw(YAWS),
        "yaw_of_the_faces": yaw_bins(labels, yaw),
    }
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "study.json") as temporary:
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with replacing(folder / "alignment.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    with replacing(folder / "alignment.md") as temporary:
        temporary.write_text(_page(content), encoding="utf-8")
    _scatter(content, folder / "alignment.png")
    tiles = [tile for one in measures for tile in (one.mean_face, *one.examples)]
    save_picture(folder / "aligned_faces.png", contact_sheet(tiles, columns=1 + len(measures[0].examples)))
    return content


def _row(one: Measures, truth: Measures) -> dict[str, Any]:
    row: dict[str, Any] = one.row()
    if one is not truth:
        difference = one.right - truth.right
        row["accuracy_against_truth"] = float(difference.mean())
        if interval := bootstrap_interval(difference):
            row["accuracy_against_truth_interval"] = list(interval)
    return row


def _page(content: Mapping[str, Any]) -> str:
    methods = content["methods"]
    shifts = [key for key in dict.fromkeys(k for row in methods for k in row) if _is_shift(key)]
    columns = ["aligned by", "NME % of eyes", "NME % of box", "accuracy %", "less ground truth", "ROC area %"]
    columns += ["jitter %"]
    columns += [f"shift by {key.removeprefix('shift_').replace('_', ' ')} %" for key in shifts]
    rows: list[list[object]] = [
        [
            row["name"],
            row["nme_inter_ocular"],
            row["nme_box"],
            _with_interval(row, "accuracy"),
            _with_interval(row, "accuracy_against_truth"),
            row["roc_area"],
            _with_interval(row, "jitter"),
            *(row.get(key) for key in shifts),
        ]
        for row in methods
    ]
    yaw = [[f"{row['yaw']:g}", *list(row.values())[1:]] for row in content["normalisers_over_yaw"]]
    seen = [[f"{row['from']:g} to {row['to']:g}", row["faces"], row["ratio"]] for row in content["yaw_of_the_faces"]]
    sections = [
        f"# Alignment study on {content['data']}\n",
        f"{content['faces']} faces of {content['persons']} persons, {content['pairs']} pairs, half of them of one",
        f"person in different clips; embedder `{content['embedder']}`, the same for all; boxes moved by "
        f"{100 * content['box_noise']:g} % of their side.",
        "Every face is aligned by a similarity from five points, and NME is of these. Brackets are 95 % bootstrap",
        "intervals over pairs or clips.\n",
        markdown_table(rows, columns),
        "`jitter`: how far the labelled points move in the aligned frame across the frames of a clip. `shift`: how far",
        f"the frame moves when the picture is corrupted (severity {content['severity']}). Both in eye distances of the",
        "frame; references do not look at the picture, so that nothing shifts them.\n",
        f"**{_finding(content['link'])}**\n",
        "![scatter](alignment.png)\n",
        "Mean of the aligned faces, then the same eight faces, a row a method in the order of the table:\n",
        "![aligned faces](aligned_faces.png)\n",
        "## What a pixel counts when a head turns\n",
        "The generic face in the 224 px crop, and how much more one pixel of error counts than at yaw 0:\n",
        markdown_table(yaw, ["yaw", "eyes px", "box px", "factor by eyes", "factor by box"]),
        "The labelled faces, by absolute yaw (PnP of the labels): median eye distance in boxes.\n",
        markdown_table(seen, ["yaw", "faces", "eyes / box"]),
    ]
    return "\n".join(sections)


def _is_shift(key: str) -> bool:
    return key.startswith("shift_") and not key.endswith("_interval")


def _with_interval(row: Mapping[str, Any], key: str) -> str:
    if key not in row:
        return ""
    interval = row.get(f"{key}_interval")
    tail = f" [{interval[0]:.2f}, {interval[1]:.2f}]" if interval else ""
    return f"{row[key]:.2f}{tail}"


def _finding(link: Mapping[str, Any]) -> str:
    """In words what the rank correlation says."""
    if link["methods"] < 3:
        return "Fewer than three methods: whether lower NME gives better verification cannot be told."
    low, high = link["interval"]
    text = f"Rank correlation of NME (box) and accuracy over {link['methods']} methods: {link['correlation']:.2f} "
    text += f"[{low:.2f}, {high:.2f}]: "
    if high < 0:
        return text + "lower NME goes with better verification here."
    if low > 0:
        return text + "lower NME goes with worse verification here."
    return text + "whether lower NME gives better verification cannot be told from these faces."


def _scatter(content: Mapping[str, Any], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 5.4), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for place, row in enumerate(sorted(content["methods"], key=lambda row: row["nme_box"])):
        colour = COLOURS[0] if row["kind"] == "reference" else COLOURS[1]
        low, high = row.get("accuracy_interval", (row["accuracy"], row["accuracy"]))
        bars = [[row["accuracy"] - low], [high - row["accuracy"]]]
        shape = "s" if row["kind"] == "reference" else "o"
        where = row["nme_box"], row["accuracy"]
        axes.errorbar(*where, yerr=bars, fmt=shape, color=colour, capsize=3, markersize=6)
        # neighbours are close: their names stand at different heights
        above = (6, -14, 26, -32)[place % 4]
        axes.annotate(row["name"], where, xytext=(7, above), textcoords="offset points", fontsize="small", color=colour)
    axes.set(
        xlabel="NME of the five points in % of box",
        ylabel=f"verification accuracy in % ({content['embedder']})",
        title=f"{content['data']}: {content['faces']} faces, {content['pairs']} pairs",
    )
    axes.margins(x=0.18)
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", facecolor="white")


def print_study(content: Mapping[str, Any], folder: Path) -> None:
    """Show the table on the console."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"alignment on {content['data']}, verification by {content['embedder']}")
    for i, name in enumerate(("aligned by", "NME % of box", "accuracy %", "jitter %")):
        table.add_column(name, justify="right" if i else "left")
    for row in content["methods"]:
        table.add_row(row["name"], f"{row['nme_box']:.2f}", _with_interval(row, "accuracy"), f"{row['jitter']:.2f}")
    console = Console()
    console.print(table)
    console.print(_finding(content["link"]))
    console.print(f"tables and pictures: {folder / 'alignment.md'}", soft_wrap=True, highlight=False)
