"""`difference` beside loops of rasterio and numpy that write the same raster and figures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.windows import Window

if TYPE_CHECKING:
    from blockwise import Pair

BANDS = 4
STORED = {
    "driver": "GTiff", "tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate",
    "zlevel": 1, "photometric": "minisblack", "bigtiff": "if_safer",
}  # fmt: skip


def pairs(folder: Path, size: int) -> Iterator[Pair]:
    """Two aligned images of four bands of uint16."""
    from blockwise import Pair, script  # not in the loops, which need rasterio and numpy only
    from preparation import landshift, repeated, scene, stored

    images = [stored(repeated(scene(folder / f"{k}.tif", BANDS, k), size, 0)) for k in (0, 1)]
    out, theirs = folder / "difference.tif", folder / "loop.tif"
    figures = folder / "loop.json"
    ours = landshift("difference", *images, "-o", out)
    loop = "loop of rasterio and numpy"
    job = f"difference, two images of {size}^2 x {BANDS}"
    yield Pair(job, ours, loop, script("difference", "loop", *images, theirs, figures))
    yield Pair(
        f"{job}, euclidean, divided by Otsu's threshold",
        [*ours, "--method", "euclidean", "--threshold", "otsu"],
        f"{loop}, three times over the images",
        script("difference", "loop_otsu", *images, theirs, figures),
    )


def loop(before: str, after: str, out: str, figures: str) -> None:
    """Blocks of 512: subtract, sum up, write a tiled GeoTIFF with overviews."""
    count, sums, squares = 0, np.zeros(BANDS), np.zeros(BANDS)
    least, most = np.full(BANDS, np.inf), np.full(BANDS, -np.inf)
    with rasterio.open(before) as first:
        profile = first.profile | STORED
    profile |= {"dtype": "float32", "nodata": np.nan, "predictor": 3, "interleave": "pixel"}
    with rasterio.open(out, "w", **profile) as target:
        for window, a, b, valid in _blocks(before, after):
            apart = b.astype(np.float32) - a
            own = apart[:, valid].astype(np.float64)
            count += own.shape[1]
            sums += own.sum(axis=1)
            squares += (own**2).sum(axis=1)
            least, most = np.minimum(least, own.min(axis=1)), np.maximum(most, own.max(axis=1))
            apart[:, ~valid] = np.nan
            target.write(apart, window=window)
    with rasterio.open(out, "r+") as target:
        target.build_overviews([2, 4, 8], Resampling.average)
    mean = sums / count
    rows = [least, most, mean, np.sqrt(squares / count - mean**2)]
    Path(figures).write_text(json.dumps(np.stack(rows).tolist()))


def loop_otsu(before: str, after: str, out: str, figures: str) -> None:
    """Blocks of 512: the range, a histogram and its best division, then two classes."""
    least, most = np.inf, -np.inf
    for _, a, b, valid in _blocks(before, after):
        sizes = _length(a, b)[valid]
        least, most = min(least, sizes.min()), max(most, sizes.max())
    counts: Any = np.zeros(4096, np.int64)
    for _, a, b, valid in _blocks(before, after):
        counts += np.histogram(_length(a, b)[valid], 4096, (least, most))[0]
    edges = np.linspace(least, most, 4097)
    middles = (edges[:-1] + edges[1:]) / 2
    below = counts.cumsum()[:-1]
    above = counts.sum() - below
    sums = (counts * middles).cumsum()
    with np.errstate(invalid="ignore", divide="ignore"):
        between = below * above * ((sums[-1] - sums[:-1]) / above - sums[:-1] / below) ** 2
    limit = edges[1:][np.nanargmax(between)]
    with rasterio.open(before) as first:
        profile = first.profile | STORED | {"count": 1, "dtype": "uint8", "nodata": 0}
    pixels: Any = np.zeros(3, np.int64)
    with rasterio.open(out, "w", **profile) as target:
        for window, a, b, valid in _blocks(before, after):
            codes = np.where(_length(a, b) < limit, 2, 1)
            codes[~valid] = 0
            pixels += np.bincount(codes.ravel(), minlength=3)
            target.write(codes.astype(np.uint8), 1, window=window)
    with rasterio.open(out, "r+") as target:
        target.build_overviews([2, 4, 8], Resampling.mode)
    Path(figures).write_text(json.dumps([float(limit), pixels.tolist()]))


def _blocks(
    before: str, after: str
) -> Iterator[tuple[Window, NDArray[Any], NDArray[Any], NDArray[np.bool_]]]:
    with rasterio.open(before) as first, rasterio.open(after) as second:
        for row in range(0, first.height, 512):
            for column in range(0, first.width, 512):
                height, width = min(512, first.height - row), min(512, first.width - column)
                window = Window(column, row, width, height)
                a, b = first.read(window=window), second.read(window=window)
                yield window, a, b, ((a != 0) & (b != 0)).all(axis=0)


def _length(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float32]:
    apart = b.astype(np.float32) - a
    return np.asarray(np.sqrt((apart**2).sum(axis=0)))
