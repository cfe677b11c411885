"""The command line's side of configuration: schemas, checks before anything is built, and errors that help.

A config can run code: every ``_target_`` names a callable. Read a stranger's config before you run it.
Kept free of torch, so that shell completion is quick.
"""

import difflib
import functools
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from logging import getLogger
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, ListConfig, Node

__all__ = ["ConfigError", "check", "conf_path", "launch", "nodes_of", "register_schemas", "suggest"]


class ConfigError(ValueError):
    """A configuration that cannot work; the message names the key, the value and the remedy."""


@dataclass
class TrainConfig:
    """Keys of train.yaml."""

    data: Any = MISSING
    model: Any = MISSING
    callbacks: Any = None
    logger: Any = None
    trainer: Any = MISSING
    paths: Any = MISSING
    task_name: str = MISSING
    tags: list[str] = field(default_factory=list)
    seed: int = 0
    normaliser: str = "inter_ocular"
    threshold: float = 8.0
    test: bool = False
    init_from: str | None = None
    resume: str | None = None


@dataclass
class EvalConfig:
    """Keys of eval.yaml."""

    data: Any = MISSING
    trainer: Any = MISSING
    paths: Any = MISSING
    run: str = MISSING
    checkpoint: str = "best"
    split: str = "auto"
    normaliser: str | None = None
    threshold: float | None = None
    output: str = MISSING
    overlays: int = 24
    flip_average: bool | None = None
    trust: bool = False
    seed: int = 0


@dataclass
class PredictConfig:
    """Keys of predict.yaml."""

    run: str = MISSING
    source: str = MISSING
    output: str = MISSING
    checkpoint: str = "best"
    boxes: str | None = None
    box: str = "whole"
    box_margin: float = 0.0
    batch_size: int = 32
    device: str = "auto"
    overlays: bool = True
    flip_average: bool | None = None
    trust: bool = False


def register_schemas() -> None:
    """Make the schemas known to Hydra: names and types of top-level keys are then checked while composing."""
    store = ConfigStore.instance()
    store.store(name="root_schema", node=TrainConfig)
    store.store(name="root_schema_eval", node=EvalConfig)
    store.store(name="root_schema_predict", node=PredictConfig)


def conf_path() -> str:
    """Folder of the shipped configs: inside an installed package, else beside ``src/`` of a checkout."""
    packaged = Path(__file__).parent / "conf"
    return str(packaged if packaged.is_dir() else Path(__file__).parents[2] / "conf")


def suggest(name: str, known: Iterable[str]) -> str:
    """``"did you mean 'seed'?"``, or the list of what there is."""
    known = sorted(set(known))
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(repr(word) for word in close)}?"
    return f"there are: {', '.join(known) or 'none'}"


def check(cfg: DictConfig, schema: type = TrainConfig) -> None:
    """Refuse what composing lets pass: unknown top-level keys (also by ``+``) and arguments that nothing takes.

    Args:
        cfg: the composed config.
        schema: dataclass of its top-level keys.

    Raises:
        ConfigError: naming the key, its place and the nearest known name.
    """
    known = set(schema.__dataclass_fields__)  # type: ignore[attr-defined]
    for key in map(str, cfg):
        if key not in known:
            raise ConfigError(f"unknown key '{key}': {suggest(key, known)}")
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


