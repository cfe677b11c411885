"""Weights & Biases and other trackers: one run per job, the same run after a resume, closed as it ended, no prompt.

A tracker never stops a training: without a key or a server, W&B's run is kept in the run folder, for ``wandb sync``.
"""

import os
import sys
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import lightning
import numpy as np
import torch
from hydra.utils import instantiate
from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf

from canthus.callbacks.evaluator import Evaluator
from canthus.callbacks.metrics_file import MetricsFile
from canthus.evaluation.files import Metrics

if TYPE_CHECKING:
    pass

__all__ = ["Panels", "one_run", "open_loggers", "show_results"]

log = getLogger(__name__)

LEAKS = ("WANDB_MODE", "WANDB_RUN_ID", "WANDB_DIR")
"""What the logger writes into the environment, where the next job of a sweep would find it."""
PICTURES = ("ced", "overlays/faces")


class Panels(lightning.Callback):
    """Collects the error of every stage, for one chart of all; and keeps W&B's run id in the checkpoint.

    Args:
        run_id: None without W&B.
    """

    def __init__(self, run_id: str | None) -> None:
        self.run_id = run_id
        self.curves: dict[int, dict[int, float]] = {}

    def state_dict(self) -> dict[str, Any]:
        """Run id, and stage -> epoch -> NME."""
        return {"run_id": self.run_id, "curves": self.curves}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The curves; the id was needed earlier."""
        self.curves = state_dict["curves"]

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Note the errors of this epoch."""
        if trainer.state.fn != "fit":
            return
        result = next((c.result for c in trainer.callbacks if isinstance(c, Evaluator)), None)  # type: ignore[attr-defined]
        errors = result.summaries()["full"]["nme_per_stage"] if result else []
        for stage, error in enumerate(errors, 1):
            self.curves.setdefault(stage, {})[trainer.current_epoch] = error


def open_loggers(cfg: DictConfig, folder: Path, group: str, checkpoint: Path | None) -> tuple[list[Logger], Panels]:
    """Build the loggers and give them the config, resolved and plain.

    Args:
        cfg: whole config; ``logger`` holds the nodes.
        folder: of the run.
        group: what the runs of a sweep share.
        checkpoint: that the run continues from.

    Returns:
        The loggers, and a callback for the trainer.
    """
    nodes = [node for node in (cfg.logger or {}).values() if node is not None]
    run_id = _run_id(folder, checkpoint) if any(map(_is_wandb, nodes)) else None
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    loggers = []
    for node in nodes:
        if _is_wandb(node):
            given = {"id": run_id, "resume": "allow", "group": group, "job_type": "train"}
            logger = _open_wandb(node, {key: value for key, value in given.items() if node.get(key) is None})
        else:
            logger = instantiate(node, _convert_="all")
        logger.log_hyperparams(dict(plain))
        loggers.append(logger)
    return loggers, Panels(run_id)


def _is_wandb(node: DictConfig) -> bool:
    return str(node.get("_target_", "")).endswith("WandbLogger")


def _run_id(folder: Path, checkpoint: Path | None) -> str | None:
    """The id in the run folder, else the checkpoint's, else a new one: without one, W&B makes a new run each time."""
    path = folder / "wandb_id.txt"
    if not path.exists():
        kept = None
        if checkpoint is not None:
            callbacks = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["callbacks"]
            kept = callbacks.get(Panels.__qualname__, {}).get("run_id")
        _write(path, kept or uuid.uuid4().hex[:12])
    return path.read_text().strip() if path.exists() else None  # other processes do not log


@rank_zero_only
def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _open_wandb(node: DictConfig, given: dict[str, Any]) -> Logger:
    """Open W&B's run; offline, with a warning, where it cannot be reached."""
    logger = instantiate(node, **given, _convert_="all")
    if node.get("offline") or os.environ.get("WANDB_MODE", "online") != "online" or getattr(rank_zero_only, "rank", 0):
        return logger  # type: ignore[no-any-return]
    import wandb

    try:
        if not wandb.login(prompt=False, verify=False):
            raise wandb.errors.UsageError("there is no API key; set WANDB_API_KEY or run `wandb login`")
        _ = logger.experiment  # connects
    except wandb.errors.Error as error:
        log.warning(
            "Weights & Biases is not available (%s): the run is kept in %s, for `wandb sync` later",
            str(error).splitlines()[0],
            Path(node.get("save_dir") or ".") / "wandb",
        )
        wandb.teardown()  # its service still holds the run id, and would ignore another mode
        return instantiate(node, **given, mode="offline", _convert_="all")  # type: ignore[no-any-return]
    return logger  # type: ignore[no-any-return]


@rank_zero_only
def show_results(loggers: Sequence[Logger], panels: Panels, folder: Path, metrics: Metrics, step: int) -> None:
    """Give the trackers what the run ends with: figures of the chosen epoch, its CED and faces, curves per stage.

    Args:
        loggers: of the training.
        panels: that took part in it.
        folder: of the run, with the pictures.
        metrics: of the chosen epoch.
        step: of the last epoch.
    """
    trackers = [logger for logger in loggers if not isinstance(logger, MetricsFile)]
    full = metrics["subsets"]["full"]
    values = {f"best/nme_{metrics['normaliser']}": full["nme"]}
    values |= {f"best/{name}": full[name] for name in ("auc", "failure_rate")}
    measured = {name: value for name, value in values.items() if value is not None}
    for logger in trackers:
        logger.log_metrics(measured, step)
        _show_curves(logger, panels.curves)
    for name in PICTURES:
        if (folder / f"{name}.png").is_file():
            picture = np.asarray(cv2.imread(str(folder / f"{name}.png")), np.uint8)[..., ::-1]  # OpenCV reads BGR
            show_picture(trackers, f"best/{name.rpartition('/')[2]}", picture, step)


def _show_curves(logger: Logger, curves: dict[int, dict[int, float]]) -> None:
    """All stages in one chart."""
    if isinstance(logger, WandbLogger) and curves:
        import wandb

        chart = wandb.plot.line_series(
            xs=[list(curve) for curve in curves.values()],
            ys=[list(curve.values()) for curve in curves.values()],
            keys=[f"stage {stage}" for stage in curves],
            title="NME per stage, held-out faces, percent",
            xname="epoch",
        )
        logger.experiment.log({"val/nme_per_stage": chart})
    writer: Any = getattr(logger, "experiment", None)
    if hasattr(writer, "add_custom_scalars"):
        writer.add_custom_scalars({"val": {"NME per stage": ["Multiline", [r"val/nme_\w+_stage\d+"]]}})


@contextmanager
def one_run() -> Iterator[None]:
    """Close what a job opened, with its exit status, and restore the environment.

    A second logger in the same process would otherwise go on with the live run, and a crashed run look finished.
    """
    before = {name: os.environ.get(name) for name in LEAKS}
    code = 1
    try:
        yield
        code = 0
    finally:
        wandb = sys.modules.get("wandb")
        if wandb is not None and wandb.run is not None:
            wandb.finish(exit_code=code)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def show_picture(loggers: Iterable[Logger], name: str, picture: NDArray[np.uint8], step: int) -> None:
    """Hand an RGB picture to every logger that takes pictures: W&B and its like, and TensorBoard."""
    for logger in loggers:
        writer: Any = getattr(logger, "experiment", None)
        if hasattr(logger, "log_image"):
            logger.log_image(key=name, images=[picture], step=step)
        elif hasattr(writer, "add_image"):
            writer.add_image(name, picture, step, dataformats="HWC")
