"""How ``resume=`` becomes a command line and Hydra's primary config."""

import os
import shlex
from dataclasses import fields
from pathlib import Path

from hydra.core.config_store import ConfigStore

from canthus import zoo
from canthus.commands.schemas import TrainConfig
from canthus.runs.loading import load_config
from canthus.runs.relocation import relocated
from canthus.runs.resume import plain
from canthus.runs.trust import check_trust, check_writes, own_file, read_plain
from canthus.utils import processes
from canthus.utils.config import quoted, unquoted
from canthus.utils.errors import ConfigError

__all__ = ["register_run", "resumed_arguments"]

BUILT = ("model", "data", "trainer", "callbacks", "logger", "steps")
"""Groups of a run's config in which classes are named."""


def register_run(run: Path, *, trust: bool = False) -> None:
    """Make the saved config of a run Hydra's primary config ``resumed``.

    Args:
        run: its folder.
        trust: go on although it names code from outside canthus, or writes outside of its folder.

    Raises:
        ConfigError: not a run folder, of a run that was stopped before anything was saved, or not to be trusted.
    """
    if zoo.stored_file(run):
        raise ConfigError(f"resume={run}: weights without the state of a training; init_from={run} starts from them")
    overrides = run / ".hydra" / "overrides.yaml"
    if overrides.is_file() and not (run / "config.yaml").is_file():
        given = read_plain(own_file(overrides, run))
        words = shlex.join(map(str, given if isinstance(given, list) else []))
        raise ConfigError(
            f"{run} was stopped before it began, so there is nothing to resume: start it again with "
            f"canthus-train {words} hydra.run.dir={run}"
        )
    saved = load_config(run)
    foreign = sorted(set(map(str, saved)) - {field.name for field in fields(TrainConfig)})
    if foreign:
        raise ConfigError(f"{run / 'config.yaml'} is not what canthus-train saves: it has {foreign[0]!r}")
    content = relocated(plain(saved), run)
    content.pop("allow_changed_data", None)  # it was for that time
    content.pop("trust", None)
    check_trust({group: content.get(group) for group in BUILT}, run, trust=trust)
    check_writes(content, run, trust=trust)
    node = {"defaults": ["root_schema", "_self_", {"hydra": "default"}], **content}
    ConfigStore.instance().store(name="resumed", node=node)


def resumed_arguments(run: str, words: list[str]) -> list[str]:
    """The command line that goes on with a run.

    Args:
        run: what ``resume=`` says.
        words: of the command line.

    Raises:
        ConfigError: words that have no place beside ``resume=``.
    """
    place = os.path.abspath(run)
    for word in words if processes.first() else ():  # Lightning adds words for the processes that it starts
        key, _, value = word.partition("=")
        if key in ("-m", "--multirun"):
            raise ConfigError("resume= goes on with one run; -m sweep.resume=FOLDER goes on with a sweep")
        if key == "resume" and os.path.abspath(unquoted(value)) != place:
            raise ConfigError(f"resume={unquoted(value)}: one run at a time, and resume={run} is given, too")
        if key.lstrip("+") == "hydra.run.dir" and os.path.abspath(unquoted(value)) != place:
            raise ConfigError(f"{word}: a run goes on in its own folder, {run}; copy that, and resume the copy")
    kept = [word for word in words if not word.startswith("resume=")]
    return [*kept, f"resume={quoted(run)}", f"hydra.run.dir={quoted(run)}", "hydra.output_subdir=null"]
