"""The loop over blocks: the same results as a plain loop, in order, with progress."""

from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift import raster
from landshift.errors import RasterError
from landshift.machine import progress
from landshift.raster import blockwise
from watching import Steps


@settings(deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 40))
def test_blocks_cover_every_pixel_once(height, width, size):
    seen = np.zeros((height, width), int)
    for window in blockwise.blocks(height, width, size):
        seen[window.slices] += 1
        assert max(window.height, window.width) <= size
    assert (seen == 1).all()


def test_results_are_those_of_a_plain_loop_with_a_halo(write_raster):
    values = np.random.default_rng(0).integers(0, 9, (1, 50, 70), np.int16)
    path = write_raster("map.tif", values)
    windows = list(blockwise.blocks(50, 70, 16))

    def around(source, block):
        wide, _ = raster.read(source, block.window.grown(1))
        return block.number, int(wide.sum())

    padded = np.pad(values[0], 1)
    opened = partial(raster.open_raster, path)
    with blockwise.results(windows, "summing", opened, around) as results:
        for expected, (window, (block, (number, total))) in enumerate(
            zip(windows, results, strict=True)
        ):
            assert block.number == number == expected
            assert block.window == window
            rows, columns = window.slices
            assert (
                total == padded[rows.start : rows.stop + 2, columns.start : columns.stop + 2].sum()
            )


def test_each_block_is_progress_and_an_error_ends_it(write_raster):
    windows = list(blockwise.blocks(1, 3, 1))
    steps = Steps()
    with progress.watched(steps):
        with blockwise.results(windows, "counting", nullcontext, lambda _, b: b.number) as results:
            assert [number for _, number in results] == [0, 1, 2]
        with (
            pytest.raises(RasterError, match="must exist"),
            blockwise.results(
                windows, "reading", partial(raster.open_raster, "none.tif"), lambda *_: None
            ) as results,
        ):
            list(results)
    assert steps.lines == [
        "counting of 3", "counting 1/3", "counting 2/3", "counting 3/3", "counting over",
        "reading of 3", "reading over",
    ]  # fmt: skip
    with (
        pytest.raises(KeyError),
        progress.watched(steps),
        blockwise.results(windows, "taking", nullcontext, lambda *_: None) as results,
    ):
        next(results)
        raise KeyError
    assert steps.lines[-2:] == ["taking of 3", "taking over"]
