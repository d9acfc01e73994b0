import os
import threading
import time
from contextlib import contextmanager

import pytest

from landshift.machine import parallel


@contextmanager
def nothing():
    yield None


@pytest.fixture(autouse=True)
def _four_cores(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)


def test_results_come_in_the_order_of_the_tasks():
    def job(_, k):
        time.sleep(0.002 * (k % 3))
        return k * k

    with parallel.in_order(range(50), nothing, job) as results:
        assert list(results) == [k * k for k in range(50)]
    with parallel.in_order([], nothing, job) as results:
        assert list(results) == []


def test_each_thread_has_tools_of_its_own_and_closes_them():
    opened, closed = [], []

    @contextmanager
    def tools():
        me = threading.get_ident()
        opened.append(me)
        yield me
        closed.append(threading.get_ident())

    with parallel.in_order(range(40), tools, lambda me, _: me == threading.get_ident()) as own:
        assert all(own)
    assert sorted(opened) == sorted(closed)
    assert len(set(opened)) == len(opened) <= 4


def test_few_results_wait_for_a_slow_reader():
    done = []
    with parallel.in_order(range(100), nothing, lambda _, k: done.append(k)) as results:
        next(results)
        time.sleep(0.05)
        assert len(done) <= 1 + 2 * 4
    assert len(done) < 100  # leaving ends the threads


def test_the_error_of_the_first_failed_task_is_raised():
    def job(_, k):
        if k >= 7:
            time.sleep(0.02 if k == 7 else 0)
            raise ValueError(f"task {k}")
        return k

    result = []
    with pytest.raises(ValueError, match="task 7"):  # noqa: SIM117
        with parallel.in_order(range(20), nothing, job) as results:
            for k in results:
                result.append(k)
    assert result == list(range(7))


def test_errors_while_opening_tools_are_raised():
    @contextmanager
    def broken():
        raise OSError("no such tool")
        yield

    others = threading.active_count()
    with (
        pytest.raises(OSError, match="no such tool"),
        parallel.in_order(range(9), broken, lambda *_: None) as results,
    ):
        list(results)
    assert threading.active_count() <= others
