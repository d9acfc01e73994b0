"""A site for the map page: small rasters, each pixel known, and the JSON that names them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine

from scenes import write

ROWS, COLUMNS = 500, 600
ORIGIN, PIXEL = (500_000.0, 4_000_000.0), 30.0
TRANSFORM = Affine(PIXEL, 0, ORIGIN[0], 0, -PIXEL, ORIGIN[1])
EXTENT = [ORIGIN[0], ORIGIN[1] - ROWS * PIXEL, ORIGIN[0] + COLUMNS * PIXEL, ORIGIN[1]]
GRID = {"width": COLUMNS, "height": ROWS, "transform": list(TRANSFORM)[:6]}
BANDS = ["blue", "green", "red", "nir", "swir1", "swir2"]

ROW_HECTARES = 0.09 * (1 + np.arange(ROWS) / 1e4)
"""Rows differ in area, as on a grid of degrees."""

HOSTILE = "water <img src=x onerror=\"document.title='hurt'\"> & 'quotes'"
NAMES = {1: "forest", 2: "crop", 3: HOSTILE}
COLOURS = {1: "#1a6b31", 2: "#e8c547", 3: "#2b7bba"}
CHANGES = {12: "#d95f02", 21: "#7570b3", 13: "#1b9e77", 99: "#dddddd"}


def class_maps() -> tuple[np.ndarray, np.ndarray]:
    """Classes before and after: forest left, crop right, both in the middle, none at the top."""
    random = np.random.default_rng(5)
    before = np.full((ROWS, COLUMNS), 1, np.uint8)
    before[:, COLUMNS // 2 :] = 2
    after = before.copy()
    after[100:200, 50:200] = 2
    after[100:200, 400:550] = 1
    after[400:, 50:200] = 3
    speckled = random.random((120, 400)) < 0.4
    after[220:340, 100:500][speckled] = 3 - before[220:340, 100:500][speckled]
    before[:20] = 0
    after[:20] = 0
    return before, after


def change_codes() -> np.ndarray:
    """Both classes as one code; 99 is no change, 0 no data."""
    before, after = class_maps()
    codes = np.where(before == after, 99, before * 10 + after)
    return np.where(before == 0, 0, codes).astype(np.uint8)


def image(date: int) -> np.ndarray:
    """Six bands; what changed is brighter at the second date. 0 is no data."""
    before, after = class_maps()
    classes = after if date else before
    values = np.stack([400 * band + 500 * classes.astype(int) for band in range(1, 7)])
    return np.where(classes == 0, 0, values).astype(np.uint16)


SURE = 0.005
"""What a step of the confidence's bytes means."""


def confidence() -> np.ndarray:
    """From 0 at the left to 1 at the right, in bytes of 0.005; 255 is no data."""
    return np.tile(np.linspace(0, 200, COLUMNS).round().astype(np.uint8), (ROWS, 1))


def make(folder: Path, bundle: Path, policy: str, **changes: Any) -> Path:
    """Write a site: the bundle's files under a policy, the rasters, and layers.json."""
    data = folder / "data"
    data.mkdir(parents=True)
    for file in bundle.glob("explore.*"):
        (folder / file.name).write_bytes(file.read_bytes())
    page = (bundle / "index.html").read_text()
    tag = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    (folder / "index.html").write_text(page.replace("<head>", f"<head>{tag}", 1))
    before, after = class_maps()
    rasters = {
        "composite": (np.concatenate([image(0), image(1)]), 0, "NEAREST"),
        "classes_before": (before, 0, "MODE"),
        "classes_after": (after, 0, "MODE"),
        "change": (change_codes(), 0, "MODE"),
        "confidence": (confidence(), 255, "AVERAGE"),
    }
    for name, (values, nodata, resampling) in rasters.items():
        as_cog(
            values, data / f"{name}.tif", nodata=nodata, compress="DEFLATE", predictor="YES",
            overview_resampling=resampling,
        )  # fmt: skip
    (data / "units.geojson").write_text(json.dumps(units()))
    (folder / "layers.json").write_text(json.dumps(description() | changes))
    return folder


