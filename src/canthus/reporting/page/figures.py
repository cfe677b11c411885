"""The charts of one protocol."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from canthus.reporting.page.charts import Axis, Series, line_chart, nice_ticks, scatter_chart
from canthus.reporting.page.corruptions import severities
from canthus.reporting.page.measured import Costs
from canthus.reporting.page.protocols import Group, Row
from canthus.reporting.page.results import cost_of
from canthus.visualization.curves import BEYOND, ced_steps, words

__all__ = ["Chart", "ced_chart", "corruption_charts", "cost_chart", "legend", "stage_chart"]


@dataclass(frozen=True)
class Chart:
    """A chart and what it says."""

    title: str
    svg: Markup
    note: str = ""


def legend(rows: Sequence[Row]) -> list[Series]:
    """Rows as lines without points."""
    return [Series(row.label, row.colour, ()) for row in rows]


def ced_chart(group: Group) -> Chart | None:
    """Cumulative errors of the last stage over all faces; seeds together, which is the mean of their curves."""
    limit = BEYOND * group.protocol.threshold
    lines = []
    for row in group.drawn:
        errors = [record_errors(row, number, group) for number in range(len(row.records))]
        known = [values for values in errors if values is not None]
        if len(known) != len(errors) or np.isnan(np.concatenate(known)).all():
            continue
        places, shares = ced_steps(np.concatenate(known), limit)
        auc = row.number(group.whole, "auc")
        about = f"AUC {auc.value:.1f}" if auc else ""
        lines.append(
            Series(row.label, row.colour, [*zip(places.tolist(), (100 * shares).tolist(), strict=True)], about)
        )
    if not lines:
        return None
    threshold = group.protocol.threshold
    x = Axis(f"NME in % of {words(group.protocol.normaliser)}", 0, limit, nice_ticks(0, limit))
    y = Axis("faces, %", 0, 100, nice_ticks(0, 100))
    about = f"Cumulative error curves of {len(lines)} models: share of the faces with an error up to a limit"
    svg = line_chart(lines, x, y, about=about, step=True, threshold=threshold)
    return Chart("Cumulative error", svg, f"Dashed: the threshold of AUC and FR, {threshold:g} %.")


def record_errors(row: Row, number: int, group: Group) -> "np.typing.NDArray[np.float64] | None":
    """(N,) of one seed, last stage."""
    faces = row.records[number].predictions
    if faces is None:
        return None
    return np.array([np.asarray(faces[key].nme_per_stage)[-1] for key in group.keys], dtype=np.float64)


def stage_chart(group: Group) -> Chart | None:
    """NME from the start over all stages."""
    lines = []
    for row in group.drawn:
        numbers = [row.number(group.whole, "nme_initial")]
        numbers += [row.stage(group.whole, stage) for stage in range(row.stages)]
        points = [(float(place), number.value) for place, number in enumerate(numbers) if number is not None]
        if points:
            lines.append(Series(row.label, row.colour, points))
    if not lines:
        return None
    stages = max(row.stages for row in group.drawn)
    high = max(up for line in lines for _, up in line.points)
    top = nice_ticks(0, high * 1.05)
    first = 0 if any(line.points[0][0] == 0 for line in lines) else 1
    ticks = [(float(stage), "start" if stage == 0 else str(stage)) for stage in range(first, stages + 1)]
    x = Axis("stage", first - 0.2, stages + 0.2, ticks)
    y = Axis(f"NME, % of {words(group.protocol.normaliser)}", 0, high * 1.05, top)
    about = f"Mean error of {len(lines)} models after each stage"
    return Chart("Error after each stage", line_chart(lines, x, y, about=about, markers=True))


def cost_chart(group: Group, costs: Costs) -> Chart | None:
    """Error against time or, where nothing was timed, against operations; None for fewer than two models."""
    timed = all(cost.network for row in group.drawn if (cost := cost_of(row, costs)))
    lines = []
    for row in group.drawn:
        cost, error = cost_of(row, costs), row.number(group.whole, "nme")
        if cost is None or error is None:
            continue
        spent = cost.network.median if timed and cost.network else cost.operations / 1e9
        if spent > 0:
            lines.append(Series(row.label, row.colour, [(spent, error.value)]))
    if len(lines) < 2:
        return None
    places = [line.points[0] for line in lines]
    low, high = (end(place for place, _ in places) for end in (min, max))
    label = "ms a face, batch 1" if timed else "GFLOP a face"
    x = Axis(f"{label} (logarithmic)", low / 1.6, high * 1.6, _powers(low / 1.6, high * 1.6), log=True)
    top = max(error for _, error in places) * 1.1
    y = Axis(f"NME, % of {words(group.protocol.normaliser)}", 0, top, nice_ticks(0, top))
    about = f"Mean error of {len(lines)} models against {label}"
    return Chart("Error against cost", scatter_chart(lines, x, y, about=about), "Lower and further left is better.")


def _powers(low: float, high: float) -> list[tuple[float, str]]:
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if math.log10(high / low) < 3 else (1,)
    values = [factor * 10.0**exponent for exponent in exponents for factor in factors]
    return [(value, f"{value:g}") for value in values if low <= value <= high]


def corruption_charts(group: Group, seed: object, corruptions: Sequence[str]) -> list[Chart]:
    """A chart for each corruption: error over severity, 0 is clean; all with one scale."""
    lines = {
        name: [
            Series(row.label, row.colour, [(float(severity), number.value) for severity, number in points])
            for row in group.drawn
            if (points := severities(row, seed, name))
        ]
        for name in corruptions
    }
    high = max((up for row in lines.values() for line in row for _, up in line.points), default=1.0) * 1.05
    y = Axis(f"NME, % of {words(group.protocol.normaliser)}", 0, high, nice_ticks(0, high))
    charts = []
    for name, of_rows in lines.items():
        last = max((place for line in of_rows for place, _ in line.points), default=5.0)
        ticks = [(float(place), "clean" if place == 0 else str(place)) for place in range(int(last) + 1)]
        x = Axis("severity", -0.2, last + 0.2, ticks)
        title = name.replace("_", " ")
        about = f"Mean error of {len(of_rows)} models under {title} by severity"
        charts.append(Chart(title, line_chart(of_rows, x, y, about=about, markers=True)))
    return charts
