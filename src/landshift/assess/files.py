"""A sample as files: a GeoPackage that QGIS opens with a form to fill in, and a CSV.

The GeoPackage has three layers: 'units', with an outline and the empty fields of each unit;
'design', with what the estimate needs of each and a labeller shouldn't see; 'record', one row that
says how the sample was drawn, as JSON.
"""

from __future__ import annotations

import csv
import hashlib
import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from landshift import grid, ledger, texts, vector
from landshift.assess.drawing import Part, Units
from landshift.assess.response import Answer, Response
from landshift.errors import OutputError, SampleError, reason_of

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

CONFIDENCES = ("high", "medium", "low")
"""What a labeller may say of how sure a label is."""

_BESIDE = ("confidence", "notes")  # fields beside the labels

_PATIENCE = 5.0  # seconds to wait for another program that writes the sample


@dataclass(frozen=True)
class Stratum:
    """A stratum of a sample.

    Attributes:
        value: Its value in the raster of strata; 0 where there is but one.
        name: Its name.
        units: Units of the population.
        hectares: Area.
        sampled: Units in the sample.
    """

    value: int
    name: str
    units: int
    hectares: float
    sampled: int


@dataclass(frozen=True)
class Design:
    """How a sample was drawn.

    Attributes:
        map_name: Name of the map's file.
        map_digest: SHA-256 of that file.
        kind: 'stratified', 'simple' or 'systematic'.
        allocation: How strata share the units, where they do.
        seed: The seed.
        unit_size: Rows and columns of a unit.
        strata_name: Name of the file of strata; None: the map's classes, or none.
        classes: Name of each value of the map.
        strata: The strata; one, where the design isn't stratified.
        parts: The population by stratum and class of the map.
        response: What labellers say.
    """

    map_name: str
    map_digest: str
    kind: str
    allocation: str | None
    seed: int
    unit_size: int
    strata_name: str | None
    classes: dict[int, str]
    strata: tuple[Stratum, ...]
    parts: tuple[Part, ...]
    response: Response

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Design:
        """The design of `as_dict`'s values.

        Raises:
            KeyError: One is missing.
            TypeError: One is of another kind.
        """
        response = values["response"]
        known = dict(values) | {
            "classes": {int(v): str(n) for v, n in values["classes"].items()},
            "strata": tuple(Stratum(**s) for s in values["strata"]),
            "parts": tuple(Part(**p) for p in values["parts"]),
            "response": Response(
                response["coding"], tuple(response["choices"]), tuple(response["classes"])
            ),
        }
        return cls(**known)


@dataclass(frozen=True)
class Sample:
    """A sample read back.

    Attributes:
        design: How it was drawn.
        numbers: Number of each unit, from 1.
        stratum: Value of each unit's stratum.
        mapped: Value of each unit's class in the map.
        hectares: Area of each unit.
        rows: Row of each unit's first pixel.
        columns: Column of it.
        before: Label before; None where there is none yet.
        after: Label after, or of the only date.
    """

    design: Design
    numbers: NDArray[np.int64]
    stratum: NDArray[np.int64]
    mapped: NDArray[np.int64]
    hectares: NDArray[np.float64]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    before: tuple[str | None, ...]
    after: tuple[str | None, ...]

    def __len__(self) -> int:
        return self.numbers.size


def write_sample(
    path: Path,
    units: Units,
    design: Design,
    made_by: Mapping[str, Any],
    box: GeoBox,
    *,
    show_map: bool,
) -> list[Path]:
    """Write a sample as a GeoPackage, and beside it as CSV for spreadsheets.

    Args:
        path: The GeoPackage.
        units: The units, in the order in which they are numbered.
        design: How they were drawn.
        made_by: What made the file; see `landshift.provenance`.
        box: Grid of the map.
        show_map: Whether labellers see the map's class.

    Returns:
        The files written.

    Raises:
        OutputError: A file can't be written.
    """
    path = Path(path)
    outlines = _outlines(units, box, design.unit_size)
    columns = _columns(units, design, box, show_map=show_map)
    rates = {s.value: s.sampled / s.units for s in design.strata}
    hidden = {
        "unit": columns["unit"],
        "row": units.row,
        "column": units.column,
        "stratum": units.stratum,
        "mapped": units.mapped,
        "probability": np.array([rates[int(s)] for s in units.stratum]),
        "hectares": units.hectares,
    }
    record = json.dumps({**made_by, "design": design.as_dict()}, sort_keys=True)
    style = {
        "f_table_catalog": "", "f_table_schema": "", "f_table_name": "units",
        "f_geometry_column": "geom", "styleName": "form", "styleQML": _style(columns, design),
        "styleSLD": "", "useAsDefault": True, "description": "The form to fill in", "owner": "",
        "ui": "", "update_time": vector.NEVER,
    }  # fmt: skip
    with ledger.whole_file(path) as part:
        vector.write_layer(part, "units", columns, outlines, box.crs)
        vector.write_layer(part, "design", hidden)
        vector.write_layer(part, "record", {"record": np.array([record], object)})
        vector.write_layer(
            part, "layer_styles", {k: np.array([v]) for k, v in style.items()}, FID="id"
        )
    table = path.with_suffix(".csv")
    with ledger.whole_file(table) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in zip(*(c.tolist() for c in columns.values()), strict=True):
            writer.writerow(["" if v is None else v for v in row])
    return [path, table]


