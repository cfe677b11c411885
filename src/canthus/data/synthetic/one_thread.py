"""Linear algebra in one thread, so that labels and images are the same to the bit however many threads there are.

A product of matrices divided among threads is added up in another order. Its last bits then differ, and the system of
`canthus.data.synthetic.surface` makes parts of a pixel of them.
"""

import os
from collections.abc import Callable
from functools import cache, wraps
from threading import RLock
from typing import ParamSpec, TypeVar

from threadpoolctl import ThreadpoolController

__all__ = ["one_thread"]

P = ParamSpec("P")
T = TypeVar("T")


class _Turns:
    """Whose turn it is: libraries have one number of threads for a process, and some let one thread set it only."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Nobody's, which holds in a new child, too: the thread that had its turn is not there."""
        self.lock, self.taken = RLock(), False


_turns = _Turns()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_turns.begin)


@cache
def _libraries() -> ThreadpoolController:
    """The numerical libraries that are loaded; looking for them takes a while."""
    return ThreadpoolController()


def one_thread(function: Callable[P, T]) -> Callable[P, T]:
    """Have a function do its linear algebra in one thread.

    Functions may call each other. Threads of the caller take turns, which costs little where Python's lock is kept.
    """

    @wraps(function)
    def limited(*args: P.args, **options: P.kwargs) -> T:
        with _turns.lock:
            if _turns.taken:
                return function(*args, **options)
            _turns.taken = True
            try:
                for library in _libraries().lib_controllers:
                    if hasattr(library, "clear_controlling_thread"):  # 3.8: who set a number first would keep it
                        library.clear_controlling_thread(force=True)
                with _libraries().limit(limits=1, user_api="blas"):
                    return function(*args, **options)
            finally:
                _turns.taken = False

    return limited
