"""`fetch`, the median of eight Landsat scenes with clouds, beside odc-stac with dask and xarray."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rasterio
from blockwise import Pair, script
from preparation import landshift
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds

DAYS = [f"2021-{month:02}-{day:02}" for month in (6, 7, 8, 9) for day in (5, 21)]
BANDS = {"blue": "B2", "green": "B3", "red": "B4", "nir08": "B5", "swir16": "B6", "swir22": "B7"}
CLEAR, CLOUD = 21824, 22280
HIDDEN = 0b11111  # fill, dilated cloud, cirrus, cloud, shadow
CRS, PIXEL = "EPSG:32618", 30
TILE = 1000  # rows and columns that repeat
CHUNK = 2048


def pairs(folder: Path, size: int) -> Iterator[Pair]:
    """Eight days, a quarter of each under clouds."""
    random = np.random.default_rng(0)
    for day in DAYS:
        scene(folder, day, size, random)
    place = from_origin(300_000, 4_600_000, PIXEL, PIXEL)
    bounds = rasterio.transform.array_bounds(size, size, place)
    items = folder / "items.json"
    features = [json.loads(p.read_text()) for p in sorted(folder.glob("L*.json"))]
    items.write_text(json.dumps({"type": "FeatureCollection", "features": features,
                                 "landshift": {"ranges": ["2021"]}}))  # fmt: skip
    out, theirs = folder / "images", folder / "theirs.tif"
    yield Pair(
        f"fetch, median of 8 days, {size}^2",
        landshift("fetch", items, "-o", out, "--bounds", *map(str, bounds)),
        "odc-stac, dask, xarray",
        script("fetch", "plainly", items, theirs, size),
        [out / "2021.tif", out / "2021_clear.tif"],
    )


def scene(folder: Path, day: str, size: int, random: np.random.Generator) -> None:
    """A scene's files and item."""
    name = f"LC08_L2SP_018030_{day.replace('-', '')}_20211001_02_T1"
    quality = np.full((TILE, TILE), CLEAR, np.uint16)
    for _ in range(8):
        row, column = random.integers(0, TILE - 200, 2)
        quality[row : row + 180, column : column + 180] = CLOUD
    tiles = {b: random.normal(9000 + 500 * k, 150, (TILE, TILE)).astype(np.uint16)
             for k, b in enumerate(BANDS)}  # fmt: skip
    tiles["qa_pixel"] = quality
    assets = {}
    for band, tile in tiles.items():
        suffix = f"SR_{BANDS[band]}" if band in BANDS else "QA_PIXEL"
        path = folder / f"{name}_{suffix}.TIF"
        with rasterio.open(
            path, "w", driver="GTiff", count=1, height=size, width=size, dtype="uint16", nodata=0,
            crs=CRS, transform=from_origin(300_000, 4_600_000, PIXEL, PIXEL), tiled=True,
            blockxsize=512, blockysize=512, compress="deflate", zlevel=1,
        ) as target:  # fmt: skip
            wide = np.tile(tile, (1, -(-size // TILE)))[:, :size]
            for row in range(0, size, TILE):
                rows = min(TILE, size - row)
                window = rasterio.windows.Window(0, row, size, rows)
                target.write(wide[:rows], 1, window=window)
            place = target.bounds
        assets[band] = {"href": str(path), "roles": ["data"]}
    west, south, east, north = transform_bounds(CRS, "EPSG:4326", *place)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    item = {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": "landsat-c2-l2",
        "bbox": [west, south, east, north],
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"datetime": f"{day}T15:00:00Z", "platform": "landsat-8"},
        "links": [], "assets": assets,
    }  # fmt: skip
    (folder / f"{name}.json").write_text(json.dumps(item))


def plainly(items: str, out: str, size: str) -> None:
    """Load lazily on the grid, mask by QA_PIXEL, take the median, write a GeoTIFF."""
    import odc.stac
    import pystac
    from odc.geo.geobox import GeoBox
    from odc.geo.xr import write_cog

    features = json.loads(Path(items).read_text())["features"]
    box = GeoBox((int(size), int(size)), from_origin(300_000, 4_600_000, PIXEL, PIXEL), CRS)
    every = {"data_type": "uint16", "nodata": 0}
    loaded = odc.stac.load(
        [pystac.Item.from_dict(f) for f in features], bands=[*BANDS, "qa_pixel"], geobox=box,
        chunks={"x": CHUNK, "y": CHUNK}, groupby="solar_day",
        stac_cfg={"landsat-c2-l2": {"assets": {"*": every}}},
    )  # fmt: skip
    clear = (loaded.qa_pixel & HIDDEN) == 0
    bands = loaded[list(BANDS)].to_array("band")
    light = bands.where(clear & (bands > 0)).chunk(time=-1)
    image = (light.median("time") * 2.75e-05 - 0.2).astype("float32")
    image.attrs["nodata"] = float("nan")
    write_cog(image.compute(), out, overwrite=True)
