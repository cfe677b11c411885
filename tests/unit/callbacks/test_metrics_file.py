"""metrics.csv: one row an epoch, continued after a resume."""

import csv
from pathlib import Path

from canthus.callbacks.metrics_file import MetricsFile


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_values_of_an_epoch_share_a_row(tmp_path: Path) -> None:
    logger = MetricsFile(tmp_path)
    logger.log_metrics({"val/nme": 5.0, "epoch": 0}, step=3)
    logger.log_metrics({"train/loss": 0.5, "epoch": 0}, step=3)
    logger.log_metrics({"val/nme": 4.0, "val/new": 1.0, "epoch": 1}, step=6)
    first, second = rows(tmp_path)
    assert first == {"epoch": "0", "val/nme": "5", "train/loss": "0.5", "step": "3", "val/new": ""}
    assert (second["val/nme"], second["val/new"], second["step"]) == ("4", "1", "6")


def test_values_without_an_epoch_belong_to_the_latest(tmp_path: Path) -> None:
    logger = MetricsFile(tmp_path)
    for epoch in range(3):
        logger.log_metrics({"val/nme": float(epoch), "epoch": epoch}, step=epoch)
    logger.log_metrics({"lr": 0.1}, step=2)
    assert [(row["epoch"], row["lr"]) for row in rows(tmp_path)] == [("0", ""), ("1", ""), ("2", "0.1")]


def test_a_resumed_run_replaces_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    logger = MetricsFile(tmp_path)
    for epoch in range(4):
        logger.log_metrics({"val/nme": float(epoch), "epoch": epoch}, step=epoch)
    again = MetricsFile(tmp_path)
    again.log_metrics({"val/nme": 20.0, "epoch": 2}, step=2)
    assert [(row["epoch"], row["val/nme"]) for row in rows(tmp_path)] == [("0", "0"), ("1", "1"), ("2", "20")]
