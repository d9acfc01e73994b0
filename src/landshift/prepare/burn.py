"""Polygons with a class column -> a label raster; what none of them covers is not labelled."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray

from landshift import grid, raster, vector
from landshift.classes import (
    UNLABELLED,
    ClassScheme,
    MapScheme,
    is_no_change,
    legend,
    legend_readers,
    means_none,
    same_name,
)
from landshift.classes.class_options import ClassesLike, file_of
from landshift.errors import ClassError, GridError, ParameterError
from landshift.files import options, provenance
from landshift.files.options import GROUP, Flag, OutFile, check_choice
from landshift.files.rows import Rows
from landshift.raster import blockwise, recoding

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

logger = logging.getLogger(__name__)

Decide = Literal["value", "name", "drop"]
"""What counts where a polygon's value and name contradict each other."""


@dataclass(frozen=True)
class ClassColumns:
    """The columns that hold the polygons' classes."""

    value_column: str | None = None
    """Column with the value of the class, a whole number; an empty cell means no class. Values
    outside 1 to 254 get the lowest free ones."""
    name_column: str | None = None
    """Column with the name of the class. Where it is the only column and no classes are given,
    names are numbered in alphabetical order, 'No change' last."""
    decide: Decide | None = None
    """What counts where the two columns contradict: value, name, or drop for neither; left out:
    such polygons are an error. Without classes, the name that most polygons of a value have is the
    right one."""
    nodata: int | None = None
    """A value of the column that means no class."""

    def __post_init__(self) -> None:
        check_choice("decide", self.decide, Literal["value", "name", "drop", None])
        if self.decide is not None and not self.both:
            raise ParameterError(
                f"`decide` needs a value and a name column, got {self.decide!r} with "
                f"`value_column` {self.value_column} and `name_column` {self.name_column}; give "
                "both, or leave it out."
            )

    @property
    def both(self) -> bool:
        """Whether polygons state a value and a name."""
        return self.value_column is not None and self.name_column is not None

    @property
    def by_name(self) -> bool:
        """Whether a polygon's name states its class, rather than its value."""
        return self.decide == "name" or self.value_column is None


@dataclass(frozen=True)
class Footprints:
    """Which shapes are burnt, and which pixels each covers."""

    layer: str | None = None
    """Name of the layer; left out: the only one."""
    all_touched: Flag = False
    """Label every pixel that a polygon touches, rather than those whose centre lies in it."""
    buffer: float | None = None
    """Metres around points and lines; left out: the pixel of a point, those that a line touches."""


@dataclass(frozen=True)
class Contradiction:
    """A polygon whose value and name belong to different classes.

    Attributes:
        number: Number of the polygon in its file.
        value: Its value.
        name: Its name.
    """

    number: int
    value: int
    name: str


@dataclass(frozen=True, repr=False)
class PolygonLabels(Rows):
    """What `burn` labelled; a row per class.

    Attributes:
        path: The label raster.
        scheme: The classes.
        pixels: Labelled pixels of each class, in the order of the scheme.
        polygons: Polygons of each class, in the order of the scheme.
        skipped: Polygons without a class, or dropped.
        contradictions: Polygons whose value and name contradict each other.
        overlapping: Pixels in polygons of different classes; the last polygon counts.
        vanished: Polygons on the raster that hold no pixel's centre, and so label nothing.
    """

    path: Path
    scheme: ClassScheme
    pixels: tuple[int, ...]
    polygons: tuple[int, ...]
    skipped: int
    contradictions: tuple[Contradiction, ...]
    overlapping: int
    vanished: int

    def rows(self) -> list[dict[str, Any]]:
        """A row per class: its value, polygons and pixels."""
        return [
            {"class": c.name, "value": c.value, "polygons": polygons, "pixels": pixels}
            for c, polygons, pixels in zip(self.scheme, self.polygons, self.pixels, strict=True)
        ]


