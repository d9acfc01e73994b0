"""Readers of legends: CSV, JSON, .clr, .qml, .aux.xml and .vat.dbf."""

from __future__ import annotations

import csv
import json
import math
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import chain, pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from landshift.classes import class_table
from landshift.classes.legend import (
    COLOUR_USAGES,
    MAX,
    MIN,
    MIN_MAX,
    NAME,
    STRING,
    TAG,
    Legend,
)
from landshift.classes.scheme import ClassScheme, Colour, MapScheme
from landshift.errors import ClassError
from landshift.files import texts

_MOST_BYTES = 64 << 20  # of a file
_DEEPEST = 64  # nested XML elements
_FARTHEST = 1 << 16  # largest absolute value in a range of an attribute table


def read_classes(path: Path | str) -> ClassScheme:
    """The classes in a file; see `read_legend` for the formats.

    Raises:
        ClassError: The file is missing, damaged, or holds something else.
    """
    return read_legend(path).scheme()


def read_legend(path: Path | str) -> Legend:
    """Names and colours of values from a file, by its suffix.

    ``.json``: ``{"1": "forest", ...}``. ``.clr``, and the colour maps that QGIS exports as
    ``.txt``: value, red, green, blue, optionally alpha and a name. ``.qml``: a QGIS style of a
    paletted or pseudocolour raster. ``.xml``: GDAL's sidecar ``<raster>.aux.xml`` with an
    attribute table or category names. ``.dbf``: ``<raster>.vat.dbf``. Any other suffix, as
    ``.csv``: ``value,name[,red,green,blue]``, or in any order below a header, with any common
    delimiter (see `class_table.read`). Values may be any whole numbers.

    Raises:
        ClassError: The file is missing, damaged, or holds something else.
    """
    legend = _read(Path(path))
    if not legend:
        raise ClassError(
            f"Classes must come as {_reader(Path(path))[1]}, got no classes in {path}; "
            "correct it or write a CSV."
        )
    return legend


def read_recoding(path: Path | str) -> dict[int, int | str | None]:
    """Read a recoding file: CSV ``value,new value or class name``.

    Returns:
        The new value or class name of each value; None for an empty field: unlabelled.

    Raises:
        ClassError: The file is missing, holds something else, or lists a value twice.
    """
    path = Path(path)
    try:
        pairs = class_table.read_pairs(texts.read_text(path))
        if not pairs:
            raise ValueError("no values")
    except (OSError, ValueError, csv.Error) as error:
        raise ClassError(
            "A mapping file must be CSV with a value and its new value or class name a line, got "
            f"'{error}' in {path}."
        ) from error
    return {value: int(new) if _is_integer(new) else (new or None) for value, new in pairs}


def beside(raster: Path) -> Legend:
    """The legend in .aux.xml, .vat.dbf, .qml and .clr beside a raster; the first wins.

    Raises:
        ClassError: A file is damaged.
    """
    raster = Path(raster)
    legend = tables_beside(raster)
    for suffix in (".qml", ".clr"):
        legend = legend.or_else(_if_there(raster.with_suffix(suffix)))
    return legend


def tables_beside(raster: Path) -> Legend:
    """The legend in .aux.xml and .vat.dbf beside a raster, without styles; the first wins.

    Raises:
        ClassError: A file is damaged.
    """
    raster = Path(raster)
    legend = Legend()
    for name in (f"{raster.name}.aux.xml", f"{raster.name}.vat.dbf", f"{raster.stem}.vat.dbf"):
        legend = legend.or_else(_if_there(raster.with_name(name)))
    return legend


def from_tags(tags: Mapping[str, str], raster: Path | str = "") -> ClassScheme | None:
    """The classes in a raster's tags, or None.

    Args:
        tags: The tags.
        raster: The raster, for the error.

    Raises:
        ClassError: The tag is damaged, or holds more classes than one byte can.
    """
    if TAG not in tags:
        return None
    where = f" in {raster}" if str(raster) else ""
    try:
        entries = json.loads(tags[TAG])
        if len(entries) <= ClassScheme.largest:
            return MapScheme.from_list(entries)
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise ClassError(
            f"The tag {TAG} must hold a list of classes, got '{error}'{where}."
        ) from error
    raise ClassError(
        f"A map to learn from or to compare must have at most {ClassScheme.largest} classes, got "
        f"{len(entries)}{where}; a 'from-to' map of 16 or more classes is for GIS: make it again "
        "with another coding ('to', 'binary') or with fewer classes."
    )


