"""What the alignment study leaves: study.json, verification.json, alignment.csv and .md, the scatter, aligned faces."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from canthus.data.corruptions import CORRUPTIONS
from canthus.reporting.tables import markdown_table
from canthus.studies.alignment.measures import Measures, verification_link
from canthus.studies.alignment.pairs import Pairs, resampled_accuracy
from canthus.utils.escaping import console, figure_text, markdown, markdown_code, writing_csv
from canthus.utils.files import replacing
from canthus.visualization.curves import COLOURS
from canthus.visualization.drawing import captioned, contact_sheet
from canthus.visualization.figures import figure, save_figure, with_grid
from canthus.visualization.images import save_picture

__all__ = ["print_study", "write_study"]


def write_study(
    folder: Path, measures: Sequence[Measures], pairs: Pairs, context: Mapping[str, Any], *, seed: int
) -> dict[str, Any]:
    """Write everything.

    Args:
        folder: of the study.
        measures: of every aligner; the first is the ground truth.
        pairs: that were verified.
        context: data set, counts and settings.
        seed: of the resampling.

    Returns:
        What study.json says.
    """
    drawn = resampled_accuracy(np.stack([one.right for one in measures]), pairs, seed=seed)
    rows: list[dict[str, Any]] = [one.row() for one in measures]
    for number, row in enumerate(rows):
        row["accuracy_interval"] = _interval(drawn[number])
        if number:
            row["accuracy_against_truth"] = row["accuracy"] - rows[0]["accuracy"]
            row["accuracy_against_truth_interval"] = _interval(drawn[number] - drawn[0])
    nme, accuracy = (np.array([row[key] for row in rows]) for key in ("nme_box", "accuracy"))
    alone = [number for number, row in enumerate(rows) if row["kind"] == "run"]
    content: dict[str, Any] = dict(context) | {
        "methods": rows,
        "link": verification_link(nme, accuracy, drawn),
        "link_of_runs": verification_link(nme[alone], accuracy[alone], drawn[alone]),
    }
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "study.json") as temporary:
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
    with replacing(folder / "verification.json") as temporary:
        temporary.write_text(json.dumps(_judgements(measures, pairs)), encoding="utf-8")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with writing_csv(folder / "alignment.csv") as write:
        write(columns)
        for row in rows:
            write(row.get(column, "") for column in columns)
    with replacing(folder / "alignment.md") as temporary:
        temporary.write_text(_page(content), encoding="utf-8")
    _scatter(content, folder / "alignment.png")
    tiles = [tile for one in measures for tile in (captioned(one.mean_face, one.name), *one.examples)]
    save_picture(folder / "aligned_faces.png", contact_sheet(tiles, columns=1 + len(measures[0].examples)))
    return content


def _judgements(measures: Sequence[Measures], pairs: Pairs) -> dict[str, Any]:
    """Every pair with its persons, and which aligners judge it rightly: enough to draw the persons again."""
    return {
        "persons": int(pairs.persons.max()) + 1,
        "of_pairs": pairs.persons.tolist(),
        "same": pairs.same.astype(int).tolist(),
        "right": {one.name: (one.right > 0).astype(int).tolist() for one in measures},
    }


def _interval(values: NDArray[np.float64]) -> list[float]:
    low, high = np.nanquantile(values, [0.025, 0.975]).tolist()
    return [low, high]


def _page(content: Mapping[str, Any]) -> str:
    methods = content["methods"]
    rows: list[list[object]] = [
        [
            row["name"],
            row["nme_inter_ocular"],
            row["nme_box"],
            _with_interval(row, "accuracy"),
            _with_interval(row, "accuracy_against_truth"),
            row["roc_area"],
            _with_interval(row, "jitter"),
            row["poseless"] or "",
        ]
        for row in methods
    ]
    columns = ["aligned by", "NME % of eyes", "NME % of box", "accuracy %", "less ground truth", "ROC area %"]
    weights = content["embedder_weights"]
    weights = f" with the weights of {markdown(Path(weights).name)}" if weights else ""
    sections = [
        f"# Alignment study on {markdown(content['data'])}\n",
        f"{content['faces']} faces of {content['persons']} persons, {content['pairs']} pairs, half of them of one",
        f"person in different clips; embedder {markdown_code(content['embedder'])}{weights}, the same for all; boxes",
        f"moved by {100 * content['box_noise']:g} % of their side.",
        "Every face is aligned by a similarity from five points, and NME is of these: a method's own, or (`pose`)",
        "those of the generic 3-D face under the pose that PnP finds from its own. Brackets are 95 % bootstrap",
        "intervals: of accuracies over persons, of the others over faces or clips.\n",
        markdown_table(rows, [*columns, "jitter %", "without a pose"]),
        "`jitter`: how far the labelled points move in the aligned frame across the frames of a clip, in percent of",
        "the frame's eye distance. Faces `without a pose` are aligned by their points.\n",
        *(f"**{markdown(line)}**\n" for line in _findings(content)),
        "![scatter](alignment.png)\n",
        *_corrupted(content),
        "## Aligned faces\n",
        "The mean of all, then the same eight faces:\n",
        "![aligned faces](aligned_faces.png)\n",
    ]
    return "\n".join(sections)


def _corrupted(content: Mapping[str, Any]) -> list[str]:
    """The section on corruptions, if there were any."""
    names = [name for name in CORRUPTIONS if any(f"shift_{name}" in row for row in content["methods"])]
    if not names:
        return []
    rows: list[list[object]] = [
        [row["name"], *(_with_interval(row, f"shift_{name}") for name in names)]
        for row in content["methods"]
        if f"shift_{names[0]}" in row
    ]
    met = [markdown(f"{run}: {', '.join(known)}") for run, known in content["met_in_training"].items() if known]
    return [
        "## Steadiness under corruptions\n",
        f"How far the frame moves when the picture is corrupted (severity {content['severity']}), in percent of its",
        f"eye distance, on {content['corrupted_faces']} faces. References do not look at the picture.",
        *([f"Met in training by {'; '.join(met)}."] if met else []),
        "",
        markdown_table(rows, ["aligned by", *(name.replace("_", " ") for name in names)]),
    ]


def _with_interval(row: Mapping[str, Any], key: str) -> str:
    if key not in row:
        return ""
    interval = row.get(f"{key}_interval")
    tail = f" [{interval[0]:.2f}, {interval[1]:.2f}]" if interval else ""
    return f"{row[key]:.2f}{tail}"


def _findings(content: Mapping[str, Any]) -> list[str]:
    """In words what the rank correlations say."""
    return [
        _finding(content["link"], "all rows, among them the labels with noise and the mean shape"),
        _finding(content["link_of_runs"], "the runs alone"),
    ]


def _finding(link: Mapping[str, Any], which: str) -> str:
    if link["methods"] < 3:
        return f"Over {which}: fewer than three, so whether lower NME gives better verification cannot be told."
    low, high = link["interval"]
    text = f"Over {which} ({link['methods']}): rank correlation of NME (box) and accuracy {link['correlation']:.2f} "
    text += f"[{low:.2f}, {high:.2f}]; "
    if high < 0:
        return text + "lower NME goes with better verification here."
    if low > 0:
        return text + "lower NME goes with worse verification here."
    return text + "whether lower NME gives better verification cannot be told from these faces."


def _scatter(content: Mapping[str, Any], path: Path) -> None:
    """Accuracy over NME; methods are numbered, as their names would lie on each other."""
    with figure(9.6, 5.4, dpi=130) as drawn:
        axes = drawn.add_subplot()
        ordered = sorted(content["methods"], key=lambda row: row["nme_box"])
        for number, row in enumerate(ordered, 1):
            reference, pose = row["kind"] == "reference", row["name"].endswith(", pose")
            colour = COLOURS[0] if reference else COLOURS[1]
            low, high = row["accuracy_interval"]
            bars = [[max(row["accuracy"] - low, 0)], [max(high - row["accuracy"], 0)]]
            where = row["nme_box"], row["accuracy"]
            filling = "white" if pose else colour
            axes.errorbar(
                *where,
                yerr=bars,
                fmt="s" if reference else "o",
                color=colour,
                markerfacecolor=filling,
                elinewidth=0.6,
                capsize=2,
                markersize=6,
                label=figure_text(f"{number}  {row['name']}"),
            )
            side = ((7, 4), (-13, 4), (7, -11), (-13, -11))[number % 4]
            axes.annotate(str(number), where, xytext=side, textcoords="offset points", fontsize="small", color=colour)
        axes.set(
            xlabel="NME of the five points in % of box",
            ylabel=figure_text(f"verification accuracy in % ({content['embedder']})"),
            title=figure_text(
                f"{content['data']}: {content['faces']} faces, {content['pairs']} pairs; hollow: by projected pose"
            ),
        )
        drawn.legend(*axes.get_legend_handles_labels(), loc="outside right upper", fontsize="small", frameon=False)
        with_grid(axes)
        save_figure(path, drawn)


def print_study(content: Mapping[str, Any], folder: Path) -> None:
    """Show the table on the console."""
    from rich.table import Table

    table = Table(title=f"alignment on {content['data']}, verification by {content['embedder']}")
    for i, name in enumerate(("aligned by", "NME % of box", "accuracy %", "jitter %")):
        table.add_column(name, justify="right" if i else "left")
    for row in content["methods"]:
        table.add_row(row["name"], f"{row['nme_box']:.2f}", _with_interval(row, "accuracy"), f"{row['jitter']:.2f}")
    screen = console()
    screen.print(table)
    for line in _findings(content):
        screen.print(line)
    screen.print(f"tables and pictures: {folder / 'alignment.md'}", soft_wrap=True)
