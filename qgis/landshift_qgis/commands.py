"""The commands of landshift, as it describes them, and what QGIS must know about each."""

import json
from pathlib import Path

STORED = Path(__file__).with_name("commands.json")
"""What `landshift --describe` printed when the plugin was built."""

ORDER = (
    "search",
    "fetch",
    "composite",
    "normalise",
    "label",
    "series",
    "burn",
    "difference",
    "tiles",
    "train",
    "classify",
    "polygons",
    "zonal",
    "sample",
    "estimate",
    "explore",
)
"""The commands that are algorithms, in the order of the job."""

RASTERS = frozenset({"images", "files", "rasters", "maps", "images2"})
RASTER = frozenset(
    {
        "image",
        "before",
        "after",
        "mapped",
        "map",
        "like",
        "confidence",
        "strata",
    }
)
VECTOR = frozenset({"source", "zones", "polygons", "mask_polygons", "domains", "shape"})
FOLDER = frozenset({"tiles", "audit"})
"""Parameters by what they hold; others that are paths are files."""

EXTENT = frozenset({"bounds", "bbox"})

RASTER_OUT, VECTOR_OUT, FOLDER_OUT = "raster", "vector", "folder"

OUTPUTS = {
    ("composite", "out"): (RASTER_OUT, "tif"),
    ("normalise", "out"): (RASTER_OUT, "tif"),
    ("label", "out"): (RASTER_OUT, "tif"),
    ("label", "table"): ("file", "csv"),
    ("label", "class_table"): ("file", "csv"),
    ("label", "weights"): (RASTER_OUT, "tif"),
    ("burn", "out"): (RASTER_OUT, "tif"),
    ("difference", "out"): (RASTER_OUT, "tif"),
    ("tiles", "out"): (FOLDER_OUT, ""),
    ("tiles", "pairs"): ("file", "csv"),
    ("train", "name"): (FOLDER_OUT, ""),
    ("train", "log"): (FOLDER_OUT, ""),
    ("classify", "out"): (RASTER_OUT, "tif"),
    ("polygons", "out"): (VECTOR_OUT, "gpkg"),
    ("zonal", "out"): ("file", "csv"),
    ("zonal", "geopackage"): (VECTOR_OUT, "gpkg"),
    ("zonal", "picture"): ("file", "png"),
    ("sample", "out"): (VECTOR_OUT, "gpkg"),
    ("estimate", "out"): ("file", "json"),
    ("estimate", "table"): ("file", "csv"),
    ("explore", "out"): (FOLDER_OUT, ""),
    ("series", "out"): (FOLDER_OUT, ""),
    ("search", "out"): ("file", "json"),
    ("search", "picture"): ("file", "png"),
    ("search", "items"): (FOLDER_OUT, ""),
    ("fetch", "out"): (FOLDER_OUT, ""),
}
"""Kind and suffix of what each command writes."""

REQUIRED = frozenset(
    {
        ("tiles", "out"),
        ("train", "name"),
        ("explore", "out"),
        ("estimate", "table"),
        ("zonal", "out"),
        ("tiles", "rasters"),
    }
)
"""Optional on the command line, needed here: QGIS shows no terminal."""

HIDDEN = frozenset(
    {
        "open",
        "port",
        "audit",
        "pairs",
        "json",
        "quiet",
        "verbose",
        "print_as",
        "progress",
        "tensorboard",
        "mlflow",
    }
)
"""Parameters that mean nothing here."""


def read(path=STORED):
    """The stored description: ``version`` and ``commands``."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def algorithms(described):
    """Descriptions of the commands that are algorithms, in order."""
    by_name = {entry["name"]: entry for entry in described["commands"]}
    return [by_name[name] for name in ORDER if name in by_name]


def parameters(entry):
    """The parameters of a command that QGIS shows: arguments, then options."""
    both = [*entry["arguments"], *entry["options"]]
    return [each for each in both if each["parameter"] not in HIDDEN]
