"""The place of a search: bounds, a vector file or a raster's ground, as a shape in WGS 84."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from landshift import grid, raster, vector
from landshift.errors import GridError, ParameterError, VectorError
from landshift.files.options import Bounds, FilePath

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

_SIDE = 21
"""Points along each side of a raster's outline; a side of a UTM zone then lies within some metres
of the straight edges between them."""

_POINTS = 500
"""Corners of a shape at most; a server that gets more may refuse the request, so that finer shapes
are replaced by their convex hull or bounds."""


@dataclass(frozen=True)
class Place:
    """Where to search; one of these."""

    bbox: Bounds | None = None
    """West south east north, in degrees; west lies east of east where the place crosses 180
    degrees."""
    shape: FilePath | None = None
    """Vector file with the place: GeoJSON, GeoPackage, shapefile, ..."""
    layer: str | None = None
    """Layer of that file; left out, it must have one."""
    like: FilePath | None = None
    """Raster whose ground is the place."""

    def outline(self) -> Any:
        """The place as a shapely geometry in WGS 84.

        Raises:
            ParameterError: None of the options is given, or several; bounds out of their range.
            VectorError: The file can't be read, or has no shape or CRS.
            RasterError: The raster can't be read.
            GridError: The raster has no CRS.
        """
        given = [n for n in ("bbox", "shape", "like") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ParameterError(
                "The place must be stated once, by `bbox`, `shape` or `like`, got "
                f"{' and '.join(f'`{n}`' for n in given) or 'none'}; give one."
            )
        if self.bbox is not None:
            return _of_bounds(self.bbox)
        if self.like is not None:
            return _of_raster(self.like)
        return _of_file(Path(self.shape or ""), self.layer)


def _of_bounds(bounds: Bounds) -> Any:
    import shapely

    west, south, east, north = bounds
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south < north <= 90):
        raise ParameterError(
            "`bbox` must be west south east north in degrees, got "
            f"{' '.join(f'{b:g}' for b in bounds)}; check the order."
        )
    if west == east:
        raise ParameterError(f"`bbox` must have a width, got {west:g} for west and east.")
    if west < east:
        return shapely.box(west, south, east, north)
    return shapely.union_all(
        [shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)]
    )


def _of_raster(path: Path | str) -> Any:
    box = raster.info(path).grid
    if box.crs is None:
        raise GridError(
            f"The raster that states the place must have a CRS, got none in {path}; assign it."
        )
    return outline_of(box)


def outline_of(box: GeoBox) -> Any:
    """The outline of a grid in WGS 84."""
    import shapely

    steps = np.linspace(0, 1, _SIDE)
    ones = np.ones_like(steps)
    columns = np.concatenate([steps, ones, steps[::-1], 0 * ones]) * box.width
    rows = np.concatenate([0 * ones, steps, ones, steps[::-1]]) * box.height
    x, y = grid.apply(box.affine, columns, rows)
    longitudes, latitudes = grid.transformer(str(box.crs), "EPSG:4326").transform(x, y)
    return _in_degrees(shapely.Polygon(np.column_stack([longitudes, latitudes])))


def _of_file(path: Path, layer: str | None) -> Any:
    import shapely

    crs, _, shapes, _ = vector.read_layer(path, layer)
    whole = shapes[~(shapely.is_missing(shapes) | shapely.is_empty(shapes))]
    if not len(whole):
        raise VectorError(f"The place must have a shape, got none in {path}; draw it.")
    if crs is None:
        raise VectorError(f"The vector file must have a CRS, got none in {path}; assign one.")
    way = grid.transformer(crs, "EPSG:4326", f" in {path}")
    moved = shapely.transform(whole, lambda at: np.column_stack(way.transform(*at.T)))
    return _in_degrees(shapely.union_all(shapely.make_valid(moved)))


def _in_degrees(shape: Any) -> Any:
    """A shape with as many corners as a server takes; one across 180 degrees is refused."""
    import shapely

    if not np.isfinite(shapely.get_coordinates(shape)).all():
        raise GridError("The place must lie within its CRS, got points off the Earth; check it.")
    west, _, east, _ = shape.bounds
    if east - west > 180:
        raise GridError(
            "The place must not cross 180 degrees where it is a shape or raster, got longitudes "
            f"from {west:g} to {east:g}; give `bbox`, with west above east."
        )
    if shapely.get_num_coordinates(shape) > _POINTS:
        shape = shapely.convex_hull(shape)
    return shape if shapely.get_num_coordinates(shape) <= _POINTS else shapely.box(*shape.bounds)
