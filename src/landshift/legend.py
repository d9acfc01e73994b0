"""Class names and colours as files carry them: tags, tables beside rasters, styles, lists."""

from __future__ import annotations

import csv
import json
import math
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from landshift import class_table, ledger, texts
from landshift.classes import ClassScheme, Colour, MapScheme
from landshift.errors import ClassError

TAG = "LANDSHIFT_CLASSES"
"""Name of the raster tag that holds the classes as JSON."""

_MOST_BYTES = 64 << 20
_DEEPEST = 64

_FARTHEST = 1 << 16  # values that a range of an attribute table may name, from 0 either way

# GDAL's GDALRATFieldType and GDALRATFieldUsage (gdal.h)
_INTEGER, _REAL, _STRING = 0, 1, 2
_GENERIC, _PIXEL_COUNT, _NAME, _MIN, _MAX, _MIN_MAX = 0, 1, 2, 3, 4, 5
_COLOUR_USAGES = {6: "red", 7: "green", 8: "blue"}


@dataclass(frozen=True)
class Legend:
    """Names and colours of pixel values, of any size and number, as a file states them.

    Attributes:
        names: Name of each value that has one; some names say that the value is no class
            (`classes.says_none`).
        colours: Colour of each value that has one.
    """

    names: dict[int, str] = field(default_factory=dict)
    colours: dict[int, Colour] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.names or self.colours)

    def or_else(self, other: Legend) -> Legend:
        """This legend, and what only the other one says."""
        return Legend(other.names | self.names, other.colours | self.colours)

    def scheme(self) -> ClassScheme:
        """The classes; a value without a name is called ``class <value>``.

        Raises:
            ClassError: See `ClassScheme`.
        """
        values = sorted(self.names.keys() | self.colours.keys())
        names = {v: self.names.get(v) or f"class {v}" for v in values}
        return MapScheme.from_mapping(names, self.colours)


@dataclass(frozen=True)
class Column:
    """A column of a raster's attribute table.

    Attributes:
        name: Its name; ten characters at most, or the .vat.dbf cuts it.
        values: A value for each row; all integers, all numbers or all texts.
    """

    name: str
    values: Sequence[int] | Sequence[float] | Sequence[str]

    @property
    def kind(self) -> int:
        """GDAL's type of the column."""
        if any(isinstance(v, str) for v in self.values):
            return _STRING
        return _REAL if any(isinstance(v, float) for v in self.values) else _INTEGER


# ---- Reading


def read_classes(path: Path | str) -> ClassScheme:
    """The classes that a file states; see `read_legend` for the formats.

    Raises:
        ClassError: The file is missing or holds something else.
    """
    return read_legend(path).scheme()


def read_legend(path: Path | str) -> Legend:
    """Names and colours of values from a file, by its suffix.

    ``.json``: ``{"1": "forest", ...}``. ``.clr``, and the colour maps that QGIS exports as
    ``.txt``: value, red, green, blue, perhaps alpha and a name. ``.qml``: a QGIS style of a
    paletted or pseudocolour raster. ``.xml``: GDAL's sidecar ``<raster>.aux.xml`` with an
    attribute table or category names. ``.dbf``: ``<raster>.vat.dbf``. Any other, as
    ``.csv``: ``value,name[,red,green,blue]``, or with a header in any order, whatever parts its
    cells (see `class_table.read`). Values may be any whole numbers.

    Raises:
        ClassError: The file is missing, damaged, or holds something else.
    """
    found = _read(Path(path))
    if not found:
        raise ClassError(
            f"Classes must come as {_reader(Path(path))[1]}, got no classes in {path}; "
            "mend it or write a CSV."
        )
    return found


