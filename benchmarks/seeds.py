"""Variation between seeds: suggested learning rates, and scores at full and reduced precision.

    python benchmarks/seeds.py lr          # suggestions of lr_find for five seeds
    python benchmarks/seeds.py precision   # three seeds in float32 and in precision='auto'

Both on the simulated scene (512 x 512 pixels, seed 0), with a U-Net over resnet18 from random
weights, batches of eight crops of 64 pixels, and one thread. A seed decides the initial weights,
the crops and their order; the split is the same for all. Lines are printed as results come.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from landshift import tileset, training
from landshift.dataset import TrainingData, TrainingTiles, prepare
from landshift.models import ChangeModel
from landshift.prepare import composite, label
from landshift.simulation.scene import simulate
from landshift.training import Loss, Training

SIZE = 512
LR_SEEDS, PRECISION_SEEDS = 5, 3


def make_tiles(folder: Path) -> Path:
    """Tiles of the simulated scene."""
    scene = simulate(folder / "scene", height=SIZE, width=SIZE, seed=0)
    stacked = composite.composite([scene.before, scene.after], folder / "composite.tif")
    change = folder / "change.tif"
    label.label(scene.before_classes, scene.after_classes, change)
    cutting = tileset.Cutting(tile_size=128, stride=64)
    return tileset.cut([stacked], [change], folder / "set", cutting=cutting).folder


def with_seed(data: TrainingData, seed: int) -> TrainingData:
    """The same split with another order and other crops."""
    return replace(data, options=replace(data.options, seed=seed))


def new_model(data: TrainingData) -> ChangeModel:
    """A network with initial weights by the data's seed."""
    return ChangeModel("unet", data.spec, data.scheme, backbone="resnet18", seed=data.options.seed)


def compare_rates(data: TrainingData) -> None:
    """Print the suggestion of each seed."""
    found = []
    for seed in range(LR_SEEDS):
        seeded = with_seed(data, seed)
        found.append(training.lr_find(new_model(seeded), seeded).suggestion)
        print(f"seed {seed}: suggested learning rate {found[-1]:.2e}", flush=True)
    print(f"largest / smallest: {max(found) / min(found):.2f}")


def compare_precisions(data: TrainingData, steps: int) -> None:
    """Print validation scores and processor time of each seed, at both precisions."""
    times: dict[str, list[float]] = {"32-true": [], "auto": []}
    for seed in range(PRECISION_SEEDS):
        seeded = with_seed(data, seed)
        for precision, seconds in times.items():
            options = Training(
                epochs=1000, max_steps=steps, lr=1e-3, loss=Loss(class_balancing=True),
                precision=precision,
            )  # fmt: skip
            started = time.process_time()
            row = training.fit(new_model(seeded), seeded, options)[-1]
            seconds.append((time.process_time() - started) / steps)
            print(
                f"seed {seed}, {precision:7}: macro F1 {row.dice:.3f}, change F1 "
                f"{row.change_f1:.3f}, loss {row.valid_loss:.3f}, "
                f"{1000 * seconds[-1]:.0f} ms a step",
                flush=True,
            )
    ratios = [full / half for full, half in zip(*times.values(), strict=True)]
    print(f"32-true / auto, median of the seeds: {statistics.median(ratios):.2f} times the speed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("lr", "precision"))
    parser.add_argument("--tiles", type=Path, help="a tile set instead of the simulated one")
    parser.add_argument("--steps", type=int, default=80, help="steps of each training")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    torch.set_num_threads(1)  # so that processor time doesn't include waiting
    with tempfile.TemporaryDirectory() as folder:
        tiles = asked.tiles or make_tiles(Path(folder))
        data = prepare(tiles, reading=TrainingTiles(batch_size=8, chip_size=64))
        if asked.what == "lr":
            compare_rates(data)
        else:
            compare_precisions(data, asked.steps)


if __name__ == "__main__":
    main()
