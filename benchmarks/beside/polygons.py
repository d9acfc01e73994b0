"""`polygons` beside gdal_polygonize.py and rasterio's shapes; all write the same outlines."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyogrio
import rasterio
import shapely
from blockwise import Pair, script
from preparation import class_map, landshift, repeated
from rasterio import features


def pairs(folder: Path, size: int) -> Iterator[Pair]:
    """Patches of seven classes that connect over sides; theirs have a class and no area."""
    mapped = repeated(class_map(folder / "1.tif", 1), size, 0)
    ours, theirs = folder / "ours.gpkg", folder / "theirs.gpkg"
    command = landshift("polygons", mapped, "-o", ours)
    job, outputs = f"polygons, {size}^2, GeoPackage", [ours, theirs]
    tool = shutil.which("gdal_polygonize.py")
    if tool is None:
        print(
            "gdal_polygonize isn't installed (apt install gdal-bin python3-gdal)", file=sys.stderr
        )
    else:
        gdal = [tool, "-q", str(mapped), "-f", "GPKG", str(theirs), "patches", "class"]
        yield Pair(job, command, "gdal_polygonize.py", gdal, outputs)
    shapes = script("polygons", "traced", mapped, theirs)
    yield Pair(job, command, "rasterio.features.shapes and pyogrio", shapes, outputs)


def traced(mapped: str, out: str) -> None:
    """Trace the map in memory, and write its patches in one go."""
    with rasterio.open(mapped) as source:
        values = source.read(1)
        outlines, classes = [], []
        for outline, value in features.shapes(values, values != 0, 4, source.transform):
            outlines.append(shapely.geometry.shape(outline))
            classes.append(int(value))
        crs = source.crs.to_wkt()
    pyogrio.raw.write(
        out, shapely.to_wkb(np.array(outlines, object)), [np.array(classes)], ["class"],
        layer="patches", driver="GPKG", geometry_type="Polygon", crs=crs,
    )  # fmt: skip