def _reader(path: Path) -> tuple[Callable[[Path], Legend], str]:
    """The function that reads a legend, and its format in words, for the error."""
    return {
        ".json": (_read_json, "JSON {'1': 'forest'} or CSV value,name[,red,green,blue]"),
        ".clr": (_read_clr, "lines of value, red, green, blue (.clr)"),
        ".txt": (_read_text, "CSV value,name[,red,green,blue] or a colour map of QGIS"),
        ".qml": (_read_qml, "a QGIS style of a raster (.qml)"),
        ".xml": (_read_aux_xml, "an attribute table or category names of GDAL (.aux.xml)"),
        ".dbf": (_read_dbf, "a table with a column Value (.vat.dbf)"),
    }.get(
        path.suffix.lower(),
        (_read_csv, "JSON {'1': 'forest'} or CSV value,name[,red,green,blue]"),
    )


def _if_there(path: Path) -> Legend:
    """A sidecar's legend; empty if the file is missing or holds no classes."""
    return _read(path) if path.is_file() else Legend()


def _read(path: Path) -> Legend:
    """Names and colours from a file; may be empty.

    Raises:
        ClassError: The file is missing, damaged, or holds something else.
    """
    read, form = _reader(path)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ClassError(
                f"A legend must be smaller than {_MOST_BYTES >> 20} MiB, got {path}; "
                "check that it is one."
            )
        legend = read(path)
        for value, colour in legend.colours.items():
            if len(colour) != 3 or not all(0 <= c <= 255 for c in colour):
                raise ValueError(f"the colour {colour} for value {value}")
    except ClassError:
        raise
    except (
        OSError, ValueError, IndexError, KeyError, AttributeError, TypeError, OverflowError,
        struct.error, SyntaxError, RecursionError, csv.Error,
    ) as error:  # fmt: skip
        raise ClassError(
            f"Classes must come as {form}, got '{error}' in {path}; correct it or write a CSV."
        ) from error
    return legend


def _read_json(path: Path) -> Legend:
    def once(pairs: list[tuple[str, Any]]) -> dict[int, str]:
        names: dict[int, str] = {}
        for key, name in pairs:
            _add(names, int(key), str(name))
        return names

    return Legend(dict(json.loads(texts.read_text(path), object_pairs_hook=once).items()))


def _read_csv(path: Path) -> Legend:
    rows = class_table.read(texts.read_text(path))
    return Legend(
        {r.value: r.name for r in rows}, {r.value: r.colour for r in rows if r.colour is not None}
    )


def _read_clr(path: Path) -> Legend:
    """Lines ``value red green blue [alpha] [name]``, separated by spaces or commas."""
    names: dict[int, str] = {}
    colours: dict[int, Colour] = {}
    # names may contain characters that str.splitlines takes for line ends
    for number, line in enumerate(re.split("\r\n|\r|\n", texts.read_text(path)), start=1):
        line = line.strip()
        if not line or line[0] == "#" or line.upper().startswith("INTERPOLATION"):
            continue
        try:
            comma = "," if "," in line.split(maxsplit=1)[0] else None
            parts = line.split(comma, 5)
            value = class_table.whole(parts[0], number)
            _add(colours, value, (int(parts[1]), int(parts[2]), int(parts[3])))
        except (ValueError, IndexError) as error:
            raise ValueError(f"line {number}: {error}") from error
        rest = parts[4:]
        if rest and _is_integer(rest[0]):
            rest = rest[1:]  # alpha
        name = (comma or " ").join(rest).strip().strip('"').strip()
        if name:
            names[value] = name
    return Legend(names, colours)


def _read_text(path: Path) -> Legend:
    head = texts.read_text(path)[:500].upper()
    return _read_clr(path) if "INTERPOLATION:" in head or "QGIS" in head else _read_csv(path)


def _read_qml(path: Path) -> Legend:
    names: dict[int, str] = {}
    colours: dict[int, Colour] = {}
    root = _xml(path.read_bytes())
    for entry in [*root.iter("paletteEntry"), *root.iter("item")]:
        if "value" not in entry.attrib or "color" not in entry.attrib:
            continue
        number = float(entry.attrib["value"])
        if not number.is_integer():
            continue  # a ramp, not a class; its last value may be infinite
        if entry.tag == "item" and int(number) in colours:
            continue  # a step of a ramp has a colour on each side
        _add(colours, int(number), class_table.hex_colour(entry.attrib["color"]))
        label = entry.attrib.get("label", "").strip()
        if label:
            names[int(number)] = label
    return Legend(names, colours)


