"""Where pixels lie: integer windows, grids, and how large a pixel is on the ground."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift.errors import GridError, reason_of

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

SQUARE_METRES_PER_HECTARE = 10_000.0

_MOST = 2**31 - 1  # rows and columns that GDAL counts

_FLATTEST = 1e-10  # GDAL inverts no transform that makes less of a square, and of its longest side


@dataclass(frozen=True)
class Window:
    """A rectangle of whole pixels, half open: rows ``row`` to ``row + height - 1``.

    Attributes:
        row: First row; may be negative where a window reaches over the raster's edge.
        column: First column.
        height: Rows, at least 1.
        width: Columns, at least 1.
    """

    row: int
    column: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise GridError(f"A window must hold a pixel, got {self.height} x {self.width}.")

    @property
    def slices(self) -> tuple[slice, slice]:
        """Row and column slices, for an array that starts at row 0, column 0."""
        return (
            slice(self.row, self.row + self.height),
            slice(self.column, self.column + self.width),
        )

    def grown(self, by: int) -> Window:
        """The window with ``by`` more pixels on each side (fewer where negative)."""
        return Window(self.row - by, self.column - by, self.height + 2 * by, self.width + 2 * by)

    def shifted(self, rows: int, columns: int) -> Window:
        """The window moved down by ``rows`` and right by ``columns``."""
        return Window(self.row + rows, self.column + columns, self.height, self.width)

    def clipped(self, height: int, width: int) -> Window:
        """The part of the window inside a raster of this size.

        Raises:
            GridError: Nothing of it lies inside.
        """
        top, left = max(self.row, 0), max(self.column, 0)
        bottom = min(self.row + self.height, height)
        right = min(self.column + self.width, width)
        if bottom <= top or right <= left:
            raise GridError(f"A window must overlap the raster of {height} x {width}, got {self}.")
        return Window(top, left, bottom - top, right - left)


def geobox(height: int, width: int, transform: Any, crs: Any) -> GeoBox:
    """The grid of a raster: its size, affine transform and CRS (None: unknown).

    Raises:
        GridError: More rows or columns than GDAL counts, or pixels without a size or a place.
    """
    from odc.geo.geobox import GeoBox

    if not _has_pixels(transform):
        raise GridError(
            "A grid must have pixels of a size above 0 at finite coordinates, got the transform "
            f"{tuple(float(v) for v in transform)[:6]}; place the raster again (gdal_edit "
            "-a_ullr)."
        )
    if max(height, width) > _MOST:
        raise GridError(
            f"A grid must have at most {_MOST:,} rows and columns, got {height} x {width}; take "
            "larger pixels."
        )
    return GeoBox((height, width), transform, crs)


def _has_pixels(transform: Any) -> bool:
    """Whether an affine transform leads to the ground and back, in GDAL's arithmetic too."""
    a, b, c, d, e, f = (float(v) for v in tuple(transform)[:6])
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        area = np.float64(a) * e - np.float64(b) * d
        longest = np.float64(max(map(abs, (a, b, d, e)))) ** 2
        flat = abs(area) <= _FLATTEST * longest if b or d else area == 0
    return bool(np.isfinite([c, f, area, longest]).all() and not flat)


def window_geobox(box: GeoBox, window: Window) -> GeoBox:
    """The grid of a window of a raster; the window may reach over the raster's edge."""
    from affine import Affine

    shift = Affine.translation(window.column, window.row)
    return geobox(window.height, window.width, box.affine @ shift, box.crs)


def describe(box: GeoBox) -> str:
    """A grid in a few words: size, pixel size, origin, CRS."""
    a = box.affine
    crs = "no CRS" if box.crs is None else (f"EPSG:{box.crs.epsg}" if box.crs.epsg else "own CRS")
    return (
        f"{box.width} x {box.height} pixels of {abs(a.a):g} x {abs(a.e):g} "
        f"at {a.c:.10g}, {a.f:.10g} ({crs})"
    )


def check_same(first: GeoBox, second: GeoBox, *, what: str, names: tuple[str, str]) -> None:
    """Check that two rasters lie on one grid, to a thousandth of a pixel.

    Args:
        first: Grid of the first raster.
        second: Grid of the second.
        what: What must share a grid, for the error: "Class maps", "Images".
        names: How the error names the two.

    Raises:
        GridError: Size, CRS, pixel size or origin differ.
    """
    if not same(first, second):
        raise GridError(
            f"{what} must share a grid, got {describe(first)} {names[0]} and "
            f"{describe(second)} {names[1]}; align one to the other first."
        )


def same(first: GeoBox, second: GeoBox) -> bool:
    """Whether two grids are one, to a thousandth of a pixel at every corner."""
    if first.shape != second.shape or first.crs != second.crs:
        return False
    inverse = ~first.affine
    corners = [(0, 0), (first.width, 0), (0, first.height), (first.width, first.height)]
    for corner in corners:
        column, row = inverse @ (second.affine @ corner)
        if abs(column - corner[0]) > 1e-3 or abs(row - corner[1]) > 1e-3:
            return False
    return True


