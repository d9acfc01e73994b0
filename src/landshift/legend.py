"""Class names and colours as rasters carry them: colour table, category names, tags."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from landshift.classes import UNLABELLED, ClassScheme
from landshift.errors import ClassError

TAG = "LANDSHIFT_CLASSES"
"""Name of the raster tag that holds the classes as JSON."""


def as_tag(scheme: ClassScheme) -> dict[str, str]:
    """The classes as a raster tag."""
    return {TAG: json.dumps(scheme.as_list())}


def read_classes(path: Path) -> ClassScheme:
    """Classes from a file: JSON ``{"1": "forest", ...}``, or CSV ``value,name[,red,green,blue]``.

    Raises:
        ClassError: The file is missing or holds something else.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        if Path(path).suffix.lower() == ".json":
            return ClassScheme.from_mapping({int(v): n for v, n in json.loads(text).items()})
        names, colours = {}, {}
        for row in csv.reader(text.splitlines()):
            if not row or not row[0].strip().isdigit():
                continue  # an empty line, or the header
            value = int(row[0])
            names[value] = row[1].strip()
            if len(row) >= 5:
                colours[value] = (int(row[2]), int(row[3]), int(row[4]))
    except (OSError, ValueError, IndexError, AttributeError) as error:
        raise ClassError(
            f"Classes must come as JSON {{'1': 'forest'}} or CSV value,name[,red,green,blue], got "
            f"'{error}' in {path}."
        ) from error
    return ClassScheme.from_mapping(names, colours)


def from_tags(tags: Mapping[str, str]) -> ClassScheme | None:
    """The classes that a raster's tags hold, or None.

    Raises:
        ClassError: The tag is there and damaged.
    """
    if TAG not in tags:
        return None
    try:
        entries = json.loads(tags[TAG])
        return ClassScheme.from_list(entries)
    except (ValueError, AttributeError, TypeError) as error:
        raise ClassError(f"The tag {TAG} must hold a list of classes, got {error}.") from error


def from_colour_table(table: Mapping[int, tuple[int, ...]], values: set[int]) -> ClassScheme | None:
    """Classes named by their values, in the colours of a raster's colour table."""
    values = {v for v in values if v != UNLABELLED}
    if not values:
        return None
    colours = {v: (table[v][0], table[v][1], table[v][2]) for v in values if v in table}
    return ClassScheme.from_mapping({v: f"class {v}" for v in values}, colours)


def colour_table(scheme: ClassScheme) -> dict[int, tuple[int, int, int, int]]:
    """GDAL's colour table: 256 RGBA entries, opaque for classes, transparent for the rest."""
    table: dict[int, tuple[int, int, int, int]] = dict.fromkeys(range(256), (0, 0, 0, 0))
    for value, (red, green, blue) in scheme.colours.items():
        table[value] = (red, green, blue, 255)
    return table


def write_category_names(raster: Path, scheme: ClassScheme) -> Path:
    """Write ``<raster>.aux.xml`` with GDAL's category names, which QGIS and ArcGIS show.

    GeoTIFF has no field of its own for them.
    """
    root = ElementTree.Element("PAMDataset")
    band = ElementTree.SubElement(root, "PAMRasterBand", band="1")
    names = ElementTree.SubElement(band, "CategoryNames")
    mapping: dict[int, Any] = scheme.mapping
    for value in range(scheme.values[-1] + 1):
        ElementTree.SubElement(names, "Category").text = mapping.get(value, "")
    ElementTree.indent(root)
    path = raster.with_name(raster.name + ".aux.xml")
    part = path.with_name(f".{path.name}.part")
    ElementTree.ElementTree(root).write(part, encoding="utf-8")
    part.replace(path)
    return path
