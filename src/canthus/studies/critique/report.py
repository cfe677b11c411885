"""What the critique of landmark benchmarks leaves: critique.json, critique.md and its figure."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from canthus.reporting.tables import markdown_table
from canthus.utils.escaping import console, markdown
from canthus.utils.files import replacing
from canthus.visualization.curves import COLOURS
from canthus.visualization.figures import figure, save_figure, with_grid

__all__ = ["print_critique", "write_critique"]

YAWS = (0, 30, 60, 80)
"""Of the table; the figure has all."""


def write_critique(folder: Path, content: Mapping[str, Any], labels: Tensor, yaw: Tensor) -> None:
    """Write everything.

    Args:
        folder: of the study.
        content: what critique.json says; the command lists its keys.
        labels: (N, 68, 2) of the faces.
        yaw: (N,) radians, NaN where it is not known.
    """
    with replacing(folder / "critique.json") as temporary:
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
    with replacing(folder / "critique.md") as temporary:
        temporary.write_text(_page(content), encoding="utf-8")
    _picture(content, labels, yaw, folder / "critique.png")


def _page(content: Mapping[str, Any]) -> str:
    yaw = [
        [f"{row['yaw']:g}", *list(row.values())[1:]] for row in content["normalisers_over_yaw"] if row["yaw"] in YAWS
    ]
    seen = [[_bin(row), row["faces"], row["ratio"]] for row in content["yaw_of_the_faces"]]
    floor = [list(row.values()) for row in content["noise_floor"]]
    rest = [[name.replace("_", " "), value] for name, value in content["unforeseen"].items()]
    sections = [
        f"# What landmark errors mean on {markdown(content['data'])}\n",
        f"{content['faces']} faces; yaw by PnP of the labels, without a valid pose for {content['without_pose']}.\n",
        "## Normalisers over yaw\n",
        "The generic face in the 224 px crop, and how much more one pixel of error counts than at yaw 0:\n",
        markdown_table(yaw, ["yaw", "eyes px", "box px", "factor by eyes", "factor by box"]),
        "The labelled faces by absolute yaw, median eye distance in boxes:\n",
        markdown_table(seen, ["yaw", "faces", "eyes / box"]),
        *_over_yaw(content["methods"]),
        "![normalisers over yaw and noise](critique.png)\n",
        "## Noise of the labels\n",
        "If x and y of every label have noise of this deviation (percent of the eye distance), a method without any",
        "error scores the NME of the next columns. The last columns say what the noise does to an alignment by five",
        "points and by the projected pose of all 68 (percent of the frame's eye distance), and by how many degrees it",
        "turns the pose. Faces without a pose are aligned by their points.\n",
        markdown_table(
            floor,
            [
                "noise %",
                "NME % of eyes",
                "NME % of box",
                "frame by points",
                "frame by pose",
                "pose turns",
                "without a pose",
            ],
        ),
        "How far points lie from where all others of their face let a linear regression expect them (root mean square",
        "of x and y, percent of the eye distance, on images that it has not seen). The noise of the labels is not",
        "larger, and what the others cannot know is in it, too.\n",
        markdown_table(rest, ["region", "deviation %"]),
        *_speed(content["methods"]),
    ]
    return "\n".join(sections)


def _bin(row: Mapping[str, Any]) -> str:
    return f"{row['from']:g} to {row['to']:g}"


def _over_yaw(methods: list[dict[str, Any]]) -> list[str]:
    if not methods:
        return []
    bins = methods[0]["over_yaw"]
    rows: list[list[object]] = []
    for method in methods:
        for name, title in (("inter_ocular", "eyes"), ("box", "box")):
            values = [row[name] for row in method["over_yaw"]]
            rows.append([method["name"], title, method[f"nme_{name}"], *values, values[-1] / values[0]])
    columns = ["run", "in % of", "all", *(_bin(row) for row in bins), "last / first"]
    return [
        "NME of five points by absolute yaw: how much worse turned faces look depends on the normaliser.\n",
        markdown_table(rows, columns),
    ]


def _speed(methods: list[dict[str, Any]]) -> list[str]:
    if not methods:
        return []
    rows = [[row["name"], row["nme_inter_ocular"], row["nme_box"], row["milliseconds"]] for row in methods]
    return [
        "## Speed\n",
        "Processor time a face in batches, from the cropped picture to the points, on the machine of this study;",
        "`benchmarks/latency.py` measures with more care.\n",
        markdown_table(rows, ["run", "NME % of eyes", "NME % of box", "ms a face"]),
    ]


def _picture(content: Mapping[str, Any], labels: Tensor, yaw: Tensor, path: Path) -> None:
    with figure(10.4, 4.2, dpi=130) as drawn:
        left, right = drawn.subplots(1, 2)
        curve = content["normalisers_over_yaw"]
        eyes = (labels[:, 36] - labels[:, 45]).norm(dim=1)
        box = (labels.amax(1) - labels.amin(1)).prod(1).sqrt()
        degrees, ratio = [row["yaw"] for row in curve], [row["inter_ocular"] / row["box"] for row in curve]
        left.scatter(yaw.abs().rad2deg(), eyes / box, s=4, color="0.7", label="labelled faces")
        left.plot(degrees, ratio, color=COLOURS[0], label="generic face")
        left.set(
            xlabel="absolute yaw, degrees", ylabel="eye distance / box", title="Normalisers over yaw", ylim=(0, None)
        )
        noise = [0, *(row["noise"] for row in content["noise_floor"])]
        for name, title, colour in (("points", "five points", COLOURS[1]), ("pose", "projected pose", COLOURS[0])):
            right.plot(
                noise, [0, *(row[name] for row in content["noise_floor"])], marker="o", color=colour, label=title
            )
        right.set(
            xlabel="noise of the labels, % of the eye distance",
            ylabel="movement of the aligned frame, %",
            title="What noise does to an alignment",
        )
        for axes in (left, right):
            with_grid(axes)
            axes.legend(frameon=False, fontsize="small")
        save_figure(path, drawn)


def print_critique(content: Mapping[str, Any], folder: Path) -> None:
    """Show what matters on the console."""
    screen, last = console(), content["normalisers_over_yaw"][-1]
    eyes, box = (f"{last[f'{name}_factor']:.2f}" for name in ("inter_ocular", "box"))
    screen.print(
        f"A pixel at {last['yaw']:g} degrees of yaw counts {eyes} times as much by the eyes, {box} by the box."
    )
    for row in content["noise_floor"]:
        eyes, box = (f"{row[f'nme_{name}']:.2f}" for name in ("inter_ocular", "box"))
        screen.print(
            f"Labels with {row['noise']:g} % of noise: a perfect method has NME {eyes} % of eyes, {box} % of box."
        )
    screen.print(f"tables and pictures: {folder / 'critique.md'}", soft_wrap=True)
