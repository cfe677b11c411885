"""Weights & Biases: one run per job, the same run after a resume, closed as it ended, no trace in the environment."""

import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig

__all__ = ["identified", "one_run"]

LEAKS = ("WANDB_MODE", "WANDB_RUN_ID", "WANDB_DIR")
"""What the logger writes into the environment, where the next job of a sweep would find it."""


def identified(node: DictConfig, folder: Path, group: str) -> dict[str, Any]:
    """Arguments that tie a logger to a run: id kept in the run folder, group, job type. Empty for other loggers.

    Without an id, W&B opens a new run on every resume.

    Args:
        node: config of the logger.
        folder: of the run.
        group: what the runs of a sweep share.
    """
    if not str(node.get("_target_", "")).endswith("WandbLogger"):
        return {}
    path = folder / "wandb_id.txt"
    if not path.exists():
        _write(path, uuid.uuid4().hex[:12])
    identity = path.read_text().strip() if path.exists() else None  # other processes do not log
    given = {"id": identity, "resume": "allow", "group": group, "job_type": "train"}
    return {key: value for key, value in given.items() if node.get(key) is None}


@rank_zero_only
def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


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
