"""`label`, plain, beside a loop of rasterio and numpy that writes the same map and table."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rasterio
from blockwise import Pair, script
from preparation import class_map, landshift, repeated
from rasterio.windows import Window

CLASSES = 7


def pairs(folder: Path, size: int) -> Iterator[Pair]:
    """Two aligned maps of seven classes, one pixel in five changed."""
    maps = [repeated(class_map(folder / f"{k}.tif", k), size, 0) for k in (1, 2)]
    out, table = folder / "change.tif", folder / "table.csv"
    theirs, their_table = folder / "loop.tif", folder / "loop.csv"
    yield Pair(
        f"label, two maps of {size}^2",
        landshift("label", *maps, "-o", out, "--table", table),
        "loop of rasterio and numpy",
        script("label", "loop", *maps, theirs, their_table),
    )


def loop(before: str, after: str, out: str, table: str) -> None:
    """Blocks of 512: code by to class, count the pairs, write a tiled GeoTIFF with overviews."""
    counts = np.zeros((CLASSES + 1, CLASSES + 1), np.int64)
    with rasterio.open(before) as first, rasterio.open(after) as second:
        profile = first.profile | {
            "driver": "GTiff", "dtype": "uint8", "nodata": 0, "tiled": True, "blockxsize": 512,
            "blockysize": 512, "compress": "deflate", "zlevel": 1, "bigtiff": "if_safer",
        }  # fmt: skip
        with rasterio.open(out, "w", **profile) as target:
            for row in range(0, first.height, 512):
                for column in range(0, first.width, 512):
                    height, width = min(512, first.height - row), min(512, first.width - column)
                    window = Window(column, row, width, height)
                    a, b = first.read(1, window=window), second.read(1, window=window)
                    none = (a == 0) | (b == 0)
                    change = np.where(a == b, CLASSES + 1, b)
                    change[none] = 0
                    pair = np.where(none, 0, a.astype(np.int64) * (CLASSES + 1) + b)
                    counts += np.bincount(pair.ravel(), minlength=counts.size).reshape(counts.shape)
                    target.write(change.astype(np.uint8), 1, window=window)
    with rasterio.open(out, "r+") as target:
        target.build_overviews([2, 4, 8], rasterio.enums.Resampling.mode)
    with Path(table).open("w", newline="") as file:
        csv.writer(file).writerows(counts[1:, 1:].tolist())
