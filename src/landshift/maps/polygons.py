"""Patches of change as polygons in a vector file."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray

from landshift import grid, raster, vector
from landshift.classes import ClassScheme, Colour, MapScheme, class_options, ends_of, stays
from landshift.classes.legend import Legend
from landshift.errors import ClassError, ParameterError
from landshift.files import kinds, options
from landshift.files import whole as whole_files
from landshift.files.rows import Rows
from landshift.grid import Window
from landshift.maps.cleaning import check_neighbours, value_of
from landshift.maps.tracing import SIDES, MapTracer, Outlines

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

log = logging.getLogger(__name__)

DRIVERS = {".gpkg": "GPKG", ".fgb": "FlatGeobuf", ".parquet": vector.GEOPARQUET}
"""Formats of the polygons, by suffix."""

BLOCK = 512
"""Rows and columns of the map read at once."""

LAYER = "changes"
"""Name of the polygons' layer."""

DECIMALS = 4
"""Fewest decimals of the hectares in the file: square metres, which no outline resolves better."""

PIXEL_DECIMALS = 2
"""Further decimals of the hectares beyond the first digit of a pixel's area: maps of pixels below
a square metre keep the area of a single one."""

_SHOWN = 2  # decimals of hectares in QGIS
_SHARES = 3  # of confidences

_BATCH = 25_000  # polygons written at once


@dataclass(frozen=True, repr=False)
class Traced(Rows):
    """The polygons that `polygons` wrote; a row per class.

    Attributes:
        path: The file.
        polygons: Number of polygons of each class that has any, by its name.
        hectares: Area of each of those classes in the polygons.
        dropped: Number of patches below the smallest area.
        min_hectares: The smallest area.
    """

    path: Path
    polygons: dict[str, int]
    hectares: dict[str, float]
    dropped: int
    min_hectares: float = 0.0

    def rows(self) -> list[dict[str, Any]]:
        """A row per class: its polygons and their area."""
        return [
            {"class": name, "polygons": count, "hectares": self.hectares[name]}
            for name, count in self.polygons.items()
        ]


