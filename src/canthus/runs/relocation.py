"""A run folder that was copied or moved: its config, as if it had been made where it is now. Kept free of torch."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from canthus.runs.trust import own_file, read_plain
from canthus.utils.errors import ConfigError

__all__ = ["relocated"]


def relocated(config: Mapping[str, Any], run: Path) -> dict[str, Any]:
    """Move every path below the folder where a run was made to the folder where it is now.

    Whole values are looked at, never their text in a file, whatever letters the paths have. Folders of steps that lie
    beside the run are followed if they moved along with it; all other paths stay.

    Args:
        config: of the run, a plain container with ``paths.output_dir``.
        run: its folder now.

    Raises:
        ConfigError: the config names no folder of the run.
    """
    paths, now = config.get("paths"), os.path.abspath(run)
    before = paths.get("output_dir") if isinstance(paths, Mapping) else None
    if not isinstance(before, str):
        raise ConfigError(f"{run / 'config.yaml'} is not what canthus-train saves: it has no paths.output_dir")
    moves = dict.fromkeys(_spellings(before, run), now)
    for folder in _step_folders(config):
        if moved := _beside(folder, before, run):
            moves[folder] = moved
    patterns = [
        (re.compile(rf"(^|://){re.escape(old.rstrip('/'))}(?=/|$)"), new)
        for old, new in sorted(moves.items(), key=lambda move: -len(move[0]))
        if old.rstrip("/")
    ]
    moved = _moved(dict(config), patterns)
    assert isinstance(moved, dict)
    return moved


def _moved(value: Any, patterns: list[tuple[re.Pattern[str], str]]) -> Any:
    if isinstance(value, Mapping):
        return {key: _moved(item, patterns) for key, item in value.items()}
    if isinstance(value, list):
        return [_moved(item, patterns) for item in value]
    if isinstance(value, str):
        for pattern, new in patterns:
            if pattern.search(value):
                return pattern.sub(lambda found, new=new: found[1] + new, value, count=1)  # type: ignore[misc]
    return value


def _spellings(before: str, run: Path) -> Iterator[str]:
    """How values of a config may name the folder that the run was made in."""
    yield before
    yield os.path.realpath(before)  # if it was reached by a link
    start = _working_folder(run)
    if start is None:
        return
    yield os.path.normpath(os.path.join(start, before))
    relative = os.path.relpath(os.path.join(start, before), start)
    if os.sep in relative:  # a single word could be anything
        yield relative


def _working_folder(run: Path) -> str | None:
    """Where the command was given that made the run, as Hydra has kept it."""
    try:
        folder = read_plain(own_file(run / ".hydra" / "hydra.yaml", run))["hydra"]["runtime"]["cwd"]
    except (ConfigError, LookupError, TypeError):
        return None
    return folder if isinstance(folder, str) and os.path.isabs(folder) else None


def _step_folders(config: Mapping[str, Any]) -> Iterator[str]:
    steps = config.get("steps")
    for step in steps.values() if isinstance(steps, Mapping) else ():
        folder = step.get("folder") if isinstance(step, Mapping) else None
        if isinstance(folder, str) and folder:
            yield folder


def _beside(folder: str, before: str, run: Path) -> str | None:
    """Where a step's folder is now, if it is gone and lies in the same place as seen from the run."""
    if Path(folder).exists():
        return None
    start = _working_folder(run) or os.curdir
    way = os.path.relpath(os.path.join(start, folder), os.path.join(start, before))
    moved = os.path.normpath(os.path.join(os.path.abspath(run), way))
    return moved if Path(moved, "config.yaml").is_file() else None
