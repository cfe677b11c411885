"""What ``--help`` prints: the groups and keys of a command, with the comments that stand in its configs.

People who install a wheel never see ``conf/``; its comments are the documentation of every key. They are read as text,
so that help needs neither torch nor Hydra.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from canthus.utils.files import conf_path

__all__ = ["help_text"]

INNER = ("hydra", "paths", "debug", "local")
"""Groups that people seldom choose from: named, but without a line for each choice."""
SCHEMAS = re.compile(r"root_schema\w*$")


def help_text(program: str, config_name: str, words: Sequence[str]) -> str:
    """The help of a command.

    Args:
        program: as it was called: ``canthus train``.
        config_name: of the primary config.
        words: rest of the command line. Groups chosen there (``model=mdm``) are shown with their keys instead of the
            default choices; ``--config-dir DIR`` adds that folder's choices.
    """
    folders = [Path(conf_path()), *_own_folders(words)]
    primary = folders[0] / f"{config_name}.yaml"
    chosen = _defaults(primary) | {key: value for key, value in _choices_made(words) if _options(folders, key)}
    lines = [*_head(primary), "", f"{program} [GROUP=CHOICE ...] [KEY=VALUE ...]", ""]
    groups = [group for group in chosen if _options(folders, group)]
    if groups:
        lines += ["GROUP=CHOICE (* is chosen now; GROUP=CHOICE --help shows the keys of another choice):"]
        for group in groups:
            lines += _group(group, _options(folders, group), chosen[group])
        lines += [""]
    lines += [f"KEY=VALUE, from {primary.name}:", *_keys(primary)]
    for group in groups:
        files = [path for path in _with_bases(_options(folders, group), chosen[group]) if group not in INNER]
        if any(_keys(path) for path in files):
            prefix = group if not _is_global(files[-1]) else "KEY"
            lines += ["", f"{prefix}.KEY=VALUE, from {group}={chosen[group]}:".replace("KEY.KEY", "KEY")]
            for path in files:
                lines += _keys(path)
    lines += [
        "",
        "Options: --cfg job (print the composed config), -m (a sweep over a=1,2), --config-dir DIR (your own configs)",
    ]
    return "\n".join(lines)


def _head(path: Path) -> list[str]:
    """The comment that a config begins with."""
    lines: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if "@package" not in line:
            lines.append(line.lstrip("# "))
    return lines


def _is_global(path: Path) -> bool:
    return "@package _global_" in path.read_text(encoding="utf-8").partition("\n")[0]


def _defaults(path: Path) -> dict[str, str]:
    """Group -> default choice, from the list ``defaults``."""
    chosen: dict[str, str] = {}
    for line in _block(path, "defaults"):
        match = re.match(r"\s+- (?:override )?(?:optional )?/?([\w/]+):\s*([\w/.]+)", line)
        if match:
            chosen[match[1]] = match[2]
    return chosen


def _block(path: Path, key: str) -> Iterator[str]:
    """Lines below a top-level key."""
    inside = False
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line[0].isspace():
            inside = line.startswith(f"{key}:")
        elif inside:
            yield line


def _choices_made(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    for word in words:
        key, equals, value = word.partition("=")
        if equals and re.fullmatch(r"[\w/]+", key) and re.fullmatch(r"[\w/.]+", value):
            yield key, value


def _own_folders(words: Sequence[str]) -> list[Path]:
    """Folders that ``--config-dir`` names."""
    found = []
    for place, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option in ("--config-dir", "-cd"):
            value = value if equals else "".join(words[place + 1 : place + 2])
            found += [Path(value).expanduser()] if Path(value).expanduser().is_dir() else []
    return found


def _options(folders: Sequence[Path], group: str) -> dict[str, Path]:
    """Choice -> file; a folder of one's own goes before."""
    return {path.stem: path for folder in folders for path in sorted((folder / group).glob("*.yaml"))}


def _group(group: str, options: dict[str, Path], chosen: str) -> Iterator[str]:
    if group in INNER:
        yield f"  {group}: {' '.join(options)}"
        return
    yield f"  {group}:"
    width = max(map(len, options))
    for name, path in options.items():
        head = _head(path)
        yield f"   {'*' if name == chosen else ' '}{name:{width}}  {head[0] if head else ''}".rstrip()


def _with_bases(options: dict[str, Path], choice: str) -> list[Path]:
    """The files of a choice, the ones that it builds on first."""
    if choice not in options:
        return []
    path, bases = options[choice], []
    inline = re.search(r"^defaults: \[([\w, ]+)\]", path.read_text(encoding="utf-8"), re.MULTILINE)
    names = inline[1].replace(" ", "").split(",") if inline else []
    names += [match[1] for line in _block(path, "defaults") if (match := re.match(r"\s+- (\w+)(?:\s|$)", line))]
    for name in names:
        if name in options and name != choice:
            bases += _with_bases(options, name)
    return [*bases, path]


def _keys(path: Path) -> list[str]:
    """The lines of a config that name keys, with their comments; what only composes is left out."""
    lines, skipped = [], False
    for line in path.read_text(encoding="utf-8").splitlines()[len(_head(path)) :]:
        if line and not line[0].isspace():
            skipped = line.startswith(("defaults:", "_target_:", "# @package"))
        if line.strip() and not skipped and "_target_:" not in line and not SCHEMAS.search(line):
            lines.append(f"  {line}")
    return lines
