"""The effect of occlusion, low resolution, lighting and blur on the rows of a protocol."""

from collections.abc import Mapping, Sequence
from typing import Any

from canthus.reporting.page.protocols import Group, Number, Row
from canthus.reporting.page.tables import Cell, Column, Table, number_cell, text_cell

__all__ = ["corruption_seeds", "corruption_table", "corruptions_of", "severities"]


def corruption_seeds(group: Group) -> list[Any]:
    """Of the suites of a protocol: faces under two seeds met other corruptions, and do not share a table."""
    return list(dict.fromkeys(suite.get("seed") for suite in _all_suites(group)))


def corruptions_of(group: Group, seed: Any) -> list[str]:
    """That any suite under this seed has."""
    return list(
        dict.fromkeys(
            name for suite in _all_suites(group) if suite.get("seed") == seed for name in suite["corruptions"]
        )
    )


def _all_suites(group: Group) -> list[Mapping[str, Any]]:
    return [record.corruptions for row in group.rows for record in row.all_records if record.corruptions]


def severities(row: Row, seed: Any, corruption: str, key: str = "nme") -> list[tuple[int, Number]]:
    """Severity and number over all faces, clean (0) first; the mean over the seeds of a row that have a suite."""
    suites = _suites(row, seed, corruption)
    if not suites:
        return []
    found = [(0, Number.of([suite["clean"]["subsets"]["full"].get(key) for suite in suites]))]
    for severity in suites[0]["corruptions"][corruption]["severities"]:
        levels = [suite["corruptions"][corruption]["severities"].get(severity) for suite in suites]
        found.append(
            (int(severity), Number.of([level["subsets"]["full"].get(key) if level else None for level in levels]))
        )
    return [(severity, number) for severity, number in found if number is not None]


def _suites(row: Row, seed: Any, corruption: str | None = None) -> list[Mapping[str, Any]]:
    """One for each seed of a row that has one under this seed of the corruptions."""
    by_run: dict[Any, Mapping[str, Any]] = {}
    for record in row.all_records:
        suite = record.corruptions
        if suite and suite.get("seed") == seed and (corruption is None or corruption in suite["corruptions"]):
            by_run.setdefault(record.training.folder.resolve() if record.training else record.folder, suite)
    return list(by_run.values())


def corruption_table(group: Group, seed: Any, corruptions: Sequence[str]) -> Table:
    """The mean over severities of each corruption, and over all of them."""
    columns = [
        Column("model", numeric=False),
        Column("clean"),
        *(Column(name.replace("_", " ")) for name in corruptions),
    ]
    columns += [
        Column("mean"),
        Column("more than clean, %"),
        Column("FR, mean"),
        Column("seen in training", numeric=False),
    ]
    lines = []
    for row in group.rows:
        suites = _suites(row, seed)
        if not suites:
            continue
        means = []
        for name in corruptions:
            entries = [suite["corruptions"].get(name) for suite in suites]
            means.append(Number.of([entry.get("mean_nme") if entry else None for entry in entries]))
        failures = [
            level["subsets"]["full"]["failure_rate"]
            for suite in suites
            for entry in suite["corruptions"].values()
            for level in entry["severities"].values()
        ]
        seen = suites[0].get("in_training")
        lines.append([
            Cell(row.label, swatch=row.colour),
            number_cell(Number.of([suite["clean"]["subsets"]["full"]["nme"] for suite in suites])),
            *map(number_cell, means),
            number_cell(Number.of([suite["mean_corruption_error"] for suite in suites]), tone="strong"),
            number_cell(Number.of([suite["relative_corruption_error"] for suite in suites]), 1),
            number_cell(sum(failures) / len(failures), 1),
            text_cell(", ".join(map(str, seen)).replace("_", " ") if isinstance(seen, list) and seen else "none"),
        ])  # fmt: skip
    caption = f"Corruptions, mean over severities: NME in % of {group.protocol.normaliser}"
    return Table("corruptions", caption, columns, lines)
