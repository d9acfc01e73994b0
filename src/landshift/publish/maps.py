"""A STAC Item of a map, or of another raster."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from landshift import raster
from landshift.classes import ClassScheme
from landshift.errors import ParameterError, RasterError
from landshift.files import dates, kinds, options, whole
from landshift.publish import items

PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
RASTER = "https://stac-extensions.github.io/raster/v1.1.0/schema.json"

_GEOTIFF = "image/tiff; application=geotiff"
_CLOUD_OPTIMISED = f"{_GEOTIFF}; profile=cloud-optimized"


def stac(
    image: options.MapFile,
    out: options.OutFile,
    *,
    datetime: str | None = None,
    start: str | None = None,
    end: str | None = None,
    composite: options.FilePath | None = None,
    overwrite: options.Flag = False,
) -> Path:
    """Describe a map as a STAC Item: place, time, classes, and the file with its checksum.

    The Item has the projection, raster, classification and file extensions. Its paths are relative,
    so that map and Item can move together.

    Args:
        image: A map, or another raster; its classes are those that the file states.
        out: The Item to write (.json).
        datetime: Day or time of the map, as 2016-07-01 (UTC); ISO 8601.
        start: First day of the map's period, instead of a single time.
        end: Last day of the map's period.
        composite: The composite that the map was made from, for its dates; a raster with dates of
            its own doesn't need it.
        overwrite: Replace what is there already under the same name.

    Raises:
        ParameterError: No date is known, or one is invalid.
        RasterError: The raster isn't a local file, or can't be read.
        GridError: The raster has no CRS, or lies outside its CRS.
        OutputError: The Item can't be written.
    """
    image, out = Path(image), Path(out)
    kinds.ITEM.check(out)
    whole.check_new(out, inputs=[image, composite], overwrite=overwrite)
    if not image.is_file():
        raise RasterError(f"A STAC Item needs a local file, got {image}; download it first.")
    with raster.open_raster(image) as source:
        info = raster.info_of(source)
        is_cog = source.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG"
    if (datetime, start, end) == (None, None, None):
        start, end = _days(image) or (composite and _days(Path(composite))) or (None, None)
    scheme = raster.scheme_of(image)
    geometry, bounds = items.ground(info.grid, image)
    times = items.times(datetime, start, end)
    return items.write(
        out, name=image.stem, geometry=geometry, bounds=bounds,
        extensions=[PROJECTION, RASTER, items.FILE, *([items.CLASSIFICATION] if scheme else [])],
        properties={**times, "title": image.stem, **_projection(info)},
        assets=_assets(image, out, info, scheme, _CLOUD_OPTIMISED if is_cog else _GEOTIFF),
    )  # fmt: skip


def _assets(
    image: Path, out: Path, info: raster.RasterInfo, scheme: ClassScheme | None, kind: str
) -> dict[str, Any]:
    """The raster, and its style for QGIS if there is one."""
    more: dict[str, Any] = {"raster:bands": [_band(info)] * len(info.bands)}
    if all(info.bands):
        more["bands"] = [{"name": name} for name in info.bands]
    if scheme is not None:
        more["classification:classes"] = items.classes(scheme)
    assets = {"map": items.asset(image, out, kind, ["data"], title=image.name, **more)}
    style = image.with_suffix(".qml")
    if style.is_file():
        assets["style"] = items.asset(
            style, out, "application/xml", ["style"], title="Style for QGIS"
        )
    return assets


def _days(path: Path) -> tuple[str, str] | None:
    """First and last day of a composite's images, or those that other date tags state."""
    with raster.open_raster(path) as source:
        tags = source.tags()
    try:
        stated = dates.of_each(tags).values()
    except ParameterError as error:
        raise RasterError(
            f"The dates of a composite must be JSON with a date for each, got others in {path}; "
            "give `start` and `end`."
        ) from error
    period = dates.spanning([*stated, dates.of_tags(tags)])
    return None if period is None else (str(period.first), str(period.last))


def _projection(info: raster.RasterInfo) -> dict[str, Any]:
    box = info.grid
    assert box.crs is not None
    code = box.crs.authority
    a, b, c, d, e, f = tuple(box.transform)[:6]
    left, bottom, right, top = box.boundingbox
    properties: dict[str, Any] = {
        "proj:code": ":".join(map(str, code)) if all(code) else None,
        "proj:shape": [box.height, box.width],
        "proj:transform": [a, b, c, d, e, f],
        "proj:bbox": [left, bottom, right, top],
    }
    if properties["proj:code"] is None:
        properties["proj:wkt2"] = str(box.crs.proj.to_wkt())
    return properties


def _band(info: raster.RasterInfo) -> dict[str, Any]:
    band: dict[str, Any] = {"data_type": info.dtype}
    if info.nodata is not None:
        finite = math.isfinite(info.nodata)
        value = int(info.nodata) if finite and info.nodata == int(info.nodata) else info.nodata
        band["nodata"] = value if finite else str(info.nodata)
    crs = info.grid.crs
    if crs is not None and crs.projected and set(crs.units) == {"metre"}:
        band["spatial_resolution"] = abs(info.grid.resolution.x)
    return band