def answers_beside(sample: Path) -> Path:
    """The file that keeps every answer of every labeller to a sample."""
    return sample.with_suffix(".answers.sqlite")


def read_sample(path: Path, labels: Path | None = None) -> Sample:
    """Read a sample and its labels.

    Args:
        path: The GeoPackage.
        labels: A CSV with the columns ``unit``, ``after`` and, for two dates, ``before``, whose
            labels are taken instead of the GeoPackage's.

    Raises:
        SampleError: The file is no sample, units are missing, or labels name other units.
    """
    path = Path(path)
    units, design, record = (_read_layer(path, name) for name in ("units", "design", "record"))
    try:
        drawn = Design.from_dict(json.loads(record["record"][0])["design"])
        places = {int(n): k for k, n in enumerate(units["unit"])}
        numbers = design["unit"].astype(np.int64)
        place = [places.get(int(n)) for n in numbers]
        missing = [int(n) for n, k in zip(numbers, place, strict=True) if k is None]
        if missing or len(numbers) != sum(s.sampled for s in drawn.strata):
            raise SampleError(
                f"A sample must hold every unit that was drawn, got {len(places)} of "
                f"{sum(s.sampled for s in drawn.strata)} in {path}; put those left out back, "
                "with the label that is likeliest."
            )
        told = {name: [_text(v) for v in units[name][place]] for name in drawn.response.asked}
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        if isinstance(error, SampleError):
            raise
        raise SampleError(
            f"A sample must hold what `landshift sample` wrote, got '{error}' in {path}; "
            "fill in the file itself, no export of it."
        ) from error
    if labels is not None:
        told = _labels_of(Path(labels), drawn.response, numbers)
    nothing: list[str | None] = [None] * len(numbers)
    rows, columns, stratum, mapped = (
        design[name].astype(np.int64) for name in ("row", "column", "stratum", "mapped")
    )
    return Sample(
        drawn, numbers, stratum, mapped, design["hectares"].astype(np.float64), rows, columns,
        tuple(told.get("before", nothing)), tuple(told["after"]),
    )  # fmt: skip


@dataclass(frozen=True)
class Form:
    """What labellers see of a sample, and what is filled in already.

    Attributes:
        design: How the sample was drawn.
        digest: SHA-256 of the record, which tells samples apart.
        numbers: Number of each unit.
        crs: CRS of the outlines, as pyproj reads it.
        outlines: Polygon of each unit.
        longitude: Of each unit's centre.
        latitude: Of it.
        mapped: Name of each unit's class in the map.
        answers: What is filled in, by number of the unit; those without all labels have none.
    """

    design: Design
    digest: str
    numbers: tuple[int, ...]
    crs: str
    outlines: tuple[Any, ...]
    longitude: tuple[float, ...]
    latitude: tuple[float, ...]
    mapped: tuple[str, ...]
    answers: dict[int, Answer]


def read_form(path: Path) -> Form:
    """Read what labellers see of a sample.

    Raises:
        SampleError: The file is no sample, or has no classes to choose from.
    """
    import pyogrio
    import shapely

    sample = read_sample(path)
    response = sample.design.response
    if not response.choices:
        raise SampleError(
            f"A sample must say which classes labellers choose from, got none in {path}; draw it "
            "with --choices."
        )
    about, _, outlines, values = pyogrio.raw.read(path, layer="units")
    units = dict(zip(about["fields"], values, strict=True))
    lacking = [n for n in ("longitude", "latitude", *_BESIDE) if n not in units]
    if lacking or about["crs"] is None:
        raise SampleError(
            f"A sample must hold what `landshift sample` wrote, got no {(*lacking, 'CRS')[0]} in "
            f"{path}; fill in the file itself, no export of it."
        )
    place = {int(n): k for k, n in enumerate(units["unit"])}
    at = [place[int(n)] for n in sample.numbers]
    filled = [[_text(v) for v in units[name][at]] for name in _BESIDE]
    rows = zip(sample.numbers, sample.before, sample.after, *filled, strict=True)
    return Form(
        design=sample.design,
        digest=hashlib.sha256(str(_read_layer(path, "record")["record"][0]).encode()).hexdigest(),
        numbers=tuple(int(n) for n in sample.numbers),
        crs=str(about["crs"]),
        outlines=tuple(shapely.from_wkb(outlines[at])),
        longitude=tuple(units["longitude"][at].tolist()),
        latitude=tuple(units["latitude"][at].tolist()),
        mapped=tuple(sample.design.classes[int(v)] for v in sample.mapped),
        answers={
            int(number): Answer(before, after, *beside)
            for number, before, after, *beside in rows
            if after is not None and (before is not None or response.dates == 1)
        },
    )


