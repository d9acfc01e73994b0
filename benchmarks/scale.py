"""Cost of mapping a country and the land surface, estimated from rates on this machine.

    python benchmarks/scale.py --size 2048 --end-size 8192

Measured: `classify` end to end on a synthetic raster (12 bands, 11 classes, U-Net over resnet34)
with the fastest engine; time, memory and bytes of the end step, which assembles the blocks; the
ledger and the VRT of 100,000 blocks. Estimated: machine hours and storage. Other work on the
machine slows all of it.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from classify import untrained
from rasterio.transform import from_origin
from rasterio.windows import Window as Part

from landshift.classes import ClassScheme
from landshift.classification import classify_pixels
from landshift.classification.blocks import BlockJob, run_blocks
from landshift.classification.mosaic import assemble
from landshift.classification.scene import find_scene
from landshift.files import resumable
from landshift.raster.tiling import plan_inference
from landshift.spec import InputSpec

AREAS = {"a country": 1e10, "the land surface at 30 m": 1.7e11}
BLOCKS = 100_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=2048, help="rows of the raster to classify")
    parser.add_argument("--end-size", type=int, default=8192, help="rows of the map to assemble")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        return end_step(*arguments.child)
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        rate, stored = classified(folder, arguments.size)
        made = make_classes(folder / "classes.tif", arguments.end_size)
        ends = {mosaic: measured_end(made, mosaic) for mosaic in ("cog", "vrt")}
        many_blocks(folder)
    for where, pixels in AREAS.items():
        print(f"\n{where}, {pixels:.3g} pixels on machines like this one ({os.cpu_count()} cores):")
        print(f"  classifying: {pixels / rate / 3600:.0f} machine hours")
        print(f"  composite of 12 bands uint16, zstd: {pixels * stored / 1e12:.2f} TB")
        for mosaic, end in ends.items():
            print(
                f"  end step, {mosaic}: {pixels * end['seconds'] / 3600:.2f} hours on one machine; "
                f"blocks {pixels * end['blocks'] / 1e9:.0f} GB, "
                f"map {pixels * end['map'] / 1e9:.0f} GB"
            )


def classified(folder: Path, size: int) -> tuple[float, float]:
    """Pixels a second of `classify`, from the first block on; bytes that a pixel takes on disk."""
    image = make_image(folder / "image.tif", size)
    model = untrained(image, folder / "unet")
    clocks: list[float] = []
    classify_pixels(image, model, folder / "map.tif", on_block=lambda p: clocks.append(_now()))
    seconds = _now() - clocks[0]
    stored = image.stat().st_size / size**2
    print(f"classify: {size**2 / seconds / 1e6:.2f} Mpixel/s, with the end step", flush=True)
    return size**2 / seconds, stored


def measured_end(made: Path, mosaic: str) -> dict[str, float]:
    """The end step in a process of its own; seconds and bytes of a pixel."""
    child = subprocess.run(
        [sys.executable, __file__, "--child", str(made), mosaic], capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    figures: dict[str, float] = json.loads(child.stdout)
    print(
        f"end step, {mosaic}: {figures['seconds'] * 1e9:.1f} s a Gpixel "
        f"({figures['worked'] * 1e9:.1f} s of processors), peak {figures['peak']:.0f} MB, "
        f"of it {figures['before']:.0f} MB before; {figures['blocks']:.3f} bytes a pixel in "
        f"blocks, {figures['map']:.3f} in the map",
        flush=True,
    )
    return figures


def end_step(made: str, mosaic: str) -> None:
    """Write blocks of a known map, then measure the end step."""
    logging.disable(logging.WARNING)
    spec = InputSpec(("class",), (5.0,), (3.0,), (1.0,), (11.0,), 256, "uint8", 30.0)
    scheme = ClassScheme.from_mapping({k: f"class {k}" for k in range(1, 12)})
    with tempfile.TemporaryDirectory() as root:
        scene = find_scene(made, spec)
        height, width = scene.box.height, scene.box.width
        plan = plan_inference(height, width, padding=64)
        whole = mosaic == "vrt"
        job = BlockJob(scene, plan, scheme, 1, None, (), False, Path(root) / "blocks", whole)
        counts = {d.number: d.counts for d in run_blocks(job, Copying(), range(plan.blocks))}
        blocks = _bytes(job.folder)
        before, start, worked = peak(), _now(), time.process_time()
        assemble(job, counts, Path(root) / f"map.{'vrt' if whole else 'tif'}", {})
        seconds, pixels = _now() - start, height * width
        worked = time.process_time() - worked
        size = _bytes(Path(root)) - (0 if whole else blocks)
        print(
            json.dumps(
                {
                    "seconds": seconds / pixels, "worked": worked / pixels,
                    "peak": peak(), "before": before,
                    "blocks": blocks / pixels, "map": size / pixels,
                }
            )
        )  # fmt: skip


class Copying:
    """An engine that returns its input as classes, at almost no cost."""

    name, device, precision, streams, core = "copying", "cpu", "none", 1, 1024
    batch_size, allocates = 1, False

    def best(self, values, mask=None, *, excluded=None):
        return (values[:, 0].clip(1) - 1).astype(np.uint8)


def many_blocks(folder: Path) -> None:
    """The ledger and the VRT of many blocks, without the blocks' files."""
    counts = {value: 400_000 + value for value in range(1, 12)}
    with resumable.resumable_file(folder / "many.tif", {}) as unfinished:
        start = _now()
        for number in range(BLOCKS):
            unfinished.record({"block": number, "counts": counts})
        written = _now() - start
        size = (folder / ".many.tif.partial" / "ledger.jsonl").stat().st_size
        start = _now()
        lines = (folder / ".many.tif.partial" / "ledger.jsonl").read_bytes().splitlines()
        read = len([json.loads(line) for line in lines]) and _now() - start
    print(
        f"ledger of {BLOCKS:,} blocks: {size / 1e6:.1f} MB, written in {written:.1f} s, read in "
        f"{read:.1f} s"
    )
    spec = InputSpec(("class",), (5.0,), (3.0,), (1.0,), (11.0,), 256, "uint8", 30.0)
    scheme = ClassScheme.from_mapping({k: f"class {k}" for k in range(1, 12)})
    rows = BLOCKS // 100
    with rasterio.open(
        folder / "large.tif", "w",
        **zstd(1024 * rows, 4096 * 100, 1, "uint8"), sparse_ok=True, bigtiff="yes",
    ):  # fmt: skip
        pass
    scene = find_scene(folder / "large.tif", spec)
    plan = plan_inference(scene.box.height, scene.box.width, padding=64)
    job = BlockJob(scene, plan, scheme, 1, None, (), False, folder / "none", True)
    start = _now()
    assemble(job, dict.fromkeys(range(plan.blocks), counts), folder / "large.vrt", {})
    written, start = _now() - start, _now()
    with rasterio.open(folder / "large.vrt") as source:
        opened = _now() - start
        assert source.count == 1
    size = (folder / "large.vrt").stat().st_size
    print(
        f"VRT of {plan.blocks:,} blocks: {size / 1e6:.1f} MB, written in {written:.1f} s, "
        f"opened in {opened:.1f} s",
        flush=True,
    )