def polygons(
    mapped: options.MapFile,
    out: options.OutFile,
    *,
    confidence: options.FilePath | None = None,
    min_hectares: float = 0.0,
    simplify: float | None = None,
    everything: options.Flag = False,
    neighbours: Annotated[int, Parameter(name=("--neighbours", "--connectivity"))] = SIDES,
    classes: class_options.ClassesLike = None,
    nodata: float | None = None,
    overwrite: options.Flag = False,
    block: Annotated[int, Parameter(parse=False)] = BLOCK,
) -> Traced:
    """Write a map's patches of change as polygons: classes, hectares, confidence.

    A patch is a set of pixels of one class, connected over their sides or, with 8 neighbours, also
    over their corners. In the latter case it is a multipolygon; its parts touch at corners only.
    The area is that of the pixels, also if the outline is simplified. The columns `from` and `to`
    are there where names of the map's classes state them. QGIS shows the polygons in the colours of
    their classes, by a style inside a GeoPackage and in a .qml beside the file.

    Args:
        mapped: The map: a change map, or any class map (all of whose classes count as change).
        out: The file to write: .gpkg, .parquet (GeoParquet; needs pyarrow), or .fgb, which holds
            all polygons in memory.
        confidence: A raster of one band on the map's grid; each polygon gets its mean there.
        min_hectares: Leave smaller patches out.
        simplify: Simplify outlines by this tolerance in units of the CRS; borders that patches
            share stay shared (Visvalingam & Whyatt 1993, doi 10.1179/000870493786962263, as
            implemented in GEOS for coverages). Holds all polygons in memory. Left out: outlines
            follow the pixels.
        everything: Trace 'No change' and classes such as 'forest->forest' too.
        neighbours: Whether pixels connect over their sides only, 4, or corners too, 8, as
            multipolygons.
        classes: The map's classes, as for label. Left out: as its files state, else by value.
        nodata: A value without a class, in addition to those that the file states.
        overwrite: Replace what is there already under the same name.
        block: Rows and columns read at once; only the order of the polygons depends on it.

    Raises:
        ParameterError: Another format, or one that needs a missing package; a minimum or
            tolerance below 0; neither 4 nor 8 neighbours; confidences beyond 1000.
        ClassError: The map is no class raster, or has no change.
        GridError: The map has no CRS, or the confidence lies on another grid.
        RasterError: A raster can't be read.
        OutputError: The file can't be written.
    """
    mapped, out = Path(mapped), Path(out)
    kinds.POLYGONS.check(out)
    driver = DRIVERS[out.suffix.lower()]
    _check(min_hectares, simplify, neighbours)
    inputs = [mapped, confidence, class_options.file_of(classes)]
    qml = _style_beside(out)
    whole_files.check_new(out, qml, inputs=inputs, overwrite=overwrite)
    scheme = class_options.classes_of(classes)
    known = raster.map_classes(mapped, scheme, nodata)
    left_out = [v for v, n in known.names.items() if stays(n) and not everything]
    totals = _ClassTotals(known)
    dropped = 0
    with ExitStack() as stack:
        part = stack.enter_context(whole_files.whole_file(out))
        tracer = MapTracer(
            mapped, class_options.file_of(confidence), known, left_out, block, neighbours,
            nodes=simplify is not None,
        )  # fmt: skip
        crs = tracer.box.crs
        assert crs is not None, "areas need a CRS"
        kind = "Polygon" if neighbours == SIDES else "MultiPolygon"
        layer = stack.enter_context(vector.new_layer(part, LAYER, crs, driver, kind))
        columns = _columns(known, with_confidence=confidence is not None)
        sink = _Sink(layer, tracer.box, columns, simplify)
        for patches in stack.enter_context(tracer.traced()):
            large = patches.hectares >= min_hectares * (1 - 1e-9)
            dropped += int((~large).sum())
            kept = patches.take(large)
            sink.add(kept, totals.add(kept))
        sink.flush()
        if not sink.written:
            raise ClassError(
                f"The map must hold a patch of change of {min_hectares:g} ha or more, got none in "
                f"{mapped}; lower `min_hectares`, or ask for `everything`."
            )
        style = _style(columns, totals.colours(scheme or raster.legend_of(mapped)))
        if driver == "GPKG":
            vector.styles.keep(part, LAYER, style, name="classes", description="Colours by class")
    if qml is not None:
        with whole_files.whole_file(qml) as part:
            part.write_text(style, encoding="utf-8")
    return Traced(out, totals.polygons, totals.hectares, dropped, min_hectares)


def _check(min_hectares: float, simplify: float | None, neighbours: int) -> None:
    if min_hectares < 0 or (simplify is not None and simplify < 0):
        raise ParameterError(
            "The smallest area (`min_hectares`) and the tolerance (`simplify`) must be at least "
            f"0, got {min_hectares:g} ha and {simplify}."
        )
    check_neighbours(neighbours)


def _style_beside(out: Path) -> Path | None:
    """The style to write beside the polygons; None where a raster of the same name has its own."""
    qml = out.with_suffix(".qml")
    if not vector.styles.is_of_raster(qml):
        return qml
    if out.suffix.lower() != ".gpkg":
        log.warning(
            "%s is the style of a raster and stays, so that QGIS shows %s without colours; give "
            "the polygons another name.", qml, out.name,
        )  # fmt: skip
    return None


def _columns(known: raster.ClassValues, *, with_confidence: bool) -> list[str]:
    """The columns of the polygons: ends of a change where a class of the map states them."""
    ends = [ends_of(name) for name in known.names.values()]
    stated = [
        name for k, name in enumerate(("from", "to")) if any(end[k] is not None for end in ends)
    ]
    return ["class", *stated, "hectares", *(["confidence"] if with_confidence else [])]


def _style(columns: Sequence[str], colours: Mapping[str, Colour]) -> str:
    """The polygons' style in QGIS."""
    decimals = {"hectares": _SHOWN, "confidence": _SHARES}
    fields = [vector.styles.FieldStyle(name, decimals.get(name)) for name in columns]
    return vector.styles.style(vector.styles.by_class("class", colours), fields)