def _read_aux_xml(path: Path) -> Legend:
    """The first band's attribute table, else its category names and colours."""
    return _from_bands(_xml(path.read_bytes()), "PAMRasterBand")


def from_vrt(text: str, raster: str = "") -> Legend:
    """The legend of a VRT's first band: its attribute table, else its category names.

    A copy of a raster as VRT contains the legend of any format that GDAL reads.

    Args:
        text: The VRT.
        raster: The raster, for the error.

    Raises:
        ClassError: The table is damaged.
    """
    try:
        return _from_bands(_xml(text.encode()), "VRTRasterBand")
    except (ValueError, IndexError, KeyError, OverflowError) as error:
        raise ClassError(
            f"A raster's own table of classes must be whole, got '{error}' in {raster}; correct it."
        ) from error


def _from_bands(root: ElementTree.Element, kind: str) -> Legend:
    band = next((b for b in root.findall(kind) if b.get("band", "1") == "1"), None)
    if band is None:
        return Legend()
    legend = Legend()
    for table in band.findall("GDALRasterAttributeTable"):
        legend = legend.or_else(_from_rat(table))
    names = {
        value: entry.text.strip()
        for value, entry in enumerate(band.findall("CategoryNames/Category"))
        if entry.text and entry.text.strip()
    }
    colours = {
        value: (int(entry.attrib["c1"]), int(entry.attrib["c2"]), int(entry.attrib["c3"]))
        for value, entry in enumerate(band.findall("ColorTable/Entry"))
        if value in names
    }
    return legend.or_else(Legend(names, colours))


def _from_rat(table: ElementTree.Element) -> Legend:
    """An attribute table, read as GDAL does (gdal_rat.cpp): the first column of a usage counts.

    A row covers the values from its smallest to its largest; of several rows for a value, the
    first counts. A table of equal bins has no column of values. If no column has the usage of
    values, its name decides; else the row number is the value.
    """
    fields = [
        (
            (f.findtext("Name") or "").strip().lower(),
            int(f.findtext("Type") or 0),
            int(f.findtext("Usage") or 0),
        )
        for f in table.findall("FieldDefn")
    ]
    columns = [name for name, _, _ in fields]
    usages = {usage: k for k, (_, _, usage) in reversed(list(enumerate(fields)))}
    lines = table.findall("Row")
    rows = [[f.text or "" for f in row.findall("F")] for row in lines]
    numbers = [int(row.get("index", k)) for k, row in enumerate(lines)]
    texts_at = [k for k, (_, kind, _) in enumerate(fields) if kind == STRING]
    least = usages.get(MIN, usages.get(MIN_MAX))
    most = usages.get(MAX, usages.get(MIN_MAX))
    if least is None or most is None:
        least = most = least if most is None else most
    if least is None:
        least = most = _first(class_table.VALUE_COLUMNS, columns, without=texts_at)
    if table.get("Row0Min") is not None and table.get("BinSize") is not None:
        first, size = float(table.attrib["Row0Min"]), float(table.attrib["BinSize"])
        values = [_between(first + k * size, first + (k + 1) * size) for k in numbers]
    elif least is None or most is None:
        values = [range(k, k + 1) for k in numbers]
    else:
        values = [_between(float(r[least]), float(r[most]), closed=True) for r in rows]
    return _from_table(
        columns, rows, values, texts_at, usages.get(NAME),
        [usages[u] for u in COLOUR_USAGES if u in usages],
    )  # fmt: skip


def _between(least: float, most: float, *, closed: bool = False) -> range:
    """Whole numbers from one number up to another, which is included if closed."""
    if least == most and closed:
        return range(int(least), int(least) + 1) if least.is_integer() else range(0)
    least, most = max(least, -float(_FARTHEST)), min(most, float(_FARTHEST))
    if not least < most:  # also NaN
        return range(0)
    return range(math.ceil(least), math.floor(most) + 1 if closed else math.ceil(most))


def _first(names: Sequence[str], columns: Sequence[str], *, without: Sequence[int]) -> int | None:
    """Position of the first of some names among the columns."""
    return next(
        (columns.index(n) for n in names if n in columns and columns.index(n) not in without), None
    )


