"""What the platform costs per training step: `canthus-train`'s loop beside a bare PyTorch loop (see README.md)."""

import argparse
import gc
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from rich.console import Console
from rich.table import Table

from canthus.callbacks.checkpoint import CheckpointFiles
from canthus.callbacks.seeding import EpochSeed
from canthus.commands.checks import register_schemas
from canthus.data.datamodule import FaceDataModule
from canthus.models.base import LandmarkModel
from canthus.runs.record import hush
from canthus.utils.files import conf_path

VARIANTS: dict[str, list[str]] = {
    "canthus": [],
    "canthus, no progress bar": ["~callbacks.progress", "+trainer.enable_progress_bar=false"],
    "Lightning alone": ["callbacks=none", "logger=none", "+trainer.enable_progress_bar=false"],
}
"""The default callbacks and logger, and fewer, to see where the time goes. 'Alone' still has its model summary."""


@dataclass
class Times:
    """Milliseconds per step, a value a round."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    @contextmanager
    def measured(self, steps: int) -> Iterator[None]:
        """Time the block and divide by its steps."""
        cpu, wall = time.process_time(), time.perf_counter()
        yield
        self.cpu.append(1000 * (time.process_time() - cpu) / steps)
        self.wall.append(1000 * (time.perf_counter() - wall) / steps)


class SideBySide(lightning.Callback):
    """Times every epoch of the trainer, and trains a twin of its model for the same epoch with a bare loop.

    The bare loop runs after the trainer's epoch in even epochs and before it in odd ones. Epoch 0 is not measured.
    """

    def __init__(self, twin: LandmarkModel, seed: int) -> None:
        self.twin, self.seed = twin, seed
        self.bare, self.platform = Times(), Times()
        self._watch: Any = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Begin with equal weights."""
        self.twin.load_state_dict(pl_module.state_dict())
        self.twin.train_stages([0])
        self.twin.train()
        self.optimizer = self.twin.configure_optimizers()

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start the clock."""
        if trainer.current_epoch % 2:
            self._bare_epoch(trainer)
        EpochSeed(self.seed).on_train_epoch_start(trainer, pl_module)
        trainer.datamodule.train_dataloader()  # augmentation draws the epoch's numbers again
        gc.collect()
        self._watch = self.platform.measured(trainer.num_training_batches)
        self._watch.__enter__()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Stop it before anything that happens once an epoch."""
        self._watch.__exit__(None, None, None)
        if trainer.current_epoch % 2 == 0:
            self._bare_epoch(trainer)

    def _bare_epoch(self, trainer: lightning.Trainer) -> None:
        data: FaceDataModule = trainer.datamodule
        EpochSeed(self.seed).on_train_epoch_start(trainer, self.twin)
        loader = data.train_dataloader()
        loader.sampler.set_epoch(trainer.current_epoch)
        gc.collect()
        with self.bare.measured(len(loader)):
            total = torch.zeros(())
            for stored in loader:
                batch = data.on_after_batch_transfer(stored, 0)
                loss = torch.stack(list(self.twin.losses(batch, self.twin.estimates(batch)).values())).sum()
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                total += loss.detach()

    def check(self, model: LandmarkModel) -> None:
        """Both must have done the same work, to the last bit."""
        for name, value in model.state_dict().items():
            if not torch.equal(value, self.twin.state_dict()[name]):
                raise SystemExit(f"{name} differs: the loops did different work, so the comparison means nothing")


def measure(variant: str, options: argparse.Namespace) -> SideBySide:
    """Train once, with a bare epoch beside every epoch."""
    with tempfile.TemporaryDirectory() as folder, initialize_config_dir(conf_path(), version_base="1.3"):
        overrides = [
            "data=synthetic", "trainer=cpu", f"trainer.max_epochs={options.rounds + 1}", "task_name=loop",
            f"data.size={options.steps * options.batch}", f"data.batch_size={options.batch}", "data.validation=0",
            f"+model.width={options.width}", "+model.statistics_faces=64", f"paths.output_dir={folder}",
        ]  # fmt: skip
        if options.cache:
            overrides.append(f"paths.cache={options.cache}")
        cfg = compose("train", [*overrides, *VARIANTS[variant]])
        if "stages" in cfg.callbacks:
            cfg.callbacks.stages.phases = [{"stages": [0], "length": 1}]  # the cheapest step shows the most overhead
        lightning.seed_everything(cfg.seed, workers=True, verbose=False)
        model, twin = instantiate(cfg.model), instantiate(cfg.model)
        if "stages" not in cfg.callbacks:
            model.train_stages([0])
        data = instantiate(cfg.data, _partial_=True, _convert_="all")(input=model.input)
        side = SideBySide(twin, cfg.seed)
        callbacks = [instantiate(node, _convert_="all") for node in cfg.callbacks.values()]
        loggers = [instantiate(node, _convert_="all") for node in cfg.logger.values()]
        trainer = instantiate(cfg.trainer, callbacks=[side, *callbacks], logger=loggers)
        trainer.strategy.checkpoint_io = CheckpointFiles()
        trainer.fit(model, data)
        side.check(model)
    return side


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=30, help="a round")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--width", type=float, default=0.25, help="of DAN's channels; smaller steps show more overhead")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--cache", type=Path, help="folder of the store, to build it once")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    hush()
    register_schemas()
    title = f"DAN, width {options.width}, stage 1, batch {options.batch}: CPU milliseconds per step, one thread"
    table = Table("loop", "bare", "this loop", "min..max", "difference", "overhead", "overhead, wall", title=title)
    results = []
    for variant in options.variants:
        side = measure(variant, options)
        bare, ours = side.bare, side.platform
        first = slice(1, None)  # epoch 0: page cache, allocator, lazy imports
        share = {
            kind: statistics.median(
                100 * (a / b - 1) for a, b in zip(getattr(ours, kind)[first], getattr(bare, kind)[first], strict=True)
            )
            for kind in ("cpu", "wall")
        }
        values = ours.cpu[first]
        table.add_row(
            variant,
            f"{statistics.median(bare.cpu[first]):.2f}",
            f"{statistics.median(values):.2f}",
            f"{min(values):.2f}..{max(values):.2f}",
            f"{statistics.median(a - b for a, b in zip(values, bare.cpu[first], strict=True)):.2f}",
            f"{share['cpu']:+.1f} %",
            f"{share['wall']:+.1f} %",
        )
        results.append({"loop": variant, "overhead": share, "platform": vars(ours), "bare": vars(bare)})
    Console(width=120).print(table)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
