"""The page of one run: what was evaluated, its tables and its pictures, as Markdown."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from canthus.evaluation.files import Metrics, read_metrics_json
from canthus.reporting.comparison import comparison_text
from canthus.reporting.corruptions import corruptions_section
from canthus.reporting.published import published_beside
from canthus.reporting.styles import styles_section
from canthus.reporting.tables import (
    END_TO_END,
    data_name,
    end_to_end_rows,
    incomplete_text,
    markdown_table,
    subset_table,
    trained_on_text,
)
from canthus.utils.escaping import Markdown, markdown, markdown_code, markdown_link
from canthus.utils.files import replacing

__all__ = ["refresh_summary", "write_summary"]

PICTURES = (".png", ".jpg", ".jpeg")
RECORDS = (
    "config.yaml",
    "metrics.csv",
    "metrics.json",
    "predictions.csv",
    "comparison.json",
    "corruptions.csv",
    "styles.csv",
    "provenance.json",
    "train.log",
)
LONGEST = 200
"""Provenance values beyond this many characters, such as package lists, are left to the file itself."""


def write_summary(run_folder: Path, *, ced: str = "ced.png", overlays: str = "overlays", shown: int = 12) -> Path:
    """Write ``summary.md`` into an evaluated run folder. All links are relative, so the folder can be moved.

    Args:
        run_folder: holds ``metrics.json``, and whatever of pictures and ``provenance.json`` there is.
        ced: the CED picture, relative to the folder.
        overlays: folder of overlay pictures, relative to the folder; searched to all depths.
        shown: overlay pictures that appear on the page itself; the others are links.

    Returns:
        Path of ``summary.md``.

    Raises:
        FileNotFoundError: the run has not been evaluated.
        ValueError: a damaged ``metrics.json`` or ``provenance.json``.
    """
    source = run_folder / "metrics.json"
    if not source.is_file():
        raise FileNotFoundError(f"{source} does not exist; evaluate the run first: canthus-eval run={run_folder}")
    metrics = read_metrics_json(source)
    sections = [
        _head(run_folder, metrics),
        _notes(run_folder),
        _subsets(metrics),
        _end_to_end(metrics),
        _more_errors(metrics),
        comparison_text(run_folder),
    ]
    sections += [_poses(metrics), _regions(metrics), _published(metrics)]
    if (run_folder / ced).is_file():
        sections.append(f"## Cumulative error\n\n!{markdown_link('cumulative error distribution', ced)}\n")
    sections += [corruptions_section(run_folder), styles_section(run_folder)]
    sections += [_overlays(run_folder, overlays, shown), _provenance(run_folder)]
    path = run_folder / "summary.md"
    with replacing(path) as temporary:
        temporary.write_text("\n".join(section for section in sections if section), encoding="utf-8")
    return path


@rank_zero_only
def refresh_summary(folder: Path) -> None:
    """Write the summary of a folder again, where there is one: it was written before its run knew how it would end."""
    if (folder / "metrics.json").is_file():
        write_summary(folder, overlays="overlays/faces")


def _head(run_folder: Path, metrics: Metrics) -> str:
    """Title, one sentence and links to the records."""
    faces = next(iter(metrics["subsets"].values()))["faces"] if metrics["subsets"] else 0
    records = [markdown_link(name, name) for name in RECORDS if (run_folder / name).is_file()]
    return (
        f"# {markdown(metrics['model'])} on {markdown(data_name(metrics))}\n\n"
        f"Model {markdown_code(metrics['model'])}, evaluated on {faces} faces of {markdown_code(data_name(metrics))}. "
        f"Errors are in percent of {markdown_code(metrics['normaliser'])}, measured in original-image pixels.\n\n"
        f"{_incomplete(metrics)}{_warning(metrics)}"
        f"Records: {', '.join(records)}\n"
    )


def _incomplete(metrics: Metrics) -> str:
    """A paragraph about parts that were not at hand as a whole, empty without any."""
    text = incomplete_text(metrics)
    return f"{markdown(text)}\n\n" if text else ""


def _warning(metrics: Metrics) -> str:
    """A paragraph about faces that were trained on, empty without any."""
    text = trained_on_text(metrics)
    return f"**{markdown(text)}**\n\n" if text else ""


def _notes(run_folder: Path) -> str:
    """What the training itself has to say about its result; empty for nothing."""
    try:
        notes = json.loads((run_folder / "provenance.json").read_text(encoding="utf-8")).get("notes", [])
    except (OSError, ValueError, AttributeError):
        return ""
    return "".join(f"**Note:** {note}.\n" for note in notes)


def _subsets(metrics: Metrics) -> str:
    """The table of subsets."""
    columns, rows = subset_table(metrics)
    unit = markdown_code(metrics["normaliser"])
    return (
        "## Subsets\n\n"
        f"NME in % of {unit} after each stage; AUC (exact) and failure rate of the last stage "
        f"at {metrics['threshold']:g} %. {_about_missing(metrics)}\n\n{markdown_table(rows, columns)}"
    )


def _end_to_end(metrics: Metrics) -> str:
    """What a detector did before; empty where there was none."""
    row = end_to_end_rows(metrics)
    if not row:
        return ""
    return (
        "## From the whole image\n\nFaces as a detector finds them, against the boxes of the labels. A box of no "
        f"labelled face is false, also where nobody labelled a face.\n\n{markdown_table([row], END_TO_END)}"
    )


def _about_missing(metrics: Metrics) -> str:
    """What happened to faces without an estimate, and how sure the means are."""
    text = "The interval is of the last stage's mean, by bootstrap over faces."
    missing = metrics.get("missing")
    if missing is None:
        return text
    count = len(missing["faces"])
    if missing["treated"] == "skip":
        return f"{text} {count} faces without an estimate were left out of everything."
    return f"{text} {count} faces have no estimate: they are failures in AUC and FR, and NME is over the others."


def _more_errors(metrics: Metrics) -> str:
    """NME of the last stage under the other normalisers, a column each, and of the visible points."""
    subsets = metrics["subsets"]
    others = list(dict.fromkeys(name for subset in subsets.values() for name in subset.get("other_normalisers", {})))
    visible = any("visible_only" in subset for subset in subsets.values())
    if not others and not visible:
        return ""
    first = metrics["normaliser"]
    columns = ["subset", f"NME % of {first}", *(f"NME % of {name}" for name in others)]
    columns += [f"visible points, % of {first}"] if visible else []
    rows: list[list[object]] = []
    for name, subset in subsets.items():
        row: list[object] = [name, subset["nme"]]
        row += [subset["other_normalisers"][other]["nme"] for other in others]
        row += [subset["visible_only"]["nme"] if "visible_only" in subset else None] if visible else []
        rows.append(row)
    return (
        f"## Other measures\n\nLast stage. Columns do not compare with each other.\n\n{markdown_table(rows, columns)}"
    )


def _poses(metrics: Metrics) -> str:
    """The table of head poses, empty for methods without one."""
    known = {name: subset["pose"] for name, subset in metrics["subsets"].items() if "pose" in subset}
    if not known:
        return ""
    names = ("yaw", "pitch", "roll", "mae", "geodesic", "vectors")
    bound = any("nme_bound" in pose for pose in known.values())
    rows: list[list[object]] = []
    for name, pose in known.items():
        row: list[object] = [name, pose["faces"], *(pose.get(angle) for angle in names)]
        rows.append([*row, pose.get("nme_bound"), metrics["subsets"][name]["nme"]] if bound else row)
    columns = ["subset", "faces", *names[:3], "mean of the three", *names[4:]]
    columns += ["NME of the true pose", "NME of the estimate"] if bound else []
    truth = "the data set's labels" if next(iter(known.values()))["truth"] == "labels" else "PnP of the labelled points"
    text = f"Mean errors in degrees, against {truth}; `vectors` is the mean angle between the axes."
    if bound:
        text += (
            f" NME in % of {markdown_code(metrics['normaliser'])}: the generic face under the true pose is the bound."
        )
    return f"## Head pose\n\n{text}\n\n{markdown_table(rows, columns)}"


def _regions(metrics: Metrics) -> str:
    """The table of landmark regions, empty without them."""
    regions = metrics.get("regions")
    if not regions:
        return ""
    count = max(len(errors) for errors in regions.values())
    stages = metrics.get("stages") or [f"stage {i + 1}" for i in range(count)]
    rows = [[name, *errors] for name, errors in regions.items()]
    table = markdown_table(rows, ["region", *(f"NME {name}" for name in stages)])
    first = next(iter(metrics["subsets"]), "")
    unit = markdown_code(metrics["normaliser"])
    return f"## Regions\n\nNME in % of {unit}, subset {markdown_code(first)}.\n\n{table}"


def _published(metrics: Metrics) -> str:
    """What the literature says about the same faces, a table per normaliser; empty where it says nothing.

    Corrupted faces and a mean over the found faces alone have nothing to stand beside.
    """
    if metrics.get("split") != "test" or metrics.get("corruption"):
        return ""
    names = [metrics["normaliser"]]
    names += [name for subset in metrics["subsets"].values() for name in subset.get("other_normalisers", {})]
    tables = [_published_under(metrics, name) for name in dict.fromkeys(names)]
    if not any(tables):
        return ""
    about = (
        "NME of the official test faces; face boxes, training data and choice of the epoch differ between papers. "
        "Status: own, in the authors' own repository; secondary, in another's table; reimplementation; computed, from "
        "published predictions."
    )
    return f"## Published on these faces\n\n{about}\n\n" + "\n".join(table for table in tables if table)


def _published_under(metrics: Metrics, normaliser: str) -> str:
    """One normaliser: this evaluation first, then a row per method and source, a column per subset."""
    ours: dict[str, float | None] = {}
    methods: dict[tuple[str, int, str, str], dict[str, float]] = {}
    for name, subset in metrics["subsets"].items():
        if subset.get("missing"):
            continue  # its NME is over the faces that were found, the easier ones
        found = published_beside(metrics["data"], metrics.get("scheme", ""), name, normaliser, subset["faces"])
        if found:
            same = normaliser == metrics["normaliser"]
            ours[name] = subset["nme"] if same else subset["other_normalisers"][normaliser]["nme"]
        for row in found:
            methods.setdefault((row.method, row.year, row.source, row.status), {})[name] = row.value
    if not ours:
        return ""
    rows: list[list[object]] = [
        [Markdown(f"**{markdown(metrics['model'])}**"), "-", *ours.values(), "this evaluation", "-"]
    ]
    for (method, year, source, status), values in methods.items():
        rows.append([method, str(year), *(values.get(name) for name in ours), source, status])
    columns = ["method", "year", *ours, "source", "status"]
    return f"### In % of {markdown(normaliser)}\n\n{markdown_table(rows, columns)}"


def _overlays(run_folder: Path, overlays: str, shown: int) -> str:
    """Pictures and links, empty without any."""
    pictures = sorted(path for path in (run_folder / overlays).rglob("*") if path.suffix.lower() in PICTURES)
    links = [markdown_link(path.stem, path.relative_to(run_folder)) for path in pictures]
    if not links:
        return ""
    lines = [f"!{link}\n" for link in links[:shown]]
    lines += [f"- {link}" for link in links[shown:]]
    return (
        "## Faces\n\nThe estimate of each stage (yellow) over the ground truth (blue), where there is one.\n\n"
        + "\n".join(lines)
        + "\n"
    )


def _provenance(run_folder: Path) -> str:
    """A line per fact of ``provenance.json``, empty without the file."""
    path = run_folder / "provenance.json"
    if not path.is_file():
        return ""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    lines = [
        f"- {markdown(name)}: {markdown_code(text)}"
        for name, text in _facts(content, "")
        if text and len(text) <= LONGEST
    ]
    return "## Provenance\n\n" + "\n".join(lines) + "\n"


def _facts(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Leaves of nested objects as dotted names and texts; lists are joined."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _facts(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        yield name, ", ".join(str(item) for item in value)
    else:
        yield name, str(value)
