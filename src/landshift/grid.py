"""Windows of pixels, grids, and areas of pixels on the ground."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift.errors import GridError, reason_of

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

SQUARE_METRES_PER_HECTARE = 10_000.0

_MOST = 2**31 - 1  # largest number of rows and columns in GDAL

_FLATTEST = 1e-10  # GDAL inverts no transform with a relative area below this
# Areas on the ground, see `ground`
_LATTICE = 9  # points per side of a grid where plane and ellipsoid are compared
_IN_ITS_ZONE = (
    0.002  # areas in a UTM zone are off by 0.08 % at its middle, up to 0.2 % at its borders
)
_EQUAL = 1e-6
_STEP = 250.0  # metres: far above rounding errors, far below the Earth's curvature
_SQUARE_METRES, _SQUARE_PIXELS = 250_000.0, 512
_NODES = 9
_REST = 1e-7
_SHARES = 1 << 30


@dataclass(frozen=True)
class Window:
    """A rectangle of whole pixels, half open: rows ``row`` to ``row + height - 1``.

    Attributes:
        row: First row; negative if the window extends beyond the raster.
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
        """The window with ``by`` more pixels on each side (fewer if negative)."""
        return Window(self.row - by, self.column - by, self.height + 2 * by, self.width + 2 * by)

    def shifted(self, rows: int, columns: int) -> Window:
        """The window moved down by ``rows`` and right by ``columns``."""
        return Window(self.row + rows, self.column + columns, self.height, self.width)

    def holds(self, other: Window) -> bool:
        """Whether another window lies in it."""
        return (
            self.row <= other.row
            and other.row + other.height <= self.row + self.height
            and self.column <= other.column
            and other.column + other.width <= self.column + self.width
        )

    def clipped(self, height: int, width: int) -> Window:
        """The part of the window inside a raster of this size.

        Raises:
            GridError: No part of it lies inside.
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
        GridError: Too many rows or columns for GDAL, pixels of size 0 or at infinite coordinates,
            or a CRS that GDAL accepts and PROJ doesn't.
    """
    from odc.geo.geobox import GeoBox
    from pyproj.exceptions import CRSError

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
    try:
        return GeoBox((height, width), transform, crs)
    except CRSError as error:
        raise GridError(
            f"A grid's CRS must be one that PROJ knows, got '{reason_of(error)}' for "
            f"{str(crs)[:60]!r}; assign another (gdal_edit -a_srs)."
        ) from error


def _has_pixels(transform: Any) -> bool:
    """Whether an affine transform is finite and invertible, also in GDAL's arithmetic."""
    a, b, c, d, e, f = (float(v) for v in tuple(transform)[:6])
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        area = np.float64(a) * e - np.float64(b) * d
        longest = np.float64(max(map(abs, (a, b, d, e)))) ** 2
        flat = abs(area) <= _FLATTEST * longest if b or d else area == 0
    return bool(np.isfinite([c, f, area, longest]).all() and not flat)


def window_geobox(box: GeoBox, window: Window) -> GeoBox:
    """The grid of a window of a raster; the window may extend beyond the raster."""
    from affine import Affine

    shift = Affine.translation(window.column, window.row)
    return geobox(window.height, window.width, box.affine @ shift, box.crs)


def describe(box: GeoBox) -> str:
    """A short description of a grid: size, pixel size, origin, CRS."""
    a = box.affine
    crs = "no CRS" if box.crs is None else (f"EPSG:{box.crs.epsg}" if box.crs.epsg else "own CRS")
    return (
        f"{box.width} x {box.height} pixels of {abs(a.a):g} x {abs(a.e):g} "
        f"at {a.c:.10g}, {a.f:.10g} ({crs})"
    )


