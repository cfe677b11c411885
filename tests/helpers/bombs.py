"""Callbacks that stop a training at an exact moment."""

import contextlib
import os
import signal
import time

import lightning
import torch


class Kill(lightning.Callback):
    """``kill -9`` while last.ckpt of an epoch is written: ``half`` way, or just ``after`` it has taken its place."""

    def __init__(self, epoch: int, moment: str) -> None:
        self.epoch, self.moment = epoch, moment

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        if trainer.current_epoch != self.epoch:
            return
        replace, save = os.replace, torch.save

        def replacing(source, target):
            replace(source, target)
            if self.moment == "after" and str(target).endswith("last.ckpt"):
                os.kill(os.getpid(), signal.SIGKILL)

        def saving(content, file):
            if self.moment == "half" and ".last." in file.file.name:
                file.file.write(b"half")
                file.file.flush()
                os.kill(os.getpid(), signal.SIGKILL)
            save(content, file)

        os.replace, torch.save = replacing, saving


class Fault(lightning.Callback):
    """A fault of the machine in the middle of an epoch."""

    def __init__(self, epoch: int, kind: str) -> None:
        self.epoch, self.kind = epoch, kind

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        if trainer.current_epoch != self.epoch or batch_idx != 1:
            return
        if self.kind == "gpu":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has no more.")
        if self.kind == "host":
            torch.empty(1 << 60, dtype=torch.uint8)
        if self.kind == "bug":
            raise KeyError("a mistake in a model")
        if self.kind == "full":
            fill(trainer.default_root_dir)
            return
        self.strike()

    def on_validation_start(self, trainer, pl_module) -> None:
        if self.epoch == -1 and trainer.state.fn == "validate":  # after the training
            self.strike()

    def strike(self) -> None:
        os.kill(os.getpid(), getattr(signal, self.kind))
        time.sleep(5)


class Spoil(lightning.Callback):
    """Sets the weights of the last stage that trains to a value, from an epoch on, on one process or all."""

    def __init__(self, epoch: int, value: float, rank: int | None = None) -> None:
        self.epoch, self.value, self.rank = epoch, float(value), rank

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        if trainer.current_epoch >= self.epoch and self.rank in (None, trainer.global_rank):
            for weight in pl_module.stage_parameters(pl_module.depth - 1):
                weight.data.fill_(self.value)


def fill(folder: str) -> None:
    """Leave no byte on a small disk."""
    with open(f"{folder}/filler", "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
