"""`landshift series`: errors before and after each cleaning, and its speed beside a plain loop.

python benchmarks/series.py errors            # simulated series of eight dates, three seeds
python benchmarks/series.py markov DATA       # the Markov model alone, one thread
python benchmarks/series.py speed DATA        # Mato Grosso's 17 maps, repeated: --side 4000
"""

import argparse
import collections
import itertools
import json
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
from landshift.maps.series_cleaning import Cleaning, Consistency
from landshift.maps.series_stack import MapSeries
from landshift.maps.trajectories import Rules

DATES, SIDE, SEEDS = 8, 384, (1, 2, 3)
EIGHTHS = (-1.15, -0.67, -0.32, 0.0, 0.32, 0.67, 1.15)
LOOK_ALIKES = (
    ("forest", "savannas"), ("grasslands", "croplands"), ("barren", "urban"), ("water", "wetlands"),
    ("open shrublands", "tundra"),
)  # fmt: skip


def wrong_maps(true, names, share, lasting, rng):
    """Maps with structured errors, and what a classifier would have said of each class.

    Errors are patches: where a smoothed random field is high. A part of the field is that of all
    dates, so that its errors persist; the rest is drawn anew for each date. Four of five wrong
    patches have the class that looks like the true one, the others any class. The probability of
    the mapped class is the share that is right where the field, seen through noise, is as high.

    Returns:
        Maps ``(date, row, column)``; probabilities ``(date, class, row, column)`` in per cent.
    """
    count, shape = len(names), true.shape[1:]
    place = {name: value for value, name in enumerate(names, 1)}
    alike = np.arange(count + 1)
    for pair in LOOK_ALIKES:
        a, b = (place[name] for name in pair)
        alike[a], alike[b] = b, a
    always = smooth(rng, shape)
    maps, probabilities = true.copy(), np.empty((len(true), count, *shape), np.uint8)
    for date, each in enumerate(true):
        field = np.sqrt(lasting) * always + np.sqrt(1 - lasting) * smooth(rng, shape)
        wrong = field > np.quantile(field, 1 - share)
        other = (each + np.digitize(smooth(rng, shape), EIGHTHS)) % count + 1
        likely = (alike[each] != each) & (smooth(rng, shape) < 0.84)
        maps[date] = np.where(wrong, np.where(likely, alike[each], other), each)
        seen = field + 0.5 * rng.standard_normal(shape)
        bins = np.digitize(seen, np.quantile(seen, np.linspace(0, 1, 21)[1:-1]))
        right = np.bincount(bins.ravel(), (maps[date] == each).ravel()) / np.bincount(bins.ravel())
        sure, mapped = right[bins], maps[date]
        for k in range(1, count + 1):
            rest = np.where(alike[mapped] == k, 0.8, 0.2 / (count - 2))
            of_class = np.where(mapped == k, sure, (1 - sure) * rest)
            probabilities[date, k - 1] = np.rint(100 * of_class)
    return maps, probabilities


def smooth(rng, shape):
    """A smoothed random field of mean 0 and deviation 1."""
    field = ndimage.gaussian_filter(rng.standard_normal(shape), 2, mode="wrap")
    return (field - field.mean()) / field.std()


def written(folder, name, maps, like):
    """Class maps as files."""
    paths = []
    with rasterio.open(like) as source:
        profile = source.profile | {"driver": "GTiff", "compress": "deflate", "nodata": 0}
        legend = source.tags()["LANDSHIFT_CLASSES"]
    for date, each in enumerate(maps):
        path = folder / f"{name}_{2000 + date}.tif"
        with rasterio.open(path, "w", **profile) as target:
            target.write(each, 1)
            target.update_tags(LANDSHIFT_CLASSES=legend)
        paths.append(path)
    return paths


def written_shares(folder, probabilities, names, like):
    """Probabilities as files."""
    paths = []
    with rasterio.open(like) as source:
        profile = source.profile | {"driver": "GTiff", "compress": "deflate", "nodata": 255}
    for date, each in enumerate(probabilities):
        paths.append(folder / f"shares_{2000 + date}.tif")
        with rasterio.open(paths[-1], "w", **profile | {"count": len(names)}) as target:
            target.write(each)
            target.descriptions = names
    return paths


def confusion(true, maps, names, folder):
    """The confusion matrix of all maps, from 2,000 pixels, as a sample would give it."""
    at = np.random.default_rng(0).integers(0, true.size, 2000)
    pairs = np.stack([true.ravel()[at], maps.ravel()[at]])
    values = range(1, len(names) + 1)
    rows = [
        ",".join([names[a - 1], *(str(((pairs[0] == a) & (pairs[1] == b)).sum()) for b in values)])
        for a in values
    ]
    path = folder / "confusion.csv"
    path.write_text("\n".join([",".join(["true", *names]), *rows]) + "\n")
    return path


def even(names, folder):
    """A matrix of errors that are spread evenly, with which transitions are estimated."""
    path = folder / "even.csv"
    ones = ["1"] * len(names)
    path.write_text("\n".join(map(",".join, [["true", *names], *([a, *ones] for a in names)])))
    return path


def read(path):
    """The band of a raster."""
    with rasterio.open(path) as source:
        return source.read(1)


