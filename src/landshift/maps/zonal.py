"""Areas of a map's classes in polygons; border pixels count by their covered part."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift import grid, raster, vector
from landshift.classes import class_options, stays
from landshift.errors import ClassError, GridError
from landshift.files import options, whole
from landshift.files.rows import Rows, write_csv
from landshift.grid import Window
from landshift.machine.extras import required

if TYPE_CHECKING:
    from odc.geo.crs import CRS

BLOCK = 1024
"""Rows and columns of the map read at once."""


LAYER = "zones"
"""Name of the layer of zones."""

CHANGED = "changed, %"
"""Column of the share of a zone's classed area that changed."""

# matplotlib's cividis: brighter is more, as in `show.figures.show_zones`
_BRIGHTER = ((0, 34, 78), (67, 78, 108), (125, 124, 120), (188, 174, 108), (254, 232, 56))


@dataclass(frozen=True, repr=False)
class Zones(Rows):
    """Areas of a map's classes in zones; a row per zone and class that occurs there.

    Attributes:
        names: Names of the zones, in the order of their first polygons in the file.
        outlines: Polygon of each zone, in the CRS of the map; polygons of one name are joined.
        classes: Name of each value of the map that occurs in a zone, ascending.
        hectares: ``(zone, class)`` areas.
        outside: Share of each zone's pixels outside the map or without a class.
        crs: CRS of the outlines.
        files: Files written: the requested picture and polygons, then the table.
    """

    names: tuple[str, ...]
    outlines: NDArray[np.object_]
    classes: dict[int, str]
    hectares: NDArray[np.float64]
    outside: NDArray[np.float64]
    crs: CRS
    files: tuple[Path, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """A row per zone and class that occurs there: zone, class, hectares, per cent."""
        totals = self.hectares.sum(axis=1)
        return [
            {
                "zone": zone,
                "class": name,
                "hectares": round(float(self.hectares[z, c]), 4),
                "percent": round(100 * float(self.hectares[z, c] / totals[z]), 4),
            }
            for z, zone in enumerate(self.names)
            for c, name in enumerate(self.classes.values())
            if self.hectares[z, c] > 0
        ]

    def percent(self, of: str | None = None) -> NDArray[np.float64]:
        """Per cent of each zone's classed area in one class; NaN in zones without a class.

        Args:
            of: The class; None: all but 'No change' and classes such as 'forest->forest'.

        Raises:
            ClassError: No such class; or none that means 'unchanged'.
        """
        names = list(self.classes.values())
        if of is None:
            chosen = [not stays(name) for name in names]
            if all(chosen):
                raise ClassError(
                    "Change in zones needs a class that means 'unchanged', got "
                    f"{', '.join(names)}; name one of them."
                )
        elif of in names:
            chosen = [name == of for name in names]
        else:
            raise ClassError(
                f"The class must be one of {', '.join(names)}, got {of!r}; correct it."
            )
        totals = self.hectares.sum(axis=1)
        shares = np.full(len(self.names), np.nan)
        np.divide(100 * self.hectares[:, chosen].sum(axis=1), totals, out=shares, where=totals > 0)
        return shares

    def write_csv(self, path: Path | str, *, overwrite: bool = False) -> Path:
        """Write `rows` as CSV."""
        columns = ["zone", "class", "hectares", "percent"]
        return write_csv(path, columns, self.rows(), overwrite=overwrite)

    def write_geopackage(self, path: Path | str, *, overwrite: bool = False) -> Path:
        """Write a polygon per zone, with a column of hectares per class and the share that changed.

        QGIS shows the zones by that share; of a map without a class that means 'unchanged', the
        file has neither.
        """
        whole.check_new(path, overwrite=overwrite)
        columns: dict[str, NDArray[Any]] = {"zone": np.array(self.names, object)}
        for c, name in enumerate(self.classes.values()):
            columns[f"{name}, ha"] = self.hectares[:, c].round(4)
        changes = any(stays(name) for name in self.classes.values())
        if changes:
            columns[CHANGED] = self.percent().round(4)
        with whole.whole_file(Path(path)) as part:
            vector.write_layer(part, LAYER, columns, self.outlines, self.crs, kind="MultiPolygon")
            if changes:
                vector.styles.keep(
                    part, LAYER, _style(columns), name="change",
                    description="Share of the classed area that changed",
                )  # fmt: skip
        return Path(path)


def measure_zones(
    mapped: Path,
    polygons: Path | str,
    column: str,
    *,
    layer: str | None = None,
    classes: class_options.ClassesLike = None,
    nodata: float | None = None,
    on_block: options.OnBlock = None,
) -> Zones:
    """Areas of a map's classes in zones.

    Args:
        mapped: A class or change map with a CRS.
        polygons: The zones, in any CRS; may overlap.
        column: Column with the name of each zone; polygons of one name are one zone.
        layer: Name of the zones' layer; None: the only one.
        classes: The map's classes; None: as its files state, else by value.
        nodata: A value without a class, in addition to those that the file states.
        on_block: Called with blocks done and blocks in all.

    Raises:
        ParameterError: exactextract isn't installed.
        ClassError: No such column; the map is no class raster, or has values outside the classes.
        GridError: The map has no CRS, or no zone lies on it.
        VectorError: The polygons can't be read.
        RasterError: The map can't be read.
    """
    _check_installed()
    import shapely

    about = raster.info(mapped)
    ground = grid.ground(about.grid)
    crs = about.grid.crs
    assert crs is not None, "areas need a CRS"
    names, outlines = _zones(vector.read_polygons(polygons, about.grid, layer), column, polygons)
    known = raster.map_classes(mapped, class_options.classes_of(classes), nodata)
    # in pixels, so that rotated grids work too
    inverse = ~about.grid.affine
    pixels = shapely.transform(outlines, lambda x, y: grid.apply(inverse, x, y), interleaved=False)
    totals = _ZoneTotals(pixels)
    windows = list(raster.blocks(about.height, about.width, BLOCK))
    with raster.open_raster(mapped) as source:
        for done, window in enumerate(windows, start=1):
            near = totals.near(window)
            if near.size:
                codes, mask = raster.read_classes(source, window, known)
                totals.add(window, near, codes, mask, ground.hectares(window))
            if on_block is not None:
                on_block(done, len(windows))
    if not totals.hectares:
        raise GridError(
            f"Zones must lie on pixels of the map with a class, got none of {polygons} on "
            f"{grid.describe(about.grid)}; check their CRS."
        )
    names_of = known.named(totals.hectares)
    hectares = np.stack([totals.hectares[v] for v in names_of], axis=1)
    outside = (1 - totals.covered / np.maximum(shapely.area(pixels), 1e-300)).clip(0, 1)
    return Zones(names, outlines, names_of, hectares, outside, crs)


class _ZoneTotals:
    """Area of each class in each zone.

    Args:
        outlines: Polygons of the zones, in pixels.
    """

    def __init__(self, outlines: NDArray[np.object_]) -> None:
        import shapely

        self._outlines = outlines
        self._bounds = shapely.bounds(outlines)
        self.hectares: dict[int, NDArray[np.float64]] = {}
        """Area of each class value in each zone."""
        self.covered = np.zeros(len(outlines))
        """Pixels with a class in each zone."""

    def near(self, window: Window) -> NDArray[np.intp]:
        """Indices of the zones whose bounds overlap a window."""
        left, top, right, bottom = self._bounds.T
        return np.flatnonzero(
            (left < window.column + window.width)
            & (right > window.column)
            & (top < window.row + window.height)
            & (bottom > window.row)
        )

    def add(
        self,
        window: Window,
        zones: NDArray[np.intp],
        codes: NDArray[Any],
        mask: NDArray[np.bool_],
        areas: NDArray[np.float64],
    ) -> None:
        """Add a window's pixels to some zones.

        Args:
            window: The window.
            zones: Indices of the zones.
            codes: Class values ``(row, column)``.
            mask: ``(row, column)``, True where there is a class.
            areas: Hectares of each pixel.
        """
        values, ranks = np.unique(codes, return_inverse=True)
        ranks = np.where(mask, ranks.reshape(codes.shape), values.size).ravel()
        areas = areas.ravel()
        for zone in zones:
            cells, parts = _covered(self._outlines[zone], window)
            within = ranks[cells]
            self.covered[zone] += parts[within < values.size].sum()
            sums = np.bincount(within, parts * areas[cells], values.size + 1)[:-1]
            for value, hectares in zip(values, sums, strict=True):
                if hectares > 0:
                    total = self.hectares.setdefault(int(value), np.zeros(len(self._outlines)))
                    total[zone] += hectares


def _check_installed() -> None:
    required("exactextract", "zonal", "Zones")


def _zones(
    polygons: vector.Polygons, column: str, path: Path | str
) -> tuple[tuple[str, ...], NDArray[np.object_]]:
    """Names and outlines of the zones; polygons of one name are joined."""
    import shapely

    if column not in polygons.columns:
        raise ClassError(
            f"The zones' `column` must be one of {', '.join(polygons.columns) or 'no columns'}, "
            f"got {column!r} for {path}; name another."
        )
    members: dict[str, list[Any]] = {}
    for name, outline in zip(polygons.columns[column], polygons.geometries, strict=True):
        members.setdefault(str(name), []).append(outline)
    outlines = np.empty(len(members), object)
    for k, parts in enumerate(members.values()):
        joined = parts[0] if len(parts) == 1 else shapely.union_all(parts)
        outlines[k] = shapely.MultiPolygon(list(shapely.get_parts(joined)))
    return tuple(members), outlines


def _covered(outline: Any, window: Window) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pixels of a window under a polygon, numbered row by row, and the covered part of each."""
    import shapely
    from exactextract import exact_extract
    from exactextract.raster import NumPyRasterSource

    height, width = window.height, window.width
    left, top = window.column, window.row
    clipped = shapely.clip_by_rect(outline, left, top, left + width, top + height)
    # a border that only touches the window gives lines and points
    pieces = [p for p in shapely.get_parts(clipped) if p.geom_type == "Polygon" and p.area > 0]
    if not pieces:
        return np.zeros(0, np.int64), np.zeros(0)
    here = shapely.multipolygons(pieces)
    if here.area > height * width * (1 - 1e-12):  # the polygon covers the window
        return np.arange(height * width), np.ones(height * width)
    # rows count down, exactextract's y up
    turned = shapely.transform(here, lambda x, y: (x - left, height - (y - top)), interleaved=False)
    feature = {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(turned)}
    no_values = NumPyRasterSource(np.zeros((height, width), np.uint8), 0, 0, width, height)
    cells = exact_extract(no_values, [feature], ["cell_id", "coverage"])[0]["properties"]
    return cells["cell_id"].astype(np.int64), cells["coverage"]


def _style(columns: dict[str, NDArray[Any]]) -> str:
    """The zones' style in QGIS: classes of equal width, from no change to the largest share."""
    shares = columns[CHANGED]
    known = shares[np.isfinite(shares)]
    largest = float(known.max()) if known.size and known.max() > 0 else 100.0
    edges = np.linspace(0, largest, len(_BRIGHTER) + 1)
    fields = [vector.styles.FieldStyle(n, None if n == "zone" else 2) for n in columns]
    return vector.styles.style(
        vector.styles.by_amount(f'"{CHANGED}"', edges.tolist(), _BRIGHTER), fields
    )