def offset(box: GeoBox, on: GeoBox) -> tuple[int, int] | None:
    """Row and column of a grid's first pixel on another, where their pixels coincide.

    Args:
        box: The grid to place.
        on: The grid that counts the rows and columns.

    Returns:
        Whole numbers, negative above or left of ``on``; None where CRS, pixel size or direction
        differ, or pixels lie apart by more than a thousandth of one at any corner.
    """
    if box.crs != on.crs:
        return None
    column, row = ~on.affine @ (box.affine @ (0, 0))
    if not (np.isfinite(row) and np.isfinite(column)):
        return None
    found = Window(round(row), round(column), box.height, box.width)
    return (found.row, found.column) if same(window_geobox(on, found), box) else None


def extent(box: GeoBox, on: GeoBox) -> tuple[float, float, float, float]:
    """Where a grid lies on another: first row, first column, last row, last column (exclusive).

    Its outline is followed in 21 points a side, so that a bent one is not cut.

    Args:
        box: The grid to place, in any CRS.
        on: The grid that counts the rows and columns.

    Raises:
        GridError: One has a CRS and the other none, or no way leads from one CRS to the other.
    """
    steps = np.linspace(0.0, 1.0, 21)
    side = np.zeros_like(steps)
    columns = np.concatenate([steps, steps, side, side + 1]) * box.width
    rows = np.concatenate([side, side + 1, steps, steps]) * box.height
    x, y = apply(box.affine, columns, rows)
    if box.crs != on.crs:
        x, y = _transformed(box, on, x, y)
    columns, rows = apply(~on.affine, np.asarray(x), np.asarray(y))
    known = np.isfinite(rows) & np.isfinite(columns)
    if not known.any():
        raise GridError(
            f"A grid must have a place on the target's CRS, got {describe(box)} for "
            f"{describe(on)}; choose another CRS."
        )
    rows, columns = rows[known], columns[known]
    return float(rows.min()), float(columns.min()), float(rows.max()), float(columns.max())


@dataclass(frozen=True)
class Bearing:
    """How a grid lies on the ground, at its middle.

    Attributes:
        metres: Geodesic length of a step of one column.
        north: Where true north lies: degrees clockwise from up, along a column of pixels.
    """

    metres: float
    north: float


def bearing(box: GeoBox) -> Bearing:
    """How a grid lies on the ground, at its middle.

    Raises:
        GridError: It has no CRS, or one without a place on an ellipsoid there.
    """
    from pyproj import Geod, Transformer
    from pyproj.exceptions import CRSError, ProjError

    crs = None if box.crs is None else box.crs.proj
    degrees, ellipsoid = (None, None) if crs is None else (crs.geodetic_crs, crs.ellipsoid)
    problem = GridError(
        f"Scale and north need a CRS on an ellipsoid, got {describe(box)}; assign one."
    )
    if degrees is None or ellipsoid is None:
        raise problem
    earth = Geod(a=ellipsoid.semi_major_metre, b=ellipsoid.semi_minor_metre)
    unit = np.degrees(degrees.axis_info[0].unit_conversion_factor)
    columns = box.width / 2 + np.array([-0.5, 0.0, 0.5])
    rows = np.full(3, box.height / 2)
    try:
        way = Transformer.from_crs(crs, degrees, always_xy=True)
        longitude, latitude = np.array(way.transform(*apply(box.affine, columns, rows))) * unit
        metres = earth.inv(longitude[0], latitude[0], longitude[2], latitude[2])[2]
        east, north, _ = earth.fwd(longitude[1], latitude[1], 0.0, metres)
        x, y = way.transform(east / unit, north / unit, direction="INVERSE")
    except (ProjError, CRSError, ValueError) as error:
        raise problem from error
    column, row = ~box.affine @ (x, y)
    right, down = column - columns[1], row - rows[1]
    if not (np.isfinite([metres, right, down]).all() and metres > 0):
        raise problem
    return Bearing(float(metres), float(np.degrees(np.arctan2(right, -down))))


