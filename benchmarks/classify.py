"""How fast `classify` is: each figure as a ratio, all in one run, in turn.

    python benchmarks/classify.py --model unet.emd --image composite.tif --rounds 3

The model is a U-Net over resnet34, or any saved one; without `--model` it has random weights, and
nothing is said of agreement. Without `--image` a raster of 12 bands is made. Other work on the
machine slows all of a round alike, more or less: read the ratios, not the rates, and their spread.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
import torch
from rasterio.transform import from_origin
from rasterio.windows import Window as Part

from landshift import bundle, raster, tiling
from landshift.classes import ClassScheme
from landshift.classify import classify_pixels
from landshift.classify.scene import find_scene
from landshift.engine import TorchEngine
from landshift.engine.openvino import OpenVinoEngine
from landshift.engine.quantising import SUFFIX, quantise
from landshift.grid import Window
from landshift.models import ChangeModel
from landshift.spec import InputSpec

BANDS = tuple(f"{d}:b{k}" for d in ("before", "after") for k in range(1, 7))
FAMILIAR = {"tile_size": 224, "padding": 56, "batch_size": 4}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--image", type=Path)
    parser.add_argument("--size", type=int, default=2048, help="rows and columns where it is made")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        return child(*arguments.child)
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        image = arguments.image or make_image(folder / "image.tif", arguments.size)
        network = bundle.load(arguments.model).model if arguments.model else random_model()
        model = save(network, folder)
        scene = find_scene(image, network.spec)
        tiles = some_tiles(scene, network.spec.tile_size, 24)
        path = model.parent / f"{model.parent.name}{SUFFIX}"
        found = quantise(network, path, tiles[::2], tiles[1::2], least=0.0)
        if arguments.model:
            print(
                f"agreement with float32: bfloat16 {found.bfloat16:.4%}, int8 {found.agreement:.4%}"
            )
        rates(folder, image, network, model, arguments.rounds)
        memory(folder, image, model)


def rates(folder: Path, image: Path, network: ChangeModel, model: Path, rounds: int) -> None:
    """Useful Mpixel/s of raster, and what follows from them."""
    sparse = make_sparse(image, folder / "sparse.tif")
    scene = find_scene(image, network.spec)
    eager = network.eval()
    graph = model.parent / f"{model.parent.name}.int8.xml"
    pure = {
        "openvino bfloat16": OpenVinoEngine(network),
        "openvino int8": OpenVinoEngine(network, quantised=graph),
        "torch bfloat16": TorchEngine(network, device="cpu"),
    }
    measured: dict[str, list[float]] = defaultdict(list)
    for number in range(-1, rounds):  # the first warms up
        one: dict[str, float] = {"familiar": familiar(scene, eager)}
        for name, engine in pure.items():
            kind, precision = name.split()
            options = {"engine": kind, "precision": precision, "device": "cpu"}
            one[name] = end_to_end(image, model, folder, **options)
            one[f"{name}, pure"] = pure_rate(scene, engine)
            if kind == "openvino":
                one[f"{name}, 75 % nodata"] = end_to_end(sparse, model, folder, **options)
        if number >= 0:
            for name, value in one.items():
                measured[name].append(value)
            print(json.dumps({k: round(v, 4) for k, v in one.items()}), flush=True)

    def ratio(first: str, second: str) -> str:
        each = [a / b for a, b in zip(measured[first], measured[second], strict=True)]
        return f"{statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f})"

    for name in pure:
        print(f"{name} over familiar: {ratio(name, 'familiar')}")
        print(f"{name}, end to end over pure: {ratio(name, f'{name}, pure')}")
        if f"{name}, 75 % nodata" in measured:
            print(f"{name}, 75 % nodata over full: {ratio(f'{name}, 75 % nodata', name)}")


def familiar(scene: object, model: ChangeModel) -> float:
    """Eager float32, one step after another: read 4 tiles of 224, run, keep 112 x 112 of each."""
    plan = tiling.plan_inference(448, 448, padding=56, tile_size=224)
    tiles = plan.block(0).tiles
    start = time.perf_counter()
    with scene.opened(256 << 20) as read, torch.inference_mode():
        for first in range(0, len(tiles), 4):
            batch = [read(t.window) for t in tiles[first : first + 4]]
            images = np.stack([model.spec.fill(r.values, r.mask) for r in batch])
            model(torch.from_numpy(images)).softmax(1).numpy().argmax(1).astype(np.uint8)
    return 448 * 448 / (time.perf_counter() - start) / 1e6


def end_to_end(image: Path, model: Path, folder: Path, **options: str) -> float:
    """Mpixel/s from the first block's start to the finished map."""
    started = []
    classify_pixels(
        image, model, folder / "map.tif", on_block=lambda p: started.append(time.perf_counter()),
        **options,
    )  # fmt: skip
    info = raster.info(image)
    return info.height * info.width / (time.perf_counter() - started[0]) / 1e6


def pure_rate(scene: object, engine: object) -> float:
    """Mpixel/s of kept pixels where the tiles lie in memory."""
    info = scene.box
    plan = tiling.plan_inference(
        info.height, info.width, padding=64, most=engine.core, stored=scene.stored
    )
    tile = plan.block(0).tiles[0]
    with scene.opened(256 << 20) as read:
        got = read(tile.window)
    engine.best(got.values[np.newaxis], got.mask[np.newaxis])
    start = time.perf_counter()
    for _ in range(3):
        engine.best(got.values[np.newaxis], got.mask[np.newaxis])
    return 3 * plan.core[0] * plan.core[1] / (time.perf_counter() - start) / 1e6