def burn(
    source: options.FilePath,
    like: Annotated[options.FilePath, Parameter(name="--like")],
    out: OutFile,
    *,
    columns: Annotated[ClassColumns, GROUP] = ClassColumns(),
    classes: ClassesLike = None,
    footprints: Annotated[Footprints, GROUP] = Footprints(),
    overwrite: Flag = False,
) -> PolygonLabels:
    """Burn polygons into a label raster; pixels outside all polygons are 0, not labelled.

    Training and scores ignore pixels without a label; they are not 'No change'. Polygons of changes
    work the same way, with classes such as 'Change' and 'No change'.

    Args:
        source: Polygons, lines or points, in any vector format and CRS.
        like: The raster whose grid the labels get. Where it is a label raster burnt from names,
            these classes keep their values, so that two dates share one legend.
        out: The label raster to write: uint8, 0 where there is no label.
        classes: The classes, as for label, or labels burnt before; left out: those of the columns.
            Where they leave 0 out, or call it 'No data', 0 is no class.
        overwrite: Replace what is there already under the same name.

    Raises:
        ClassError: No such column, or none given; a value outside the classes; contradictions
            without `decide`.
        ParameterError: `decide` without both columns; a buffer for polygons.
        VectorError: The vector file can't be read, or has several layers and `layer` is left out.
        GridError: The raster has no CRS, or no polygon covers a pixel of it.
        RasterError: The raster can't be read.
        OutputError: The label raster can't be written.
    """
    out = Path(out)
    raster.check_new(out, inputs=[source, like, file_of(classes)], overwrite=overwrite)
    scheme = raster.read_scheme(classes) if isinstance(classes, str | Path) else classes
    box = raster.info(like).grid
    if box.crs is None:
        raise GridError(f"Polygons need a raster with a CRS, got none in {like}; assign it first.")
    shapes = vector.read_shapes(source, box, footprints.layer, buffer=footprints.buffer)
    rows = _rows(shapes, columns, _values_without_class(scheme, columns.nodata), source)
    scheme = _scheme(scheme, rows, columns, source, like)
    contradictions = _contradictions(rows, shapes.numbers, scheme) if columns.both else []
    _check_contradictions(contradictions, columns.decide, scheme, source)
    chosen = _chosen(rows, shapes.numbers, contradictions, columns, scheme, source)
    coded = recoding.coded(scheme, largest=ClassScheme.largest)
    if coded.moved:
        logger.warning(
            "%s: classes whose value the labels can't hold have another one there: %s.",
            out, coded.line(),
        )  # fmt: skip
    new = coded.values
    values = [new[value] for value in chosen if value is not None]
    geometries = [
        g for g, value in zip(shapes.geometries, chosen, strict=True) if value is not None
    ]
    record = provenance.record(
        "polygons", [Path(source), Path(like)],
        {**asdict(columns), **asdict(footprints),
         "moved": {str(old): new for old, new in coded.moved.items()}},
    )  # fmt: skip
    _check_covered(geometries, box, source)
    with raster.create(
        out, box, count=1, dtype="uint8", nodata=UNLABELLED, bands=["label"],
        tags=provenance.as_tag(record), scheme=coded.scheme,
    ) as target:  # fmt: skip
        counts, overlapping = _burn_blocks(target, box, geometries, values, footprints.all_touched)
    vanished = 0 if footprints.all_touched else len(vector.without_pixel(geometries, box))
    _warn_of_lost(source, overlapping, vanished)
    return PolygonLabels(
        path=out,
        scheme=coded.scheme,
        pixels=tuple(int(counts[v]) for v in coded.scheme.values),
        polygons=tuple(values.count(v) for v in coded.scheme.values),
        skipped=len(chosen) - len(values),
        contradictions=tuple(contradictions),
        overlapping=overlapping,
        vanished=vanished,
    )


def _check_covered(geometries: Sequence[Any], box: GeoBox, source: Path | str) -> None:
    import shapely

    if not shapely.intersects(np.array(geometries, object), box.extent.geom).any():
        raise GridError(
            f"Polygons must cover the raster, got none of {len(geometries)} with a class in "
            f"{source} on {grid.describe(box)}; check their CRS."
        )


def _burn_blocks(
    target: Any,
    box: GeoBox,
    geometries: Sequence[Any],
    values: Sequence[int],
    all_touched: bool,
) -> tuple[NDArray[np.int64], int]:
    """Write the labels; pixels of each value, and pixels in polygons of different classes."""
    import shapely

    tree = shapely.STRtree(geometries)

    def burnt(_: None, block: blockwise.Block) -> tuple[NDArray[np.uint8], int]:
        part = grid.window_geobox(box, block.window)
        near = sorted(tree.query(part.extent.geom))
        shapes, codes = [geometries[k] for k in near], [values[k] for k in near]
        last, first = vector.burn_from_both_ends(shapes, codes, part, all_touched=all_touched)
        return last, int(np.count_nonzero(last != first))

    counts = np.zeros(256, np.int64)
    overlapping = 0
    windows = list(raster.blocks(box.height, box.width))
    with blockwise.results(windows, "burning", nullcontext, burnt) as results:
        for block, (labels, several) in results:
            overlapping += several
            counts += np.bincount(labels.ravel(), minlength=256)
            raster.write(target, labels[np.newaxis], block.window)
    return counts, overlapping


def _warn_of_lost(source: Path | str, overlapping: int, vanished: int) -> None:
    if overlapping:
        logger.warning(
            "%s: %d pixels lie in polygons of different classes; the last polygon counts.",
            source, overlapping,
        )  # fmt: skip
    if vanished:
        logger.warning(
            "%s: %d polygons hold no pixel's centre and label nothing; burn them with "
            "`all_touched`.", source, vanished,
        )  # fmt: skip


