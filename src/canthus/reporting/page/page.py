"""The page itself: sections in their order, filled into the template; nothing on it comes from the network."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from markupsafe import Markup

from canthus.reporting.claims import Claim
from canthus.reporting.page import claim_charts, corruptions, figures, literature, provenance, results, significance
from canthus.reporting.page.charts import Series
from canthus.reporting.page.measured import Costs, Measured
from canthus.reporting.page.protocols import Group
from canthus.reporting.page.tables import Column, Table, number_cell, text_cell
from canthus.reporting.tables import incomplete_text
from canthus.utils.escaping import one_line
from canthus.utils.files import replacing

SECTIONS = 40
"""Protocols with tables and charts, those with most models."""

__all__ = ["Context", "Section", "page_sections", "write_page"]


@dataclass(frozen=True)
class Context:
    """What is about the whole page.

    Attributes:
        facts: of how it was made, as term and text.
        measured: costs and pictures.
        missing: what is not on the page and why.
        claims: that it shows; None: of those that canthus ships, the ones about models on the page.
    """

    facts: Sequence[tuple[str, str]]
    measured: Measured
    missing: Sequence[str]
    claims: Sequence[Claim] | None = None


@dataclass
class Section:
    """One protocol, ready for the template.

    Attributes:
        group: of the section.
        facts: of the protocol, as term and text.
        main: the table of models x subsets.
        charts: beside each other.
        parts: further tables, with a heading each.
        corruptions: per seed of the corruptions a table, the legend and the charts.
        differences: tables of significance.
        beside: measured and published.
    """

    group: Group
    facts: list[tuple[str, str]]
    main: Table
    charts: list[figures.Chart]
    parts: list[tuple[str, Table]]
    corruptions: list[tuple[Table, list[Series], list[figures.Chart]]] = field(default_factory=list)
    differences: list[Table] = field(default_factory=list)
    beside: list[Table] = field(default_factory=list)

    @property
    def title(self) -> str:
        """For its heading."""
        protocol = self.group.protocol
        shown = "" if protocol.shown == "as they are" else f" under {protocol.shown}"
        return f"{protocol.data} {protocol.split}{shown}: {protocol.scheme} points, % of {protocol.normaliser}"


def page_sections(groups: Sequence[Group], costs: Costs) -> list[Section]:
    """Compute the sections of the first `SECTIONS` protocols."""
    return [_section(group, costs) for group in groups[:SECTIONS]]


def _section(group: Group, costs: Costs) -> Section:
    protocol = group.protocol
    facts = [
        ("faces", f"{group.faces} of {protocol.data} {protocol.split}{_about(group)}"),
        ("landmarks", f"scheme {protocol.scheme}"),
        ("errors", f"in % of {protocol.normaliser}, in original-image pixels"),
        ("AUC and FR", f"up to {protocol.threshold:g} %"),
        ("face boxes", group.boxes),
        ("pictures", protocol.shown),
    ]
    charts = [figures.ced_chart(group), figures.stage_chart(group), figures.cost_chart(group, costs)]
    parts = [
        ("Parts and attributes", results.subset_table(group)),
        ("Regions of the face", results.region_table(group)),
        ("Head pose", results.pose_table(group)),
        ("Face boxes", results.detection_table(group)),
        ("From the whole image", results.end_to_end_table(group)),
        ("Other measures", results.other_table(group)),
    ]
    pairs = significance.compare_rows(group)
    differences = [significance.matrix_table(group, pairs), significance.pair_table(group, pairs)]
    section = Section(
        group,
        facts,
        results.main_table(group, costs),
        [chart for chart in charts if chart],
        [(title, table) for title, table in parts if table],
        differences=[table for table in differences if table],
        beside=literature.beside_tables(group),
    )
    for seed in corruptions.corruption_seeds(group):
        names = corruptions.corruptions_of(group, seed)
        table = corruptions.corruption_table(group, seed, names)
        lines = figures.legend(
            [row for row in group.drawn if any(corruptions.severities(row, seed, name) for name in names)]
        )
        section.corruptions.append((table, lines, figures.corruption_charts(group, seed, names)))
    return section


def _about(group: Group) -> str:
    """What has to be known of a protocol's faces before its figures are quoted."""
    if group.protocol.split == "val":
        return "; they chose the epochs, so that figures on them are slightly optimistic"
    text = incomplete_text(group.rows[0].records[0].metrics)
    return f": {text}" if text else ""


def overview_table(sections: Sequence[Section]) -> Table:
    """The protocols of the page."""
    rows = []
    for section in sections:
        group, protocol = section.group, section.group.protocol
        best = next((row for row in group.rows if row.number(group.whole, "nme")), None)
        rows.append([
            text_cell(group.name),
            text_cell(f"{protocol.data} {protocol.split}"),
            text_cell(str(group.faces)),
            text_cell(protocol.scheme),
            text_cell(protocol.normaliser),
            text_cell(group.boxes),
            text_cell(protocol.shown),
            text_cell(str(len(group.rows))),
            text_cell(best.label if best else None),
            number_cell(best.number(group.whole, "nme") if best else None),
        ])  # fmt: skip
    names = ("protocol", "data", "faces", "points", "errors in % of", "face boxes", "pictures", "models", "lowest NME")
    columns = [Column(name, numeric=name in ("faces", "models"), wide=name == "face boxes") for name in names]
    note = "Numbers of two protocols do not compare: something in this table differs between them, or the faces do."
    notes = [note] if len(rows) > 1 else []
    return Table("protocols", "Protocols on this page", [*columns, Column("NME")], rows, notes=notes)


def write_page(path: Path, title: str, sections: Sequence[Section], context: Context) -> None:
    """Write the HTML page, whole or not at all.

    Args:
        path: of the page.
        title: of the page.
        sections: of `page_sections`.
        context: the rest.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    files = resources.files("canthus.reporting.page")
    script = files.joinpath("page.js").read_text(encoding="utf-8")
    style = files.joinpath("page.css").read_text(encoding="utf-8")
    environment = Environment(
        loader=PackageLoader("canthus.reporting.page", "."),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["jpeg"] = _data_url
    models = list(dict.fromkeys(row.model for section in sections for row in section.group.rows))
    shown = literature.shown_claims(context.claims, models)
    text = environment.get_template("page.html.j2").render(
        title=title,
        sections=sections,
        context=context,
        overview=overview_table(sections),
        legends={section.group: figures.legend(section.group.drawn) for section in sections},
        claims=literature.claims_table(shown),
        claim_charts=claim_charts.claim_charts(shown),
        elsewhere=literature.elsewhere_tables([model.lower() for model in models]),
        provenance=provenance.provenance_table([section.group for section in sections]),
        # files of canthus, not of runs, and a policy under which the browser runs this script and no other
        script=Markup(script),
        style=Markup(style),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _shown(value: object) -> object:
    """What an expression of the template gives, before it is escaped."""
    return one_line(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _data_url(picture: bytes) -> Markup:
    return Markup("data:image/jpeg;base64,{}").format(base64.b64encode(picture).decode())
