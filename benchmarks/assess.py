"""Speed and peak memory of sample, polygons, patches and zonal on large maps.

    python benchmarks/assess.py [--sizes 4000 20000] [--folder FOLDER] [STAGE ...]

Maps are Cloud-Optimised GeoTIFFs of seven classes in patches of many sizes, as `landshift label`
writes them; each job runs in a process of its own.

The stage 'intervals' measures coverage instead: how often intervals contain the true value, by
method, over 2,000 samples of each of eight populations.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyogrio
import rasterio
import shapely
from preparation import WHERE, landshift, measured
from rasterio.windows import Window
from scipy import ndimage, special

from landshift.assess import estimators, intervals
from landshift.assess.figures import Intervals

TILE = 2000


def class_map(path: Path, size: int) -> Path:
    """A map of size x size pixels: one patchwork of 2000 x 2000, rotated."""
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
    """Patches of every class but the most frequent; against gdal_polygonize on the smallest map."""
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
    change = folder / "change.tif"  # gdal_polygonize skips nodata, as landshift skips 'No change'
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
    """Classes in 100 irregular zones that partition the map."""
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


# ---- Coverage of intervals

DRAWS = 2000
Z = estimators.quantile(0.95)


@dataclass(frozen=True)
class Ground:
    """A population and a design.

    Attributes:
        name: A description.
        areas: Area of each stratum.
        cells: ``(stratum, map, reference)`` shares of each stratum.
        units: Units of each stratum in the sample.
    """

    name: str
    areas: list[float]
    cells: np.ndarray
    units: list[int]


def by_class(name: str, areas: list[float], shares: list[list[float]], units: list[int]) -> Ground:
    """A population stratified by the map's classes, from the reference's shares of each."""
    cells = np.zeros((len(areas), len(areas), len(shares[0])))
    for k, row in enumerate(shares):
        cells[k, k] = np.array(row) / np.sum(row)
    return Ground(name, areas, cells, units)


WATER = by_class(
    "rare omissions from a huge stratum: 37.6 ha of 'to water' on the map, 1,095.8 ha in truth",
    [37.6, 2000, 900, 600_000],
    [[1, 0, 0, 0], [0, 0.9, 0.02, 0.08], [0.01, 0.05, 0.92, 0.02],
     [0.0017487, 0.004, 0.001, 0.9932513]],
    [30, 50, 50, 100],
)  # fmt: skip
OLOFSSON = [[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]]
MISSED = [[0.8, 0.05, 0.15], [0.02, 0.9, 0.08], [0.012, 0.01, 0.978]]
GROUNDS = (
    WATER,
    by_class("the example of Olofsson et al. (2014), its estimates as the truth",
             [18_000, 13_500, 288_000, 580_500], OLOFSSON, [75, 75, 165, 325]),
    by_class("three small classes, 1 to 3 % wrong; 30 units each and 210", [1, 2, 3, 94],
             [[0.97, 0.01, 0.01, 0.01], [0.005, 0.98, 0.005, 0.01], [0, 0.01, 0.99, 0],
              [0.001, 0.002, 0.003, 0.994]], [30, 30, 30, 210]),
    by_class("half of a class of 2 % missed; 50, 50 and 200 units", [1, 4, 95], MISSED,
             [50, 50, 200]),
    by_class("the same; 100 units each", [1, 4, 95], MISSED, [100, 100, 100]),
    by_class("small classes of 20 units", [1, 4, 95],
             [[0.95, 0.02, 0.03], [0.02, 0.9, 0.08], [0.003, 0.01, 0.987]], [20, 20, 60]),
    Ground("the map of the fourth, a simple random sample of 300", [100],
           np.array([[[a * p for p in row] for a, row in
                      zip((0.01, 0.04, 0.95), MISSED, strict=True)]]), [300]),
    Ground("its classes in two regions as strata, a buffer of 10 % and the rest; 150 units each",
           [10, 90],
           np.array([[[a * p for p in row] for a, row in zip(mix, MISSED, strict=True)]
                     for mix in ((0.09, 0.2, 0.71), (0.0011, 0.0222, 0.9767))]), [150, 150]),
)  # fmt: skip


def wilson(shares: np.ndarray, sizes: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's (1927) score limits."""
    sizes = np.maximum(sizes, 1)  # strata without units have no weight
    whole = 1 + Z**2 / sizes
    centre = (shares + Z**2 / sizes / 2) / whole
    reach = Z / whole * np.sqrt(shares * (1 - shares) / sizes + Z**2 / sizes**2 / 4)
    return np.clip(centre - reach, 0, shares), np.clip(centre + reach, shares, 1)