def read_recoding(path: Path | str) -> dict[int, int | str | None]:
    """A mapping file from one legend to another: CSV ``value,new value or class name``.

    Returns:
        What each value becomes: a value, the name of a class, or None (an empty field:
        unlabelled).

    Raises:
        ClassError: The file is missing, holds something else, or maps a value twice.
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
    """What the files beside a raster tell: .aux.xml, .vat.dbf, .qml, .clr; the earlier wins.

    Raises:
        ClassError: One of them is there and damaged.
    """
    raster = Path(raster)
    found = tables_beside(raster)
    for suffix in (".qml", ".clr"):
        found = found.or_else(_if_there(raster.with_suffix(suffix)))
    return found


def tables_beside(raster: Path) -> Legend:
    """What .aux.xml and .vat.dbf beside a raster tell, without styles; the earlier wins.

    Raises:
        ClassError: One of them is there and damaged.
    """
    raster = Path(raster)
    found = Legend()
    for name in (f"{raster.name}.aux.xml", f"{raster.name}.vat.dbf", f"{raster.stem}.vat.dbf"):
        found = found.or_else(_if_there(raster.with_name(name)))
    return found


def from_tags(tags: Mapping[str, str], raster: Path | str = "") -> ClassScheme | None:
    """The classes that a raster's tags hold, or None.

    Args:
        tags: The tags.
        raster: The raster, for the error.

    Raises:
        ClassError: The tag is there and damaged, or holds values of two bytes.
    """
    if TAG not in tags:
        return None
    where = f" in {raster}" if str(raster) else ""
    try:
        entries = json.loads(tags[TAG])
        if len(entries) <= ClassScheme.largest:
            return MapScheme.from_list(entries)
    except (ValueError, AttributeError, TypeError) as error:
        raise ClassError(
            f"The tag {TAG} must hold a list of classes, got '{error}'{where}."
        ) from error
    raise ClassError(
        f"A map to learn from or to compare must have at most {ClassScheme.largest} classes, got "
        f"{len(entries)}{where}; a 'from-to' map of 16 or more classes is for GIS: make it again "
        "with another coding ('to', 'binary') or with fewer classes."
    )


def _reader(path: Path) -> tuple[Callable[[Path], Legend], str]:
    """The function that reads a legend, and what it reads, for the error."""
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
    """A sidecar's legend; empty where it isn't there or tells of something else than classes."""
    return _read(path) if path.is_file() else Legend()


def _read(path: Path) -> Legend:
    """Names and colours from a file, perhaps none.

    Raises:
        ClassError: The file is missing, damaged, or holds something else.
    """
    read, what = _reader(path)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ClassError(
                f"A legend must be smaller than {_MOST_BYTES >> 20} MiB, got {path}; "
                "check that it is one."
            )
        found = read(path)
        for value, colour in found.colours.items():
            if len(colour) != 3 or not all(0 <= c <= 255 for c in colour):
                raise ValueError(f"the colour {colour} for value {value}")
    except ClassError:
        raise
    except (
        OSError, ValueError, IndexError, KeyError, AttributeError, TypeError, OverflowError,
        struct.error, SyntaxError, RecursionError, csv.Error,
    ) as error:  # fmt: skip
        raise ClassError(
            f"Classes must come as {what}, got '{error}' in {path}; mend it or write a CSV."
        ) from error
    return found


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
    """Lines ``value red green blue [alpha] [name]``, parted by spaces or commas."""
    names: dict[int, str] = {}
    colours: dict[int, Colour] = {}
    # a name may hold characters that Unicode takes for ends of lines
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
            continue  # a ramp, no class; its last value may be infinite
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
    """What the first band of a VRT tells: its attribute table, else its category names.

    GDAL describes any raster so, once it is copied to a VRT: what its format holds inside too.

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
    found = Legend()
    for table in band.findall("GDALRasterAttributeTable"):
        found = found.or_else(_from_rat(table))
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
    return found.or_else(Legend(names, colours))


