"""Areas of a map's classes in polygons; border pixels count by their covered part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift import grid, raster, vector
from landshift.classes import class_options, stays
from landshift.errors import ClassError, GridError
from landshift.files import whole
from landshift.files.rows import Rows, write_csv
from landshift.grid import Window
from landshift.machine.extras import required
from landshift.raster import blockwise

if TYPE_CHECKING:
    from odc.geo.crs import CRS
    from rasterio.io import DatasetReader

CUT = 128 * 128
"""Pixels of a cut piece of a zone, at most, as its bounds count them: exactextract takes the time
of about 3,000 pixels for a piece, however small, and a longer time than a sum for pixels that the
zone covers whole."""

AT_ONCE = 1 << 19
"""Pixels of cut pieces measured at once: bounds memory where many zones overlap."""

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
) -> Zones:
    """Areas of a map's classes in zones.

    Args:
        mapped: A class or change map with a CRS.
        polygons: The zones, in any CRS; may overlap.
        column: Column with the name of each zone; polygons of one name are one zone.
        layer: Name of the zones' layer; None: the only one.
        classes: The map's classes; None: as its files state, else by value.
        nodata: A value without a class, in addition to those that the file states.

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
    totals, covered = _totals(mapped, known, pixels, ground)
    if not totals:
        raise GridError(
            f"Zones must lie on pixels of the map with a class, got none of {polygons} on "
            f"{grid.describe(about.grid)}; check their CRS."
        )
    names_of = known.named(totals)
    hectares = np.stack([totals[v] for v in names_of], axis=1)
    outside = (1 - covered / np.maximum(shapely.area(pixels), 1e-300)).clip(0, 1)
    return Zones(names, outlines, names_of, hectares, outside, crs)


def _totals(
    mapped: Path,
    known: raster.ClassValues,
    outlines: NDArray[np.object_],
    ground: grid.Ground,
) -> tuple[dict[int, NDArray[np.float64]], NDArray[np.float64]]:
    """Hectares of each class in each zone, by value, and pixels with a class in each zone.

    Args:
        mapped: The map.
        known: Which of its values are classes.
        outlines: Polygons of the zones, in pixels.
        ground: Areas of the pixels.
    """
    import shapely

    about = raster.info(mapped)
    bounds = shapely.bounds(outlines)

    def measured(source: DatasetReader, block: blockwise.Block) -> _BlockZones | None:
        near = _near(bounds, block.window)
        if not near.size:
            return None
        codes, mask = raster.read_classes(source, block.window, known)
        return _measured(
            near, outlines[near], block.window, *raster.ranked(codes, mask),
            ground.hectares(block.window),
        )  # fmt: skip

    totals: dict[int, NDArray[np.float64]] = {}
    covered = np.zeros(len(outlines))
    windows = list(raster.blocks(about.height, about.width))
    opened = partial(raster.open_raster, mapped)
    with blockwise.results(windows, "measuring zones", opened, measured) as results:
        for _, part in results:
            if part is not None:
                covered[part.zones] += part.covered
                for value, hectares in zip(part.values.tolist(), part.hectares.T, strict=True):
                    if hectares.any():
                        total = totals.setdefault(value, np.zeros(len(outlines)))
                        total[part.zones] += hectares
    return totals, covered


@dataclass(frozen=True)
class _BlockZones:
    """What zones hold in a block.

    Attributes:
        zones: Numbers of the zones near it.
        values: Values of the classes in the block.
        hectares: ``(zone, value)`` areas.
        covered: Pixels with a class in each zone.
    """

    zones: NDArray[np.intp]
    values: NDArray[np.int64]
    hectares: NDArray[np.float64]
    covered: NDArray[np.float64]


def _near(bounds: NDArray[np.float64], window: Window) -> NDArray[np.intp]:
    """Numbers of the zones whose bounds overlap a window."""
    left, top, right, bottom = bounds.T
    return np.flatnonzero(
        (left < window.column + window.width)
        & (right > window.column)
        & (top < window.row + window.height)
        & (bottom > window.row)
    )


