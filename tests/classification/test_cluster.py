"""Blocks on the workers of a dask cluster: real processes that talk over loopback."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import shapely
from pyogrio.raw import write as write_vector

from landshift.classification import classify_pixels, cluster
from landshift.errors import ClusterError, LandshiftError, ModelError, ParameterError, RasterError
from scenes import outputs, pack, spoil, write_tall

distributed = pytest.importorskip("distributed", reason="the extra 'cluster' isn't installed")
if sys.platform == "win32":
    pytest.skip("workers are killed by signals of POSIX", allow_module_level=True)

OPTIONS = {"padding": 16, "tile_size": 96, "engine": "torch", "precision": "float32"}
QUIET = ("--host", "127.0.0.1", "--no-dashboard", "--dashboard-address", "127.0.0.1:0")
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
    "OMP_NUM_THREADS": "1",
}
ENVIRONMENT.pop("LANDSHIFT_OFFLINE")  # a test lets workers read from a URL


@contextmanager
def started(*arguments, before=(), **options):
    """A process of dask's, until the block ends."""
    process = subprocess.Popen(
        [*before, sys.executable, "-m", "dask", *arguments], stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, env={**ENVIRONMENT, **options},
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def scheduler():
    return started("scheduler", "--port", "0", *QUIET)


def address_of(process):
    """Where a scheduler listens, as it says itself."""
    for line in process.stderr:
        if "Scheduler at:" in line:
            return line.split()[-1]
    raise AssertionError("the scheduler ended")


def worker(address, name, **options):
    return started(
        "worker", address, "--nthreads", "1", "--no-nanny", "--name", name, *QUIET, **options
    )


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
    return write_tall(tmp_path_factory.mktemp("tall") / "tall.tif", rows=8192)


@pytest.fixture(scope="module")
def undisturbed(tall, saved, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "map.tif"
    return classify_pixels(tall, saved, out, layers=("confidence",), **OPTIONS)


@pytest.mark.parametrize("greets", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_scheduler_that_stays_silent_is_given_up(tall, saved, tmp_path, greets):
    """One that takes the connection only, or stops (SIGSTOP) as a machine does that hangs."""
    code = "from landshift.cli import main; main()"
    with ExitStack() as stack:
        if greets:
            process = stack.enter_context(scheduler())
            address = address_of(process)
            process.send_signal(signal.SIGSTOP)
        else:
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            address = f"tcp://127.0.0.1:{listening.getsockname()[1]}"
        began = time.monotonic()
        result = subprocess.run(
            [sys.executable, "-c", code, "classify", tall, saved, "-o", tmp_path / "map.tif",
             "--scheduler", address],
            capture_output=True, text=True, timeout=100, check=False,
            env={**ENVIRONMENT, "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "2s"},
        )  # fmt: skip
    assert time.monotonic() - began < 60
    assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
    assert "scheduler with 1 workers must answer, got 'no answer within 2 s' from" in result.stderr


def test_a_scheduler_is_given_half_a_minute():
    assert cluster._answer_limit() == 30


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


def test_parts_masks_cell_sizes_and_urls_go_through_workers_and_leave_a_vrt(
    workers, scene, saved, tmp_path, monkeypatch
):
    monkeypatch.delenv("LANDSHIFT_OFFLINE")
    left, top = 500_000 + 30 * 32, 4_000_000 - 30 * 16
    triangle = shapely.Polygon([(left, top), (left + 6000, top), (left, top - 6000)])
    mask = tmp_path / "mask.gpkg"
    write_vector(
        mask, np.array([shapely.to_wkb(triangle)]), [], [], geometry_type="Polygon",
        crs="EPSG:32618",
    )  # fmt: skip
    options = {
        "polygons": mask, "bounds": (left, top - 4500, left + 6000, top), "cell_size": 60.0,
        "layers": ("confidence",), "engine": "torch", "precision": "float32", "tile_size": 64,
    }  # fmt: skip
    expected = classify_pixels(scene[0], saved, tmp_path / "one" / "map.tif", **options)
    server = [sys.executable, str(Path(__file__).parents[1] / "range_server.py")]
    with subprocess.Popen(
        [*server, str(scene[0].parent)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            url = f"/vsicurl/http://127.0.0.1:{process.stdout.readline().strip()}/composite.tif"
            out = classify_pixels(
                url, saved, tmp_path / "map.vrt", scheduler=workers[0], mosaic="vrt", **options
            )
        finally:
            process.kill()
    for name in ("map", "map_confidence"):
        with (
            rasterio.open(out.with_name(f"{name}.vrt")) as mosaic,
            rasterio.open(expected.with_name(f"{name}.tif")) as whole,
        ):
            assert (mosaic.read() == whole.read()).all()
            assert mosaic.transform == whole.transform
    assert not list(tmp_path.glob(".map.vrt.partial"))


def test_a_block_that_fails_everywhere_is_one_line_and_keeps_the_rest(
    workers, tall, saved, undisturbed, tmp_path
):
    packed, image, out = tmp_path / "packed.tif", tmp_path / "tall.vrt", tmp_path / "map.tif"
    pack(tall, packed)
    rasterio.shutil.copy(packed, image, driver="VRT")
    whole = packed.read_bytes()
    spoil(packed, 0, 90)
    with pytest.raises(RasterError, match=r"must be readable.*\[worker tcp://127"):
        classify_pixels(image, saved, out, scheduler=workers[0], **OPTIONS)
    lines = (tmp_path / ".map.tif.partial" / "ledger.jsonl").read_text().splitlines()
    done = {json.loads(line)["block"] for line in lines[1:]}
    assert 5 not in done
    assert {0, 1, 2} < done
    packed.write_bytes(whole)
    classify_pixels(image, saved, out, scheduler=workers[0], **OPTIONS)
    with rasterio.open(out) as mapped, rasterio.open(undisturbed) as expected:
        assert (mapped.read() == expected.read()).all()


def test_a_worker_that_runs_something_else_is_refused_by_name(workers, tall, saved, tmp_path):
    other = tmp_path / "other" / "landshift"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("__version__ = '0.0.1'\n")
    with (
        distributed.Client(workers[0], set_as_default=False) as client,
        worker(workers[0], "other", PYTHONPATH=str(other.parent)),
    ):
        client.wait_for_workers(len(client.nthreads()) + 1, timeout=60)
        with pytest.raises(
            ClusterError,
            match=r"what is installed here \(landshift .*got landshift 0\.0\.1 ",
        ):
            classify_pixels(tall, saved, tmp_path / "map.tif", scheduler=workers[0], **OPTIONS)
    assert not (tmp_path / ".map.tif.partial").exists()


def test_what_no_cluster_can_do_is_one_line(tall, saved, trained, tmp_path):
    out = tmp_path / "map.tif"
    with pytest.raises(ParameterError, match="must be an address, tcp://HOST:PORT"):
        classify_pixels(tall, saved, out, scheduler="localhost", **OPTIONS)
    with pytest.raises(ModelError, match="needs a saved model"):
        classify_pixels(tall, trained, out, scheduler="tcp://127.0.0.1:1", **OPTIONS)


@pytest.mark.slow
def test_a_worker_that_sees_other_files_is_refused_by_name(workers, tall, saved, tmp_path):
    hidden, seen = tmp_path / "hidden", tmp_path / "seen"
    hidden.mkdir()
    seen.mkdir()
    image, model = hidden / "image.tif", hidden / "small"
    shutil.copy(tall, image)
    shutil.copytree(saved.parent, model)
    hide = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs "$0" && exec "$@"', str(hidden)]
    if (
        not shutil.which("unshare")
        or subprocess.run([*hide, "true"], capture_output=True).returncode
    ):
        pytest.skip("files can't be hidden from a process here")
    with (
        distributed.Client(workers[0], set_as_default=False) as client,
        worker(workers[0], "blind", before=hide),
    ):
        alive = sum(process.poll() is None for process in workers[1])
        client.wait_for_workers(alive + 1, timeout=120)
        for what, arguments in (
            ("must see and write the map's folder", (tall, saved, hidden / "map.tif")),
            ("must see the same input", (image, saved, seen / "map.tif")),
            ("The model must exist", (tall, model, seen / "map.tif")),
        ):
            with pytest.raises(LandshiftError, match=rf"{what}.*\[worker tcp://127"):
                classify_pixels(*arguments, scheduler=workers[0], **OPTIONS)
    assert not list(seen.iterdir())


@pytest.mark.slow
def test_a_cluster_of_this_machine_is_started_and_ended(tall, saved, undisturbed, tmp_path):
    out = tmp_path / "map.tif"
    classify_pixels(
        tall, saved, out, layers=("confidence",), scheduler="local", workers=2, **OPTIONS
    )
    assert outputs(out) == outputs(undisturbed)


@pytest.mark.slow
def test_a_lost_scheduler_is_one_line_and_the_same_call_goes_on(tall, saved, undisturbed, tmp_path):
    out = tmp_path / "map.tif"
    options = {"layers": ("confidence",), **OPTIONS}
    with scheduler() as process:
        address = address_of(process)

        def end(progress):
            if progress.done == 2:
                process.kill()

        with (
            worker(address, "1"),
            pytest.raises(ClusterError, match="must run until the map is finished"),
        ):
            classify_pixels(tall, saved, out, scheduler=address, on_block=end, **options)
    with pytest.raises(ClusterError, match="must answer"):
        classify_pixels(tall, saved, out, scheduler=address, **options)
    seen = []
    classify_pixels(tall, saved, out, on_block=seen.append, **options)
    assert seen[0].done >= 2
    assert outputs(out) == outputs(undisturbed)


@pytest.mark.slow
def test_a_killed_client_is_taken_up_by_the_same_call(tall, saved, undisturbed, tmp_path):
    out = tmp_path / "map.tif"
    options = {"layers": ("confidence",), **OPTIONS}
    with scheduler() as process:
        address = address_of(process)
        code = f"""
import os, signal
from landshift.classification import classify_pixels
classify_pixels({str(tall)!r}, {str(saved)!r}, {str(out)!r}, scheduler={address!r},
    on_block=lambda p: os.kill(os.getpid(), signal.SIGKILL) if p.done == 2 else None, **{options!r})
"""
        with worker(address, "1"), worker(address, "2"):
            killed = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, timeout=300)
            assert killed.returncode == -signal.SIGKILL
            seen = []
            classify_pixels(tall, saved, out, scheduler=address, on_block=seen.append, **options)
    assert seen[0].done == 2
    assert outputs(out) == outputs(undisturbed)
