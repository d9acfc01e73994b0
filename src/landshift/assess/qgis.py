"""The style that makes a sample a form in QGIS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from landshift.assess.contents import CONFIDENCES, Design


def form_style(columns: Mapping[str, Any], design: Design) -> str:
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
