"""The one place where figures of matplotlib are set up and written.

They look the same wherever they are drawn: neither a matplotlibrc nor a style that a notebook has chosen changes them,
and pyplot, with its list of open figures, takes no part.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from canthus.utils.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["figure", "save_figure", "with_grid"]


@contextmanager
def figure(width: float, height: float, *, dpi: int = 150) -> Iterator["Figure"]:
    """An empty figure, to be drawn on and written inside the ``with`` block, where matplotlib's own defaults hold.

    Args:
        width: inches.
        height: inches.
        dpi: pixels in an inch.
    """
    # matplotlib takes a while to import, and most commands draw late or never
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with style.context("default"):
        empty = Figure(figsize=(width, height), dpi=dpi, layout="constrained")
        FigureCanvasAgg(empty)
        yield empty


def with_grid(axes: "Axes") -> None:
    """A light grid behind what is drawn, and no frame above and on the right."""
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def save_figure(path: Path, figure: "Figure") -> None:
    """Write a figure as PNG on white, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    content = BytesIO()
    figure.savefig(content, format="png", facecolor="white")
    with replacing(path) as temporary:
        temporary.write_bytes(content.getvalue())
