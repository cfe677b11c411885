"""Each measured claim as a small chart: the difference of every contrast, per seed and with its interval."""

from collections.abc import Sequence

from markupsafe import Markup

from canthus.reporting.claims import Claim, Compared
from canthus.reporting.page.figures import Chart
from canthus.utils.escaping import one_line

__all__ = ["claim_charts"]

WIDTH, LEFT, RIGHT, ROW = 460.0, 6.0, 6.0, 34.0


def claim_charts(claims: Sequence[Claim]) -> list[Chart]:
    """A chart of every claim that was measured by the command; claims that were noted in words have none."""
    note = (
        "a dot for each seed, the line is the 95 % interval over seeds and faces, the upright zero; right is as claimed"
    )
    charts = [Chart(f"{one.name}: {one.verdict}", _chart(one), "") for one in claims if one.contrasts]
    return [Chart(chart.title, chart.svg, note if not number else "") for number, chart in enumerate(charts)]


def _chart(claim: Claim) -> Markup:
    """Contrasts below each other, each on a scale of its own: their units may differ."""
    rows = [_row(contrast, ROW * number) for number, contrast in enumerate(claim.contrasts)]
    head = Markup('<svg viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">')
    return (
        head.format(WIDTH, ROW * len(rows) + 4, one_line(f"{claim.name}: {claim.figures}"))
        + Markup("").join(rows)
        + Markup("</svg>")
    )


def _row(contrast: Compared, top: float) -> Markup:
    lower_is_better = _sign(contrast)
    seeds = [lower_is_better * (worse - better) for better, worse in contrast.seeds.values()]
    ends = list(contrast.interval or ())
    reach = max(map(abs, [*seeds, *ends, contrast.difference])) or 1.0
    line = top + 24

    def place(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (value / reach + 1) / 2

    words = one_line(f"{contrast.better} against {contrast.worse}: {contrast.difference:+.2f} {contrast.unit}")
    zero = place(0)
    parts = [
        Markup('<text class="tick" x="{:.0f}" y="{:.0f}">{}</text>').format(LEFT, top + 12, words),
        Markup('<line class="grid" x1="{0}" x2="{1}" y1="{2:.0f}" y2="{2:.0f}"/>').format(LEFT, WIDTH - RIGHT, line),
        Markup('<line class="axis" x1="{0:.1f}" x2="{0:.1f}" y1="{1:.0f}" y2="{2:.0f}"/>').format(
            zero, line - 7, line + 7
        ),
    ]
    if ends:
        parts.append(
            Markup('<g class="series c0"><path d="M{0:.1f} {2:.0f}H{1:.1f}"/></g>').format(
                place(ends[0]), place(ends[1]), line
            )
        )
    parts += [
        Markup('<g class="series c0"><circle cx="{:.1f}" cy="{:.0f}" r="3.5"/></g>').format(place(value), line)
        for value in seeds
    ]
    return Markup("").join(parts)


def _sign(contrast: Compared) -> float:
    """1 where lower figures are better, as the difference of the means tells."""
    better, worse = contrast.means
    return 1.0 if (worse - better) * contrast.difference >= 0 else -1.0
