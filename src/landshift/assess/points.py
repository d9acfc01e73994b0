"""Points that others labelled: read from any vector format or CSV, and looked up in rasters."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift import grid, raster, vector
from landshift.classes import same_name
from landshift.errors import ClassError, ParameterError, SampleError, VectorError, plain, reason_of
from landshift.files import texts
from landshift.grid import Window

if TYPE_CHECKING:
    from odc.geo.crs import CRS
    from odc.geo.geobox import GeoBox

_DEGREES = "EPSG:4326"
_COORDINATES = (  # names of columns with coordinates, and their CRS; None: that of the map
    ("x", "y", None), ("longitude", "latitude", _DEGREES), ("lon", "lat", _DEGREES),
    ("long", "lat", _DEGREES), ("easting", "northing", None),
)  # fmt: skip
_TABLES = (".csv", ".txt", ".tsv")
_SHOWN = 8  # names or numbers listed in an error


@dataclass(frozen=True)
class PointColumns:
    """Columns of labelled points."""

    reference_column: str | None = None
    """Points that others labelled: column with the reference class, by name or value."""
    map_column: str | None = None
    """Column with the map's class: needed where there are no coordinates; with them it is checked
    against the map."""
    x_column: str | None = None
    """CSV: column with x; left out: x, longitude, lon or easting."""
    y_column: str | None = None
    """CSV: column with y, likewise."""
    crs: str | None = None
    """CSV: CRS of the coordinates; left out: EPSG:4326 for longitude, latitude, else the map's."""
    layer: str | None = None
    """Layer of the points, of several."""

    def __post_init__(self) -> None:
        stated = [f.name for f in fields(self) if getattr(self, f.name) is not None]
        if stated and self.reference_column is None:
            raise ParameterError(
                f"`{stated[0]}` is for points that others labelled, got no `reference_column`; "
                "name the column of their classes."
            )


@dataclass(frozen=True)
class Points:
    """Labelled points as read.

    Attributes:
        path: Their file.
        numbers: Number of each, from 1: its row in the table, or its place in the layer.
        reference: Class of each in the reference, as written; None where there is none.
        mapped: The same of the map; None where no column holds it.
        stratum: Stratum of each as written; None where no column holds it.
        places: ``(point, 2)`` row and column of the pixel of a grid that each lies in, outside it
            too; None where there are no coordinates.
    """

    path: Path
    numbers: NDArray[np.int64]
    reference: tuple[str | None, ...]
    mapped: tuple[str | None, ...] | None
    stratum: tuple[str | None, ...] | None
    places: NDArray[np.int64] | None

    def __len__(self) -> int:
        return self.numbers.size

    def named(self, chosen: NDArray[Any]) -> str:
        """Numbers of some points, for a message."""
        numbers = self.numbers[chosen]
        more = ", ..." if numbers.size > _SHOWN else ""
        return f"{', '.join(map(str, numbers[:_SHOWN]))}{more}"

    def take(self, chosen: NDArray[np.bool_]) -> Points:
        """Some of the points."""

        def some(values: tuple[str | None, ...] | None) -> tuple[str | None, ...] | None:
            if values is None:
                return None
            return tuple(v for v, keep in zip(values, chosen, strict=True) if keep)

        places = None if self.places is None else self.places[chosen]
        reference = some(self.reference) or ()
        return Points(
            self.path, self.numbers[chosen], reference, some(self.mapped), some(self.stratum),
            places,
        )  # fmt: skip


