"""Blocks on the workers of a dask cluster: real processes that talk over loopback."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from landshift.classify import classify_pixels
from landshift.errors import ClusterError, ModelError, ParameterError, RasterError
from scenes import BANDS, striped_scene, write

distributed = pytest.importorskip("distributed", reason="the extra 'cluster' isn't installed")
if sys.platform == "win32":
    pytest.skip("workers are killed by signals of POSIX", allow_module_level=True)

OPTIONS = {"padding": 16, "tile_size": 96, "engine": "torch", "precision": "float32"}
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
    "OMP_NUM_THREADS": "1",
}


@contextmanager
def started(*arguments, **options):
    """A process of dask's, until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dask", *arguments], stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, env={**ENVIRONMENT, **options},
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def scheduler():
    return started("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")


def address_of(process):
    """Where a scheduler listens, as it says itself."""
    for line in process.stderr:
        if "Scheduler at:" in line:
            return line.split()[-1]
    raise AssertionError("the scheduler ended")


def worker(address, name, **options):
    return started(
        "worker", address, "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny",
        "--no-dashboard", "--name", name, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def workers():
    """A scheduler's address and three workers of it."""
    with scheduler() as process:
        address = address_of(process)
        with (
            worker(address, "1") as one,
            worker(address, "2") as two,
            worker(address, "3") as three,
        ):
            yield address, [one, two, three]


@pytest.fixture(scope="module")
def tall(tmp_path_factory):
    """A raster of eight blocks, the third of which is all nodata."""
    values, _ = striped_scene(64)
    values = np.tile(values, (1, 128, 1))
    values[:, 2048:3072] = 0
    return write(tmp_path_factory.mktemp("tall") / "tall.tif", values, nodata=0, bands=BANDS)


@pytest.fixture(scope="module")
def undisturbed(tall, saved, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "map.tif"
    return classify_pixels(tall, saved, out, layers=("confidence",), **OPTIONS)


def outputs(out):
    return {
        p.name: p.read_bytes() for p in sorted(out.parent.iterdir()) if p.name.startswith("map")
    }


def test_a_worker_killed_in_the_middle_changes_no_byte(
    workers, tall, saved, undisturbed, tmp_path, caplog
):
    address, (first, *_) = workers

    def kill(progress):
        if progress.done == 1:
            os.kill(first.pid, signal.SIGKILL)

    out = tmp_path / "map.tif"
    classify_pixels(
        tall, saved, out, layers=("confidence",), scheduler=address, workers=3, on_block=kill,
        **OPTIONS,
    )  # fmt: skip
    assert first.wait(10) == -signal.SIGKILL
    assert "was lost; its blocks go to others" in caplog.text
    assert outputs(out) == outputs(undisturbed)
