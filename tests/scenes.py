"""Rasters that tests make, and what a map leaves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.transform import from_origin


def write(
    path: Path,
    values: Any,
    *,
    nodata: float | None = None,
    crs: str | None = "EPSG:32618",
    origin: tuple[float, float] = (500_000.0, 4_000_000.0),
    pixel: float = 30.0,
    bands: Sequence[str] = (),
    **tags: str,
) -> Path:
    """Write a (band, row, column) or (row, column) array as a GeoTIFF."""
    array = np.asarray(values)
    array = array[np.newaxis] if array.ndim == 2 else array
    with rasterio.open(
        path, "w", driver="GTiff", count=array.shape[0], height=array.shape[1],
        width=array.shape[2], dtype=array.dtype, nodata=nodata, crs=crs,
        transform=from_origin(*origin, pixel, pixel),
    ) as target:  # fmt: skip
        target.write(array)
        for number, name in enumerate(bands, start=1):
            target.set_band_description(number, name)
        target.update_tags(**tags)
    return path


def striped_scene(size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A composite of 2 x 3 bands and its labels 1 (to crop), 2 (No change): easy to learn.

    Squares of 16 pixels change or not at random; where they do, the after bands jump.
    """
    random = np.random.default_rng(seed)
    squares = random.random((size // 16, size // 16)) < 0.4
    changed = np.kron(squares, np.ones((16, 16), bool))
    composite = random.normal(1000, 60, (6, size, size))
    composite[3:, changed] += 800
    labels = np.where(changed, 1, 2).astype(np.uint8)
    return composite.clip(1).astype(np.uint16), labels


BANDS = [f"{date}:{band}" for date in ("before", "after") for band in ("red", "green", "blue")]
MAPPING = {1: "to crop", 2: "No change"}


def write_tall(path: Path, rows: int) -> Path:
    """Write a raster of blocks of 1,024 rows, as classify does them, the third all nodata."""
    values, _ = striped_scene(64)
    values = np.tile(values, (1, rows // 64, 1))
    values[:, 2048:3072] = 0
    return write(path, values, nodata=0, bands=BANDS)


def pack(image: Path, path: Path) -> Path:
    """Copy a raster into blocks of 64 x 64 pixels, compressed."""
    rasterio.shutil.copy(
        image, path, driver="GTiff", compress="deflate", tiled=True, blockxsize=64, blockysize=64,
        interleave="pixel",
    )  # fmt: skip
    return path


def spoil(path: Path, column: int, row: int) -> None:
    """Overwrite the start of a block of a packed raster, by the place of the block."""
    with rasterio.open(path) as source:
        at = int(source.get_tag_item(f"BLOCK_OFFSET_{column}_{row}", "TIFF", bidx=1))
    with path.open("r+b") as file:
        file.seek(at)
        file.write(bytes(100))


def outputs(out: Path) -> dict[str, bytes]:
    """A map and everything beside it, by name."""
    beside = sorted(p for p in out.parent.iterdir() if p.name.startswith(out.stem))
    return {p.name: p.read_bytes() for p in beside}
