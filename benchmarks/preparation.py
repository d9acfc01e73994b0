"""Speed and peak memory of data preparation, against gdalwarp and a plain rasterio loop.

    python benchmarks/preparation.py [STAGE ...] [--sizes 2000 6000 20000] [--folder FOLDER]

Each job runs in a process of its own, whose peak memory is read from the system. Inputs are VRTs
that repeat one small scene, so that only outputs take disk space.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.shutil import copy as raster_copy
from rasterio.transform import from_origin
from rasterio.windows import Window
from scipy import ndimage

TILE = 2000
WHERE = from_origin(500_000, 4_000_000, 10, 10)


def scene(path: Path, count: int, seed: int) -> Path:
    """A tiled scene of 2000 x 2000 pixels, uint16, with texture and noise."""
    random = np.random.default_rng(seed)
    ground = ndimage.gaussian_filter(random.normal(size=(TILE, TILE)), 3) * 4000
    bands = [ground * (1 + k / 10) + random.normal(0, 15, ground.shape) for k in range(count)]
    return tiled(path, (np.stack(bands) + 3000).clip(1, 9000).astype(np.uint16))


def class_map(path: Path, seed: int) -> Path:
    """A tiled map of 2000 x 2000 pixels and seven classes in patches, four of five unchanged."""
    ground, change = (
        ndimage.gaussian_filter(np.random.default_rng(k).normal(size=(TILE, TILE)), 4)
        for k in (0, seed)
    )
    classes = np.digitize(ground, np.quantile(ground, np.arange(1, 7) / 7)) + 1
    classes = np.where(change > np.quantile(change, 0.8), classes % 7 + 1, classes)
    return tiled(path, classes[np.newaxis].astype(np.uint16))


def tiled(path: Path, values: NDArray[np.uint16]) -> Path:
    """Write ``(band, row, column)`` values as a tiled GeoTIFF."""
    count = len(values)
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=TILE, width=TILE, dtype="uint16",
        crs="EPSG:32618", transform=WHERE, tiled=True, blockxsize=512, blockysize=512,
        compress="deflate", predictor=2, zlevel=1, photometric="minisblack", nodata=0,
    ) as target:  # fmt: skip
        target.write(values)
    return path


def repeated(scene: Path, size: int, shift: float) -> Path:
    """A VRT of size x size pixels that repeats the scene, ``shift`` pixels to the right."""
    with rasterio.open(scene) as source:
        count, wkt = source.count, source.crs.to_wkt().replace('"', "&quot;")
    steps = range(0, size, TILE)
    bands = []
    for band in range(1, count + 1):
        parts = "".join(
            f"<SimpleSource><SourceFilename relativeToVRT='1'>{scene.name}</SourceFilename>"
            f"<SourceBand>{band}</SourceBand>"
            f"<SourceProperties RasterXSize='{TILE}' RasterYSize='{TILE}' DataType='UInt16' "
            "BlockXSize='512' BlockYSize='512'/>"
            f"<SrcRect xOff='0' yOff='0' xSize='{TILE}' ySize='{TILE}'/>"
            f"<DstRect xOff='{x}' yOff='{y}' xSize='{TILE}' ySize='{TILE}'/></SimpleSource>"
            for y in steps
            for x in steps
        )
        bands.append(
            f"<VRTRasterBand dataType='UInt16' band='{band}' blockXSize='512' blockYSize='512'>"
            f"<NoDataValue>0</NoDataValue>{parts}</VRTRasterBand>"
        )
    path = scene.with_name(f"{scene.stem}_{size}.vrt")
    path.write_text(
        f"<VRTDataset rasterXSize='{size}' rasterYSize='{size}'><SRS>{wkt}</SRS><GeoTransform>"
        f"{WHERE.c + shift * 10}, 10, 0, {WHERE.f}, 0, -10</GeoTransform>{''.join(bands)}"
        "</VRTDataset>"
    )
    return path


def stored(vrt: Path) -> Path:
    """The raster of a VRT as a tiled file, like those of users: its blocks are decoded once.

    Above 8000 pixels a side it stays a VRT, to spare the disk.
    """
    with rasterio.open(vrt) as source:
        if source.width > 8000:
            return vrt
    path = vrt.with_suffix(".tif")
    raster_copy(
        vrt, path, driver="GTiff", tiled=True, blockxsize=512, blockysize=512,
        compress="deflate", predictor=2, zlevel=1, photometric="minisblack",
    )  # fmt: skip
    return path


def measured(command: list[str]) -> tuple[float, float, float]:
    """Seconds, seconds of all its cores together, and peak MiB of a process.

    The peak is read while the process runs: that of wait4 includes this process.
    """
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    peak = 0.0
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        while process.poll() is None:
            time.sleep(0.02)
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
                    if line.startswith("VmHWM:"):
                        peak = max(peak, int(line.split()[1]) / 1024)
        if process.returncode:
            said.seek(0)
            sys.exit(said.read().decode())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cores = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, cores, peak


def landshift(stage: str, *arguments: str | Path) -> list[str]:
    """A landshift command in this interpreter, which replaces outputs of an earlier run."""
    run = "from landshift.cli import main; main()"
    return [sys.executable, "-c", run, stage, *map(str, arguments), "--overwrite"]


def plain_loop(before: Path, after: Path, out: Path) -> None:
    """A plain loop over blocks: two aligned images into a tiled GeoTIFF."""
    with rasterio.open(before) as first, rasterio.open(after) as second:
        profile = first.profile | {
            "driver": "GTiff", "count": first.count + second.count, "tiled": True,
            "blockxsize": 512, "blockysize": 512, "compress": "deflate", "predictor": 2,
            "zlevel": 1, "interleave": "pixel", "photometric": "minisblack", "bigtiff": "if_safer",
        }  # fmt: skip
        with rasterio.open(out, "w", **profile) as target:
            for row in range(0, first.height, 512):
                for column in range(0, first.width, 512):
                    height, width = min(512, first.height - row), min(512, first.width - column)
                    window = Window(column, row, width, height)
                    stacked = np.concatenate([s.read(window=window) for s in (first, second)])
                    stacked[:, (stacked == 0).any(axis=0)] = 0
                    target.write(stacked, window=window)


def composite(folder: Path, sizes: list[int]) -> None:
    """Peak memory at each size, warped and copied; speed against gdalwarp and a plain loop."""
    before = scene(folder / "before.tif", 1, seed=0)
    after = scene(folder / "after.tif", 1, seed=1)
    out = folder / "composite.tif"
    peaks = []
    for size in sizes:
        images = repeated(before, size, 0), repeated(after, size, 0.4)
        seconds, _, peak = measured(landshift("composite", *images, "-o", out))
        peaks.append(peak)
        print(
            f"composite, 2 dates of {size}^2 uint16, one warped: {seconds:.1f} s, "
            f"{size * size * 2 / seconds / 1e6:.1f} million values/s, peak {peak:.0f} MiB",
            flush=True,
        )
        out.unlink()
    print(f"peak memory, {sizes[-1]}^2 to {sizes[0]}^2: {peaks[-1] / peaks[0]:.2f}")

    size, count = 4000, 4
    before = scene(folder / "before4.tif", count, seed=0)
    after = scene(folder / "after4.tif", count, seed=1)
    aligned = repeated(before, size, 0), repeated(after, size, 0)
    script = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); "
    script += "from pathlib import Path; from preparation import plain_loop; "
    script += "plain_loop(*map(Path, sys.argv[1:]))"
    loop = folder / "loop.tif"
    beside(
        f"copied, 2 x {count} bands of {size}^2, with checks and overviews",
        landshift("composite", *aligned, "-o", out),
        "plain rasterio loop without them",
        [sys.executable, "-c", script, *map(str, aligned), str(loop)],
    )
    if shutil.which("gdalwarp") is None:
        print("gdalwarp isn't installed (apt install gdal-bin)")
        return
    moved = repeated(after, size, 0.4)
    beside(
        f"warped to a COG, {count} bands of {size}^2",
        landshift("composite", moved, "--like", aligned[0], "-o", out),
        "gdalwarp",
        [
            "gdalwarp", "-q", "-overwrite", "-r", "bilinear", "-multi", "-wo",
            "NUM_THREADS=ALL_CPUS", "-of", "COG", "-co", "COMPRESS=DEFLATE", "-co", "LEVEL=1",
            "-co", "PREDICTOR=YES", "-co", "NUM_THREADS=ALL_CPUS", "-te", str(WHERE.c),
            str(WHERE.f - size * 10), str(WHERE.c + size * 10), str(WHERE.f), "-tr", "10", "10",
            str(moved), str(loop),
        ],
    )  # fmt: skip


def beside(job: str, ours: list[str], rival: str, theirs: list[str], runs: int = 3) -> None:
    """Print the times of two commands run in turn: medians, and the range of the ratio."""
    pairs = [(measured(ours), measured(theirs)) for _ in range(runs)]
    ratios = sorted(b[0] / a[0] for a, b in pairs)
    parts = []
    for name, runs_of in (("landshift", [a for a, _ in pairs]), (rival, [b for _, b in pairs])):
        seconds, cores, peak = np.median(runs_of, axis=0)
        parts.append(f"{name} {seconds:.1f} s ({cores:.1f} s of cores, peak {peak:.0f} MiB)")
    print(
        f"{job}: {', '.join(parts)}: {np.median(ratios):.2f} times its speed "
        f"({ratios[0]:.2f} to {ratios[-1]:.2f} in {runs} runs)",
        flush=True,
    )


def label(folder: Path, sizes: list[int]) -> None:
    """Seconds and peak memory of `label` at each size, plain and with cleaning."""
    maps = class_map(folder / "before.tif", 1), class_map(folder / "after.tif", 2)
    out = folder / "change.tif"
    for size in sizes:
        for options in ([], ["--min-pixels", "9"], ["--smooth", "5"]):
            seconds, cores, peak = measured(
                landshift("label", *(repeated(m, size, 0) for m in maps), "-o", out, *options)
            )
            print(
                f"label, {size}^2 {' '.join(options)}: {seconds:.1f} s ({cores:.1f} s of cores, "
                f"peak {peak:.0f} MiB)",
                flush=True,
            )


STAGES = {"composite": composite, "label": label}


def main() -> None:
    """Run the chosen stages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stages", nargs="*", default=list(STAGES), metavar="STAGE")
    parser.add_argument("--sizes", nargs="+", type=int, default=[2000, 6000, 20000])
    parser.add_argument("--folder", type=Path, help="folder for temporary inputs and outputs")
    options = parser.parse_args()
    for stage in options.stages:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            STAGES[stage](Path(folder), options.sizes)


if __name__ == "__main__":
    main()
