"""Runs that a run builds on: the ``steps`` of a config, done before it, each once, in a folder of its own.

A step is this run with what stands under ``steps.NAME`` instead. It shares the data, trainer, loggers, paths and seed,
and, unless it names a model of its own, the model, callbacks and measures, too: a word like ``model.width=0.5`` or
``data.root=DIR`` changes the run and its steps, ``steps.NAME.trainer.max_epochs=20`` one of them. A step whose data
have a reader of their own shares how faces are shown to the model (batches, augmentation, crops), and nothing of where
the run's faces come from.

Its run folder, ``steps.NAME.folder``, is like any other; the run and other steps read what they need from there
(``init_from: ${steps.pretrain.folder}``, ``model.generators: ${steps.gan.folder}``). Where it is null, the folder is
``steps/NAME_HASH`` in ``paths.log_dir``, with a hash of the step's settings, so that runs that need the same step share
it and others do not. A step whose folder nobody reads is left out, one that is finished is not done again, for this run
or another, and one that was stopped goes on from its last checkpoint.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from logging import getLogger
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf, ValueNode, open_dict

from canthus.commands import checks, schemas
from canthus.data import data_options
from canthus.reporting.page.records import trained_epochs, trained_seconds
from canthus.runs import folders, resume
from canthus.runs.status import is_finished, read_provenance
from canthus.utils import processes
from canthus.utils.config import nodes_of
from canthus.utils.errors import ConfigError, suggest

__all__ = ["prepare", "records", "step_config"]

log = getLogger("canthus.commands.train")

SHARED = ("data", "trainer", "logger", "paths", "seed")
"""Keys of the run that hold for its steps, too, as far as these say nothing else."""
OF_THE_MODEL = ("model", "callbacks", "normaliser", "normalisers", "threshold")
"""Likewise, of steps that name no model of their own."""
OF_THE_SOURCE = (
    "reader",
    "name",
    "train_parts",
    "test_parts",
    "include_test",
    "train_faces",
    "subsets",
    "view",
    "endless",
)
"""Keys of the data module that say which faces, beside all that the reader takes."""
UNCHANGED = ("data.subsets", "task_name")
"""Settings that change nothing in a step: a run of another name may use it."""
ANYWHERE = ("data.cache", "steps")
"""Settings that make no other folder of a step."""
READS = re.compile(r"\$\{steps\.(\w+)\.folder\}")


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
    merged = OmegaConf.create(_unresolved(cfg, name))
    merged.paths.output_dir = str(folder)
    merged.trainer.pop("fast_dev_run", None)
    OmegaConf.resolve(merged)
    merged.steps = {}
    return merged


def _unresolved(cfg: DictConfig, name: str) -> dict[str, Any]:
    """A step's config; interpolations are resolved where they stand now: ``${paths.output_dir}`` is the step's."""
    whole = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=False))
    own = {key: value for key, value in whole["steps"][name].items() if key != "folder"}
    defaults = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.structured(schemas.TrainConfig)))
    keys = SHARED if "_target_" in (own.get("model") or {}) else (*SHARED, *OF_THE_MODEL)
    shared = {key: whole[key] for key in keys} | {"steps": whole["steps"], "task_name": f"{cfg.task_name}_{name}"}
    if reader := (own.get("data") or {}).get("reader"):
        shared["data"] = _shown_alike(whole["data"], reader)
    merged = OmegaConf.to_container(OmegaConf.merge(defaults | shared, own), resolve=False)
    return cast(dict[str, Any], merged)


def _shown_alike(data: Mapping[str, Any], reader: str) -> dict[str, Any]:
    """Of the run's data what does not depend on where faces come from."""
    _, module = data_options(reader)
    return {key: data[key] for key in data if key == "_target_" or (key in module and key not in OF_THE_SOURCE)}


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
    _place(cfg)
    configs = _needed(cfg)
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


def records(cfg: DictConfig) -> dict[str, dict[str, Any]]:
    """What provenance.json of a run says of the steps that it builds on: folder, how long and when they were trained.

    Args:
        cfg: of the run, its steps done.
    """
    found = {}
    for name, step in _needed(cfg).items():
        folder = Path(step.paths.output_dir)
        record = read_provenance(folder)
        found[name] = {
            "folder": str(folder),
            "data": step.data.get("name"),
            "seed": step.seed,
            "seconds": trained_seconds(record),
            "epochs": trained_epochs(folder / "metrics.csv"),
            **{key: record.get(key) for key in ("status", "started", "commit", "dirty", "best_epoch", "machine")},
        }
    return found


def _place(cfg: DictConfig) -> None:
    """Give every step without a folder the one of its settings."""
    placed: list[str] = []

    def visit(name: str) -> None:
        if name in placed:
            return
        placed.append(name)
        text = json.dumps(_unresolved(cfg, name) | {"steps": None}, default=str)
        for other in READS.findall(text):
            if other in cfg.steps:
                visit(other)
        if not cfg.steps[name].get("folder"):
            with open_dict(cfg.steps[name]):
                cfg.steps[name].folder = "?"
                own = f"{name}_{_hash(step_config(cfg, name))}"
                cfg.steps[name].folder = str(Path(cfg.paths.log_dir, "steps", own).absolute())

    for name in map(str, cfg.steps):
        visit(name)


def _hash(step: DictConfig) -> str:
    """Ten digits that change with every setting that changes a step."""
    settings = {
        place: node._value()
        for place, node in nodes_of(step)
        if isinstance(node, ValueNode)
        and not (_changes_nothing(place) or place.startswith((*resume.WITHOUT_EFFECT, *ANYWHERE)))
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:10]


def _needed(cfg: DictConfig) -> dict[str, DictConfig]:
    """The steps whose folder is named by the run, or by a step that is needed; each after those that it needs."""
    configs = {str(name): step_config(cfg, str(name)) for name in cfg.steps}
    needed: dict[str, DictConfig] = {}

    def add(values: set[str], above: tuple[str, ...] = ()) -> None:
        for name, step in configs.items():
            if name not in (*needed, *above) and step.paths.output_dir in values:
                add(_read(step), (*above, name))
                needed[name] = step

    if cfg.step:
        add(_read(configs[cfg.step]), (cfg.step,))
        needed[cfg.step] = configs[cfg.step]
    else:
        add(_read(cfg))
    return needed


def _read(cfg: DictConfig) -> set[str]:
    """Every text in a config that may name the folder of a step."""
    whole = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))
    return _values({key: value for key, value in whole.items() if key not in ("steps", "step", "paths")})


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
        if _changes_nothing(place):
            continue
        raise ConfigError(
            f"{folder} holds step {name} with {place}={old}, which is {new} now: name another folder, "
            f"steps.{name}.folder=DIR, or remove that one to do the step again"
        )
    return is_finished(folder)


def _changes_nothing(place: str) -> bool:
    """Whether a setting may differ from the one with which a step was done."""
    may = place in resume.MAY_CHANGE and place != "trainer.max_epochs"
    return may or place.startswith((*UNCHANGED, "resume"))
