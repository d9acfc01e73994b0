"""The one loop over the blocks of a raster: on all cores, results in order, progress reported.

Memory is bounded: threads run only a few blocks ahead of the results that were taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TypeVar

from landshift.grid import Window
from landshift.machine import parallel, progress
from landshift.raster import overviews

SIZE = overviews.FILLING
"""Rows and columns of a block, where nothing speaks for another size: written the fastest."""

Tool = TypeVar("Tool")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Block:
    """A block of a raster.

    Attributes:
        number: Its index among the blocks.
        window: Its pixels.
    """

    number: int
    window: Window


def blocks(height: int, width: int, size: int = SIZE) -> Iterator[Window]:
    """Windows of at most size x size pixels that cover a raster once, row by row."""
    for row in range(0, height, size):
        for column in range(0, width, size):
            yield Window(row, column, min(size, height - row), min(size, width - column))


@contextmanager
def results(
    windows: Sequence[Window],
    what: str,
    opened: Callable[[], AbstractContextManager[Tool]],
    job: Callable[[Tool, Block], Result],
) -> Iterator[Iterator[tuple[Block, Result]]]:
    """Run a job for each block in threads; GDAL and numpy release Python's lock.

    Results and errors come in the order of the windows, as from a single thread: what they are
    added up or written to needs no lock, and the same input gives the same bytes. A job that needs
    pixels around its block reads ``block.window.grown(halo)``.

    Args:
        windows: The blocks, as `blocks` gives them.
        what: What is done, in few words, for the progress.
        opened: Opens a thread's own inputs (a GDAL dataset must stay in one thread), and closes
            them in the same thread.
        job: The job, called with the inputs and a block; must not write to what others share.

    Yields:
        Each block and its result, in order, while the context is open.
    """
    tasks = [Block(number, window) for number, window in enumerate(windows)]
    with (
        progress.step(what, len(tasks)) as step,
        parallel.in_order(tasks, opened, job) as done,
    ):

        def taken() -> Iterator[tuple[Block, Result]]:
            for result in zip(tasks, done, strict=True):
                yield result
                step.advance()

        yield taken()
