"""Work that is done in a thread of its own while what is done with it goes on here."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

__all__ = ["Behind", "ahead"]

T = TypeVar("T")
R = TypeVar("R")


def ahead(work: Callable[[T], R], items: Iterable[T], count: int) -> Generator[R, None, None]:
    """Results of the work on every item, in order; up to ``count`` of them are made before they are asked for.

    An exception is raised here, in the place of its result.

    Args:
        work: done in one thread, one item after the other.
        items: taken here, as results are.
        count: at least 1.
    """
    with ThreadPoolExecutor(1) as thread:
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(thread.submit(work, item))
                if len(waiting) > count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            thread.shutdown(cancel_futures=True)


class Behind(Generic[T]):
    """Work that nobody waits for, done in one thread in the order in which it is given.

    Use it in a ``with`` block. However that ends, what was given is done first; not what follows a piece that failed.

    Args:
        count: pieces of work that may wait; more hold up whoever gives them.
        done: is told what a piece is about, and its exception or None, in the order of the pieces and in the caller's
            thread. What it raises ends the block.
    """

    def __init__(self, count: int, done: Callable[[T, BaseException | None], None]) -> None:
        self._count, self._done, self._failed = count, done, False
        self._thread = ThreadPoolExecutor(1)
        self._waiting: deque[tuple[T, Future[object]]] = deque()

    def give(self, about: T, work: Callable[[], object]) -> None:
        """Have a piece of work done."""
        self._waiting.append((about, self._thread.submit(work)))
        while len(self._waiting) > self._count or (self._waiting and self._waiting[0][1].done()):
            self._take()

    def _take(self) -> None:
        about, future = self._waiting.popleft()
        error = future.exception()
        self._failed = True
        self._done(about, error)
        self._failed = False

    def __enter__(self) -> "Behind[T]":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            while self._waiting and not self._failed:
                self._take()
        finally:
            self._thread.shutdown(cancel_futures=True)
