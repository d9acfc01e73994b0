"""The files of blocks -> maps that appear whole."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift import legend, provenance, raster
from landshift.classify import layers as layering
from landshift.classify.blocks import Job
from landshift.grid import Window

_CACHE = 64 << 20  # bytes for GDAL's blocks: each is written once and not looked at again


def paths_of(out: Path, layers: Collection[str]) -> dict[str, Path]:
    """Where the class map and each layer beside it go: ``<out>_<layer>``."""
    beside = {name: out.with_name(f"{out.stem}_{name}{out.suffix}") for name in layers}
    return {"class": out, **beside}


def assemble(job: Job, empty: Collection[int], out: Path, record: Mapping[str, Any]) -> None:
    """Write the class map and the layers beside it from the blocks' files.

    Args:
        job: What the blocks are.
        empty: Numbers of those without a file: all nodata.
        out: The class map.
        record: Its provenance.

    Raises:
        OutputError: A map can't be written.
        RasterError: A block's file can't be read.
    """
    paths = paths_of(out, job.layers)
    for layer, bands in layering.places(job.layers, job.scheme).items():
        is_map = layer == "class"
        nodata = layering.nodata_of(job.scheme) if is_map else layering.NODATA
        names = layering.bands_of(layer, job.scheme)
        counts = np.zeros(256, np.int64)
        with raster.create(
            paths[layer], job.scene.box, count=len(names), dtype="uint8", nodata=nodata,
            bands=names, tags=provenance.as_tag({**record, "layer": layer}),
            scheme=job.scheme if is_map else None, cache=_CACHE,
        ) as target:  # fmt: skip
            if not is_map:
                target.scales = [1 / layering.SHARES] * len(names)
            for number in range(job.plan.blocks):
                window = job.plan.window(number)
                shape = (len(names), window.height, window.width)
                values = (
                    np.full(shape, nodata, np.uint8)
                    if number in empty
                    else _read(job.file(number), bands)
                )
                raster.write(target, values, window)
                counts += np.bincount(values.ravel(), minlength=256) if is_map else 0
        if is_map:
            pixels = [int(counts[v]) for v in job.scheme.values]
            legend.write_attributes(out, job.scheme, [legend.Column("Count", pixels)])
            legend.write_qml(out, job.scheme)


def _read(path: Path, bands: slice) -> NDArray[np.uint8]:
    with raster.open_raster(path, cache=_CACHE) as source:
        values, _ = raster.read(
            source,
            Window(0, 0, source.height, source.width),
            range(bands.start + 1, bands.stop + 1),
            masked=False,
        )
    return values
