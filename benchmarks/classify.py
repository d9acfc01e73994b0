"""Speed, memory and loss of accuracy of `classify`, as ratios and shares, in one run.

    python benchmarks/classify.py --demo demo

The model is a U-Net over resnet34 (12 bands, 11 classes), trained for 12 epochs on the scene that
`landshift demo` made in that folder; the demo runs first if there is none. With `--untrained`
weights are random, and no loss is measured: rates and memory are the same. Maps are scored on a
scene of another seed than that of the training. For the rates that scene is repeated until it has
`--size` pixels. Other work on the machine slows all runs by about the same factor: read the ratios
and their spread, not the rates; the familiar settings run before and after each engine. The cost of
a Mpixel is in seconds of the processor, which depend less on other work.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.windows import Window as Part

from landshift.classes import ClassScheme
from landshift.classification import classify_pixels, padding, quantize
from landshift.classification.saved import int8_of
from landshift.classification.scene import find_scene
from landshift.engine.openvino import OpenVinoEngine
from landshift.engine.prepared import CACHE, prepare
from landshift.machine import memory as heap
from landshift.prepare import composite, label
from landshift.raster import tiling
from landshift.simulation.scene import simulate
from landshift.spec import InputSpec

# torch is imported where it is used: `child` measures a run without it

FAMILIAR = {"tile_size": 224, "padding": 56}
LARGE = {"tile_size": 1152, "padding": 64}
ENGINES = {
    "OpenVINO bfloat16": ("openvino", "bfloat16"),
    "OpenVINO int8": ("openvino", "int8"),
    "torch bfloat16": ("torch", "bfloat16"),
}
SCENE, SEED = 1536, 1
BACKBONE = "resnet34"
NEAR = 8  # pixels from a border between tiles


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--demo", type=Path, default=Path("demo"), help="folder of landshift demo")
    parser.add_argument(
        "--untrained", action="store_true", help="rates and memory only, without training"
    )
    parser.add_argument("--size", type=int, default=8192, help="rows and columns for the rates")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--only",
        choices=("loss", "rates", "memory"),
        nargs="*",
        default=("loss", "rates", "memory"),
    )
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--familiar", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(*arguments.child)
        return
    if arguments.familiar:
        print(json.dumps(familiar(*arguments.familiar)))
        return
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        os.environ[CACHE] = str(folder / "cache")
        image, reference = make_scene(folder)
        if arguments.untrained:
            model, seen = untrained(image, folder / "unet"), image
        else:
            model, seen = trained(arguments.demo), arguments.demo / "composite.tif"
            padding(model, seen, overwrite=True)
        quantised = quantize(model, seen, least=0.0, overwrite=True)
        if "loss" in arguments.only and not arguments.untrained:
            told("int8, same class as float32 on tiles of the training scene", quantised.agreement)
            loss(folder, image, reference, model)
        large = side_by_side(image, folder / "large.tif", arguments.size)
        if "rates" in arguments.only:
            rates(folder, large, model, arguments.rounds)
        if "memory" in arguments.only:
            memory(folder, large, model)


def trained(demo: Path) -> Path:
    """A U-Net trained on the demo's scene, both made where they aren't there yet."""
    import landshift
    from landshift import learn, tileset

    if not (demo / "composite.tif").is_file():
        landshift.demo(demo)
    tiles = demo / "benchmark"
    model = tiles / "models" / "unet" / "unet.emd"
    if not model.is_file():
        cutting = tileset.Cutting(tile_size=256, stride=128)
        tileset.cut(
            [demo / "composite.tif"], [demo / "change.tif"], tiles, cutting=cutting, overwrite=True
        )
        data = learn.prepare_data(tiles, batch_size=4, seed=0)
        classifier = learn.UnetClassifier(
            data, backbone=BACKBONE, pretrained_backbone=False, class_balancing=True
        )
        classifier.fit(epochs=12, lr=2e-3)
        classifier.save("unet")
    return model


def untrained(image: Path, folder: Path) -> Path:
    """The network with random weights."""
    from torch import nn

    from landshift import bundle
    from landshift.models import ChangeModel

    with rasterio.open(image) as source:
        values, bands = source.read(out_shape=(source.count, 256, 256)), source.descriptions
    mean, std, least, most = (
        tuple(float(v) for v in f(values, axis=(1, 2))) for f in (np.mean, np.std, np.min, np.max)
    )
    spec = InputSpec(tuple(bands), mean, std, least, most, 256, str(values.dtype), 30.0, padding=64)
    scheme = ClassScheme.from_mapping({k: f"class {k}" for k in range(1, 12)})
    model = ChangeModel("unet", spec, scheme, backbone=BACKBONE).eval()
    for module in model.modules():  # some start at 0, and layers before them would have no effect
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    return bundle.save(bundle.Package("unet", model), folder)


def told(what: str, share: float) -> None:
    print(f"{what}: {share:.3%}", flush=True)


def loss(folder: Path, image: Path, reference: Path, model: Path) -> None:
    """Loss of accuracy by precision, tiling and tile borders, on a scene not used for training."""
    from landshift.evaluation.maps import evaluate_map

    def mapped(name: str, precision: str, **options: Any) -> Path:
        return classify_pixels(
            image, model, folder / f"{name}.tif", engine="openvino", precision=precision, **options
        )

    exact = mapped("float32", "float32", **LARGE)
    miou = evaluate_map(exact, reference).scores.miou
    print(f"float32, tile 1152, padding 64: mIoU {miou:.4f}")
    for precision in ("bfloat16", "int8"):
        path = mapped(precision, precision, **LARGE)
        told(f"{precision}, same class as float32 on the same tiles", agreement(path, exact))
        points = 100 * (miou - evaluate_map(path, reference).scores.miou)
        print(f"{precision}, mIoU lost: {points:.3f} points")
    tilings = {
        "224/56": mapped("224", "float32", **FAMILIAR),
        "384/64": mapped("384", "float32", tile_size=384, padding=64),
    }
    points = 100 * (evaluate_map(tilings["224/56"], reference).scores.miou - miou)
    print(f"1152/64 against 224/56: mIoU lost {points:.3f} points")
    print(f"224/56, same class as 1152/64: {agreement(tilings['224/56'], exact):.3%}")
    for name, path in tilings.items():
        size, padding = map(int, name.split("/"))
        near, far = errors_by_border(path, reference, size - 2 * padding)
        near_bare, far_bare = errors_by_border(exact, reference, size - 2 * padding)
        print(
            f"{name}: errors within {NEAR} pixels of borders {near:.4f}, elsewhere {far:.4f}: "
            f"{near / far:.4f} (the same pixels without borders there: {near_bare / far_bare:.4f})",
            flush=True,
        )


def agreement(one: Path, other: Path) -> float:
    """Share of mapped pixels with the same class."""
    first, second = (rasterio.open(p).read(1) for p in (one, other))
    mapped = second > 0
    return float((first == second)[mapped].mean())


def errors_by_border(path: Path, reference: Path, core: int) -> tuple[float, float]:
    """Share of wrong pixels near borders between tiles, and elsewhere."""
    mapped, right = (rasterio.open(p).read(1) for p in (path, reference))
    rows, columns = (
        np.minimum(np.arange(n) % core, core - 1 - np.arange(n) % core) < NEAR for n in mapped.shape
    )
    near = rows[:, np.newaxis] | columns
    counts = (mapped > 0) & (right > 0)
    wrong = mapped != right
    return float(wrong[counts & near].mean()), float(wrong[counts & ~near].mean())


def rates(folder: Path, image: Path, model: Path, rounds: int) -> None:
    """Mpixel/s of raster, their ratios, and processor time by part."""
    from landshift import bundle
    from landshift.engine import TorchEngine

    network = bundle.load(model).model
    sparse = make_sparse(image, folder / "sparse.tif")
    scene, padding = find_scene(image, network.spec), network.spec.padding
    graph = int8_of(model).with_suffix(".xml")
    ready = prepare(model)
    pure = {
        "OpenVINO bfloat16": OpenVinoEngine(ready, precision="bfloat16"),
        "OpenVINO int8": OpenVinoEngine(ready, quantised=graph),
        "torch bfloat16": TorchEngine(network, device="cpu", precision="bfloat16"),
    }
    measured: dict[str, list[float]] = defaultdict(list)
    profiles: dict[str, list[dict[str, float]]] = defaultdict(list)
    slow: list[float] = []

    def familiar_rate() -> float:
        command = [sys.executable, __file__, "--familiar", str(image), str(model)]
        child = subprocess.run(command, capture_output=True, text=True, check=True)
        times = json.loads(child.stdout)
        slow.append(times["cpu"])
        return float(times["rate"])

    for _ in range(rounds):
        one, latest = {}, familiar_rate()
        for name, engine in pure.items():
            kind, precision = ENGINES[name]
            options = {"engine": kind, "precision": precision, "device": "cpu"}
            before = pure_rate(scene, engine, padding)
            run = end_to_end(image, model, folder, **options)
            after = pure_rate(scene, engine, padding)
            one[f"{name}, pure"] = statistics.mean((before["rate"], after["rate"]))
            one[name], one[f"{name}, blocks"] = run["rate"], run["blocks"]
            profiles[name].append({**run, "engine": (before["cpu"] + after["cpu"]) / 2})
            if kind == "openvino":
                few = end_to_end(sparse, model, folder, **options)
                one[f"{name}, 75 % nodata"] = few["rate"]
                one[f"{name}, 75 % nodata, blocks"] = few["blocks"]
            earlier, latest = latest, familiar_rate()
            one[f"{name}, familiar"] = statistics.mean((earlier, latest))
        for name, value in one.items():
            measured[name].append(value)
        print(json.dumps({k: round(v, 4) for k, v in one.items()}), flush=True)

    def ratio(first: str, second: str) -> str:
        each = [a / b for a, b in zip(measured[first], measured[second], strict=True)]
        return f"{statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f})"

    reading = reading_cost(image, network.spec, pure["OpenVINO bfloat16"].core)
    for name in pure:
        print(f"{name} over the familiar settings: {ratio(name, f'{name}, familiar')}")
        print(f"{name}, end to end over pure: {ratio(name, f'{name}, pure')}")
        print(f"{name}, its blocks alone over pure: {ratio(f'{name}, blocks', f'{name}, pure')}")
        if f"{name}, 75 % nodata" in measured:
            few = f"{name}, 75 % nodata"
            print(f"{few} over full: {ratio(few, name)}")
            print(f"{few} over full, blocks alone: {ratio(f'{few}, blocks', f'{name}, blocks')}")
        cost = {k: statistics.median(p[k] for p in profiles[name]) for k in profiles[name][0]}
        print(
            f"{name}, processor seconds a Mpixel: {cost['all']:.3f} in all, of it engine "
            f"{cost['engine']:.3f}, reading {reading:.3f}, putting the map together "
            f"{cost['assembling']:.3f}, the rest {rest(cost, reading):.3f}; before the first block "
            f"{cost['start']:.1f} s once; the familiar settings {statistics.median(slow):.1f}, "
            f"{statistics.median(slow) / cost['all']:.1f} times as many",
            flush=True,
        )


def rest(cost: dict[str, float], reading: float) -> float:
    """Compiling, blocks' files, and the extra cost of parts that run at the same time."""
    return cost["all"] - cost["engine"] - reading - cost["assembling"]