def check_same(first: GeoBox, second: GeoBox, *, what: str, names: tuple[str, str]) -> None:
    """Check that two rasters have the same grid, to a thousandth of a pixel.

    Args:
        first: Grid of the first raster.
        second: Grid of the second.
        what: The rasters, for the error: "Class maps", "Images".
        names: Names of the two, for the error.

    Raises:
        GridError: Size, CRS, pixel size or origin differ.
    """
    if not same(first, second):
        raise GridError(
            f"{what} must share a grid, got {describe(first)} {names[0]} and "
            f"{describe(second)} {names[1]}; align one to the other first."
        )


def same_crs(first: Any, second: Any) -> bool:
    """Whether two CRSs give the same place the same horizontal coordinates.

    The notation of a CRS (code, WKT 1, WKT 2, Esri's WKT), the order of its axes and its heights
    make no difference: rasters have x before y. Another datum does.

    Args:
        first: A CRS of odc-geo, a text that PROJ knows, or None for an unknown one.
        second: The other.
    """
    if first is None or second is None:
        return first is second
    return str(first) == str(second) or _same_crs(str(first), str(second))


@lru_cache(maxsize=256)
def _same_crs(first: str, second: str) -> bool:
    from pyproj.exceptions import CRSError

    try:
        a, b = _horizontal(first), _horizontal(second)
    except CRSError:
        return False
    if a.equals(b, ignore_axis_order=True):
        return True
    if a.is_bound and b.is_bound:  # different transformations to WGS 84 may mean different datums
        return False
    a, b = (c.source_crs if c.is_bound else c for c in (a, b))
    # PROJ ignores the order of axes of geographic CRSs only
    axes = [sorted((x.direction, x.unit_conversion_factor) for x in c.axis_info) for c in (a, b)]
    return bool(
        a.geodetic_crs is not None
        and b.geodetic_crs is not None
        and a.geodetic_crs.to_2d().equals(b.geodetic_crs.to_2d(), ignore_axis_order=True)
        and a.coordinate_operation == b.coordinate_operation
        and axes[0] == axes[1]
    )


def _horizontal(text: str) -> Any:
    """A CRS without heights."""
    from pyproj import CRS

    crs = CRS(text)
    while crs.is_compound:
        crs = crs.sub_crs_list[0]
    return crs.to_2d()


def same(first: GeoBox, second: GeoBox) -> bool:
    """Whether two grids are the same, to a thousandth of a pixel at every corner."""
    if first.shape != second.shape or not same_crs(first.crs, second.crs):
        return False
    inverse = ~first.affine
    corners = [(0, 0), (first.width, 0), (0, first.height), (first.width, first.height)]
    for corner in corners:
        column, row = inverse @ (second.affine @ corner)
        if abs(column - corner[0]) > 1e-3 or abs(row - corner[1]) > 1e-3:
            return False
    return True


def offset(box: GeoBox, on: GeoBox) -> tuple[int, int] | None:
    """Row and column of a grid's first pixel on another grid, if their pixels coincide.

    Args:
        box: The grid to place.
        on: The grid that counts the rows and columns.

    Returns:
        Row and column, negative above or left of ``on``; None if CRS, pixel size or direction
        differ, or pixels differ by more than a thousandth of a pixel at any corner.
    """
    if not same_crs(box.crs, on.crs):
        return None
    column, row = ~on.affine @ (box.affine @ (0, 0))
    if not (np.isfinite(row) and np.isfinite(column)):
        return None
    window = Window(round(row), round(column), box.height, box.width)
    return (window.row, window.column) if same(window_geobox(on, window), box) else None


def place_inside(box: GeoBox, on: GeoBox) -> tuple[int, int] | None:
    """Row and column of a grid's first pixel on another that holds all of it; None otherwise.

    Args:
        box: The grid to place.
        on: The grid that counts the rows and columns.
    """
    place = offset(box, on)
    if place is None or min(place) < 0:
        return None
    fits = place[0] + box.height <= on.height and place[1] + box.width <= on.width
    return place if fits else None