Row = tuple[int | None, str | None]
"""Value and name of a polygon's class; None where it has none."""


def _rows(
    shapes: vector.Polygons, columns: ClassColumns, none: set[int], path: Path | str
) -> list[Row]:
    """Value and name of each polygon; neither where its name means no data.

    Args:
        shapes: The polygons.
        columns: The columns to read.
        none: Values that mean no class.
        path: Their file.
    """
    values = _column(shapes, columns.value_column, path)
    names = _column(shapes, columns.name_column, path)
    return [
        _without_none((_value_of(v, columns.value_column, path, none), _name_of(n)))
        for v, n in zip(values, names, strict=True)
    ]


def _column(shapes: vector.Polygons, column: str | None, path: Path | str) -> Sequence[Any]:
    if column is None:
        return [None] * len(shapes.geometries)
    if column not in shapes.columns:
        raise ClassError(
            f"The class column must be one of {', '.join(shapes.columns) or 'no columns'}, got "
            f"{column!r} for {path}; name another."
        )
    return shapes.columns[column]


def _values_without_class(scheme: ClassScheme | None, nodata: int | None) -> set[int]:
    """Values of polygons without a class: ``nodata``, and a 0 that the classes given leave out."""
    none = set() if nodata is None else {nodata}
    if scheme is not None:
        none |= recoding.as_filed(scheme).none
        if UNLABELLED not in scheme.values:
            none.add(UNLABELLED)
    return none


def _without_none(row: Row) -> Row:
    """Value and name of a polygon; neither where its name means 'no data'."""
    return (None, None) if row[1] and means_none(row[1]) else row


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


def _scheme(
    given: ClassScheme | None,
    rows: Sequence[Row],
    columns: ClassColumns,
    source: Path | str,
    like: Path | str,
) -> ClassScheme:
    """The classes: those given, those of the labels whose grid is used, or those of the columns."""
    if given is None:
        zeros = sum(row == (UNLABELLED, None) for row in rows)
        if zeros:
            logger.warning(
                "%s: %d polygons of value 0 count as a class, since no name states what 0 is; "
                "give `nodata` 0 if they have no class.", source, zeros,
            )  # fmt: skip
        if columns.value_column is None:
            given = _with_legend_of(like, rows)
    return recoding.as_filed(given or _scheme_of(rows, both=columns.both)).scheme


def _scheme_of(rows: Sequence[Row], *, both: bool) -> ClassScheme:
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


def _with_legend_of(like: Path | str, rows: Sequence[Row]) -> ClassScheme | None:
    """The classes of a raster that `burn` wrote, with free values for new names; else None."""
    with raster.open_raster(like) as source:
        held = legend_readers.from_tags(source.tags(), like)
        record = provenance.from_tags(source.tags())
    if held is None or record.get("stage") != "polygons":
        return None
    known = {same_name(name) for name in held.names}
    added = sorted({n for _, n in rows if n is not None and same_name(n) not in known})
    if added:
        logger.warning(
            "%s has no class %s; each gets a free value.", like, ", ".join(map(repr, added))
        )
    return recoding.scheme_from(
        legend.Legend(held.mapping, held.colours), (), [dict(enumerate(added))]
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


def _check_contradictions(
    contradictions: Sequence[Contradiction],
    decide: Decide | None,
    scheme: ClassScheme,
    source: Path | str,
) -> None:
    """Refuse contradictions that nothing decides; warn of each other one."""
    if contradictions and decide is None:
        listed = ", ".join(
            f"{c.value} {c.name!r} in polygon {c.number}" for c in contradictions[:8]
        )
        raise ClassError(
            f"A class must have one value and one name, got {listed} of {source}, where the "
            f"classes are {', '.join(f'{c.value} {c.name!r}' for c in scheme)}; correct them, or "
            f"state with `decide` what counts ({', '.join(get_args(Decide))})."
        )
    for c in contradictions:
        logger.warning(
            "%s: polygon %d has the value %d and the name %r, which are different classes; %s.",
            source, c.number, c.value, c.name,
            "it is dropped" if decide == "drop" else f"its {decide} counts",
        )  # fmt: skip


def _chosen(
    rows: Sequence[Row],
    numbers: Sequence[int],
    contradictions: Sequence[Contradiction],
    columns: ClassColumns,
    scheme: ClassScheme,
    path: Path | str,
) -> list[int | None]:
    """Value of each polygon's class; None for none."""
    dropped = {c.number for c in contradictions} if columns.decide == "drop" else set()
    return [
        None if number in dropped else _class_of(row, columns.by_name, scheme, path)
        for row, number in zip(rows, numbers, strict=True)
    ]


def _class_of(row: Row, by_name: bool, scheme: ClassScheme, path: Path | str) -> int | None:
    """Value of a polygon's class; None for none."""
    value, name = row
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
