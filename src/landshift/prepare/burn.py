"""Polygons with a class column -> a label raster; what none of them covers is not labelled."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from landshift import grid, raster, vector
from landshift.classes import (
    UNLABELLED,
    ClassScheme,
    MapScheme,
    is_no_change,
    legend,
    legend_readers,
    same_name,
    says_none,
)
from landshift.errors import ClassError, GridError, ParameterError
from landshift.files import provenance
from landshift.raster import recoding

logger = logging.getLogger(__name__)

DECIDE = ("value", "name", "drop")
"""What counts where a polygon's value and name contradict each other."""


@dataclass(frozen=True)
class Contradiction:
    """A polygon whose value and name belong to different classes.

    Attributes:
        number: Number of the polygon in its file.
        value: What its value column says.
        name: What its name column says.
    """

    number: int
    value: int
    name: str


@dataclass(frozen=True)
class PolygonLabels:
    """What `label_polygons` burnt.

    Attributes:
        scheme: The classes.
        pixels: Labelled pixels of each class, in the order of the scheme.
        polygons: Polygons of each class, in the order of the scheme.
        skipped: Polygons without a class, or dropped.
        contradictions: Polygons whose value and name contradict each other.
        overlapping: Pixels in polygons of different classes; the last polygon counts.
        vanished: Polygons on the raster that hold no pixel's centre, and so label nothing.
    """

    scheme: ClassScheme
    pixels: tuple[int, ...]
    polygons: tuple[int, ...]
    skipped: int
    contradictions: tuple[Contradiction, ...]
    overlapping: int
    vanished: int