def _decimals(box: GeoBox) -> int:
    """Decimals of the hectares of patches on a grid."""
    pixel = grid.ground(box).hectares(Window(box.height // 2, box.width // 2, 1, 1))
    return max(DECIMALS, PIXEL_DECIMALS - math.floor(math.log10(float(pixel[0, 0]))))


class _ClassTotals:
    """Number and area of the polygons of each class, by its name.

    Args:
        known: The values that are classes.
    """

    def __init__(self, known: raster.ClassValues) -> None:
        self._known = known
        self._names: dict[int, str] = {}
        self.polygons: dict[str, int] = {}
        self.hectares: dict[str, float] = {}

    def add(self, patches: Outlines) -> NDArray[np.object_]:
        """Add patches, and return the name of each one's class."""
        names = np.empty(patches.codes.size, object)
        for code in np.unique(patches.codes):
            of_class = patches.codes == code
            value = value_of(int(code))
            if value not in self._names:
                self._names = self._known.named([*self._names, value])
            name = self._names[value]
            names[of_class] = name
            self.polygons[name] = self.polygons.get(name, 0) + int(of_class.sum())
            area = float(patches.hectares[of_class].sum())
            self.hectares[name] = self.hectares.get(name, 0.0) + area
        return names

    def colours(self, stated: ClassScheme | Legend) -> dict[str, Colour]:
        """Colour of each class that occurs, by its name, ascending by value."""
        classes = MapScheme.from_mapping(self._names, stated.colours)
        return {c.name: c.colour for c in classes}


class _Sink:
    """Writes polygons to a layer, in batches."""

    def __init__(
        self, layer: vector.NewLayer, box: GeoBox, columns: Sequence[str], tolerance: float | None
    ) -> None:
        self._layer = layer
        self._columns = columns
        self._decimals = _decimals(box)
        self._tolerance = tolerance
        # the format or the simplification needs all polygons at once
        self._at_once = tolerance is not None or not layer.grows
        self._held: list[tuple[Outlines, NDArray[np.object_]]] = []
        self._polygons = 0
        self.written = 0

    def add(self, patches: Outlines, classes: NDArray[np.object_]) -> None:
        """Add patches and the names of their classes."""
        self._held.append((patches, classes))
        self._polygons += classes.size
        if self._polygons >= _BATCH and not self._at_once:
            self.flush()

    def flush(self) -> None:
        """Write the patches that wait."""
        import shapely

        if not self._polygons:
            return
        outlines = np.concatenate([p.polygons for p, _ in self._held])
        classes = np.concatenate([c for _, c in self._held])
        order: slice | NDArray[np.int64] = slice(None)
        if self._tolerance is not None:
            order = _by_first_corner(outlines)
            outlines = shapely.coverage_simplify(outlines[order], self._tolerance)
        ends = {name: ends_of(name) for name in set(classes)}
        columns: dict[str, NDArray[Any]] = {
            "class": classes,
            "from": np.array([ends[c][0] for c in classes], object),
            "to": np.array([ends[c][1] for c in classes], object),
            "hectares": np.concatenate([p.hectares for p, _ in self._held]).round(self._decimals),
            "confidence": np.concatenate([p.confidence for p, _ in self._held]),
        }
        self._layer.add({name: columns[name][order] for name in self._columns}, outlines)
        self.written += self._polygons
        self._held, self._polygons = [], 0


def _by_first_corner(outlines: NDArray[np.object_]) -> NDArray[np.int64]:
    """An order of outlines that doesn't depend on blocks, since GEOS' simplification depends on it.

    It is that of the first corners, which are all different: from north to south, west to east.
    """
    import shapely

    shells = shapely.get_exterior_ring(shapely.get_geometry(outlines, 0))
    x, y = shapely.get_coordinates(shapely.get_point(shells, 0)).T
    return np.lexsort((x, -y))
