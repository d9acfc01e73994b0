"""Windows of a grid, in an order that decodes each file's blocks once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from landshift import raster
from landshift.grid import Window
from landshift.images import reader
from landshift.images.planning import Plan
from landshift.images.reader import ImageReader
from landshift.machine import parallel, progress
from landshift.raster import blockwise

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

Result = TypeVar("Result")

_WINDOW = blockwise.SIZE  # rows and columns that one thread reads at once
_WINDOW_BYTES = 64 << 20
_CACHE = 48 << 20  # bytes for GDAL's blocks where windows follow the blocks
_STRIP = 128  # rows of a window at least


@contextmanager
def results(
    plans: Sequence[Plan],
    box: GeoBox,
    runs: Sequence[Sequence[Window]],
    what: str,
    job: Callable[[Sequence[ImageReader], Window], Result],
) -> Iterator[Iterator[tuple[Window, Result]]]:
    """Do a job at every window, on all cores; each thread opens the files for itself.

    As `blockwise.results`, but a thread goes through a run of windows.

    Args:
        plans: The image of each date.
        box: The grid.
        runs: Runs of windows.
        what: What is done, for the progress.
        job: Called with a reader of each image and a window.

    Yields:
        Each window and its result, in order, while the context is open.

    Raises:
        RasterError: A file can't be read.
    """
    cache = cache_bytes(plans)

    @contextmanager
    def opened() -> Iterator[list[ImageReader]]:
        with ExitStack() as stack:
            yield [stack.enter_context(reader.opened(p, box, cache=cache)) for p in plans]

    def of_run(readers: list[ImageReader], run: Sequence[Window]) -> list[tuple[Window, Result]]:
        return [(window, job(readers, window)) for window in run]

    with (
        progress.step(what, sum(map(len, runs))) as step,
        parallel.in_order(runs, opened, of_run) as done,
    ):

        def taken() -> Iterator[tuple[Window, Result]]:
            for run in done:
                yield from run
                step.advance(len(run))

        yield taken()


def runs_of(plans: Sequence[Plan], box: GeoBox, dtype: np.dtype[Any]) -> list[list[Window]]:
    """Windows of a grid, in runs that one thread goes through.

    Where a file is stored in rows, a run is a whole row of low windows: one thread then decodes
    its strips once, and finds them in GDAL's cache during the run.

    Args:
        plans: The image of each date.
        box: The grid.
        dtype: Pixel type of the values in memory.
    """
    pixel = dtype.itemsize * sum(len(p.names) for p in plans)
    side = _WINDOW
    while side > _STRIP and side * side * pixel > _WINDOW_BYTES:
        side //= 2
    if _stored_in_rows(plans):
        most = raster.GDAL_CACHE // 2 // (parallel.threads() * box.width * pixel)
        rows = min(max(most // _STRIP, 1) * _STRIP, side)
    else:
        rows = side
    runs = [
        [
            Window(row, column, min(rows, box.height - row), min(side, box.width - column))
            for column in range(0, box.width, side)
        ]
        for row in range(0, box.height, rows)
    ]
    return runs if rows != side else [[w] for run in runs for w in run]


def _stored_in_rows(plans: Sequence[Plan]) -> bool:
    """Whether a file wider than a window is stored in strips of whole rows."""
    layers = [layer for p in plans for layer in p.layers]
    return any(_WINDOW < layer.info.width <= layer.info.block[1] for layer in layers)


def cache_bytes(plans: Sequence[Plan]) -> int:
    """Bytes of GDAL's block cache for these images: more where files are stored in strips."""
    return raster.GDAL_CACHE if _stored_in_rows(plans) else _CACHE
