"""Pictures of SAN's belief maps: where the model expects the landmarks, stage by stage, over the face."""

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import lightning
import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_only
from numpy.typing import NDArray
from torch import Tensor

from canthus.callbacks.styles import picture_of
from canthus.callbacks.trackers import show_picture
from canthus.data.batch import Batch
from canthus.models.base import LandmarkModel
from canthus.visualization.drawing import captioned, contact_sheet, draw_face
from canthus.visualization.images import save_picture

if TYPE_CHECKING:
    from canthus.data.datamodule import FaceDataModule

__all__ = ["BeliefMaps"]

TILE = 160
"""Side of a picture, pixels."""


class BeliefMaps(lightning.Callback):
    """Saves what a model that makes belief maps sees and believes: ``epoch_0004.png``.

    A row a face: the picture with the points of the last stage, the aggregated face if the method makes one, then the
    highest value over all landmarks of every map.

    Args:
        folder: where the pictures go.
        faces: held-out faces, spread over the split.
        every_n_epochs: how often; the last epoch always.
    """

    def __init__(self, folder: str | Path, faces: int = 6, every_n_epochs: int = 5) -> None:
        self.folder, self.faces, self.every_n_epochs = Path(folder), faces, every_n_epochs

    @rank_zero_only
    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Draw."""
        epoch = trainer.current_epoch
        last = trainer.max_epochs is not None and epoch == trainer.max_epochs - 1
        if trainer.state.fn != "fit" or not ((epoch + 1) % self.every_n_epochs == 0 or last):
            return
        assert isinstance(pl_module, LandmarkModel)
        data: FaceDataModule = trainer.datamodule  # type: ignore[attr-defined]
        count = len(data.faces("val"))
        rows = np.unique(np.linspace(0, count - 1, min(self.faces, count)).round().astype(int)).tolist()
        batch = data.transfer_batch_to_device(data.inputs_of("val", rows), pl_module.device, 0)
        sheet = belief_sheet(pl_module, batch)
        save_picture(self.folder / f"epoch_{epoch:04d}.png", sheet)
        show_picture(trainer.loggers, "val/belief_maps", sheet, trainer.global_step - 1)


@torch.no_grad()
def belief_sheet(model: LandmarkModel, batch: Batch) -> NDArray[np.uint8]:
    """Draw a batch.

    Args:
        model: in evaluation mode.
        batch: network inputs, on its device.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        TypeError: the model makes no maps.
    """
    estimates = model.estimates(batch)
    if estimates.heatmaps is None:
        raise TypeError(f"{type(model).__name__} makes no belief maps; remove callbacks.belief_maps")
    scaling, size = model.input.scaling, model.input.size
    scores = [maps[:, :-1].amax(1).float().cpu() for maps in estimates.heatmaps]
    tiles = []
    for row, image in enumerate(batch["image"]):
        face = picture_of(image, scaling, TILE)
        # as the picture is enlarged: pixel centres at integers
        points = (estimates.points[-1][row].float().cpu().numpy() + 0.5) * TILE / size - 0.5
        tiles.append(captioned(draw_face(face, points, model.scheme), "last stage"))
        if estimates.aggregated is not None:
            tiles.append(captioned(picture_of(estimates.aggregated[row], scaling, TILE), "aggregated"))
        tiles += [
            captioned(_over(face, score[row]), f"map {number}, highest {float(score[row].max()):.2f}")
            for number, score in enumerate(scores, 1)
        ]
    return contact_sheet(tiles, columns=len(tiles) // len(batch["image"]))


def _over(face: NDArray[np.uint8], score: Tensor) -> NDArray[np.uint8]:
    """A map in false colours over the darkened grey face; a cell is a square, so that its side can be seen."""
    levels = score.clamp(0, 1).mul(255).round().byte().numpy()
    cells = cv2.resize(levels, face.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    colours = cv2.applyColorMap(cells, cv2.COLORMAP_INFERNO)[..., ::-1].astype(np.float32)
    grey = face.mean(2, keepdims=True).astype(np.float32)
    share = (cells.astype(np.float32) / 255)[..., None].clip(0, 1) ** 0.5
    return np.asarray(0.5 * grey * (1 - share) + colours * share).round().clip(0, 255).astype(np.uint8)
