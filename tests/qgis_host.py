"""Real QGIS, asked in a process of its own what it makes of a raster or of polygons."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from landshift.classes import ClassScheme

_PYTHON = "/usr/bin/python3"  # of the system, for which QGIS is built

_LOOKS = """
import json, sys
from qgis.core import QgsApplication, QgsRasterLayer
application = QgsApplication([], False)
application.initQgis()
raster, style = sys.argv[1:]
layer = QgsRasterLayer(raster, "classes")
entries = layer.dataProvider().colorTable(1)
table = [[int(e.value), e.label, e.color.name()] for e in entries if e.label != str(int(e.value))]
palette = [[int(c.value), c.label, c.color.name()] for c in layer.renderer().classes()]
layer.saveNamedStyle(style)
print(json.dumps({"palette": palette, "table": table, "metadata": layer.htmlMetadata()}))
application.exitQgis()
"""


_LOOKS_AT_POLYGONS = """
import json, sys
from qgis.core import QgsApplication, QgsVectorLayer
application = QgsApplication([], False)
application.initQgis()
path, field = sys.argv[1:]
layer = QgsVectorLayer(path, "polygons", "ogr")
renderer = layer.renderer()
formatter = QgsApplication.fieldFormatterRegistry()
at = layer.fields().indexOf(field)
setup = layer.editorWidgetSetup(at)
shown = formatter.fieldFormatter(setup.type()).representValue(
    layer, at, setup.config(), None, max(f[field] for f in layer.getFeatures()))
print(json.dumps({
    "column": renderer.classAttribute(),
    "classes": [[c.value(), c.symbol().color().name()] for c in renderer.categories()],
    "fields": {field: shown},
}))
del layer
application.exitQgis()
"""

_LOOKS_AT_BANDS = """
import json, sys
from qgis.core import QgsApplication, QgsRasterLayer
application = QgsApplication([], False)
application.initQgis()
layer = QgsRasterLayer(sys.argv[1], "composite")
renderer = layer.renderer()
if renderer.type() == "singlebandgray":
    bands, stretches = [renderer.grayBand()], [renderer.contrastEnhancement()]
else:
    bands = [renderer.redBand(), renderer.greenBand(), renderer.blueBand()]
    stretches = [renderer.redContrastEnhancement(), renderer.greenContrastEnhancement(),
                 renderer.blueContrastEnhancement()]
print(json.dumps({
    "bands": bands, "limits": [[s.minimumValue(), s.maximumValue()] for s in stretches],
    "alpha": renderer.alphaBand(),
}))
application.exitQgis()
"""


def what_qgis_shows(raster: Path, style: Path) -> dict[str, Any]:
    """The legend and the metadata with which QGIS opens a raster.

    Args:
        raster: The raster.
        style: Where QGIS saves the style that it shows the raster in.
    """
    return _asked(_LOOKS, raster, style)


def polygons_in_qgis(path: Path, field: str) -> dict[str, Any]:
    """Column, names and colours by which QGIS draws polygons, and how it writes the largest value
    of a field.
    """
    return _asked(_LOOKS_AT_POLYGONS, path, field)


def bands_in_qgis(raster: Path) -> dict[str, Any]:
    """Bands that QGIS shows as red, green and blue, with the values that become black and white."""
    return _asked(_LOOKS_AT_BANDS, raster)


def _asked(script: str, *arguments: object) -> dict[str, Any]:
    """What a script prints as JSON in QGIS' Python; a skip where QGIS isn't installed."""
    try:
        subprocess.run([_PYTHON, "-c", "import qgis.core"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("QGIS isn't installed (apt install python3-qgis)")
    told = subprocess.run(  # its exit status tells nothing: it may crash on its way out
        [_PYTHON, "-c", script, *map(str, arguments)], capture_output=True, text=True,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        | {"QT_QPA_PLATFORM": "offscreen"}, timeout=120, check=False,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(told.stdout)
    return found


def in_qgis(scheme: ClassScheme) -> list[list[Any]]:
    """Value, name and colour of each class, as QGIS says them."""
    return [[c.value, c.name, "#{:02x}{:02x}{:02x}".format(*c.colour)] for c in scheme]
