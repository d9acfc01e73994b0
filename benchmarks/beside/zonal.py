"""`zonal` beside exactextract's own Python call: hectares of each class in zones, few and many."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import rasterio
import shapely
from blockwise import Pair, script
from preparation import WHERE, class_map, landshift, repeated

FEW, MANY = 9, 5000
"""Zones of each kind, which cover the map."""


def pairs(folder: Path, size: int) -> Iterator[Pair]:
    """A map of seven classes, with zones that follow curved borders."""
    mapped = repeated(class_map(folder / "map.tif", 1), size, 0)
    for count in (FEW, MANY):
        zones = zones_file(folder / f"{count}.gpkg", size, count)
        out, theirs = folder / "zones.csv", folder / "theirs.csv"
        yield Pair(
            f"zonal, {count:,} zones on {size}^2",
            landshift("zonal", mapped, zones, "--column", "name", "-o", out),
            "exact_extract(map, zones, ['unique', 'frac', 'count'])",
            script("zonal", "extract", mapped, zones, theirs),
        )


def cells(size: int, count: int) -> Any:
    """Polygons that cover a grid: Voronoi cells of random points, bent by smooth waves."""
    points = np.random.default_rng(count).random((count, 2)) * size
    square = shapely.box(0, 0, size, size)
    parts = shapely.get_parts(
        shapely.voronoi_polygons(shapely.multipoints(points), extend_to=square)
    )
    spacing = size / np.sqrt(count)
    cut = shapely.segmentize(shapely.intersection(parts, square), max(spacing / 20, 2))

    def bent(x: Any, y: Any) -> tuple[Any, Any]:
        by, length = spacing / 25, spacing / 4
        column = (x + by * np.sin(y / length)).clip(0, size)
        row = (y + by * np.sin(x / length)).clip(0, size)
        return WHERE.c + WHERE.a * column, WHERE.f + WHERE.e * row

    return shapely.transform(cut, bent, interleaved=False)


def zones_file(path: Path, size: int, count: int) -> Path:
    """The cells, named, and numbered from 1 to 7, as a GeoPackage."""
    shapes = cells(size, count)
    numbers = np.arange(len(shapes))
    pyogrio.raw.write(
        path, shapely.to_wkb(shapes),
        [np.array([f"zone {k}" for k in numbers], object), (numbers % 7 + 1).astype(np.int32)],
        ["name", "class"], geometry_type="Polygon", crs="EPSG:32618", layer="zones",
    )  # fmt: skip
    return path


def extract(mapped: str, zones: str, out: str) -> None:
    """Hectares of each class in each zone, as exactextract's documentation shows it, as a CSV.

    The zones are given as features, which is what exactextract makes of a GeoDataFrame.
    """
    from exactextract import exact_extract

    _, _, shapes, (names,) = pyogrio.raw.read(zones, columns=["name"])
    features = [
        {"type": "Feature", "properties": {"name": name}, "geometry": shapely.geometry.mapping(g)}
        for name, g in zip(names, shapely.from_wkb(shapes), strict=True)
    ]
    frame = exact_extract(
        mapped, features, ["unique", "frac", "count"], include_cols="name", output="pandas"
    )
    with rasterio.open(mapped) as source:
        pixel = abs(source.transform.a * source.transform.e) / 1e4
    with Path(out).open("w", newline="") as file:
        writer = csv.writer(file)
        columns = (frame[c] for c in ("name", "unique", "frac", "count"))
        for name, values, shares, pixels in zip(*columns, strict=True):
            for value, share in zip(values, shares, strict=True):
                writer.writerow([name, value, share * pixels * pixel])
