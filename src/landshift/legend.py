"""Class names and colours as files carry them: tags, tables beside rasters, styles, lists."""

from __future__ import annotations

import csv
import json
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from landshift import ledger
from landshift.classes import ClassScheme, Colour, MapScheme
from landshift.errors import ClassError

TAG = "LANDSHIFT_CLASSES"
"""Name of the raster tag that holds the classes as JSON."""

_MOST_BYTES = 64 << 20
_DEEPEST = 64

# Names that columns of attribute tables have, lower case, the likeliest first
_VALUE_COLUMNS = ("value", "code", "id", "class_id", "gridcode")
_NAME_COLUMNS = (
    "name", "class_name", "classname", "class", "label", "category", "landcover", "land_cover",
    "legend", "descriptio", "description",
)  # fmt: skip

# GDAL's GDALRATFieldType and GDALRATFieldUsage (gdal.h)
_INTEGER, _REAL, _STRING = 0, 1, 2
_GENERIC, _PIXEL_COUNT, _NAME, _MIN_MAX = 0, 1, 2, 5
_COLOUR_USAGES = {6: "red", 7: "green", 8: "blue"}


@dataclass(frozen=True)
class Legend:
    """Names and colours of pixel values, of any size and number, as a file states them.

    Attributes:
        names: Name of each value that has one.
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
    ``.csv``: ``value,name[,red,green,blue]``.

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
    found: dict[int, int | str | None] = {}
    try:
        for row in csv.reader(path.read_text(encoding="utf-8-sig").splitlines()):
            if not row or not _is_integer(row[0]):
                continue  # an empty line, or the header
            value, new = int(row[0]), row[1].strip()
            if value in found:
                raise ValueError(f"value {value} twice")
            found[value] = int(new) if _is_integer(new) else (new or None)
        if not found:
            raise ValueError("no values")
    except (OSError, ValueError, IndexError, csv.Error) as error:
        raise ClassError(
            "A mapping file must be CSV with a value and its new value or class name a line, got "
            f"'{error}' in {path}."
        ) from error
    return found


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
    return Legend({int(v): str(n) for v, n in json.loads(_text(path)).items()})


def _read_csv(path: Path) -> Legend:
    names, colours = {}, {}
    for row in csv.reader(_text(path).splitlines()):
        if not row or not _is_integer(row[0]):
            continue  # an empty line, or the header
        value = int(row[0])
        names[value] = row[1].strip()
        if len(row) >= 5:
            colours[value] = (int(row[2]), int(row[3]), int(row[4]))
    return Legend(names, colours)


def _read_clr(path: Path) -> Legend:
    """Lines ``value red green blue [alpha] [name]``, parted by spaces or commas."""
    names: dict[int, str] = {}
    colours: dict[int, Colour] = {}
    for line in _text(path).splitlines():
        line = line.strip()
        if not line or line[0] == "#" or line.upper().startswith("INTERPOLATION"):
            continue
        comma = "," if "," in line.split(maxsplit=1)[0] else None
        parts = line.split(comma, 5)
        value = int(float(parts[0]))
        colours[value] = (int(parts[1]), int(parts[2]), int(parts[3]))
        rest = parts[4:]
        if rest and _is_integer(rest[0]):
            rest = rest[1:]  # alpha
        name = (comma or " ").join(rest).strip().strip('"')
        if name:
            names[value] = name
    return Legend(names, colours)


def _read_text(path: Path) -> Legend:
    head = _text(path)[:500].upper()
    return _read_clr(path) if "INTERPOLATION:" in head or "QGIS" in head else _read_csv(path)


def _read_qml(path: Path) -> Legend:
    names: dict[int, str] = {}
    colours: dict[int, Colour] = {}
    root = _xml(path)
    for entry in [*root.iter("paletteEntry"), *root.iter("item")]:
        if "value" not in entry.attrib or "color" not in entry.attrib:
            continue
        number = float(entry.attrib["value"])
        if not number.is_integer():
            continue  # a ramp, no class; its last value may be infinite
        colours[int(number)] = _hex_colour(entry.attrib["color"])
        label = entry.attrib.get("label", "").strip()
        if label:
            names[int(number)] = label
    return Legend(names, colours)


def _read_aux_xml(path: Path) -> Legend:
    """The first band's attribute table, else its category names and colours."""
    root = _xml(path)
    found = Legend()
    for table in root.iter("GDALRasterAttributeTable"):
        found = found.or_else(_from_rat(table))
    band = root.find("PAMRasterBand")
    if band is None:
        return found
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
    fields = [
        (
            (f.findtext("Name") or "").strip().lower(),
            int(f.findtext("Type") or 0),
            int(f.findtext("Usage") or 0),
        )
        for f in table.findall("FieldDefn")
    ]
    usages = {usage: k for k, (_, _, usage) in enumerate(fields)}
    value_at = usages.get(_MIN_MAX, usages.get(3))  # 3: the least value of a range
    rows = [[f.text or "" for f in row.findall("F")] for row in table.findall("Row")]
    return _from_table(
        [name for name, _, _ in fields],
        rows,
        texts=[k for k, (_, kind, _) in enumerate(fields) if kind == _STRING],
        value_at=value_at,
        name_at=usages.get(_NAME),
        colours_at=[usages[u] for u in _COLOUR_USAGES if u in usages],
    )


