"""What evaluators share: one table per pass over the validation or test split."""

from abc import ABC, abstractmethod
from typing import Any

import lightning

__all__ = ["PassCallback"]


class PassCallback(lightning.Callback, ABC):
    """Begins a table, adds batches and finishes, on validation and test alike."""

    @abstractmethod
    def _begin(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Begin a table."""

    @abstractmethod
    def _add(self, outputs: Any, batch: Any) -> None:
        """Add a batch."""

    @abstractmethod
    def _finish(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, split: str) -> None:
        """Compute and log."""

    def on_validation_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Begin a table."""
        self._begin(trainer, pl_module)

    def on_test_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Begin a table."""
        self._begin(trainer, pl_module)

    def on_validation_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Add a batch."""
        self._add(outputs, batch)

    def on_test_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Add a batch."""
        self._add(outputs, batch)

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Compute and log."""
        self._finish(trainer, pl_module, "val")

    def on_test_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Compute and log."""
        self._finish(trainer, pl_module, "test")