def extent(box: GeoBox, on: GeoBox) -> tuple[float, float, float, float]:
    """Extent of a grid on another: first row, first column, last row, last column (exclusive).

    The outline has 21 points per side, so that a curved one isn't cut.

    Args:
        box: The grid to place, in any CRS.
        on: The grid that counts the rows and columns.

    Raises:
        GridError: Only one has a CRS, or no transformation between the CRSs exists.
    """
    steps = np.linspace(0.0, 1.0, 21)
    side = np.zeros_like(steps)
    columns = np.concatenate([steps, steps, side, side + 1]) * box.width
    rows = np.concatenate([side, side + 1, steps, steps]) * box.height
    x, y = apply(box.affine, columns, rows)
    if not same_crs(box.crs, on.crs):
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
    """Place, scale and direction of a grid's middle.

    Attributes:
        metres: Geodesic width of a pixel.
        north: Direction of true north, in degrees clockwise from the upward direction of a column
            of pixels.
        longitude: In degrees, positive eastwards.
        latitude: In degrees, positive northwards.
    """

    metres: float
    north: float
    longitude: float
    latitude: float


def bearing(box: GeoBox) -> Bearing:
    """Place, scale and direction of a grid's middle.

    Raises:
        GridError: It has no CRS, or its middle has no place on an ellipsoid.
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
    return Bearing(
        float(metres), float(np.degrees(np.arctan2(right, -down))),
        longitude=float(longitude[1]), latitude=float(latitude[1]),
    )  # fmt: skip


@dataclass(frozen=True)
class ScaleBar:
    """A bar of a round length under a picture.

    Attributes:
        metres: Its length on the ground: 1, 2, 5, 10, 20, ...
        share: Its length as a share of the picture's width, 0 to 1.
        label: Its length in words.
    """

    metres: float
    share: float
    label: str


SCALE_BAR = 0.28
"""Largest share of a picture's width that a scale bar takes: room for its label and an arrow."""


def scale_bar(metres: float, most: float = SCALE_BAR) -> ScaleBar:
    """The longest bar of a round length that isn't above a share of a picture's width.

    Args:
        metres: Width of the picture on the ground, above 0.
        most: The share.
    """
    longest = metres * most
    step = 10.0 ** math.floor(math.log10(longest))
    length = max(f * step for f in (0.5, 1, 2, 5) if f * step <= longest)
    label = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    return ScaleBar(length, length / metres, label)


def apply(affine: Any, x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Apply an affine transform to coordinates; pixel coordinates are columns, then rows."""
    with np.errstate(invalid="ignore"):  # coordinates outside a CRS's domain are infinite
        return affine.a * x + affine.b * y + affine.c, affine.d * x + affine.e * y + affine.f


def transformer(crs: Any, other: Any, where: str = "") -> Any:
    """The transformation from one CRS to another, x before y, as a pyproj Transformer.

    Args:
        crs: The CRS, in any form that pyproj reads.
        other: The target CRS.
        where: Source of the CRS for the error, such as " in map.tif".

    Raises:
        GridError: PROJ has no transformation: the CRSs are of two bodies, or one isn't of a body.
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
            "state the missing one (`assume_crs`)."
        )
    transformed: tuple[Any, Any] = transformer(box.crs.proj, on.crs.proj).transform(x, y)
    return transformed


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
            f"The bounds must overlap the raster, got {bounds} on {describe(box)}; check its CRS."
        ) from error


def area_of(box: GeoBox, bounds: tuple[float, float, float, float] | None) -> Window:
    """The window of bounds, see `window_of_bounds`; without bounds, of the whole grid."""
    if bounds is None:
        return Window(0, 0, box.height, box.width)
    return window_of_bounds(box, bounds)