def _measured(
    zones: NDArray[np.intp],
    outlines: NDArray[np.object_],
    window: Window,
    values: NDArray[np.int64],
    ranks: NDArray[np.int64],
    areas: NDArray[np.float64],
) -> _BlockZones:
    """Areas of the classes of a block in zones.

    Args:
        zones: Numbers of the zones.
        outlines: Their polygons, in pixels.
        window: The block.
        values: Its class values.
        ranks: ``(row, column)`` place of each pixel's value among them; see `raster.ranked`.
        areas: ``(row, column)`` hectares of each pixel.
    """
    classes = values.size + 1  # the last: none
    pixels, hectares = np.zeros((2, zones.size, classes))
    cut: list[_Piece] = []
    for zone, outline in enumerate(outlines):
        for part, piece in _pieces(outline, window):
            if piece is not None:
                cut.append(_Piece(zone, piece))
                continue
            at = part.shifted(-window.row, -window.column).slices
            here = ranks[at].ravel()
            pixels[zone] += np.bincount(here, minlength=classes)
            hectares[zone] += np.bincount(here, areas[at].ravel(), classes)
    flat_ranks, flat_areas = ranks.ravel(), areas.ravel()
    for some in _batches(cut):
        owners, cells, parts = _covered(some, window)
        place = owners * classes + flat_ranks[cells]
        pixels += np.bincount(place, parts, pixels.size).reshape(pixels.shape)
        hectares += np.bincount(place, parts * flat_areas[cells], pixels.size).reshape(pixels.shape)
    return _BlockZones(zones, values, hectares[:, :-1], pixels[:, :-1].sum(axis=1))


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


@dataclass(frozen=True)
class _Piece:
    """A piece of a zone that its border cuts.

    Attributes:
        zone: Place of the zone among those of the block.
        outline: Its polygon, in pixels of the map.
    """

    zone: int
    outline: Any

    @property
    def cells(self) -> float:
        """Pixels under its bounds."""
        return _cells(self.outline)


def _cells(outline: Any) -> float:
    left, top, right, bottom = outline.bounds
    return float((right - left) * (bottom - top))


def _pieces(outline: Any, window: Window) -> Iterator[tuple[Window, Any | None]]:
    """Divide what a polygon covers of a window.

    Args:
        outline: The polygon, in pixels of the map.
        window: The window.

    Yields:
        A window inside it, and the polygon there; None where the polygon covers that window.
    """
    import shapely

    left, top = window.column, window.row
    right, bottom = left + window.width, top + window.height
    clipped = shapely.clip_by_rect(outline, left, top, right, bottom)
    # a border that only touches the window gives lines and points
    polygons = [p for p in shapely.get_parts(clipped) if p.geom_type == "Polygon" and p.area > 0]
    if not polygons:
        return
    here = polygons[0] if len(polygons) == 1 else shapely.multipolygons(polygons)
    if here.area > window.height * window.width * (1 - 1e-12):
        yield window, None
    elif _cells(here) <= CUT:
        yield window, here
    else:
        for quarter in _quarters(window):
            yield from _pieces(here, quarter)


def _quarters(window: Window) -> Iterator[Window]:
    for row, height in _halves(window.row, window.height):
        for column, width in _halves(window.column, window.width):
            yield Window(row, column, height, width)


def _halves(start: int, length: int) -> list[tuple[int, int]]:
    half = length // 2
    return [(at, n) for at, n in ((start, half), (start + half, length - half)) if n]


def _batches(pieces: Sequence[_Piece]) -> Iterator[list[_Piece]]:
    """The pieces, in lists that together cover about `AT_ONCE` pixels at most."""
    batch: list[_Piece] = []
    cells = 0.0
    for piece in pieces:
        batch.append(piece)
        cells += piece.cells
        if cells > AT_ONCE:
            yield batch
            batch, cells = [], 0.0
    if batch:
        yield batch


def _covered(
    pieces: Sequence[_Piece], window: Window
) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.float64]]:
    """Pixels of a window under pieces of zones: zone, number row by row, and part covered."""
    import shapely
    from exactextract import exact_extract
    from exactextract.raster import NumPyRasterSource

    height, width = window.height, window.width
    # rows count down, exactextract's y up
    turned = shapely.transform(
        np.array([p.outline for p in pieces], object),
        lambda x, y: (x - window.column, height - (y - window.row)),
        interleaved=False,
    )
    no_values = NumPyRasterSource(
        np.broadcast_to(np.uint8(0), (height, width)), 0, 0, width, height
    )
    cells = exact_extract(no_values, _features(turned), ["cell_id", "coverage"])
    numbers = [c["properties"]["cell_id"] for c in cells]
    owners = np.repeat([p.zone for p in pieces], [n.size for n in numbers])
    parts = np.concatenate([c["properties"]["coverage"] for c in cells])
    return owners, np.concatenate(numbers).astype(np.int64), parts


def _features(outlines: NDArray[np.object_]) -> Any:
    """Polygons as exactextract takes them, as WKB: three times as fast as its GeoJSON."""
    import shapely
    from exactextract.feature import Feature, FeatureSource

    class Outline(Feature):  # type: ignore[misc]
        def __init__(self, wkb: bytes) -> None:
            super().__init__()
            self._wkb = wkb

        def geometry(self) -> bytes:
            return self._wkb

    class Outlines(FeatureSource):  # type: ignore[misc]
        def __iter__(self) -> Iterator[Outline]:
            return map(Outline, shapely.to_wkb(outlines))

        def count(self) -> int:
            return len(outlines)

        def srs_wkt(self) -> None:
            return None

    return Outlines()


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
