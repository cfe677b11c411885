"""The command line's side of configuration: checks before anything is built, and errors that help.

A config can run code: every ``_target_`` names a callable. Read a stranger's config before you run it.
Kept free of torch, so that shell completion is quick.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, ListConfig, OmegaConf, ValueNode

from canthus.commands import schemas
from canthus.commands.schemas import TrainConfig
from canthus.utils.config import nodes_of
from canthus.utils.errors import ConfigError, RunError, suggest
from canthus.utils.metrics import higher_is_better
from canthus.utils.signatures import parameters_of

__all__ = ["ConfigError", "RunError", "accepted_arguments", "check", "register_schemas"]


def register_schemas() -> None:
    """Make the schemas known to Hydra: names and types of top-level keys are then checked while composing.

    Also resolvers: ``${better:METRIC,WHEN_LOWER,WHEN_HIGHER}``, ``${started:}`` and ``${stamp:}`` (see
    `canthus.utils.processes`), ``${plus:A,B}``, ``${gpus:}``, the number of GPUs, at least 1, and ``${beside:RUN}``
    (`canthus.zoo.results_folder`).
    """
    from canthus import zoo
    from canthus.utils import processes

    resolvers: dict[str, Callable[..., Any]] = {
        "better": lambda metric, lower, higher: higher if higher_is_better(metric) else lower,
        "started": processes.started,
        "stamp": processes.stamp,
        "plus": lambda a, b: int(a) + int(b),
        "gpus": processes.count_gpus,
        "beside": zoo.results_folder,
    }
    for name, resolver in resolvers.items():
        OmegaConf.register_new_resolver(name, resolver, replace=True)
    store = ConfigStore.instance()
    store.store(name="root_schema", node=schemas.TrainConfig)
    store.store(name="root_schema_eval", node=schemas.EvalConfig)
    store.store(name="root_schema_score", node=schemas.ScoreConfig)
    store.store(name="root_schema_study", node=schemas.StudyConfig)
    store.store(name="root_schema_predict", node=schemas.PredictConfig)
    store.store(name="root_schema_export", node=schemas.ExportConfig)
    store.store(name="root_schema_inspect", node=schemas.InspectConfig)
    store.store(name="root_schema_report", node=schemas.ReportConfig)
    store.store(name="root_schema_benchmark", node=schemas.BenchmarkConfig)
    store.store(name="root_schema_claims", node=schemas.ClaimsConfig)


def check(cfg: DictConfig, schema: type = TrainConfig) -> None:
    """Refuse what composing lets pass: unknown top-level keys (also by ``+``) and arguments that nothing takes.

    Args:
        cfg: the composed config.
        schema: dataclass of its top-level keys.

    Raises:
        ConfigError: naming the key, its place and the nearest known name.
    """
    _check_keys(cfg, schema, "")
    _check_ranges(cfg)
    if schema is TrainConfig:
        _check_epochs(cfg.get("trainer"))
        _check_steps(cfg)
    nodes = list(nodes_of(cfg))
    missing = sorted(place for place, node in nodes if node is not None and node._is_missing())
    if missing:
        raise ConfigError("needed but not given: " + ", ".join(f"{key}=..." for key in missing))
    for group in ("callbacks", "logger"):
        entries = dict(cfg.get(group) or {})
        working = {str(name) for name, node in entries.items() if _is_target(node)}
        for name in map(str, entries):
            if entries[name] is not None and name not in working:
                raise ConfigError(f"{group}.{name} has no _target_, so it would do nothing: {suggest(name, working)}")
    for place, node in nodes:
        if _is_target(node):
            _check_arguments(place, node)


def _check_ranges(cfg: DictConfig) -> None:
    """Numbers that several commands have, and those of Lightning's that it takes as they are."""
    seed, threshold = cfg.get("seed"), cfg.get("threshold")
    if isinstance(seed, int) and not 0 <= seed < 1 << 32:
        raise ConfigError(f"seed={seed}: a whole number from 0 to {(1 << 32) - 1}")
    if threshold is not None and not 0 < threshold < float("inf"):
        raise ConfigError(f"threshold={threshold}: percent of the normaliser, above 0 (8.0, not 0.08)")
    trainer = cfg.get("trainer")
    for key in ("accumulate_grad_batches", "check_val_every_n_epoch", "log_every_n_steps"):
        value = trainer.get(key) if isinstance(trainer, DictConfig) else None
        if isinstance(value, int) and value < 1:
            raise ConfigError(f"trainer.{key}={value}: at least 1")


def _check_steps(cfg: DictConfig) -> None:
    steps = cfg.get("steps")
    if steps and not (isinstance(steps, DictConfig) and all(isinstance(step, DictConfig) for step in steps.values())):
        raise ConfigError(f"steps={steps}: a dictionary of runs, each with its folder; such runs come with experiments")
    if cfg.get("step") and not steps:
        raise ConfigError(f"step={cfg.step}: this run has no steps; leave it out")


