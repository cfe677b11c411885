"""Errors that tell a user what to mend: their message is one line that names the value, the place and the remedy."""

import difflib
from collections.abc import Iterable

__all__ = ["ConfigError", "DataError", "RunError"]


class ConfigError(ValueError):
    """A configuration that cannot work; the message names the key, the value and the remedy."""


class DataError(ValueError):
    """A data set or file that cannot be used as it is; the message names the file, the place and the remedy."""


class RunError(RuntimeError):
    """A run that something outside of it has stopped; the message says how to go on."""


def suggest(name: str, known: Iterable[str]) -> str:
    """``"did you mean 'seed'?"``, or the list of what there is."""
    known = sorted(set(known))
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(repr(word) for word in close)}?"
    return f"there are: {', '.join(known) or 'none'}"
