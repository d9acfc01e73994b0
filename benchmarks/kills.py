"""Whether a killed command leaves anything behind, once it has been run again.

    python benchmarks/kills.py [COMMAND ...] [--times 20] [--size 4000] [--folder FOLDER]

Each command runs once undisturbed, on generated inputs. Then it is started as often as asked for,
killed with SIGKILL after a random part of the time that it took, and run again with `--overwrite`:
the outputs must have the same bytes as those of the undisturbed run, and no other file may lie
beside them or beside the inputs. A line a command; the exit status is 1 where one differs.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from preparation import class_map, landshift, repeated, scene

SEED = 0

Digests = dict[str, str]


def label(folder: Path, out: Path, size: int) -> list[str]:
    """A change map with its table."""
    return landshift("label", *maps(folder, size), "-o", out / "c.tif", "--table", out / "t.csv")


def difference(folder: Path, out: Path, size: int) -> list[str]:
    """The change between two images."""
    aligned = images(folder, size, shift=0)
    return landshift("difference", *aligned, "-o", out / "d.tif")


def burn(folder: Path, out: Path, size: int) -> list[str]:
    """Labels of 5,000 polygons."""
    like, _ = maps(folder, size)
    options = ["--like", like, "--value-column", "class"]
    return landshift("burn", zones(folder, size), *options, "-o", out / "l.tif")


def normalise(folder: Path, out: Path, size: int) -> list[str]:
    """An image with the radiometry of another one."""
    first, second = images(folder, size)
    return landshift("normalise", second, "--like", first, "-o", out / "n.tif")


def zonal(folder: Path, out: Path, size: int) -> list[str]:
    """Classes in 5,000 zones, as a table and a layer."""
    mapped, _ = maps(folder, size)
    return landshift(
        "zonal", mapped, zones(folder, size), "--column", "name", "-o", out / "z.csv",
        "--geopackage", out / "z.gpkg",
    )  # fmt: skip


def patches(folder: Path, out: Path, size: int) -> list[str]:
    """Sizes of a map's patches."""
    return landshift("patches", maps(folder, size)[0], "-o", out / "p.csv")


def polygons(folder: Path, out: Path, size: int) -> list[str]:
    """A map's patches as polygons."""
    return landshift("polygons", maps(folder, size)[0], "-o", out / "p.gpkg")


def evaluate(folder: Path, out: Path, size: int) -> list[str]:
    """Scores of a map."""
    return landshift(
        "evaluate", *maps(folder, size), "--classes", classes(folder), "-o", out / "e.json"
    )


def composite(folder: Path, out: Path, size: int) -> list[str]:
    """Two dates on one grid."""
    return landshift("composite", *images(folder, size), "-o", out / "c.tif")


def tiles(folder: Path, out: Path, size: int) -> list[str]:
    """A training set of an image and a map."""
    image, _ = images(folder, size)
    mapped, _ = maps(folder, size)
    return landshift("tiles", image, mapped, "--classes", classes(folder), "-o", out / "set")


COMMANDS: dict[str, Callable[[Path, Path, int], list[str]]] = {
    make.__name__: make
    for make in (
        label, difference, burn, normalise, zonal, patches, polygons, evaluate, composite, tiles,
    )
}  # fmt: skip
"""Each command: where its inputs and outputs lie, and their size."""


def classes(folder: Path) -> Path:
    """Names of the maps' classes."""
    path = folder / "classes.csv"
    path.write_text("value,name\n" + "".join(f"{k},class {k}\n" for k in range(1, 8)))
    return path


def maps(folder: Path, size: int) -> list[Path]:
    """Class maps of two dates."""
    return [repeated(class_map(folder / f"map{k}.tif", k), size, 0) for k in (1, 2)]


def images(folder: Path, size: int, shift: float = 0.4) -> list[Path]:
    """Images of two dates, the second so many pixels further right."""
    names = ("image_2020-07-01", "image_2021-07-01")
    return [
        repeated(scene(folder / f"{name}.tif", 2, seed), size, shift * seed)
        for seed, name in enumerate(names)
    ]


def zones(folder: Path, size: int) -> Path:
    """Zones that cover the maps."""
    sys.path.insert(0, str(Path(__file__).parent / "beside"))
    from zonal import MANY, zones_file

    return zones_file(folder / "zones.gpkg", size, MANY)


def digests(folder: Path) -> Digests:
    """Hash of each file under a folder, by its place there."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def emptied(folder: Path) -> None:
    """Make a folder anew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()


def run(command: list[str]) -> float:
    """Seconds of a command that must succeed."""
    start = time.perf_counter()
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        sys.exit(f"{' '.join(command[3:])}\n{ended.stderr}")
    return time.perf_counter() - start


def killed(command: list[str], seconds: float) -> bool:
    """Whether a command was still running when it was killed."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    return False


def differences(expected: Digests, present: Digests) -> list[str]:
    """What differs between two folders, a text a file."""
    left, missing = present.keys() - expected.keys(), expected.keys() - present.keys()
    others = {n for n in expected.keys() & present.keys() if expected[n] != present[n]}
    kinds = {"left": left, "missing": missing, "different": others}
    return [f"{name} is {kind}" for kind, names in kinds.items() for name in sorted(names)]


def check(name: str, folder: Path, size: int, times: int) -> bool:
    """Whether a command comes back to the same bytes; prints its line."""
    inputs, out = folder / "in", folder / "out"
    emptied(inputs)
    emptied(out)
    command = COMMANDS[name](inputs, out, size)
    run(command)  # opens what is opened for the first time
    emptied(out)
    seconds = run(command)
    expected = digests(folder)
    random = np.random.default_rng(SEED)
    moments = seconds * (np.arange(times) + random.random(times)) / times
    stopped, wrong = 0, []
    for moment in random.permutation(moments):
        emptied(out)
        stopped += killed(command, moment)
        run(command)
        wrong += [
            f"{d} (killed after {moment:.2f} s)" for d in differences(expected, digests(folder))
        ]
    files = sum(name.startswith("out/") for name in expected)
    print(
        f"{name}: {seconds:.1f} s undisturbed, {files} files; {stopped} of {times} runs killed; "
        + ("; ".join(wrong) or "the same bytes each time, nothing left"),
        flush=True,
    )
    return not wrong


def main() -> None:
    """Kill the chosen commands."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commands", nargs="*", default=list(COMMANDS), metavar="COMMAND")
    parser.add_argument("--times", type=int, default=20, help="how often each is killed")
    parser.add_argument("--size", type=int, default=4000, help="rows and columns of the inputs")
    parser.add_argument("--folder", type=Path, help="folder for temporary inputs and outputs")
    options = parser.parse_args()
    unknown = set(options.commands) - COMMANDS.keys()
    if unknown:
        parser.error(f"commands must be of {', '.join(COMMANDS)}, got {', '.join(unknown)}")
    same = True
    for name in options.commands:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            same &= check(name, Path(folder), options.size, options.times)
    sys.exit(not same)


if __name__ == "__main__":
    main()
