"""Whether a file says what its model says, and how long either takes."""

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from canthus.data.synthetic import Synthetic
from canthus.export.formats import Exported
from canthus.export.graph import Graph
from canthus.inference.predictor import Predictor
from canthus.utils.errors import RunError

__all__ = ["TOLERANCE", "agreement", "latency", "rendered_inputs"]

TOLERANCE = 1e-4
"""Largest difference of an output: of points in sides of the crop."""
BATCHES = (1, 3, 8)
"""Sizes that are tried; the graph was made with another."""
TIMED = (1, 8)


def rendered_inputs(predictor: Predictor, count: int, *, seed: int = 0) -> Tensor:
    """(count, C, H, W) rendered faces as the model of a predictor sees them; no data set is needed."""
    source = Synthetic(size=count, render_seed=seed)
    crops = [predictor.inputs(source.pixels(face.image), face.box[None])["image"] for face in source.faces(["train"])]
    return torch.cat(crops)


def agreement(graph: Graph, exported: Exported) -> float:
    """Compare a file with its network on several batch sizes, and on several sizes of image where those are free.

    Args:
        graph: what was exported.
        exported: the file.

    Returns:
        The largest difference, in the graph's units.

    Raises:
        RunError: it is above `TOLERANCE`, or an output has another shape.
    """
    worst, inputs = 0.0, graph.examples
    pictures = [inputs[:count] for count in BATCHES]
    if 2 in graph.free:
        pictures += [inputs[:2, :, : inputs.shape[2] - 7, : inputs.shape[3] - 20], inputs[:1].repeat(1, 1, 2, 1)]
    for picture in pictures:
        with torch.no_grad():
            expected = graph.network(picture)
        for name, wanted, found in zip(graph.outputs, expected, exported(picture), strict=True):
            if found.shape != wanted.shape:
                raise RunError(f"{exported.path}: {name} is {tuple(found.shape)} where the model gives {wanted.shape}")
            difference = float((found.to(wanted) - wanted).abs().max()) / graph.unit[name]
            worst = max(worst, difference)
            if not difference <= TOLERANCE:
                raise RunError(
                    f"{exported.path}: {name} of {len(picture)} faces differ by up to {difference:.2g} from the "
                    f"model's; {TOLERANCE:g} is allowed"
                )
    return worst


def latency(call: Callable[[Tensor], object], inputs: Tensor, *, seconds: float = 1.0) -> dict[int, float]:
    """Median milliseconds of a call, by batch size, after one to warm up."""
    medians = {}
    for count in TIMED:
        picture = inputs[:count]
        call(picture)
        times: list[float] = []
        while sum(times) < seconds / len(TIMED) or len(times) < 3:
            begin = time.perf_counter()
            call(picture)
            times.append(time.perf_counter() - begin)
        medians[count] = 1000 * float(np.median(times))
    return medians
