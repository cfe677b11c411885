"""The results of a corruption suite: one record per corruption and severity, its two files and its tables."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from canthus.evaluation.conditions import Cell
from canthus.reporting.tables import console_table, markdown_table
from canthus.utils.escaping import console, markdown, markdown_code, markdown_link, writing_csv
from canthus.utils.files import read_json, replacing

__all__ = ["corruptions_section", "corruptions_summary", "forget_corruptions", "write_corruptions"]

FILE, TABLE = "corruptions.json", "corruptions.csv"
CURVES, FACES = "corruptions.png", "corruptions_faces.png"
MEASURES = ("faces", "nme", "auc", "failure_rate")
OF_CELL = ("nme_covered", "nme_uncovered", "already_smaller")
"""Fields of a `Cell` that its record has where they are not None."""


def corruptions_summary(clean: Cell, cells: Sequence[Cell], **context: Any) -> dict[str, Any]:
    """What ``corruptions.json`` says.

    The mean corruption error is the plain mean of the NME over severities, then over corruptions. ImageNet-C's number
    of that name is divided by the errors of a fixed network, which landmarks do not have; the yardstick here is the
    model's own clean error: ``relative = (NME_c - NME_clean) / NME_clean``, percent; None where the clean error is 0.

    Args:
        clean: of the unchanged faces.
        cells: at least one, in the order of the tables.
        **context: model, data, split, normaliser, threshold and whatever else the tables name.

    Raises:
        ValueError: a pass in which no face has a finite estimate.
    """
    for cell in (clean, *cells):
        if cell.subsets["full"]["nme"] is None:
            raise ValueError(
                f"{cell.corruption} {cell.severity}: no face has a finite estimate; does the model diverge on them?"
            )
    base = float(clean.subsets["full"]["nme"])
    corruptions: dict[str, Any] = {}
    for cell in cells:
        entry = corruptions.setdefault(cell.corruption, {"severities": {}})
        entry["severities"][str(cell.severity)] = {"subsets": _measures(cell)} | {
            key: getattr(cell, key) for key in OF_CELL if getattr(cell, key) is not None
        }
    for entry in corruptions.values():
        errors = [level["subsets"]["full"]["nme"] for level in entry["severities"].values()]
        entry["mean_nme"] = sum(errors) / len(errors)
        entry["relative"] = _relative(entry["mean_nme"], base)
    worst = max(cells, key=lambda cell: cell.subsets["full"]["nme"])
    mean = sum(entry["mean_nme"] for entry in corruptions.values()) / len(corruptions)
    return {
        **context,
        "clean": {"subsets": _measures(clean)},
        "corruptions": corruptions,
        "mean_corruption_error": mean,
        "relative_corruption_error": _relative(mean, base),
        "worst": {
            "corruption": worst.corruption,
            "severity": worst.severity,
            "nme": float(worst.subsets["full"]["nme"]),
        },
    }


def _relative(error: float, base: float) -> float | None:
    """Percent more than ``base``; None where nothing can be told, as ``base`` is a perfect 0."""
    return 100 * (error - base) / base if base else None


def _measures(cell: Cell) -> dict[str, dict[str, float]]:
    """Without the subsets of which no face was found; ``missing`` where some were not."""
    return {
        name: {key: subset[key] for key in (*MEASURES, "missing") if key in subset}
        for name, subset in cell.subsets.items()
        if subset["nme"] is not None
    }


def write_corruptions(folder: Path, content: Mapping[str, Any]) -> None:
    """Write ``corruptions.json`` and ``corruptions.csv``, a row per subset of each pass; severity 0 is clean.

    Raises:
        ValueError: a number that is NaN or infinite.
    """
    try:
        text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    except ValueError as error:
        raise ValueError(
            f"{folder / FILE}: an error is not finite; does the model diverge on corrupted faces?"
        ) from error
    with replacing(folder / FILE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    columns = ["corruption", "severity", "subset", "normaliser", "threshold", *MEASURES, "relative"]
    columns += [*OF_CELL, "missing"]
    with writing_csv(folder / TABLE) as write:
        write(columns)
        for row in _rows(content):
            write(row.get(column, "") for column in columns)


def forget_corruptions(folder: Path) -> None:
    """Remove what an earlier suite left in an evaluation's folder, so that it does not stand beside new figures."""
    for name in (FILE, TABLE, CURVES, FACES):
        (folder / name).unlink(missing_ok=True)


