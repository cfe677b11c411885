"""Work side by side: in order, with its errors, and with nothing left running."""

import multiprocessing
import os
import random
import time

import cv2
import pytest
import torch

from canthus.data.parallel import side_by_side
from canthus.utils.errors import DataError


def late(number):
    """The earlier the later; who did it."""
    time.sleep(0.02 * (number % 3 == 1))
    return number, os.getpid(), torch.get_num_threads(), cv2.getNumThreads()


def fourth_fails(number):
    if number == 4:
        raise DataError("the fourth is broken")
    return number


@pytest.mark.parametrize("processes", [False, True])
def test_results_come_in_order_from_several(processes):
    found = list(side_by_side(late, 12, 2, processes=processes))
    assert [number for number, *_ in found] == list(range(12))
    others = {pid for _, pid, *_ in found} - {os.getpid()}
    assert len(others) == (2 if processes else 0)
    if processes:
        assert {threads for _, pid, *both in found if pid in others for threads in both} == {1}


@pytest.mark.parametrize(("count", "workers"), [(5, 1), (1, 4), (0, 4)])
def test_little_work_stays_here(count, workers):
    assert [pid for _, pid, *_ in side_by_side(late, count, workers, processes=True)] == [os.getpid()] * count


@pytest.mark.parametrize("processes", [False, True])
def test_an_error_is_raised_here_and_nobody_stays(processes):
    with pytest.raises(DataError, match="the fourth is broken"):
        list(side_by_side(fourth_fails, 8, 2, processes=processes))
    assert not multiprocessing.active_children()


def test_who_stops_early_leaves_nobody():
    results = side_by_side(late, 1000, 2, processes=True)
    assert [next(results)[0], next(results)[0]] == [0, 1]
    assert len(multiprocessing.active_children()) == 2
    results.close()
    assert not multiprocessing.active_children()


def test_the_runs_own_random_numbers_and_threads_are_left_alone():
    threads, states = cv2.getNumThreads(), [torch.get_rng_state(), random.getstate()]
    list(side_by_side(late, 4, 2, processes=True))
    assert cv2.getNumThreads() == threads
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]


def test_threads_do_not_run_far_ahead():
    """Images that nobody has taken yet would fill the memory."""
    begun = []
    results = side_by_side(lambda number: begun.append(number) or number, 1000, 2, processes=False)
    assert next(results) == 0
    assert len(begun) <= 1 + 4 * 2
    assert list(results) == list(range(1, 1000))