def familiar(image: str, package: str) -> dict[str, float]:
    """Eager float32, one step after another: read 4 tiles of 224, run, keep 112 x 112 of each.

    In a process of its own, with weights in torch's default memory format, as in a plain script.
    """
    import torch

    from landshift import bundle

    model = bundle.load(package).model.to(memory_format=torch.contiguous_format)
    scene = find_scene(image, model.spec)
    plan = tiling.plan_inference(896, 896, padding=56, tile_size=224)
    tiles = plan.block(0).tiles
    start = time.perf_counter(), time.process_time()
    with scene.opened(256 << 20) as read, torch.inference_mode():
        for first in range(0, len(tiles), 4):
            batch = [read(t.window) for t in tiles[first : first + 4]]
            images = np.stack([model.spec.fill(r.values, r.mask) for r in batch])
            model(torch.from_numpy(images)).softmax(1).numpy().argmax(1).astype(np.uint8)
    megapixels = 896 * 896 / 1e6
    return {
        "rate": megapixels / (time.perf_counter() - start[0]),
        "cpu": (time.process_time() - start[1]) / megapixels,
    }


def end_to_end(image: Path, model: Path, folder: Path, **options: Any) -> dict[str, float]:
    """Mpixel/s from the start of the first block to the finished map, and to the last block.

    Also the processor's seconds: ``start`` before the first block; ``all`` and ``assembling`` for
    each Mpixel from there on.
    """
    clocks: list[tuple[float, float, int]] = []

    def tell(progress: Any) -> None:
        clocks.append((time.perf_counter(), time.process_time(), progress.pixels))

    begun = time.process_time()
    classify_pixels(image, model, folder / "map.tif", overwrite=True, on_block=tell, **options)
    end = time.perf_counter(), time.process_time()
    megapixels = clocks[-1][2] / 1e6
    return {
        "rate": megapixels / (end[0] - clocks[0][0]),
        "blocks": megapixels / (clocks[-1][0] - clocks[0][0]),
        "start": clocks[0][1] - begun,
        "all": (end[1] - clocks[0][1]) / megapixels,
        "assembling": (end[1] - clocks[-1][1]) / megapixels,
    }


