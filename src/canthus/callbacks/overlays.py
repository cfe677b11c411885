"""Pictures of what a model does to faces, stage by stage."""

from collections.abc import Iterable, Iterator, Sequence
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning
import numpy as np
from lightning.pytorch.loggers import Logger
from numpy.typing import NDArray

from canthus.callbacks.drawing import contact_sheet, stage_strip
from canthus.callbacks.evaluation import Evaluation
from canthus.callbacks.evaluator import Evaluator
from canthus.picture_files import save_picture

if TYPE_CHECKING:
    from canthus.data.datamodule import FaceDataModule

__all__ = ["Overlays", "face_strips", "show_picture"]

log = getLogger(__name__)


class Overlays(lightning.Callback):
    """Saves a sheet of the same held-out faces every few epochs: ``epoch_0004.png``.

    Args:
        folder: where the sheets go.
        faces: faces on a sheet, spread over the split.
        every_n_epochs: how often.
    """

    def __init__(self, folder: str | Path, faces: int = 8, every_n_epochs: int = 5) -> None:
        self.folder, self.faces, self.every_n_epochs = Path(folder), faces, every_n_epochs

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Draw, on the main process only."""
        epoch = trainer.current_epoch
        last = trainer.max_epochs is not None and epoch == trainer.max_epochs - 1
        due = trainer.state.fn == "fit" and ((epoch + 1) % self.every_n_epochs == 0 or last)
        if not due or not trainer.is_global_zero:
            return
        result = next((c.result for c in trainer.callbacks if isinstance(c, Evaluator)), None)  # type: ignore[attr-defined]
        if result is None:
            log.warning("no evaluator ran, so there is nothing to draw")
            return
        count = len(result.table.index)
        rows = np.unique(np.linspace(0, count - 1, min(self.faces, count)).round().astype(int))
        strips = [strip for _, strip in face_strips(result, trainer.datamodule, rows.tolist())]  # type: ignore[attr-defined]
        sheet = contact_sheet(strips, columns=2)
        save_picture(self.folder / f"epoch_{epoch:04d}.png", sheet)
        show_picture(trainer.loggers, "val/overlays", sheet, trainer.global_step - 1)


def face_strips(
    result: Evaluation, data: "FaceDataModule", rows: Sequence[int]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Draw faces of an evaluation: one tile per stage, estimate over label, error beneath.

    Args:
        result: of an evaluator.
        data: decodes the photographs.
        rows: of ``result.table``.

    Yields:
        The row and its (H, W, 3) RGB picture.
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


def show_picture(loggers: Iterable[Logger], name: str, picture: NDArray[np.uint8], step: int) -> None:
    """Hand an RGB picture to every logger that takes pictures: W&B and its like, and TensorBoard."""
    for logger in loggers:
        writer: Any = getattr(logger, "experiment", None)
        if hasattr(logger, "log_image"):
            logger.log_image(key=name, images=[picture], step=step)
        elif hasattr(writer, "add_image"):
            writer.add_image(name, picture, step, dataformats="HWC")