def read_points(
    path: Path, columns: PointColumns, box: GeoBox, stratum_column: str | None = None
) -> Points:
    """Read labelled points, and find the pixels of a grid that they lie in.

    Args:
        path: A vector file of points, in any format and CRS, or a CSV.
        columns: Its columns; that of the reference must be named.
        box: The grid.
        stratum_column: Column with the stratum, for a stratified sample.

    Raises:
        VectorError: The file is missing, unreadable, or holds something else than points; it has no
            CRS.
        SampleError: A column is missing, or holds no coordinates.
    """
    path = Path(path)
    assert columns.reference_column is not None, "the caller has checked it"
    if not path.exists():
        raise VectorError(f"The points must exist, got {path}; check the path.")
    read = _read_table if path.suffix.lower() in _TABLES else _read_layer
    table, geometries, crs = read(path, columns.layer)
    wanted = (
        columns.reference_column, columns.map_column, stratum_column, columns.x_column,
        columns.y_column,
    )  # fmt: skip
    lacking = [name for name in wanted if name is not None and name not in table]
    if lacking:
        raise SampleError(
            f"The points' columns are {', '.join(map(plain, table)) or 'none'}, got no "
            f"{lacking[0]!r} in {path}; name one of them."
        )
    count = len(table[columns.reference_column])
    if geometries is None:
        geometries, crs = _coordinates(path, columns, table, box)
    places = None
    if geometries is not None:
        places = _pixels(geometries, crs, box, path)

    def column(name: str | None) -> tuple[str | None, ...] | None:
        return None if name is None else tuple(table[name])

    return Points(
        path, np.arange(1, count + 1), tuple(table[columns.reference_column]),
        column(columns.map_column), column(stratum_column), places,
    )  # fmt: skip


