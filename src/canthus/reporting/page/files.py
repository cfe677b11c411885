"""``report.md`` and ``report.csv`` beside the page."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from canthus.reporting.page import literature, provenance
from canthus.reporting.page.measured import Costs
from canthus.reporting.page.page import Context, Section, overview_table
from canthus.reporting.page.protocols import Group, Row
from canthus.reporting.page.records import Record
from canthus.reporting.page.results import cost_of
from canthus.reporting.page.tables import as_markdown
from canthus.utils.escaping import markdown, writing_csv
from canthus.utils.files import replacing

__all__ = ["write_csv", "write_markdown"]


def write_markdown(path: Path, title: str, sections: Sequence[Section], context: Context) -> None:
    """Write all tables of the page; charts and faces are on the page alone."""
    models = list(dict.fromkeys(row.model for section in sections for row in section.group.rows))
    parts = [f"# {markdown(title)}", "\n".join(f"- {term}: {markdown(text)}" for term, text in context.facts)]
    parts += ["## Protocols", as_markdown(overview_table(sections))]
    for section in sections:
        parts.append(f"## {section.group.name}. {markdown(section.title)}")
        parts.append("\n".join(f"- {term}: {markdown(text)}" for term, text in section.facts))
        tables = [section.main, *(table for _, table in section.parts), *section.differences]
        tables += [table for table, *_ in section.corruptions] + section.beside
        parts += map(as_markdown, tables)
    claims = literature.shown_claims(context.claims, models)
    parts += ["## Claims of the papers", as_markdown(literature.claims_table(claims))] if claims else []
    elsewhere = literature.elsewhere_tables([model.lower() for model in models])
    parts += ["## Published, on other faces", *map(as_markdown, elsewhere)] if elsewhere else []
    parts += ["## Provenance", as_markdown(provenance.provenance_table([section.group for section in sections]))]
    missing = "\n".join(f"- {markdown(one)}" for one in context.missing) or "Nothing."
    with replacing(path) as temporary:
        temporary.write_text("\n\n".join([*parts, "## What is missing", missing]) + "\n", encoding="utf-8")


def write_csv(path: Path, groups: Sequence[Group], costs: Costs) -> None:
    """Write a row for every subset of every evaluation, seeds one by one, numbers as metrics.json has them."""
    rows = [row for group in groups for row in _rows(group, costs)]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with writing_csv(path) as write:
        write(columns)
        for row in rows:
            write(row.get(column, "") for column in columns)


def _rows(group: Group, costs: Costs) -> Iterator[dict[str, Any]]:
    protocol = group.protocol
    shared = {"protocol": group.name, "data": protocol.data, "split": protocol.split, "scheme": protocol.scheme}
    shared |= {"normaliser": protocol.normaliser, "threshold": str(protocol.threshold), "pictures": protocol.shown}
    for row in group.rows:
        for record in row.records:
            for name, subset in record.metrics["subsets"].items():
                low, high = subset.get("nme_interval") or ("", "")
                numbers = {"subset": name, "faces": subset["faces"], "missing": subset.get("missing", 0)}
                numbers |= {"nme": subset["nme"], "nme_low": low, "nme_high": high}
                numbers |= {"auc": subset["auc"], "failure_rate": subset["failure_rate"]}
                numbers |= {"nme_initial": subset.get("nme_initial", "")}
                stages = {f"nme_stage_{n}": error for n, error in enumerate(subset["nme_per_stage"], 1)}
                yield shared | {"model": row.model, "row": row.label} | numbers | _origin(row, record, costs) | stages


def _origin(row: Row, record: Record, costs: Costs) -> dict[str, Any]:
    training, cost = record.training, cost_of(row, costs)
    made = training.provenance if training else record.provenance
    return {
        "parameters": cost.parameters if cost else "",
        "flops": cost.operations if cost else "",
        "latency_ms": cost.network.median if cost and cost.network else "",
        "latency_with_crop_ms": cost.with_crop.median if cost and cost.with_crop else "",
        "training_seconds": training.seconds if training else "",
        "epochs": training.epochs if training else "",
        "seed": training.seed if training else "",
        "selected_on": made.get("selected_on", ""),
        "commit": made.get("commit", ""),
        "dirty": made.get("dirty", ""),
        "recipe": training.recipe if training else "",
        "evaluation": str(record.folder),
    }
