"""Speed of cutting tiles, against a plain rasterio loop on two processes.

    python benchmarks/tiles.py                 # a composite of 3000 x 3000 pixels
    python benchmarks/tiles.py --size 10000    # a large scene: minutes, and 4 GB of disk

Both read the same 12-band uint16 composite (blocks of 256, deflate) and its class map, and write
the same tiles of 256 pixels every 128, images and labels. Each process of the plain loop opens the
rasters once, takes every second row of windows, reads each window and writes it with the same
compression; it computes no statistics and writes no world files, side files or index. Runs are
interleaved and start in new processes; the ratio is that of the medians.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window

from landshift import tileset
from landshift.classes import ClassScheme
from landshift.raster.tiling import training_windows

BANDS = 12
TILE, STRIDE = 256, 128
SCHEME = ClassScheme.from_mapping({1: "to forest", 2: "to crop", 3: "No change"})


def make_scene(folder: Path, size: int) -> tuple[Path, Path]:
    """A composite with texture at several scales and noise, and a class map in patches."""
    rng = np.random.default_rng(1)
    image, labels = folder / "composite.tif", folder / "change.tif"
    place = {"crs": "EPSG:32650", "transform": from_origin(600000, 3000000, 10, 10)}
    common = {
        "driver": "GTiff", "height": size, "width": size, "tiled": True, "blockxsize": 256,
        "blockysize": 256, "compress": "deflate", "zlevel": 1, "bigtiff": "if_safer",
    }  # fmt: skip
    with (
        rasterio.open(
            image, "w", **common, **place, count=BANDS, dtype="uint16", nodata=0, predictor=2,
            interleave="pixel", num_threads="all_cpus",
        ) as target,
        rasterio.open(labels, "w", **common, **place, count=1, dtype="uint8", nodata=0) as classes,
    ):  # fmt: skip
        for row in range(0, size, 256):
            height = min(256, size - row)
            coarse = rng.integers(200, 3000, (BANDS, height // 32 + 1, size // 32 + 1))
            values = coarse.repeat(32, axis=1).repeat(32, axis=2)[:, :height, :size]
            values = values + rng.normal(0, 40, (BANDS, height, size))
            window = Window(0, row, size, height)
            target.write(np.clip(values, 1, 10000).astype(np.uint16), window=window)
            patches = rng.integers(1, 4, (height // 16 + 1, size // 16 + 1)).astype(np.uint8)
            codes = patches.repeat(16, axis=0).repeat(16, axis=1)[:height, :size]
            classes.write(codes, 1, window=window)
    return image, labels


def plain_part(job: tuple[Path, Path, Path, int, int, dict[str, object]]) -> int:
    """Every n-th row of windows, written by a plain loop."""
    image, labels, folder, first, step, options = job
    count = 0
    with rasterio.open(image) as source, rasterio.open(labels) as classes:
        windows = list(training_windows(source.height, source.width, TILE, STRIDE))
        rows = sorted({w.row for w in windows})[first::step]
        for number, w in enumerate(windows):
            if w.row not in rows:
                continue
            window = Window(w.column, w.row, w.width, w.height)
            transform = source.window_transform(window)
            for name, raster in (("images", source), ("labels", classes)):
                profile = {
                    "driver": "GTiff", "height": TILE, "width": TILE, "count": raster.count,
                    "dtype": raster.dtypes[0], "nodata": raster.nodata, "crs": raster.crs,
                    "transform": transform, "photometric": "minisblack", **options,
                }  # fmt: skip
                path = folder / name / f"{number:09d}.tif"
                with rasterio.open(path, "w", **profile) as target:
                    target.write(raster.read(window=window))
            count += 1
    return count


def plain(image: Path, labels: Path, folder: Path, options: dict[str, object]) -> int:
    """The plain loop on two processes."""
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    jobs = [(image, labels, folder, part, 2, options) for part in range(2)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        return sum(pool.map(plain_part, jobs))


def ours(image: Path, labels: Path, folder: Path, compress: bool) -> int:
    """The same tiles by landshift, with their statistics, side files and index."""
    made = tileset.cut(
        [image],
        [labels],
        folder,
        classes=SCHEME,
        cutting=tileset.Cutting(tile_size=TILE, stride=STRIDE),
        encoding=tileset.Encoding(uncompressed=not compress),
    )
    return len(made.tiles)


def ours_alone(job: tuple[Path, Path, Path, bool]) -> tuple[int, float]:
    """As `ours`, and the peak memory of the process in MiB."""
    count = ours(*job)
    scale = 1 if sys.platform == "darwin" else 1024
    return count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 2**20


UNCOMPRESSED = "not compressed"
COMPRESSIONS = {
    "LZW, predictor 2 (as ours)": {"compress": "lzw", "predictor": 2, "interleave": "pixel"},
    "LZW": {"compress": "lzw", "interleave": "pixel"},
    UNCOMPRESSED: {"interleave": "pixel"},
}


def not_compressed(image: str, labels: str, folder: str) -> None:
    """The plain loop without compression; what an earlier run wrote is replaced."""
    shutil.rmtree(folder, ignore_errors=True)
    plain(Path(image), Path(labels), Path(folder), COMPRESSIONS[UNCOMPRESSED])


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=3000, help="rows and columns of the composite")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--all", action="store_true", help="other compressions of the plain loop")
    parser.add_argument("--alone", action="store_true", help="no plain loop: memory only")
    arguments = parser.parse_args()
    rivals = dict(COMPRESSIONS) if arguments.all else dict([next(iter(COMPRESSIONS.items()))])
    rivals = {} if arguments.alone else rivals
    own = {"landshift": True}
    if UNCOMPRESSED in rivals:
        own["landshift, not compressed"] = False
    peak = 0.0
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        image, labels = make_scene(folder, arguments.size)
        rates: dict[str, list[float]] = {name: [] for name in (*own, *rivals)}
        for run in range(arguments.runs):
            for name in rates:
                out = folder / f"out{run}"
                start = time.perf_counter()
                if name in own:
                    with multiprocessing.get_context("spawn").Pool(1) as pool:
                        count, used = pool.map(ours_alone, [(image, labels, out, own[name])])[0]
                    peak = max(peak, used)
                else:
                    count = plain(image, labels, out, rivals[name])
                rates[name].append(count / (time.perf_counter() - start))
                shutil.rmtree(out)
        medians = {name: statistics.median(values) for name, values in rates.items()}
        print(f"{count} tiles of {TILE} x {TILE} x {BANDS} uint16 from {arguments.size}^2 pixels")
        for name, rate in medians.items():
            same = "landshift, not compressed" if name == UNCOMPRESSED else "landshift"
            ratio = medians[same] / rate
            print(f"{name:28} {rate:7.1f} tiles/s   {same} / this = {ratio:.2f}")
        print(f"peak memory of landshift's process: {peak:.0f} MiB")


if __name__ == "__main__":
    main()
