"""A finished GeoTIFF -> a Cloud-Optimised one with overviews, and a check that it is all there."""

from __future__ import annotations

import itertools
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

BLOCK = 512
"""Rows and columns of the blocks that our rasters are stored in; no overview is smaller."""

_HALVED = 256  # rows and columns of an overview made at once


def finish(draft: Path, path: Path, predictor: int, *, classes: bool) -> None:
    """Copy a GeoTIFF into a Cloud-Optimised one, with overviews down to one block."""
    import rasterio
    import rasterio.shutil

    level = draft
    while not classes:  # averages are ours: GDAL takes three times as long for them
        with rasterio.open(level) as source:
            if max(source.shape) <= BLOCK:
                break
        level = _halved(level, level.with_name(f"{level.name}.ovr"), predictor)
    with rasterio.open(draft, num_threads="all_cpus") as source:
        rasterio.shutil.copy(
            source,
            path,
            driver="COG",
            blocksize=BLOCK,
            compress="deflate",  # what every GIS reads
            level=1,
            predictor={1: "NO", 2: "STANDARD", 3: "FLOATING_POINT"}[predictor],
            overviews="AUTO",  # those beside the draft, else made here
            overview_compress="deflate",
            overview_resampling="MODE" if classes else "AVERAGE",
            num_threads="all_cpus",
            bigtiff="if_safer",
        )


def check_written(path: Path) -> None:
    """Check that every block lies in the file: on a full disk GDAL closes it without a word.

    Raises:
        RasterioError: A block is missing or reaches over the file's end.
    """
    import rasterio
    from rasterio.errors import RasterioIOError

    size = path.stat().st_size
    with rasterio.open(path) as source:
        levels = [None, *range(len(source.overviews(1)))]
        bands = source.indexes if source.interleaving.name == "band" else [1]
        for band, level in itertools.product(bands, levels):
            rows, columns = _blocks_of(source, level)
            for row, column in itertools.product(range(rows), range(columns)):
                where = [
                    source.get_tag_item(f"BLOCK_{what}_{column}_{row}", "TIFF", band, level)
                    for what in ("OFFSET", "SIZE")
                ]
                if None in where or sum(map(int, where)) > size:
                    raise RasterioIOError("No space left, or the file was cut short")


def _blocks_of(source: DatasetReader, level: int | None) -> tuple[int, int]:
    """Rows and columns of blocks, of the raster or of one of its overviews."""
    factor = 1 if level is None else source.overviews(1)[level]
    height, width = source.block_shapes[0] if level is None else (BLOCK, BLOCK)
    return -(-source.height // (factor * height)), -(-source.width // (factor * width))


def _halved(level: Path, path: Path, predictor: int) -> Path:
    """Write a raster at half its rows and columns, where GDAL looks for its overview."""
    import rasterio

    with rasterio.open(level, num_threads="all_cpus") as source:
        height, width = (source.height + 1) // 2, (source.width + 1) // 2
        profile = {
            "driver": "GTiff", "height": height, "width": width, "count": source.count,
            "dtype": source.dtypes[0], "nodata": source.nodata, "tiled": True,
            "blockxsize": _HALVED, "blockysize": _HALVED, "compress": "zstd", "zstd_level": 1,
            "predictor": predictor, "num_threads": "all_cpus", "bigtiff": "if_safer",
            "interleave": "pixel" if source.count > 1 else "band", "photometric": "minisblack",
            "transform": source.transform @ source.transform.scale(2), "crs": source.crs,
        }  # fmt: skip
        lock = threading.Lock()
        with rasterio.open(path, "w", **profile) as target:

            def halve(corner: tuple[int, int]) -> None:
                row, column = corner
                twice = _part(source, 2 * row, 2 * column, 2 * _HALVED)
                with lock:
                    values = source.read(window=twice)
                # band by band, so that the sums' wider type costs little memory
                halved = np.stack([_averaged(band, source.nodata) for band in values])
                with lock:
                    target.write(halved, window=_part(target, row, column, _HALVED))

            with ThreadPoolExecutor(min(os.cpu_count() or 1, 4)) as pool:
                corners = itertools.product(range(0, height, _HALVED), range(0, width, _HALVED))
                for _ in pool.map(halve, corners):
                    pass
    return path


def _part(raster: Any, row: int, column: int, size: int) -> Any:
    """The rasterio window of a square, cut off at the raster's far edges."""
    from rasterio.windows import Window

    height, width = min(size, raster.height - row), min(size, raster.width - column)
    return Window(column, row, width, height)


def _averaged(values: NDArray[Any], nodata: float | None) -> NDArray[Any]:
    """Means of the valid pixels of each 2 x 2 square; nodata where none is valid.

    Args:
        values: One band, ``(row, column)``; squares reach over an odd edge.
        nodata: Value that means 'no data', or None.
    """
    kind = values.dtype
    whole = np.issubdtype(kind, np.integer)
    wide = np.dtype(np.float64 if not whole else np.int32 if kind.itemsize < 4 else np.int64)
    pad = [(0, n % 2) for n in values.shape]
    values = np.pad(values, pad, mode="edge")
    if nodata is None:
        return _rounded(_squares(values.astype(wide)), 4, kind)
    valid = np.isfinite(values) if nodata != nodata else values != nodata
    count = _squares(valid.astype(np.int8))
    total = _squares(np.where(valid, values, 0).astype(wide))
    found = _rounded(total, np.maximum(count, 1), kind)
    if whole:
        clash = (found == nodata) & (count > 0)  # a mean that happens to be nodata's value
        found[clash] = nodata + 1 if nodata < np.iinfo(kind).max else nodata - 1
    found[count == 0] = nodata
    return found


def _squares(values: NDArray[Any]) -> NDArray[Any]:
    rows: NDArray[Any] = values[::2] + values[1::2]
    return np.asarray(rows[:, ::2] + rows[:, 1::2])


def _rounded(total: NDArray[Any], count: Any, kind: np.dtype[Any]) -> NDArray[Any]:
    if np.issubdtype(kind, np.integer):
        return np.asarray((total + count // 2) // count).astype(kind)
    return np.asarray(total / count).astype(kind)
