"""Polygons and sample units as GeoJSON in the CRS of a page."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from landshift import vector
from landshift.errors import VectorError

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

MOST_BYTES = 5 << 20
"""Most bytes of GeoJSON on a page: a phone reads and draws it in about a second."""

_FILE_BYTES = 20 * MOST_BYTES  # of a file that can't be as few bytes of GeoJSON
_SUBPIXEL = 100  # coordinates are rounded to this part of a pixel
_UNITS = "units"  # the layer of a sample


@dataclass(frozen=True)
class Shapes:
    """A vector file as a layer of a page.

    Attributes:
        kind: Whether they are outlines, or places of sample units.
        text: The GeoJSON.
        count: Number of features.
        columns: Names of the properties.
        values: Texts of the property by which polygons are coloured; () without one.
    """

    kind: Literal["polygons", "points"]
    text: str
    count: int
    columns: tuple[str, ...]
    values: tuple[str, ...]


CLASS = "class"
"""The column by which polygons are coloured, as `landshift polygons` names it."""


def read(path: Path, box: GeoBox) -> Shapes:
    """A vector file in the CRS of a grid.

    The units of a sample are points at their middle; labels that they have are among their
    properties.

    Args:
        path: The file.
        box: The grid, which has a CRS.

    Raises:
        VectorError: It can't be read, or is more than `MOST_BYTES` as GeoJSON.
        GridError: No transformation to the grid's CRS exists.
    """
    import shapely

    if path.stat().st_size > _FILE_BYTES:
        raise VectorError(_too_large(path, f"{path.stat().st_size / (1 << 20):,.0f} MB"))
    layer = _layer(path)
    shapes = vector.read_shapes(path, box, layer)
    geometries = np.array(shapes.geometries, object)
    points = layer == _UNITS or bool((shapely.get_dimensions(geometries) == 0).all())
    if points:
        geometries = shapely.centroid(geometries)
    pixel = min(abs(box.affine.a), abs(box.affine.e))
    geometries = shapely.transform(geometries, lambda xy: np.round(xy, _decimals(pixel)))
    features = []
    for k, (number, geometry) in enumerate(zip(shapes.numbers, geometries, strict=True)):
        if geometry.is_empty:
            continue
        properties = {name: _plain(values[k]) for name, values in shapes.columns.items()}
        features.append(
            f'{{"type":"Feature","id":{number},"properties":{_json(properties)},'
            f'"geometry":{shapely.to_geojson(geometry)}}}'
        )
    if not features:
        raise VectorError(f"The vector file must have shapes on the page's ground, got {path}.")
    text = '{"type":"FeatureCollection","features":[' + ",\n".join(features) + "]}\n"
    if len(text.encode()) > MOST_BYTES:
        raise VectorError(_too_large(path, f"{len(text.encode()) / (1 << 20):,.1f} MB"))
    named = shapes.columns.get(CLASS, ())
    values = tuple(dict.fromkeys(str(v) for v in named if isinstance(v, str)))
    return Shapes(
        "points" if points else "polygons", text, len(features), tuple(shapes.columns), values
    )


def _too_large(path: Path, size: str) -> str:
    return (
        f"Polygons must be at most {MOST_BYTES >> 20} MB as GeoJSON, got {size} for {path.name}: "
        "the map's raster shows their classes; leave smaller patches out (landshift polygons "
        "--min-hectares) for a layer of their own."
    )


def _layer(path: Path) -> str | None:
    """The layer to show: the units of a sample that `landshift sample` drew, else the only one.

    Raises:
        VectorError: It has several.
    """
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError

    try:
        names = {str(name): kind for name, kind in pyogrio.list_layers(path)}
        if {_UNITS, "design", "record"} <= names.keys():
            return _UNITS
        drawn = [name for name, kind in names.items() if kind is not None]
        if len(drawn) > 1:
            drawn = [n for n in drawn if pyogrio.read_bounds(path, layer=n)[0].size]
    except (DataSourceError, DataLayerError):
        return None  # the reader says what is wrong
    if len(drawn) > 1:
        raise VectorError(
            f"A vector file must have one layer, got {', '.join(drawn)} in {path}; write the one "
            "to show into a file of its own (ogr2ogr)."
        )
    return drawn[0] if drawn else None


def _decimals(pixel: float) -> int:
    return max(0, math.ceil(-math.log10(pixel / _SUBPIXEL)))


def _plain(value: Any) -> Any:
    """A value as JSON holds it; texts for dates and bytes, null for no number."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | bool | int):
        return value
    return str(value)


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace").decode()
