import os
import subprocess
import sys

import numpy as np
import pytest
import rasterio
import torch
from rasterio._err import CPLE_OutOfMemoryError
from rasterio.errors import RasterioIOError
from rasterio.windows import Window

import commands
from landshift.errors import (
    LandshiftError,
    OutOfMemoryError,
    is_out_of_memory,
    listed,
    reason_of,
    refuse_out_of_memory,
)


def test_the_reason_is_the_first_line_or_the_kind_of_error():
    assert reason_of(ValueError("no room\non the disk")) == "no room"
    assert reason_of(MemoryError()) == "MemoryError"
    assert reason_of(AssertionError("\nlater")) == "AssertionError"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(), np._core._exceptions._ArrayMemoryError((1 << 40,), np.dtype("f8")),
        RuntimeError("std::bad_alloc"), RuntimeError("bad allocation"),
        RuntimeError("Exception from src/inference: Out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        OSError(12, "Cannot allocate memory"), OutOfMemoryError("memory"),
        CPLE_OutOfMemoryError(2, 2, "Cannot allocate 3000000 bytes"),
    ],
)  # fmt: skip
def test_memory_that_ran_out_is_told_by_kind_word_or_cause(error):
    assert is_out_of_memory(error)
    outer = RasterioIOError("Read failed.")
    outer.__cause__ = error
    assert is_out_of_memory(outer)
    with pytest.raises(OutOfMemoryError, match=r"got none left while reading a\.tif"):
        refuse_out_of_memory(outer, " while reading a.tif")


def test_other_errors_are_not_for_want_of_memory():
    for error in (ValueError("memorable"), RasterioIOError("TIFFReadEncodedTile() failed."), None):
        assert not is_out_of_memory(error)
    refuse_out_of_memory(ValueError("no"))


LIMITED = """
import resource
from landshift import errors, raster
from landshift.grid import Window
with raster.open_raster({image!r}) as source:
    now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + (150 << 20), now + (150 << 20)))
    try:
        raster.read(source, Window(0, 0, 8, 8))
    except errors.OutOfMemoryError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a limit of Linux")
def test_a_block_larger_than_the_memory_blames_no_file(tmp_path):
    image = tmp_path / "one_block.tif"
    with rasterio.open(
        image, "w", driver="GTiff", height=16_000, width=16_000, count=1, dtype="uint8",
        crs="EPSG:32618", transform=rasterio.Affine(30, 0, 500_000, 0, -30, 4_000_000),
        compress="deflate", tiled=True, blockxsize=16_000, blockysize=16_000,
    ) as target:  # fmt: skip
        target.write(np.ones((1, 1, 1), np.uint8), window=Window(0, 0, 1, 1))
    found = subprocess.run(
        [sys.executable, "-c", LIMITED.format(image=str(image))], capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert found.stdout.startswith("There must be memory enough, got none left while reading ")
    assert (found.stdout.count("\n"), "whole raster file" in found.stdout) == (1, False)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("std::bad_alloc\nat infer.cpp")])
def test_the_command_line_names_memory_in_one_line(error, monkeypatch):
    def fail(_):
        raise error

    monkeypatch.setattr("landshift.raster.info", fail)
    ended = commands.run("patches", "map.tif", "-o", "table.csv")
    assert ended.exit_code == 2
    assert ended.stderr.startswith("Error: There must be memory enough")
    assert ended.stderr.count("\n") == 1
    kept = LandshiftError("A step must fit the memory.")
    kept.__cause__ = error
    error = kept
    ended = commands.run("patches", "map.tif", "-o", "table.csv")
    assert (ended.exit_code, ended.stderr) == (2, "Error: A step must fit the memory.\n")


@pytest.mark.parametrize(
    ("number", "text"), [(1, "1"), (2, "1 and 2"), (5, "1, 2, 3, 4 and 5"),
                         (7, "1, 2, 3, 4 and 3 more")],
)  # fmt: skip
def test_many_names_are_cut_short(number, text):
    assert listed([str(n) for n in range(1, number + 1)]) == text
