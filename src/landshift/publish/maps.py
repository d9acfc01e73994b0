"""A STAC Item of a map, or of any raster of ours."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from landshift import raster
from landshift.errors import RasterError
from landshift.files import dates
from landshift.files import whole as whole_files
from landshift.prepare.composite import DATES_TAG
from landshift.publish import items

PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
RASTER = "https://stac-extensions.github.io/raster/v1.1.0/schema.json"

_GEOTIFF = "image/tiff; application=geotiff"
_CLOUD_OPTIMISED = f"{_GEOTIFF}; profile=cloud-optimized"


def describe_map(
    path: Path | str,
    out: Path | str,
    *,
    moment: str | None = None,
    start: str | None = None,
    end: str | None = None,
    composite: Path | str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the STAC Item of a map: where, when, which classes, and the file with its checksum.

    It has the projection, raster, classification and file extensions. Paths in it are relative to
    it, so that map and Item can move together.

    Args:
        path: The map, or another raster; its classes are those that the file states.
        out: The Item's file.
        moment: Its date, or date and time, by ISO 8601.
        start: First day of the time that it tells of, instead.
        end: Last day of it.
        composite: The composite that the map was made from; its dates are taken where none are
            given. A raster that knows its own dates needs none.
        overwrite: Whether what is there already is replaced.

    Raises:
        ParameterError: No date is known, or one isn't valid.
        RasterError: The raster isn't a file here, or can't be read.
        GridError: It has no CRS, or lies outside of it.
        OutputError: The Item can't be written.
    """
    path, out = Path(path), Path(out)
    whole_files.check_new(out, inputs=[path, composite], overwrite=overwrite)
    if not path.is_file():
        raise RasterError(f"A STAC Item is made of a file on this machine, got {path}.")
    with raster.open_raster(path) as source:
        info = raster.info_of(source)
        structure = source.tags(ns="IMAGE_STRUCTURE")
    if (moment, start, end) == (None, None, None):
        start, end = _days(path) or (composite and _days(Path(composite))) or (None, None)
    scheme = raster.scheme_of(path)
    geometry, bounds = items.ground(info.grid, path)
    properties = {
        **items.times(moment, start, end),
        "title": path.stem,
        **_projection(info),
    }
    more: dict[str, Any] = {"raster:bands": [_band(info)] * len(info.bands)}
    if all(info.bands):
        more["bands"] = [{"name": name} for name in info.bands]
    if scheme is not None:
        more["classification:classes"] = items.classes(scheme)
    kind = _CLOUD_OPTIMISED if structure.get("LAYOUT") == "COG" else _GEOTIFF
    assets = {"map": items.asset(path, out, kind, ["data"], title=path.name, **more)}
    style = path.with_suffix(".qml")
    if style.is_file():
        assets["style"] = items.asset(
            style, out, "application/xml", ["style"], title="Style for QGIS"
        )
    extensions = [PROJECTION, RASTER, items.FILE, *([items.CLASSIFICATION] if scheme else [])]
    return items.write(
        out, name=path.stem, extensions=extensions, geometry=geometry, bounds=bounds,
        properties=properties, assets=assets,
    )  # fmt: skip


def _days(path: Path) -> tuple[str, str] | None:
    """First and last day that a composite of ours was made from, or that tags of others state."""
    with raster.open_raster(path) as source:
        tags = source.tags()
    try:
        stated = [dates.parse(str(d)) for d in json.loads(tags.get(DATES_TAG, "{}")).values()]
    except (ValueError, AttributeError) as error:
        raise RasterError(
            f"The dates of a composite must be JSON with a date for each, got others in {path}; "
            "give --start and --end."
        ) from error
    whole = dates.spanning([*stated, dates.of_tags(tags)])
    return None if whole is None else (str(whole.first), str(whole.last))


def _projection(info: raster.RasterInfo) -> dict[str, Any]:
    box = info.grid
    assert box.crs is not None
    code = box.crs.authority
    a, b, c, d, e, f = tuple(box.transform)[:6]
    left, bottom, right, top = box.boundingbox
    told: dict[str, Any] = {
        "proj:code": ":".join(map(str, code)) if all(code) else None,
        "proj:shape": [box.height, box.width],
        "proj:transform": [a, b, c, d, e, f],
        "proj:bbox": [left, bottom, right, top],
    }
    if told["proj:code"] is None:
        told["proj:wkt2"] = str(box.crs.proj.to_wkt())
    return told


def _band(info: raster.RasterInfo) -> dict[str, Any]:
    found: dict[str, Any] = {"data_type": info.dtype}
    if info.nodata is not None:
        finite = math.isfinite(info.nodata)
        value = int(info.nodata) if finite and info.nodata == int(info.nodata) else info.nodata
        found["nodata"] = value if finite else str(info.nodata)
    crs = info.grid.crs
    if crs is not None and crs.projected and set(crs.units) == {"metre"}:
        found["spatial_resolution"] = abs(info.grid.resolution.x)
    return found