def as_cog(
    values: np.ndarray, path: Path, *, nodata: float | None = None, mask: Any = None, **options: Any
) -> None:
    """Write a Cloud-Optimised GeoTIFF of blocks of 256 pixels, its mask inside."""
    plain = write(path.with_suffix(".plain.tif"), values, nodata=nodata, origin=ORIGIN, pixel=PIXEL)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        if mask is not None:
            with rasterio.open(plain, "r+") as opened:
                opened.write_mask(mask)
        rasterio.shutil.copy(plain, path, driver="COG", blocksize=256, **options)
    plain.unlink()


def units() -> dict[str, Any]:
    """Two sample units, as points."""
    places = {1: TRANSFORM @ (150.5, 150.5), 2: TRANSFORM @ (450.5, 150.5)}
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "properties": {"unit": unit},
                "geometry": {"type": "Point", "coordinates": place},
            }
            for unit, place in places.items()
        ],
    }


def description() -> dict[str, Any]:
    """What layers.json says."""
    images = [
        {
            "id": f"i{date}", "title": f"Image, {year}", "kind": "image", "date": date,
            "url": "data/composite.tif", "grid": GRID, "bands": BANDS * 2, "nodata": 0,
            "date_bands": [6 * date + band for band in range(1, 7)], "dtype": "uint16",
            "rgb": [6 * date + band for band in (3, 2, 1)], "stretch": [[0, 4000]] * 3,
            "scale": [[1, 0]] * 6 + [[2, 10]] * 6, "note": None,
        }
        for date, year in enumerate((1995, 2005))
    ]  # fmt: skip
    classes = [
        {
            "value": value, "name": name, "colour": COLOURS[value],
            "stays": False, "from": None, "to": None,
        }
        for value, name in NAMES.items()
    ]  # fmt: skip
    maps = [
        {
            "id": f"m{date}", "title": f"Classes, {year}", "kind": "classes", "role": role,
            "date": date, "url": f"data/classes_{role}.tif", "grid": GRID, "nodata": 0,
            "classes": classes, "areas": {"row_hectares": ROW_HECTARES.tolist()},
        }
        for date, (year, role) in enumerate(((1995, "before"), (2005, "after")))
    ]  # fmt: skip
    change = {
        "id": "change", "title": "Change map", "kind": "classes", "role": "change", "date": None,
        "url": "data/change.tif", "grid": GRID, "nodata": 0, "classes": change_classes(),
        "areas": {"row_hectares": ROW_HECTARES.tolist()},
    }  # fmt: skip
    return {
        "version": 1,
        "title": "A small scene",
        "crs": {
            "name": "EPSG:32618", "proj4": "+proj=utm +zone=18 +datum=WGS84 +units=m +no_defs",
            "unit": "m", "geographic": False, "metres": 1.0, "north": -1.5, "axis": "enu",
        },
        "extent": EXTENT,
        "grid": GRID,
        "dates": ["1995-08-12", "2005-07-24"],
        "layers": [
            *images,
            *maps,
            change,
            {
                "id": "sure", "title": "Confidence", "kind": "values", "role": "confidence",
                "date": None, "url": "data/confidence.tif", "grid": GRID, "nodata": 255,
                "range": [0, 1], "scale": [[SURE, 0]],
            },
            {
                "id": "units", "title": "Sample units", "kind": "points", "features": 2,
                "url": "data/units.geojson",
            },
        ],
        "estimates": [
            {
                "class": "forest to crop", "hectares": 1234.5, "low": 1100.2, "high": 1370.9,
                "level": 0.95,
            }
        ],
        "left_out": ["other.tif lies in EPSG:4326: gdalwarp -t_srs EPSG:32618 other.tif out.tif"],
        "policy": ["Made for a test."],
    }  # fmt: skip


def change_classes() -> list[dict[str, Any]]:
    """The legend of the change map."""
    changed = [
        {
            "value": code, "name": f"{NAMES[code // 10]} to {NAMES[code % 10]}", "colour": colour,
            "from": NAMES[code // 10], "to": NAMES[code % 10], "stays": False,
        }
        for code, colour in CHANGES.items() if code != 99
    ]  # fmt: skip
    stays = {
        "value": 99, "name": "No change", "colour": CHANGES[99],
        "from": None, "to": None, "stays": True,
    }  # fmt: skip
    return [*changed, stays]
