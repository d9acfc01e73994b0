"""Saved models tuned on a raster: the padding they need, and their int8 graph."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from landshift.engine.names import EngineName
from landshift.engine.padding import MeasuredPadding, measure_padding
from landshift.engine.quantising import ENOUGH, Quantised, check_new_graph, quantise
from landshift.errors import ParameterError, RasterError
from landshift.files import hub, options
from landshift.grid import Window
from landshift.machine import progress
from landshift.spec import MULTIPLE

if TYPE_CHECKING:
    from landshift.classification.scene import InputScene


def padding(
    model: Path | str,
    image: str | Path,
    *,
    engine: EngineName = "auto",
    device: str = "auto",
    overwrite: options.Flag = False,
) -> MeasuredPadding:
    """Measure how much ground around a tile a model needs, and note it in its package.

    `landshift classify` then uses that padding by default.

    Args:
        model: A saved model: .emd, .dlpk, folder or hf://owner/repo.
        image: A raster like those the model will be applied to.
        engine: Inference library: torch, openvino, or auto, the faster one on this machine.
        device: auto, cpu, cuda, cuda:1, ...
        overwrite: Replace a padding that the package already notes.

    Raises:
        RasterError: The raster can't be read, or has no valid pixel in the sampled windows.
        ModelError: The model can't be read.
        ParameterError: A padding is noted already, and ``overwrite`` is off.
        OutputError: The package can't be written.
    """
    from landshift import bundle
    from landshift.classification.job import CACHE_BYTES
    from landshift.classification.saved import network_of
    from landshift.classification.scene import find_scene
    from landshift.engine import choose_engine

    model = hub.local(model)
    with progress.step("loading the model"):
        network = network_of(model)
    bundle.check_new_padding(network.spec.padding, model, overwrite=overwrite)
    scene = find_scene(image, network.spec)
    ready = choose_engine(network, engine, device=device)
    size = network.spec.tile_size
    rows, columns = (
        np.linspace(0, max(n - size, 0), 4)[1:3].astype(int)
        for n in (scene.box.height, scene.box.width)
    )
    corners = sorted({(int(r), int(c)) for r in rows for c in columns})
    with scene.opened(CACHE_BYTES) as read:

        def values_of(window: Window) -> tuple[Any, Any]:
            data = read(window)
            return data.values, data.mask

        measured = measure_padding(ready, network.spec, values_of, corners)
    bundle.keep_padding(model, measured.padding, overwrite=True)
    return measured


def quantize(
    model: Path | str,
    image: str | Path,
    *,
    tiles: int = 24,
    least: float = ENOUGH,
    overwrite: options.Flag = False,
) -> Quantised:
    """Make a model's int8 graph, for `landshift classify --precision int8`.

    The graph takes half the time of bfloat16 on CPUs with int8 instructions. Its agreement with
    float32 is measured on other tiles than those used for calibration.

    Args:
        model: A saved model: .emd, .dlpk, folder or hf://owner/repo.
        image: A raster like those the model will be applied to; tiles that are mostly nodata are
            skipped.
        tiles: Tiles to calibrate on; the agreement is measured on as many others.
        least: Share of pixels that must keep the class of the float32 network; below it no graph
            is written.
        overwrite: Replace an int8 graph that exists already.

    Raises:
        RasterError: The raster can't be read, or has fewer than two mostly valid tiles.
        ParameterError: openvino or nncf isn't installed; the agreement is below ``least``.
        ModelError: The model can't be read, converted or quantised.
        OutputError: The graph can't be written.
    """
    from landshift.classification.job import CACHE_BYTES
    from landshift.classification.saved import int8_of, network_of
    from landshift.classification.scene import find_scene

    model = hub.local(model)
    check_new_graph(int8_of(model), overwrite=overwrite)
    if tiles < 1:
        raise ParameterError(f"`tiles` must be at least 1, got {tiles}.")
    with progress.step("loading the model"):
        network = network_of(model)
    scene = find_scene(image, network.spec)
    size = network.spec.tile_size
    size += -size % MULTIPLE
    samples = []
    with scene.opened(CACHE_BYTES) as read:
        for window in _spread(scene, size, 2 * tiles):
            data = read(window)
            if data.mask.mean() > 0.5:
                samples.append((data.values, data.mask))
    if len(samples) < 2:
        raise RasterError(
            f"Quantising needs two tiles of {size} pixels that are mostly valid, got "
            f"{len(samples)} in {scene.files[0]}; give another raster."
        )
    return quantise(
        network, int8_of(model), samples[::2], samples[1::2], least=least, overwrite=overwrite
    )


def _spread(scene: InputScene, size: int, count: int) -> list[Window]:
    """About ``count`` windows, evenly spread over a scene; fewer if it is small."""
    height, width = scene.box.height, scene.box.width
    across = max(1, min(round((count * width / height) ** 0.5), width // size or 1))
    down = max(1, min(-(-count // across), height // size or 1))
    rows = np.linspace(0, max(height - size, 0), down).astype(int)
    columns = np.linspace(0, max(width - size, 0), across).astype(int)
    return [Window(int(r), int(c), size, size) for r in rows for c in columns]
