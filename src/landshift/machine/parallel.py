"""One job for many parts of a raster, on all cores, its results in order."""

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

_MOST = 16  # threads; more only hold more memory: one at a time hands blocks to GDAL


def threads() -> int:
    """How many threads work at once."""
    return min(os.cpu_count() or 1, _MOST)


@contextmanager
def in_order(
    tasks: Sequence[Task],
    tools: Callable[[], AbstractContextManager[Tool]],
    job: Callable[[Tool, Task], Result],
) -> Iterator[Iterator[Result]]:
    """Do a job for each task in threads; GDAL and numpy work outside Python's lock.

    What a thread takes up, results and errors come as if one thread had done them all, one by
    one. Threads run ahead by few tasks only, so that few results wait.

    Args:
        tasks: What is to be done.
        tools: Opens what a thread needs for itself (GDAL's datasets are for one thread), and
            closes it in the same thread.
        job: What is done with the tools and a task.

    Yields:
        The result of each task, in the order of the tasks, as long as the context is open.
    """
    results = _results(tasks, tools, job)
    try:
        yield results
    finally:
        results.close()  # an error outside must end the threads too


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
        number: int | None = 0  # what can't be opened fails the first
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