def make_classes(path: Path, size: int) -> Path:
    """Squares of 16 pixels in 11 classes; neighbours often have the same class."""
    random = np.random.default_rng(0)
    coarse = np.kron(random.integers(1, 12, (size // 64,) * 2), np.ones((4, 4), np.int64))
    mixed = np.where(
        random.random(coarse.shape) < 0.3, random.integers(1, 12, coarse.shape), coarse
    )
    with rasterio.open(path, "w", **zstd(size, size, 1, "uint8")) as target:
        for row in range(0, size, 512):
            part = np.kron(mixed[row // 16 : (row + 512) // 16], np.ones((16, 16), np.uint8))
            target.write(part.astype(np.uint8), 1, window=Part(0, row, size, 512))
        target.descriptions = ("class",)
    return path


def make_image(path: Path, size: int) -> Path:
    """Squares of 16 pixels with noise, in 12 bands."""
    random = np.random.default_rng(0)
    base = random.integers(0, 1200, (12, size // 16, size // 16))
    with rasterio.open(path, "w", **zstd(size, size, 12, "uint16")) as target:
        for row in range(0, size, 512):
            part = np.kron(base[:, row // 16 : (row + 512) // 16], np.ones((16, 16), np.int64))
            values = part + random.integers(200, 500, part.shape)
            target.write(values.astype(np.uint16), window=Part(0, row, size, 512))
        target.descriptions = [f"{d}:b{k}" for d in ("before", "after") for k in range(1, 7)]
    return path


def zstd(height: int, width: int, count: int, dtype: str) -> dict[str, object]:
    """A profile of rasters that are fast to read."""
    return {
        "driver": "GTiff", "height": height, "width": width, "count": count, "dtype": dtype,
        "crs": "EPSG:32618", "transform": from_origin(5e5, 4e6, 30, 30), "tiled": True,
        "blockxsize": 512, "blockysize": 512, "compress": "zstd", "zstd_level": 1,
        "predictor": 2 if dtype == "uint16" else 1, "interleave": "pixel", "nodata": 0,
    }  # fmt: skip


def peak() -> float:
    """Peak resident memory of this process, in MB; getrusage would include the parent's."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def _bytes(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


_now = time.perf_counter

if __name__ == "__main__":
    main()
