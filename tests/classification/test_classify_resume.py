"""Runs that end early, and are taken up."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from landshift.classification import classify_pixels
from landshift.errors import OutputError, ParameterError, RasterError
from landshift.machine import progress
from scenes import BANDS, outputs, pack, spoil, write, write_tall
from watching import Steps

OPTIONS = {"padding": 16, "tile_size": 96, "engine": "torch", "precision": "float32"}
BLOCKS = 4


@pytest.fixture(scope="module")
def tall(tmp_path_factory):
    return write_tall(tmp_path_factory.mktemp("tall") / "tall.tif", rows=3200)


@pytest.fixture(scope="module")
def undisturbed(tall, saved, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "map.tif"
    return classify_pixels(tall, saved, out, layers=("confidence",), **OPTIONS)


def run_and(what, tall, saved, out, workers=1):
    """Start a process that does something to itself once its first block is done."""
    code = f"""
import os, resource, signal, sys
from landshift.classification import classify_pixels
from landshift.errors import LandshiftError
def on_block(progress):
    if progress.done == 1:
        {what}
try:
    classify_pixels({str(tall)!r}, {str(saved)!r}, {str(out)!r}, layers=("confidence",),
                    workers={workers}, on_block=on_block, **{OPTIONS!r})
except LandshiftError as error:
    sys.exit(str(error))
"""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)


def test_a_killed_run_is_taken_up_and_gives_the_same_bytes(tall, saved, undisturbed, tmp_path):
    out = tmp_path / "map.tif"
    killed = run_and("os.kill(os.getpid(), signal.SIGKILL)", tall, saved, out)
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    ledger = tmp_path / ".map.tif.partial" / "ledger.jsonl"
    assert len(ledger.read_text().splitlines()) == 2
    seen = []
    classify_pixels(tall, saved, out, layers=("confidence",), on_block=seen.append, **OPTIONS)
    assert [p.done for p in seen] == [1, 2, 3, 4]
    assert seen[0].left == 64 * (3200 - 1024)
    assert outputs(out) == outputs(undisturbed)
    assert not ledger.parent.exists()


def test_a_full_disk_keeps_what_is_done(tall, saved, undisturbed, tmp_path):
    out = tmp_path / "map.tif"
    full = run_and("resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))", tall, saved, out)
    assert full.returncode == 1
    assert "must be writable" in full.stderr
    assert "make room" in full.stderr
    seen = []
    classify_pixels(tall, saved, out, layers=("confidence",), on_block=seen.append, **OPTIONS)
    assert seen[0].done >= 1
    assert outputs(out) == outputs(undisturbed)


def test_another_model_input_or_option_is_refused_until_told_to_start_over(
    tall, saved, trained, tmp_path
):
    out = tmp_path / "map.tif"
    assert run_and("os.kill(os.getpid(), signal.SIGKILL)", tall, saved, out).returncode < 0
    options = {"layers": ("confidence",), **OPTIONS}
    message = r'parameters .*"padding": 16.* and not .*"padding": 24.* start over \(`restart`\)'
    with pytest.raises(ParameterError, match=message):
        classify_pixels(tall, saved, out, **{**options, "padding": 24})
    other = write(tmp_path / "tall.tif", np.ones((6, 50, 60), np.uint16), bands=BANDS)
    with pytest.raises(ParameterError, match=r"got inputs .*tall\.tif"):
        classify_pixels(other, saved, out, **options)
    stamp = tall.stat().st_mtime_ns
    os.utime(tall, ns=(stamp, 86_400 * 10**9))
    with pytest.raises(ParameterError, match=r"inputs changed at .* and not \[.1970-01-02T00:00"):
        classify_pixels(tall, saved, out, **options)
    os.utime(tall, ns=(stamp, stamp))
    with pytest.raises(ParameterError, match="model"):
        changed = _changed(trained.model)
        classify_pixels(tall, changed, out, **options)
    assert classify_pixels(other, saved, out, restart=True, **options) == out


def _changed(model):
    import copy

    import torch

    other = copy.deepcopy(model)
    with torch.no_grad():
        next(other.parameters()).add_(0.01)
    return other


def test_an_unreadable_block_keeps_what_is_done_and_a_repaired_file_is_taken_up(
    tall, saved, tmp_path
):
    packed, out = pack(tall, tmp_path / "packed.tif"), tmp_path / "map.tif"
    image = tmp_path / "image.vrt"  # what is noted of a VRT says nothing of the files it names
    rasterio.shutil.copy(packed, image, driver="VRT")
    expected = classify_pixels(image, saved, tmp_path / "mapped.tif", **OPTIONS).read_bytes()
    whole = packed.read_bytes()
    spoil(packed, 0, 48)
    with pytest.raises(RasterError, match="must be readable"):
        classify_pixels(image, saved, out, **OPTIONS)
    lines = (tmp_path / ".map.tif.partial" / "ledger.jsonl").read_text().splitlines()
    assert [json.loads(line)["block"] for line in lines[1:]] == [0, 1, 2]
    packed.write_bytes(whole)
    assert classify_pixels(image, saved, out, **OPTIONS).read_bytes() == expected


def test_workers_give_the_same_bytes(tall, saved, undisturbed, tmp_path):
    out = tmp_path / "map.tif"
    classify_pixels(tall, saved, out, layers=("confidence",), workers=2, **OPTIONS)
    assert outputs(out) == outputs(undisturbed)


@pytest.mark.slow
def test_workers_end_with_a_run_that_is_killed(tall, saved, undisturbed, tmp_path):
    out = tmp_path / "map.tif"
    # its answer ends when all who hold its standard output have ended: its workers do
    killed = run_and("os.kill(os.getpid(), signal.SIGKILL)", tall, saved, out, workers=2)
    assert killed.returncode == -signal.SIGKILL
    classify_pixels(tall, saved, out, layers=("confidence",), **OPTIONS)
    assert outputs(out) == outputs(undisturbed)


def test_a_folder_where_the_map_should_be_is_one_line(tall, saved, tmp_path):
    with pytest.raises(OutputError, match="must be a file"):
        classify_pixels(tall, saved, tmp_path, **OPTIONS)


def test_a_stopped_run_says_what_is_kept(tall, saved, tmp_path):
    def stop(blocks):
        if blocks.done == 2:
            raise KeyboardInterrupt

    out = tmp_path / "map.tif"
    with pytest.raises(KeyboardInterrupt) as stopped:
        classify_pixels(tall, saved, out, on_block=stop, **OPTIONS)
    kept = f"2 of 4 blocks are kept in {tmp_path / '.map.tif.partial'}; the same command goes on."
    assert stopped.value.__notes__ == [kept]
    seen = []
    classify_pixels(tall, saved, out, on_block=seen.append, **OPTIONS)
    assert [p.done for p in seen] == [2, 3, 4]


@pytest.mark.parametrize("blend", [False, True])
def test_tiles_inside_blocks_are_reported(blend, tall, saved, tmp_path):
    steps = Steps()
    with progress.watched(steps):
        classify_pixels(tall, saved, tmp_path / "map.tif", blend=blend, batch_size=1, **OPTIONS)
    moves = [(done, total) for what, done, total in steps.moves if what == "tiles"]
    done = [d for d, _ in moves]
    assert done == sorted(done)
    assert moves[-1][0] == moves[-1][1] == {t for _, t in moves}.pop()
    assert len(set(done)) > 4  # blocks
