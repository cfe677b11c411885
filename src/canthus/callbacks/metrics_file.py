"""metrics.csv: one row an epoch, written at once, continued after a resume (Lightning's own logger starts anew)."""

import csv
import os
from argparse import Namespace
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

__all__ = ["MetricsFile"]


class MetricsFile(Logger):
    """Collects what is logged, by epoch, in ``metrics.csv``.

    Rows that a run wrote after its last checkpoint are replaced when it resumes.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__()
        self.path = Path(folder) / "metrics.csv"
        self._rows: dict[int, dict[str, Any]] = {}
        if self.path.exists():
            with self.path.open(newline="") as file:
                self._rows = {int(row["epoch"]): dict(row) for row in csv.DictReader(file)}

    @property
    def name(self) -> str:
        """For Lightning."""
        return "csv"

    @property
    def version(self) -> str:
        """For Lightning."""
        return ""

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """The run folder's config.yaml has them."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Merge values into the row of their epoch and write the file."""
        epoch = int(metrics["epoch"]) if "epoch" in metrics else max(self._rows, default=0)
        for later in [known for known in self._rows if known > epoch]:
            del self._rows[later]
        row = self._rows.setdefault(epoch, {"epoch": epoch})
        row |= {key: f"{value:.8g}" for key, value in metrics.items() if key != "epoch"} | {"step": step}
        columns = list(dict.fromkeys(key for known in self._rows.values() for key in known))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".tmp")
        with temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(self._rows.values())
        os.replace(temporary, self.path)