def _check_epochs(trainer: Any) -> None:
    epochs = trainer.get("max_epochs") if isinstance(trainer, DictConfig) else None
    if epochs is None or (isinstance(epochs, int) and epochs < 1):
        raise ConfigError(
            f"trainer.max_epochs={'null' if epochs is None else epochs}: a training has at least 1 epoch, which its "
            "stages are divided over; trainer.max_steps may end it earlier"
        )


def _check_keys(node: DictConfig, schema: type, place: str) -> None:
    known: dict[str, Any] = {field.name: field.type for field in fields(schema)}
    for key in map(str, node):
        if key not in known:
            raise ConfigError(f"unknown key '{place}{key}': {suggest(key, known)}")
        if is_dataclass(known[key]):
            _check_keys(node[key], known[key], f"{place}{key}.")


def _is_target(node: Any) -> bool:
    return isinstance(node, DictConfig) and not node._is_none() and "_target_" in list(node.keys())


def _check_arguments(place: str, node: DictConfig) -> None:
    accepted, required = accepted_arguments(place, node)
    given = {
        str(key) for key in node if str(key) not in ("_target_", "_partial_", "_convert_", "_recursive_", "_args_")
    }
    if accepted is not None:
        for key in sorted(given - accepted):
            raise ConfigError(
                f"unknown key '{place}.{key}': {node._target_} has no such argument; {suggest(key, accepted)}"
            )
    parameters = _signature(node)
    for key in sorted(given & set(parameters)):
        wanted = _wanted_kind(node._get_node(key), parameters[key].annotation)
        if wanted:
            given_value = "null" if node[key] is None else node._get_node(key)
            raise ConfigError(f"{place}.{key}={given_value}: it has to be {wanted}")
    if not node.get("_partial_") and not node.get("_args_"):
        absent = sorted(required - given)
        if absent:
            raise ConfigError(f"{place} ({node._target_}) also needs: {', '.join(absent)}")


KINDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    Path: "text",
    list: "a list, as in [a,b]",
    dict: "a dictionary, as in {a: 1}",
}


def _wanted_kind(node: Any, annotation: Any) -> str | None:
    """What a value should be, if its parameter takes plain values, lists and dictionaries only and it is none."""
    kinds = {_kind(part) for part in _parts(annotation)}
    optional = type(None) in kinds
    kinds -= {type(None)}
    if not kinds or not kinds <= KINDS.keys() or node is None or node._is_interpolation():
        return None
    if optional and node._is_none():
        return None
    given = _kind(type(node._value())) if isinstance(node, ValueNode) else _kind(type(node))
    if given in kinds or (given is int and float in kinds) or (given is str and Path in kinds):
        return None
    if kinds <= {str, Path} and not node._is_none():
        return "text, so put it in two pairs of quotes: \"'...'\""
    wanted = kinds - {int} if float in kinds else kinds
    return " or ".join(dict.fromkeys(KINDS[kind] for kind in KINDS if kind in wanted))


def _parts(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _kind(annotation: Any) -> Any:
    """The plain type that stands for a type in configs: dict for every mapping, list for every sequence."""
    plain = get_origin(annotation) or annotation
    if plain in (Sequence, list, tuple, ListConfig):
        return list
    return dict if plain in (Mapping, dict, DictConfig) else plain


def _signature(node: DictConfig) -> dict[str, inspect.Parameter]:
    """Parameters of a target; empty where there is no telling."""
    from hydra.utils import get_method

    if node._target_ == "canthus.data.face_data":
        from canthus.data import data_options

        reader, module = data_options(node.reader)
        return {**reader, **module}
    try:
        return parameters_of(get_method(node._target_))
    except (ImportError, AttributeError, ValueError, TypeError):
        return {}


def accepted_arguments(place: str, node: DictConfig) -> tuple[set[str] | None, set[str]]:
    """Names that a target accepts (None for any) and names that it needs."""
    from hydra.utils import get_method

    target = node._target_
    if target == "canthus.data.face_data":
        from canthus.data import data_options

        reader, module = data_options(node.reader)
        both = [*reader.items(), *module.items()]
        needed = {name for name, parameter in both if parameter.default is inspect.Parameter.empty}
        return {"reader", *reader, *module}, needed
    try:
        parameters = parameters_of(get_method(target))
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{place}._target_={target} cannot be imported: {_first_line(error)}") from error
    except TypeError:  # a builtin without a signature
        return None, set()
    named = {n: p for n, p in parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    needed = {name for name, parameter in named.items() if parameter.default is inspect.Parameter.empty}
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return None, needed
    return set(named), needed - _given_by_the_caller(place)


def _first_line(error: Exception) -> str:
    """What Hydra says about an import, whose further lines repeat it."""
    return str(error).splitlines()[0].rstrip(":") if str(error) else type(error).__name__


def _given_by_the_caller(place: str) -> set[str]:
    """Arguments that canthus adds while building."""
    return {"input"} if place == "data" else set()
