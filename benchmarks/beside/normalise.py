"""`normalise` beside a loop of rasterio and numpy that measures and then writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.windows import Window

if TYPE_CHECKING:
    from blockwise import Pair

BANDS = 4


def pairs(folder: Path, size: int) -> Iterator[Pair]:
    """Two aligned images of four bands of uint16; one gets the other's mean and deviation."""
    from blockwise import Pair, script  # not in `loop`, whose process needs rasterio and numpy only
    from preparation import landshift, repeated, scene, stored

    like, image = (stored(repeated(scene(folder / f"{k}.tif", BANDS, k), size, 0)) for k in (0, 1))
    out, theirs = folder / "normalised.tif", folder / "loop.tif"
    yield Pair(
        f"normalise, an image of {size}^2 x {BANDS} like another",
        landshift("normalise", image, "--like", like, "-o", out),
        "loop of rasterio and numpy",
        script("normalise", "loop", image, like, theirs),
    )


def loop(image: str, like: str, out: str) -> None:
    """Blocks of 512: sums of both images; then the lines, into a tiled GeoTIFF with overviews."""
    count, sums, squares = 0, np.zeros(2 * BANDS), np.zeros(2 * BANDS)
    with rasterio.open(image) as source, rasterio.open(like) as reference:
        windows = [
            Window(c, r, min(512, source.width - c), min(512, source.height - r))
            for r in range(0, source.height, 512)
            for c in range(0, source.width, 512)
        ]
        for window in windows:
            both = np.concatenate([s.read(window=window) for s in (source, reference)])
            values = both[:, (both != 0).all(axis=0)].astype(np.float64)
            count += values.shape[1]
            sums += values.sum(axis=1)
            squares += (values**2).sum(axis=1)
        mean = sums / count
        std = np.sqrt(squares / count - mean**2)
        gain = std[BANDS:] / std[:BANDS]
        offset = mean[BANDS:] - gain * mean[:BANDS]
        profile = source.profile | {
            "driver": "GTiff", "tiled": True, "blockxsize": 512, "blockysize": 512,
            "compress": "deflate", "zlevel": 1, "predictor": 2, "interleave": "pixel",
            "photometric": "minisblack", "bigtiff": "if_safer",
        }  # fmt: skip
        with rasterio.open(out, "w", **profile) as target:
            for window in windows:
                values = source.read(window=window)
                valid = (values != 0).all(axis=0)
                lined = values * gain[:, None, None] + offset[:, None, None]
                lined = np.clip(np.rint(lined), 1, 65535).astype(np.uint16)
                lined[:, ~valid] = 0
                target.write(lined, window=window)
    with rasterio.open(out, "r+") as target:
        target.build_overviews([2, 4, 8], Resampling.average)