def label_polygons(
    polygons: Path | str,
    like: Path,
    out: Path,
    *,
    value_column: str | None = None,
    name_column: str | None = None,
    decide: str | None = None,
    scheme: ClassScheme | None = None,
    nodata: int | None = None,
    layer: str | None = None,
    all_touched: bool = False,
    buffer: float | None = None,
    overwrite: bool = False,
    on_block: Callable[[int, int], None] | None = None,
) -> PolygonLabels:
    """Burn polygons, lines or points into a label raster on the grid of another raster.

    Pixels that no polygon covers are 0: not labelled, and so ignored in training and in scores;
    they are not 'No change'. Polygons of changes work the same way, with classes such as
    'Change' and 'No change'.

    Args:
        polygons: GeoPackage, shapefile, GeoJSON, ...; in any CRS.
        like: The raster whose grid the labels get. Where it was burnt from polygons too, classes
            of its names keep their values, so that two dates share one legend.
        out: The label raster to write: uint8, 0 where there is no label.
        value_column: Column with the class's value, a whole number; nothing: no class. Values that
            aren't 1 to 254 get the lowest free ones.
        name_column: Column with the class's name. Alone, names are numbered in the order of the
            alphabet, 'No change' last, where no scheme tells their values.
        decide: What counts where value and name contradict each other: 'value', 'name', or
            'drop' for neither; None: such polygons are an error. The value that most polygons of
            a name have is the right one for it, and the other way round, where no scheme tells.
        scheme: The classes; None: those of the columns. Where they leave 0 out, or call it
            'No data', 0 is no class.
        nodata: A value without a class.
        layer: Name of the layer; None: the only one.
        all_touched: Whether every pixel that a polygon touches counts, or only those whose
            centre lies in it.
        buffer: Metres around points and lines that count; None: the pixel of a point, the pixels
            that a line touches.
        overwrite: Whether what is there already is replaced.
        on_block: Called with blocks done and blocks in all.

    Raises:
        ClassError: No such column, or none given; a value outside the scheme; contradictions
            without ``decide``.
        ParameterError: Another ``decide``, or one without both columns; a buffer for polygons.
        VectorError: The vector file can't be read, or has several layers of which none is named.
        GridError: The raster has no CRS, or no polygon covers a pixel of it.
        RasterError: The raster can't be read.
        OutputError: The label raster can't be written.
    """
    import shapely

    out = Path(out)
    raster.check_new(out, inputs=[polygons, like], overwrite=overwrite)
    both = value_column is not None and name_column is not None
    if decide is not None and (decide not in DECIDE or not both):
        raise ParameterError(
            f"decide must be one of {', '.join(DECIDE)} and needs a value and a name column, got "
            f"{decide!r} with value_column={value_column} and name_column={name_column}."
        )
    about = raster.info(like)
    if about.grid.crs is None:
        raise GridError(f"Polygons need a raster with a CRS, got none in {like}; assign it first.")
    found = vector.read_shapes(polygons, about.grid, layer, buffer=buffer)
    values = _column(found, value_column, polygons)
    names = _column(found, name_column, polygons)
    none = _values_without_class(scheme, nodata)
    rows = [
        _without_none((_value_of(v, value_column, polygons, none), _name_of(n)))
        for v, n in zip(values, names, strict=True)
    ]
    zeros = sum(row == (UNLABELLED, None) for row in rows)
    if zeros and scheme is None:
        logger.warning(
            "%s: %d polygons of value 0 count as a class, since no name says what 0 is; "
            "give --nodata 0 if they have no class.", polygons, zeros,
        )  # fmt: skip
    if scheme is None and value_column is None:
        scheme = _with_legend_of(like, rows)
    scheme = recoding.as_filed(scheme or _scheme_of(rows, both)).scheme
    wrong = _contradictions(rows, found.numbers, scheme) if both else []
    if wrong and decide is None:
        told = ", ".join(f"{c.value} {c.name!r} in polygon {c.number}" for c in wrong[:8])
        raise ClassError(
            f"A class must have one value and one name, got {told} of {polygons}, where the "
            f"classes are {', '.join(f'{c.value} {c.name!r}' for c in scheme)}; correct them, or "
            f"say with decide what counts ({', '.join(DECIDE)})."
        )
    for c in wrong:
        logger.warning(
            "%s: polygon %d says %d and %r, which are different classes; %s.",
            polygons, c.number, c.value, c.name,
            "it is dropped" if decide == "drop" else f"its {decide} counts",
        )  # fmt: skip
    by_name = decide == "name" or value_column is None
    dropped = {c.number for c in wrong} if decide == "drop" else set()
    chosen = [
        None if number in dropped else _class_of(value, name, by_name, scheme, polygons)
        for (value, name), number in zip(rows, found.numbers, strict=True)
    ]
    coded = recoding.coded(scheme, largest=ClassScheme.largest)
    if coded.moved:
        logger.warning(
            "%s: classes whose value the labels can't hold have another one there: %s.",
            out, coded.line(),
        )  # fmt: skip
    burn_values = [coded.values[value] for value in chosen if value is not None]
    geometries = [g for g, value in zip(found.geometries, chosen, strict=True) if value is not None]
    tree = shapely.STRtree(geometries)
    box = about.grid
    extent = box.extent.geom
    if not len(tree.query(extent, predicate="intersects")):
        raise GridError(
            f"Polygons must cover the raster, got none of {len(geometries)} with a class in "
            f"{polygons} on {grid.describe(box)}; check their CRS."
        )
    counts = np.zeros(256, np.int64)
    overlapping = 0
    record = provenance.record(
        "polygons",
        [Path(polygons), Path(like)],
        {
            "value_column": value_column, "name_column": name_column, "decide": decide,
            "layer": layer, "all_touched": all_touched, "buffer": buffer, "nodata": nodata,
            "moved": {str(old): new for old, new in coded.moved.items()},
        },
    )  # fmt: skip
    windows = list(raster.blocks(about.height, about.width))
    with raster.create(
        out, box, count=1, dtype="uint8", nodata=UNLABELLED, bands=["label"],
        tags=provenance.as_tag(record), scheme=coded.scheme,
    ) as target:  # fmt: skip
        for done, window in enumerate(windows, start=1):
            part = grid.window_geobox(box, window)
            near = sorted(tree.query(part.extent.geom))
            shapes, codes = [geometries[k] for k in near], [burn_values[k] for k in near]
            labels = vector.burn(shapes, codes, part, all_touched=all_touched)
            first = vector.burn(shapes[::-1], codes[::-1], part, all_touched=all_touched)
            overlapping += int((labels != first).sum())
            counts += np.bincount(labels.ravel(), minlength=256)
            raster.write(target, labels.astype(np.uint8)[np.newaxis], window)
            if on_block is not None:
                on_block(done, len(windows))
    if overlapping:
        logger.warning(
            "%s: %d pixels lie in polygons of different classes; the last polygon counts.",
            polygons, overlapping,
        )  # fmt: skip
    vanished = 0 if all_touched else len(vector.without_pixel(geometries, box))
    if vanished:
        logger.warning(
            "%s: %d polygons hold no pixel's centre and label nothing; burn them with "
            "--all-touched.", polygons, vanished,
        )  # fmt: skip
    return PolygonLabels(
        scheme=coded.scheme,
        pixels=tuple(int(counts[v]) for v in coded.scheme.values),
        polygons=tuple(burn_values.count(v) for v in coded.scheme.values),
        skipped=len(chosen) - len(burn_values),
        contradictions=tuple(wrong),
        overlapping=overlapping,
        vanished=vanished,
    )


