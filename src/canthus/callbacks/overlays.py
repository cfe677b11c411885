"""Pictures of what a model does to faces, stage by stage."""

from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING

import lightning
import numpy as np

from canthus.callbacks.evaluator import Evaluator
from canthus.callbacks.trackers import show_picture
from canthus.evaluation.tiles import face_strips
from canthus.visualization.drawing import contact_sheet
from canthus.visualization.images import save_picture

if TYPE_CHECKING:
    pass

__all__ = ["Overlays"]

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
