"""From the words of a command line to a running job: mistakes are explained before Hydra sees them.

Kept free of torch, so that shell completion is quick.
"""

import functools
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from logging import getLogger
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, Node

from canthus.commands import overriding, sweeps
from canthus.commands.checks import accepted_arguments, register_schemas
from canthus.commands.help import help_text
from canthus.runs import faults, folders, interruptions
from canthus.runs.tuning import tune
from canthus.utils import processes
from canthus.utils.config import unquoted
from canthus.utils.errors import ConfigError, suggest
from canthus.utils.escaping import plain_logs
from canthus.utils.files import conf_path

__all__ = ["added_if_argument", "argument", "launch", "prepared", "trusted"]


FULL_ERROR = "HYDRA_FULL_ERROR"
"""The variable by which Hydra, and canthus, show tracebacks."""
AGAIN = "what was made until then is in {output}: run the same command again for all of it"
WHOLE = "{output} is written whole or not at all: run the same command again"
LEFT = dict.fromkeys(("eval", "score", "study", "predict", "inspect"), AGAIN) | {"report": WHOLE, "export": WHOLE}
"""What is left when something stops a command, by its config."""
LESS_MEMORY = {"predict": "A smaller batch_size needs less", "eval": "A smaller data.batch_size needs less"}

PRINTING = (
    "-c", "--cfg", "-i", "--info", "-h", "--help", "--hydra-help", "--version", "-sc", "--shell-completion", "-p",
    "--package", "--resolve",
)  # fmt: skip
"""Options with which Hydra prints something and runs nothing."""


def argument(key: str) -> str | None:
    """Value of ``key=value`` on the command line, before Hydra reads it; quotes of Hydra's grammar are taken off."""
    value = next((word.split("=", 1)[1] for word in sys.argv[1:] if word.startswith(f"{key}=")), None)
    return value and unquoted(value)


def asks_for_help() -> bool:
    """Whether the command line is about the command, and runs nothing."""
    return bool({"-h", "--help"} & set(sys.argv[1:]))


def trusted() -> bool:
    """Whether the command line says ``trust=true``."""
    return (argument("trust") or "").lower() == "true"


@contextmanager
def prepared() -> Iterator[list[str]]:
    """Around what a command does before `launch`: its errors are explained.

    Yields:
        The words after the command, in Hydra's grammar.
    """
    interruptions.lasting_streams()
    getLogger("hydra.utils").setLevel("CRITICAL")  # it logs what it also raises
    with faults.boundary():
        tune()  # before anything imports torch
        yield overriding.readable(sys.argv[1:])


def launch(
    task: Callable[[DictConfig], Any],
    config_name: str,
    words: Sequence[str] | None = None,
    *,
    check: Callable[[DictConfig], None] | None = None,
) -> None:
    """Run a command: compose, explain what is wrong in one line, or hand over to Hydra.

    Args:
        task: takes the composed config.
        config_name: of the primary config.
        words: after the command; None for those that were typed.
        check: raises ConfigError where nothing may be written, not even Hydra's records. Not of a sweep, whose jobs
            look for themselves.
    """
    import hydra
    from hydra.types import RunMode

    if asks_for_help():
        print(help_text(_program(), config_name, sys.argv[1:]))
        return
    with prepared() as typed, ExitStack() as stack:
        register_schemas()
        given = typed if words is None else overriding.readable([*words])
        composed, cfg = preflight(given, config_name)
        if cfg is not None:
            if check is not None and cfg.hydra.mode != RunMode.MULTIRUN:
                check(cfg)
            folder = stack.enter_context(folders.claimed_by_command(cfg))
            if cfg.hydra.mode == RunMode.MULTIRUN and folder is not None:
                composed += sweeps.overrides(cfg, folder)
                if "sweep" in cfg:
                    stack.enter_context(sweeps.recorded(folder, given))
        setting = stack.enter_context(_hydra_raises())
        run = _explained(task, config_name, setting)
        stack.enter_context(_command_line(composed))
        hydra.main(version_base="1.3", config_path=conf_path(), config_name=config_name)(run)()


@contextmanager
def _command_line(words: Sequence[str]) -> Iterator[None]:
    """The one place that changes ``sys.argv``: ``hydra.main`` takes its words from nowhere else.

    It also is what the record of a run calls its command, and what workers of parallel launchers are told.
    """
    before = sys.argv
    sys.argv = [before[0], *words]
    try:
        yield
    finally:
        sys.argv = before