def nodes_of(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every node with its dotted place. Interpolations are not followed: they need a running job."""
    yield place, node
    if node is None or node._is_missing() or node._is_none() or node._is_interpolation():
        return
    if isinstance(node, DictConfig):
        for key in map(str, node.keys()):  # the node itself would leave out missing keys
            yield from nodes_of(node._get_node(key), f"{place}.{key}".lstrip("."))
    elif isinstance(node, ListConfig):
        for index in range(len(node)):
            yield from nodes_of(node._get_node(index), f"{place}[{index}]")


def _is_target(node: Any) -> bool:
    return isinstance(node, DictConfig) and not node._is_none() and "_target_" in list(node.keys())


def _check_arguments(place: str, node: DictConfig) -> None:
    accepted, required = _parameters(place, node)
    given = {
        str(key) for key in node if str(key) not in ("_target_", "_partial_", "_convert_", "_recursive_", "_args_")
    }
    if accepted is not None:
        for key in sorted(given - accepted):
            raise ConfigError(
                f"unknown key '{place}.{key}': {node._target_} has no such argument; {suggest(key, accepted)}"
            )
    if not node.get("_partial_") and not node.get("_args_"):
        absent = sorted(required - given)
        if absent:
            raise ConfigError(f"{place} ({node._target_}) also needs: {', '.join(absent)}")


def _parameters(place: str, node: DictConfig) -> tuple[set[str] | None, set[str]]:
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
        parameters = inspect.signature(get_method(target)).parameters
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{place}._target_={target} cannot be imported: {error}") from error
    except TypeError:  # a builtin without a signature
        return None, set()
    named = {n: p for n, p in parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    needed = {name for name, parameter in named.items() if parameter.default is inspect.Parameter.empty}
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return None, needed
    return set(named), needed - _given_by_the_caller(place)


def _given_by_the_caller(place: str) -> set[str]:
    """Arguments that canthus adds while building."""
    return {"input"} if place == "data" else set()


def argument(key: str) -> str | None:
    """Value of ``key=value`` on the command line, before Hydra reads it."""
    return next((word.split("=", 1)[1] for word in sys.argv[1:] if word.startswith(f"{key}=")), None)


def fail(error: Exception) -> NoReturn:
    """End the command with a message and status 2."""
    print(f"canthus: {error}", file=sys.stderr)
    sys.exit(2)


def launch(task: Callable[[DictConfig], Any], config_name: str) -> None:
    """Run a command: compose, explain what is wrong in one line, or hand over to Hydra.

    Args:
        task: takes the composed config.
        config_name: of the primary config.
    """
    import hydra

    register_schemas()
    arguments, problem = _preflight(sys.argv[1:], config_name)
    sys.argv[1:] = arguments
    if problem:
        fail(ConfigError(problem))
    hydra.main(version_base="1.3", config_path=conf_path(), config_name=config_name)(_explained(task))()


def _explained(task: Callable[[DictConfig], Any]) -> Callable[[DictConfig], Any]:
    """Errors that the user can mend end a single run in one message; a sweep needs the exception itself."""

    @functools.wraps(task)
    def run(cfg: DictConfig) -> Any:
        from hydra.core.hydra_config import HydraConfig
        from hydra.errors import InstantiationException
        from hydra.types import RunMode

        from canthus.data import DataError

        try:
            return task(cfg)
        except (ConfigError, DataError, InstantiationException) as error:
            reason = error.__cause__ if isinstance(error, InstantiationException) else error
            if not isinstance(reason, ValueError):  # not a wrong setting but a fault: show where
                raise
            getLogger("canthus").error("%s", reason)
            if HydraConfig.get().mode == RunMode.MULTIRUN or "HYDRA_FULL_ERROR" in os.environ:
                raise
            sys.exit(2)

    return run


def _preflight(arguments: list[str], config_name: str) -> tuple[list[str], str | None]:
    """Look at a command line before Hydra does. Options of Hydra itself are left to Hydra.

    Returns:
        The arguments, with a ``+`` before keys that stand in no config but in the signature of their ``_target_``
        (defaults live in signatures, and ``model.width=0.5`` should work), and what is wrong, or None.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException

    # Hydra has no null choice, but people type it
    arguments = [f"{a[:-4]}none" if a in ("logger=null", "callbacks=null") else a for a in arguments]
    if any(argument.startswith("-") and argument not in ("-m", "--multirun") for argument in arguments):
        return arguments, None
    with initialize_config_dir(conf_path(), version_base="1.3"):
        try:
            singles = {a: _first_choice(a) for a in arguments if not a.startswith("-")}
            choices = [s for s in singles.values() if "." not in s.split("=", 1)[0] or s.startswith("hydra.searchpath")]
            base = compose(config_name, choices, return_hydra_config=True)
            added = {a: _add_if_argument(single, base) for a, single in singles.items()}
            whole = compose(config_name, list(added.values()), return_hydra_config=True)
            absent = [
                key for key in ("run", "source", "output") if key in list(whole.keys()) and _is_absent(whole, key)
            ]
            if absent:  # Hydra would fail on its own folder, which is made of them
                return arguments, "needed but not given: " + ", ".join(f"{key}=..." for key in absent)
        except (HydraException, ValueError) as error:
            return arguments, _explain(error, config_name)
        finally:
            GlobalHydra.instance().clear()
    return [f"+{a}" if added.get(a, "").startswith("+") and not a.startswith("+") else a for a in arguments], None


def _is_absent(cfg: DictConfig, key: str) -> bool:
    node = cfg._get_node(key)
    return isinstance(node, Node) and node._is_missing()


def _add_if_argument(override: str, base: DictConfig) -> str:
    """Prefix ``+`` if the key is an argument of its node's target that the config leaves at its default."""
    key = override.split("=", 1)[0]
    parent, _, leaf = key.rpartition(".")
    if not parent or key[0] in "+~":
        return override
    node: Any = base
    for part in parent.split("."):
        node = node._get_node(part) if isinstance(node, DictConfig) and part in node else None
    if not isinstance(node, DictConfig) or leaf in list(node.keys()) or "_target_" not in node:
        return override
    accepted, _ = _parameters(parent, node)
    return f"+{override}" if accepted is None or leaf in accepted else override


def _first_choice(override: str) -> str:
    """``a=1,2`` becomes ``a=1``: enough to check names."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_override(override)
    if not parsed.is_sweep_override():
        return override
    assert parsed.input_line is not None
    return f"{parsed.input_line.split('=', 1)[0]}={next(iter(parsed.sweep_string_iterator()))}"


def _explain(error: Exception, config_name: str) -> str:
    """Turn Hydra's error into one that names the nearest right word."""
    from hydra import compose
    from hydra.errors import MissingConfigException

    if isinstance(error, MissingConfigException) and error.options:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        return f"no {group or 'config'} is called '{name}': {suggest(name, error.options)}"
    text = f"{error}\n{error.__cause__}"
    full = re.search(r"full_key: (\S+)", text) or re.search(r"Could not override '([^']+)'", text)
    if full and re.search(r"Key '[^']+' (?:is )?not in|To append to your config", text):
        key = full[1]
        parent: Any = compose(config_name, return_hydra_config=True)
        for part in key.split(".")[:-1]:
            parent = parent._get_node(part) if isinstance(parent, DictConfig) else None
        known = [str(k) for k in parent] if isinstance(parent, DictConfig) else []
        if isinstance(parent, DictConfig) and "_target_" in parent:
            known += sorted(_parameters(key.rpartition(".")[0], parent)[0] or ())
        leaf = key.rpartition(".")[2]
        if leaf not in known:
            file = re.search(r"In '([^']+)'", text)
            return f"unknown key '{key}'{f' in {file[1]}' if file else ''}: {suggest(leaf, known)}"
    return str(error)
