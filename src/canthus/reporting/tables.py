"""The two files of an evaluation, and its tables for people.

``predictions.csv`` has a row per face; ``metrics.json`` has the numbers per subset. Both are written whole or not at
all. ``markdown_table`` and ``rich_table`` show the numbers on a page and on the console.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from canthus.evaluation.files import Metrics
from canthus.utils.escaping import Markdown, markdown

if TYPE_CHECKING:  # rich is needed by the console only
    from rich.table import Table

__all__ = [
    "END_TO_END",
    "console_table",
    "end_to_end_rows",
    "incomplete_text",
    "markdown_table",
    "rich_table",
    "subset_table",
    "trained_on_text",
]

LONGEST_PART = 80
"""Characters of the name of a part."""
NOTHING = Markdown("-")
"""What stands where there is no value."""


def subset_table(metrics: Metrics) -> tuple[list[str], list[list[object]]]:
    """Column names and a row per subset: faces, NME at the start and per stage, its interval, AUC and failure rate."""
    subsets = metrics["subsets"]
    counts = [len(subset["nme_per_stage"]) for subset in subsets.values()]
    stages = metrics.get("stages") or [f"stage {i + 1}" for i in range(max(counts, default=0))]
    threshold = f"{metrics['threshold']:g}"
    missing = ["missing"] if any("missing" in subset for subset in subsets.values()) else []
    start = ["NME start"] if any("nme_initial" in subset for subset in subsets.values()) else []
    sure = ["95 % interval"] if any("nme_interval" in subset for subset in subsets.values()) else []
    columns = ["subset", "faces", *missing, *start, *(f"NME {name}" for name in stages), *sure]
    columns += [f"AUC@{threshold}", f"FR@{threshold}"]
    rows: list[list[object]] = []
    for name, subset in subsets.items():
        row: list[object] = [name, subset["faces"]]
        row += [subset.get("missing", 0)] if missing else []
        row += [subset.get("nme_initial")] if start else []
        row += subset["nme_per_stage"]
        row += [interval_text(subset.get("nme_interval"))] if sure else []
        rows.append([*row, subset["auc"], subset["failure_rate"]])
    return columns, rows


def interval_text(interval: Sequence[float] | None) -> str | None:
    """``3.95 to 4.31``."""
    return None if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}"


def data_name(metrics: Metrics) -> str:
    """Data set and, where known, split; and what was done to its faces: ``w300 test under blur 3``."""
    name = f"{metrics['data']} {metrics.get('split', '')}".strip()
    return f"{name} under {corruption_name(metrics)}" if metrics.get("corruption") else name


def trained_on_text(metrics: Metrics) -> str:
    """A warning about faces that the model was trained on; empty where there are none, or nobody knows."""
    count, faces = metrics.get("trained_on"), next(iter(metrics["subsets"].values()), {"faces": 0})["faces"]
    if not count:
        return ""
    return f"{count} of the {faces} evaluated faces were trained on: these figures say nothing about unseen faces."


def incomplete_text(metrics: Metrics) -> str:
    """Which parts were not at hand as a whole; empty where all were, or nobody knows.

    The file may be a stranger's: what is no pair of counts is left out.
    """
    found = metrics.get("incomplete")
    words = [
        f"{pair[0]} of the {pair[1]} faces of {str(part)[:LONGEST_PART]}"
        for part, pair in (found.items() if isinstance(found, Mapping) else ())
        if isinstance(pair, (list, tuple)) and len(pair) == 2 and all(type(count) is int for count in pair)
    ]
    return f"{', '.join(words)}; the others were not at hand." if words else ""


END_TO_END = ("detector", "images", "faces", "found", "recall %", "false an image", "NME", "NME label boxes", "ratio")


def end_to_end_rows(metrics: Metrics) -> list[object]:
    """What a detector did before the points were placed, by the columns `END_TO_END`; empty where there was none.

    Raises:
        ValueError: a damaged part of metrics.json.
    """
    found = metrics.get("end_to_end")
    if found is None:
        return []
    keys = ("images", "faces", "found", "recall", "false_per_image", "nme", "nme_in_label_boxes", "ratio")
    try:
        name, refine = str(found["detector"])[:LONGEST_PART], int(found["refine"])
        values: list[float | int] = [found[key] for key in keys]
        whole = all(isinstance(value, (int, float)) and math.isfinite(value) for value in values)
    except (KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        raise ValueError("metrics.json: its end_to_end part is damaged; evaluate again")
    return [f"{name}, refined {refine}" if refine else name, *values]


def corruption_name(metrics: Metrics) -> str:
    """``blur 3``, or ``no corruption``."""
    if not metrics.get("corruption"):
        return "no corruption"
    return f"{metrics['corruption']} {metrics['severity']}"


def markdown_table(rows: Iterable[Sequence[object]], columns: Sequence[str]) -> str:
    """A Markdown table: numbers to the right with 2 decimals (whole ones as they are), ``None`` as a dash.

    Texts are no markup in it, unless they are `canthus.utils.escaping.Markdown` already.

    Raises:
        ValueError: a row of another length than ``columns``.
    """
    lines = list(rows)
    cells: list[list[str]] = [[markdown(_cell(value)) for value in line] for line in lines]
    for line in cells:
        if len(line) != len(columns):
            raise ValueError(f"the row {line} has {len(line)} cells for the {len(columns)} columns {list(columns)}")
    rules = ["--:" if _is_numeric(lines, i) else "---" for i in range(len(columns))]
    head: list[str] = [markdown(name) for name in columns]
    return "".join(f"| {' | '.join(line)} |\n" for line in [head, rules, *cells])


def rich_table(metrics: Metrics) -> "Table":
    """The table of subsets for the console, with the normaliser in its title."""
    columns, rows = subset_table(metrics)
    title = f"{metrics['model']} on {data_name(metrics)}: NME in % of {metrics['normaliser']}"
    return console_table(columns, rows, title=title)


def console_table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str, caption: str | None = None
) -> "Table":
    """What `markdown_table` is on a page, for `canthus.utils.escaping.console`."""
    from rich.table import Table

    table = Table(title=title, caption=caption)
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if _is_numeric(rows, i) else "left")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    return table


def _is_numeric(rows: Sequence[Sequence[object]], column: int) -> bool:
    """Whether a column holds numbers only."""
    return bool(rows) and all(isinstance(row[column], (int, float, type(None))) for row in rows)


def _cell(value: object) -> str:
    """One cell of a table."""
    if value is None or value == NOTHING:
        return NOTHING
    return value if isinstance(value, str) else f"{value:.2f}" if isinstance(value, float) else str(value)
