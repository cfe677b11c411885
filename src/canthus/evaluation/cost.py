"""What a trained model costs: parameters, floating-point operations and time a face, on this machine."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from canthus.data.batch import Batch, scale_pixels
from canthus.inference.predictor import Predictor
from canthus.models.cascade import Cascade

__all__ = ["Cost", "Times", "measure_cost"]

WARM_UP = 3
IMAGE = (480, 640)
"""Rows and columns of the image, of noise, that is timed."""


@dataclass(frozen=True)
class Times:
    """Milliseconds of one face, over the timed passes."""

    median: float
    fastest: float
    slowest: float


@dataclass(frozen=True)
class Cost:
    """Of one model.

    Attributes:
        parameters: that the network has, trained or not.
        operations: of one face through all stages, counted by torch: convolutions and matrix products, two for a
            multiply-add. Resampling, look-ups and whatever else is not a product are not in it.
        network: from the cropped input to the last stage's points, batch 1; None where nothing was timed.
        with_crop: the same from a decoded image and a box, so with the crop.
    """

    parameters: int
    operations: int
    network: Times | None = None
    with_crop: Times | None = None


def measure_cost(model: Cascade, predictor: Predictor, passes: int) -> Cost:
    """Count and time a model on one face.

    Args:
        model: trained; its own input, batch 1, where the predictor has put it.
        predictor: of this model.
        passes: that are timed; 0 times nothing.
    """
    model, device = model.eval(), predictor.device
    batch = _one_face(model, device)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    with torch.inference_mode():
        counter = FlopCounterMode(display=False)
        with counter:
            model.final_estimates(batch)
        operations = int(counter.get_total_flops())
        if passes < 1:
            return Cost(parameters, operations)
        network = _timed(lambda: model.final_estimates(batch).points[-1].cpu(), passes)
    height, width = IMAGE
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    box = np.array([[width / 2 - 80, height / 2 - 80, width / 2 + 80, height / 2 + 80]])
    return Cost(parameters, operations, network, _timed(lambda: predictor(pixels, box), passes))


def _one_face(model: Cascade, device: torch.device) -> Batch:
    """An image of noise as the data module would hand it over."""
    spec, points = model.input, model.scheme.num_landmarks
    noise = torch.rand(1, spec.channels, spec.size, spec.size, generator=torch.Generator().manual_seed(0))
    return Batch(
        image=scale_pixels(noise, spec.scaling).to(device),
        landmarks=torch.zeros(1, points, 2, device=device),
        visibility=torch.zeros(1, points, dtype=torch.uint8, device=device),
        box=spec.reference[None].to(device),
        to_original=torch.eye(2, 3, device=device)[None],
        index=torch.zeros(1, dtype=torch.long, device=device),
    )


def _timed(run: Callable[[], object], passes: int) -> Times:
    """Wall time; every pass ends with its result on the host, so that an accelerator has finished."""
    spent = []
    for number in range(WARM_UP + passes):
        begin = time.perf_counter()
        run()
        if number >= WARM_UP:
            spent.append(1000 * (time.perf_counter() - begin))
    return Times(statistics.median(spent), min(spent), max(spent))
