"""The card of a data set: what its faces do, beside other sets, as ``card.md`` and ``card.png``."""

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from canthus.inspection.measures import MEASURES
from canthus.reporting.tables import markdown_table
from canthus.utils.errors import DataError
from canthus.utils.escaping import csv_value, figure_text, markdown
from canthus.utils.files import replacing
from canthus.visualization.curves import COLOURS
from canthus.visualization.figures import figure, save_figure, with_grid

__all__ = ["Measured", "write_card"]

Floats = NDArray[np.float64]
QUANTILES = (0.05, 0.5, 0.95)
BINS = 30
SHOWN = (0.005, 0.995)
"""Quantiles between which a histogram shows faces; the ends take those beyond."""


@dataclass(frozen=True, eq=False)
class Measured:
    """The faces of one run of ``canthus-data``.

    Attributes:
        name: of the data set.
        faces: N.
        split: which faces: ``train``, or ``all`` where none is.
        measures: each of `MEASURES` to its (at most N,) known values.
        attributes: share of the faces for which each condition holds.
    """

    name: str
    faces: int
    split: str
    measures: Mapping[str, Floats]
    attributes: Mapping[str, float]

    @classmethod
    def read(cls, folder: Path) -> "Measured":
        """Read ``report.json`` and ``measures.csv``: the faces to train on, for the others are held out; else all.

        Raises:
            DataError: not the output of ``canthus-data``, or of one that measured nothing.
        """
        try:
            name = json.loads((folder / "report.json").read_text(encoding="utf-8"))["data"]
            with (folder / "measures.csv").open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            split = "train" if any(row["split"] == "train" for row in rows) else "all"
            rows = [row for row in rows if split in ("all", row["split"])]
            measures = {key: np.array([float(row[key]) for row in rows if row[key]]) for key in MEASURES}
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(
                f"{folder}: no report.json and measures.csv of canthus-data on labels of 68 points: {error}"
            ) from error
        counts = Counter(word for row in rows for word in csv_value(row["attributes"]).split())
        return cls(name, len(rows), split, measures, {word: n / len(rows) for word, n in sorted(counts.items())})


def write_card(folder: Path, sets: Sequence[Measured]) -> list[Path]:
    """Write ``card.md`` and ``card.png``.

    Args:
        folder: of both.
        sets: the set that the card is of, then those beside it; names that are taken get a number.

    Returns:
        The files written.
    """
    named: dict[str, Measured] = {}
    for one in sets:
        number = sum(other.name == one.name for other in named.values())
        named[f"{one.name} ({number + 1})" if number else one.name] = one
    with replacing(folder / "card.md") as temporary:
        temporary.write_text(_text(named), encoding="utf-8")
    _draw(folder / "card.png", named)
    return [folder / "card.md", folder / "card.png"]


def _text(named: Mapping[str, Measured]) -> str:
    first, *others = named
    parts = [f"# Card of {markdown(first)}", ""]
    sets = [[name, str(one.faces), one.split] for name, one in named.items()]
    parts += [markdown_table(sets, ["set", "faces", "split"]).rstrip()]
    parts += ["", "Median and, in brackets, from 5 to 95 % of the faces."]
    if others:
        parts += [f"KS: largest distance between the cumulative distributions, 0 to 1, to {markdown(first)}."]
    rows = []
    for key, unit in MEASURES.items():
        mine = named[first].measures[key]
        spread = [_spread(one.measures[key]) for one in named.values()]
        rows.append([key.replace("_", " "), unit, *spread, *(_ks(mine, named[name].measures[key]) for name in others)])
    parts += ["", markdown_table(rows, ["", "unit", *named, *(f"KS {name}" for name in others)]).rstrip()]
    words = sorted({word for one in named.values() for word in one.attributes})
    if words:
        shares = [
            [word, *(f"{100 * one.attributes.get(word, 0):.1f}" if one.attributes else "-" for one in named.values())]
            for word in words
        ]
        parts += ["", "Conditions, % of the faces; - where a set names none.", ""]
        parts += [markdown_table(shares, ["condition", *named]).rstrip()]
    return "\n".join([*parts, "", "![distributions](card.png)", ""])


def _spread(values: Floats) -> str:
    if not len(values):
        return "-"
    digits = 2 if np.abs(np.quantile(values, QUANTILES)).max() < 10 else 0
    low, middle, high = (
        f"{round(value, digits) + 0.0:.{digits}f}" for value in np.quantile(values, QUANTILES).tolist()
    )
    return f"{middle} [{low}, {high}]"


def _ks(first: Floats, second: Floats) -> str:
    return f"{ks_2samp(first, second).statistic:.2f}" if len(first) and len(second) else "-"


def _draw(path: Path, named: Mapping[str, Measured]) -> None:
    with figure(13, 6, dpi=110) as drawn:
        axes = drawn.subplots(2, 4).ravel()
        for place, (key, unit) in zip(axes, MEASURES.items(), strict=False):
            values = {name: one.measures[key] for name, one in named.items() if len(one.measures[key])}
            if not values:
                place.set_axis_off()
                continue
            ends = np.array([np.quantile(some, SHOWN) for some in values.values()])
            low, high = ends[:, 0].min(), ends[:, 1].max()
            edges = np.linspace(low, max(high, low + 1e-6), BINS + 1)
            for (name, some), colour in zip(values.items(), COLOURS * len(values), strict=False):
                share = np.histogram(np.clip(some, edges[0], edges[-1]), edges)[0] / len(some)
                place.stairs(100 * share, edges, color=colour, label=figure_text(name), linewidth=1.6, fill=False)
            place.set(xlabel=f"{key.replace('_', ' ')} ({unit})", ylabel="% of the faces", ylim=(0, None))
            with_grid(place)
        _draw_attributes(axes[-1], named)
        handles, labels = axes[0].get_legend_handles_labels()
        drawn.legend(handles, labels, loc="outside upper center", ncols=len(named), frameon=False)
        save_figure(path, drawn)


def _draw_attributes(place: Axes, named: Mapping[str, Measured]) -> None:
    """A group of bars for every condition, a bar for every set that names any."""
    words = sorted({word for one in named.values() for word in one.attributes}, reverse=True)
    if not words:
        place.set_axis_off()
        return
    height = 0.8 / len(named)
    for row, (one, colour) in enumerate(zip(named.values(), COLOURS * len(named), strict=False)):
        middle = np.arange(len(words)) + height * ((len(named) - 1) / 2 - row)
        shares = [100 * one.attributes.get(word, 0) for word in words] if one.attributes else [0.0] * len(words)
        place.barh(middle, shares, height, color=colour)
    place.set_yticks(range(len(words)), [figure_text(word.replace("_", " ")) for word in words])
    place.set(xlabel="% of the faces")
    place.spines[["top", "right"]].set_visible(False)
