"""Errors that tell a user what to mend: their message is one line that names the value, the place and the remedy."""

import difflib
from collections.abc import Collection, Iterable

__all__ = ["ConfigError", "DataError", "RunError"]


class ConfigError(ValueError):
    """A configuration that cannot work; the message names the key, the value and the remedy."""


class DataError(ValueError):
    """A data set or file that cannot be used as it is; the message names the file, the place and the remedy."""


class RunError(RuntimeError):
    """A run that something outside of it has stopped; the message says how to go on."""


def check_choice(name: str, value: str, choices: Collection[str], error: type[ValueError] = ValueError) -> None:
    """Refuse a value that is none of the choices.

    Args:
        name: of the setting, for the message.
        value: of it.
        choices: what it may be.
        error: what is raised.

    Raises:
        ValueError: ``"NAME is 'value'; one of a, b"``, or the ``error`` that is given.
    """
    if value not in choices:
        raise error(f"{name} is {value!r}; one of {', '.join(choices)}")


def suggest(name: str, known: Iterable[str]) -> str:
    """``"did you mean 'seed'?"``, or the list of what there is."""
    known = sorted(set(known))
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(repr(word) for word in close)}?"
    return f"there are: {', '.join(known) or 'none'}"
