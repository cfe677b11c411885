"""Which arguments a callable takes, where it hands some on to the class that it builds on."""

import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["parameters_of"]


def parameters_of(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Parameters by name. A class whose ``__init__`` ends in ``**settings`` takes those of its bases, too.

    Raises:
        TypeError, ValueError: a builtin without a signature.
    """
    found = dict(inspect.signature(target).parameters)
    if not isinstance(target, type):
        return found
    own = [base for base in target.__mro__ if "__init__" in vars(base)][1:]
    while own and (rest := _rest(found)) is not None:
        del found[rest]
        more = list(inspect.signature(vars(own.pop(0))["__init__"]).parameters.values())[1:]
        found |= {p.name: p for p in more if p.name not in found and p.kind is not p.VAR_POSITIONAL}
    return found


def _rest(parameters: dict[str, inspect.Parameter]) -> str | None:
    """Name of the parameter that hands all other keywords on. ``**kwargs`` of other libraries may go anywhere."""
    return next((name for name, p in parameters.items() if p.kind is p.VAR_KEYWORD and name == "settings"), None)