def counts(codes: NDArray[Any], size: int) -> NDArray[np.int64]:
    """Number of pixels of each code.

    Args:
        codes: Codes from 0 up.
        size: Number of codes; at most 256 where they are bytes.
    """
    flat = codes.ravel()
    if flat.dtype != np.uint8:
        return np.bincount(flat, minlength=size).astype(np.int64, copy=False)
    # two at once: neighbours are mostly alike, and additions to one count wait for each other
    even = flat.size // 2 * 2
    pairs = np.bincount(flat[:even].view(np.uint16), minlength=1 << 16).reshape(256, 256)
    single: NDArray[np.int64] = pairs.sum(axis=0) + pairs.sum(axis=1)
    single[flat[even:]] += 1
    return single[:size]


class Ground(ABC):
    """Areas and sides of a grid's pixels on the ground, window by window; see `ground`.

    Attributes:
        share: Hectares of one share, the unit of `shares`.
    """

    def __init__(self, largest: float) -> None:
        self.share = largest / _SHARES

    @abstractmethod
    def hectares(self, window: Window) -> NDArray[np.float64]:
        """Area of each pixel ``(row, column)`` of a window inside the grid; 0 off the ellipsoid."""

    def shares(self, window: Window) -> NDArray[np.int64]:
        """Area of each pixel in whole shares; the largest pixel has about 2^30.

        Sums of integers are exact, so that areas don't depend on the blocks read.
        """
        return np.rint(self.hectares(window) / self.share).astype(np.int64)

    def tally(
        self, window: Window, codes: NDArray[Any], size: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Number of pixels and hectares of each code in a window.

        Args:
            window: The window.
            codes: The code ``(row, column)`` of each of its pixels, from 0 up.
            size: Number of codes; see `counts`.
        """
        hectares = np.bincount(codes.ravel(), self.hectares(window).ravel(), size)
        return counts(codes, size), hectares.astype(np.float64, copy=False)

    @abstractmethod
    def sides(self, window: Window) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Length in metres of the lower and the right side of each pixel ``(row, column)``."""


def known_ground(box: GeoBox) -> Ground | None:
    """As `ground`; None without a CRS or with a local one, which has no ellipsoid.

    Raises:
        GridError: No pixel has a place on the CRS's ellipsoid.
    """
    return None if box.crs is None or box.crs.proj.ellipsoid is None else ground(box)


def ground(box: GeoBox) -> Ground:
    """Areas and sides of a grid's pixels on the ground, for any CRS.

    - North-up geographic grids: exact, between parallels and meridians.
    - Equal-area CRSs, and transverse Mercator (UTM) if planar areas are within 0.2 % of the
      ellipsoid's everywhere on the grid: planar areas and sides.
    - All others: on the ellipsoid, to 1e-5; smooth projections to 1e-6.

    Raises:
        GridError: No CRS, one without an ellipsoid, or no pixel has a place on it.
    """
    if box.crs is None:
        raise GridError(
            "Areas need a CRS, got a raster without one; assign it first (gdal_edit.py -a_srs)."
        )
    earth = _Earth.under(box)
    if earth is None:
        raise GridError(
            f"Areas need a CRS on an ellipsoid, got {describe(box)}; assign one "
            "(gdal_edit.py -a_srs)."
        )
    a, crs = box.affine, box.crs.proj
    if crs.is_geographic and not (crs.is_derived or a.b or a.d):
        return _between_parallels(box, earth)
    lines = np.linspace(0.0, 1.0, _LATTICE)
    columns, rows = np.meshgrid(lines * box.width, lines * box.height)
    area = earth.pixels(columns, rows, 0.5)[0]
    known = area > 0
    if not known.any():
        raise GridError(
            f"Pixels must have a place on the CRS's ellipsoid, got none of {describe(box)}; check "
            "the CRS."
        )
    side = float(np.sqrt(np.median(area[known])))
    if crs.is_geographic:
        return _Curved(box, earth, side)
    area = earth.pixels(columns[known], rows[known], _STEP / side)[0]
    unit = crs.axis_info[0].unit_conversion_factor
    plane = abs(a.a * a.e - a.b * a.d) * unit**2
    off = float(np.abs(plane / area[area > 0] - 1).max(initial=0.0))
    if off <= (_IN_ITS_ZONE if "Transverse Mercator" in _method(crs) else _EQUAL):
        below, right = np.hypot(a.a, a.d) * unit, np.hypot(a.b, a.e) * unit
        return _ByRow(
            np.full(box.height, plane / SQUARE_METRES_PER_HECTARE),
            np.full(box.height, below),
            np.full(box.height, right),
        )
    return _Curved(box, earth, side)


class _ByRow(Ground):
    """Pixels whose size depends on the row alone.

    Args:
        hectares: Area of a pixel of each row.
        below: Length of its lower side in metres.
        right: Length of its right side in metres.
    """

    def __init__(
        self,
        hectares: NDArray[np.float64],
        below: NDArray[np.float64],
        right: NDArray[np.float64],
    ) -> None:
        super().__init__(float(hectares.max()))
        self._hectares, self._below, self._right = hectares, below, right

    def hectares(self, window: Window) -> NDArray[np.float64]:
        return self._over(self._hectares, window)

    def tally(
        self, window: Window, codes: NDArray[Any], size: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        areas = self._hectares[window.slices[0]]
        if (areas == areas[0]).all():
            pixels = counts(codes, size)
            return pixels, pixels * areas[0]
        first = np.arange(0, window.height * size, size, dtype=np.intp)[:, np.newaxis]
        by_row = counts(codes + first, window.height * size).reshape(window.height, size)
        return by_row.sum(axis=0), areas @ by_row

    def sides(self, window: Window) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self._over(self._below, window), self._over(self._right, window)

    @staticmethod
    def _over(values: NDArray[np.float64], window: Window) -> NDArray[np.float64]:
        rows = values[window.slices[0], np.newaxis]
        return np.broadcast_to(rows, (window.height, window.width))


class _Curved(Ground):
    """Pixels whose size may vary everywhere.

    The grid is divided into fixed squares of up to 250 km and 512 pixels. In each, areas and sides
    are a polynomial through their values at 9 by 9 Chebyshev nodes (Trefethen 2019, Approximation
    Theory and Approximation Practice, doi 10.1137/1.9781611975949); each pixel gets the mean over
    its own area or side. If the polynomial's last terms exceed 1e-7 of the first, every pixel is
    computed by itself.

    Args:
        box: The grid.
        earth: Its ellipsoid.
        side: Approximate side of a pixel in metres.
    """

    def __init__(self, box: GeoBox, earth: _Earth, side: float) -> None:
        super().__init__(side**2 / SQUARE_METRES_PER_HECTARE)
        self._earth, self._side = earth, side
        self._height, self._width = box.height, box.width
        self._square = int(np.clip(_SQUARE_METRES / side, 1, _SQUARE_PIXELS))

    def hectares(self, window: Window) -> NDArray[np.float64]:
        return self._over(window, 0, (0.5, 0.5)) / SQUARE_METRES_PER_HECTARE

    def sides(self, window: Window) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self._over(window, 1, (1.0, 0.5)), self._over(window, 2, (0.5, 1.0))

    def _over(self, window: Window, which: int, at: tuple[float, float]) -> NDArray[np.float64]:
        """One result of `_Earth.pixels` for each pixel of a window.

        Args:
            window: The window.
            which: Index of the result.
            at: Row and column within each pixel: 0.5 for the mean over the pixel, 1 for its end.
        """
        values = np.empty((window.height, window.width))
        size = self._square
        rows = range(window.row // size * size, window.row + window.height, size)
        columns = range(window.column // size * size, window.column + window.width, size)
        for row in rows:
            for column in columns:
                square = Window(row, column, size, size).clipped(self._height, self._width)
                top, left = max(row, window.row), max(column, window.column)
                bottom = min(row + square.height, window.row + window.height)
                right = min(column + square.width, window.column + window.width)
                part = Window(top, left, bottom - top, right - left)
                values[part.shifted(-window.row, -window.column).slices] = self._part(
                    square, part, which, at
                )
        return values

    def _part(
        self, square: Window, part: Window, which: int, at: tuple[float, float]
    ) -> NDArray[np.float64]:
        """As `_over`, for a part of a square."""
        nodes = np.cos(np.pi * (np.arange(_NODES) + 0.5) / _NODES) / 2 + 0.5
        columns, rows = np.meshgrid(
            square.column + nodes * square.width, square.row + nodes * square.height
        )
        values = self._earth.pixels(columns, rows, _STEP / self._side)[which]
        if np.isfinite(values).all():
            terms = np.polynomial.chebyshev.chebvander(2 * nodes - 1, _NODES - 1)
            terms *= np.where(np.arange(_NODES) > 0, 2, 1) / _NODES
            series = terms.T @ values @ terms
            rest = max(np.abs(series[-1]).sum(), np.abs(series[:, -1]).sum())
            if rest <= _REST * series[0, 0]:
                down = _terms(part.row - square.row, part.height, square.height, at[0])
                across = _terms(part.column - square.column, part.width, square.width, at[1])
                return np.asarray(down @ series @ across.T, np.float64)
        elif not np.isfinite(values).any() and self._is_off(square):
            return np.zeros((part.height, part.width))
        columns, rows = np.meshgrid(
            part.column + np.arange(part.width) + at[1], part.row + np.arange(part.height) + at[0]
        )
        values = self._earth.pixels(columns, rows, min(0.5, _STEP / self._side))[which]
        return np.where(np.isfinite(values), values, 0.0)

    def _is_off(self, square: Window) -> bool:
        """Whether the border of a square lies off the ellipsoid."""
        across, down = np.arange(square.width + 1), np.arange(square.height + 1)
        columns = [across, across, np.zeros_like(down), np.full_like(down, square.width)]
        rows = [np.zeros_like(across), np.full_like(across, square.height), down, down]
        border = self._earth.places(
            square.column + np.concatenate(columns), square.row + np.concatenate(rows)
        )
        return not np.isfinite(border).any()


@dataclass(frozen=True)
class _Earth:
    """The ellipsoid of a grid.

    Attributes:
        affine: The grid's transform.
        way: Transformer from its CRS to longitude and latitude.
        unit: Their unit in radians.
        major: Semi-major axis in metres.
        squared: Squared eccentricity.
    """

    affine: Any
    way: Any
    unit: float
    major: float
    squared: float

    @classmethod
    def under(cls, box: GeoBox) -> _Earth | None:
        """The ellipsoid of a grid; None if its CRS has none."""
        from pyproj import Transformer
        from pyproj.exceptions import CRSError, ProjError

        crs = None if box.crs is None else box.crs.proj
        if crs is None or not (crs.is_geographic or crs.is_projected):
            return None
        degrees, ellipsoid = crs.geodetic_crs, crs.ellipsoid
        if degrees is not None and degrees.is_derived:  # with a rotated pole
            degrees = degrees.source_crs
        if degrees is None or ellipsoid is None:
            return None
        try:
            way = Transformer.from_crs(crs, degrees, always_xy=True)
        except (ProjError, CRSError):
            return None
        major, minor = ellipsoid.semi_major_metre, ellipsoid.semi_minor_metre
        unit = degrees.axis_info[0].unit_conversion_factor
        return cls(box.affine, way, unit, major, 1 - (minor / major) ** 2)

    def places(self, columns: NDArray[Any], rows: NDArray[Any]) -> NDArray[np.float64]:
        """Geocentric coordinates ``(axis, ...)`` in metres of positions in pixels.

        They aren't finite outside the ellipsoid's map.
        """
        x, y = self.way.transform(*apply(self.affine, columns, rows))
        with np.errstate(invalid="ignore"):
            longitude, latitude = np.asarray(x) * self.unit, np.asarray(y) * self.unit
            sine = np.sin(latitude)
            radius = self.major / np.sqrt(1 - self.squared * sine**2)
            out = radius * np.cos(latitude)
            return np.stack(
                [
                    out * np.cos(longitude), out * np.sin(longitude),
                    radius * (1 - self.squared) * sine,
                ]
            )  # fmt: skip

    def pixels(
        self, columns: NDArray[Any], rows: NDArray[Any], step: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Area in square metres, width and height in metres, of pixels centred at some positions.

        They are computed from the chords between positions a step before and after; not finite
        where one of those lies outside the ellipsoid's map.
        """
        with np.errstate(invalid="ignore"):
            right = self.places(columns + step, rows) - self.places(columns - step, rows)
            down = self.places(columns, rows + step) - self.places(columns, rows - step)
            area = np.linalg.norm(np.cross(right, down, axis=0), axis=0)
        lengths = [np.linalg.norm(v, axis=0) / (2 * step) for v in (right, down)]
        return area / (2 * step) ** 2, lengths[0], lengths[1]


def _terms(start: int, count: int, length: int, at: float) -> NDArray[np.float64]:
    """Chebyshev polynomials ``(pixel, term)`` on some pixels of a line.

    Args:
        start: First of those pixels.
        count: Number of pixels.
        length: Pixels of the line; the polynomials' argument runs from -1 to 1 along it.
        at: 0.5 for the mean over each pixel, 1 for the value at its end.
    """
    chebyshev = np.polynomial.chebyshev
    lines = 2 * np.arange(start, start + count + 1) / length - 1
    if at == 1:
        return np.asarray(chebyshev.chebvander(lines[1:], _NODES - 1))
    integrals = chebyshev.chebvander(lines, _NODES) @ chebyshev.chebint(np.eye(_NODES))
    return np.diff(integrals, axis=0) * length / 2


def _method(crs: Any) -> str:
    """Name of a projected CRS's method."""
    while crs.is_bound or crs.is_compound:
        crs = crs.source_crs if crs.is_bound else crs.sub_crs_list[0]
    return "" if crs.coordinate_operation is None else str(crs.coordinate_operation.method_name)


def _between_parallels(box: GeoBox, earth: _Earth) -> Ground:
    """Areas and sides of a north-up geographic grid.

    Areas are exact between two parallels and two meridians (Snyder 1987, USGS PP 1395, eq. 3-12);
    sides run along parallels and meridians.
    """
    from pyproj import Geod

    a = box.affine
    latitudes = (a.f + a.e * np.arange(box.height + 1)) * earth.unit
    latitudes = np.clip(latitudes, -np.pi / 2, np.pi / 2)
    sine = np.sin(latitudes)
    eccentricity = np.sqrt(earth.squared)
    if eccentricity > 0:
        q = sine / (1 - (eccentricity * sine) ** 2) + np.arctanh(eccentricity * sine) / eccentricity
    else:
        q = 2 * sine
    # per radian of longitude
    zone = np.abs(np.diff(q)) * earth.major**2 * (1 - earth.squared) / 2
    if not zone.any():
        raise GridError(f"Areas need a grid between the poles, got {describe(box)}; check its CRS.")
    width = abs(a.a) * earth.unit
    # radius of the ellipsoid's curve across the meridian (eq. 4-20)
    radius = earth.major / np.sqrt(1 - earth.squared * sine**2)
    zero = np.zeros(box.height)
    right = Geod(a=earth.major, es=earth.squared).inv(
        zero, latitudes[:-1], zero, latitudes[1:], radians=True
    )[2]
    return _ByRow(
        zone * width / SQUARE_METRES_PER_HECTARE,
        (radius * np.cos(latitudes) * width)[1:],
        np.asarray(right, np.float64),
    )
