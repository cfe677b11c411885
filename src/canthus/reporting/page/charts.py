"""Line charts and scatters as SVG inside the page: their colours are the page's, so they follow dark and light.

Charts are drawn 460 units wide and scaled to the place they get, so that their words stay legible on a phone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from canthus.utils.escaping import one_line

__all__ = ["Axis", "Series", "line_chart", "nice_ticks", "scatter_chart"]

WIDTH, HEIGHT = 460.0, 320.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 14.0, 12.0, 44.0
COLOURS = 8
"""That the page has, see ``page.css``; further series repeat them with other dashes."""
DASHES = ("", "7 3", "2 3", "9 3 2 3", "5 2 1 2 1 2")
LETTER = 6.6
"""Width of one, about."""
POINTS = 500
"""Of a line at most: more than a screen can tell apart."""


@dataclass(frozen=True)
class Axis:
    """An axis: its words, its range, and ticks as (value, word); ``log`` for a logarithmic one."""

    label: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    log: bool = False

    def place(self, value: float, begin: float, end: float) -> float:
        """Where a value lies between two ends."""
        low, high = (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)
        share = ((math.log10(value) if self.log else value) - low) / ((high - low) or 1.0)
        return begin + min(max(share, 0.0), 1.0) * (end - begin)


@dataclass(frozen=True)
class Series:
    """A named line or point: ``colour`` is the row's number, ``about`` follows the name in the legend."""

    name: str
    colour: int
    points: Sequence[tuple[float, float]]
    about: str = ""

    @property
    def look(self) -> str:
        """Class of its colour."""
        return f"c{self.colour % COLOURS}"

    @property
    def dash(self) -> str:
        """Its dash pattern: colours alone fail in grey print."""
        return DASHES[(self.colour + self.colour // COLOURS) % len(DASHES)]


def nice_ticks(low: float, high: float, count: int = 5) -> list[tuple[float, str]]:
    """About ``count`` round values from ``low`` to ``high``."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [(low, f"{low:g}")]
    raw = span / count
    unit = 10 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    values = [round(number * step, 10) for number in range(first, math.floor(high / step + 1e-9) + 1)]
    return [(value, f"{value:g}") for value in values]


def line_chart(
    series: Sequence[Series],
    x: Axis,
    y: Axis,
    *,
    about: str,
    step: bool = False,
    markers: bool = False,
    threshold: float | None = None,
) -> Markup:
    """Lines over two axes.

    Args:
        series: the lines.
        x: horizontal axis.
        y: vertical axis, upwards.
        about: what the chart shows, for those who do not see it.
        step: values hold from their place to the next one.
        markers: a dot at every point.
        threshold: a vertical line here.

    Returns:
        The ``svg`` element.
    """
    parts = [_frame(x, y)]
    if threshold is not None:
        place = x.place(threshold, LEFT, WIDTH - RIGHT)
        parts.append(Markup('<line class="mark" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>').format(
            place, TOP, HEIGHT - BOTTOM
        ))  # fmt: skip
    for line in series:
        points = [_at(x, y, *point) for point in line.points if all(map(math.isfinite, point))]
        if not points:
            continue
        path = _path(points[:: max(len(points) // POINTS, 1)], step=step)
        drawn = Markup('<path d="{}" stroke-dasharray="{}"/>').format(path, line.dash or "none")
        if markers:
            drawn += Markup("").join(Markup('<circle cx="{:.1f}" cy="{:.1f}" r="3.2"/>').format(*p) for p in points)
        parts.append(_series(line, drawn))
    return _svg(parts, about)


def scatter_chart(series: Sequence[Series], x: Axis, y: Axis, *, about: str) -> Markup:
    """A named dot per series; a name stands on the first side of its dot where nothing else is."""
    dots = [_at(x, y, *line.points[0]) for line in series]
    taken = [(left - 6, top - 6, left + 6, top + 6) for left, top in dots]
    parts = [_frame(x, y)]
    for line, (left, top) in zip(series, dots, strict=True):
        width = LETTER * len(line.name)
        sides = [(left + 8, top + 4), (left - 8 - width, top + 4), (left - width / 2, top - 9)]
        sides += [(left - width / 2, top + 19), (left + 8, top + 17), (left - 8 - width, top + 17)]
        boxes = [(across, down - 10, across + width, down + 3) for across, down in sides]
        free = [box for box in boxes if box[0] >= LEFT and box[2] <= WIDTH and not any(_overlap(box, o) for o in taken)]
        box = (free or boxes)[0]
        taken.append(box)
        name = Markup('<text class="name" x="{:.1f}" y="{:.1f}">{}</text>')
        label = name.format(box[0], box[3] - 3, one_line(line.name))
        parts.append(_series(line, Markup('<circle cx="{:.1f}" cy="{:.1f}" r="5"/>').format(left, top) + label))
    return _svg(parts, about)


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two boxes ``xyxy`` meet."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _svg(parts: Sequence[Markup], about: str) -> Markup:
    head = Markup('<svg viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">').format(WIDTH, HEIGHT, one_line(about))
    return head + Markup("").join(parts) + Markup("</svg>")


def _series(line: Series, drawn: Markup) -> Markup:
    title = one_line(f"{line.name} {line.about}")
    return Markup('<g class="series {}" data-series="{}"><title>{}</title>{}</g>').format(
        line.look, one_line(line.name), title, drawn
    )


def _at(x: Axis, y: Axis, across: float, up: float) -> tuple[float, float]:
    return x.place(across, LEFT, WIDTH - RIGHT), y.place(up, HEIGHT - BOTTOM, TOP)


def _path(points: Sequence[tuple[float, float]], *, step: bool) -> str:
    begin, *others = points
    words = [f"M{begin[0]:.1f} {begin[1]:.1f}"]
    words += [f"H{left:.1f}V{top:.1f}" if step else f"L{left:.1f} {top:.1f}" for left, top in others]
    return "".join(words)


def _frame(x: Axis, y: Axis) -> Markup:
    """Grid, ticks and labels."""
    parts = []
    for value, word in y.ticks:
        top = y.place(value, HEIGHT - BOTTOM, TOP)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{top:.1f}" y2="{top:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{top + 4:.1f}" text-anchor="end">{_text(word)}</text>')
    for value, word in x.ticks:
        left = x.place(value, LEFT, WIDTH - RIGHT)
        parts.append(
            f'<text class="tick" x="{left:.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{_text(word)}</text>'
        )
    base = HEIGHT - BOTTOM
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{base}" y2="{base}"/>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="label" x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{_text(x.label)}</text>')
    parts.append(
        f'<text class="label" x="12" y="{(TOP + base) / 2}" text-anchor="middle" '
        f'transform="rotate(-90 12 {(TOP + base) / 2})">{_text(y.label)}</text>'
    )
    return Markup("".join(parts))  # every word was escaped above


def _text(words: str) -> Markup:
    return escape(one_line(words))