def _from_rat(table: ElementTree.Element) -> Legend:
    """An attribute table as GDAL reads it (gdal_rat.cpp): the first column of a usage counts.

    A row stands for the values between its least and its largest one; of several such rows, the
    first counts. A table of equal bins tells its values without a column. Where no column's usage
    says that it holds values, one does by its name; else the number of the row is the value.
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
    texts_at = [k for k, (_, kind, _) in enumerate(fields) if kind == _STRING]
    least = usages.get(_MIN, usages.get(_MIN_MAX))
    most = usages.get(_MAX, usages.get(_MIN_MAX))
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
        columns, rows, values, texts_at, usages.get(_NAME),
        [usages[u] for u in _COLOUR_USAGES if u in usages],
    )  # fmt: skip


def _between(least: float, most: float, *, closed: bool = False) -> range:
    """Whole numbers from one number to another, which belongs to them where closed."""
    if least == most and closed:
        return range(int(least), int(least) + 1) if least.is_integer() else range(0)
    least, most = max(least, -float(_FARTHEST)), min(most, float(_FARTHEST))
    if not least < most:  # also what is no number
        return range(0)
    return range(math.ceil(least), math.floor(most) + 1 if closed else math.ceil(most))


def _first(names: Sequence[str], columns: Sequence[str], *, without: Sequence[int]) -> int | None:
    """Place of the column that bears the first of some names."""
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
        values: Values that each row stands for; the first row of a value counts.
        texts_at: Places of the columns of text.
        name_at: Place of the column of names; None: found by its name, else the first of text.
        colours_at: Places of red, green and blue; not three: found by their names.
    """
    if name_at is None:
        others = [k for k in range(len(columns)) if k not in texts_at]
        name_at = _first(class_table.NAME_COLUMNS, columns, without=others)
    if name_at is None:
        name_at = next(iter(texts_at), None)
    if len(colours_at) != 3:
        colours_at = [columns.index(c) for c in _COLOUR_USAGES.values() if c in columns]
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
    """Column names, column types and rows of a dBase file, whose size must be what it says."""
    data = path.read_bytes()
    count, head, width = struct.unpack("<IHH", data[4:12])
    if head < 33 or width < 1 or len(data) < head + count * width:
        raise ValueError(f"{len(data)} bytes for {count} rows of {width}")
    names, kinds, ends = [], [], [1]
    for at in range(32, head - 1, 32):
        if data[at] == 0x0D:
            break
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
    """A cell's text: UTF-8, else Windows-1252, as most programs write it, else Latin-1."""
    for encoding in ("utf-8", "cp1252"):
        with suppress(UnicodeDecodeError):
            return data.decode(encoding)
    return data.decode("latin-1")


def _xml(data: bytes) -> ElementTree.Element:
    """The root of an XML document; refuses entities of its own, which could grow without end."""
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
    return text.strip().removeprefix("-").isdecimal()


def _add(known: dict[int, Any], value: int, what: Any) -> None:
    """Take what a value has, which must come once."""
    if value in known:
        raise ValueError(f"the value {value} twice")
    known[value] = what


# ---- Writing


def as_tag(scheme: ClassScheme) -> dict[str, str]:
    """The classes as a raster tag."""
    return {TAG: json.dumps(scheme.as_list())}


def colour_table(scheme: ClassScheme) -> dict[int, tuple[int, int, int, int]]:
    """GDAL's colour table: 256 RGBA entries, opaque for classes, transparent for the rest.

    65536 entries where a value needs two bytes.
    """
    entries = 256 if scheme.values[-1] < 256 else 65536
    table: dict[int, tuple[int, int, int, int]] = dict.fromkeys(range(entries), (0, 0, 0, 0))
    for value, (red, green, blue) in scheme.colours.items():
        table[value] = (red, green, blue, 255)
    return table


def write_category_names(raster: Path, scheme: ClassScheme) -> Path:
    """Write ``<raster>.aux.xml`` with GDAL's category names, which QGIS and ArcGIS show.

    GeoTIFF has no field of its own for them.
    """
    return _write_aux_xml(raster, scheme, ())


def write_attributes(raster: Path, scheme: ClassScheme, columns: Sequence[Column]) -> list[Path]:
    """Write an attribute table beside a raster: ``.aux.xml`` (GDAL, QGIS), ``.vat.dbf`` (ArcGIS).

    Value, name and colour of each class come from the scheme.

    Args:
        raster: The raster.
        scheme: Its classes: a row each.
        columns: More columns, with a value for each class; one named ``Count`` counts pixels.

    Returns:
        The files written.
    """
    table = [
        Column("Value", scheme.values),
        Column("Name", scheme.names),
        *columns,
        *(
            Column(name, [c.colour[k] for c in scheme])
            for k, name in enumerate(("Red", "Green", "Blue"))
        ),
    ]
    return [_write_aux_xml(raster, scheme, table), _write_dbf(raster, table)]


