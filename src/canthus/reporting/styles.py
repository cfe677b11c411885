"""Results on the same faces in other styles: two files, and a table for people."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from canthus.reporting.tables import console_table, markdown_table
from canthus.utils.escaping import console, markdown, markdown_code, markdown_link, writing_csv
from canthus.utils.files import read_json, replacing

__all__ = ["print_styles", "styles_section", "styles_summary", "write_styles"]

FILE, TABLE, FACES = "styles.json", "styles.csv", "styles_faces.png"
MEASURES = ("faces", "nme", "auc", "failure_rate")


def styles_summary(
    results: Mapping[str, Mapping[str, Any]], plain: Mapping[str, Any], shown: Sequence[str], **context: Any
) -> dict[str, Any]:
    """What ``styles.json`` says.

    Args:
        results: style to subset to its numbers, as in ``metrics.json``; ``full`` first.
        plain: the numbers of the data's own style.
        shown: its name, or those of the styles that its faces take turns in.
        **context: model, the styles that it was trained on, data, split, normaliser, threshold.

    Raises:
        ValueError: a pass in which no face has a finite estimate.
    """
    for name, subsets in {"the data's own style": plain, **results}.items():
        if subsets["full"]["nme"] is None:
            raise ValueError(f"{name}: no face has a finite estimate; does the model diverge on it?")
    return {**context, "own": {"styles": [*shown], "subsets": plain}, "styles": dict(results)}


def write_styles(folder: Path, content: Mapping[str, Any]) -> None:
    """Write ``styles.json`` and ``styles.csv``, a row per subset of each style.

    Every row names the model and its training styles, so that the rows of several runs make the table of train style by
    test style.
    """
    with replacing(folder / FILE) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    stages = len(content["own"]["subsets"]["full"]["nme_per_stage"])
    columns = ["model", "trained_on", "style", "subset", "normaliser", "threshold", *MEASURES]
    columns += [f"nme_stage_{number + 1}" for number in range(stages)]
    with writing_csv(folder / TABLE) as write:
        write(columns)
        for style, subsets in content["styles"].items():
            for subset, numbers in subsets.items():
                values = [*(numbers[key] for key in MEASURES), *numbers["nme_per_stage"]]
                row = [content["model"], "+".join(content["trained_on"]), style, subset]
                row += [content["normaliser"], content["threshold"]]
                write([*row, *(f"{value:.4f}" if isinstance(value, float) else value for value in values)])


def forget_styles(folder: Path) -> None:
    """Remove what an earlier table left in an evaluation's folder, so that it does not stand beside new figures."""
    for name in (FILE, TABLE, FACES):
        (folder / name).unlink(missing_ok=True)


def _table(content: Mapping[str, Any]) -> tuple[list[str], list[list[object]]]:
    """Columns, and a row per style of all faces."""
    own = content["own"]["subsets"]["full"]["nme"]
    stages = len(content["own"]["subsets"]["full"]["nme_per_stage"])
    before = [f"NME stage {number + 1}" for number in range(stages - 1)]
    columns = ["style", *before, "NME", f"vs {own:.2f}, %", "AUC", "FR"]
    rows: list[list[object]] = []
    for style, subsets in content["styles"].items():
        full = subsets["full"]
        relative = 100 * (full["nme"] / own - 1) if own else None
        rows.append([style, *full["nme_per_stage"], relative, full["auc"], full["failure_rate"]])
    return columns, rows


def _about(content: Mapping[str, Any]) -> str:
    seen, shown = (" and ".join(names) for names in (content["trained_on"], content["own"]["styles"]))
    own = content["own"]["subsets"]["full"]["nme"]
    return f"Trained on {seen}; {own:.2f} is the NME on {shown}."


def styles_section(folder: Path) -> str:
    """The part of summary.md about a folder's table of styles, empty without one.

    Raises:
        ValueError: a damaged ``styles.json``.
    """
    path = folder / FILE
    if not path.is_file():
        return ""
    content = read_json(path, "evaluate with styles= again")
    columns, rows = _table(content)
    text = (
        f"The same faces in renderings: NME in % of {markdown_code(content['normaliser'])}, AUC and failure rate at "
        f"{content['threshold']:g} %. {markdown(_about(content))}"
    )
    picture = f"\n!{markdown_link(FACES, FACES)}\n" if (folder / FACES).is_file() else ""
    return f"## Styles\n\n{text}\n\n{markdown_table(rows, columns)}{picture}"


def print_styles(content: Mapping[str, Any]) -> None:
    """Show the table on the console."""
    columns, rows = _table(content)
    title = f"NME in % of {content['normaliser']} by style"
    console().print(console_table(columns, rows, title=title, caption=_about(content)))