def apply(affine: Any, x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Coordinates that an affine transform gives others; of pixels, columns come before rows."""
    return affine.a * x + affine.b * y + affine.c, affine.d * x + affine.e * y + affine.f


def transformer(crs: Any, other: Any, where: str = "") -> Any:
    """The way from one CRS to another, x before y, as a pyproj Transformer.

    Args:
        crs: As pyproj reads it.
        other: The CRS to lead to.
        where: What to name in an error: " in map.tif".

    Raises:
        GridError: PROJ knows none: they lie on two bodies, or one is no place on Earth.
    """
    from pyproj import Transformer
    from pyproj.exceptions import ProjError

    try:
        return Transformer.from_crs(crs, other, always_xy=True)
    except ProjError as error:
        raise GridError(
            f"CRS must lie on one body and lead to each other, got {_named(crs)} and "
            f"{_named(other)}{where} ({reason_of(error)}); warp one by hand first."
        ) from error


def _named(crs: Any) -> str:
    return str(getattr(crs, "name", crs))


def _transformed(box: GeoBox, on: GeoBox, x: Any, y: Any) -> tuple[Any, Any]:
    if box.crs is None or on.crs is None:
        raise GridError(
            f"Rasters must both have a CRS, got {describe(box)} and {describe(on)}; "
            "state the missing one (--assume-crs)."
        )
    found: tuple[Any, Any] = transformer(box.crs.proj, on.crs.proj).transform(x, y)
    return found


def window_of_bounds(box: GeoBox, bounds: tuple[float, float, float, float]) -> Window:
    """The window of whole pixels nearest to bounds (left, bottom, right, top) in the grid's CRS.

    Raises:
        GridError: The bounds are empty, or miss the raster.
    """
    left, bottom, right, top = bounds
    if not (left < right and bottom < top):
        raise GridError(f"Bounds must be left < right and bottom < top, got {bounds}.")
    inverse = ~box.affine
    columns, rows = zip(
        *(inverse @ (x, y) for x in (left, right) for y in (bottom, top)), strict=True
    )
    first_row, last_row = round(min(rows)), round(max(rows))
    first_column, last_column = round(min(columns)), round(max(columns))
    if first_row == last_row or first_column == last_column:
        raise GridError(f"Bounds must hold a pixel, got {bounds} on {describe(box)}.")
    window = Window(first_row, first_column, last_row - first_row, last_column - first_column)
    try:
        return window.clipped(box.height, box.width)
    except GridError as error:
        raise GridError(
            f"The ground asked for must overlap the raster, got {bounds} on {describe(box)}; "
            "check its CRS."
        ) from error


def side_metres(box: GeoBox) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How long the sides of pixels are.

    On a projected CRS in its units; on a geographic one along parallels and meridians of the CRS's
    ellipsoid.

    Returns:
        Length of the side between two pixels of a column, for each line between rows (one more
        than rows), and of the side between two pixels of a row, for each row.

    Raises:
        GridError: No CRS, or a geographic grid that isn't north up.
    """
    row_hectares(box)  # says what is missing
    assert box.crs is not None, "areas need one too"
    a, crs = box.affine, box.crs.proj
    unit = crs.axis_info[0].unit_conversion_factor
    if not crs.is_geographic:
        across, down = np.hypot(a.a, a.d) * unit, np.hypot(a.b, a.e) * unit
        return np.full(box.height + 1, across), np.full(box.height, down)
    from pyproj import Geod

    ellipsoid = crs.ellipsoid
    assert ellipsoid is not None, "areas need one too"
    earth = Geod(a=ellipsoid.semi_major_metre, b=ellipsoid.semi_minor_metre)
    latitudes = np.clip((a.f + a.e * np.arange(box.height + 1)) * unit, -np.pi / 2, np.pi / 2)
    # radius of the ellipsoid's curve across the meridian (Snyder 1987, USGS PP 1395, eq. 4-20)
    radius = earth.a / np.sqrt(1 - earth.es * np.sin(latitudes) ** 2)
    across = np.abs(radius * np.cos(latitudes) * a.a * unit)
    zero = np.zeros(box.height)
    down = earth.inv(zero, latitudes[:-1], zero, latitudes[1:], radians=True)[2]
    return across, np.asarray(down, np.float64)


def row_hectares(box: GeoBox) -> NDArray[np.float64]:
    """Area of one pixel of each row, in hectares.

    On a projected CRS the pixel's area in CRS units; on a geographic one the exact area between
    two parallels and two meridians of the CRS's ellipsoid (Snyder 1987, USGS PP 1395, eq. 3-12).

    Raises:
        GridError: No CRS, or a geographic grid that isn't north up.
    """
    if box.crs is None:
        raise GridError(
            "Areas need a CRS, got a raster without one; assign it first (gdal_edit.py -a_srs)."
        )
    a = box.affine
    crs = box.crs.proj
    if not crs.is_geographic:
        metres = crs.axis_info[0].unit_conversion_factor
        area = abs(a.a * a.e - a.b * a.d) * metres**2
        return np.full(box.height, area / SQUARE_METRES_PER_HECTARE)
    if a.b or a.d:
        raise GridError("A geographic grid must be north up for areas, got a rotated one; warp it.")
    ellipsoid = crs.ellipsoid
    if ellipsoid is None:
        raise GridError(f"Areas need an ellipsoid, got a CRS without one: {crs.name}.")
    major, minor = ellipsoid.semi_major_metre, ellipsoid.semi_minor_metre
    degrees = crs.axis_info[0].unit_conversion_factor  # radians per unit
    latitudes = np.clip((a.f + a.e * np.arange(box.height + 1)) * degrees, -np.pi / 2, np.pi / 2)
    sine = np.sin(latitudes)
    eccentricity = np.sqrt(1 - (minor / major) ** 2)
    if eccentricity > 0:
        q = sine / (1 - (eccentricity * sine) ** 2) + np.arctanh(eccentricity * sine) / eccentricity
    else:
        q = 2 * sine
    zone = np.abs(np.diff(q)) * minor**2 / 2  # per radian of longitude
    hectares: NDArray[np.float64] = zone * abs(a.a) * degrees / SQUARE_METRES_PER_HECTARE
    if not hectares.any():
        raise GridError(f"Areas need a grid between the poles, got {describe(box)}; check its CRS.")
    return hectares
