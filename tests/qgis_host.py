"""Real QGIS, asked in a process of its own what it makes of a raster."""

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


def what_qgis_shows(raster: Path, style: Path) -> dict[str, Any]:
    """The legend and the metadata with which QGIS opens a raster; a skip where it isn't installed.

    Args:
        raster: The raster.
        style: Where QGIS saves the style that it shows the raster in.
    """
    try:
        subprocess.run([_PYTHON, "-c", "import qgis.core"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("QGIS isn't installed (apt install python3-qgis)")
    told = subprocess.run(  # its exit status tells nothing: it may crash on its way out
        [_PYTHON, "-c", _LOOKS, str(raster), str(style)], capture_output=True, text=True,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        | {"QT_QPA_PLATFORM": "offscreen"}, timeout=120, check=False,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(told.stdout)
    return found


def in_qgis(scheme: ClassScheme) -> list[list[Any]]:
    """Value, name and colour of each class, as QGIS says them."""
    return [[c.value, c.name, "#{:02x}{:02x}{:02x}".format(*c.colour)] for c in scheme]
