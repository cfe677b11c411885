"""Runs that a run builds on: the ``steps`` of a config, done in order before it, each once, in a folder of its own.

A step is this run's data, trainer, loggers, paths and seed with what stands under ``steps.NAME`` instead: a word like
``steps.gan.model.width=0.5`` changes a step's model and ``data.root=DIR`` the photographs of all. Its run folder,
``steps.NAME.folder``, is like any other; the run and later steps read what they need from there
(``model.generators: ${steps.gan.folder}``). A step whose folder nobody reads is left out, one that is finished is not
done again, for this run or another, and one that was stopped goes on from its last checkpoint.
"""

import math
from collections.abc import Callable
from logging import getLogger
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf, ValueNode

from canthus.commands import checks, schemas
from canthus.runs import folders, resume
from canthus.runs.status import is_finished
from canthus.utils import processes
from canthus.utils.config import nodes_of
from canthus.utils.errors import ConfigError, suggest

__all__ = ["prepare", "step_config"]

log = getLogger("canthus.commands.train")

SHARED = ("data", "trainer", "logger", "paths", "seed")
"""Keys of the run that hold for its steps, too, as far as these say nothing else."""
UNCHANGED = ("data.subsets", "task_name")
"""Settings that change nothing in a step: a run of another name may use it."""


def step_config(cfg: DictConfig, name: str) -> DictConfig:
    """The config with which a step runs, resolved.

    Args:
        cfg: of the run.
        name: of the step.

    Raises:
        ConfigError: the step has no folder.
    """
    folder = cfg.steps[name].get("folder")
    if not folder:
        raise ConfigError(f"steps.{name}.folder is not given: where should its run go?")
    whole = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=False))
    own = {key: value for key, value in whole["steps"][name].items() if key != "folder"}
    defaults = OmegaConf.to_container(OmegaConf.structured(schemas.TrainConfig))
    assert isinstance(defaults, dict)
    shared = {key: whole[key] for key in SHARED} | {"steps": whole["steps"], "task_name": f"{cfg.task_name}_{name}"}
    # interpolations are resolved where they stand now: ${paths.output_dir} of a step is the step's folder
    merged = OmegaConf.merge(defaults | shared, own)
    assert isinstance(merged, DictConfig)
    merged.paths.output_dir = str(folder)
    merged.trainer.pop("fast_dev_run", None)
    OmegaConf.resolve(merged)
    merged.steps = {}
    return merged


def prepare(cfg: DictConfig, train: Callable[[DictConfig], Any]) -> None:
    """Do what is missing of the steps, up to ``step``.

    Args:
        cfg: of the run.
        train: runs one config.

    Raises:
        ConfigError: a step whose config is wrong, or that was done with other settings; before any is begun.
    """
    if cfg.step and cfg.step not in cfg.steps:
        raise ConfigError(f"step={cfg.step}: {suggest(cfg.step, map(str, cfg.steps))}")
    configs = _needed(cfg, {str(name): step_config(cfg, str(name)) for name in cfg.steps})
    names = list(configs)
    for name, step in configs.items():
        try:
            checks.check(step)
        except ConfigError as error:
            raise ConfigError(f"step {name}: {error}") from error
        _is_done(name, step)
    for number, (name, step) in enumerate(configs.items(), 1):
        folder = Path(step.paths.output_dir)
        if _is_done(name, step):
            log.info("step %d of %d, %s: done, in %s", number, len(names), name, folder)
            continue
        if processes.several():
            raise ConfigError(
                f"step {name} is not done and runs in one process: do it first, by the same command with step={name} "
                "but without torchrun or srun"
            )
        if cfg.trainer.get("fast_dev_run"):
            raise ConfigError(f"step {name} is not done, and a fast development run keeps nothing: do it first")
        with folders.held(folder, wait=math.inf):  # a parallel sweep's jobs wait for the one that does the step
            if _is_done(name, step):  # meanwhile, by another process
                continue
            log.info("step %d of %d, %s: begins in %s", number, len(names), name, folder)
            if (folder / "config.yaml").is_file():
                step.resume = str(folder)
            train(step)


def _needed(cfg: DictConfig, configs: dict[str, DictConfig]) -> dict[str, DictConfig]:
    """Of all steps, in their order, those whose folder is named by the run, or by a step that is needed."""
    whole = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(whole, dict)
    wanted = _values({key: value for key, value in whole.items() if key not in ("steps", "step")})
    needed: dict[str, DictConfig] = {}
    for name, step in reversed(configs.items()):
        if name == cfg.step or ((needed or not cfg.step) and step.paths.output_dir in wanted):
            needed[name] = step
            wanted |= _values(step.model)
    return dict(reversed(needed.items()))


def _values(node: Any) -> set[str]:
    """Every text in a config."""
    return {str(leaf._value()) for _, leaf in nodes_of(OmegaConf.create(node)) if isinstance(leaf, ValueNode)}


def _is_done(name: str, step: DictConfig) -> bool:
    """Whether a step's folder holds it, finished.

    Raises:
        ConfigError: it holds one with other settings.
    """
    folder = Path(step.paths.output_dir)
    if not (folder / "config.yaml").is_file():
        return False
    for place, old, new in resume.changed_settings(folder, step):
        if (place in resume.MAY_CHANGE and place != "trainer.max_epochs") or place.startswith((*UNCHANGED, "resume")):
            continue
        raise ConfigError(
            f"{folder} holds step {name} with {place}={old}, which is {new} now: name another folder, "
            f"steps.{name}.folder=DIR, or remove that one to do the step again"
        )
    return is_finished(folder)