def values_at(
    path: Path, places: NDArray[np.int64], classes: raster.ClassValues
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Values of a class raster at some pixels, and where there is a class.

    Args:
        path: The raster.
        places: ``(point, 2)`` row and column; those outside the raster have no class.
        classes: Which of its values are classes.
    """
    values = np.zeros(len(places), np.int64)
    known = np.zeros(len(places), np.bool_)
    with raster.open_raster(path) as source:
        for k, (row, column) in enumerate(places.tolist()):
            if 0 <= row < source.height and 0 <= column < source.width:
                codes, mask = raster.read_classes(source, Window(row, column, 1, 1), classes)
                values[k], known[k] = int(codes[0, 0]), bool(mask[0, 0])
    return values, known


def classes_of(
    written: Sequence[str | None], names: dict[int, str], *, what: str, path: Path
) -> list[int | None]:
    """The values of classes written as names or values; None where nothing is written.

    Raises:
        ClassError: Some are neither.
    """
    by_name = {same_name(name): value for value, name in names.items()}
    values: list[int | None] = []
    unknown: dict[str, int] = {}
    for text in written:
        value = None if text is None else by_name.get(same_name(text), _whole(text))
        if text is not None and value not in names:
            unknown[text] = unknown.get(text, 0) + 1
        values.append(value)
    if unknown:
        shown = [f"{plain(t)!r} ({n:,})" for t, n in list(unknown.items())[:_SHOWN]]
        more = ", ..." if len(unknown) > _SHOWN else ""
        raise ClassError(
            f"{what} must be among {', '.join(names.values())}, by name or value, got "
            f"{', '.join(shown)}{more} in {path}; correct them, or give the classes as a file."
        )
    return values


def _whole(text: str) -> int | None:
    """The whole number that a text is, such as 3 or 3.0; else None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number.is_integer() else None


Table = dict[str, list[str | None]]


def _read_table(path: Path, layer: str | None) -> tuple[Table, None, None]:
    """Columns of a CSV."""
    try:
        rows = [row for row in texts.rows(texts.read_text(path)) if any(c.strip() for c in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SampleError(
            f"Points must come as CSV in UTF-8, UTF-16 or Windows-1252, got "
            f"'{reason_of(error)}' at {path}; save it as CSV in UTF-8."
        ) from error
    if len(rows) < 2:
        raise SampleError(f"Points must come with a header and rows, got none in {path}.")
    header = [name.strip() for name in rows[0]]
    ragged = [k for k, row in enumerate(rows[1:], start=1) if len(row) != len(header)]
    if ragged or len(set(header)) < len(header):
        wrong = f"{len(rows[ragged[0]])} cells in row {ragged[0]}" if ragged else "a name twice"
        raise SampleError(
            f"Each row must have the {len(header)} columns of the header, got {wrong} of {path}; "
            "cells may be separated by commas, semicolons or tabs; quote cells that hold one."
        )
    return {n: [_text(row[k]) for row in rows[1:]] for k, n in enumerate(header)}, None, None


def _read_layer(
    path: Path, layer: str | None
) -> tuple[Table, NDArray[np.object_] | None, str | None]:
    """Columns of a layer, its points, and their CRS."""
    import shapely

    crs, _, shapes, values = vector.read_layer(path, layer)
    columns = {name: [_text(v) for v in column.tolist()] for name, column in values.items()}
    if all(shape is None for shape in shapes):
        return columns, None, None
    kinds = {"no point" if g is None or g.is_empty else g.geom_type for g in shapes} - {"Point"}
    if kinds - {"MultiPoint"} or any(len(shapely.get_parts(g)) != 1 for g in shapes):
        raise VectorError(
            f"The file must hold one point a row, got {', '.join(sorted(kinds))} in {path}; take "
            "the centres of plots first."
        )
    if crs is None:
        raise VectorError(f"The points must have a CRS, got none in {path}; assign one.")
    return columns, np.array([shapely.get_parts(g)[0] for g in shapes], object), crs


def _text(value: Any) -> str | None:
    text = "" if value is None or value != value else str(value).strip()
    return text or None


def _coordinates(
    path: Path, columns: PointColumns, table: Table, box: GeoBox
) -> tuple[NDArray[np.object_] | None, str | None]:
    """Points of a table, and their CRS; None where it has no coordinates."""
    import shapely

    names = {name.lower(): name for name in table}
    x, y, crs = columns.x_column, columns.y_column, columns.crs
    if (x is None) != (y is None):
        raise SampleError(
            f"Coordinates need both columns, got {x} and {y}; name both (`x_column`, `y_column`)."
        )
    if x is None or y is None:
        known = [entry for entry in _COORDINATES if entry[0] in names and entry[1] in names]
        if not known:
            return None, None
        x, y = names[known[0][0]], names[known[0][1]]
        crs = crs or known[0][2]
    numbers = np.array([[_number(v) for v in table[name]] for name in (x, y)])
    wrong = np.flatnonzero(~np.isfinite(numbers).all(axis=0))
    if wrong.size:
        k = int(wrong[0])
        raise SampleError(
            f"Coordinates must be numbers, got {table[x][k]!r}, {table[y][k]!r} in row "
            f"{k + 1} of {path}; correct {'it' if wrong.size == 1 else 'them'}."
        )
    points: NDArray[np.object_] = shapely.points(numbers.T)
    return points, crs or (None if box.crs is None else str(box.crs))


def _number(text: str | None) -> float:
    """A number, with a decimal point or comma; NaN where it is none."""
    try:
        return float((text or "nan").replace(",", "."))
    except ValueError:
        return math.nan


def _pixels(
    points: NDArray[np.object_], crs: str | None, box: GeoBox, path: Path
) -> NDArray[np.int64]:
    """Row and column of the pixel that each point lies in."""
    import pyproj
    import shapely
    from pyproj.exceptions import CRSError

    to: CRS | None = box.crs
    assert to is not None, "the population's areas need a CRS"
    try:
        transformer = pyproj.Transformer.from_crs(crs, to.proj, always_xy=True)
    except CRSError as error:
        raise VectorError(
            f"The points' CRS must be known, got {plain(str(crs))!r} for {path}; give another."
        ) from error
    x, y = transformer.transform(shapely.get_x(points), shapely.get_y(points))
    column, row = grid.apply(~box.affine, np.asarray(x), np.asarray(y))
    places = np.stack([row, column], axis=1)
    outside = ~np.isfinite(places).all(axis=1)  # no place in the map's CRS
    places[outside] = -1
    pixels: NDArray[np.int64] = np.floor(np.clip(places, -1, 2**62)).astype(np.int64)
    return pixels
