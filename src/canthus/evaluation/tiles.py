"""Images of evaluated faces: each stage over the labels, and what the network sees."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from canthus.data.batch import unscale_pixels
from canthus.evaluation.evaluation import Evaluation
from canthus.geometry import affine
from canthus.visualization.drawing import stage_strip

if TYPE_CHECKING:
    from canthus.data.datamodule import FaceDataModule
if TYPE_CHECKING:
    from canthus.data.datamodule import FaceDataModule

__all__ = ["face_strips"]


def face_strips(
    result: Evaluation, data: "FaceDataModule", rows: Sequence[int]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Draw faces of an evaluation: one tile per stage, estimate over label, error beneath.

    Args:
        result: of an evaluator.
        data: decodes the images.
        rows: of ``result.table``.

    Yields:
        The row and its (H, W, 3) RGB image.
    """
    table, faces = result.table, data.faces(result.split)
    for row in rows:
        face = faces[int(table.index[row])]
        picture = stage_strip(
            data.reader.pixels(face.image),
            list(table.points[row].cpu().numpy()),
            table.landmarks[row].cpu().numpy(),
            face.box,
            data.scheme,
            nme=table.nme[row].tolist(),
            visibility=table.visibility[row].cpu().numpy(),
            pose=result.poses["full"].predictions[row].cpu().numpy() if result.poses else None,
        )
        yield row, picture


def input_tiles(
    data: "FaceDataModule", result: Evaluation, rows: Sequence[int], caption: str, *, height: int = 208
) -> list[NDArray[np.uint8]]:
    """Draw faces as the network sees them, with its last estimate over the label.

    Args:
        data: set to the corruption that ``result`` was measured with.
        result: of an evaluator.
        rows: of ``result.table``.
        caption: beneath each image, before its error.
        height: of a tile, pixels.

    Returns:
        A (height, W, 3) RGB image per row.
    """
    table = result.table
    chosen = list(rows)
    batch = data.inputs_of(result.split, table.index[chosen].tolist())
    to_input = affine.invert(batch["to_original"])
    estimates = affine.apply(to_input, table.points[chosen, -1].cpu().float())
    pixels = unscale_pixels(batch["image"], data.input.scaling).clamp(0, 1).expand(-1, 3, -1, -1)
    pictures = (pixels.permute(0, 2, 3, 1) * 255).round().byte().numpy()
    return [
        stage_strip(
            np.ascontiguousarray(pictures[i]),
            [estimates[i].numpy()],
            batch["landmarks"][i].numpy(),
            batch["box"][i].numpy(),
            data.scheme,
            height=height,
            caption=[caption],
            nme=[float(table.nme[row, -1])],
            visibility=batch["visibility"][i].numpy(),
        )
        for i, row in enumerate(chosen)
    ]
