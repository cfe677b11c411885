"""The same work for many numbers, in parallel threads or processes."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from canthus.data.sampling import as_it_is

__all__ = ["side_by_side"]

T = TypeVar("T")

AHEAD = 4
"""Results a worker that may wait to be taken."""


def side_by_side(work: Callable[[int], T], count: int, workers: int, *, processes: bool) -> Generator[T, None, None]:
    """Results of ``work(0)`` to ``work(count - 1)``, in order.

    Processes are those of a `DataLoader`: one thread each; an exception in one is raised here; they end with the
    iterator, and with this process however it ends. What processes need to start is made by the first call, here.

    Args:
        work: done once for every number; to be pickled where processes are not forked.
        count: of the numbers.
        workers: at most so many at once. One, or a process that may not have any of its own, works here.
        processes: for work that keeps Python's lock; threads otherwise.
    """
    if workers < 2 or count < 2 or multiprocessing.current_process().daemon:
        yield from map(work, range(count))
    elif processes:
        yield work(0)
        results = _started(work, count, min(workers, count - 1))
        try:
            yield from results
        finally:
            results._shutdown_workers()  # type: ignore[attr-defined]  # an error's traceback would keep them alive
    else:
        with ThreadPoolExecutor(workers) as pool:
            ahead: deque[Future[T]] = deque()
            for number in range(count):
                ahead.append(pool.submit(work, number))
                if len(ahead) == AHEAD * workers:  # all results of a large set do not fit into memory
                    yield ahead.popleft().result()
            yield from (future.result() for future in ahead)


class _Numbers(Dataset[T]):
    """What there is to do after the first."""

    def __init__(self, work: Callable[[int], T], count: int) -> None:
        self.work, self.count = work, count

    def __len__(self) -> int:
        return self.count - 1

    def __getitem__(self, number: int) -> T:
        return self.work(number + 1)


def _started(work: Callable[[int], T], count: int, workers: int) -> Iterator[T]:
    """The loader's iterator, its workers running."""
    loader = DataLoader(
        _Numbers(work, count),
        batch_size=None,
        collate_fn=as_it_is,
        num_workers=workers,
        prefetch_factor=AHEAD,
        generator=torch.Generator(),  # the global one belongs to the run
    )
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # OpenCV's threads do not survive a fork, but their pool would wait for them
    try:
        return iter(loader)
    finally:
        cv2.setNumThreads(threads)
