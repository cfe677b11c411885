"""Step 1 of SAN: a classifier of renderings, whose features tell styles apart."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import lightning
import numpy as np
import timm
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from canthus.data.batch import Batch, InputSpec, scale_pixels
from canthus.data.styles import Styles, render
from canthus.geometry.boxes import centred_box
from canthus.models.pretrained import file_weights, imagenet_model
from canthus.models.san.cascade import BOX_SHARE
from canthus.utils.errors import DataError

__all__ = ["SANClassifierModule"]


class SANClassifierModule(lightning.LightningModule):
    """Tells in which style a face is rendered. Every face is shown in all styles.

    Args:
        optimizer: takes parameters, returns an optimiser; the released code: SGD, 0.01, momentum 0.9, decay 5e-4.
        scheduler: takes an optimiser; stepped every epoch. The released code: a tenth after the first epoch.
        backbone: model of timm; the released code: ``resnet152``.
        pretrained: begin with ImageNet's weights: true (timm's), or a file of them.
        size: side of the input, pixels.
        styles: to tell apart, names of `canthus.data.styles.STYLES`; 300W-Style's four.

    Raises:
        DataError: an unknown style, or only one.
        ValueError: a backbone that timm does not have.
    """

    name = "san_classifier"
    used_by: ClassVar[str] = "model=san_style model.clusters"
    """Where the next step names this one's run."""
    initialised: Tensor
    network: Any
    """A model of timm, which describes its own."""

    def __init__(
        self,
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer],
        scheduler: Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler] | None = None,
        backbone: str = "resnet152",
        pretrained: bool | str = True,
        size: int = 224,
        styles: Sequence[str] = ("original", "sketch", "light", "grey"),
    ) -> None:
        super().__init__()
        self.styles = Styles(styles).names
        if len(self.styles) < 2:
            raise DataError(f"model.styles is {self.styles}: a classifier needs at least two styles to tell apart")
        self.save_hyperparameters(ignore=["optimizer", "scheduler"])
        try:
            self.network = timm.create_model(backbone, pretrained=False, num_classes=len(self.styles))
        except RuntimeError as error:  # what timm raises for an unknown name
            near = ", ".join(timm.list_models(f"*{backbone[:6]}*")[:8])
            raise ValueError(f"model.backbone={backbone}: timm has no such model; it has {near or 'others'}") from error
        self._optimizer, self._scheduler = optimizer, scheduler
        self.backbone, self.pretrained = backbone, pretrained
        self.input = InputSpec(size, 3, centred_box(size, BOX_SHARE))
        self.register_buffer("initialised", torch.tensor(False))

    def setup(self, stage: str) -> None:
        """Take ImageNet's weights once; a checkpoint brings its own."""
        if stage == "fit" and self.pretrained and not self.initialised:
            self._take_weights()
            self.initialised.fill_(True)

    def _take_weights(self) -> None:
        option = "model.pretrained"
        if not isinstance(self.pretrained, str):
            made = imagenet_model(self.backbone, option, num_classes=len(self.styles))
            self.network.load_state_dict(made.state_dict())
            return
        weights, own = file_weights(Path(self.pretrained), option), self.network.state_dict()
        head = tuple(name for name, _ in self.network.get_classifier().named_parameters(prefix="classifier"))
        fitting = {key: value for key, value in weights.items() if key in own and value.shape == own[key].shape}
        if len(own) - len(fitting) > len(head):  # the head alone may be another
            raise DataError(f"{option}={self.pretrained}: these are not the weights of {self.backbone}")
        self.network.load_state_dict(fitting, strict=False)

    def _classified(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Every face in all styles: (B * S, S) logits and (B * S,) styles."""
        rendered = torch.cat([render(image, style) for style in self.styles])
        truth = torch.arange(len(self.styles), device=image.device).repeat_interleave(len(image))
        return self.network(scale_pixels(rendered, "imagenet")), truth

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Cross-entropy."""
        logits, truth = self._classified(batch["image"])
        loss = functional.cross_entropy(logits.float(), truth)
        self.log("train/loss", loss, prog_bar=True, on_step=False, on_epoch=True, batch_size=len(truth))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Share of renderings that are recognised, percent."""
        logits, truth = self._classified(batch["image"])
        accuracy = 100 * (logits.argmax(1) == truth).float().mean()
        self.log("val/accuracy", accuracy, prog_bar=True, batch_size=len(truth))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """All weights at one rate."""
        optimizer = self._optimizer(self.network.parameters())
        if self._scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": self._scheduler(optimizer)}

    @torch.no_grad()
    def features(self, image: Tensor) -> NDArray[np.float32]:
        """(B, 3, H, W) faces as they are, in [0, 1], to (B, F) pooled features."""
        maps = self.network.forward_features(scale_pixels(image.to(self.device), "imagenet"))
        pooled: Tensor = self.network.forward_head(maps, pre_logits=True)
        return np.asarray(pooled.float().cpu().numpy(), dtype=np.float32)
