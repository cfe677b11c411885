"""The one table of names that were others once, so that saved runs, zoo cards, results and command lines keep working.

Kept free of torch.
"""

from collections.abc import Mapping
from typing import Any

__all__ = ["CONFIG", "METRICS", "PREDICTIONS", "VALUES", "renamed", "renamed_word"]

CONFIG = {
    "data.photo_side": "data.image_side",
    "data.photos_per_person": "data.images_per_person",
}
"""Key of a config -> its name now."""
VALUES = {("data.view", "photo"): "image"}
"""Key of a config and a value of it -> the value now."""
METRICS = {"detection.photographs": "detection.images"}
"""Key of metrics.json -> its name now."""
PREDICTIONS = {"photographs": "images"}
"""Key of landmarks.json -> its name now."""


def renamed(
    content: Mapping[str, Any], names: Mapping[str, str], values: Mapping[tuple[str, str], str] | None = None
) -> dict[str, Any]:
    """What a file holds, with the names of now, in its order. Where both names stand, the one of now counts.

    Args:
        content: nested dictionaries.
        names: dotted place -> dotted place, in the same dictionary.
        values: dotted place (of now) and text -> the text now.
    """
    return _renamed(content, "", names, values or {})


def _renamed(
    content: Mapping[str, Any], place: str, names: Mapping[str, str], values: Mapping[tuple[str, str], str]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in content.items():
        where = f"{place}{key}"
        now = names.get(where, where)
        leaf = key if now == where else now.rpartition(".")[2]
        if leaf != key and leaf in content:
            continue
        if isinstance(value, Mapping):
            value = _renamed(value, f"{now}.", names, values)
        elif isinstance(value, str):
            value = values.get((now, value), value)
        found[leaf] = value
    return found


def renamed_word(word: str) -> str:
    """A word of the command line, ``key=value``, with the names of now."""
    key, equals, value = word.partition("=")
    bare = key.lstrip("+~")
    now = CONFIG.get(bare, bare)
    return f"{key[: len(key) - len(bare)]}{now}{equals}{VALUES.get((now, value), value)}"