def write_qml(raster: Path, scheme: ClassScheme) -> Path:
    """Write ``<raster>.qml`` beside a raster: the style in which QGIS opens it."""
    root = ElementTree.Element("qgis", version="3.22", styleCategories="AllStyleCategories")
    pipe = ElementTree.SubElement(root, "pipe")
    renderer = ElementTree.SubElement(
        pipe, "rasterrenderer", type="paletted", band="1", opacity="1", alphaBand="-1"
    )
    palette = ElementTree.SubElement(renderer, "colorPalette")
    for c in scheme:
        colour = "#{:02x}{:02x}{:02x}".format(*c.colour)
        ElementTree.SubElement(
            palette, "paletteEntry", value=str(c.value), color=colour, label=c.name, alpha="255"
        )
    return _write_xml(Path(raster).with_suffix(".qml"), root)


def _write_aux_xml(raster: Path, scheme: ClassScheme, table: Sequence[Column]) -> Path:
    root = ElementTree.Element("PAMDataset")
    band = ElementTree.SubElement(root, "PAMRasterBand", band="1")
    names = ElementTree.SubElement(band, "CategoryNames")
    mapping: dict[int, Any] = scheme.mapping
    for value in range(scheme.values[-1] + 1):
        ElementTree.SubElement(names, "Category").text = mapping.get(value, "")
    if table:
        rat = ElementTree.SubElement(band, "GDALRasterAttributeTable", tableType="thematic")
        usages = {"Value": _MIN_MAX, "Name": _NAME, "Count": _PIXEL_COUNT}
        usages |= {name.capitalize(): usage for usage, name in _COLOUR_USAGES.items()}
        for k, column in enumerate(table):
            entry = ElementTree.SubElement(rat, "FieldDefn", index=str(k))
            ElementTree.SubElement(entry, "Name").text = column.name
            ElementTree.SubElement(entry, "Type").text = str(column.kind)
            ElementTree.SubElement(entry, "Usage").text = str(usages.get(column.name, _GENERIC))
        for k in range(len(scheme)):
            row = ElementTree.SubElement(rat, "Row", index=str(k))
            for column in table:
                ElementTree.SubElement(row, "F").text = str(column.values[k])
    return _write_xml(raster.with_name(raster.name + ".aux.xml"), root)


def _write_xml(path: Path, root: ElementTree.Element) -> Path:
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode", xml_declaration=False)
    # readers of XML make a line feed of it; in attributes it is written so already
    text = text.replace("\r", "&#13;")
    with ledger.whole_file(path) as part:
        part.write_text(text, encoding="utf-8", newline="")
    return path


def _write_dbf(raster: Path, table: Sequence[Column]) -> Path:
    """dBase III; a .cpg beside it says UTF-8 where a text needs it."""
    formats: list[tuple[bytes, int, int]] = []
    texts: list[list[str]] = []
    for column in table:
        if column.kind == _REAL:
            cells = [f"{v:.6f}" for v in column.values]
        else:
            cells = [_cut(str(v), 254) for v in column.values]
        wide = max([1, *(len(c.encode()) for c in cells)])
        kind = b"C" if column.kind == _STRING else b"N"
        formats.append((kind, wide, 6 if column.kind == _REAL else 0))
        texts.append(cells)
    width = 1 + sum(wide for _, wide, _ in formats)
    rows = len(table[0].values)
    head = 32 + 32 * len(table) + 1
    data = [struct.pack("<4BIHH20x", 3, 100, 1, 1, rows, head, width)]
    for column, (kind, wide, places) in zip(table, formats, strict=True):
        name = column.name.encode("ascii", "replace")[:10]
        data.append(struct.pack("<11sc4xBB14x", name, kind, wide, places))
    data.append(b"\r")
    for k in range(rows):
        data.append(b" ")
        for cells, (kind, wide, _) in zip(texts, formats, strict=True):
            cell = cells[k].encode()
            data.append(cell.ljust(wide) if kind == b"C" else cell.rjust(wide))
    data.append(b"\x1a")
    path = raster.with_name(raster.name + ".vat.dbf")
    with ledger.whole_file(path) as part:
        part.write_bytes(b"".join(data))
    encoding = path.with_suffix(".cpg")
    if all(text.isascii() for cells in texts for text in cells):
        encoding.unlink(missing_ok=True)
    else:
        with ledger.whole_file(encoding) as part:
            part.write_text("UTF-8", encoding="ascii")
    return path


def _cut(text: str, most: int) -> str:
    """A text cut to a number of UTF-8 bytes."""
    return text.encode()[:most].decode("utf-8", "ignore")
