"""Polygons as files, read and written, and burnt into grids."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from landshift import grid
from landshift.errors import OutputError, VectorError, reason_of
from landshift.extras import required

if TYPE_CHECKING:
    from odc.geo.crs import CRS
    from odc.geo.geobox import GeoBox

NEVER = "2000-01-01T00:00:00.000Z"
"""When GeoPackages say that they were written: they must say something."""

GEOPARQUET = "GeoParquet"
"""The format of `new_layer` that isn't one of GDAL's."""

_POLYGONS = ("Polygon", "MultiPolygon")


@dataclass(frozen=True)
class Polygons:
    """Polygons of one layer.

    Attributes:
        geometries: Shapely polygons, in the CRS asked for.
        columns: Values of each column, one a polygon.
        numbers: Number of each polygon in its file, as GIS programs show it.
    """

    geometries: tuple[Any, ...]
    columns: dict[str, tuple[Any, ...]]
    numbers: tuple[int, ...] = ()


def read_polygons(path: Path | str, crs: CRS, layer: str | None = None) -> Polygons:
    """Read the polygons of a vector file, in any format that GDAL knows.

    Args:
        path: GeoPackage, shapefile, GeoJSON, ...
        crs: CRS they are wanted in.
        layer: Name of the layer; None: the first.

    Raises:
        VectorError: The file is missing, unreadable, has no CRS, or holds something else than
            polygons.
    """
    import pyogrio
    import shapely
    from pyogrio.errors import DataLayerError, DataSourceError

    if not Path(path).exists():
        raise VectorError(f"The vector file must exist, got {path}; check the path.")
    try:
        about, numbers, encoded, values = pyogrio.raw.read(path, layer=layer, return_fids=True)
    except (DataSourceError, DataLayerError, ValueError) as error:
        reason = reason_of(error)
        raise VectorError(f"The vector file must be readable, got {path} ({reason}).") from error
    geometries = shapely.from_wkb([] if encoded is None else encoded)  # a table has none
    whole = [k for k, g in enumerate(geometries) if g is not None and not g.is_empty]
    kinds = {geometries[k].geom_type for k in whole} - set(_POLYGONS)
    if kinds or not whole:
        raise VectorError(
            f"The vector file must hold polygons, got {', '.join(sorted(kinds)) or 'nothing'} in "
            f"{path}; buffer points or lines first."
        )
    if about["crs"] is None:
        raise VectorError(f"The vector file must have a CRS, got none in {path}; assign one.")
    change = grid.transformer(about["crs"], crs.proj, f" in {path}")
    moved = shapely.transform(geometries, change.transform, interleaved=False)
    return Polygons(
        geometries=tuple(moved[k] for k in whole),
        columns={
            str(name): tuple(column[k] for k in whole)
            for name, column in zip(about["fields"], values, strict=True)
        },
        numbers=tuple(int(numbers[k]) for k in whole),
    )


def burn(
    geometries: Sequence[Any], values: Sequence[int], box: GeoBox, *, all_touched: bool = False
) -> NDArray[np.int32]:
    """Burn polygons into a grid; where several lie, the last one counts; 0 where none does.

    Args:
        geometries: Shapely polygons in the grid's CRS.
        values: What to burn for each.
        box: The grid.
        all_touched: Whether every pixel that a polygon touches counts, or only those whose
            centre lies in it.
    """
    from rasterio.features import rasterize

    if not geometries:
        return np.zeros(box.shape, np.int32)
    burnt: NDArray[np.int32] = rasterize(
        zip(geometries, values, strict=True), out_shape=box.shape, transform=box.affine,
        fill=0, dtype="int32", all_touched=all_touched,
    )  # fmt: skip
    return burnt


def write_layer(
    path: Path,
    layer: str,
    columns: Mapping[str, NDArray[Any]],
    outlines: NDArray[np.object_] | None = None,
    crs: CRS | None = None,
    *,
    driver: str = "GPKG",
    kind: str = "Polygon",
    append: bool = False,
    **options: str,
) -> None:
    """Write a layer of polygons, or a table; same values, same bytes.

    Args:
        path: The file; a GeoPackage that is there gets one more layer.
        layer: Name of the layer.
        columns: Values of each column, one a polygon; None for an empty field.
        outlines: The polygons, as shapely geometries; None: a table.
        crs: Their CRS.
        driver: GDAL's name of the format.
        kind: What the layer holds: Polygon or MultiPolygon.
        append: Whether to add to the layer, which is there.
        **options: Options of the layer.

    Raises:
        OutputError: The file can't be written whole: a full disk, say.
    """
    _write(path, layer, columns, outlines, crs, driver, kind, append, options)
    if not append:
        features = len(next(iter(columns.values())))
        _check_whole(path, layer, features, _in_index(outlines), driver)


def _write(
    path: Path,
    layer: str,
    columns: Mapping[str, NDArray[Any]],
    outlines: NDArray[np.object_] | None,
    crs: CRS | None,
    driver: str,
    kind: str,
    append: bool,
    options: Mapping[str, str],
) -> None:
    import pyogrio
    import shapely
    from pyogrio.errors import DataLayerError, DataSourceError

    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": NEVER})
    try:
        pyogrio.raw.write(
            path, None if outlines is None else shapely.to_wkb(outlines), list(columns.values()),
            np.array(list(columns), object), layer=layer, driver=driver,
            geometry_type=None if outlines is None else kind,
            crs=None if crs is None else str(crs), append=append, layer_options=options,
            # what QGIS 3 reads without a warning
            dataset_options={"VERSION": "1.2"} if driver == "GPKG" else {},
        )  # fmt: skip
    except (DataSourceError, DataLayerError) as error:
        raise _unwritable(path, reason_of(error)) from error
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


def _in_index(outlines: NDArray[np.object_] | None) -> int | None:
    """How many outlines a spatial index holds: those that aren't empty; None for a table."""
    import shapely

    return None if outlines is None else int((~shapely.is_empty(outlines)).sum())


