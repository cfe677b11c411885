"""Published results beside the figures of a page, and the claims of the papers with our own results."""

from collections.abc import Sequence
from typing import Any

from canthus.reporting.claims import Claim, claims
from canthus.reporting.page.protocols import Group, Number, Row
from canthus.reporting.page.tables import Cell, Column, Table, number_cell, text_cell
from canthus.reporting.published import published_beside, published_of

__all__ = ["beside_tables", "claims_table", "elsewhere_tables", "shown_claims"]

TONES = {"holds": "good", "holds in part": "fair", "does not hold": "bad"}


def beside_tables(group: Group) -> list[Table]:
    """Published NME of the same faces and points: a table for each normaliser, none where nothing compares."""
    protocol = group.protocol
    if protocol.split != "test" or protocol.shown != "as they are":
        return []
    names = [protocol.normaliser]
    for row in group.rows:
        names += row.records[0].metrics["subsets"][group.whole].get("other_normalisers", {})
    return [table for name in dict.fromkeys(names) if (table := _beside(group, name))]


def _beside(group: Group, normaliser: str) -> Table | None:
    protocol = group.protocol
    methods: dict[tuple[str, int, str, str], dict[str, float]] = {}
    subsets = []
    for name, faces in group.subsets:
        found = published_beside(protocol.data, protocol.scheme, name, normaliser, faces)
        subsets += [name] if found else []
        for row in found:
            methods.setdefault((row.method, row.year, row.source, row.status), {})[name] = row.value
    if not methods:
        return None
    lines = []
    for one in group.rows:
        values = [_under(one, name, normaliser) for name in subsets]
        if any(values):
            lines.append(
                [
                    Cell(one.label, swatch=one.colour),
                    text_cell("measured"),
                    *map(number_cell, values),
                    text_cell(None),
                    Cell("this page"),
                ]
            )
    for (method, year, source, status), known in methods.items():
        cells = [number_cell(known.get(name)) for name in subsets]
        lines.append([Cell(f"{method} ({year})"), text_cell("published"), *cells, text_cell(status), text_cell(source)])
    columns = [Column("method", numeric=False), Column("kind", numeric=False), *map(Column, subsets)]
    columns += [Column("status", numeric=False), Column("source", numeric=False, wide=True)]
    note = "Face boxes, training data and choice of the epoch differ between papers."
    caption = f"Measured and published on these faces: NME in % of {normaliser}"
    return Table(f"beside-{normaliser}", caption, columns, lines, filtered=True, notes=[note])


def _under(row: Row, subset: str, normaliser: str) -> Number | None:
    """NME of a row under a normaliser; None where faces are missing, as the mean is then over the easier ones."""
    values: list[float | None] = []
    for record in row.records:
        content = record.metrics["subsets"].get(subset)
        if content is None or content.get("missing"):
            return None
        same = record.metrics["normaliser"] == normaliser
        other = content.get("other_normalisers", {}).get(normaliser)
        values.append(content["nme"] if same else other["nme"] if other else None)
    return Number.of(values)


def elsewhere_tables(models: Sequence[str]) -> list[Table]:
    """What is published about the methods of the page on any faces: a table for each data set and normaliser."""
    tables: dict[tuple[str, str], list[Any]] = {}
    for model in models:
        for row in published_of(model):
            tables.setdefault((row.data, row.normaliser), []).append(row)
    made: list[Table] = []
    for (data, normaliser), rows in tables.items():
        measures = list(dict.fromkeys((row.subset, row.metric) for row in rows))
        lines: dict[tuple[str, int, str, str], dict[tuple[str, str], float]] = {}
        for row in rows:
            key = (row.method, row.year, row.source, row.status)
            lines.setdefault(key, {})[row.subset, row.metric] = row.value
        columns = [Column("method", numeric=False), Column("year")]
        columns += [Column(f"{subset} {metric}") for subset, metric in measures]
        columns += [Column("status", numeric=False), Column("source", numeric=False, wide=True)]
        cells = [
            [
                Cell(method),
                Cell(str(year), year),
                *(number_cell(known.get(measure)) for measure in measures),
                text_cell(status),
                text_cell(source),
            ]
            for (method, year, source, status), known in lines.items()
        ]
        caption = f"{data}{f', {normaliser}' if normaliser else ''}"
        made.append(Table(f"elsewhere-{len(made)}", caption, columns, cells))
    return made


def shown_claims(chosen: Sequence[Claim] | None, models: Sequence[str]) -> list[Claim]:
    """What a page shows: the chosen claims, or of the shipped ones those about its models."""
    if chosen is not None:
        return list(chosen)
    shown = {model.lower() for model in models}
    return [claim for claim in claims() if claim.model in shown]


def claims_table(shown: Sequence[Claim]) -> Table:
    """Claims of the papers."""
    lines = [
        [
            Cell(claim.model),
            Cell(claim.verdict, tone=TONES.get(claim.verdict, "quiet")),
            Cell(claim.claim),
            text_cell(claim.figures),
            text_cell(claim.source),
            text_cell(claim.measured),
            text_cell(claim.command, tone="code"),
            Cell(f"{claim.paper}: {claim.place}" if claim.place else claim.paper),
        ]
        for claim in shown
    ]
    names = ("model", "verdict", "claim", "figures", "from", "how", "command", "paper")
    columns = [Column(name, numeric=False, wide=name in ("claim", "figures", "how", "command")) for name in names]
    return Table("claims", "What the papers say, and what was measured here", columns, lines, choose=1, filtered=True)