def _read_dbf(path: Path) -> Legend:
    names, kinds, rows = _dbf(path)
    lower = [n.lower() for n in names]
    if "value" not in lower:
        raise ValueError(f"the columns {', '.join(names)}")
    texts = [k for k, kind in enumerate(kinds) if kind == "C"]
    return _from_table(lower, rows, texts=texts)


def _from_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    texts: Sequence[int],
    value_at: int | None = None,
    name_at: int | None = None,
    colours_at: Sequence[int] = (),
) -> Legend:
    """Names and colours of an attribute table; columns not given are found by name."""
    at = {name: k for k, name in reversed(list(enumerate(columns)))}
    if value_at is None:
        value_at = next((at[n] for n in _VALUE_COLUMNS if n in at), None)
    if value_at is None:
        return Legend()
    if name_at is None:
        name_at = next((at[n] for n in _NAME_COLUMNS if n in at and at[n] in texts), None)
    if name_at is None:
        name_at = next(iter(texts), None)
    if len(colours_at) != 3:
        colours_at = [at[c] for c in _COLOUR_USAGES.values() if c in at]
    names: dict[int, str] = {}
    colours: dict[int, Colour] = {}
    shades: dict[int, list[float]] = {}
    for row in rows:
        value = int(float(row[value_at]))
        if name_at is not None and row[name_at].strip():
            names[value] = row[name_at].strip()
        if len(colours_at) == 3 and all(row[k].strip() for k in colours_at):
            shades[value] = [float(row[k]) for k in colours_at]
    # some tables hold colours as shares of 1
    brightest = max((max(s) for s in shades.values()), default=0.0)
    fractions = any(c != int(c) for s in shades.values() for c in s)
    scale = 255 if fractions and brightest <= 1 else 1
    for value, (red, green, blue) in shades.items():
        colours[value] = (round(red * scale), round(green * scale), round(blue * scale))
    if not names and not colours:
        return Legend()
    return Legend(names, colours)


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
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _text(path: Path) -> str:
    return _decode(path.read_bytes()).removeprefix("\ufeff")


def _xml(path: Path) -> ElementTree.Element:
    """The root of an XML file; refuses entities of its own, which could grow without end."""
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
        parser.Parse(path.read_bytes(), True)
    except expat.ExpatError as error:
        raise ValueError(str(error)) from error
    return builder.close()


def _is_integer(text: str) -> bool:
    return text.strip().removeprefix("-").isdecimal()


def _hex_colour(text: str) -> Colour:
    digits = text.strip().removeprefix("#")
    if len(digits) not in (6, 8):
        raise ValueError(f"the colour {text!r}")
    return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:6], 16)


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
    with ledger.whole_file(path) as part:
        ElementTree.ElementTree(root).write(part, encoding="utf-8")
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
