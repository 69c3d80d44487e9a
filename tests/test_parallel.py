"""Work on several threads: the results in order, errors where they belong, nothing more once nobody asks."""

import multiprocessing
import os
import threading
import time

import pytest
import torch

from drasp.core.budget import Budget, OutOfBudget
from drasp.core.parallel import THREADS_AT_MOST, go_on, in_order, limit_threads, renew_threads, threads
from drasp.core.threads import one_thread


def test_results_come_in_the_order_of_the_items_whichever_is_ready_first():
    def slower_at_first(i: int) -> int:
        time.sleep(0.02 / (i + 1))
        return i * i

    assert list(in_order(slower_at_first, range(20))) == [i * i for i in range(20)]


def test_as_many_are_worked_on_at_once_as_there_are_threads():
    together = threading.Barrier(threads(), timeout=5)
    assert len(list(in_order(lambda _: together.wait(), range(threads())))) == threads()


@pytest.fixture
def shared_cores():
    """A process that is one of several on the same cores."""
    limit_threads(1)
    yield
    limit_threads(THREADS_AT_MOST)


@pytest.mark.usefixtures("shared_cores")
def test_a_process_that_shares_its_cores_works_on_one_piece_at_a_time():
    working, most = [], []

    def piece(i: int) -> int:
        working.append(i)
        time.sleep(0.005)
        most.append(len(working))
        working.remove(i)
        return i

    assert list(in_order(piece, range(6))) == list(range(6))
    assert set(most) == {1}


@pytest.mark.usefixtures("shared_cores")
def test_on_one_core_nothing_is_begun_while_the_caller_works():
    begun = []
    for done, _ in enumerate(in_order(begun.append, range(4)), start=1):
        time.sleep(0.02)
        assert len(begun) == done


def test_an_error_is_raised_where_its_result_would_be():
    results = in_order(lambda i: 1 / (3 - i), range(9))
    assert [next(results) for _ in range(3)] == [1 / 3, 1 / 2, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_what_nobody_asks_for_is_not_begun():
    begun = []
    results = in_order(begun.append, range(100))
    next(results)
    results.close()
    time.sleep(0.05)
    assert len(begun) <= 2 * threads() + 1


def test_a_long_piece_ends_once_nobody_waits_for_it(monkeypatch):
    monkeypatch.setattr("drasp.core.parallel.cores", lambda: 2)  # on one nothing would be begun that nobody waits for
    renew_threads()
    begun, ended = threading.Event(), threading.Event()

    def long(i: int) -> int:
        try:
            begun.set() if i else None
            while i:
                time.sleep(0.01)
                go_on()
        finally:
            ended.set() if i else None
        return i

    results = in_order(long, range(2))
    assert next(results) == 0
    assert begun.wait(5)
    results.close()
    assert ended.wait(5)


def test_a_piece_is_not_waited_for_once_the_budget_is_spent():
    def endless(_: int) -> None:
        while True:
            time.sleep(0.01)
            go_on()

    budget = Budget.of_seconds(0.1)
    with pytest.raises(OutOfBudget):
        list(in_order(endless, range(3), budget))
    assert budget.seconds() < 5


def test_torch_has_as_many_threads_for_each_piece_as_where_it_is_asked_for():
    """Its digits hang on how many it has: a run in a process that did something before ends with the bytes of one that did not."""

    def on_each(_):
        torch.rand(200, 200) @ torch.rand(200, 200)  # torch settles how many at its first work on a thread
        return torch.get_num_threads()

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        list(in_order(on_each, range(9)))
        with one_thread(True):
            assert {*in_order(on_each, range(9))} == {1}
        assert {*in_order(on_each, range(9))} == {3}
        with one_thread(False):
            assert {*in_order(on_each, range(9))} == {3}
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system forks no processes")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own():
    assert list(in_order(abs, range(3))) == [0, 1, 2]
    child = multiprocessing.get_context("fork").Process(target=lambda: list(in_order(abs, range(3))))
    child.start()
    child.join(10)
    code = child.exitcode
    child.kill()
    assert code == 0
