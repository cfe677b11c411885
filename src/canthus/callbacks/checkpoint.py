"""The checkpoints of a run folder: at home wherever the folder is moved, never ahead of metrics.csv, never half."""

import os
import shutil
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import lightning
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from canthus.callbacks.metrics_file import MetricsFile
from canthus.models.base import LandmarkModel
from canthus.runs.faults import FULL
from canthus.utils.files import replacing

__all__ = ["Checkpoint", "CheckpointFiles", "Kept", "kept"]


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

    def check_monitor_top_k(self, trainer: lightning.Trainer, current: Tensor | None = None) -> bool:
        """Whether to keep an epoch as one of the best: never one whose metric is not finite."""
        finite = current is not None and bool(torch.isfinite(current))
        return finite and super().check_monitor_top_k(trainer, current)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore best score and paths, as paths of the folder where the run is now.

        Lightning drops the best score when the folder has another name, and keeps the path of the old folder.
        """
        before = state_dict.get("dirpath")
        if before and self.dirpath:
            state_dict = _rebased(state_dict, Path(before), Path(self.dirpath))
        super().load_state_dict(state_dict)


class Kept(NamedTuple):
    """What a checkpoint holds.

    Attributes:
        epoch: at whose end it was written, from 0.
        stages: how many stages of the cascade it runs.
    """

    epoch: int
    stages: int

    def compared(self, model: LandmarkModel) -> str | None:
        """What has to be said of the best checkpoint beside the model as it was trained in the end; None for nothing.

        Args:
            model: of the last epoch.
        """
        holds = f"best.ckpt is of epoch {self.epoch} and holds {_stages(1, self.stages)} of {model.num_stages}"
        if self.stages < model.depth:
            return f"{_stages(self.stages + 1, model.depth)} never improved on stage {self.stages}: {holds}"
        if model.depth < model.num_stages:
            return f"the training ended before {_stages(model.depth + 1, model.num_stages)}: {holds}"
        return None


def kept(path: str | Path) -> Kept:
    """What a checkpoint of a `LandmarkModel` holds."""
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return Kept(int(content["epoch"]), int(content["state_dict"]["active_stages"]))


def _stages(first: int, last: int) -> str:
    return f"stage {first}" if first == last else f"stages {first} to {last}"


def _rebased(value: Any, before: Path, now: Path) -> Any:
    """A callback's state with its paths below ``before`` moved below ``now``."""
    if isinstance(value, dict):
        return {_rebased(key, before, now): _rebased(item, before, now) for key, item in value.items()}
    if isinstance(value, str) and Path(value).is_relative_to(before):
        return str(now / Path(value).relative_to(before))
    return value


class CheckpointFiles(TorchCheckpointIO):
    """Writes checkpoints whole or not at all, wherever they lie.

    Lightning writes to the system's temporary folder first. If that is another file system, as on most clusters, it
    then copies over the old checkpoint, and a process killed or a disk full at that moment leaves neither.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write beside the old file, then take its place.

        Raises:
            OSError: ENOSPC, if the disk is full; the message says how much it lacks.
        """
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        path, sink = Path(path), _Counting()
        try:
            with replacing(path) as temporary, temporary.open("wb") as file:
                sink.file = file
                torch.save(checkpoint, cast(BinaryIO, sink))
                if sink.error is not None:
                    raise sink.error
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in FULL:
                raise
            free = shutil.disk_usage(path.parent).free
            lacking = max(sink.needed - free, 0)
            raise OSError(
                error.errno,
                f"the disk is full: the file needs {sink.needed / 1e6:.1f} MB beside the one before it, "
                f"{free / 1e6:.1f} MB are free, {lacking / 1e6:.1f} MB too little",
                str(path),
            ) from error


class _Counting:
    """A file for `torch.save`, which hides the reason when writing fails; counts on, to know the whole size."""

    file: BinaryIO

    def __init__(self) -> None:
        self.needed = 0
        self.error: OSError | None = None

    def write(self, data: bytes | memoryview) -> int:
        size = memoryview(data).nbytes
        self.needed += size
        if self.error is None:
            try:
                self.file.write(data)
            except OSError as error:
                self.error = error
        return size

    def flush(self) -> None:
        """Done by the owner of the file."""