def _program() -> str:
    """The command as people call it."""
    name = Path(sys.argv[0]).stem
    return f"canthus {'eval' if name == 'evaluate' else name}" if sys.argv[0].endswith(".py") else name


@contextmanager
def _hydra_raises() -> Iterator[str | None]:
    """Let Hydra hand on what happens, its own errors (an output that is a file) too, instead of printing tracebacks.

    Yields:
        What the user has set ``HYDRA_FULL_ERROR`` to.
    """
    before = os.environ.get(FULL_ERROR)
    os.environ[FULL_ERROR] = "1"
    try:
        yield before
    finally:
        _restore(before)


def _restore(setting: str | None) -> None:
    if setting is None:
        os.environ.pop(FULL_ERROR, None)
    else:
        os.environ[FULL_ERROR] = setting


def _explained(task: Callable[[DictConfig], Any], config_name: str, setting: str | None) -> Callable[[DictConfig], Any]:
    """Errors that the user can mend end a single run in one message; a job of a sweep is marked as failed."""

    @functools.wraps(task)
    def run(cfg: DictConfig) -> Any:
        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode

        plain_logs()
        _restore(setting)  # for this process's children, too
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            return sweeps.run_job(task, cfg)
        with faults.boundary(getLogger("canthus").error), _going_on(config_name, cfg):
            return task(cfg)

    return run


def _going_on(config_name: str, cfg: DictConfig) -> AbstractContextManager[None]:
    """What is left and what to do, for commands that do not say it themselves as a training does."""
    words = LEFT.get(config_name)
    if words is None:
        return nullcontext()
    return faults.explained(lambda: words.format(output=cfg.output), LESS_MEMORY.get(config_name, ""))


def preflight(arguments: list[str], config_name: str) -> tuple[list[str], DictConfig | None]:
    """Look at a command line before Hydra does. Options that only print something are left to Hydra.

    Args:
        arguments: words after the command.
        config_name: of the primary config.

    Returns:
        The arguments, with ``++`` before keys that stand in no config but in the signature of their ``_target_``
        (defaults live in signatures, and ``model.width=0.5`` should work), and the config that they compose, with the
        node ``hydra``; None if something is only printed.

    Raises:
        ConfigError: what is wrong, with the nearest right word.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.types import RunMode

    # Hydra has no null choice, but people type it
    arguments = [f"{a[:-4]}none" if a in ("logger=null", "callbacks=null") else a for a in arguments]
    arguments = _with_searched_folder(arguments)
    options = [word.partition("=")[0] for word in arguments if word.startswith("-")]
    if set(options) & set(PRINTING):
        return arguments, None
    for option in sorted(set(options) - {"-m", "--multirun", "-r", "--run"}):
        raise ConfigError(f"{option} is no option here; configs of your own come in by --config-dir DIR")
    choices: list[str] = []
    with initialize_config_dir(conf_path(), version_base="1.3"):
        try:
            singles = {a: first for a in arguments if not a.startswith("-") and (first := _first_choice(a))}
            choices = [s for s in singles.values() if "." not in s.split("=", 1)[0] or s.startswith("hydra.searchpath")]
            base = compose(config_name, choices, return_hydra_config=True)
            added = {a: added_if_argument(single, base) for a, single in singles.items()}
            whole = compose(config_name, list(added.values()), return_hydra_config=True)
            searched = whole.hydra.sweeper.get("params") or {}
            compose(config_name, [*added.values(), *(_first_choice(f"{k}={v}") for k, v in searched.items())])
            needed = ("run", "runs", "predictions", "source", "output")
            absent = [key for key in needed if key in list(whole.keys()) and _is_absent(whole, key)]
            if absent:  # Hydra would fail on its own folder, which is made of them
                raise ConfigError("needed but not given: " + ", ".join(f"{key}=..." for key in absent))
            if {"-m", "--multirun"} & set(arguments):
                whole.hydra.mode = RunMode.MULTIRUN
        except ConfigError:
            raise
        except RecursionError as error:
            raise ConfigError("a config is nested too deeply, or its interpolations lead in a circle") from error
        except Exception as error:  # whatever it is, a word of the command line has led to it
            raise ConfigError(_explain(error, config_name, choices)) from error
        finally:
            GlobalHydra.instance().clear()
    words = [f"++{a}" if added.get(a, "").startswith("+") and not a.startswith("+") else a for a in arguments]
    words.sort(key=lambda word: word not in ("-m", "--multirun"))  # Hydra takes -m between two overrides for an end
    return [*words, *processes.overrides(sweep=whole.hydra.mode == RunMode.MULTIRUN)], whole


def _with_searched_folder(arguments: list[str]) -> list[str]:
    """Turn ``--config-dir DIR`` into the setting that it is short for, which these checks can follow."""
    words = list(arguments)
    for place, word in enumerate(words):
        name, joined, value = word.partition("=")
        if name not in ("--config-dir", "-cd"):
            continue
        end = place + (1 if joined else 2)
        if not joined:
            value = words[place + 1] if place + 1 < len(words) else ""
        if not Path(value).is_dir():
            raise ConfigError(f"{name} {value}: no such folder; it should hold experiment/, model/ or other groups")
        return [*words[:place], f"hydra.searchpath=[file://{Path(value).resolve()}]", *words[end:]]
    return words


def _is_absent(cfg: DictConfig, key: str) -> bool:
    node = cfg._get_node(key)
    return isinstance(node, Node) and node._is_missing()


def added_if_argument(override: str, base: DictConfig) -> str:
    """Prefix ``++``, which may stand twice, if the key is an argument of its node's target, left out in the config."""
    key = override.split("=", 1)[0]
    parent, _, leaf = key.rpartition(".")
    if not parent or key[0] in "+~":
        return override
    node: Any = base
    for part in parent.split("."):
        node = node._get_node(part) if isinstance(node, DictConfig) and part in node else None
    if not isinstance(node, DictConfig) or leaf in list(node.keys()) or "_target_" not in node:
        return override
    accepted, _ = accepted_arguments(parent, node)
    return f"++{override}" if accepted is None or leaf in accepted else override


