"""The same job for many parts of a raster on all cores, with results in order."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

Tool = TypeVar("Tool")
Task = TypeVar("Task")
Result = TypeVar("Result")

FILTERS = threading.Lock()
"""Held while Python's warning filters, which all threads share, are changed."""

_MOST = 16  # threads; more need more memory without gain: GDAL takes blocks one at a time


def threads() -> int:
    """Number of threads."""
    return min(os.cpu_count() or 1, _MOST)


@contextmanager
def in_order(
    tasks: Sequence[Task],
    tools: Callable[[], AbstractContextManager[Tool]],
    job: Callable[[Tool, Task], Result],
) -> Iterator[Iterator[Result]]:
    """Run a job for each task in threads; GDAL and numpy release Python's lock.

    Results and errors come in the order of the tasks, as from a single thread. Threads run only a
    few tasks ahead, so that few results wait in memory.

    Args:
        tasks: The tasks.
        tools: Opens a thread's own resources (a GDAL dataset must stay in one thread), and closes
            them in the same thread.
        job: The job, called with the resources and a task.

    Yields:
        The result of each task, in the order of the tasks, while the context is open.
    """
    results = _results(tasks, tools, job)
    try:
        yield results
    finally:
        results.close()  # ends the threads after an error outside, too


def _results(
    tasks: Sequence[Task],
    tools: Callable[[], AbstractContextManager[Tool]],
    job: Callable[[Tool, Task], Result],
) -> Generator[Result, None, None]:
    count = min(threads(), len(tasks))
    ahead = 2 * count
    changed = threading.Condition()
    results: dict[int, Result] = {}
    errors: dict[int, BaseException] = {}
    begun = taken = 0
    stop = False

    def next_task() -> int | None:
        nonlocal begun
        with changed:
            changed.wait_for(lambda: stop or begun == len(tasks) or begun < taken + ahead)
            if stop or begun == len(tasks):
                return None
            begun += 1
            return begun - 1

    def work() -> None:
        number: int | None = 0  # an error while opening fails the first task
        try:
            with tools() as tool:
                while (number := next_task()) is not None:
                    result = job(tool, tasks[number])
                    with changed:
                        results[number] = result
                        changed.notify_all()
        except BaseException as error:
            with changed:
                errors[taken if number is None else number] = error
                changed.notify_all()

    with ThreadPoolExecutor(max(count, 1)) as pool:
        for _ in range(count):
            pool.submit(work)
        try:
            for number in range(len(tasks)):
                with changed:
                    changed.wait_for(lambda: number in results or number in errors)  # noqa: B023
                    if number in errors:
                        raise errors[number]
                    result = results.pop(number)
                    taken = number + 1
                    changed.notify_all()
                yield result
        finally:
            with changed:
                stop = True
                changed.notify_all()