def _rows(content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    clean = content["clean"]["subsets"]
    passes = [("clean", "0", content["clean"])]
    passes += [
        (name, severity, level)
        for name, entry in content["corruptions"].items()
        for severity, level in entry["severities"].items()
    ]
    for name, severity, level in passes:
        for subset, numbers in level["subsets"].items():
            row = {"corruption": name, "severity": severity, "subset": subset}
            row |= {"normaliser": content["normaliser"], "threshold": content["threshold"]} | numbers
            if subset in clean:
                row |= {"relative": _relative(numbers["nme"], clean[subset]["nme"])}
            row |= {key: level[key] for key in OF_CELL if subset == "full" and key in level}
            yield {key: f"{value:.4f}" if isinstance(value, float) else value for key, value in row.items()}


def severity_table(content: Mapping[str, Any], measure: str) -> tuple[list[str], list[list[object]]]:
    """Columns and a row per corruption: the clean value, one per severity and their mean; for NME also the relative."""
    clean = content["clean"]["subsets"]["full"][measure]
    entries = content["corruptions"]
    severities = list(next(iter(entries.values()))["severities"])
    columns = ["corruption", "clean", *severities, "mean", *(["vs clean, %"] if measure == "nme" else [])]
    rows: list[list[object]] = []
    for name, entry in entries.items():
        values = [level["subsets"]["full"][measure] for level in entry["severities"].values()]
        more = [entry["relative"]] if measure == "nme" else []
        rows.append([name, clean, *values, sum(values) / len(values), *more])
    return columns, rows


def corruptions_section(folder: Path) -> str:
    """The part of summary.md about a folder's suite, empty without one.

    Raises:
        ValueError: a damaged ``corruptions.json``.
    """
    path = folder / FILE
    if not path.is_file():
        return ""
    content = read_json(path, "evaluate with corruptions= again")
    worst, seen = content["worst"], ", ".join(map(markdown, content["in_training"]))
    parts = [
        "## Corruptions\n",
        f"NME in % of {markdown_code(content['normaliser'])}, last stage, all faces, by severity. "
        f"{_headline(content)} The worst: {markdown(worst['corruption'])} {worst['severity']} with "
        f"{worst['nme']:.2f}. "
        + (f"Training shows {seen}, so these are not unseen.\n" if seen else "Training shows none of them.\n"),
        _markdown(content, "nme"),
        *_footnotes(content),
        f"Failure rate at {content['threshold']:g} %:\n",
        _markdown(content, "failure_rate"),
    ]
    covered = [
        [int(severity), level["nme_covered"], level.get("nme_uncovered")]
        for severity, level in content["corruptions"].get("occlusion", {"severities": {}})["severities"].items()
        if "nme_covered" in level
    ]
    if covered:
        parts += ["Under occlusion, points beneath the occluder and points in view:\n"]
        parts += [markdown_table(covered, ["severity", "NME covered", "NME in view"])]
    parts += [f"!{markdown_link(name, name)}\n" for name in (CURVES, FACES) if (folder / name).is_file()]
    return "\n".join(parts)


def _footnotes(content: Mapping[str, Any]) -> list[str]:
    """Which entries of the table are not over all faces, or not over changed ones only."""
    levels = [
        (str(markdown(f"{name.replace('_', ' ')} {severity}")), level)
        for name, entry in content["corruptions"].items()
        for severity, level in entry["severities"].items()
    ]
    small = [f"{level['already_smaller']} at {name}" for name, level in levels if level.get("already_smaller")]
    notes = []
    if small:
        notes.append(
            f"Faces that are no larger in their image or in the network's input, and so stay as they are: "
            f"{', '.join(small)}; of {content['clean']['subsets']['full']['faces']}.\n"
        )
    levels.insert(0, ("clean", content["clean"]))
    missing = [(name, level["subsets"]["full"].get("missing")) for name, level in levels]
    lost = [f"{count} at {name}" for name, count in missing if count]
    if lost:
        notes.append(f"Faces without a finite estimate, failures that the NME leaves out: {', '.join(lost)}.\n")
    return notes


def _markdown(content: Mapping[str, Any], measure: str) -> str:
    columns, rows = severity_table(content, measure)
    return markdown_table(rows, columns)


def print_corruptions(content: Mapping[str, Any]) -> None:
    """Show the table on the console."""
    columns, rows = severity_table(content, "nme")
    named = [[str(name).replace("_", " "), *values] for name, *values in rows]
    title = f"NME in % of {content['normaliser']} by severity"
    console().print(console_table(columns, named, title=title, caption=_headline(content)))


def _headline(content: Mapping[str, Any]) -> str:
    clean = content["clean"]["subsets"]["full"]["nme"]
    mean, relative = content["mean_corruption_error"], content["relative_corruption_error"]
    change = "" if relative is None else f"{relative:+.1f} % "
    return f"Mean corruption error {mean:.2f}, {change}against {clean:.2f} on clean faces."
