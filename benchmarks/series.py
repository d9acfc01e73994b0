"""`landshift series`: errors before and after each cleaning, and its speed beside a plain loop.

python benchmarks/series.py errors            # simulated series of eight dates, three seeds
python benchmarks/series.py speed DATA        # Mato Grosso's 17 maps, repeated: --side 4000
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window
from scipy import ndimage

import landshift

DATES, SIDE = 8, 384


def wrong_maps(true, share, rng):
    """Maps with structured errors: patches of another class, drawn anew for each date."""
    maps = true.copy()
    for date, each in enumerate(maps):
        field = ndimage.gaussian_filter(rng.standard_normal(each.shape), 2)
        wrong = field > np.quantile(field, 1 - share)
        maps[date] = np.where(wrong, each % true.max() + 1, each)
    return maps


def written(folder, name, maps, like):
    """Class maps as files."""
    paths = []
    with rasterio.open(like) as source:
        profile = source.profile | {"driver": "GTiff", "compress": "deflate", "nodata": 0}
    for date, each in enumerate(maps):
        path = folder / f"{name}_{2000 + date}.tif"
        with rasterio.open(path, "w", **profile) as target:
            target.write(each, 1)
        paths.append(path)
    return paths


def confusion(true, maps, folder):
    """The confusion matrix of all maps, from 2,000 pixels, as a sample would give it."""
    names = {value: str(value) for value in np.unique(true).tolist()}
    at = np.random.default_rng(0).integers(0, true.size, 2000)
    pairs = np.stack([true.ravel()[at], maps.ravel()[at]])
    rows = [
        ",".join([names[a], *(str(((pairs[0] == a) & (pairs[1] == b)).sum()) for b in names)])
        for a in names
    ]
    path = folder / "confusion.csv"
    path.write_text("\n".join([",".join(["true", *names.values()]), *rows]) + "\n")
    return path


def read(path):
    """The band of a raster."""
    with rasterio.open(path) as source:
        return source.read(1)


def errors() -> None:
    """Print errors of class, of year, and false changes, for each share of errors and cleaning."""
    ways = {
        "as mapped": {},
        "majority of 3": {"consistent": "majority"},
        "majority of 5": {"consistent": "majority", "window": 5},
        "Markov, accuracy": {"consistent": "markov"},
        "Markov, confusion": {"consistent": "markov"},
    }
    print("| errors | maps | wrong class | year within one | false change a period |")
    print("|---|---|---|---|---|")
    for share in (0.1, 0.2, 0.3):
        rows = {way: [] for way in ways}
        for seed in (1, 2, 3):
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary)
                scene = landshift.simulate(
                    folder / "scene", height=SIDE, width=SIDE, seed=seed,
                    dates=DATES, years=DATES - 1,
                )  # fmt: skip
                like = scene.class_maps[0]
                true = np.stack([read(path) for path in scene.class_maps])
                maps = wrong_maps(true, share, np.random.default_rng(seed))
                truth = written(folder, "true", true, like)
                landshift.series(truth, folder / "truth")
                year = read(folder / "truth" / "year.tif")
                paths = written(folder, "map", maps, like)
                for way, options in ways.items():
                    more = {}
                    if way == "Markov, accuracy":
                        more = {"accuracy": str(1 - share)}
                    elif way == "Markov, confusion":
                        more = {"confusion": [confusion(true, maps, folder)]}
                    out = folder / way.replace(" ", "_")
                    landshift.series(
                        paths, out, consistency=landshift.Consistency(**options, **more)
                    )
                    found = maps
                    if options:
                        found = np.stack(
                            [read(out / "maps" / f"{2000 + d}.tif") for d in range(DATES)]
                        )
                    rows[way].append(scores(true, found, year, read(out / "year.tif")))
        for way, each in rows.items():
            mean, spread = np.mean(each, axis=0), np.std(each, axis=0)
            cells = [
                f"{100 * m:.1f} % (± {100 * s:.1f})" for m, s in zip(mean, spread, strict=True)
            ]
            print(f"| {share:.0%} | {way} | " + " | ".join(cells) + " |", flush=True)


def scores(true, found, year, found_year):
    """Wrong classes; years within one period of true changes; false changes a period."""
    changed = year > 0
    near = (np.abs(found_year.astype(int) - year)[changed] <= 1) & (found_year[changed] > 0)
    steady = true[1:] == true[:-1]
    false = (found[1:] != found[:-1]) & steady
    return (found != true).mean(), near.mean(), false.sum() / steady.sum()


def speed(data: Path, side: int, *, markov: bool) -> None:
    """Time and memory of the command, and of a loop over blocks with numpy, in turn."""
    with tempfile.TemporaryDirectory(dir=".") as temporary:
        folder = Path(temporary)
        paths = []
        for path in sorted((data / "mato_grosso_lulc").glob("*.tif")):
            with rasterio.open(path) as source:
                values, profile = source.read(1), source.profile
            tall = np.tile(values, (1, -(-side // values.shape[1])))[:, :side]
            profile |= {"height": side, "width": side, "tiled": True, "compress": "deflate",
                        "blockxsize": 512, "blockysize": 512}  # fmt: skip
            target = folder / path.name
            with rasterio.open(target, "w", **profile) as out:
                for row in range(0, side, len(tall)):
                    rows = min(len(tall), side - row)
                    out.write(tall[:rows], 1, window=Window(0, row, side, rows))
            paths.append(target)
        classes = folder / "classes.csv"
        classes.write_text("value,name\n" + "".join(f"{k},class {k}\n" for k in range(1, 14)))
        command = [
            sys.executable, "-c", "from landshift.cli import main; main()", "series",
            *map(str, paths), "--classes", str(classes), "-o", str(folder / "out"), "--overwrite",
        ]  # fmt: skip
        for name, words in {
            "numpy": [sys.executable, __file__, "loop", *map(str, paths)],
            "landshift": command,
            **(
                {"landshift, Markov": [*command, "--consistent", "markov", "--accuracy", "0.85"]}
                if markov
                else {}
            ),
        }.items():
            begun = time.perf_counter()
            process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
            _, _, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - begun
            rate = side * side * len(paths) / 1e6 / seconds
            print(
                f"{name}: {seconds:.1f} s, {rate:.1f} Mpixel/s of {len(paths)} maps, "
                f"{usage.ru_maxrss / 1024:,.0f} MiB", flush=True,
            )  # fmt: skip


def loop(paths) -> None:
    """The same rasters and tables of periods, as one would write them with numpy, in one thread.

    Lasting changes of two dates, numbers of changes, transitions of each period.
    """
    files = [rasterio.open(path) for path in paths]
    profile = files[0].profile | {"count": 1, "nodata": 0}
    flows = np.zeros((len(files) - 1, 256), np.int64)
    folder = Path(paths[0]).parent
    names = ("year", "before", "after", "changes", "lasting", "flicker")
    outs = [rasterio.open(folder / f"loop_{n}.tif", "w", **profile) for n in names]
    for _, window in files[0].block_windows(1):
        stack = np.stack([file.read(1, window=window) for file in files])
        none = stack == 15
        shape = stack.shape[1:]
        changes = np.zeros(shape, np.uint8)
        year, lasting, flicker = np.zeros((3, *shape), np.uint8)
        before = np.zeros(shape, np.uint8)
        after = np.zeros(shape, np.uint8)
        run, length = stack[0].copy(), np.ones(shape, np.int16)
        steady = np.full(shape, 15, np.uint8)
        for date in range(1, len(stack)):
            pair = stack[date - 1].astype(np.int64) * 16 + stack[date]
            valid = ~none[date - 1] & ~none[date]
            flows[date - 1] += np.bincount(pair[valid], minlength=256)
            new = (stack[date] != run) & ~none[date]
            changes += new
            lasts = new & (length >= 2)
            change = lasts & (steady != 15) & (steady != run)
            year[change], before[change], after[change] = date, steady[change], run[change]
            lasting += change
            flicker |= new & (length < 2)
            steady[lasts] = run[lasts]
            run[new] = stack[date][new]
            length[new] = 0
            length += ~none[date]
        for out, values in zip(outs, (year, before, after, changes, lasting, flicker), strict=True):
            out.write(values, 1, window=window)
    for out in outs:
        out.close()
    print(flows.sum(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def main() -> None:
    """Run what was asked for."""
    if sys.argv[1:2] == ["loop"]:
        loop(sys.argv[2:])
        return
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("what", choices=("errors", "speed"))
    options.add_argument("data", type=Path, nargs="?")
    options.add_argument("--side", type=int, default=4000)
    options.add_argument("--markov", action="store_true", help="time the Markov model too")
    asked = options.parse_args()
    if asked.what == "errors":
        errors()
    else:
        speed(asked.data, asked.side, markov=asked.markov)


if __name__ == "__main__":
    main()
