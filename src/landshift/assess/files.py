"""A sample as files: a GeoPackage that QGIS opens with a form to fill in, and a CSV.

The GeoPackage has three layers: 'units', with the outline and the empty fields of each unit;
'design', with the stratum and the map's class of each, which the estimate needs and labellers
shouldn't see; 'record', one row with the design as JSON.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift import grid, vector
from landshift.assess.contents import BESIDE, Design, Sample
from landshift.assess.drawing import Units
from landshift.assess.qgis import form_style
from landshift.assess.response import Response
from landshift.errors import SampleError, reason_of
from landshift.files import texts, whole

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox


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
        made_by: Provenance; see `landshift.files.provenance`.
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
    with whole.whole_file(path) as part:
        vector.write_layer(part, "units", columns, outlines, box.crs)
        vector.write_layer(part, "design", hidden)
        vector.write_layer(part, "record", {"record": np.array([record], object)})
        vector.styles.keep(
            part, "units", form_style(columns, design), name="form",
            description="The form to fill in",
        )  # fmt: skip
    table = path.with_suffix(".csv")
    with whole.whole_file(table) as part, part.open("w", newline="", encoding="utf-8") as file:
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
    units, design, record = (layer_table(path, name) for name in ("units", "design", "record"))
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
        filled = {name: [as_text(v) for v in units[name][place]] for name in drawn.response.asked}
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        if isinstance(error, SampleError):
            raise
        raise SampleError(
            f"A sample must hold what `landshift sample` wrote, got '{error}' in {path}; "
            "fill in the file itself, no export of it."
        ) from error
    if labels is not None:
        filled = _labels_of(Path(labels), drawn.response, numbers)
    nothing: list[str | None] = [None] * len(numbers)
    rows, columns, stratum, mapped = (
        design[name].astype(np.int64) for name in ("row", "column", "stratum", "mapped")
    )
    return Sample(
        drawn, numbers, stratum, mapped, design["hectares"].astype(np.float64), rows, columns,
        tuple(filled.get("before", nothing)), tuple(filled["after"]),
    )  # fmt: skip


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


def as_text(value: Any) -> str | None:
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
    outlines: NDArray[np.object_] = shapely.polygons(corners)
    return outlines


def _columns(
    units: Units, design: Design, box: GeoBox, *, show_map: bool
) -> dict[str, NDArray[Any]]:
    """Columns that a labeller sees and fills in, one entry a unit."""
    half = design.unit_size / 2
    columns = np.minimum(units.column + half, (units.column + box.width) / 2)
    rows = np.minimum(units.row + half, (units.row + box.height) / 2)
    x, y = grid.apply(box.affine, columns, rows)
    crs = box.crs.proj if box.crs is not None else None
    assert crs is not None, "areas have been asked of the grid before"
    longitude, latitude = grid.transformer(crs, crs.geodetic_crs).transform(x, y)
    empty = np.full(len(units), None, object)
    shown: dict[str, NDArray[Any]] = {
        "unit": np.arange(1, len(units) + 1, dtype=np.int64),
        "x": x,
        "y": y,
        "longitude": np.round(longitude, 7),
        "latitude": np.round(latitude, 7),
    }
    if show_map:
        shown["map"] = np.array([design.classes[int(v)] for v in units.mapped], object)
    for name in (*design.response.asked, *BESIDE):
        shown[name] = empty
    return shown


def layer_table(path: Path, layer: str) -> dict[str, Any]:
    """Columns of a layer."""
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError

    try:
        about, _, _, values = pyogrio.raw.read(path, layer=layer, read_geometry=False)
    except (DataSourceError, DataLayerError, ValueError) as error:
        raise SampleError(
            f"An estimate needs a sample that `landshift sample` drew and people labelled, got "
            f"{path}; pixels counted in a map have no interval, and points that others labelled "
            "need the column of their classes (`reference_column`)."
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
    by_unit: dict[int, dict[str, Any]] = {}
    for line, row in enumerate(rows, start=2):
        try:
            number = int(row["unit"])
        except (TypeError, ValueError):
            number = 0
        if number in by_unit or number not in numbers:
            raise SampleError(
                f"Labels must name each unit of the sample once, got {row['unit']!r} in line "
                f"{line} of {path}."
            )
        by_unit[number] = row
    return {name: [as_text(by_unit.get(int(n), {}).get(name)) for n in numbers] for name in asked}
