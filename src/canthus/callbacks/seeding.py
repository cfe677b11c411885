"""Random numbers that depend on the epoch only, so that a resumed run draws what the whole run would have drawn."""

import lightning
import numpy as np

__all__ = ["EpochSeed"]


class EpochSeed(lightning.Callback):
    """Seeds torch, NumPy and Python at the start of every training epoch from (seed, epoch, process).

    Args:
        seed: of the run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Dropout and everything else that uses the global generators starts from here."""
        mixed = np.random.SeedSequence([self.seed, trainer.current_epoch, trainer.global_rank]).generate_state(1)[0]
        lightning.seed_everything(int(mixed), verbose=False)
