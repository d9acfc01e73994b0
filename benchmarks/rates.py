"""Rates of classify and training of two checkouts, in turn: is one slower than the other?

    python benchmarks/rates.py --against PARENT/src     # a worktree of the parent commit
    python benchmarks/rates.py --against PARENT/src --only training --rounds 9

Each measurement is a fresh process; the checkouts alternate, and every other round starts with the
other one. Both use the same inputs and the same model, made once by the checkout that is compared
against. Only the command line, `classify_pixels` and `landshift.learn` are used, which both have.
Classify is timed from its first block to the finished map, training over its steps; beside it the
processor's seconds, which bear other work on the machine better. A ratio above 1 says that this
checkout is faster.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

COMMANDS = """
simulate -o scene --height {size} --width {size}
composite scene/before.tif scene/after.tif -o composite.tif
label scene/before_classes.tif scene/after_classes.tif -o change.tif
tiles composite.tif change.tif -o tiles --tile-size 256 --stride 128
train tiles --name unet --model unet --backbone {backbone} --no-pretrained --lr 0.001 --max-steps 4
"""
BATCH = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, help="src of the checkout to compare against")
    parser.add_argument(
        "--this", type=Path, default=Path(__file__).parents[1] / "src", help="src of the other one"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=1536, help="rows and columns of the scene")
    parser.add_argument("--steps", type=int, default=8, help="steps of training")
    parser.add_argument("--backbone", default="resnet34")
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--precision", default="auto")
    parser.add_argument(
        "--only", choices=("classify", "training"), nargs="*", default=("classify", "training")
    )
    parser.add_argument("--child", choices=("classify", "training"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child = classify if arguments.child == "classify" else training
        print(json.dumps(child(arguments)))
        return
    if arguments.against is None:
        parser.error("give the src folder of a checkout: --against PARENT/src")
    checkouts = {"against": arguments.against.resolve(), "this": arguments.this.resolve()}
    for source in checkouts.values():
        if not (source / "landshift" / "__init__.py").is_file():
            parser.error(f"a src folder must hold landshift, got {source}")
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), checkouts["against"], arguments)
        for kind in arguments.only:
            compare(kind, checkouts, Path(folder), arguments.rounds)


def environment(source: Path, folder: Path) -> dict[str, str]:
    """Environment of a process that imports a checkout's package; each has a cache of its own."""
    cache = folder / f"cache of {source.as_posix().replace('/', ' ').strip()}"
    return os.environ | {
        "PYTHONPATH": str(source), "LANDSHIFT_CACHE": str(cache), "LANDSHIFT_OFFLINE": "1",
    }  # fmt: skip


def prepare(folder: Path, source: Path, arguments: argparse.Namespace) -> None:
    """A scene, its tiles and a model of few steps."""
    text = COMMANDS.format(size=arguments.size, backbone=arguments.backbone)
    for line in filter(None, text.splitlines()):
        subprocess.run(
            [sys.executable, "-c", "from landshift.cli import main; main()", *line.split()],
            cwd=folder, env=environment(source, folder), check=True, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip


def compare(kind: str, checkouts: dict[str, Path], folder: Path, rounds: int) -> None:
    """Measure in turn; the first of each fills caches and doesn't count."""
    figures: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for number in range(rounds + 1):
        names = list(checkouts) if number % 2 else list(reversed(checkouts))
        for name in names:
            found = subprocess.run(
                [sys.executable, str(Path(__file__).resolve()), "--child", kind, *sys.argv[1:]],
                cwd=folder, env=environment(checkouts[name], folder), check=True,
                stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            measured = json.loads(found.stdout.splitlines()[-1])
            if Path(measured.pop("source")) != checkouts[name]:
                raise SystemExit(f"The package must come from {checkouts[name]}; set no other.")
            print(f"{kind} {number} {name}: {measured}", file=sys.stderr, flush=True)
            if number:
                for what, value in measured.items():
                    figures[what][name].append(value)
    for what, both in figures.items():
        for name, values in both.items():
            print(
                f"{kind}, {what}, {name:8} min {min(values):.4g}  "
                f"median {statistics.median(values):.4g}  max {max(values):.4g}"
            )
        one, other = (statistics.median(both[name]) for name in ("this", "against"))
        ratio = one / other if what.endswith("/s") else other / one
        print(f"{kind}, {what}, ratio of medians {ratio:.3f} (above 1: this is faster)", flush=True)


def classify(arguments: argparse.Namespace) -> dict[str, float | str]:
    """Mpixel/s from the first block to the map, and seconds before it."""
    import landshift

    clocks: list[tuple[float, float, int]] = []
    begun = time.perf_counter()
    landshift.classify_pixels(
        "composite.tif", "tiles/models/unet/unet.emd", "map.tif", overwrite=True, padding=56,
        tile_size=224, engine=arguments.engine, precision=arguments.precision, device="cpu",
        on_block=lambda p: clocks.append((time.perf_counter(), time.process_time(), p.pixels)),
    )  # fmt: skip
    end = time.perf_counter(), time.process_time()
    megapixels = clocks[-1][2] / 1e6  # the first call comes before the first block
    return {
        "Mpixel/s": megapixels / (end[0] - clocks[0][0]),
        "processor seconds a Mpixel": (end[1] - clocks[0][1]) / megapixels,
        "seconds before the first block": clocks[0][0] - begun,
        "source": source_of(landshift.__file__),
    }


def training(arguments: argparse.Namespace) -> dict[str, float | str]:
    """Images a second of the training steps and the validation after them."""
    import landshift
    from landshift.learn import UnetClassifier, prepare_data

    data = prepare_data("tiles", batch_size=BATCH, seed=0)
    classifier = UnetClassifier(data, backbone=arguments.backbone)
    classifier.fit(epochs=1, lr=1e-3, max_steps=1)  # loads what the first training loads
    start = time.perf_counter(), time.process_time()
    classifier.fit(epochs=1, lr=1e-3, max_steps=arguments.steps)
    seconds = time.perf_counter() - start[0], time.process_time() - start[1]
    images = BATCH * arguments.steps
    return {
        "images/s": images / seconds[0],
        "processor seconds an image": seconds[1] / images,
        "source": source_of(landshift.__file__),
    }


def source_of(path: str | None) -> str:
    return str(Path(path or "").resolve().parents[1])


if __name__ == "__main__":
    main()
