"""How strong the gradient is that reaches the first layer."""

from typing import Any

import lightning
import torch
from torch import Tensor

__all__ = ["GradientNorm"]


class GradientNorm(lightning.Callback):
    """Logs ``train/gradient_norm``: the norm of the gradient of the first layer's weights, mean over an epoch's steps.

    The first layer is the first parameter of two dimensions or more that has a gradient: with a vanishing gradient its
    norm goes to zero while that of the loss does not.
    """

    def __init__(self) -> None:
        self._norms: list[Tensor] = []

    def on_before_optimizer_step(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, optimizer: Any
    ) -> None:
        """Note the norm of a step."""
        for weight in pl_module.parameters():
            if weight.ndim > 1 and weight.grad is not None:
                self._norms.append(torch.linalg.vector_norm(weight.grad.detach().float()))
                return

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Log their mean."""
        if self._norms:
            pl_module.log("train/gradient_norm", torch.stack(self._norms).mean(), sync_dist=True)
        self._norms.clear()
