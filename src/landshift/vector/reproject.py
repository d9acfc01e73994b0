"""Reprojection of geometries to a raster's grid, with edges that stay true on the ground."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift import grid
from landshift.errors import GridError, VectorError, reason_of

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

TOLERANCE = 0.02
"""Largest error of a reprojected edge in pixels."""

_ROUNDS = 22  # halvings of an edge; an edge around the Earth ends in pieces of 10 m
_LATTICE = 65  # points along each side of a grid, to locate it in another CRS
_MARGIN = 0.05  # around a grid, relative to its size
_CUT = 1e-7  # degrees left out at a cut of the Earth
_FARTHEST = 1e8  # metres; larger coordinates occur where a CRS breaks down
_CORNERS = 64  # of a polygon that approximates a circle
_FAR = 1000.0  # metres, or 0.01 degrees


@dataclass(frozen=True)
class Way:
    """The transformation of geometries from their CRS to a grid.

    Attributes:
        source: Their CRS, in any form that pyproj reads.
        box: The grid, which has a CRS.
    """

    source: Any
    box: GeoBox

    @cached_property
    def same(self) -> bool:
        """Whether the geometries are in the grid's CRS already."""
        with _one_line(self):
            return grid.same_crs(self._crs, self._target)

    @cached_property
    def _crs(self) -> Any:
        from pyproj import CRS

        return CRS.from_user_input(self.source)

    @cached_property
    def _target(self) -> Any:
        assert self.box.crs is not None
        return self.box.crs.proj

    @cached_property
    def _there(self) -> Any:
        from pyproj import Transformer

        return Transformer.from_crs(self._crs, self._target, always_xy=True)

    @cached_property
    def _middle(self) -> tuple[float, float]:
        """The middle of the grid, in its CRS."""
        x, y = self.box.affine @ (self.box.width / 2, self.box.height / 2)
        return float(x), float(y)

    def forward(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """``(n, 2)`` coordinates in the grid's CRS; NaN outside its domain."""
        x, y = self._there.transform(points[:, 0], points[:, 1])
        moved = np.stack([x, y], axis=1)
        if self._target.is_geographic:
            moved[:, 0] = _around(moved[:, 0], self._middle[0])
        moved[~(np.abs(moved) < _FARTHEST).all(axis=1)] = np.nan
        return moved

    def pixels(self, shift: NDArray[np.float64]) -> NDArray[np.float64]:
        """Lengths, in pixels, of ``(n, 2)`` shifts in the grid's CRS."""
        inverse = ~self.box.affine
        columns = inverse.a * shift[:, 0] + inverse.b * shift[:, 1]
        rows = inverse.d * shift[:, 0] + inverse.e * shift[:, 1]
        lengths: NDArray[np.float64] = np.hypot(columns, rows)
        return lengths

    def far(self, shift: NDArray[np.float64], *, source: bool = False) -> NDArray[np.bool_]:
        """Mask of ``(n, 2)`` shifts in the grid's (or the geometries') CRS above a kilometre."""
        crs = self._crs if source else self._target
        limit = _FAR * (1e-5 if crs.is_geographic else 1.0)
        far: NDArray[np.bool_] = ~(np.hypot(shift[:, 0], shift[:, 1]) <= limit)
        return far

    @cached_property
    def _around_grid(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Points on the grid and around it, in the geometries' CRS, within its domain."""
        box = self.box
        steps = np.linspace(-_MARGIN, 1 + _MARGIN, _LATTICE)
        columns, rows = (a.ravel() for a in np.meshgrid(steps * box.width, steps * box.height))
        x, y = self._back(*grid.apply(box.affine, columns, rows))
        seen = np.isfinite(x) & np.isfinite(y)
        return x[seen], y[seen]

    @cached_property
    def _centre(self) -> tuple[float, float]:
        """The grid's middle in the geometries' CRS, or a point near it within the CRS's domain."""
        x, y = (float(v[0]) for v in self._back(*(np.array([v]) for v in self._middle)))
        if math.isfinite(x) and math.isfinite(y):
            return x, y
        points = self._around_grid
        return float(points[0][len(points[0]) // 2]), float(points[1][len(points[1]) // 2])

    @cached_property
    def seam(self) -> float | None:
        """Longitude, from -360 to 0, at which the grid's CRS cuts the Earth open, or None.

        It is opposite the CRS's central meridian, if points on its two sides lie apart in the CRS.
        """
        from pyproj import Transformer

        operation = None if self._target.is_geographic else self._target.coordinate_operation
        central = [
            math.degrees(p.value * p.unit_conversion_factor)
            for p in (operation.params if operation is not None else ())
            if p.name.startswith("Longitude of")
        ]
        if not central or not self._crs.is_geographic or not self._around_grid[0].size:
            return None
        own = Transformer.from_crs(self._target.geodetic_crs, self._crs, always_xy=True)
        seam = own.transform(central[0] + 180, 0.0)[0]
        sides = self.forward(np.array([[seam + k * _CUT, self._centre[1]] for k in (-1, 1)]))
        if not np.isfinite(sides).all() or not self.far(np.diff(sides, axis=0))[0]:
            return None
        return float(seam % 360) - 360

    def crosses_seam(self, shapes: NDArray[np.object_]) -> NDArray[np.bool_]:
        """Mask of the geometries that cross the `seam`."""
        import shapely

        if self.seam is None:
            return np.zeros(len(shapes), np.bool_)
        west, _, east, _ = shapely.bounds(shapes).T
        west, east = west + _CUT, east - _CUT
        crosses: NDArray[np.bool_] = west + (self.seam - west) % 360 < east
        return crosses

    @cached_property
    def neighbourhood(self) -> tuple[float, float, float, float] | None:
        """Left, bottom, right, top around the grid in the geometries' CRS, or None.

        It is None outside that CRS's domain, and the whole Earth from seam to seam if it crosses
        the `seam`.
        """
        x, y = self._around_grid
        if not x.size:
            return None
        if not self._crs.is_geographic:
            return float(x.min()), float(y.min()), float(x.max()), float(y.max())
        middle, seam = self._centre[0], self.seam
        x = _around(x, middle)
        west, east, south, north = x.min(), x.max(), y.min(), y.max()
        poles = [pole for pole in (-90.0, 90.0) if self._holds(middle, pole)]
        south, north = min(south, *poles, 90.0), max(north, *poles, -90.0)
        over = seam is not None and west + (seam - west) % 360 < east
        if poles or over or east - west > 350:
            west = (middle - 180 if seam is None else seam) + _CUT
            east = west + 360 - 2 * _CUT
        return float(west), float(south), float(east), float(north)

    def _back(self, x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        from pyproj.enums import TransformDirection

        back = self._there.transform(x, y, direction=TransformDirection.INVERSE)
        return np.asarray(back[0]), np.asarray(back[1])

    def _holds(self, longitude: float, latitude: float) -> bool:
        """Whether a position lies on the grid."""
        place = self.forward(np.array([[longitude, latitude]]))
        column, row = (float(v[0]) for v in grid.apply(~self.box.affine, place[:, 0], place[:, 1]))
        return 0 <= column <= self.box.width and 0 <= row <= self.box.height

    def near(self, shapes: NDArray[np.object_]) -> NDArray[np.object_]:
        """The parts of geometries near the grid, in their own CRS; may be empty.

        Longitudes may be given on any turn around the Earth, 190 as well as -170.
        """
        import shapely

        if self.neighbourhood is None:
            return np.full(shapes.shape, shapely.GeometryCollection(), object)
        window = shapely.box(*self.neighbourhood)
        turns = (-360, 0, 360) if self._crs.is_geographic else (0,)
        pieces = [shapely.intersection(turned(shapes, degrees), window) for degrees in turns]
        near: NDArray[np.object_] = shapely.union_all(np.stack(pieces), axis=0)
        return near


Move = Callable[[NDArray[np.object_], Way], tuple[NDArray[np.object_], NDArray[np.bool_]]]
"""Moves geometries to a grid; also returns a mask of those partly outside its CRS's domain."""


def polygons(shapes: NDArray[np.object_], way: Way) -> tuple[NDArray[np.object_], int]:
    """Reproject valid polygons to a grid; edges that curve there get additional points.

    Edges are off by at most `TOLERANCE`. A polygon that exceeds the domain of the grid's CRS (the
    world in UTM) is cut to the grid's neighbourhood.

    Args:
        shapes: Valid polygons and multipolygons.
        way: The transformation.

    Returns:
        A polygon or multipolygon for each, which may be empty; and how many are cut.

    Raises:
        GridError: No transformation between the CRSs exists.
        VectorError: A polygon can't be transformed even near the grid.
    """
    if way.same:
        return _on_this_turn(shapes, way), 0
    return _or_near(shapes, way, _moved, of_polygons)


def lines(shapes: NDArray[np.object_], way: Way) -> tuple[NDArray[np.object_], int]:
    """Reproject lines to a grid; see `polygons`."""
    if way.same:
        return _on_this_turn(shapes, way), 0
    return _or_near(shapes, way, _moved_lines, lambda cut: cut)


def points(shapes: NDArray[np.object_], way: Way) -> NDArray[np.object_]:
    """Reproject points to a grid; those outside its CRS's domain become empty."""
    import shapely

    if way.same:
        return _on_this_turn(shapes, way)
    with _one_line(way):
        parts, owner = shapely.get_parts(shapes, return_index=True)
        moved = way.forward(shapely.get_coordinates(parts))
    seen = np.isfinite(moved).all(axis=1)
    result = np.full(len(shapes), shapely.MultiPoint(), object)
    for k in np.unique(owner[seen]):
        result[k] = shapely.multipoints(moved[seen & (owner == k)])
    return result


def buffered(shapes: NDArray[np.object_], crs: Any, metres: float) -> NDArray[np.object_]:
    """Polygons in longitude and latitude (WGS 84) around points and lines.

    Args:
        shapes: Points and lines.
        crs: Their CRS.
        metres: Width of the buffer: geodesic for points; for lines in an azimuthal equidistant
            projection about their middle.

    Raises:
        GridError: They lie outside their CRS's domain.
    """
    import shapely
    from affine import Affine

    world = Way(crs, grid.geobox(1, 1, Affine.identity(), "OGC:CRS84"))
    around = np.empty(len(shapes), object)
    for k, shape in enumerate(shapes):
        circles = shapely.get_dimensions(shape) == 0
        around[k] = _circles(shape, world, metres) if circles else _strip(shape, world, metres)
    return around


def _circles(shape: Any, world: Way, metres: float) -> Any:
    """Polygons around points; their corners lie on geodesics from the points."""
    import shapely
    from pyproj import Geod

    azimuths = np.linspace(0, 360, _CORNERS, endpoint=False)
    circles = []
    for longitude, latitude in _seen(shapely.get_coordinates(shape), world):
        ends = Geod(ellps="WGS84").fwd(
            np.full(_CORNERS, longitude), np.full(_CORNERS, latitude), azimuths,
            np.full(_CORNERS, metres),
        )  # fmt: skip
        circles.append(shapely.Polygon(np.stack([_around(ends[0], longitude), ends[1]], axis=1)))
    return shapely.union_all(circles)


def _strip(shape: Any, world: Way, metres: float) -> Any:
    """A polygon around a line."""
    import shapely
    from affine import Affine

    middle = shapely.get_coordinates(shapely.envelope(shape).centroid)
    longitude, latitude = _seen(middle, world)[0]
    local = f"+proj=aeqd +lat_0={latitude!r} +lon_0={longitude!r} +datum=WGS84"
    cell = metres / 100  # edges are off by a thousandth of the buffer
    here = Way(world.source, grid.geobox(1, 1, Affine(cell, 0, 0, 0, -cell, 0), local))
    line = lines(np.array([shape], object), here)[0][0]
    around = shapely.buffer(line, metres, quad_segs=_CORNERS // 4)
    degrees = cell / 111_320
    place = Affine(degrees, 0, longitude, 0, -degrees, latitude)
    back = Way(local, grid.geobox(1, 1, place, "OGC:CRS84"))
    return polygons(of_polygons(np.array([around], object)), back)[0][0]


def _seen(points: NDArray[np.float64], world: Way) -> list[tuple[float, float]]:
    """Longitudes and latitudes of points."""
    with _one_line(world):
        places = world.forward(points)
    if not np.isfinite(places).all():
        raise GridError(f"Points must lie within their CRS, got {points[0].tolist()}; correct it.")
    return [(float(x), float(y)) for x, y in places]


def _or_near(
    shapes: NDArray[np.object_], way: Way, move: Move, kept: Callable[[Any], Any]
) -> tuple[NDArray[np.object_], int]:
    """Move geometries to the grid; those that exceed its CRS's domain, only near the grid."""
    import shapely

    with _one_line(way):
        moved, broken = move(shapes, way)
        broken |= way.crosses_seam(shapes)
        if not broken.any():
            return moved, 0
        cut, still = move(kept(way.near(shapes[broken])), way)
    if still.any():
        raise VectorError(
            "Geometries must lie within what the raster's CRS can hold, got "
            f"{int(still.sum())} that it cuts open on {grid.describe(way.box)}; reproject them "
            "by hand (ogr2ogr -t_srs -wrapdateline)."
        )
    moved[broken] = cut
    return moved, int((~shapely.is_empty(cut)).sum())


@contextmanager
def _one_line(way: Way) -> Iterator[None]:
    from pyproj.exceptions import ProjError

    try:
        yield
    except ProjError as error:
        raise GridError(
            f"Geometries must have a way to the raster's CRS, got '{reason_of(error)}' for "
            f"{grid.describe(way.box)}; reproject them first (ogr2ogr -t_srs)."
        ) from error


def of_polygons(shapes: NDArray[np.object_], *, moved: bool = False) -> NDArray[np.object_]:
    """The polygons of geometries, with self-intersections repaired, as one multipolygon each.

    A single polygon stays one. Other parts are dropped: points and lines of collections, and lines
    that a repair leaves.

    Args:
        shapes: The geometries.
        moved: Whether they were valid before they were transformed. Slivers may then have
            collapsed; they are dropped.
    """
    import shapely

    valid = shapes.copy()
    crossed = ~shapely.is_valid(shapes)
    way: dict[str, Any] = {"method": "structure", "keep_collapsed": False} if moved else {}
    valid[crossed] = shapely.make_valid(shapes[crossed], **way)
    plain = np.isin(shapely.get_type_id(valid), (3, 6))  # Polygon, MultiPolygon
    for k in np.flatnonzero(~plain):
        valid[k] = shapely.union_all([p for p in _parts(valid[k]) if p.geom_type == "Polygon"])
    return valid


def turned(shapes: NDArray[np.object_], degrees: float) -> NDArray[np.object_]:
    """Geometries in longitude and latitude, shifted east."""
    import shapely

    shifted: NDArray[np.object_] = shapely.transform(
        shapes, lambda x, y: (x + degrees, y), interleaved=False
    )
    return shifted


def _parts(shape: Any) -> list[Any]:
    import shapely

    parts = shapely.get_parts(shape)
    while any("Collection" in p.geom_type or "Multi" in p.geom_type for p in parts):
        parts = shapely.get_parts(parts)
    return list(parts)


def _around(longitudes: NDArray[np.float64], middle: float) -> NDArray[np.float64]:
    """Longitudes within half a turn of a middle."""
    with np.errstate(invalid="ignore"):
        near: NDArray[np.float64] = longitudes - 360 * np.round((longitudes - middle) / 360)
    return near


def _on_this_turn(shapes: NDArray[np.object_], way: Way) -> NDArray[np.object_]:
    """Geographic polygons also where the grid's longitudes are on another turn: 190 for -170."""
    import shapely

    assert way.box.crs is not None
    left, bottom, right, top = way.box.extent.boundingbox
    if not way.box.crs.geographic or not len(shapes):
        return shapes
    # shapes that only touch the grid's edge don't count
    here = shapely.box(left + _CUT, bottom, right - _CUT, top)
    turns = np.stack([shapes, turned(shapes, -360), turned(shapes, 360)])
    lie = shapely.intersects(turns, here)
    if not lie[1:].any():
        return shapes
    result = shapes.copy()
    for k in np.flatnonzero(lie[1:].any(axis=0)):
        result[k] = shapely.union_all(turns[lie[:, k], k])
    return result


def _moved(shapes: NDArray[np.object_], way: Way) -> tuple[NDArray[np.object_], NDArray[np.bool_]]:
    """Polygons on the grid, and a mask of those partly outside its CRS's domain."""
    import shapely

    parts, owner = shapely.get_parts(shapes, return_index=True)
    full = ~shapely.is_empty(parts)
    parts, owner = parts[full], owner[full]
    rings, part_of = shapely.get_rings(parts, return_index=True)
    points, ring_of = shapely.get_coordinates(rings, return_index=True)
    moved, ring_of, bad = _bent(points, ring_of, way)
    broken = np.zeros(len(shapes), np.bool_)
    broken[owner[part_of[bad]]] = True
    result = np.full(len(shapes), shapely.Polygon(), object)
    whole = ~broken[owner[part_of]]
    if whole.any():
        keep = whole[ring_of]
        numbers = np.cumsum(whole) - 1
        linear = shapely.linearrings(moved[keep], indices=numbers[ring_of[keep]])
        kept, indices = np.unique(part_of[whole], return_inverse=True)
        single_parts = shapely.polygons(linear, indices=indices)
        owners, indices = np.unique(owner[kept], return_inverse=True)
        counts = np.bincount(indices)
        joined = shapely.multipolygons(single_parts, indices=indices)
        single = counts == 1
        joined[single] = shapely.get_geometry(joined[single], 0)
        result[owners] = of_polygons(joined, moved=True)
    return result, broken


def _moved_lines(
    shapes: NDArray[np.object_], way: Way
) -> tuple[NDArray[np.object_], NDArray[np.bool_]]:
    """Lines on the grid, and a mask of those partly outside its CRS's domain."""
    import shapely

    parts, owner = shapely.get_parts(shapes, return_index=True)
    points, line_of = shapely.get_coordinates(parts, return_index=True)
    moved, line_of, bad = _bent(points, line_of, way)
    broken = np.zeros(len(shapes), np.bool_)
    broken[owner[bad]] = True
    result = np.full(len(shapes), shapely.MultiLineString(), object)
    for k in np.unique(owner[~broken[owner]]):
        mine = [moved[line_of == n] for n in np.flatnonzero(owner == k)]
        result[k] = shapely.MultiLineString([m for m in mine if len(m) > 1])
    return result, broken


def _bent(
    points: NDArray[np.float64], ids: NDArray[np.int64], way: Way
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Lines on a grid, with points added until every edge is within the tolerance.

    An edge is halved as long as its quarter points deviate more than the tolerance from the
    straight edge on the grid; quarter points, since an edge may curve both ways and cross in the
    middle.

    Args:
        points: ``(n, 2)`` points of lines, one line after the other.
        ids: Number of each point's line, ascending.
        way: The transformation.

    Returns:
        Points on the grid, the number of each one's line, and the lines that can't be moved.
    """
    moved = way.forward(points)
    # edges shorter than a pixel need no check, except around a pole
    short = ~way.far(np.diff(points, axis=0), source=True)
    short &= way.pixels(np.diff(moved, axis=0)) < 1
    pending = (ids[:-1] == ids[1:]) & ~short
    for _ in range(_ROUNDS):
        beyond = ids[~np.isfinite(moved).all(axis=1)]
        if beyond.size:
            pending &= ~np.isin(ids[:-1], beyond)
        edges = np.flatnonzero(pending)
        if not edges.size:
            break
        first, second = points[edges], points[edges + 1]
        start, shift = moved[edges], moved[edges + 1] - moved[edges]
        off = np.zeros(edges.size)
        for part in (0.25, 0.5, 0.75):
            there = way.forward((1 - part) * first + part * second)
            off = np.maximum(off, way.pixels(there - (start + part * shift)))
        bent = ~(off <= TOLERANCE)  # also if a part of the edge has no coordinates
        pending[edges[~bent]] = False
        edges = edges[bent]
        halves = (points[edges] + points[edges + 1]) / 2
        points = np.insert(points, edges + 1, halves, axis=0)
        moved = np.insert(moved, edges + 1, way.forward(halves), axis=0)
        ids = np.insert(ids, edges + 1, ids[edges])
        pending = np.insert(pending, edges + 1, True)
    edges = np.flatnonzero(pending)
    # the CRS cuts the Earth open there; smaller gaps lie between areas of use of datum shifts
    torn = edges[way.far(moved[edges + 1] - moved[edges])]
    bad = np.unique(np.concatenate([ids[~np.isfinite(moved).all(axis=1)], ids[torn]]))
    return moved, ids, bad