def pure_rate(scene: Any, engine: Any, padding: int) -> dict[str, float]:
    """Mpixel/s of the core of a tile in memory, and processor seconds for each Mpixel."""
    plan = tiling.plan_inference(
        scene.box.height, scene.box.width, padding=padding, most=engine.core
    )
    tile = plan.block(0).tiles[0]
    with scene.opened(256 << 20) as read:
        content = read(tile.window)
    with heap.keeping_freed() if engine.allocates else nullcontext():
        engine.best(content.values[np.newaxis], content.mask[np.newaxis])
        start = time.perf_counter(), time.process_time()
        for _ in range(4):
            engine.best(content.values[np.newaxis], content.mask[np.newaxis])
        took = time.perf_counter() - start[0], time.process_time() - start[1]
    tiles = plan.axes[0].count * plan.axes[1].count
    megapixels = (
        4 * plan.height * plan.width / tiles / 1e6
    )  # tiles at borders keep more than a core
    return {"rate": megapixels / took[0], "cpu": took[1] / megapixels}


def reading_cost(image: Path, spec: Any, core: int) -> float:
    """Processor seconds to read all tiles and their masks, for each Mpixel."""
    scene = find_scene(image, spec)
    height, width = scene.box.height, scene.box.width
    plan = tiling.plan_inference(
        height, width, padding=spec.padding, most=core, block_size=(core, 2048)
    )
    start = time.process_time()
    with scene.opened(192 << 20) as read:
        for number in range(plan.blocks):
            for tile in plan.block(number).tiles:
                read(tile.window)
    return (time.process_time() - start) / (height * width / 1e6)


