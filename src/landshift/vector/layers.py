"""Polygons, lines and points: read from files, written to files, burnt into grids."""

from __future__ import annotations

import json
import logging
import sqlite3
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from landshift import grid
from landshift.errors import OutputError, ParameterError, VectorError, reason_of
from landshift.machine import parallel, progress
from landshift.machine.extras import required
from landshift.vector import reproject

if TYPE_CHECKING:
    from odc.geo.crs import CRS
    from odc.geo.geobox import GeoBox

NEVER = "2000-01-01T00:00:00.000Z"
"""Fixed time of writing for GeoPackages, which must state one."""

GEOPARQUET = "GeoParquet"
"""The format of `new_layer` that GDAL doesn't write."""

_ARC = "0.5"  # degrees of an arc per edge; the error is 1e-5 of its radius
_ROWS = 1024  # burnt at once
_FARTHEST = 1e30  # largest coordinate; products of three larger ones overflow

_SURFACES = {15: "a PolyhedralSurface", 16: "a TIN", 17: "a Triangle"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Polygons:
    """Polygons of one layer; from `read_shapes` also lines and points.

    Attributes:
        geometries: Shapely geometries, in the CRS of the grid; polygons are valid. Geometries
            outside that CRS's domain are empty.
        columns: Values of each column, one per geometry.
        numbers: Feature number of each geometry in its file, as GIS programs show it.
    """

    geometries: tuple[Any, ...]
    columns: dict[str, tuple[Any, ...]]
    numbers: tuple[int, ...] = ()


def read_polygons(
    path: Path | str, box: GeoBox, layer: str | None = None, *, option: str = "layer"
) -> Polygons:
    """Read the polygons of a vector file, in any format that GDAL reads.

    Self-intersecting rings are repaired; curves become edges; collections are reduced to their
    polygons. If the CRS isn't the grid's, edges get additional points to stay true on the ground,
    and a polygon that exceeds the domain of the grid's CRS is cut to the grid's neighbourhood (see
    `reproject.polygons`). Features without a geometry are skipped.

    Args:
        path: GeoPackage, shapefile, GeoJSON, ...
        box: The grid, which has a CRS.
        layer: Name of the layer; None: the only one.
        option: The option that names the layer, for the error.

    Raises:
        VectorError: The file is missing, unreadable, has no CRS, holds other geometries than
            polygons, or several layers of which none is named.
        GridError: No transformation to the grid's CRS exists.
    """
    with progress.step("reading polygons"):
        return _read(path, box, layer, polygons_only=True, option=option)


def read_shapes(
    path: Path | str, box: GeoBox, layer: str | None = None, *, buffer: float | None = None
) -> Polygons:
    """Read polygons, lines and points of a vector file; see `read_polygons`.

    Args:
        path: GeoPackage, shapefile, GeoJSON, ...
        box: The grid, which has a CRS.
        layer: Name of the layer; None: the only one.
        buffer: Metres around points and lines, which become polygons; None: no buffer. The buffer
            of a point is geodesic; that of a line is computed in an azimuthal equidistant
            projection about its middle, with an error of 0.1 % at a distance of 490 km.

    Raises:
        ParameterError: A buffer that isn't positive, or in a file of polygons alone.
        VectorError: See `read_polygons`; also a file without any geometry.
        GridError: No transformation to the grid's CRS exists.
    """
    if buffer is not None and not 0 < buffer < np.inf:
        raise ParameterError(f"A buffer must be a positive number of metres, got {buffer:g}.")
    with progress.step("reading shapes"):
        return _read(path, box, layer, buffer=buffer)


def _read(
    path: Path | str,
    box: GeoBox,
    layer: str | None,
    *,
    polygons_only: bool = False,
    buffer: float | None = None,
    option: str = "layer",
) -> Polygons:
    import shapely

    crs, numbers, shapes, columns = read_layer(path, layer, option=option)
    whole = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
    dimensions = shapely.get_dimensions(shapes)
    other = {shapes[k].geom_type for k in np.flatnonzero(whole & (dimensions < 2))}
    if not whole.any() or (polygons_only and other):
        raise VectorError(
            f"The vector file must hold polygons, got {', '.join(sorted(other)) or 'nothing'} in "
            f"{path}; buffer points or lines first."
        )
    if crs is None:
        raise VectorError(f"The vector file must have a CRS, got none in {path}; assign one.")
    if buffer is not None and not other:
        raise ParameterError(
            f"A buffer is for points and lines, got {buffer:g} m for the polygons of {path}; "
            "leave it out."
        )
    if not whole.all():
        logger.warning(
            "%s: %d features have no geometry and are left out.", path, int((~whole).sum())
        )
    shapes, dimensions = shapely.force_2d(shapes[whole]), dimensions[whole]
    moved = np.empty(len(shapes), object)
    way = reproject.Way(crs, box)
    cut = 0
    for dimension, move in enumerate((_points, reproject.lines, reproject.polygons)):
        here = dimensions == dimension
        if not here.any():
            continue
        if dimension == 2:
            moved[here], off = move(reproject.of_polygons(shapes[here]), way)
        elif buffer is None:
            moved[here], off = move(shapes[here], way)
        else:
            around = reproject.buffered(shapes[here], crs, buffer)
            moved[here], off = reproject.polygons(around, reproject.Way("OGC:CRS84", box))
        cut += off
    if cut:
        logger.warning(
            "%s: %d geometries extend beyond the domain of the raster's CRS; they are cut to the "
            "raster's surroundings.", path, cut,
        )  # fmt: skip
    return Polygons(
        geometries=tuple(moved),
        columns={name: tuple(values[whole]) for name, values in columns.items()},
        numbers=tuple(int(n) for n in numbers[whole]),
    )


def _points(shapes: NDArray[np.object_], way: reproject.Way) -> tuple[NDArray[np.object_], int]:
    return reproject.points(shapes, way), 0


def read_layer(
    path: Path | str, layer: str | None = None, *, option: str = "layer"
) -> tuple[str | None, NDArray[np.int64], NDArray[np.object_], dict[str, NDArray[Any]]]:
    """CRS, feature numbers, geometries (or None) and columns of a layer, unchanged.

    Args:
        path: GeoPackage, shapefile, GeoJSON, ...
        layer: Name of the layer; None: the only one.
        option: The option that names the layer, for the error.

    Raises:
        VectorError: The file is missing or unreadable, or has several layers of which none is
            named.
    """
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError

    if not Path(path).exists():
        raise VectorError(f"The vector file must exist, got {path}; check the path.")
    pyogrio.set_gdal_config_options({"OGR_ARC_STEPSIZE": _ARC})
    try:
        with _logged(path):
            layer = layer or _only_layer(path, option)
            about, numbers, encoded, values = pyogrio.raw.read(path, layer=layer, return_fids=True)
    except (
        DataSourceError, DataLayerError, ValueError,
        UnboundLocalError,  # pyogrio's, of a damaged CRS
    ) as error:  # fmt: skip
        reason = reason_of(error)
        raise VectorError(f"The vector file must be readable, got {path} ({reason}).") from error
    finally:
        pyogrio.set_gdal_config_options({"OGR_ARC_STEPSIZE": None})
    if encoded is None:  # a table
        encoded = np.full(len(numbers), None, object)
    columns = {str(n): np.asarray(v) for n, v in zip(about["fields"], values, strict=True)}
    return about["crs"], np.asarray(numbers), _decoded(encoded, numbers, path), columns


@contextmanager
def _logged(path: Path | str) -> Iterator[None]:
    """Log GDAL's warnings while it reads a file, each once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for text in dict.fromkeys(str(w.message) for w in caught):
        logger.warning("%s: %s", path, text)


def _only_layer(path: Path | str, option: str) -> str | None:
    """The name of a file's only layer with geometry; None if no layer has one."""
    import pyogrio

    names = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
    if len(names) > 1:  # GPX files have five, most of them empty
        full = [
            name for name in names
            if pyogrio.read_info(path, layer=name, force_feature_count=True)["features"]
        ]  # fmt: skip
        names = full or names[:1]
    if len(names) > 1:
        raise VectorError(
            f"One layer must be chosen, got {', '.join(names)} in {path}; name it (`{option}`)."
        )
    return names[0] if names else None


def _decoded(
    encoded: NDArray[np.object_], numbers: NDArray[np.int64], path: Path | str
) -> NDArray[np.object_]:
    import shapely

    with np.errstate(invalid="ignore"):  # NaN coordinates
        shapes: NDArray[np.object_] = shapely.from_wkb(encoded, on_invalid="fix")
    lost = [k for k, g in enumerate(shapes) if g is None and encoded[k] is not None]
    if lost:
        code = int.from_bytes(encoded[lost[0]][1:5], "little") % 1000
        raise VectorError(
            "The vector file must hold geometries that can be read, got "
            f"{_SURFACES.get(code, 'a damaged one')} in feature {numbers[lost[0]]} of {path}; "
            "correct it (ogr2ogr -makevalid, or -nlt MULTIPOLYGON)."
        )
    corners, owner = shapely.get_coordinates(shapes, return_index=True)
    strange = owner[~(np.abs(corners) < _FARTHEST).all(axis=1)]
    if strange.size:
        raise VectorError(
            "The vector file must hold coordinates that are places, got infinity or no number in "
            f"feature {numbers[strange[0]]} of {path}; correct it."
        )
    return shapes


def burn(
    geometries: Sequence[Any], values: Sequence[int], box: GeoBox, *, all_touched: bool = False
) -> NDArray[np.int32]:
    """Burn geometries into a grid; the last one wins; 0 outside all of them.

    A point covers the pixel that contains it, a line all pixels that it touches.

    Args:
        geometries: Shapely geometries in the grid's CRS.
        values: Value of each geometry.
        box: The grid.
        all_touched: Whether a polygon covers every pixel that it touches, or only those whose
            centre it contains.
    """
    return _burnt(_shapes(geometries, values, all_touched), np.zeros(box.shape, np.int32), box)


def burn_from_both_ends(
    geometries: Sequence[Any], values: Sequence[int], box: GeoBox, *, all_touched: bool = False
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """As `burn`, for values up to 255; and once more so that the first geometry wins.

    The two differ where geometries of different values overlap.
    """
    shapes = _shapes(geometries, values, all_touched)
    last = _burnt(shapes, np.zeros(box.shape, np.uint8), box)
    if len(set(values)) < 2:
        return last, last
    return last, _burnt(shapes[::-1], np.zeros(box.shape, np.uint8), box)


def _shapes(
    geometries: Sequence[Any], values: Sequence[int], all_touched: bool
) -> list[tuple[Any, int, bool]]:
    """GeoJSON and value of each geometry, and whether it covers every pixel that it touches."""
    import shapely

    return [
        (shapely.geometry.mapping(g), value, all_touched or "Line" in g.geom_type)
        for g, value in zip(geometries, values, strict=True)
        if not g.is_empty
    ]


Burnt = TypeVar("Burnt", bound=np.integer[Any])


def _burnt(
    shapes: Sequence[tuple[Any, int, bool]], target: NDArray[Burnt], box: GeoBox
) -> NDArray[Burnt]:
    """Burn `_shapes` into an array of a grid."""
    from rasterio.features import rasterize

    for touched, run in groupby(shapes, itemgetter(2)):
        with parallel.FILTERS:  # rasterio changes them
            rasterize([s[:2] for s in run], out=target, transform=box.affine, all_touched=touched)
    return target


def without_pixel(geometries: Sequence[Any], box: GeoBox) -> list[int]:
    """Indices of the polygons on a grid that contain no pixel's centre.

    Args:
        geometries: Shapely geometries in the grid's CRS.
        box: The grid.
    """
    import shapely

    shapes = np.array(geometries, object)
    extent = box.extent.geom
    on = shapely.intersects(shapes, extent) & (shapely.get_dimensions(shapes) == 2)
    inside = shapely.point_on_surface(shapes[on])
    inverse, affine = ~box.affine, box.affine
    column, row = grid.apply(inverse, shapely.get_x(inside), shapely.get_y(inside))
    x, y = grid.apply(affine, np.floor(column) + 0.5, np.floor(row) + 0.5)
    clear = shapely.contains_xy(shapes[on], x, y) & shapely.contains_xy(extent, x, y)
    return [int(k) for k in np.flatnonzero(on)[~clear] if not _has_pixel(shapes[k], box)]


def _has_pixel(shape: Any, box: GeoBox) -> bool:
    """Whether a polygon contains a pixel's centre, by burning the window around it."""
    import shapely

    corners = shapely.get_coordinates(shape.envelope if box.axis_aligned else shape)
    columns, rows = grid.apply(~box.affine, corners[:, 0], corners[:, 1])
    left, right = max(0, int(columns.min())), min(box.width, int(columns.max()) + 1)
    top, bottom = max(0, int(rows.min())), min(box.height, int(rows.max()) + 1)
    for at in range(top, bottom, _ROWS):
        height = min(_ROWS, bottom - at)
        if right > left:
            window = grid.Window(at, left, height, right - left)
            if burn([shape], [1], grid.window_geobox(box, window)).any():
                return True
    return False


def write_layer(
    path: Path,
    layer: str,
    columns: Mapping[str, NDArray[Any]],
    outlines: NDArray[np.object_] | None = None,
    crs: CRS | None = None,
    *,
    kind: str = "Polygon",
    **options: str,
) -> None:
    """Write a layer of polygons, or a table, into a GeoPackage; same values, same bytes.

    Args:
        path: The GeoPackage; one that exists gets another layer.
        layer: Name of the layer.
        columns: Values of each column, one per polygon; None for an empty field.
        outlines: The polygons, as shapely geometries; None: a table.
        crs: Their CRS.
        kind: Geometry type of the layer: Polygon or MultiPolygon.
        **options: Options of the layer.

    Raises:
        OutputError: The file can't be written completely, for example on a full disk.
    """
    target = _LayerFile(path, layer, crs, "GPKG", kind)
    _write(target, columns, outlines, append=False, options=options)
    _check_whole(target, len(next(iter(columns.values()))), _in_index(outlines))


@dataclass(frozen=True)
class _LayerFile:
    """A layer to be written, and the file that holds it."""

    path: Path
    layer: str
    crs: CRS | None
    driver: str
    kind: str


def _write(
    target: _LayerFile,
    columns: Mapping[str, NDArray[Any]],
    outlines: NDArray[np.object_] | None,
    *,
    append: bool,
    options: Mapping[str, str],
) -> None:
    import pyogrio
    import shapely
    from pyogrio.errors import DataLayerError, DataSourceError

    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": NEVER})
    try:
        pyogrio.raw.write(
            target.path, None if outlines is None else shapely.to_wkb(outlines),
            list(columns.values()), np.array(list(columns), object), layer=target.layer,
            driver=target.driver, geometry_type=None if outlines is None else target.kind,
            crs=None if target.crs is None else str(target.crs), append=append,
            layer_options=options,
            # QGIS 3 reads this version without a warning
            dataset_options={"VERSION": "1.2"} if target.driver == "GPKG" else {},
        )  # fmt: skip
    except (DataSourceError, DataLayerError) as error:
        raise _unwritable(target.path, reason_of(error)) from error
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


def _in_index(outlines: NDArray[np.object_] | None) -> int | None:
    """Number of outlines in a spatial index: those that aren't empty; None for a table."""
    import shapely

    return None if outlines is None else int((~shapely.is_empty(outlines)).sum())


def _check_whole(target: _LayerFile, features: int, indexed: int | None) -> None:
    """Check that a layer has all its features, and a GeoPackage their spatial index.

    GDAL writes a part of a file when it closes it, and reports no error where that fails.

    Args:
        target: The layer and its file.
        features: Number of features written.
        indexed: Number of features with an outline, which the index holds; None for a table.

    Raises:
        OutputError: Something is missing.
    """
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError

    path, layer = target.path, target.layer
    expected = {layer: features}
    if target.driver == "GPKG" and indexed is not None:
        expected[f"rtree_{layer}_geom"] = indexed
    try:
        if target.driver == "GPKG":
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as base:
                counts = {
                    name: base.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
                    for name in expected
                }
        else:
            counts = {layer: len(pyogrio.read_bounds(path)[0])}
    except (sqlite3.Error, DataSourceError, DataLayerError) as error:
        raise _unwritable(path, reason_of(error)) from error
    for name, count in expected.items():
        if counts[name] != count:
            raise _unwritable(path, f"{counts[name]:,} of {count:,} features in {name}")


def _unwritable(path: Path, reason: str) -> OutputError:
    return OutputError(
        f"The vector file must be written whole, got '{reason}' in {path.absolute().parent}; make "
        "room or choose another folder."
    )


class NewLayer(Protocol):
    """A layer of polygons that is being written.

    Attributes:
        grows: Whether polygons may be added repeatedly; else only once, all together.
    """

    grows: bool

    def add(self, columns: Mapping[str, NDArray[Any]], outlines: NDArray[np.object_]) -> None:
        """Add polygons, and their values of each column; the columns stay the same."""


@contextmanager
def new_layer(
    path: Path, layer: str, crs: CRS, driver: str, kind: str = "Polygon"
) -> Iterator[NewLayer]:
    """A new file of one layer; same values in same batches, same bytes.

    Args:
        path: The file.
        layer: Name of the layer, where the format has names.
        crs: CRS of the polygons.
        driver: GDAL's name of the format, or `GEOPARQUET`.
        kind: Geometry type of the layer: Polygon or MultiPolygon.

    Raises:
        ParameterError: GeoParquet needs pyarrow, which isn't installed.
        OutputError: The file can't be written completely.
    """
    if driver != GEOPARQUET:
        by_gdal = _GdalLayer(_LayerFile(path, layer, crs, driver, kind))
        yield by_gdal
        by_gdal.check()
        return
    required("pyarrow", "parquet", "GeoParquet", instead="write another format")
    parquet = _ParquetLayer(path, crs, kind)
    try:
        yield parquet
    finally:
        parquet.close()


class _GdalLayer:
    def __init__(self, target: _LayerFile) -> None:
        self.grows = target.driver == "GPKG"
        self._target = target
        self._features = self._indexed = 0

    def add(self, columns: Mapping[str, NDArray[Any]], outlines: NDArray[np.object_]) -> None:
        _write(self._target, columns, outlines, append=self._features > 0, options={})
        self._features += len(outlines)
        self._indexed += _in_index(outlines) or 0

    def check(self) -> None:
        """Check that the file holds all; only once, since a check costs as much as writing."""
        if self._features:
            _check_whole(self._target, self._features, self._indexed)


class _ParquetLayer:
    """GeoParquet 1.1.0 (OGC, geoparquet.org/releases/v1.1.0), with a row group per batch."""

    def __init__(self, path: Path, crs: CRS, kind: str) -> None:
        self.grows = True
        self._path, self._crs, self._kind = path, crs, kind
        self._bounds = np.array([np.inf, np.inf, -np.inf, -np.inf])
        self._writer: Any = None

    def add(self, columns: Mapping[str, NDArray[Any]], outlines: NDArray[np.object_]) -> None:
        import pyarrow
        import shapely
        from pyarrow import parquet

        kinds = {"O": pyarrow.string(), "f": pyarrow.float64(), "i": pyarrow.int64()}
        arrays = {
            name: pyarrow.array(list(values), kinds[values.dtype.kind])
            for name, values in columns.items()
        }
        arrays["geometry"] = pyarrow.array(shapely.to_wkb(outlines), pyarrow.binary())
        table = pyarrow.table(arrays)
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._path, table.schema, compression="zstd")
        self._writer.write_table(table)
        left, bottom, right, top = shapely.total_bounds(outlines)
        self._bounds[:2] = np.minimum(self._bounds[:2], (left, bottom))
        self._bounds[2:] = np.maximum(self._bounds[2:], (right, top))

    def close(self) -> None:
        """End the file with the metadata of its geometry."""
        if self._writer is None:
            return
        geometry = {
            "encoding": "WKB",
            "geometry_types": [self._kind],
            "crs": self._crs.proj.to_json_dict(),
            "edges": "planar",
            "bbox": self._bounds.tolist(),
        }
        about = {
            "version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": geometry},
        }  # fmt: skip
        self._writer.add_key_value_metadata({"geo": json.dumps(about)})
        self._writer.close()