def _read_dbf(path: Path) -> Legend:
    names, kinds, rows = _dbf(path)
    lower = [n.lower() for n in names]
    if "value" not in lower:
        raise ValueError(f"the columns {', '.join(names)}")
    value_at = lower.index("value")
    values = [_between(float(r[value_at]), float(r[value_at]), closed=True) for r in rows]
    once: dict[int, None] = {}
    for value in chain.from_iterable(values):
        _add(once, value, None)
    texts_at = [k for k, kind in enumerate(kinds) if kind == "C"]
    return _from_table(lower, rows, values, texts_at)


def _from_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    values: Sequence[range],
    texts_at: Sequence[int],
    name_at: int | None = None,
    colours_at: Sequence[int] = (),
) -> Legend:
    """Names and colours of an attribute table.

    Args:
        columns: Names of the columns, in lower case.
        rows: Cells of each row.
        values: Values that each row covers; the first row of a value counts.
        texts_at: Positions of the text columns.
        name_at: Position of the column of class names; None: by its name, else the first text.
        colours_at: Positions of red, green and blue; if not three: by their names.
    """
    if name_at is None:
        others = [k for k in range(len(columns)) if k not in texts_at]
        name_at = _first(class_table.NAME_COLUMNS, columns, without=others)
    if name_at is None:
        name_at = next(iter(texts_at), None)
    if len(colours_at) != 3:
        colours_at = [columns.index(c) for c in COLOUR_USAGES.values() if c in columns]
    names: dict[int, str] = {}
    shades: dict[int, class_table.Shades] = {}
    for row, covered in zip(rows, values, strict=True):
        name = "" if name_at is None else row[name_at].strip()
        shade = None
        if len(colours_at) == 3 and all(row[k].strip() for k in colours_at):
            red, green, blue = (float(row[k]) for k in colours_at)
            shade = red, green, blue
        for value in covered:
            if name:
                names.setdefault(value, name)
            if shade is not None:
                shades.setdefault(value, shade)
    return Legend(names, class_table.as_bytes(shades))


def _dbf(path: Path) -> tuple[list[str], list[str], list[list[str]]]:
    """Column names, column types and rows of a dBase file, checked against its stated size.

    Not read by GDAL (pyogrio), which allocates by the number of rows that a header states: a file
    of 124 kB that states a million rows of 2,000 columns takes 15 GB and 19 s before it is refused.
    Without a .cpg file, GDAL also reads UTF-8 as Latin-1.
    """
    data = path.read_bytes()
    count, head, width = struct.unpack("<IHH", data[4:12])
    if head < 33 or width < 1 or len(data) < head + count * width:
        raise ValueError(f"{len(data)} bytes for {count} rows of {width}")
    names, kinds, ends = [], [], [1]
    for at in range(32, head - 1, 32):
        if data[at] == 0x0D:
            break
        if not data[at + 16]:  # any number of such columns would fit a row of one byte
            raise ValueError("a column of 0 bytes")
        names.append(data[at : at + 11].split(b"\0")[0].decode("ascii", "replace").strip())
        kinds.append(chr(data[at + 11]))
        ends.append(ends[-1] + data[at + 16])
    if ends[-1] > width:
        raise ValueError(f"columns of {ends[-1]} bytes in rows of {width}")
    rows = []
    for start in range(head, head + count * width, width):
        row = data[start : start + width]
        if row[:1] == b"*":
            continue  # deleted
        cells = [row[a:b] for a, b in pairwise(ends)]
        rows.append([_decode(c).strip("\0 ") for c in cells])
    return names, kinds, rows


def _decode(data: bytes) -> str:
    """A cell's text: UTF-8, else Windows-1252, which most programs write, else Latin-1."""
    for encoding in ("utf-8", "cp1252"):
        with suppress(UnicodeDecodeError):
            return data.decode(encoding)
    return data.decode("latin-1")


def _xml(data: bytes) -> ElementTree.Element:
    """The root of an XML document; refuses entity declarations, which could expand endlessly."""
    from xml.parsers import expat

    depth = 0
    builder = ElementTree.TreeBuilder()

    def refuse(*_: Any) -> int:
        raise ValueError("entity declarations, which are refused")

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise ValueError(f"elements more than {_DEEPEST} deep")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    parser = expat.ParserCreate()
    parser.EntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise ValueError(str(error)) from error
    return builder.close()


def _is_integer(text: str) -> bool:
    """Whether a text is a whole number."""
    return text.strip().removeprefix("-").isdecimal()


def _add(entries: dict[int, Any], value: int, entry: Any) -> None:
    """Add the entry of a value; refuse a second one."""
    if value in entries:
        raise ValueError(f"the value {value} twice")
    entries[value] = entry