def memory(folder: Path, image: Path, model: Path) -> None:
    """Start-up and peak resident memory of processes of their own, for two sizes of raster."""
    small = folder / "small.tif"
    with rasterio.open(image) as source:
        about = {**source.profile, "height": 4096, "width": 4096}
        with rasterio.open(small, "w", **about) as target:
            for row in range(0, 4096, 512):
                at = Part(0, row, 4096, 512)
                target.write(source.read(window=at), window=at)
            target.descriptions = source.descriptions
    wide = folder / "wide.vrt"
    rasterio.shutil.copy(small, wide, driver="VRT")
    text = wide.read_text()
    for axis in "XY":
        text = text.replace(f'raster{axis}Size="4096"', f'raster{axis}Size="32768"', 1)
    wide.write_text(text)
    for precision, name, path, *layers in (  # the first converts the model and fills the new cache
        ("bfloat16", "4,096", small), ("bfloat16", "4,096", small), ("int8", "4,096", small),
        ("float32", "4,096", small), ("bfloat16", "32,768", wide),
        ("bfloat16", "4,096", small, "confidence"), ("bfloat16", "32,768", wide, "confidence"),
    ):  # fmt: skip
        ended = subprocess.run(
            [sys.executable, __file__, "--child", str(path), str(model), precision,
             str(folder / "child.tif"), *layers],
            capture_output=True, text=True, check=True,
            env={**os.environ, CACHE: str(folder / "new")},
        )  # fmt: skip
        beside = f" with {', '.join(layers)}" if layers else ""
        print(f"{precision}, {name} pixels a side{beside}: {ended.stdout.strip()}", flush=True)


