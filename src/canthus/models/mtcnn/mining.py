"""Hard examples for the later networks: what the earlier ones take for faces (section 3 of the paper)."""

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor

from canthus.data.detection.datamodule import ImageBatch, ImageDataModule
from canthus.geometry.windows import square
from canthus.models.mtcnn.detect import Detections, Detector
from canthus.models.mtcnn.windows import NEGATIVE_BELOW, PART_FROM, MinedBoxes, Squares, label

__all__ = ["mine", "search"]

NEGATIVES = 60
"""Of an image, the surest first."""
DOUBTFUL = 0.8
"""In an image with unlabelled faces, a window away from the labelled ones of which the earlier networks are this
sure is as likely one of them as a mistake, and is left out."""


def search(detector: Detector, batch: ImageBatch, stages: int) -> list[list[Detections]]:
    """What each of the first networks finds in the images of a batch, stored pixels."""
    images = [batch["pixels"].image(place) for place in range(len(batch["index"]))]
    tensors = [p if isinstance(p, Tensor) else torch.from_numpy(np.array(p)) for p in images]
    return detector.cascade(tensors, stages)


def mine(
    detector: Detector,
    data: ImageDataModule,
    stage: int,
    *,
    rank: int = 0,
    world: int = 1,
    show: bool = True,
) -> MinedBoxes:
    """Search the training images with the networks before a stage.

    The networks are finished and the search draws no random numbers, so a resumed run mines the same boxes again.

    Args:
        detector: its first ``stage`` networks are trained. Its thresholds are low: a face lost here is not learnt.
        data: holds the images.
        stage: that the boxes are for, counted from 0.
        rank: of this process, which searches every ``world``-th image.
        world: number of processes.
        show: a progress bar.
    """
    count = len(data.images("train"))
    rows = list(range(rank, count, world))
    found: dict[int, Tensor] = {}
    with Progress(transient=True, disable=not show) as progress:
        task = progress.add_task(f"searching for hard examples for stage {stage + 1}", total=len(rows))
        for batch in data.every_image("train", rows):
            results = search(detector, batch, stage)[-1]
            for place, (photo, result) in enumerate(zip(batch["index"].tolist(), results, strict=True)):
                found[photo] = _kept(square(result.boxes), result.scores, batch, place)
            progress.advance(task, len(results))
    if world > 1:
        gathered: list[dict[int, Tensor]] = [{} for _ in range(world)]
        torch.distributed.all_gather_object(gathered, found)
        found = {photo: boxes for part in gathered for photo, boxes in part.items()}
    return MinedBoxes.of([found[photo] for photo in range(count)])


def _kept(boxes: Tensor, scores: Tensor, batch: ImageBatch, place: int) -> Tensor:
    """Squares to learn from: all that overlap faces, and the surest of the others."""
    boxes, scores = boxes.cpu(), scores.cpu()
    overlap, _, _ = label(Squares(boxes, torch.full((len(boxes),), place)), batch)
    positive = torch.nonzero(overlap >= PART_FROM).flatten()
    wrong = overlap < NEGATIVE_BELOW
    if not bool(batch["complete"][place]):
        wrong &= (overlap > 0) | (scores < DOUBTFUL)
    negative = torch.nonzero(wrong).flatten()
    negative = negative[scores[negative].argsort(descending=True, stable=True)][:NEGATIVES]
    return boxes[torch.cat([positive, negative])]