Row = tuple[int | None, str | None]


def _column(found: vector.Polygons, column: str | None, path: Path | str) -> Sequence[Any]:
    if column is None:
        return [None] * len(found.geometries)
    if column not in found.columns:
        raise ClassError(
            f"The class column must be one of {', '.join(found.columns) or 'no columns'}, got "
            f"{column!r} for {path}; name another."
        )
    return found.columns[column]


def _values_without_class(scheme: ClassScheme | None, nodata: int | None) -> set[int]:
    """Values of polygons without a class: ``nodata``, and a 0 that the classes given leave out."""
    none = set() if nodata is None else {nodata}
    if scheme is not None:
        none |= recoding.as_filed(scheme).none
        if UNLABELLED not in scheme.values:
            none.add(UNLABELLED)
    return none


def _without_none(row: Row) -> Row:
    """Value and name of a polygon; neither where its name says so."""
    return (None, None) if row[1] and says_none(row[1]) else row


def _value_of(value: Any, column: str | None, path: Path | str, none: set[int]) -> int | None:
    """A class value, or None for none."""
    if value is None or value == "" or value != value:
        return None
    try:
        number = int(float(value))
        if number != float(value) or not MapScheme.smallest <= number <= MapScheme.largest:
            raise ValueError
    except (ValueError, OverflowError, TypeError):
        raise ClassError(
            f"Class values must be whole numbers of four bytes, got {value!r} in the column "
            f"{column!r} of {path}; give names as the name column."
        ) from None
    return None if number in none else number


def _name_of(name: Any) -> str | None:
    text = "" if name is None or name != name else str(name).strip()
    return text or None


def _scheme_of(rows: Sequence[Row], both: bool) -> ClassScheme:
    """The classes of the columns; for both, the name that most polygons of a value have."""
    if both:
        pairs = Counter((v, n) for v, n in rows if v is not None and n is not None)
        names: dict[int, str] = {}
        for (value, name), _ in sorted(pairs.items(), key=lambda p: (-p[1], p[0])):
            if name not in names.values():
                names.setdefault(value, name)
        for value, name in sorted(pairs):
            names.setdefault(value, name)
    elif any(v is not None for v, _ in rows):
        names = {v: f"class {v}" for v, _ in rows if v is not None}
    else:
        spellings = {same_name(n): n for _, n in reversed(rows) if n is not None}
        ordered = sorted(spellings.values(), key=lambda n: (is_no_change(n), n))
        names = dict(enumerate(ordered, start=1))
    if not names:
        raise ClassError(
            "Polygons must have classes, got none; name the column of their value or name."
        )
    return MapScheme.from_mapping(names)


def _with_legend_of(like: Path, rows: Sequence[Row]) -> ClassScheme | None:
    """The classes of labels that were burnt by names, and free values for new names; else None."""
    with raster.open_raster(like) as source:
        held = legend_readers.from_tags(source.tags(), like)
        made = provenance.from_tags(source.tags())
    if held is None or made.get("stage") != "polygons":
        return None
    known = {same_name(name) for name in held.names}
    news = sorted({n for _, n in rows if n is not None and same_name(n) not in known})
    if news:
        logger.warning(
            "%s has no class %s; each gets a free value.", like, ", ".join(map(repr, news))
        )
    return recoding.scheme_from(
        legend.Legend(held.mapping, held.colours), (), [dict(enumerate(news))]
    )


def _contradictions(
    rows: Sequence[Row], numbers: Sequence[int], scheme: ClassScheme
) -> list[Contradiction]:
    names = {v: same_name(n) for v, n in scheme.mapping.items()}
    return [
        Contradiction(number, value, name)
        for (value, name), number in zip(rows, numbers, strict=True)
        if value is not None and name is not None and names.get(value) != same_name(name)
    ]


def _class_of(
    value: int | None, name: str | None, by_name: bool, scheme: ClassScheme, path: Path | str
) -> int | None:
    """Value of a polygon's class; None for none."""
    if by_name:
        if name is None:
            return None
        for c in scheme:
            if same_name(c.name) == same_name(name):
                return c.value
    elif value is None:
        return None
    elif value in scheme.values:
        return value
    raise ClassError(
        f"A polygon's class must be one of {', '.join(f'{c.value} {c.name!r}' for c in scheme)}, "
        f"got {name if by_name else value!r} in {path}; add it or correct it."
    )
