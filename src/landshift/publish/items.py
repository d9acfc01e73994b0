"""Time, place and files of STAC Items. (SpatioTemporal Asset Catalog 1.1.)

Written without pystac: it would replace the one dictionary in `write`, and `stac` would need an
extra. It has no outline of a grid, no periods of days, and no percent-encoded paths (it cuts a file
name at '#'). Tests check that its Items and ours are equal, and its schemas.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from landshift import grid
from landshift.classes import ClassScheme
from landshift.errors import GridError, ParameterError
from landshift.files import provenance, whole

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

VERSION = "1.1.0"
CLASSIFICATION = "https://stac-extensions.github.io/classification/v2.0.0/schema.json"
FILE = "https://stac-extensions.github.io/file/v2.1.0/schema.json"

_DIGITS = 7  # of degrees: a centimetre
_POINTS = 64  # along each side of an outline, before it is simplified
_TOLERANCE = 1e-5  # degrees by which an outline may be off: a metre
_SHA256 = "1220"  # prefix of a multihash: SHA-256 of 32 bytes


def times(moment: str | None, start: str | None, end: str | None) -> dict[str, str | None]:
    """Date and time of an Item: one moment, or start and end.

    Args:
        moment: A day or a time in ISO 8601; UTC unless it has an offset.
        start: First day or time.
        end: Last day or time; a day ends at 23:59:59.

    Raises:
        ParameterError: Neither or both are given, one isn't a date, or the end is before the start.
    """
    if (moment is None) == (start is None and end is None) or (start is None) != (end is None):
        stated = {"datetime": moment, "start": start, "end": end}
        listed = ", ".join(f"{k} {v}" for k, v in stated.items() if v is not None) or "none"
        raise ParameterError(
            f"A STAC Item must have a datetime, or a start and an end, got {listed}; give "
            "`datetime`, such as 2016-07-01, or `start` and `end`."
        )
    if moment is not None:
        return {"datetime": _text(_moment(moment, time.min))}
    assert start is not None
    assert end is not None
    first, last = _moment(start, time.min), _moment(end, time(23, 59, 59))
    if first > last:
        raise ParameterError(f"The start must be before the end, got {start} and {end}.")
    return {"datetime": None, "start_datetime": _text(first), "end_datetime": _text(last)}


def ground(box: GeoBox, where: Path) -> tuple[dict[str, Any], list[float]]:
    """Outline of a grid in longitude and latitude, and its bounding box.

    A grid across the antimeridian becomes two polygons, and a box with west above east (RFC 7946,
    sections 3.1.9 and 5.2).

    Args:
        box: The grid.
        where: The raster, for errors.

    Raises:
        GridError: The grid has no CRS, or lies outside the area of its CRS.
    """
    from shapely import box as rectangle
    from shapely import get_parts, simplify
    from shapely.affinity import translate
    from shapely.geometry import Polygon, polygon

    longitudes, latitudes = _outline(box, where)
    south, north = float(latitudes.min()), float(latitudes.max())
    if abs(longitudes[-1] - longitudes[0]) > 180:  # around a pole
        pole = 90.0 if south + north > 0 else -90.0
        shape: Any = rectangle(-180, min(south, pole), 180, max(north, pole))
    else:
        turns = np.floor((longitudes.min() + 180 + _TOLERANCE) / 360)
        shape = simplify(Polygon(np.stack([longitudes - 360 * turns, latitudes], 1)), _TOLERANCE)
    west, south, east, north = shape.bounds
    beyond = shape.intersection(rectangle(180, -91, 541, 91))
    if east > 180 + _TOLERANCE and beyond.area:
        shape = shape.intersection(rectangle(-180, -91, 180, 91)).union(translate(beyond, -360))
        east -= 360
    polygons = [
        [[_rounded(point) for point in ring.coords] for ring in (p.exterior, *p.interiors)]
        for p in map(polygon.orient, get_parts(shape))
    ]
    several = len(polygons) > 1
    geometry = {
        "type": "MultiPolygon" if several else "Polygon",
        "coordinates": polygons if several else polygons[0],
    }
    return geometry, _rounded((west, south, east, north))


def _outline(box: GeoBox, where: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unwrapped longitudes and latitudes of points around a grid, closed."""
    if box.crs is None:
        raise GridError(f"The raster of a STAC Item must have a CRS, got none in {where}; add it.")
    along = np.linspace(0, 1, _POINTS, endpoint=False)
    ones = np.ones(_POINTS)
    columns = box.width * np.concatenate([0 * ones, along, ones, 1 - along, [0]])
    rows = box.height * np.concatenate([along, ones, 1 - along, 0 * ones, [0]])
    x, y = grid.apply(box.transform, columns, rows)
    way = grid.transformer(box.crs.proj, "EPSG:4326", f" in {where}")
    longitudes, latitudes = way.transform(x, y)
    if not (np.isfinite(longitudes).all() and (abs(latitudes) <= 90).all()):
        raise GridError(
            f"The raster must lie within the area of its CRS, got an outline beyond it in {where}; "
            "check CRS and transform."
        )
    return np.unwrap(longitudes, period=360), latitudes


def classes(scheme: ClassScheme) -> list[dict[str, Any]]:
    """Classes for the classification extension, with the full name as description."""
    entries, names = [], set()
    for c in scheme:
        name = re.sub(r"[^0-9A-Za-z-]+", "_", c.name).strip("_") or f"class_{c.value}"
        if name in names:
            name = f"{name}_{c.value}"
        names.add(name)
        entries.append(
            {
                "value": c.value,
                "name": name,
                "description": c.name,
                "color_hint": "".join(f"{v:02X}" for v in c.colour),
            }
        )
    return entries


def asset(path: Path, item: Path, kind: str, roles: Sequence[str], **more: Any) -> dict[str, Any]:
    """A file of an Item: its path relative to the Item, its size and its SHA-256.

    The path is a URI, percent-encoded (RFC 3986).

    Args:
        path: The file.
        item: The Item's file.
        kind: Its media type.
        roles: Its roles in STAC.
        more: Further fields.
    """
    place = Path(os.path.relpath(path.resolve(), item.resolve().parent)).as_posix()
    href = quote(os.fsencode(place))
    return {
        "href": href if href.startswith("../") else f"./{href}",
        "type": kind,
        "roles": list(roles),
        "file:size": path.stat().st_size,
        "file:checksum": f"{_SHA256}{provenance.digest(path)}",
        **more,
    }


def write(
    out: Path,
    *,
    name: str,
    extensions: Sequence[str],
    geometry: Mapping[str, Any] | None,
    bounds: Sequence[float] | None,
    properties: Mapping[str, Any],
    assets: Mapping[str, Any],
) -> Path:
    """Write an Item.

    Raises:
        OutputError: The file can't be written.
    """
    item = {
        "type": "Feature",
        "stac_version": VERSION,
        "stac_extensions": sorted(extensions),
        "id": name,
        "geometry": geometry,
        **({} if bounds is None else {"bbox": list(bounds)}),
        "properties": dict(properties),
        "links": [],
        "assets": dict(assets),
    }
    with whole.whole_file(out) as part:
        part.write_text(json.dumps(item, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return out


def _moment(text: str, of_day: time) -> datetime:
    try:
        if re.fullmatch(r"\d{4}-?\d\d-?\d\d", text):
            return datetime.combine(date.fromisoformat(text), of_day, UTC)
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ParameterError(
            f"A date must be written as 2016-07-01 or 2016-07-01T10:30:00Z, got {text!r}."
        ) from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _rounded(values: Iterable[float]) -> list[float]:
    return [round(float(v), _DIGITS) for v in values]