def _first_choice(override: str) -> str:
    """``a=1,2`` becomes ``a=1``: enough to check names. Empty if only Hydra can tell the choices."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import Glob

    parsed = OverridesParser.create().parse_override(override)
    if not parsed.is_sweep_override():
        return override
    assert parsed.input_line is not None
    if isinstance(parsed.value(), Glob):  # every config of a group: nothing to misspell
        return ""
    discrete = parsed.is_discrete_sweep()
    first = next(iter(parsed.sweep_string_iterator())) if discrete else parsed.value().start  # type: ignore[union-attr]
    return f"{parsed.input_line.split('=', 1)[0]}={first}"


def _explain(error: Exception, config_name: str, choices: list[str]) -> str:
    """Turn Hydra's error into one that names the nearest right word, among those that the chosen configs have."""
    from hydra import compose
    from hydra.errors import HydraException, MissingConfigException

    if isinstance(error, MissingConfigException) and error.options:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        return f"no {group or 'config'} is called '{name}': {suggest(name, error.options)}"
    text = f"{error}\n{error.__cause__}"
    full = re.search(r"full_key: (\S+)", text) or re.search(r"Could not override '([^']+)'", text)
    if full and re.search(r"Key '[^']+' (?:is )?not in|To append to your config", text):
        key = full[1]
        try:
            parent: Any = compose(config_name, choices, return_hydra_config=True)
        except HydraException:  # the unknown key is in one of them
            parent = compose(config_name, return_hydra_config=True)
        for part in key.split(".")[:-1]:
            inside = isinstance(parent, DictConfig) and not parent._is_none() and part in parent
            parent = parent._get_node(part) if inside else None
        known = [str(k) for k in parent] if isinstance(parent, DictConfig) else []
        if isinstance(parent, DictConfig) and "_target_" in parent:
            known += sorted(accepted_arguments(key.rpartition(".")[0], parent)[0] or ())
        leaf = key.rpartition(".")[2]
        if leaf not in known:
            file = re.search(r"In '([^']+)'", text)
            return f"unknown key '{key}'{f' in {file[1]}' if file else ''}: {suggest(leaf, known)}"
    if "Config group override must be" in text:
        groups = [word for word in choices if "." not in word.partition("=")[0]]
        return f"{', '.join(groups)}: a group takes one of its configs, by its name; leave it out for the default"
    lines = [line for part in (error, error.__cause__) if part is not None for line in str(part).splitlines()[:1]]
    return ": ".join(dict.fromkeys(lines)) or type(error).__name__