def agresti(shares: np.ndarray, sizes: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """The limits of Agresti & Coull (1998)."""
    more = sizes + Z**2
    centre = (shares * sizes + Z**2 / 2) / more
    reach = Z * np.sqrt(centre * (1 - centre) / more)
    return np.clip(centre - reach, 0, shares), np.clip(centre + reach, shares, 1)


def jeffreys(shares: np.ndarray, sizes: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Jeffreys' limits (Brown, Cai & DasGupta 2001)."""
    hits, misses = shares * sizes, (1 - shares) * sizes
    lower, upper = special.betaincinv(hits + 0.5, misses + 0.5, [[0.025], [0.975]])
    return np.where(hits < 1e-9, 0, lower), np.where(misses < 1e-9, 1, upper)


BY_STRATUM = {
    "Wilson": wilson,
    "Agresti-Coull": agresti,
    "Jeffreys": jeffreys,
    "Clopper-Pearson": intervals.binomial,
}
METHODS = ("normal", *BY_STRATUM, "rule of three", "Korn-Graubard", "as estimated")


def judged(ground: Ground, draw: np.random.Generator) -> dict[tuple[str, int], dict[str, tuple]]:
    """Intervals of one sample, by quantity and method."""
    strata, classes = ground.cells.shape[0], ground.cells.shape[2]
    counts = [
        draw.multinomial(n, cells.ravel())
        for n, cells in zip(ground.units, ground.cells, strict=True)
    ]
    stratum = np.repeat(np.arange(strata), ground.units)
    pair = np.concatenate([np.repeat(np.arange(c.size), c) for c in counts])
    mapped, reference = pair // classes, pair % classes
    areas = np.array(ground.areas, float)
    population = estimators.Strata(np.full(strata, np.inf), areas)
    estimator = estimators.Estimator(population, stratum, np.ones(stratum.size))
    estimated = estimators.judge(estimator, reference, mapped, classes)
    exact_of = Intervals(estimator, reference, mapped, 0.95)
    quantities = {("overall", 0): (estimated.overall, exact_of.overall)}
    for k in range(classes):
        quantities["area", k] = estimated.shares, partial(exact_of.area, k)
        quantities["user's", k] = estimated.users, partial(exact_of.users, k)
        quantities["producer's", k] = estimated.producers, partial(exact_of.producers, k)
    result = {}
    for (what, k), (estimates, interval) in quantities.items():
        value, error = estimates.value[k], estimates.error[k]
        if np.isnan(value):  # no unit: the whole range
            result[what, k] = dict.fromkeys(METHODS, (0.0, 1.0))
            continue
        normal = value - Z * error, value + Z * error
        here = {"normal": normal}
        for name, limits in BY_STRATUM.items():
            intervals.binomial = limits  # the library's combination with other limits
            exact = interval()
            here[name] = exact.lower, exact.upper
        bare = {
            "user's": [ground.units[k]] if strata == classes else [(mapped == k).sum()],
            "producer's": [(reference == k).sum()],
        }.get(what, ground.units)
        hits = reference == mapped if what == "overall" else reference == k
        add = cut = 0.0
        if what in ("area", "overall"):
            share = np.bincount(stratum, hits, strata) / ground.units
            bound = areas / areas.sum() * 3 / np.array(ground.units)
            add, cut = bound[share == 0].sum(), bound[share == 1].sum()
        elif error == 0:
            add = cut = 3 / bare[0]
        here["rule of three"] = normal[0] - cut, normal[1] + add
        units = float(sum(bare))
        size = min(value * (1 - value) / error**2 if error > 1e-12 else units, units)
        ends = intervals.binomial(np.array([min(value, 1.0)]), np.array([size]), 0.95)
        here["Korn-Graubard"] = ends[0][0], ends[1][0]
        here["as estimated"] = here["Clopper-Pearson"] if exact.strata else normal
        result[what, k] = here
    return result


def truths(ground: Ground) -> dict[tuple[str, int], float]:
    """True values, by quantity."""
    areas = np.array(ground.areas, float)
    cells = np.einsum("h,hmr->mr", areas / areas.sum(), ground.cells)
    values = {("overall", 0): np.trace(cells)}
    for k in range(cells.shape[1]):
        values["area", k] = cells[:, k].sum()
        values["user's", k] = cells[k, k] / cells[k].sum()
        values["producer's", k] = cells[k, k] / cells[:, k].sum()
    return values


def coverage(folder: Path, sizes: list[int]) -> None:
    """Share of samples whose 95 % intervals contain the true value: the lowest of all classes."""
    lowest = {}
    for ground in GROUNDS:
        draw, truth = np.random.default_rng(0), truths(ground)
        held = {key: dict.fromkeys(METHODS, 0) for key in truth}
        widths = {key: {m: [] for m in METHODS} for key in truth}
        for _ in range(DRAWS):
            for key, by in judged(ground, draw).items():
                for method, (lower, upper) in by.items():
                    held[key][method] += lower <= truth[key] <= upper
                    widths[key][method].append(min(upper, 1) - max(lower, 0))
        print(f"{ground.name} (units {', '.join(map(str, ground.units))})")
        first = {m: held["area", 0][m] / DRAWS * 100 for m in ("normal", "as estimated")}
        print("  area of the first class: " + ", ".join(f"{m} {c:.1f}" for m, c in first.items()))
        for what in ("area", "user's", "producer's", "overall"):
            cells = []
            for method in METHODS:
                # coverage means nothing where the true accuracy is 0 or 1
                keys = [key for key in truth if key[0] == what and 0 < truth[key] < 1]
                worst = min(held[key][method] for key in keys) / DRAWS * 100
                wide = np.mean([
                    np.mean(widths[key][method]) / np.mean(widths[key]["Clopper-Pearson"])
                    for key in keys
                ])  # fmt: skip
                cells.append((worst, wide))
            lowest[ground.name, what] = cells
            row = ", ".join(
                f"{m} {c:.1f} ({w:.2f})" for m, (c, w) in zip(METHODS, cells, strict=True)
            )
            print(f"  {what}: {row}", flush=True)
    print("| lowest coverage, % (mean width) | " + " | ".join(METHODS) + " |")
    for what in ("area", "user's", "producer's", "overall"):
        rows = np.array([cells for (_, w), cells in lowest.items() if w == what])
        shown = zip(rows[:, :, 0].min(axis=0), rows[:, :, 1].mean(axis=0), strict=True)
        print(f"| {what} | " + " | ".join(f"{c:.1f} ({w:.2f})" for c, w in shown) + " |")


STAGES = {
    "sample": sample,
    "polygons": polygons,
    "patches": patches,
    "zonal": zonal,
    "intervals": coverage,
}


def main() -> None:
    """Run the chosen stages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stages", nargs="*", default=list(STAGES), metavar="STAGE")
    parser.add_argument("--sizes", nargs="+", type=int, default=[4000, 20000])
    parser.add_argument("--folder", type=Path, help="folder for temporary inputs and outputs")
    options = parser.parse_args()
    for stage in options.stages:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            STAGES[stage](Path(folder), options.sizes)


if __name__ == "__main__":
    main()
