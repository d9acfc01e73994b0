"""Speed of the training loop against the bare step; cost of reading a tile and of augmentations.

    python benchmarks/training.py             # a few minutes on two cores
    python benchmarks/training.py --cpu-time  # on a machine with other work

U-Net resnet34, 12 bands of two dates, 256 px, batch 8. The bare step is forward, backward and fused
AdamW on one batch in memory. Loop and bare step keep freed memory for the next step, as `fit` does.
All run in turn, a few steps each, and each round starts with another one, since each run leaves
memory and caches behind. Other work on the machine only adds time, so the fastest round counts. A
GPU is used if there is one, and batch 64 is run as well, with its memory.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import rasterio
import torch
from lightning_fabric import Fabric
from rasterio.transform import from_origin

from landshift import tileset
from landshift.classes import ClassScheme
from landshift.dataset import DataOptions, TrainingData, TrainingTiles, prepare, samples
from landshift.engine import computes_in_bfloat16
from landshift.machine.memory import keeping_freed
from landshift.models import ChangeModel
from landshift.training import Augmentation, Loss, Training
from landshift.training.augment import BatchAugmentation
from landshift.training.losses import build_loss
from landshift.training.run import LossStep, Run

CLOCK = time.perf_counter
NAMES = [f"{date}:b{k}" for date in ("before", "after") for k in range(6)]
CLASSES = {1: "to forest", 2: "to crop", 3: "to city", 4: "No change"}
NONE = Augmentation(turns=False, brightness=0, contrast=0)
VARIATIONS = {
    "default": Augmentation(),
    "turns": replace(NONE, turns=True),
    "brightness": replace(NONE, brightness=0.1),
    "brightness and contrast": replace(NONE, brightness=0.1, contrast=0.1),
    "noise": replace(NONE, noise=0.1),
    "band_dropout": replace(NONE, band_dropout=0.1),
    "shift": replace(NONE, shift=0.5),
    "mixup": replace(NONE, mixup=0.4),
    "cutmix": replace(NONE, cutmix=1.0),
}


def make_scene(folder: Path, tiles: int, size: int) -> None:
    """A noisy scene of so many tiles in one row, and its labels."""
    random = np.random.default_rng(0)
    place = {"crs": "EPSG:32618", "transform": from_origin(500000, 4000000, 30, 30)}
    shape = {"driver": "GTiff", "width": tiles * size, "height": size}
    values = random.integers(1, 4000, (12, size // 8, tiles * size // 8)).repeat(8, 1).repeat(8, 2)
    labels = random.integers(1, 5, (size // 16, tiles * size // 16)).repeat(16, 0).repeat(16, 1)
    with rasterio.open(folder / "c.tif", "w", **shape, **place, count=12, dtype="uint16") as file:
        file.write((values + random.integers(0, 90, values.shape)).astype(np.uint16))
        file.descriptions = NAMES
    with rasterio.open(
        folder / "l.tif", "w", **shape, **place, count=1, dtype="uint8", nodata=0
    ) as file:
        file.write(labels.astype(np.uint8), 1)


def cut(folder: Path, name: str, size: int, *, compress: bool = True) -> tileset.TileSet:
    """The scene's tiles."""
    return tileset.cut(
        [folder / "c.tif"], [folder / "l.tif"], folder / name,
        classes=ClassScheme.from_mapping(CLASSES),
        cutting=tileset.Cutting(tile_size=size, stride=size),
        encoding=tileset.Encoding(uncompressed=not compress),
    )  # fmt: skip


class Bare:
    """Forward, backward and fused AdamW on a batch in memory."""

    def __init__(
        self, model: ChangeModel, data: TrainingData, device: torch.device, *, half: bool
    ) -> None:
        self.model = model.to(device).train()
        step = LossStep(self.model, build_loss(Loss(), data, class_maps=False)).to(device)
        self.step = step
        self.half = half
        self.device = device
        self.optimiser = torch.optim.AdamW(model.parameters(), 1e-4, fused=True)
        images, targets = next(iter(data.train_loader()))
        self.images, self.targets = images.to(device), targets.to(device)
        self.augment = BatchAugmentation(None, data)

    def run(self, steps: int) -> float:
        """Seconds a step."""
        _wait(self.device)
        start = CLOCK()
        for _ in range(steps):
            self.optimiser.zero_grad()
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
                loss = self.step(self.augment(self.images, self.targets))
            loss.backward()
            self.optimiser.step()
        _wait(self.device)
        return (CLOCK() - start) / steps


class Loop:
    """The training loop of `fit`: reading, cropping and augmenting tiles, the step, its checks."""

    def __init__(self, model: ChangeModel, data: TrainingData, options: Training) -> None:
        fabric = Fabric(accelerator="auto", devices=1, precision=options.precision)
        self.part = Run(fabric, model, data, options)
        self.epoch = 0

    def run(self, steps: int) -> float:
        """Seconds a step, over an epoch of so many steps."""
        self.part.draws.batches = steps
        self.epoch += 1
        start = CLOCK()
        self.part.train_epoch(self.epoch)  # ends by reading the loss, which waits for a GPU
        return (CLOCK() - start) / steps


