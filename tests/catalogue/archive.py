"""An archive of two sensors on disk: noisy, cloudy observations of a ground that is known."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.transform import from_origin
from rasterio.warp import Resampling, reproject, transform_bounds
from scipy import ndimage

from landshift import SceneConditions, simulate

BANDS = ("blue", "green", "red", "nir", "swir16", "swir22")
LANDSAT = {"blue": "B2", "green": "B3", "red": "B4", "nir": "B5", "swir16": "B6", "swir22": "B7"}
SENTINEL = {"blue": "B02", "green": "B03", "red": "B04", "nir": "B08", "swir16": "B11",
            "swir22": "B12"}  # fmt: skip
CRS = "EPSG:32618"
CLEAR, CLOUD, SHADOW = 21824, 22280, 23888  # values of QA_PIXEL
NOISE = 0.005
"""Standard deviation of an observation's noise, in reflectance."""


class Archive:
    """A folder of items.

    Attributes:
        folder: Where it lies.
        truth: Reflectance of the ground, ``(band, row, column)``.
        transform: Its place, in `CRS`.
        items: The items so far; their hrefs are relative.
    """

    def __init__(self, folder: Path, truth: np.ndarray, transform: Any, seed: int = 0) -> None:
        self.folder = folder
        self.truth = truth
        self.transform = transform
        self.items: list[dict[str, Any]] = []
        self._random = np.random.default_rng(seed)

    def add(
        self,
        day: str,
        *,
        sensor: str = "landsat",
        columns: tuple[int, int] | None = None,
        cloud: float = 0.25,
        crs: str = CRS,
        truth: np.ndarray | None = None,
        **properties: Any,
    ) -> dict[str, Any]:
        """An observation of some columns, with a cloud and its shadow.

        Args:
            day: When it was taken.
            sensor: landsat, or sentinel.
            columns: First and last column; None: all.
            cloud: Share of the ground under a cloud.
            crs: CRS of its files.
            truth: Its ground; None: that of the archive.
            properties: What the item states besides.
        """
        ground = (self.truth if truth is None else truth).astype(np.float32)
        first, last = columns or (0, ground.shape[2])
        seen = ground + self._random.normal(0, NOISE, ground.shape)
        hidden, shade = self._cloud(ground.shape[1:], cloud)
        seen[:, hidden] = 0.6 + self._random.normal(0, 0.05, (len(seen), int(hidden.sum())))
        seen[:, shade] *= 0.35
        part = np.s_[:, first:last]
        place = self.transform @ Affine.translation(first, 0)
        compact = day.replace("-", "")
        if sensor == "landsat":
            name = f"LC08_L2SP_018030_{compact}_{compact}_02_T1"
            stored = np.rint((seen + 0.2) / 2.75e-05)
            quality = np.full(hidden.shape, CLEAR, np.uint16)
            quality[hidden], quality[shade] = CLOUD, SHADOW
            files = {b: (f"{name}_SR_{own}.TIF", b) for b, own in LANDSAT.items()}
            files["qa_pixel"] = (f"{name}_QA_PIXEL.TIF", "qa_pixel")
            collection, platform = "landsat-c2-l2", "landsat-8"
        else:
            name = f"S2A_MSIL2A_{compact}T150721_N0{'400' if day >= '2022-01-25' else '212'}"
            name += f"_R082_T{first:05}_{compact}T192045"
            stored = np.rint(seen * 10000) + (1000 if day >= "2022-01-25" else 0)
            quality = np.full(hidden.shape, 4, np.uint8)
            quality[hidden], quality[shade] = 9, 3
            files = {b: (f"{name}/{own}.tif", own) for b, own in SENTINEL.items()}
            files["scl"] = (f"{name}/SCL.tif", "SCL")
            collection, platform = "sentinel-2-l2a", "sentinel-2a"
        arrays = dict(zip(BANDS, np.clip(stored, 1, 65535).astype(np.uint16), strict=True))
        arrays["qa_pixel" if sensor == "landsat" else "scl"] = quality
        assets = {}
        for band, values in arrays.items():
            file, key = files[band]
            path = self.folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            bounds = _write(path, values[part], place, crs)
            assets[key] = {
                "href": f"./{file}", "roles": ["data"], "file:size": path.stat().st_size,
                "file:checksum": "1220" + hashlib.sha256(path.read_bytes()).hexdigest(),
            }  # fmt: skip
        assets["thumbnail"] = {"href": "./thumb.png", "roles": ["thumbnail"]}
        west, south, east, north = bounds
        item = {
            "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": collection,
            "bbox": list(bounds),
            "geometry": {"type": "Polygon", "coordinates": [
                [[west, south], [east, south], [east, north], [west, north], [west, south]]
            ]},
            "properties": {
                "datetime": f"{day}T15:00:00Z", "platform": platform,
                "eo:cloud_cover": round(100 * float(hidden.mean()), 1), **properties,
            },
            "links": [], "assets": assets,
        }  # fmt: skip
        self.items.append(item)
        self.save(item)
        return item

    def save(self, item: dict[str, Any]) -> Path:
        """Write an item's file."""
        path = self.folder / f"{item['id']}.json"
        path.write_text(json.dumps(item))
        return path

    def _cloud(self, shape: tuple[int, ...], share: float) -> tuple[np.ndarray, np.ndarray]:
        if not share:
            return np.zeros(shape, bool), np.zeros(shape, bool)
        field = ndimage.gaussian_filter(self._random.normal(size=shape), min(shape) / 12)
        hidden = field > np.quantile(field, 1 - share)
        return hidden, np.roll(hidden, (4, -6), (0, 1)) & ~hidden


def simulated(folder: Path, size: int = 128, seed: int = 3) -> Archive:
    """An archive of a simulated scene's first date, without observations yet."""
    scene = simulate(
        folder / "truth", height=size, width=size, seed=seed,
        conditions=SceneConditions(clouds=0.0),
    )  # fmt: skip
    with rasterio.open(scene.before) as source:
        truth, transform = source.read().astype(np.float32) / 10000, source.transform
    archive = Archive(folder / "archive", truth, transform)
    archive.folder.mkdir()
    return archive


def _write(path: Path, values: np.ndarray, place: Any, crs: str) -> tuple[float, ...]:
    """Write a raster, in another CRS if so; its bounds in degrees."""
    height, width = values.shape
    if crs != CRS:
        bounds = rasterio.transform.array_bounds(height, width, place)
        west, _, _, north = transform_bounds(CRS, crs, *bounds)
        side = int(max(height, width) * 1.3)
        there = from_origin(west, north, place.a, place.a)
        moved = np.zeros((side, side), values.dtype)
        if "QA" in path.name or "SCL" in path.name:
            moved += values.dtype.type(1 if "QA" in path.name else 0)
        reproject(
            values, moved, src_transform=place, src_crs=CRS, dst_transform=there, dst_crs=crs,
            resampling=Resampling.nearest, init_dest_nodata=False,
        )  # fmt: skip
        values, place, height, width = moved, there, side, side
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=height, width=width, dtype=values.dtype,
        crs=crs, transform=place, tiled=True, blockxsize=64, blockysize=64, compress="deflate",
    ) as target:  # fmt: skip
        target.write(values, 1)
    bounds = rasterio.transform.array_bounds(height, width, place)
    return transform_bounds(crs, "EPSG:4326", *bounds)
