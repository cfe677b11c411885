"""The checkpoints of a run folder: at home wherever the folder is moved, and never ahead of metrics.csv."""

from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import ModelCheckpoint

from canthus.callbacks.metrics_file import MetricsFile

__all__ = ["Checkpoint"]


class Checkpoint(ModelCheckpoint):
    """Lightning's ModelCheckpoint, made for folders that are resumed; the arguments are the same."""

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Complete the epoch's row of metrics.csv, then save."""
        # Lightning logs the training values after this hook: a process that dies in between would leave a checkpoint
        # behind which the run goes on, and a row without them
        values = {name: float(value) for name, value in trainer._logger_connector.metrics["log"].items()}
        step = trainer.fit_loop.epoch_loop._batches_that_stepped - 1
        for logger in trainer.loggers:
            if isinstance(logger, MetricsFile):
                logger.log_metrics(values | {"epoch": trainer.current_epoch}, step)
        super().on_train_epoch_end(trainer, pl_module)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore best score and paths, as paths of the folder where the run is now.

        Lightning drops the best score when the folder has another name, and keeps the path of the old folder.
        """
        before = state_dict.get("dirpath")
        if before and self.dirpath:
            state_dict = _rebased(state_dict, Path(before), Path(self.dirpath))
        super().load_state_dict(state_dict)


def _rebased(value: Any, before: Path, now: Path) -> Any:
    """A callback's state with its paths below ``before`` moved below ``now``."""
    if isinstance(value, dict):
        return {_rebased(key, before, now): _rebased(item, before, now) for key, item in value.items()}
    if isinstance(value, str) and Path(value).is_relative_to(before):
        return str(now / Path(value).relative_to(before))
    return value
