"""Styles of layers for QGIS: how polygons are drawn, and how their fields are shown.

A style is a QML text. Inside a GeoPackage QGIS applies it when it opens the layer (`keep`); beside
a file of another format, or for use elsewhere, it is ``<name>.qml``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np

from landshift.vector.layers import NEVER, write_layer

Colour = tuple[int, int, int]

RASTER_RENDERER = "<rasterrenderer"
"""Text in the QGIS style of a raster, and in no other."""

_OUTLINE = "70,70,70,255"
_THIN = "0.1"  # mm


@dataclass(frozen=True)
class FieldStyle:
    """How QGIS shows a field.

    Attributes:
        name: The field.
        decimals: Decimals shown of a number; None: a text field.
        choices: Values to choose from.
        editable: Whether people may edit it.
        alias: Name shown instead of the field's.
    """

    name: str
    decimals: int | None = None
    choices: Sequence[str] = ()
    editable: bool = True
    alias: str | None = None


def outlined(colour: Colour) -> Element:
    """Polygons as outlines in one colour."""
    renderer = Element("renderer-v2", type="singleSymbol")
    symbol = _symbol(SubElement(renderer, "symbols"), 0)
    _layer(symbol, "SimpleLine", line_color=_rgba(colour), line_width="0.6")
    return renderer


def by_class(column: str, colours: Mapping[str, Colour]) -> Element:
    """Polygons filled by the class in a column.

    Args:
        column: The column.
        colours: Colour of each class by its name, in the order of the legend.
    """
    renderer = Element("renderer-v2", type="categorizedSymbol", attr=column)
    categories, symbols = SubElement(renderer, "categories"), SubElement(renderer, "symbols")
    for number, (name, colour) in enumerate(colours.items()):
        SubElement(
            categories, "category", value=name, label=name, symbol=str(number), render="true",
            type="string",
        )  # fmt: skip
        _filled(_symbol(symbols, number), colour)
    return renderer


def by_amount(expression: str, edges: Sequence[float], colours: Sequence[Colour]) -> Element:
    """Polygons filled by an amount.

    Args:
        expression: A column, or QGIS' expression of the amount.
        edges: Ascending edges of the classes.
        colours: Colour of each class; one less than edges.
    """
    renderer = Element("renderer-v2", type="graduatedSymbol", attr=expression)
    ranges, symbols = SubElement(renderer, "ranges"), SubElement(renderer, "symbols")
    for number, colour in enumerate(colours):
        low, high = edges[number], edges[number + 1]
        SubElement(
            ranges, "range", lower=repr(float(low)), upper=repr(float(high)), symbol=str(number),
            label=f"{low:.3g} to {high:.3g}", render="true",
        )  # fmt: skip
        _filled(_symbol(symbols, number), colour)
    return renderer


def style(renderer: Element, fields: Sequence[FieldStyle]) -> str:
    """A layer's style as QML.

    Args:
        renderer: How its polygons are drawn.
        fields: How its fields are shown.
    """
    root = Element("qgis", version="3.22", styleCategories="AllStyleCategories")
    root.append(renderer)
    configuration = SubElement(root, "fieldConfiguration")
    for field in fields:
        _widget(SubElement(configuration, "field", name=field.name), field)
    editable = SubElement(root, "editable")
    for field in fields:
        SubElement(editable, "field", name=field.name, editable=str(int(field.editable)))
    if any(field.alias for field in fields):
        aliases = SubElement(root, "aliases")
        for number, field in enumerate(fields):
            if field.alias:
                SubElement(aliases, "alias", field=field.name, name=field.alias, index=str(number))
    return ElementTree.tostring(root, encoding="unicode")


def keep(path: Path, layer: str, qml: str, *, name: str, description: str) -> None:
    """Write a style into a GeoPackage, as the default of one of its layers.

    Args:
        path: The GeoPackage, with its layers.
        layer: The layer.
        qml: Its style.
        name: Name of the style.
        description: What it shows.

    Raises:
        OutputError: The file can't be written completely.
    """
    row = {
        "f_table_catalog": "", "f_table_schema": "", "f_table_name": layer,
        "f_geometry_column": "geom", "styleName": name, "styleQML": qml, "styleSLD": "",
        "useAsDefault": True, "description": description, "owner": "", "ui": "",
        "update_time": NEVER,
    }  # fmt: skip
    write_layer(path, "layer_styles", {k: np.array([v]) for k, v in row.items()}, FID="id")


def is_of_raster(path: Path) -> bool:
    """Whether a .qml is the style of a raster."""
    try:
        return RASTER_RENDERER in path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def _symbol(symbols: Element, number: int) -> Element:
    return SubElement(symbols, "symbol", type="fill", name=str(number))


def _filled(symbol: Element, colour: Colour) -> None:
    _layer(
        symbol, "SimpleFill", color=_rgba(colour), style="solid", outline_color=_OUTLINE,
        outline_style="solid", outline_width=_THIN, outline_width_unit="MM",
    )  # fmt: skip


def _layer(symbol: Element, kind: str, **options: str) -> None:
    layer = SubElement(symbol, "layer", {"class": kind, "enabled": "1"})
    values = SubElement(layer, "Option", type="Map")
    for name, value in options.items():
        SubElement(values, "Option", type="QString", name=name, value=value)


def _rgba(colour: Colour) -> str:
    return ",".join(map(str, (*colour, 255)))


def _widget(element: Element, field: FieldStyle) -> None:
    kind = "ValueMap" if field.choices else "TextEdit" if field.decimals is None else "Range"
    config = SubElement(SubElement(element, "editWidget", type=kind), "config")
    if kind == "TextEdit":
        SubElement(config, "Option")
        return
    options = SubElement(config, "Option", type="Map")
    if field.choices:
        entries = SubElement(options, "Option", type="List", name="map")
        for name in field.choices:
            entry = SubElement(entries, "Option", type="Map")
            SubElement(entry, "Option", type="QString", name=name, value=name)
    else:
        SubElement(options, "Option", type="int", name="Precision", value=str(field.decimals))
        SubElement(options, "Option", type="bool", name="AllowNull", value="true")