def errors() -> None:
    """Print errors of class, of year, and false changes, for each kind of errors and cleaning."""
    print("| errors | of them lasting | maps | wrong class | year within one | "
          "false lasting change a year | false change a year |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    for share, lasting in itertools.product((0.1, 0.2, 0.3), (0.0, 0.5)):
        rows = collections.defaultdict(list)
        for seed in SEEDS:
            with tempfile.TemporaryDirectory() as temporary:
                for way, each in of_seed(Path(temporary), share, lasting, seed).items():
                    rows[way].append(each)
        for way, each in rows.items():
            mean, spread = np.mean(each, axis=0), np.std(each, axis=0, ddof=1)
            cells = [f"{100 * m:.1f} ± {100 * s:.1f} %" for m, s in zip(mean, spread, strict=True)]
            first = f"| {share:.0%} | {'half' if lasting else 'none'} "
            print(f"{first}| {way} | " + " | ".join(cells) + " |", flush=True)


def of_seed(folder, share, lasting, seed):
    """Scores of each cleaning on a simulated series."""
    scene = landshift.simulate(
        folder / "scene", height=SIDE, width=SIDE, seed=seed, dates=DATES, years=1
    )
    like = scene.class_maps[0]
    with rasterio.open(like) as source:
        names = [c["Name"] for c in json.loads(source.tags()["LANDSHIFT_CLASSES"])]
    true = np.stack([read(path) for path in scene.class_maps])
    rng = np.random.default_rng(seed)
    maps, probabilities = wrong_maps(true, names, share, lasting, rng)
    landshift.series(written(folder, "true", true, like), folder / "truth")
    year = read(folder / "truth" / "year.tif")
    paths = written(folder, "map", maps, like)
    matrix = [confusion(true, maps, names, folder)]
    shares = written_shares(folder, probabilities, names, like)
    right = str(1 - share)
    ways = {
        "as mapped": {},
        "majority of 3": {"consistent": "majority"},
        "majority of 5": {"consistent": "majority", "window": 5},
        "Markov, accuracy": {"consistent": "markov", "accuracy": right},
        "Markov, accuracy, estimated":
            {"consistent": "markov", "accuracy": right, "confusion": [even(names, folder)]},
        "Markov, confusion": {"consistent": "markov", "confusion": matrix},
        "Markov, accuracy and confusion":
            {"consistent": "markov", "accuracy": right, "confusion": matrix},
        "Markov, confusion, by date":
            {"consistent": "markov", "confusion": matrix, "states": "date"},
        "Markov, probabilities": {"consistent": "markov", "probabilities": shares},
    }  # fmt: skip
    result = {}
    for number, (way, options) in enumerate(ways.items()):
        out = folder / str(number)
        landshift.series(paths, out, consistency=landshift.Consistency(**options))
        found = maps
        if options:
            found = np.stack([read(out / "maps" / f"{2000 + d}.tif") for d in range(DATES)])
        result[way] = scores(true, found, year, read(out / "year.tif"))
    return result


def scores(true, found, year, found_year):
    """Wrong classes; lasting changes found within a period; false lasting, and any, changes."""
    changed = year > 0
    near = (np.abs(found_year.astype(int) - year)[changed] <= 1) & (found_year[changed] > 0)
    lasting = (found_year[~changed] > 0).mean() / (DATES - 1)
    steady = true[1:] == true[:-1]
    false = (found[1:] != found[:-1]) & steady
    return (found != true).mean(), near.mean(), lasting, false.sum() / steady.sum()


def markov(data: Path) -> None:
    """Print the share of distinct trajectories, and the rate of the Markov model in one thread."""
    paths = sorted((data / "mato_grosso_lulc").glob("*.tif"))
    stack = MapSeries(paths, None, None, None, None)
    rules = Rules(np.zeros((stack.classes,) * 2, np.bool_), np.ones(stack.classes, np.int64))
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        errors = [even(stack.scheme.names, Path(folder))]
        how = Consistency(consistent="markov", accuracy="0.85", confusion=errors)
        cleaning = Cleaning(stack, how, rules)
    estimate = time.process_time() - begun
    with stack.blocks("reading", lambda block: block) as blocks:
        every = list(blocks)
    begun = time.process_time()
    for block in every:
        cleaning(block)
    seconds = time.process_time() - begun
    pixels = sum(block.number.size for block in every)
    distinct = sum(len(block.mapped) for block in every)
    print(
        f"{len(paths)} maps of {pixels:,} pixels, {distinct:,} distinct trajectories by blocks "
        f"({distinct / pixels:.1%}); estimate {estimate:.1f} s, {len(cleaning.history)} rounds; "
        f"{distinct / seconds:,.0f} trajectories and {pixels / 1e6 / seconds:.2f} Mpixel/s "
        "a processor"
    )


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
    options.add_argument("what", choices=("errors", "markov", "speed"))
    options.add_argument("data", type=Path, nargs="?")
    options.add_argument("--side", type=int, default=4000)
    options.add_argument("--markov", action="store_true", help="time the Markov model too")
    asked = options.parse_args()
    if asked.what == "errors":
        errors()
    elif asked.what == "markov":
        markov(asked.data)
    else:
        speed(asked.data, asked.side, markov=asked.markov)


if __name__ == "__main__":
    main()