def _check_whole(path: Path, layer: str, features: int, indexed: int | None, driver: str) -> None:
    """Check that a layer has all its features, and a GeoPackage their spatial index.

    GDAL writes some of a file when it closes it, and says nothing where that fails.

    Raises:
        OutputError: Something is missing.
    """
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError

    expected = {layer: features}
    if driver == "GPKG" and indexed is not None:
        expected[f"rtree_{layer}_geom"] = indexed
    try:
        if driver == "GPKG":
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
        grows: Whether polygons may be added again and again; else once, all together.
    """

    grows: bool

    def add(self, columns: Mapping[str, NDArray[Any]], outlines: NDArray[np.object_]) -> None:
        """Add polygons, and the values of each column, which are always the same columns."""


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
        kind: What the layer holds: Polygon or MultiPolygon.

    Raises:
        ParameterError: GeoParquet needs pyarrow, which isn't installed.
        OutputError: The file can't be written whole.
    """
    if driver != GEOPARQUET:
        grown = _GdalLayer(path, layer, crs, driver, kind)
        yield grown
        grown.check()
        return
    required("pyarrow", "parquet", "GeoParquet", instead="write another format")
    made = _ParquetLayer(path, crs, kind)
    try:
        yield made
    finally:
        made.close()


class _GdalLayer:
    def __init__(self, path: Path, layer: str, crs: CRS, driver: str, kind: str) -> None:
        self.grows = driver == "GPKG"
        self._crs, self._driver, self._kind = crs, driver, kind
        self._place = path, layer
        self._features = self._indexed = 0

    def add(self, columns: Mapping[str, NDArray[Any]], outlines: NDArray[np.object_]) -> None:
        append = self._features > 0
        _write(*self._place, columns, outlines, self._crs, self._driver, self._kind, append, {})
        self._features += len(outlines)
        self._indexed += _in_index(outlines) or 0

    def check(self) -> None:
        """Check that all are in the file, once: each time would cost as much as the file."""
        if self._features:
            _check_whole(*self._place, self._features, self._indexed, self._driver)


class _ParquetLayer:
    """GeoParquet 1.1.0 (OGC, geoparquet.org/releases/v1.1.0): a row group a batch."""

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
        held = {
            name: pyarrow.array(list(values), kinds[values.dtype.kind])
            for name, values in columns.items()
        }
        held["geometry"] = pyarrow.array(shapely.to_wkb(outlines), pyarrow.binary())
        table = pyarrow.table(held)
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._path, table.schema, compression="zstd")
        self._writer.write_table(table)
        left, bottom, right, top = shapely.total_bounds(outlines)
        self._bounds[:2] = np.minimum(self._bounds[:2], (left, bottom))
        self._bounds[2:] = np.maximum(self._bounds[2:], (right, top))

    def close(self) -> None:
        """End the file: what readers must know of its geometry stands there."""
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
