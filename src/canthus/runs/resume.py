"""Continuing a run in its own folder: its config, its last checkpoint, and what may change."""

from collections.abc import Iterator
from logging import getLogger
from pathlib import Path
from typing import Any, cast

import torch
from omegaconf import DictConfig, OmegaConf, ValueNode

from canthus.runs.faults import last_epoch
from canthus.runs.loading import load_config, load_weights
from canthus.runs.precision import AUTO
from canthus.runs.relocation import relocated
from canthus.runs.status import is_finished
from canthus.utils import processes
from canthus.utils.config import nodes_of
from canthus.utils.errors import ConfigError

__all__ = ["MAY_CHANGE", "changed_settings", "checkpoint_to_continue", "is_trained"]

log = getLogger(__name__)

MAY_CHANGE = {
    "trainer.max_epochs": ": the last training phase is stretched; a learning-rate schedule with a horizon keeps the "
    "horizon that it began with",
    "trainer.accumulate_grad_batches": ": the total batch stays; batch normalisation sees its parts",
    "trainer.accelerator": "",
    "trainer.devices": "",
    "trainer.num_nodes": "",
    "trainer.strategy": "",
    "data.num_workers": "",
    "data.root": "",
    "data.verify_store": "",
}
"""What may differ after a resume, and what that means: the length, and where and how the same batches run."""


WITHOUT_EFFECT = (
    "resume",
    "allow_changed_data",
    "trust",
    "sweep.",
    "paths.",
    "tags",
    "logger.",
    "callbacks.overlays.",
    "callbacks.belief_maps.",
    "callbacks.previews.",
    "callbacks.progress.",
)
"""Beginnings of keys that change no number."""


def checkpoint_to_continue(run: Path, cfg: DictConfig) -> Path | None:
    """The last checkpoint of a run, once it is known to be whole and to leave something to do.

    Args:
        run: run folder.
        cfg: config of the run, with what the command line changed.

    Returns:
        The checkpoint; None if the run was stopped before it wrote the first, and so begins again in its folder.

    Raises:
        ConfigError: missing or damaged checkpoint (the message names the newest intact one), or a finished run.
    """
    path = run / "checkpoints" / "last.ckpt"
    if processes.rank() == 0:
        for left_over in path.parent.glob(".*.tmp.ckpt"):  # of a process that was killed while it wrote
            left_over.unlink(missing_ok=True)
    _refuse_changes(run, cfg)
    if not path.is_file() and _in_first_epoch(run):
        log.warning("%s was stopped before its first checkpoint: it begins again, with its own config", run)
        (run / "metrics.csv").unlink(missing_ok=True)
        return None
    try:
        if not path.is_file():
            raise ConfigError(f"{path} does not exist")
        load_weights(path)
    except ConfigError as error:
        raise ConfigError(f"{error}; {_newest_intact(run, path)}") from error
    epoch = last_epoch(path)
    assert epoch is not None
    done, planned = epoch + 1, int(cfg.trainer.max_epochs)
    before = int(load_config(run).trainer.max_epochs)
    finished = is_finished(run)
    if done > planned or (finished and planned <= max(done, before)):
        early = f" of {before}, and was stopped early" if done < before else ""
        raise ConfigError(
            f"{run} has finished its {done} epochs{early}; to go on, add trainer.max_epochs=N with N > "
            f"{max(done, before)}"
        )
    if done == planned or is_trained(run, cfg):
        log.info("continuing %s: its %d epochs are done, what is missing is their evaluation", run, done)
    else:
        log.info("continuing %s after epoch %d", run, epoch)
    return path


def is_trained(run: Path, cfg: DictConfig) -> bool:
    """Whether an early stopping ended the training at the very epoch of its last checkpoint.

    Args:
        run: run folder with a checkpoint.
        cfg: config of the run, with what the command line changed; a longer training goes on.
    """
    if int(cfg.trainer.max_epochs) > int(load_config(run).trainer.max_epochs):
        return False
    content = torch.load(run / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=True, mmap=True)
    epoch, states = content["epoch"], content.get("callbacks", {})
    return any(
        state["stopped_epoch"] == epoch and (epoch > 0 or state["wait_count"] >= state["patience"])
        for name, state in states.items()
        if str(name).startswith("EarlyStopping")
    )


def plain(cfg: DictConfig) -> dict[str, Any]:
    """A config as a container, resolved."""
    content = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(content, dict)
    return cast(dict[str, Any], content)


def _in_first_epoch(run: Path) -> bool:
    """Whether last.ckpt was never written: there is no other, or only the best of the first epoch."""
    if is_finished(run):
        return False
    metrics = run / "metrics.csv"
    rows = len(metrics.read_text().splitlines()) - 1 if metrics.is_file() else 0
    return rows <= 1 if rows else not any((run / "checkpoints").glob("*.ckpt"))


def _refuse_changes(run: Path, cfg: DictConfig) -> None:
    """What would make the run something that no config describes is refused; what stays is explained."""
    for place, old, new in changed_settings(run, cfg):
        if place not in MAY_CHANGE:
            raise ConfigError(
                f"{place} was {old} and is now {new}: a run resumes with its own config, in which only "
                f"{', '.join(MAY_CHANGE)} may change; or start another run with init_from={run}"
            )
        log.warning("%s changes from %s to %s%s", place, old, new, MAY_CHANGE[place])


def changed_settings(run: Path, cfg: DictConfig) -> Iterator[tuple[str, object, object]]:
    """Settings with which a run was made and that are different now, except those without effect: place, old, new."""
    saved = load_config(run)
    before, now = (
        {place: node._value() for place, node in nodes_of(OmegaConf.create(config)) if isinstance(node, ValueNode)}
        for config in (relocated(plain(saved), run), relocated(plain(cfg), run))
    )
    for place in sorted(before | now):
        old, new = before.get(place), now.get(place)
        both_nan = old != old and new != new
        if old == new or both_nan or place.startswith(WITHOUT_EFFECT):
            continue
        if place == "trainer.precision" and new == AUTO:  # which is what the run began with
            continue
        if place.split(".")[0] in saved:  # else a key that canthus did not have then
            yield place, old, new


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
