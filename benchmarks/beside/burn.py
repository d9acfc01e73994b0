"""`burn` beside rasterio.features.rasterize over the whole grid, few and many polygons."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyogrio
import rasterio
import shapely
from blockwise import Pair, script
from preparation import class_map, landshift, repeated
from rasterio.features import rasterize
from zonal import FEW, MANY, zones_file


def pairs(folder: Path, size: int) -> Iterator[Pair]:
    """Polygons of seven classes, which cover the grid."""
    like = repeated(class_map(folder / "map.tif", 1), size, 0)
    for count in (FEW, MANY):
        polygons = zones_file(folder / f"{count}.gpkg", size, count)
        out, theirs = folder / "labels.tif", folder / "theirs.tif"
        yield Pair(
            f"burn, {count:,} polygons on {size}^2",
            landshift("burn", polygons, "--like", like, "--value-column", "class", "-o", out),
            "rasterio.features.rasterize, overviews built",
            script("burn", "whole", polygons, like, theirs),
        )


def whole(polygons: str, like: str, out: str) -> None:
    """Burn into one array, write a tiled GeoTIFF with overviews; overlaps aren't looked for."""
    _, _, shapes, (values,) = pyogrio.raw.read(polygons, columns=["class"])
    with rasterio.open(like) as source:
        profile = source.profile | {
            "driver": "GTiff", "dtype": "uint8", "nodata": 0, "tiled": True, "blockxsize": 512,
            "blockysize": 512, "compress": "deflate", "zlevel": 1, "bigtiff": "if_safer",
        }  # fmt: skip
    burnt = rasterize(
        zip(shapely.from_wkb(shapes), values.astype(int).tolist(), strict=True),
        out_shape=(profile["height"], profile["width"]), transform=profile["transform"],
        dtype=np.uint8,
    )  # fmt: skip
    with rasterio.open(out, "w", **profile) as target:
        target.write(burnt, 1)
    with rasterio.open(out, "r+") as target:
        target.build_overviews([2, 4, 8], rasterio.enums.Resampling.mode)
