"""Continuing a run in its own folder: its config, its last checkpoint, and what may change."""

import os
from logging import getLogger
from pathlib import Path
from typing import Any

import torch
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, ListConfig, OmegaConf

from canthus.config import ConfigError, nodes_of
from canthus.runtime import load_config, load_weights

__all__ = ["checkpoint_to_continue", "register_run"]

log = getLogger(__name__)

MAY_CHANGE = ("resume", "sweep.resume", "sweep.first_job", "trainer.max_epochs")


def register_run(run: Path) -> None:
    """Make the saved config of a run Hydra's primary config ``resumed``.

    Raises:
        ConfigError: not a run folder.
    """
    saved = load_config(run)
    before, now = str(saved.paths.output_dir), os.path.abspath(run)
    text = OmegaConf.to_yaml(saved).replace(before, now)  # the folder may have been moved
    content = OmegaConf.to_container(OmegaConf.create(text))
    assert isinstance(content, dict)
    node = {"defaults": ["root_schema", "_self_", {"hydra": "default"}], **content}
    ConfigStore.instance().store(name="resumed", node=node)


def checkpoint_to_continue(run: Path, cfg: DictConfig) -> Path:
    """The last checkpoint of a run, once it is known to be whole and to leave something to do.

    Args:
        run: run folder.
        cfg: config of the run, with what the command line changed.

    Raises:
        ConfigError: missing or damaged checkpoint (the message names the newest intact one), or a finished run.
    """
    path = run / "checkpoints" / "last.ckpt"
    try:
        if not path.is_file():
            raise ConfigError(f"{path} does not exist")
        load_weights(path)
    except ConfigError as error:
        raise ConfigError(f"{error}; {_newest_intact(run, path)}") from error
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    done, planned = int(state["epoch"]) + 1, int(cfg.trainer.max_epochs)
    if done >= planned:
        raise ConfigError(f"{run} has finished its {done} epochs; to go on, add trainer.max_epochs=N with N > {done}")
    _refuse_changes(run, cfg)
    before = load_config(run).trainer.max_epochs
    if planned != before:
        log.warning(
            "trainer.max_epochs changes from %s to %s: the last training phase is stretched; a learning-rate schedule "
            "with a horizon keeps the horizon that it began with",
            before,
            planned,
        )
    log.info("continuing %s after epoch %d", run, done - 1)
    return path


def _refuse_changes(run: Path, cfg: DictConfig) -> None:
    """Only the length may change: anything else would make the run something that no config describes."""
    saved = {place: node._value() for place, node in nodes_of(load_config(run)) if not hasattr(node, "keys")}
    for place, node in nodes_of(cfg):
        if (
            place in ("resume", "sweep.resume", "sweep.first_job", "trainer.max_epochs")
            or hasattr(node, "keys")
            or place not in saved
        ):
            continue
        now, before = OmegaConf.select(cfg, place), saved[place]
        if now != before and not isinstance(now, ListConfig) and not str(now).startswith(os.path.abspath(run)):
            raise ConfigError(
                f"{place} was {before} and is now {now}: a run resumes with its own config, in which only "
                f"trainer.max_epochs may change; or start another run with init_from={run}"
            )


def _newest_intact(run: Path, damaged: Path) -> str:
    others = sorted((run / "checkpoints").glob("*.ckpt"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in others:
        if path != damaged:
            try:
                load_weights(path)
            except ConfigError:
                continue
            return f"the newest intact checkpoint is {path}: copy it to {damaged.name} to continue from it"
    return f"no checkpoint in {run} is intact, so the run has to start again"
