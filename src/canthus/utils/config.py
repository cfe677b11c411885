"""Walking through a config, and words of the command line. Kept free of torch."""

from collections.abc import Iterable, Iterator
from typing import Any

from omegaconf import DictConfig, ListConfig

from canthus.utils.errors import ConfigError

__all__ = ["chosen", "nodes_of", "quoted", "unquoted"]


def chosen(option: str, words: Any, known: Iterable[str]) -> list[str]:
    """Names that an option gives: ``all``, one, or a list; none for null.

    Raises:
        ConfigError: an empty list.
    """
    if words is None:
        return []
    names = list(known) if words == "all" else [words] if isinstance(words, str) else list(words)
    if not names:
        raise ConfigError(f"{option}={words} names none; all, or some of {', '.join(known)}")
    return names


def quoted(text: str) -> str:
    """A text, such as a path, as a string of the grammar of Hydra's overrides."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def unquoted(word: str) -> str:
    """What `quoted` made a string of; any other word is left as it is."""
    if len(word) > 1 and word[0] == word[-1] and word[0] in "'\"":
        return word[1:-1].replace(f"\\{word[0]}", word[0]).replace("\\\\", "\\")
    return word


def nodes_of(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every node with its dotted place. Interpolations are not followed: they need a running job."""
    yield place, node
    if node is None or node._is_missing() or node._is_none() or node._is_interpolation():
        return
    if isinstance(node, DictConfig):
        for key in node.keys():  # noqa: SIM118  # the node itself would leave out missing keys
            yield from nodes_of(node._get_node(key), f"{place}.{key!s}".lstrip("."))
    elif isinstance(node, ListConfig):
        for index in range(len(node)):
            yield from nodes_of(node._get_node(index), f"{place}[{index}]")
