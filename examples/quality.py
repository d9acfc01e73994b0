"""Comparison of the models over seeds, on the simulated scene and on Pucallpa.

    python examples/quality.py DATA OUT                      # every run that is missing
    python examples/quality.py DATA OUT --only simulated/unet simulated/semantic
    python examples/quality.py DATA OUT --table              # results so far

Every run has the same encoder (resnet18, random weights) and the same number of steps on its data,
and keeps the weights of the last step; its scores go to OUT/runs/<data>/<model>_<seed>.json. Runs
with an existing file are skipped, so that the script can be stopped and restarted at any time.

Protocols. Simulated: a scene of 1536 x 1536 pixels (seed 0), labels 'to class', trained on columns
0-1023, tested on columns 1088-1535. Pucallpa: that of pucallpa.py, with all images brought to the
radiometry of one year.
"""

import argparse
import itertools
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.table import Table

os.environ.setdefault("LANDSHIFT_OFFLINE", "1")  # random weights, so that figures can be compared

import pucallpa

from landshift import TargetGrid, classify_pixels, composite, label, simulate, tileset
from landshift.evaluation import baselines
from landshift.evaluation.evaluation import Evaluation, pool
from landshift.evaluation.maps import evaluate_map, evaluate_rules
from landshift.files import whole
from landshift.learn import Data, prepare_data
from landshift.simulation import tables

BACKBONE = "resnet18"
SEEDS = (1, 2, 3)
RULES = "rules"
"""Name of the per-pixel rules in place of a model's name; they have one run."""

SIZE, TRAIN_COLUMNS, TEST_COLUMNS = 1536, (0, 1024), (1088, 1536)
SCORES = ("accuracy", "macro_f1", "miou", "change_f1")

Prepared = tuple[Path, list[tuple[Path, Path]]]
"""A folder of tiles to train on, and image and reference of each part of the test."""


@dataclass(frozen=True)
class Benchmark:
    """Data to compare models on.

    Attributes:
        prepare: Function that prepares the data in the second folder from those in the first.
        steps: Training steps of each model.
        batch_size: Crops of tiles a step.
        chip_size: Rows and columns of a crop.
    """

    prepare: Callable[[Path, Path], Prepared]
    steps: int
    batch_size: int
    chip_size: int


def prepare_simulated(_: Path, out: Path) -> Prepared:
    """Tiles and test part of the simulated scene."""
    scene = simulate(out / "scene", height=SIZE, width=SIZE, seed=0, overwrite=True)
    parts = {}
    for part, columns in {"train": TRAIN_COLUMNS, "test": TEST_COLUMNS}.items():
        bounds = pucallpa.bounds_of_columns(scene.before, *columns)
        stacked = composite(
            [scene.before, scene.after],
            out / f"{part}.tif",
            target=TargetGrid(bounds=bounds),
            overwrite=True,
        )
        maps = [
            composite(
                [classes], out / f"{part}_{date}_classes.tif",
                target=TargetGrid(bounds=bounds), overwrite=True,
            )
            for date, classes in (
                ("before", scene.before_classes), ("after", scene.after_classes),
            )
        ]  # fmt: skip
        change = out / f"{part}_change.tif"
        label(*maps, change, classes=tables.LAND_COVER, overwrite=True)
        parts[part] = stacked, change, *maps
    stacked, change, before, after = parts["train"]
    tiles = tileset.cut(
        [stacked], [change], out / "tiles", cutting=tileset.Cutting(tile_size=128, stride=64),
        companions=tileset.Companions(
            labels_before=[before], labels_after=[after], map_classes=tables.LAND_COVER
        ),
        overwrite=True,
    )  # fmt: skip
    return tiles.folder, [parts["test"][:2]]


def prepare_pucallpa(source: Path, out: Path) -> Prepared:
    """Tiles and test parts of Pucallpa."""
    return pucallpa.cut_tiles(source / "pucallpa", out, together=True)


BENCHMARKS = {
    "simulated": Benchmark(prepare_simulated, steps=400, batch_size=8, chip_size=64),
    "pucallpa": Benchmark(prepare_pucallpa, steps=400, batch_size=16, chip_size=128),
}


def prepared(name: str, source: Path, out: Path) -> Prepared:
    """The data of a benchmark, prepared once."""
    note = out / "prepared.json"
    if not note.exists():
        out.mkdir(parents=True, exist_ok=True)
        tiles, test = BENCHMARKS[name].prepare(source, out)
        with whole.whole_file(note) as part:
            part.write_text(json.dumps([str(tiles), [[str(p) for p in pair] for pair in test]]))
    folder, pairs = json.loads(note.read_text())
    return Path(folder), [(Path(image), Path(reference)) for image, reference in pairs]


