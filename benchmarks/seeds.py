"""What chance changes: suggested learning rates, and scores at full and at reduced precision.

    python benchmarks/seeds.py lr          # suggestions of lr_find for five seeds
    python benchmarks/seeds.py precision   # three seeds in float32 and in precision='auto'

Both on the simulated scene (768 x 768 pixels, seed 0), with a U-Net of encoder resnet18 from random
weights, and batches of eight crops of 64 pixels. A seed decides the network's start, the crops and
their order; the split is the same for all.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from landshift import composite, labels, simulate, tileset, train
from landshift.dataset import TrainingData, prepare
from landshift.models import ChangeModel
from landshift.train import Loss, Training

SIZE = 768
LR_SEEDS, PRECISION_SEEDS = 5, 3


def make_tiles(folder: Path) -> Path:
    """Tiles of the simulated scene."""
    scene = simulate.simulate(folder / "scene", height=SIZE, width=SIZE, seed=0)
    stacked = composite.composite([scene.before, scene.after], folder / "composite.tif")
    change = folder / "change.tif"
    labels.label(scene.before_classes, scene.after_classes, change)
    return tileset.cut([stacked], [change], folder / "set", tile_size=128, stride=64).folder


def with_seed(data: TrainingData, seed: int) -> TrainingData:
    """The same split, drawn and cropped otherwise."""
    return replace(data, options=replace(data.options, seed=seed))


def new_model(data: TrainingData) -> ChangeModel:
    """A network whose start follows from the data's seed."""
    return ChangeModel("unet", data.spec, data.scheme, backbone="resnet18", seed=data.options.seed)


def compare_rates(data: TrainingData) -> Table:
    """The suggestion of each seed."""
    shown = Table("seed", "suggested learning rate")
    found = []
    for seed in range(LR_SEEDS):
        seeded = with_seed(data, seed)
        found.append(train.lr_find(new_model(seeded), seeded).suggestion)
        shown.add_row(str(seed), f"{found[-1]:.2e}")
    shown.add_row("largest / smallest", f"{max(found) / min(found):.2f}")
    return shown


def compare_precisions(data: TrainingData, steps: int) -> Table:
    """Validation scores and processor time of each seed, at both precisions."""
    shown = Table("precision", "seed", "macro F1", "change F1", "loss", "processor s a step")
    times: dict[str, list[float]] = {"32-true": [], "auto": []}
    for seed in range(PRECISION_SEEDS):
        seeded = with_seed(data, seed)
        for precision, seconds in times.items():
            started = time.process_time()
            row = train.fit(
                new_model(seeded), seeded,
                Training(
                    epochs=1000, max_steps=steps, lr=1e-3, loss=Loss(class_balancing=True),
                    precision=precision,
                ),
            )[-1]  # fmt: skip
            seconds.append((time.process_time() - started) / steps)
            scores = (f"{v:.3f}" for v in (row.dice, row.change_f1 or 0.0, row.valid_loss))
            shown.add_row(precision, str(seed), *scores, f"{seconds[-1]:.3f}")
    ratios = [full / half for full, half in zip(*times.values(), strict=True)]
    shown.add_row("32-true / auto", "", "", "", "", f"{statistics.median(ratios):.2f}")
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("lr", "precision"))
    parser.add_argument("--tiles", type=Path, help="a tile set in the place of the scene's")
    parser.add_argument("--steps", type=int, default=160, help="steps of each training")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    with tempfile.TemporaryDirectory() as folder:
        tiles = asked.tiles or make_tiles(Path(folder))
        data = prepare(tiles, batch_size=8, chip_size=64)
        rates = asked.what == "lr"
        shown = compare_rates(data) if rates else compare_precisions(data, asked.steps)
    Console().print(shown)


if __name__ == "__main__":
    main()
