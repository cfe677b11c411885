"""A training that has left the finite numbers ends, before its weights are measured or kept."""

from collections.abc import Mapping
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from canthus.utils.errors import RunError

__all__ = ["Finite"]


class Finite(lightning.Callback):
    """Ends the epoch in which the loss or the weights are NaN or infinite, on all processes alike.

    Looked at once an epoch, before its validation, so that no step waits for the device.
    """

    def __init__(self) -> None:
        self._first: Tensor | None = None
        """Batch of this epoch with the first loss that is not finite, -1 for none; stays on the device."""

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Begin with no such batch."""
        self._first = torch.tensor(-1, device=pl_module.device)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note the batch if its loss is the first that is not finite."""
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if isinstance(loss, Tensor) and self._first is not None:
            wrong = (self._first < 0) & ~loss.detach().isfinite().all()
            self._first = torch.where(wrong, batch_idx, self._first)

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Look before the weights are measured.

        Raises:
            RunError: they, or a loss, are not finite.
        """
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._check(trainer, pl_module)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Look before they are kept; Lightning calls the callbacks that save after all others.

        Raises:
            RunError: they, or a loss, are not finite.
        """
        self._check(trainer, pl_module)

    def _check(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        first = -1 if self._first is None else int(self._first)
        what = f"the loss of batch {first}" if first >= 0 else _not_finite(module)
        if not trainer.strategy.reduce_boolean_decision(what is not None, all=False):
            return
        epoch = trainer.current_epoch
        kept = f"the checkpoints are of before, up to epoch {epoch - 1}" if epoch else "no checkpoint was kept"
        raise RunError(
            f"{what or 'the loss of another process'} is not finite any more, in epoch {epoch} (epochs and batches "
            f"count from 0): the training has diverged. {kept[0].upper()}{kept[1:]}; train again with a lower "
            "model.optimizer.lr, or with trainer.gradient_clip_val=1"
        )


def _not_finite(module: nn.Module) -> str | None:
    """Name of a weight with NaN or infinity, or of a buffer with NaN: infinity may be meant in those."""
    for name, weight in module.named_parameters():
        if not weight.detach().isfinite().all():
            return f"the weight {name}"
    for name, buffer in module.named_buffers():
        if buffer.is_floating_point() and buffer.isnan().any():
            return f"the buffer {name}"
    return None
