"""The report of an inspection: ``report.json``, ``findings.csv`` and tables on the console."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from canthus.inspection.collection import Collection
from canthus.inspection.findings import KINDS, Finding
from canthus.utils.escaping import console, writing_csv
from canthus.utils.files import replacing

__all__ = ["print_report", "write_findings", "write_report"]

COLUMNS = ("severity", "kind", "face", "file", "split", "part", "value", "unit", "detail", "other_file", "meaning")


def write_report(
    path: Path, name: str, summary: Mapping[str, Any], findings: Sequence[Finding], *, experimental: str | None = None
) -> None:
    """Write the summary and, by kind, how many faces were found odd.

    Args:
        path: of the json file.
        name: of the data set.
        summary: of `canthus.inspection.summarise`.
        findings: of `canthus.inspection.inspect`.
        experimental: of the reader: what it assumes.
    """
    counts = Counter(finding.kind for finding in findings)
    content = {
        "data": name,
        "experimental": experimental,
        "damage": sum(counts[kind] for kind in counts if KINDS[kind].damage),
        "warnings": sum(counts[kind] for kind in counts if not KINDS[kind].damage),
        "findings": {kind: {"count": counts[kind], "meaning": KINDS[kind].meaning} for kind in KINDS if counts[kind]},
        "summary": summary,
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")


def write_findings(path: Path, data: Collection, findings: Sequence[Finding]) -> None:
    """Write a row per finding: what, which face, which file, how much, and what to do about it."""
    with writing_csv(path) as write:
        write(COLUMNS)
        for finding in findings:
            kind, face = KINDS[finding.kind], data.faces[finding.face]
            value = "" if finding.value is None else f"{finding.value:.4g}"
            other = "" if finding.other is None else data.faces[finding.other].image
            write(
                [
                    *(severity(finding), finding.kind, finding.face, face.image, data.splits[finding.face], face.part),
                    *(value, kind.value, finding.detail, other, kind.meaning),
                ]
            )


def severity(finding: Finding) -> str:
    """``damage`` or ``warning``."""
    return "damage" if KINDS[finding.kind].damage else "warning"


def print_report(
    name: str, data: Collection, summary: Mapping[str, Any], findings: Sequence[Finding], screen: Console | None = None
) -> None:
    """Show the summary and the findings, by kind, on the console."""
    screen = screen or console()
    screen.print(_parts_table(name, summary))
    screen.print(_facts_table(summary["full"]))
    if not findings:
        screen.print("nothing odd found", style="green")
        return
    table = Table(title="findings", title_justify="left")
    for heading in ("", "kind", "number", "worst", "meaning"):
        table.add_column(heading, justify="right" if heading == "number" else "left", overflow="fold")
    counts = Counter(finding.kind for finding in findings)
    shown: set[str] = set()
    for finding in findings:
        if finding.kind not in shown:
            shown.add(finding.kind)
            grade, kind = severity(finding), KINDS[finding.kind]
            colour = "red" if kind.damage else "yellow"
            cells = [finding.kind, str(counts[finding.kind]), _worst(data, finding), kind.meaning]
            table.add_row(Text(grade, colour), *cells)
    screen.print(table)


def _worst(data: Collection, finding: Finding) -> str:
    value = "" if finding.value is None else f": {finding.value:.4g} {KINDS[finding.kind].value}"
    return f"{data.faces[finding.face].image.name}{value}"


def _parts_table(name: str, summary: Mapping[str, Any]) -> Table:
    table = Table(title=f"{name}, scheme {summary['scheme']}", title_justify="left")
    for heading in ("split", "part"):
        table.add_column(heading)
    for heading in ("faces", "images", "broken", "image px", "box side px", "labelled %", "occluded %"):
        table.add_column(heading, justify="right")
    table.add_column("yaw (abs. median, 95 %)", justify="right")
    rows = summary["parts"]
    if len(rows) > 1:
        rows = [*rows, {"split": "all", "part": "", **summary["full"]}]
    for row in rows:
        seen = row["visibility"]
        table.add_row(
            row["split"],
            row["part"],
            str(row["faces"]),
            str(row["images"]),
            str(row["broken_images"]),
            _size(row),
            _range(row["box_side"]),
            f"{100 * (1 - seen['not_labelled']):.1f}",
            f"{100 * seen['occluded']:.1f}",
            _yaw(row["yaw"]),
        )
    return table


def _facts_table(full: Mapping[str, Any]) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("faces on an image", _counts(full["images_by_number_of_faces"], "{} with {}"))
    if full["image_keys"] != full["images"]:
        table.add_row("split by", f"{full['image_keys']} keys (images or people), which splits keep whole")
    yaw = full["yaw"]
    source = " and ".join(
        f"{words} ({yaw[key]})"
        for key, words in (("labelled", "as labelled"), ("estimated_from_points", "estimated from the points"))
        if yaw[key]
    )
    if source:
        table.add_row("yaw, degrees", f"{_counts(yaw['faces_by_absolute_degrees'], '{} at {}')}; {source}")
    if full["identities"]:
        table.add_row("identities", str(full["identities"]))
    if full["attributes"]:
        table.add_row("attributes", _counts(full["attributes"], "{} {}"))
    return table


def _counts(counts: Mapping[str, int], form: str) -> str:
    return ", ".join(form.format(count, name) for name, count in counts.items())


def _size(row: Mapping[str, Any]) -> str:
    width, height = row["image_width"], row["image_height"]
    return f"{width['0.5']:.0f} x {height['0.5']:.0f}" if width else "-"


def _range(quantiles: Mapping[str, float]) -> str:
    return f"{quantiles['0']:.0f} / {quantiles['0.5']:.0f} / {quantiles['1']:.0f}"


def _yaw(yaw: Mapping[str, Any]) -> str:
    quantiles = yaw["absolute_degrees"]
    return f"{quantiles['0.5']:.0f}, {quantiles['0.95']:.0f}" if quantiles else "-"
