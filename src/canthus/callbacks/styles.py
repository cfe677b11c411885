"""Pictures and results of SAN's first two steps: clusters of style, and round trips between two of them."""

from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import lightning
import numpy as np
from lightning.pytorch.utilities import rank_zero_only
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor

from canthus.callbacks.trackers import show_picture
from canthus.data.batch import unscale_pixels
from canthus.data.corruptions import face_keys
from canthus.data.styles import render
from canthus.models.san.classifier_module import SANClassifierModule
from canthus.models.san.discovery import choose_domains, cluster, write_clusters
from canthus.models.san.style_module import SANStyleModule
from canthus.visualization.drawing import captioned, contact_sheet
from canthus.visualization.images import save_picture

if TYPE_CHECKING:
    from canthus.data.datamodule import FaceDataModule

__all__ = ["StyleClusters", "StylePreviews", "picture_of"]

log = getLogger(__name__)

TILE = 96
"""Side of a face on a sheet, pixels."""
COLUMNS = 12


def picture_of(image: Tensor, scaling: str, side: int) -> NDArray[np.uint8]:
    """A network input as a picture.

    Args:
        image: (C, H, W), scaled as the network wants it.
        scaling: a name of `canthus.data.batch.SCALINGS`.
        side: of the picture, pixels.

    Returns:
        (side, side, 3) uint8 RGB.
    """
    levels = unscale_pixels(image.detach().float().cpu(), scaling).clamp(0, 1).mul(255).round().byte()
    pixels = np.ascontiguousarray(levels.expand(3, -1, -1).permute(1, 2, 0).numpy())
    method = cv2.INTER_AREA if pixels.shape[0] > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (side, side), interpolation=method), dtype=np.uint8)


class StyleClusters(lightning.Callback):
    """After training, divides the training faces, as they are, into clusters of style and chooses two as domains.

    Writes ``clusters.csv``, ``clusters.json``, ``styles.png`` (faces in every rendering) and a contact sheet a cluster.

    Args:
        folder: of the run.
        clusters: how many.
        minimum: see `choose_domains`.
        faces: on a sheet.
        seed: of k-means, and of which faces are shown.
    """

    def __init__(
        self, folder: str | Path, clusters: int = 3, minimum: float = 0.05, faces: int = 48, seed: int = 0
    ) -> None:
        self.folder, self.clusters, self.minimum, self.faces, self.seed = Path(folder), clusters, minimum, faces, seed

    @rank_zero_only
    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Find, write and draw them."""
        assert isinstance(pl_module, SANClassifierModule)
        data: FaceDataModule = trainer.datamodule  # type: ignore[attr-defined]
        pl_module.eval()
        faces = data.faces("train")
        blocks = [
            pl_module.features(
                data.inputs_of("train", list(range(begin, min(begin + data.batch_size, len(faces)))))["image"]
            )
            for begin in track(range(0, len(faces), data.batch_size), "features of style", transient=True)
        ]
        labels = cluster(np.concatenate(blocks), self.clusters, self.seed)
        domains = choose_domains(labels, self.minimum)
        write_clusters(self.folder, face_keys(faces), labels, domains, pl_module.styles)
        sizes = ", ".join(map(str, np.bincount(labels)))
        log.info("clusters of style: %s faces; domain A is number %d, B is %d", sizes, *domains)
        self._draw(trainer, data, pl_module, labels, domains)

    def _draw(
        self,
        trainer: lightning.Trainer,
        data: "FaceDataModule",
        model: SANClassifierModule,
        labels: NDArray[np.int64],
        domains: tuple[int, int],
    ) -> None:
        scaling, random = data.input.scaling, np.random.default_rng(self.seed)
        sheets = {}
        for number in range(self.clusters):
            members = np.flatnonzero(labels == number)
            chosen = np.sort(random.permutation(members)[: self.faces])
            role = {domains[0]: ", domain A", domains[1]: ", domain B"}.get(number, "")
            images = data.inputs_of("train", chosen.tolist())["image"]
            sheet = contact_sheet([picture_of(image, scaling, TILE) for image in images], COLUMNS)
            sheets[f"cluster_{number}"] = captioned(sheet, f"cluster {number}: {len(members)} faces{role}")
        images = data.inputs_of("train", random.permutation(len(labels))[:6].tolist())["image"]
        rows = [
            captioned(
                contact_sheet([picture_of(image, scaling, TILE) for image in render(images, style)], len(images)), style
            )
            for style in model.styles
        ]
        sheets["styles"] = contact_sheet(rows, columns=1)
        for name, sheet in sheets.items():
            save_picture(self.folder / "styles" / f"{name}.png", sheet)
            show_picture(trainer.loggers, f"styles/{name}", sheet, max(trainer.global_step - 1, 0))


class StylePreviews(lightning.Callback):
    """Draws, after every epoch, the same faces of both domains on their round trip: ``epoch_0000.png``.

    Args:
        folder: where the pictures go.
        faces: of each domain.
        every_n_epochs: how often.
    """

    def __init__(self, folder: str | Path, faces: int = 6, every_n_epochs: int = 1) -> None:
        self.folder, self.faces, self.every_n_epochs = Path(folder), faces, every_n_epochs

    @rank_zero_only
    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Draw."""
        assert isinstance(pl_module, SANStyleModule)
        if (trainer.current_epoch + 1) % self.every_n_epochs:
            return
        data: FaceDataModule = trainer.datamodule  # type: ignore[attr-defined]
        halves = []
        for domain, (own, other) in enumerate((("A", "B"), ("B", "A"))):
            members = pl_module.domains[domain]
            places = np.unique(np.linspace(0, len(members) - 1, min(self.faces, len(members))).round().astype(int))
            chosen = [members[place] for place in places]
            trips = pl_module.trips(data.inputs_of("train", chosen)["image"].to(pl_module.device), domain)
            names = (own, f"{own} to {other}", f"{own} to {other} to {own}", "aggregated")
            halves += [
                captioned(
                    contact_sheet([picture_of(image, data.input.scaling, TILE) for image in images], self.faces), name
                )
                for name, images in zip(names, trips, strict=True)
            ]
        sheet = contact_sheet([contact_sheet(halves[:4], 1), contact_sheet(halves[4:], 1)], columns=2)
        save_picture(self.folder / f"epoch_{trainer.current_epoch:04d}.png", sheet)
        show_picture(trainer.loggers, "style/trips", sheet, trainer.global_step - 1)
