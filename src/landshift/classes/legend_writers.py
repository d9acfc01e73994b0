"""Writers of legends, for QGIS, ArcGIS and GDAL: inside a raster and beside it."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from landshift.classes.legend import (
    COLOUR_USAGES,
    GENERIC,
    MIN_MAX,
    NAME,
    PIXEL_COUNT,
    REAL,
    STRING,
    TAG,
    AttributeColumn,
)
from landshift.classes.scheme import ClassScheme
from landshift.files import whole


def as_tag(scheme: ClassScheme) -> dict[str, str]:
    """The classes as a raster tag."""
    return {TAG: json.dumps(scheme.as_list())}


def colour_table(scheme: ClassScheme) -> dict[int, tuple[int, int, int, int]]:
    """GDAL's colour table: RGBA entries, opaque for classes, transparent for other values.

    It has 256 entries, or 65536 if a value needs two bytes.
    """
    entries = 256 if scheme.values[-1] < 256 else 65536
    table: dict[int, tuple[int, int, int, int]] = dict.fromkeys(range(entries), (0, 0, 0, 0))
    for value, (red, green, blue) in scheme.colours.items():
        table[value] = (red, green, blue, 255)
    return table


def write_category_names(raster: Path, scheme: ClassScheme) -> Path:
    """Write ``<raster>.aux.xml`` with GDAL's category names, which QGIS and ArcGIS show.

    GeoTIFF has no field for them.
    """
    return _write_aux_xml(raster, scheme, ())


def write_attributes(
    raster: Path, scheme: ClassScheme, columns: Sequence[AttributeColumn]
) -> list[Path]:
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
        AttributeColumn("Value", scheme.values),
        AttributeColumn("Name", scheme.names),
        *columns,
        *(
            AttributeColumn(name, [c.colour[k] for c in scheme])
            for k, name in enumerate(("Red", "Green", "Blue"))
        ),
    ]
    return [_write_aux_xml(raster, scheme, table), _write_dbf(raster, table)]


def write_qml(raster: Path, scheme: ClassScheme) -> Path:
    """Write ``<raster>.qml`` beside a raster: the style that QGIS applies when it opens it."""
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


def write_bands_qml(
    raster: Path, bands: Sequence[int], limits: Sequence[tuple[float, float]]
) -> Path:
    """Write ``<raster>.qml`` beside a raster: the bands that QGIS shows, and their stretch.

    Pixels that hold the file's nodata value are transparent, as QGIS has it.

    Args:
        raster: The raster.
        bands: Numbers from 1 of the bands shown as red, green and blue; or one, shown in grey.
        limits: Values of each that become black and white.
    """
    root = ElementTree.Element("qgis", version="3.22", styleCategories="AllStyleCategories")
    pipe = ElementTree.SubElement(root, "pipe")
    grey = len(bands) == 1
    prefixes = ("",) if grey else ("red", "green", "blue")
    shown = {f"{c or 'gray'}Band": str(b) for c, b in zip(prefixes, bands, strict=True)}
    kind = "singlebandgray" if grey else "multibandcolor"
    stated = {"type": kind, "opacity": "1", "alphaBand": "-1", "nodataColor": "", **shown}
    renderer = ElementTree.SubElement(pipe, "rasterrenderer", stated)
    for prefix, (low, high) in zip(prefixes, limits, strict=True):
        stretch = ElementTree.SubElement(
            renderer, f"{prefix}ContrastEnhancement" if prefix else "contrastEnhancement"
        )
        for name, text in (
            ("minValue", repr(low)), ("maxValue", repr(high if high > low else low + 1)),
            ("algorithm", "StretchToMinimumMaximum"),
        ):  # fmt: skip
            ElementTree.SubElement(stretch, name).text = text
    return _write_xml(Path(raster).with_suffix(".qml"), root)


def _write_aux_xml(raster: Path, scheme: ClassScheme, table: Sequence[AttributeColumn]) -> Path:
    root = ElementTree.Element("PAMDataset")
    band = ElementTree.SubElement(root, "PAMRasterBand", band="1")
    names = ElementTree.SubElement(band, "CategoryNames")
    mapping: dict[int, Any] = scheme.mapping
    for value in range(scheme.values[-1] + 1):
        ElementTree.SubElement(names, "Category").text = mapping.get(value, "")
    if table:
        rat = ElementTree.SubElement(band, "GDALRasterAttributeTable", tableType="thematic")
        usages = {"Value": MIN_MAX, "Name": NAME, "Count": PIXEL_COUNT}
        usages |= {name.capitalize(): usage for usage, name in COLOUR_USAGES.items()}
        for k, column in enumerate(table):
            entry = ElementTree.SubElement(rat, "FieldDefn", index=str(k))
            ElementTree.SubElement(entry, "Name").text = column.name
            ElementTree.SubElement(entry, "Type").text = str(column.kind)
            ElementTree.SubElement(entry, "Usage").text = str(usages.get(column.name, GENERIC))
        for k in range(len(scheme)):
            row = ElementTree.SubElement(rat, "Row", index=str(k))
            for column in table:
                ElementTree.SubElement(row, "F").text = str(column.values[k])
    return _write_xml(raster.with_name(raster.name + ".aux.xml"), root)


def _write_xml(path: Path, root: ElementTree.Element) -> Path:
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode", xml_declaration=False)
    # XML readers turn it into a line feed; ElementTree escapes it in attributes only
    text = text.replace("\r", "&#13;")
    with whole.whole_file(path) as part:
        part.write_text(text, encoding="utf-8", newline="")
    return path


def _write_dbf(raster: Path, table: Sequence[AttributeColumn]) -> Path:
    """Write dBase III; a .cpg beside it states UTF-8 if a text isn't ASCII."""
    formats: list[tuple[bytes, int, int]] = []
    texts: list[list[str]] = []
    for column in table:
        if column.kind == REAL:
            cells = [f"{v:.6f}" for v in column.values]
        else:
            cells = [_cut(str(v), 254) for v in column.values]
        wide = max([1, *(len(c.encode()) for c in cells)])
        kind = b"C" if column.kind == STRING else b"N"
        formats.append((kind, wide, 6 if column.kind == REAL else 0))
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
    with whole.whole_file(path) as part:
        part.write_bytes(b"".join(data))
    encoding = path.with_suffix(".cpg")
    if all(text.isascii() for cells in texts for text in cells):
        encoding.unlink(missing_ok=True)
    else:
        with whole.whole_file(encoding) as part:
            part.write_text("UTF-8", encoding="ascii")
    return path


def _cut(text: str, most: int) -> str:
    """A text cut to a number of UTF-8 bytes."""
    return text.encode()[:most].decode("utf-8", "ignore")
