"""How fast large maps are sampled, traced, measured in patches and zones; the peak memory.

    python benchmarks/assess.py [--sizes 4000 20000] [--folder FOLDER] [STAGE ...]

Maps are Cloud-Optimised GeoTIFFs of seven classes in patches of many sizes, as `landshift label`
writes them; each job runs in a process of its own.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyogrio
import rasterio
import shapely
from preparation import WHERE, landshift, measured
from rasterio.windows import Window
from scipy import ndimage

TILE = 2000


def class_map(path: Path, size: int) -> Path:
    """A map of size x size pixels: one patchwork of 2000 x 2000, turned and mirrored."""
    random = np.random.default_rng(0)
    ground = sum(
        ndimage.gaussian_filter(random.normal(size=(TILE, TILE)), s, mode="wrap") * s
        for s in (2, 5, 20)
    )
    levels = np.quantile(ground, [0.02, 0.05, 0.12, 0.2, 0.9, 0.96])
    patchwork = (np.digitize(ground, levels) + 1).astype(np.uint8)
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=size, width=size, dtype="uint8", nodata=0,
        crs="EPSG:32618", transform=WHERE, tiled=True, blockxsize=512, blockysize=512,
        compress="deflate", zlevel=1,
    ) as target:  # fmt: skip
        for row in range(0, size, TILE):
            for column in range(0, size, TILE):
                turned = np.rot90(patchwork, random.integers(4))
                target.write(turned, 1, window=Window(column, row, TILE, TILE))
    return path


def sample(folder: Path, sizes: list[int]) -> None:
    """A stratified sample of 1,000 pixels, and a systematic one."""
    for size in sizes:
        made = class_map(folder / f"map_{size}.tif", size)
        jobs = {
            "stratified pixels": (),
            "stratified blocks of 3 x 3": ("--unit-size", "3"),
            "systematic pixels": ("--design", "systematic"),
        }
        for what, options in jobs.items():
            out = folder / "sample.gpkg"
            seconds, _, peak = measured(
                landshift("sample", made, "-o", out, "--size", "1000", *options)
            )
            print(
                f"sample, {what}, {size}^2: {seconds:.1f} s, "
                f"{size * size / seconds / 1e6:.1f} million pixels/s, peak {peak:.0f} MiB",
                flush=True,
            )


def polygons(folder: Path, sizes: list[int]) -> None:
    """Patches of every class but the commonest, beside gdal_polygonize on the smallest map."""
    names = folder / "classes.csv"
    names.write_text("".join(f"{v},{'No change' if v == 5 else f'to {v}'}\n" for v in range(1, 8)))
    for size in sizes:
        made = class_map(folder / f"map_{size}.tif", size)
        out = folder / "polygons.gpkg"
        seconds, _, peak = measured(landshift("polygons", made, "-o", out, "--classes", names))
        about = pyogrio.read_info(out)
        print(
            f"polygons, {size}^2: {about['features']:,} polygons, {seconds:.1f} s, "
            f"{size * size / seconds / 1e6:.1f} million pixels/s, peak {peak:.0f} MiB",
            flush=True,
        )
    tool = shutil.which("gdal_polygonize.py")
    if tool is None:
        print("gdal_polygonize isn't installed (apt install gdal-bin python3-gdal)")
        return
    size = sizes[0]
    change = folder / "change.tif"  # gdal_polygonize skips nodata, as we skip 'No change'
    with rasterio.open(folder / f"map_{size}.tif") as source:
        values = source.read()
        with rasterio.open(change, "w", **source.profile) as target:
            target.write(np.where(values == 5, 0, values))
    for driver, suffix in (("GPKG", "gpkg"), ("FlatGeobuf", "fgb")):
        ours, ours_cores, peak = measured(
            landshift("polygons", change, "-o", folder / f"ours.{suffix}")
        )
        gdal = [tool, "-q", str(change), "-f", driver, str(folder / f"gdal.{suffix}")]
        theirs, theirs_cores, other = measured(gdal)
        print(
            f"polygons to {driver}, {size}^2: {ours:.1f} s ({ours_cores:.1f} of a core, peak "
            f"{peak:.0f} MiB), gdal_polygonize {theirs:.1f} s ({theirs_cores:.1f} of a core, peak "
            f"{other:.0f} MiB): {theirs / ours:.2f} times its speed",
            flush=True,
        )


def patches(folder: Path, sizes: list[int]) -> None:
    """Measures of the patches of every class."""
    for size in sizes:
        made = class_map(folder / f"map_{size}.tif", size)
        out = folder / "patches.csv"
        seconds, _, peak = measured(landshift("patches", made, "-o", out))
        with out.open(newline="", encoding="utf-8") as file:
            count = sum(int(row["patches"]) for row in csv.DictReader(file))
        print(
            f"patches, {size}^2: {count:,} patches, {seconds:.1f} s, "
            f"{size * size / seconds / 1e6:.1f} million pixels/s, peak {peak:.0f} MiB",
            flush=True,
        )


def zonal(folder: Path, sizes: list[int]) -> None:
    """Classes in 100 irregular zones that part the map."""
    random = np.random.default_rng(0)
    for size in sizes:
        made = class_map(folder / f"map_{size}.tif", size)
        where = random.uniform(0, size * 10, (100, 2)) * (1, -1) + (WHERE.c, WHERE.f)
        cells = shapely.get_parts(shapely.voronoi_polygons(shapely.MultiPoint(where)))
        zones = folder / f"zones_{size}.gpkg"
        pyogrio.raw.write(
            zones, shapely.to_wkb(cells), [np.array([f"zone {k}" for k in range(100)], object)],
            np.array(["name"], object), driver="GPKG", geometry_type="Polygon", crs="EPSG:32618",
        )  # fmt: skip
        seconds, _, peak = measured(
            landshift("zonal", made, zones, "--column", "name", "-o", folder / "zones.csv")
        )
        print(
            f"zonal, 100 zones, {size}^2: {seconds:.1f} s, "
            f"{size * size / seconds / 1e6:.1f} million pixels/s, peak {peak:.0f} MiB",
            flush=True,
        )


STAGES = {"sample": sample, "polygons": polygons, "patches": patches, "zonal": zonal}


def main() -> None:
    """Run the stages asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stages", nargs="*", default=list(STAGES), metavar="STAGE")
    parser.add_argument("--sizes", nargs="+", type=int, default=[4000, 20000])
    parser.add_argument("--folder", type=Path, help="where inputs and outputs lie for a while")
    options = parser.parse_args()
    for stage in options.stages:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            STAGES[stage](Path(folder), options.sizes)


if __name__ == "__main__":
    main()
