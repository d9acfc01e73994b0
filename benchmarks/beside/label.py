"""`label`, plain, beside a loop of rasterio and numpy that writes the same map and table."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.windows import Window

if TYPE_CHECKING:
    from blockwise import Pair

CLASSES = 7
STORED = {
    "driver": "GTiff", "dtype": "uint8", "nodata": 0, "tiled": True, "blockxsize": 512,
    "blockysize": 512, "compress": "deflate", "zlevel": 1, "bigtiff": "if_safer",
}  # fmt: skip


def pairs(folder: Path, size: int) -> Iterator[Pair]:
    """Two aligned maps of seven classes, one pixel in five changed.

    The loop knows the classes; so does `label` where they are stated. Else it finds them, which
    reads both maps once more.
    """
    from blockwise import Pair, script  # not in `loop`, whose process needs rasterio and numpy only
    from preparation import class_map, landshift, repeated, stored

    maps = [stored(repeated(class_map(folder / f"{k}.tif", k), size, 0)) for k in (1, 2)]
    out, table = folder / "change.tif", folder / "table.csv"
    theirs, their_table = folder / "loop.tif", folder / "loop.csv"
    classes = folder / "classes.csv"
    lines = [f"{k},class {k}" for k in range(1, CLASSES + 1)]
    classes.write_text("\n".join(["value,name", *lines]) + "\n")
    plain = script("label", "loop", *maps, theirs, their_table)
    ours = landshift("label", *maps, "-o", out, "--table", table)
    stated = [*ours, "--classes", str(classes)]
    loop = "loop of rasterio and numpy"
    yield Pair(f"label, two maps of {size}^2, classes stated", stated, loop, plain)
    yield Pair(
        f"label, two maps of {size}^2, classes found", ours, f"{loop}, which knows them", plain
    )
    yield Pair(
        f"label, two maps of {size}^2, classes stated",
        stated,
        f"{loop}, then GDAL's COG driver",
        script("label", "loop_to_cog", *maps, theirs, their_table),
    )


def loop(before: str, after: str, out: str, table: str) -> None:
    """Blocks of 512: code by to class, count the pairs, write a tiled GeoTIFF with overviews."""
    _compare(before, after, out, table)
    with rasterio.open(out, "r+") as target:
        target.build_overviews([2, 4, 8], Resampling.mode)


def loop_to_cog(before: str, after: str, out: str, table: str) -> None:
    """The same, as a Cloud-Optimised GeoTIFF, which `label` writes."""
    from rasterio import shutil

    draft = out.replace(".tif", ".draft.tif")
    _compare(before, after, draft, table)
    shutil.copy(
        draft, out, driver="COG", compress="deflate", level=1, blocksize=512,
        overview_resampling="mode", num_threads="all_cpus",
    )  # fmt: skip
    Path(draft).unlink()


def _compare(before: str, after: str, out: str, table: str) -> None:
    counts: Any = np.zeros((CLASSES + 1, CLASSES + 1), np.int64)
    with rasterio.open(before) as first, rasterio.open(after) as second:
        windows = [
            Window(c, r, min(512, first.width - c), min(512, first.height - r))
            for r in range(0, first.height, 512)
            for c in range(0, first.width, 512)
        ]
        target = rasterio.open(out, "w", **(first.profile | STORED))
        for window in windows:
            a, b = first.read(1, window=window), second.read(1, window=window)
            none = (a == 0) | (b == 0)
            change = np.where(a == b, CLASSES + 1, b)
            change[none] = 0
            pair = np.where(none, 0, a.astype(np.int64) * (CLASSES + 1) + b)
            counts += np.bincount(pair.ravel(), minlength=counts.size).reshape(counts.shape)
            target.write(change.astype(np.uint8), 1, window=window)
        target.close()
    with Path(table).open("w", newline="") as file:
        csv.writer(file).writerows(counts[1:, 1:].tolist())