def judge_model(
    model: str, data: Data, steps: int, test: Sequence[tuple[Path, Path]]
) -> Evaluation:
    """Train a model and score its maps of the test parts."""
    classifier = pucallpa.MODELS[model](data, backbone=BACKBONE, class_balancing=True)
    classifier.fit(epochs=1000, lr=1e-3, max_steps=steps, checkpoint=False)
    with tempfile.TemporaryDirectory() as folder:
        saved = classifier.save(Path(folder) / "model")
        maps = [
            classify_pixels(image, saved, Path(folder) / f"{k}.tif")
            for k, (image, _) in enumerate(test)
        ]
        return pool(
            [
                evaluate_map(mapped, reference)
                for mapped, (_, reference) in zip(maps, test, strict=True)
            ]
        )


def judge_rules(data: Data, test: Sequence[tuple[Path, Path]]) -> Evaluation:
    """Scores of the linear discriminant, with those of the other per-pixel rules as baselines."""
    training = data.training
    rules = baselines.fit(training)
    judged = []
    for image, reference in test:
        scored = evaluate_rules(rules, training.spec, image, reference, scheme=training.scheme)
        judged.append(scored[next(iter(rules))].beside(scored))
    return pool(judged)


def run(name: str, model: str, seed: int, source: Path, out: Path) -> dict[str, Any]:
    """Contents of the file of one run."""
    benchmark = BENCHMARKS[name]
    tiles, test = prepared(name, source, out / "data" / name)
    data = prepare_data(
        tiles, chip_size=benchmark.chip_size, batch_size=benchmark.batch_size, val_split_pct=0.02,
        seed=seed,
    )  # fmt: skip
    started = time.perf_counter(), time.process_time()
    if model == RULES:
        evaluation = judge_rules(data, test)
    else:
        evaluation = judge_model(model, data, benchmark.steps, test)
    return {
        "data": name,
        "model": model,
        "seed": seed,
        "backbone": BACKBONE,
        "steps": benchmark.steps,
        "batch_size": benchmark.batch_size,
        "chip_size": benchmark.chip_size,
        "seconds": round(time.perf_counter() - started[0], 1),
        "processor_seconds": round(time.process_time() - started[1], 1),
        **evaluation.as_dict(),
    }


def wanted(only: Sequence[str]) -> list[tuple[str, str, int]]:
    """Runs by seed: all models with the first seed, then with the next."""
    runs = []
    for name in BENCHMARKS:
        runs.append((name, RULES, 0))
        runs += [(name, m, seed) for seed, m in itertools.product(SEEDS, pucallpa.MODELS)]
    return [
        (name, model, seed)
        for name, model, seed in runs
        if not only or {name, f"{name}/{model}", f"{name}/{model}/{seed}"} & set(only)
    ]


def table(name: str, runs: Path) -> Table:
    """Mean, lowest and highest of each score over the finished seeds."""
    benchmark = BENCHMARKS[name]
    shown = Table("method", "seeds", *SCORES, "processor s")
    shown.title = (
        f"{name}: {BACKBONE}, {benchmark.steps} steps of {benchmark.batch_size} crops of "
        f"{benchmark.chip_size} pixels; mean (lowest-highest)"
    )
    rules = runs / name / f"{RULES}_0.json"
    if rules.exists():
        for method, scores in json.loads(rules.read_text())["baselines"].items():
            shown.add_row(method, "", *(f"{scores[s]:.3f}" for s in SCORES), "")
    for model in pucallpa.MODELS:
        paths = (runs / name / f"{model}_{seed}.json" for seed in SEEDS)
        finished = [json.loads(path.read_text()) for path in paths if path.exists()]
        if not finished:
            continue
        cells = []
        for score in SCORES:
            values = [run["scores"][score] for run in finished]
            spread = f" ({min(values):.3f}-{max(values):.3f})" if len(values) > 1 else ""
            cells.append(f"{fmean(values):.3f}{spread}")
        seconds = fmean(run["processor_seconds"] for run in finished)
        shown.add_row(model, str(len(finished)), *cells, f"{seconds:.0f}")
    return shown


def main() -> None:
    """Make the missing runs, and print the tables."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("data", type=Path, help="folder that holds pucallpa/")
    options.add_argument("out", type=Path)
    options.add_argument(
        "--only", nargs="+", default=(), metavar="RUN",
        help="<data>, <data>/<model> or <data>/<model>/<seed>",
    )  # fmt: skip
    options.add_argument("--table", action="store_true", help="print the tables only")
    asked = options.parse_args()
    runs = asked.out / "runs"
    chosen = wanted(asked.only)
    if not chosen:
        options.error(f"no such run: {' '.join(asked.only)}")
    for name, model, seed in () if asked.table else chosen:
        path = runs / name / f"{model}_{seed}.json"
        if path.exists():
            continue
        print(f"{name}/{model}/{seed}", flush=True)
        result = run(name, model, seed, asked.data, asked.out)
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole.whole_file(path) as part:
            part.write_text(json.dumps(result, indent=2) + "\n")
    console = Console()
    for name in dict.fromkeys(name for name, *_ in chosen):
        console.print(table(name, runs))


if __name__ == "__main__":
    main()
