"""Two evaluations of the same faces side by side: which is better, and is it more than chance?"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from canthus.evaluation.files import Metrics, Prediction, read_metrics_json, read_predictions
from canthus.reporting.tables import corruption_name, interval_text, markdown_table
from canthus.runs.trust import own_file
from canthus.utils.errors import ConfigError
from canthus.utils.escaping import markdown, markdown_code
from canthus.utils.files import replacing

if TYPE_CHECKING:  # rich is needed by the console only
    from rich.table import Table

__all__ = [
    "BOX_TOLERANCE",
    "FaceKey",
    "check_comparable",
    "comparison_table",
    "comparison_text",
    "faces_by_key",
    "write_comparison",
]

FILES = ("metrics.json", "predictions.csv")
BOX_TOLERANCE = 0.01
"""Pixels: boxes are written with 4 decimals."""

FaceKey = tuple[str, str, str, int]
"""Part, image, file name, and number of the face among those of the file."""


def check_comparable(folder: Path) -> None:
    """Check that a folder holds an evaluation.

    Raises:
        ConfigError: it does not.
    """
    absent = [name for name in FILES if not own_file(folder / name).is_file()]
    if absent:
        raise ConfigError(
            f"compare={folder}: has no {' and no '.join(absent)}; name a run folder or the folder of an evaluation"
        )


def write_comparison(folder: Path, other: Path) -> dict[str, Any]:
    """Compare an evaluation with another one, face by face, and write ``comparison.json`` into its folder.

    Faces are joined by part, image and place among the faces of the image.

    Args:
        folder: of the evaluation, which comes first: negative differences are in its favour.
        other: folder of the one that it is compared with.

    Returns:
        What comparison.json says: ``first``, ``second``, ``normaliser`` and per subset the fields of
        `canthus.metrics.PairedComparison`. Subsets are all faces, the parts and the attributes.

    Raises:
        ConfigError: different normalisers, schemes, corruptions or faces, or damaged files; the message says which.
    """
    from canthus.metrics import compare_paired

    check_comparable(other)
    try:
        metrics = [read_metrics_json(place / "metrics.json") for place in (folder, other)]
        first, second = (faces_by_key(read_predictions(place / "predictions.csv")) for place in (folder, other))
    except ValueError as error:
        raise ConfigError(f"compare={other}: {error}") from error
    _check_same_measure(other, *metrics)
    _check_same_faces(other, first, second)
    errors = [np.array([rows[key].nme_per_stage for key in first])[:, -1] for rows in (first, second)]
    subsets = {}
    for name, mask in _masks(list(first.values())).items():
        if np.isfinite(errors[0][mask] + errors[1][mask]).any():
            subsets[name] = asdict(compare_paired(errors[0][mask], errors[1][mask]))
    if not subsets:
        raise ConfigError(f"compare={other}: no face has a finite error in both evaluations")
    content = {
        "first": {"model": metrics[0]["model"], "folder": str(folder)},
        "second": {"model": metrics[1]["model"], "folder": str(other)},
        "normaliser": metrics[0]["normaliser"],
        "subsets": subsets,
    }
    with replacing(folder / "comparison.json") as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return content


def comparison_text(folder: Path) -> str:
    """The section of summary.md, empty where nothing was compared."""
    path = folder / "comparison.json"
    if not path.is_file():
        return ""
    content = json.loads(path.read_text(encoding="utf-8"))
    columns, rows = _rows(content)
    left_out = content["subsets"].get("full", {}).get("left_out", 0)
    about = f" {left_out} faces without a finite error in both are in wins and losses only." if left_out else ""
    return (
        f"## Compared with {markdown(content['second']['model'])}\n\n{markdown(_caption(content))}, face by face; the "
        f"second is {markdown_code(content['second']['folder'])}. Negative differences favour the first. The interval "
        "is a 95 % bootstrap over faces; p (mean) is of random sign flips, p (rank) of Wilcoxon's signed-rank test."
        f"{about}\n\n{markdown_table(rows, columns)}"
    )


def comparison_table(content: dict[str, Any]) -> "Table":
    """The same for `canthus.utils.escaping.console`."""
    from rich.table import Table

    columns, rows = _rows(content)
    table = Table(title=_caption(content))
    for column in columns:
        table.add_column(column, justify="left" if column == "subset" else "right")
    for row in rows:
        table.add_row(*(f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row))
    return table


def _caption(content: dict[str, Any]) -> str:
    return f"{content['first']['model']} minus {content['second']['model']}, NME in % of {content['normaliser']}"


def _rows(content: dict[str, Any]) -> tuple[list[str], list[list[object]]]:
    columns = ["subset", "faces", "first", "second", "difference", "95 % interval", "wins/losses/ties"]
    columns += ["p (mean)", "p (rank)"]
    rows: list[list[object]] = []
    for name, numbers in content["subsets"].items():
        means = [numbers["mean_first"], numbers["mean_second"], numbers["mean_difference"]]
        counts = "/".join(str(numbers[key]) for key in ("wins", "losses", "ties"))
        chances = [f"{numbers[key]:.2g}" for key in ("p_sign_flip", "p_wilcoxon")]
        rows.append([name, numbers["faces"], *means, interval_text(numbers["interval"]) or "-", counts, *chances])
    return columns, rows


def _check_same_measure(other: Path, first: Metrics, second: Metrics) -> None:
    for key in ("normaliser", "scheme"):
        mine, theirs = first.get(key), second.get(key)
        if mine != theirs and None not in (mine, theirs):
            raise ConfigError(
                f"compare={other}: its {key} is {theirs} and the one here {mine}; errors under different ones do not "
                f"compare, evaluate both with the same {key}"
            )
    mine, theirs = corruption_name(first), corruption_name(second)
    if mine != theirs:
        raise ConfigError(
            f"compare={other}: its faces were shown under {theirs} and those here under {mine}; evaluate both with the "
            "same data.corruption and data.severity"
        )


def faces_by_key(rows: Sequence[Prediction]) -> dict[FaceKey, Prediction]:
    """Rows of predictions.csv by what two evaluations of the same face share."""
    found: dict[FaceKey, Prediction] = {}
    counts: dict[tuple[str, str, str], int] = {}
    for row in sorted(rows, key=lambda row: row.index):
        file = (row.part, row.photo, os.path.basename(row.image))  # thousands of faces: Path takes its time
        counts[file] = counts.get(file, 0) + 1
        found[*file, counts[file]] = row
    return found


def _check_same_faces(other: Path, first: dict[FaceKey, Prediction], second: dict[FaceKey, Prediction]) -> None:
    lone = [sorted(mine.keys() - theirs.keys()) for mine, theirs in ((first, second), (second, first))]
    if lone[0] or lone[1]:
        example = [f", such as {'/'.join(keys[0][1:3])} of part {keys[0][0] or '-'}" if keys else "" for keys in lone]
        raise ConfigError(
            f"compare={other}: not the same faces: {len(first)} here and {len(second)} there; {len(lone[0])} only here"
            f"{example[0]}; {len(lone[1])} only there{example[1]}; evaluate both on the same split, "
            "with missing=failure rather than skip"
        )
    for key, row in first.items():
        mine, theirs = (np.asarray(each.box) for each in (row, second[key]))
        points = [len(np.asarray(each.landmarks)) for each in (row, second[key])]
        if points[0] != points[1]:
            raise ConfigError(f"compare={other}: {points[1]} landmarks there and {points[0]} here; use one data.scheme")
        if np.abs(mine - theirs).max() > BOX_TOLERANCE:
            raise ConfigError(
                f"compare={other}: face {key[3]} of {row.image} has the box {mine.round(1).tolist()} here and "
                f"{theirs.round(1).tolist()} there; evaluate both with the same data.box"
            )


def _masks(rows: Sequence[Prediction]) -> dict[str, NDArray[np.bool_]]:
    parts = sorted({row.part for row in rows})
    attributes = sorted(set().union(*(row.attributes for row in rows)))
    masks = {"full": np.ones(len(rows), dtype=np.bool_)}
    masks |= {part: np.array([row.part == part for row in rows]) for part in parts if len(parts) > 1}
    return masks | {name: np.array([name in row.attributes for row in rows]) for name in attributes}
