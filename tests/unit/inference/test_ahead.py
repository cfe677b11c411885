"""Work beside work: in order, bounded, and errors arrive where the results would."""

import threading
from functools import partial

import pytest

from canthus.inference.ahead import Behind, ahead


def test_results_come_in_order_and_not_too_far_ahead() -> None:
    taken: list[int] = []
    results = ahead(lambda number: number * number, (taken.append(n) or n for n in range(20)), 3)
    assert next(results) == 0
    assert taken == [0, 1, 2, 3]
    assert list(results) == [n * n for n in range(1, 20)]
    assert list(ahead(str, [], 3)) == []


def test_an_error_comes_in_the_place_of_its_result() -> None:
    results = ahead(lambda number: 1 // (number - 2), range(9), 2)
    assert [next(results), next(results)] == [-1, -1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert not any(thread.name.startswith("ThreadPool") for thread in threading.enumerate())


def test_what_was_given_is_done_whatever_ends_the_block() -> None:
    done: list[int] = []
    told: list[tuple[str, object]] = []

    def ended() -> None:
        with Behind(9, lambda *what: told.append(what)) as behind:
            for number in range(5):
                behind.give(str(number), partial(done.append, number))
            raise KeyError

    with pytest.raises(KeyError):
        ended()
    assert done == list(range(5))
    assert told == [(str(number), None) for number in range(5)]


def test_nothing_is_done_behind_an_error_that_ends_it() -> None:
    held, done = threading.Event(), []

    def fails() -> None:
        held.wait(9)
        raise OSError("no room")

    def raised(_: str, error: BaseException | None) -> None:
        if error is not None:
            raise error

    def given() -> None:
        with Behind(9, raised) as behind:
            behind.give("a", fails)
            behind.give("b", partial(threading.Event().wait, 1))
            behind.give("c", partial(done.append, 1))
            held.set()

    with pytest.raises(OSError, match="no room"):
        given()
    assert not done


def test_work_that_waits_holds_up_who_gives_it() -> None:
    held, most, given = threading.Event(), 3, 0

    def give_all() -> None:
        nonlocal given
        with Behind(most, lambda *_: None) as behind:
            for _ in range(10):
                behind.give("", partial(held.wait, 9))
                given += 1

    giver = threading.Thread(target=give_all)
    giver.start()
    giver.join(0.3)
    assert given <= most + 1
    held.set()
    giver.join(9)
    assert given == 10
