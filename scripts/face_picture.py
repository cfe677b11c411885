"""The generic 3-D face from three sides, and what its modes do."""

from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from canthus.geometry.generic_face import GenericFace
from canthus.schemes import Scheme
from canthus.visualization.figures import figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["face_picture"]

VIEWS = (("from the front", 0, 1), ("from the image's right", 2, 1), ("from above", 0, 2))
"""Title, horizontal and vertical coordinate."""


def face_picture(face: GenericFace, scheme: Scheme, path: Path) -> None:
    """Draw the mean face from three sides, and every mode at two standard deviations either way from front and side."""
    columns = max(len(VIEWS), len(face.modes))
    with figure(2.6 * columns, 8.4, dpi=100) as drawn:
        axes = drawn.subplots(3, columns)
        for axis, (title, across, down) in zip(axes[0], VIEWS, strict=False):
            _draw(axis, face.points, scheme, (across, down), "black")
            axis.set_title(title)
        for number, (mode, kind) in enumerate(zip(face.modes, face.kinds, strict=True)):
            for row, (_, across, down) in zip((1, 2), VIEWS[:2], strict=True):
                for sign, colour in ((-2.0, "#0072b2"), (2.0, "#d55e00")):
                    _draw(axes[row, number], face.points + sign * mode, scheme, (across, down), colour)
            axes[1, number].set_title(f"mode {number + 1}: {kind}")
        for axis in axes.flat:
            axis.set_aspect("equal")
            axis.set_axis_off()
        save_figure(path, drawn)


def _draw(axes: "Axes", points: Tensor, scheme: Scheme, coordinates: tuple[int, int], colour: str) -> None:
    across, down = coordinates
    for indices, closed in scheme.skeleton:
        line = points[[*indices, indices[0]] if closed else list(indices)]
        axes.plot(line[:, across], -line[:, down], color=colour, marker=".", markersize=3, linewidth=0.8)