def memory(folder: Path, image: Path, model: Path) -> None:
    """Peak resident memory and start-up of a process of its own, for two sizes of raster."""
    tall = folder / "tall.vrt"
    with rasterio.open(image) as source:
        height, width = source.shape
        side_by_side(image, tall, height, width)
    for name, precision in (("bfloat16", "bfloat16"), ("int8", "int8")):
        for what, path in (("1 x", image), ("4 x", tall)):
            found = subprocess.run(
                [sys.executable, __file__, "--child", str(path), str(model), precision,
                 str(folder / "child.tif")],
                capture_output=True, text=True, check=True, env={**os.environ},
            )  # fmt: skip
            print(f"openvino {name}, raster {what}: {found.stdout.strip()}", flush=True)


def child(image: str, model: str, precision: str, out: str) -> None:
    """What a process of its own needs."""

    def peak() -> int:  # getrusage would tell of the parent's, too
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) >> 10

    imported, start, ready = peak(), time.perf_counter(), []
    classify_pixels(
        image, model, out, engine="openvino", precision=precision, device="cpu",
        on_block=lambda p: ready.append(time.perf_counter()),
    )  # fmt: skip
    print(
        f"peak {peak()} MB, of it {imported} MB by importing; {ready[0] - start:.1f} s and "
        "the imports before the first block"
    )


def make_image(path: Path, size: int) -> Path:
    """Squares of 16 pixels with noise, 12 bands uint16, a zstd COG's blocks."""
    random = np.random.default_rng(0)
    base = random.integers(0, 1200, (12, size // 16, size // 16))
    with rasterio.open(path, "w", **profile(size, size)) as target:
        for row in range(0, size, 512):
            rows = min(512, size - row)
            part = np.kron(base[:, row // 16 : (row + rows) // 16], np.ones((16, 16), np.int64))
            values = part + random.integers(200, 500, part.shape)
            target.write(values.astype(np.uint16), window=Part(0, row, size, rows))
        target.descriptions = BANDS
    return path


def profile(height: int, width: int) -> dict[str, object]:
    return {
        "driver": "GTiff", "height": height, "width": width, "count": 12, "dtype": "uint16",
        "crs": "EPSG:32618", "transform": from_origin(5e5, 4e6, 30, 30), "tiled": True,
        "blockxsize": 512, "blockysize": 512, "compress": "zstd", "zstd_level": 1,
        "predictor": 2, "interleave": "pixel", "nodata": 0,
    }  # fmt: skip


def make_sparse(image: Path, path: Path) -> Path:
    """The same raster, all but its upper left quarter nodata."""
    with rasterio.open(image) as source:
        about = {**profile(*source.shape), "count": source.count, "nodata": 0}
        with rasterio.open(path, "w", **about) as target:
            quarter = Part(0, 0, source.width // 2, source.height // 2)
            target.write(source.read(window=quarter), window=quarter)
            target.descriptions = source.descriptions
    return path


def side_by_side(image: Path, path: Path, height: int, width: int) -> None:
    """A VRT of the raster twice over in both directions."""
    rasterio.shutil.copy(image, path, driver="VRT")
    text = path.read_text()
    text = text.replace(f'rasterXSize="{width}"', f'rasterXSize="{2 * width}"', 1)
    text = text.replace(f'rasterYSize="{height}"', f'rasterYSize="{2 * height}"', 1)
    start, end = text.index("<SourceFilename"), 0
    out, at = [], 0
    kind = text.rfind("<", 0, start)
    tag = text[kind + 1 : text.index(">", kind)].split()[0]
    while (begin := text.find(f"<{tag}", at)) >= 0:
        end = text.index(f"</{tag}>", begin) + len(tag) + 3
        one = text[begin:end]
        out.append(text[at:begin])
        for row in (0, height):
            for column in (0, width):
                place = f'<DstRect xOff="{column}" yOff="{row}"'
                out.append(one.replace('<DstRect xOff="0" yOff="0"', place))
        at = end
    path.write_text("".join(out) + text[at:])


def some_tiles(scene: object, size: int, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    random = np.random.default_rng(1)
    found = []
    with scene.opened(256 << 20) as read:
        for _ in range(count):
            row, column = (
                int(random.integers(0, max(n - size, 1)))
                for n in (scene.box.height, scene.box.width)
            )
            got = read(Window(row, column, size, size))
            found.append((got.values, got.mask))
    return found


def random_model() -> ChangeModel:
    count = len(BANDS)
    spec = InputSpec(
        BANDS, (950.0,) * count, (360.0,) * count, (0.0,) * count, (2000.0,) * count, 256,
        "uint16", 30.0,
    )  # fmt: skip
    scheme = ClassScheme.from_mapping({k: f"class {k}" for k in range(1, 12)})
    return ChangeModel("unet", spec, scheme, backbone="resnet34").eval()


def save(network: ChangeModel, folder: Path) -> Path:
    return bundle.save(bundle.Package("bench", network), folder / "bench")


if __name__ == "__main__":
    main()