def drive(rivals: dict[str, Bare | Loop], steps: int, rounds: int) -> dict[str, list[float]]:
    """Seconds a step of each, run in turn; the first round warms up and doesn't count."""
    times: dict[str, list[float]] = {name: [] for name in rivals}
    order = list(rivals)
    for number in range(rounds + 1):
        order = order[1:] + order[:1]
        for name in order:
            seconds = rivals[name].run(steps)
            if number:
                times[name].append(seconds)
        logging.info("round %d of %d", number, rounds)
    return times


def cost_of(variation: Augmentation, data: TrainingData, rounds: int) -> float:
    """Milliseconds to augment a batch, the fastest of several runs."""
    augment = BatchAugmentation(variation, data)
    images, targets = next(iter(data.train_loader()))
    times = []
    for _ in range(rounds + 1):
        start = CLOCK()
        augment(images, targets)
        times.append(CLOCK() - start)
    return 1000 * min(times)


def cost_to_read(tiles: tileset.TileSet) -> float:
    """Milliseconds to read a tile from disk, the fastest of all."""
    times = []
    for tile in tiles.tiles:
        start = CLOCK()
        tileset.read_tile(tile)
        times.append(CLOCK() - start)
    return 1000 * min(times)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def report_gpu(data: TrainingData, steps: int, rounds: int) -> None:
    """Batch 64 on a GPU: images a second, against the bare step, memory; compiled or not."""
    data = replace(data, batch_size=64)
    device = torch.device("cuda")
    for compiled in (False, True):
        torch.cuda.reset_peak_memory_stats()
        bare = Bare(new_model(data), data, device, half=True)
        options = Training(lr=1e-3, precision="bf16-mixed", compile=compiled)
        loop = Loop(new_model(data), data, options)
        times = drive({"bare": bare, "loop": loop}, steps, rounds)
        print(
            f"batch 64, bf16, channels_last{', compiled' if compiled else ''}: "
            f"{64 / min(times['loop']):.0f} images/s, "
            f"{min(times['bare']) / min(times['loop']):.2f} of the "
            f"bare step, {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB for both"
        )


def new_model(data: TrainingData) -> ChangeModel:
    return ChangeModel("unet", data.spec, data.scheme, backbone="resnet34")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256, help="rows and columns of a tile")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=3, help="steps of each rival in a round")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument(
        "--cpu-time", action="store_true",
        help="processor time instead of wall time, for a machine with other work; one thread",
    )  # fmt: skip
    arguments = parser.parse_args()
    if arguments.cpu_time:
        global CLOCK
        CLOCK = time.process_time
        torch.set_num_threads(1)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    half = computes_in_bfloat16(device)
    precision = "bf16-mixed" if half else "32-true"
    with tempfile.TemporaryDirectory() as root, keeping_freed():
        make_scene(Path(root), 36, arguments.size)
        tiles = cut(Path(root), "set", arguments.size)
        plain = cut(Path(root), "plain", arguments.size, compress=False)
        data = prepare(
            tiles.folder,
            DataOptions(val_split_pct=0.2),
            TrainingTiles(CLASSES, batch_size=arguments.batch),
        )
        options = Training(lr=1e-3, precision=precision, max_steps=10**6, epochs=10**6)
        samples.CACHE_BYTES = 0
        from_disk = Loop(new_model(data), data, options)
        samples.CACHE_BYTES = 1 << 30
        rivals: dict[str, Bare | Loop] = {
            "bare fp32 step": Bare(new_model(data), data, device, half=False),
            f"bare {precision} step": Bare(new_model(data), data, device, half=half),
            "loop, tiles in memory": Loop(new_model(data), data, options),
            "loop, tiles read from disk": from_disk,
        }
        times = drive(rivals, arguments.steps, arguments.rounds)
        full, bare = (min(times[name]) for name in list(rivals)[:2])
        print(
            f"U-Net resnet34, 12 bands, {arguments.size} px, batch {arguments.batch}, on "
            f"{device}, {torch.get_num_threads()} threads"
        )
        for name, seconds in times.items():
            print(
                f"{name:28} {arguments.batch / min(seconds):7.2f} images/s   "
                f"of the bare {precision} step {bare / min(seconds):.3f}   "
                f"of the bare fp32 step {full / min(seconds):.2f}"
            )
        lzw, none = cost_to_read(tiles), cost_to_read(plain)
        print(f"to read a tile {lzw:.1f} ms with LZW, {none:.1f} ms uncompressed")
        if device.type == "cpu":
            for name, variation in VARIATIONS.items():
                cost = cost_of(variation, data, 2 * arguments.rounds)
                share = cost / 10 / bare
                print(f"{name:24} {cost:6.1f} ms a batch, {share:.1f} % of the bare step")
        else:
            report_gpu(data, arguments.steps, arguments.rounds)


if __name__ == "__main__":
    main()
