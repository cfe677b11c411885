"""Plots of cumulative error distributions."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from canthus.utils.escaping import figure_text
from canthus.visualization.figures import figure, save_figure, with_grid

__all__ = ["ced_figure", "ced_steps", "words"]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#56b4e9", "#e69f00")
"""Okabe and Ito's palette without its yellow, which is lost on white."""
DASHES = ("-", "--", "-.", ":")
BEYOND = 1.25
"""The axis ends this many thresholds out, to show whether the curve still rises where AUC and FR stop looking."""


def ced_steps(nme: ArrayLike, limit: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The exact step function ``CED(t) = share of faces with NME <= t`` on [0, limit].

    Args:
        nme: (N,) errors in percent; NaN faces are left out, infinite ones are failures.
        limit: right end, percent.

    Returns:
        Places (M,) from 0 to ``limit`` and values (M,) in [0, 1]; each value holds from its place to the next one.

    Raises:
        ValueError: no face has an error.
    """
    # torch takes a second to import, and the pages that import this module may draw no curve
    import torch

    from canthus.metrics.functional import cumulative_error

    errors = _errors(nme)
    jumps = np.unique(errors[(errors > 0) & (errors < limit)])
    places = np.concatenate([[0.0], jumps, [limit]])
    return places, cumulative_error(torch.from_numpy(errors), torch.from_numpy(places)).numpy()


def ced_figure(
    curves: Mapping[str, ArrayLike], path: Path, *, threshold: float, normaliser: str, title: str = ""
) -> Path:
    """Draw cumulative error curves to a PNG, with AUC and failure rate of each in the legend.

    Args:
        curves: name to (N,) errors in percent as for `ced_steps`, in the order of the legend.
        path: the PNG; written whole or not at all.
        threshold: of AUC and failure rate, percent; marked by a vertical line.
        normaliser: what the errors are divided by, for example ``inter_ocular``.
        title: above the axes.

    Returns:
        ``path``.

    Raises:
        ValueError: no curves, or one without errors.
    """
    from matplotlib.ticker import PercentFormatter

    if not curves:
        raise ValueError("a CED figure needs at least one curve")
    limit = BEYOND * threshold
    with figure(7.0, 4.8) as drawn:
        axes = drawn.add_subplot()
        axes.axvline(threshold, color="0.55", linewidth=1, linestyle=(0, (2, 2)))
        for i, (name, nme) in enumerate(curves.items()):
            auc, failures = _auc_and_failures(nme, threshold)
            label = f"{figure_text(name)}   AUC {auc:.2f}   FR {failures:.2f} %"
            # colours alone fail in grey print, so the dashes change too, at another period than the colours
            axes.step(
                *ced_steps(nme, limit),
                where="post",
                label=label,
                color=COLOURS[i % len(COLOURS)],
                linestyle=DASHES[i % len(DASHES)],
                linewidth=1.8,
            )
        axes.set(xlim=(0, limit), ylim=(0, 1.005), ylabel="faces", title=figure_text(title))
        axes.set_xlabel(f"NME in % of {figure_text(words(normaliser))}")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_yticks(np.linspace(0, 1, 11))
        with_grid(axes)
        axes.annotate(
            f"threshold {threshold:g} %",
            (threshold, 0.0),
            xytext=(4, 5),
            textcoords="offset points",
            color="0.35",
            fontsize="small",
        )
        # the curves rise to the right, so the lower right is free once the legend stands above the threshold's label
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.06), frameon=True, framealpha=0.9, edgecolor="0.8")
        save_figure(path, drawn)
    return path


def _errors(nme: ArrayLike) -> NDArray[np.float64]:
    """(N,) errors, at least one of them measured."""
    errors = np.asarray(nme, dtype=np.float64).reshape(-1)
    if np.isnan(errors).all():
        raise ValueError(f"a CED needs measured errors, but all {len(errors)} are NaN; check the labels of the subset")
    return errors


def _auc_and_failures(nme: ArrayLike, threshold: float) -> tuple[float, float]:
    """AUC and failure rate up to a threshold, both in percent."""
    import torch

    from canthus.metrics.functional import area_under_curve, failure_rate

    errors = torch.from_numpy(_errors(nme))
    return float(area_under_curve(errors, threshold)), float(failure_rate(errors, threshold))


def words(name: str) -> str:
    """A normaliser's key as prose: ``inter_ocular`` to ``inter-ocular distance``, ``face_box`` to ``face box``."""
    return f"{name.replace('_', '-')} distance" if name.startswith("inter_") else name.replace("_", " ")