def fill_in(path: Path, response: Response, ask: Callable[[], Mapping[int, Answer | None]]) -> None:
    """Write answers into a sample's form, all or none, and onto the disk before it returns.

    Args:
        path: The GeoPackage.
        response: What labellers say.
        ask: Gives what to fill in, by number of the unit, None to empty its fields. It is called
            when nobody else may write, so that of two processes none puts back what the other has
            overtaken.

    Raises:
        OutputError: The file can't be written, or another program keeps it locked.
    """
    fields = (*response.asked, *_BESIDE)
    filled = ", ".join(f'"{name}" = ?' for name in fields)
    address = f"{path.absolute().as_uri()}?mode=rw"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=_PATIENCE)) as base:
            base.execute("PRAGMA synchronous = FULL")
            # triggers of the outlines' index name GDAL's functions; they act where an outline or
            # an id changes, and neither does
            for function in ("ST_IsEmpty", "ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):
                base.create_function(function, 1, _never)
            with base:
                base.execute("BEGIN IMMEDIATE")
                at = dict(base.execute("SELECT unit, rowid FROM units"))  # it has no index
                base.executemany(
                    f"UPDATE units SET {filled} WHERE rowid = ?",
                    (
                        (*(None if a is None else getattr(a, f) for f in fields), at[number])
                        for number, a in ask().items()
                        if number in at
                    ),
                )
    except sqlite3.Error as error:
        raise OutputError(
            f"The sample must be writable, got '{error}' for {path}; close the program that holds "
            "it open, or make it writable."
        ) from error


def _never(outline: bytes) -> None:
    raise AssertionError("no outline changes")


def fill_in_table(path: Path, response: Response, answers: Mapping[int, Answer | None]) -> None:
    """Write answers into the CSV beside a sample, whose other columns stay.

    Args:
        path: The CSV.
        response: What labellers say.
        answers: What to fill in, by number of the unit; None empties its fields.

    Raises:
        SampleError: It isn't the sample's.
        OutputError: It can't be written.
    """
    fields = (*response.asked, *_BESIDE)
    header, rows = read_table(path)
    lacking = [f for f in ("unit", *fields) if f not in header]
    if lacking:
        raise SampleError(
            f"A sample's CSV must have the columns unit, {', '.join(fields)}, got none named "
            f"{', '.join(lacking)} in {path}."
        )
    for row in rows:
        if row["unit"].strip().isdigit() and int(row["unit"]) in answers:
            answer = answers[int(row["unit"])]
            row.update({f: (answer and getattr(answer, f)) or "" for f in fields})
    with ledger.whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows of a sample's CSV.

    Raises:
        SampleError: The file can't be read.
    """
    try:
        rows = [row for row in texts.rows(texts.read_text(path)) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SampleError(
            f"Labels must come as CSV in UTF-8, UTF-16 or Windows-1252, got '{reason_of(error)}' "
            f"at {path}; save it as CSV in UTF-8."
        ) from error
    names = [name.strip() for name in rows[0]] if rows else []
    for number, row in enumerate(rows):
        if any(row[len(names) :]):
            raise SampleError(
                f"Each row must have at most the {len(names)} columns of the header, got "
                f"{len(row)} in row {number} of {path}; quote cells that hold a delimiter."
            )
        row += [""] * (len(names) - len(row))
    return names, [dict(zip(names, row[: len(names)], strict=True)) for row in rows[1:]]


def _text(value: Any) -> str | None:
    """A label, or None where there is none."""
    text = "" if value is None or value != value else str(value).strip()
    return text or None


def _outlines(units: Units, box: GeoBox, size: int) -> NDArray[np.object_]:
    """The outline of each unit, cut at the map's edge."""
    import shapely

    top, left = units.row, units.column
    bottom = np.minimum(top + size, box.height)
    right = np.minimum(left + size, box.width)
    columns = np.stack([left, right, right, left, left], axis=1)
    rows = np.stack([top, top, bottom, bottom, top], axis=1)
    corners = np.stack(grid.apply(box.affine, columns, rows), axis=2)
    found: NDArray[np.object_] = shapely.polygons(corners)
    return found


def _columns(
    units: Units, design: Design, box: GeoBox, *, show_map: bool
) -> dict[str, NDArray[Any]]:
    """What a labeller sees and fills in, one entry a unit."""
    half = design.unit_size / 2
    columns = np.minimum(units.column + half, (units.column + box.width) / 2)
    rows = np.minimum(units.row + half, (units.row + box.height) / 2)
    x, y = grid.apply(box.affine, columns, rows)
    crs = box.crs.proj if box.crs is not None else None
    assert crs is not None, "areas have been asked of the grid before"
    way = grid.transformer(crs, crs.geodetic_crs)
    longitude, latitude = way.transform(x, y)
    empty = np.full(len(units), None, object)
    found: dict[str, NDArray[Any]] = {
        "unit": np.arange(1, len(units) + 1, dtype=np.int64),
        "x": x,
        "y": y,
        "longitude": np.round(longitude, 7),
        "latitude": np.round(latitude, 7),
    }
    if show_map:
        found["map"] = np.array([design.classes[int(v)] for v in units.mapped], object)
    for name in (*design.response.asked, *_BESIDE):
        found[name] = empty
    return found


def _read_layer(path: Path, layer: str) -> dict[str, Any]:
    """Columns of a layer."""
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError

    try:
        about, _, _, values = pyogrio.raw.read(path, layer=layer, read_geometry=False)
    except (DataSourceError, DataLayerError, ValueError) as error:
        raise SampleError(
            f"An estimate needs a sample that `landshift sample` drew and people labelled, got "
            f"{path}; pixels counted in a map have no interval, and points that others labelled "
            "need the column of their classes (--reference-column)."
        ) from error
    return dict(zip(about["fields"], values, strict=True))


def _labels_of(
    path: Path, response: Response, numbers: NDArray[np.int64]
) -> dict[str, list[str | None]]:
    """Labels from a CSV, in the order of the units."""
    header, rows = read_table(path)
    asked = response.asked
    lacking = [name for name in ("unit", *asked) if name not in header]
    if lacking:
        raise SampleError(
            f"Labels must have the columns unit, {', '.join(asked)}, got none named "
            f"{', '.join(lacking)} in {path}."
        )
    found: dict[int, dict[str, Any]] = {}
    for line, row in enumerate(rows, start=2):
        try:
            number = int(row["unit"])
        except (TypeError, ValueError):
            number = 0
        if number in found or number not in numbers:
            raise SampleError(
                f"Labels must name each unit of the sample once, got {row['unit']!r} in line "
                f"{line} of {path}."
            )
        found[number] = row
    return {name: [_text(found.get(int(n), {}).get(name)) for n in numbers] for name in asked}


# ---- The form in QGIS


def _style(columns: Mapping[str, Any], design: Design) -> str:
    """A QGIS style of the layer of units: red outlines, and a form with lists to choose from."""
    response = design.response
    lists: dict[str, Sequence[str]] = dict.fromkeys(response.asked, response.choices)
    lists["confidence"] = CONFIDENCES
    filled = {*lists, "notes"}
    root = ElementTree.Element("qgis", version="3.22", styleCategories="AllStyleCategories")
    renderer = ElementTree.SubElement(root, "renderer-v2", type="singleSymbol")
    symbols = ElementTree.SubElement(renderer, "symbols")
    symbol = ElementTree.SubElement(symbols, "symbol", type="fill", name="0")
    layer = ElementTree.SubElement(symbol, "layer", {"class": "SimpleLine", "enabled": "1"})
    options = ElementTree.SubElement(layer, "Option", type="Map")
    for name, value in (("line_color", "255,0,80,255"), ("line_width", "0.6")):
        ElementTree.SubElement(options, "Option", type="QString", name=name, value=value)
    fields = ElementTree.SubElement(root, "fieldConfiguration")
    for name in columns:
        field = ElementTree.SubElement(fields, "field", name=name)
        if name in lists:
            widget = ElementTree.SubElement(field, "editWidget", type="ValueMap")
            config = ElementTree.SubElement(widget, "config")
            _add_value_map(ElementTree.SubElement(config, "Option", type="Map"), lists[name])
        else:
            widget = ElementTree.SubElement(field, "editWidget", type="TextEdit")
            config = ElementTree.SubElement(widget, "config")
            ElementTree.SubElement(config, "Option")
    editable = ElementTree.SubElement(root, "editable")
    for name in columns:
        ElementTree.SubElement(editable, "field", name=name, editable=str(int(name in filled)))
    if response.dates == 1:
        aliases = ElementTree.SubElement(root, "aliases")
        ElementTree.SubElement(aliases, "alias", field="after", name="class", index="")
    return ElementTree.tostring(root, encoding="unicode")


def _add_value_map(options: ElementTree.Element, names: Sequence[str]) -> None:
    entries = ElementTree.SubElement(options, "Option", type="List", name="map")
    for name in names:
        entry = ElementTree.SubElement(entries, "Option", type="Map")
        ElementTree.SubElement(entry, "Option", type="QString", name=name, value=name)
