"""The words of a command line, as people type them, in Hydra's grammar of overrides.

The grammar takes ``~``, ``=``, brackets, quotes and letters outside ASCII in a value for something else than text, and
``2026_12_01`` for a number. Kept free of torch.
"""

import os
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from canthus.commands import schemas as config_schemas
from canthus.utils.config import quoted
from canthus.utils.errors import ConfigError
from canthus.utils.old_names import renamed_word

__all__ = ["readable"]

TEXTS = ("paths.log_dir", "paths.cache", "data.root", "data.cache", "data.name", "hydra.run.dir", "hydra.sweep.dir")
"""Keys that take text, besides those that the schemas say so of."""
SWITCHES = ("-m", "--multirun", "-r", "--run")
"""Options after which an override may stand; after others, a word without = belongs to them."""
HOME = re.compile(r"(?<=[\[,])~(?=/)")
"""Someone's home inside a list, where the shell leaves it."""


def readable(words: list[str]) -> list[str]:
    """Quote what Hydra would misunderstand, expand ``~/`` that shells leave in ``key=~/x``, bring old names up to date.

    Args:
        words: after the command.

    Returns:
        As many words.

    Raises:
        ConfigError: a word that is no ``key=value``, a text that is empty, or a list or dictionary that cannot be read.
    """
    several = bool({"-m", "--multirun"} & set(words))
    texts = _text_keys()
    after = ["", *words]
    return [
        word if word.startswith("-") or _belongs(word, before) else _readable(renamed_word(word), texts, several)
        for before, word in zip(after, words, strict=False)
    ]


def _belongs(word: str, before: str) -> bool:
    if before in ("--config-dir", "-cd"):
        return True
    return before.startswith("-") and "=" not in before + word and before not in SWITCHES


def _text_keys() -> set[str]:
    """Top-level keys that every command that has them takes as text."""
    schemas = [getattr(config_schemas, name) for name in config_schemas.__all__ if name != "VideoConfig"]
    kinds: dict[str, set[Any]] = {}
    for field in (field for schema in schemas for field in fields(schema)):
        kinds.setdefault(field.name, set()).add(field.type)
    return {name for name, types in kinds.items() if types <= {str, str | None}} | set(TEXTS)


def _readable(word: str, texts: set[str], several: bool) -> str:
    key, equals, value = word.partition("=")
    if not equals:
        if _parsed(word) is None:
            raise ConfigError(f"{word!r} is no key=value: to set something, write key=value without blanks around =")
        return word
    if not value.strip("'\" ") and key.lstrip("+") in texts:  # the folder where the user is, if it were a path
        raise ConfigError(f"{word} is empty: give it a value, or leave it out")
    value = HOME.sub(lambda _: str(Path.home()), os.path.expanduser(value))
    parsed = _parsed(f"{key}={value}")
    if parsed is not None:
        other = value.strip() and isinstance(parsed.value(), (int, float, bool, list, dict))
        return f"{key}={quoted(value)}" if other and key.lstrip("+") in texts else f"{key}={value}"
    pieces = value.split(",") if several and value[0] not in "[{" else [value]
    mended = ",".join(piece if _parsed(f"{key}={piece}") else quoted(piece) for piece in pieces)
    if value[0] in "[{" or _parsed(f"{key}={mended}") is None:
        shown = f"{key}=[{quoted('text')},...]" if value[0] in "[{" else f"key={quoted('text')}"
        raise ConfigError(
            f'{word} cannot be read: quote what holds blanks, brackets, commas, = or quotes, as in "{shown}"'
        )
    return f"{key}={mended}"


def _parsed(word: str) -> Any:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(word)
    except HydraException:
        return None