def child(image: str, model: str, precision: str, out: str, *layers: str) -> None:
    """Print time to the first block and peak memory of this process."""
    fresh = not (Path(os.environ[CACHE]) / "graphs").is_dir()
    clocks: list[tuple[float, float]] = []
    classify_pixels(
        image, model, out, engine="openvino", precision=precision, device="cpu",
        layers=layers, overwrite=True,
        on_block=lambda p: clocks.append((time.time() - begun(), sum(os.times()[:4]))),
    )  # fmt: skip
    status = Path("/proc/self/status").read_text()  # getrusage would include the parent's
    peak = int(status.split("VmHWM:")[1].split()[0]) >> 10
    converting = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
    print(
        f"{clocks[0][0]:.1f} s ({clocks[0][1]:.1f} s of processors) to the first block; peak "
        f"{peak} MB{f', before it {converting} MB in the process that converts' * fresh}"
    )


def begun() -> float:
    """Start time of this process."""
    ticks = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - uptime + ticks / os.sysconf("SC_CLK_TCK")


def make_scene(folder: Path) -> tuple[Path, Path]:
    """A composite of another seed than the demo's, and its change map."""
    made = simulate(folder / "scene", height=SCENE, width=SCENE, seed=SEED)
    image = composite.composite([made.before, made.after], folder / "composite.tif")
    label.label(made.before_classes, made.after_classes, folder / "change.tif")
    return image, folder / "change.tif"


def side_by_side(image: Path, path: Path, size: int) -> Path:
    """The raster, repeated until it has this number of rows and columns."""
    with rasterio.open(image) as source:
        values, about = source.read(), profile(source, size)
        with rasterio.open(path, "w", **about) as target:
            for row in range(0, size, 512):
                rows = (row + np.arange(min(512, size - row))) % source.height
                columns = np.arange(size) % source.width
                at = Part(0, row, size, len(rows))
                target.write(values[:, rows][:, :, columns], window=at)
            target.descriptions = source.descriptions
    return path


def make_sparse(image: Path, path: Path) -> Path:
    """The same raster, with nodata outside its upper left quarter."""
    with (
        rasterio.open(image) as source,
        rasterio.open(path, "w", **profile(source, source.height)) as target,
    ):
        for row in range(0, source.height // 2, 512):
            at = Part(0, row, source.width // 2, min(512, source.height // 2 - row))
            target.write(source.read(window=at), window=at)
        target.descriptions = source.descriptions
    return path


def profile(source: Any, size: int) -> dict[str, Any]:
    return {
        "driver": "GTiff", "height": size, "width": size, "count": source.count,
        "dtype": source.dtypes[0], "crs": source.crs, "transform": source.transform,
        "tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "zstd", "zstd_level": 1,
        "predictor": 2, "interleave": "pixel", "nodata": source.nodata, "bigtiff": "yes",
    }  # fmt: skip


if __name__ == "__main__":
    main()
