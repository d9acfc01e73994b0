"""The side files of a 'Classified Tiles' set, byte for byte as ArcGIS Pro writes them.

Taken from real files (see docs): ``map.txt`` and ``stats.txt`` have CRLF line ends, the two
JSON files LF, ``"key" : value`` and 17 significant digits; world files state the centre of the
first pixel with 10 decimals.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift.errors import TileSetError
from landshift.files import archive
from landshift.tileset.tiles import BandStatistics, TileFiles, TileSet

MAP = "map.txt"
STATS = "stats.txt"
ACCUMULATED = "esri_accumulated_stats.json"
DEFINITION = "esri_model_definition.emd"

BEFORE, AFTER = "labels_before", "labels_after"
WEIGHTS = "weights"
"""Folders of the two class maps; our own, Esri's tools ignore them."""
MAP_CLASSES = "landshift_class_maps.json"
"""Classes of the two class maps, in the form of the model definition."""

CellSize = dict[str, Any]
"""Esri's cell size: x, y, spatialReference."""

_MAX_INDEX = 10**12  # names of tiles have at most twelve digits
_NO_SENSOR = "Undefined"
_NAME_WIDTH = 20  # of the class names in stats.txt
_STATS_COLUMNS = "  cls value     images   pixels      min size   mean size    max size"

_PLACEHOLDERS = {
    "Framework": "e.g. TensorFlow or PyTorch",
    "ModelConfiguration": "e.g. UNet or FasterRCNN",
    "ModelType": "e.g. ObjectDetection or ImageClassification",
    "ModelFile": "e.g. ./trained.model",
    "Description": "e.g. which data model was trained on, when, by whom, mAP, etc",
}
_OPTIONAL_PLACEHOLDERS = {
    "ExtractBands": "e.g. [0, 1, 2]",
    "DataRange": "e.g. [0.1, 1.0] (optional)",
    "ModelPadding": "e.g. 64 (optional)",
    "BatchSize": "e.g. 8 (optional)",
    "PerProcessGPUMemoryFraction": "e.g. 0.8 (optional)",
}
_WELL_KNOWN_BANDS = [
    "Red", "Green", "Blue", "Infrared", "CoastalBlue", "Yellow", "RedEdge", "ShortWaveInfrared",
    "NearInfrared", "NearInfrared_1", "NearInfrared_2", "MidInfrared", "MidInfrared_1",
    "MidInfrared_2", "Thermal", "Thermal_1", "Thermal_2", "Panchromatic", "PseudoRed",
    "PseudoGreen", "PseudoBlue", "QA",
]  # fmt: skip


def write_side_files(
    folder: Path, tiles: TileSet, *, next_index: int, cell_sizes: Sequence[CellSize]
) -> None:
    """Write the four side files of a set, and the classes of its class maps.

    Args:
        folder: The folder.
        tiles: The set.
        next_index: Number of the next tile.
        cell_sizes: Cell size of each source raster that has one, see `cell_size`.
    """
    counts = _class_counts(tiles)
    sizes = _cell_size_range(cell_sizes)
    _write(folder / MAP, map_lines(tiles), newline="\r\n")
    _write(folder / STATS, _stats_lines(tiles, counts), newline="\r\n")
    accumulated = _accumulated_stats(tiles, counts, next_index, sizes)
    _write(folder / ACCUMULATED, [as_json(accumulated)], newline="")
    _write(folder / DEFINITION, [as_json(_model_definition(tiles, sizes))], newline="")
    if tiles.map_scheme is not None:
        classes = {"Classes": tiles.map_scheme.as_list()}
        _write(folder / MAP_CLASSES, [as_json(classes)], newline="")


def map_lines(tiles: TileSet) -> list[str]:
    r"""A line per tile: ``images\000000019.tif  labels\000000019.tif`` and a space.

    The name of a second input follows the first one after a space.
    """
    lines = []
    for tile in tiles.tiles:
        second = "" if tile.image2 is None else f" images2\\{tile.image2.name}"
        lines.append(f"images\\{tile.image.name}{second}  labels\\{tile.label.name} ")
    return lines


def world_file(transform: Any) -> str:
    """The six lines of a world file, for a raster's affine transform."""
    x, y = transform @ (0.5, 0.5)
    terms = (transform.a, transform.d, transform.b, transform.e, x, y)
    return "".join(f"{round(term, 10) + 0.0:.10f}\n" for term in terms)  # + 0.0: no "-0.0"


def cell_size(size: tuple[float, float], crs: Any) -> CellSize:
    """A cell size in the form of Esri's JSON.

    Args:
        size: Width and height of a pixel in CRS units.
        crs: The CRS as a rasterio CRS, or None.
    """
    entry: CellSize = {"x": size[0], "y": size[1]}
    if crs is not None:
        authority = crs.to_authority()
        if authority is not None and authority[1].isdigit():
            code = int(authority[1])
            entry["spatialReference"] = {"wkid": code, "latestWkid": code}
        else:
            entry["spatialReference"] = {"wkt": crs.to_wkt(version="WKT1_ESRI")}
    return entry


def as_json(value: Any, indent: int = 0) -> str:
    """A value as JSON in Esri's style: two spaces per level, ``"key" : value``, ``%.17g``."""
    pad, inner = "  " * indent, "  " * (indent + 1)
    if isinstance(value, Mapping):
        parts = [f"{inner}{_quoted(k)} : {as_json(v, indent + 1)}" for k, v in value.items()]
        return "{\n" + ",\n".join(parts) + f"\n{pad}}}"
    if isinstance(value, list | tuple):
        parts = [inner + as_json(v, indent + 1) for v in value]
        return "[\n" + ",\n".join(parts) + f"\n{pad}]"
    if isinstance(value, float):
        return f"{value:.17g}"
    return _quoted(value)


def read_map(folder: Path) -> list[TileFiles] | None:
    """Image, label and second image in each line of ``map.txt``; None without that file.

    Raises:
        TileSetError: A line without an image and a label inside the folder.
    """
    path = folder / MAP
    if not path.is_file():
        return None
    pairs = []
    for number, line in enumerate(_read(path).splitlines(), start=1):
        if line.strip():
            pairs.append(_pair(folder, line, f"line {number} of {path}"))
    return pairs


def read_classes(folder: Path) -> tuple[list[dict[str, Any]], str] | None:
    """Esri's entries of the classes and the name of their file, or None.

    The model definition comes first: in older exports only it has the colours.

    Raises:
        TileSetError: A side file that isn't JSON.
    """
    for name in (DEFINITION, ACCUMULATED):
        entries = _read_json(folder / name).get("Classes")
        if isinstance(entries, list) and entries and all(isinstance(e, dict) for e in entries):
            return entries, name
    return None


def read_band_names(folder: Path) -> tuple[str, ...]:
    """Band names in the side files; empty if they have none.

    Raises:
        TileSetError: A side file that isn't JSON.
    """
    for name in (DEFINITION, ACCUMULATED):
        properties = _read_json(folder / name).get("InputRastersProps")
        names = properties.get("BandNames") if isinstance(properties, dict) else None
        if isinstance(names, list) and all(isinstance(n, str) for n in names) and any(names):
            return tuple(names)
    return ()


def read_sensor(folder: Path) -> str | None:
    """Name of the sensor in the side files, or None.

    Raises:
        TileSetError: A side file that isn't JSON.
    """
    for name in (DEFINITION, ACCUMULATED):
        properties = _read_json(folder / name).get("InputRastersProps")
        sensor = properties.get("SensorName") if isinstance(properties, dict) else None
        if isinstance(sensor, str) and sensor.strip() and sensor != _NO_SENSOR:
            return sensor.strip()
    return None


def read_map_classes(folder: Path) -> list[dict[str, Any]] | None:
    """Entries of the classes of the two class maps, or None.

    Raises:
        TileSetError: A side file that isn't JSON.
    """
    entries = _read_json(folder / MAP_CLASSES).get("Classes")
    if isinstance(entries, list) and entries and all(isinstance(e, dict) for e in entries):
        return entries
    return None


def read_next_index(folder: Path) -> int | None:
    """Number of the next tile; None in older exports, which don't state it.

    Raises:
        TileSetError: A side file that isn't JSON.
    """
    index = _read_json(folder / ACCUMULATED).get("NextTileIndex")
    return int(index) if isinstance(index, int | float) and 0 <= index < _MAX_INDEX else None


def read_cell_sizes(folder: Path) -> list[CellSize]:
    """Smallest and largest cell size of the source rasters; empty in older exports.

    Raises:
        TileSetError: A side file that isn't JSON.
    """
    about = _read_json(folder / ACCUMULATED)
    sizes = (about.get(key) for key in ("MinCellSize", "MaxCellSize"))
    return [size for size in sizes if isinstance(size, dict) and {"x", "y"} <= size.keys()]


def _pair(folder: Path, line: str, where: str) -> TileFiles:
    names = [n.replace("\\", "/") for n in re.split(_BETWEEN_NAMES, line.strip())]
    image, label, second = names[0], names[-1], names[1:-1]
    inside = all(map(archive.inner_path, names))
    roots = [n.split("/", 1)[0] for n in names]
    if not inside or roots not in (_ONE_INPUT, _TWO_INPUTS):
        raise TileSetError(
            f"A line of map.txt must name an image and its label inside the folder, got "
            f"{line.strip()[:80]!r} in {where}; export the set again or remove map.txt."
        )
    root = str(folder)
    return TileFiles(
        Path(root, image), Path(root, label), Path(root, second[0]) if second else None
    )


_ONE_INPUT = ["images", "labels"]
_TWO_INPUTS = ["images", "images2", "labels"]
_BETWEEN_NAMES = r"\s+(?=(?:images2?|labels)[\\/])"


def _class_counts(tiles: TileSet) -> NDArray[np.int64]:
    """Pixels of each class (columns) in each tile (rows)."""
    rows = [[t.class_pixels.get(v, 0) for v in tiles.scheme.values] for t in tiles.tiles]
    return np.array(rows, np.int64)


def _stats_lines(tiles: TileSet, counts: NDArray[np.int64]) -> list[str]:
    per_image = (counts > 0).sum(axis=1)
    low, mean, high = per_image.min(), per_image.mean(), per_image.max()
    width = max(_NAME_WIDTH, *(len(n) for n in tiles.scheme.names))
    lines = [
        f"images = {len(counts)} *{len(tiles.bands)}*{tiles.width}*{tiles.height}",
        f"classes = {counts.shape[1]}",
        f"classes per image = [min = {low}, mean = {mean:.2f}, max = {high}]",
        f"{'cls name':<{width}}{_STATS_COLUMNS}",
    ]
    for column, c in zip(counts.T, tiles.scheme, strict=True):
        images, pixels = int((column > 0).sum()), int(column.sum())
        lines.append(
            f"{c.name:<{width}} {c.value:>10} {images:>10} {pixels:>10} "
            f"{column.min():>11.2f} {column.mean():>11.2f} {column.max():>11.2f}"
        )
    return lines


def _accumulated_stats(
    tiles: TileSet, counts: NDArray[np.int64], next_index: int, sizes: Mapping[str, CellSize]
) -> dict[str, Any]:
    two = tiles.second is not None
    return {
        "Version": 1,
        "NumBands": len(tiles.bands),
        "TileSizeX": tiles.width,
        "TileSizeY": tiles.height,
        "NumClasses": len(tiles.scheme),
        "NumTiles": len(tiles.tiles),
        "NumTilesAsDouble": len(tiles.tiles),
        "NextTileIndex": next_index,
        "OutputFeatures": False,
        "MetaDataMode": "Classified_Tiles",
        **sizes,
        "Classes": [
            {"ClassValue": c.value, "ClassName": c.name, "Color": list(c.colour)}
            for c in tiles.scheme
        ],
        "ClassPixelStats": {
            "NumClasses": len(tiles.scheme),
            "NumImagesTotal": len(counts),
            "NumImagesPerClass": [int(n) for n in (counts > 0).sum(axis=0)],
            "NumPixelsPerClass": [int(n) for n in counts.sum(axis=0)],
            "NumClassesPerImage": _five((counts > 0).sum(axis=1)),
            "PixelsPerClass": [_five(column) for column in counts.T],
        },
        "InputRastersProps": _raster_properties(tiles.bands),
        **({"InputRastersProps2": _raster_properties(_second_bands(tiles))} if two else {}),
        "BandStatsState": _band_states(tiles.band_statistics()),
        **({"BandStatsState2": _band_states(tiles.second_statistics())} if two else {}),
    }


def _band_states(statistics: BandStatistics) -> list[dict[str, Any]]:
    squares = np.square(statistics.std) * (np.array(statistics.count) - 1)
    return [
        {
            "Min": statistics.minimum[k],
            "Max": statistics.maximum[k],
            "Mean": 0,
            "StdDev": 0,
            "M1": statistics.mean[k],
            "M2": float(squares[k]),
            "Num": statistics.count[k],
        }
        for k in range(len(statistics.mean))
    ]


def _model_definition(tiles: TileSet, sizes: Mapping[str, CellSize]) -> dict[str, Any]:
    two = tiles.second is not None
    return {
        **_PLACEHOLDERS,
        "ImageHeight": tiles.height,
        "ImageWidth": tiles.width,
        **_OPTIONAL_PLACEHOLDERS,
        "MetaDataMode": "Classified_Tiles",
        "BlackenAroundFeature": False,
        "IsMultidimensional": False,
        "CropTileMode": "Fixed_Size",
        "ImageSpaceUsed": "MAP_SPACE" if tiles.cell_size else "PIXEL_SPACE",
        **sizes,
        "Classes": tiles.scheme.as_list(),
        "InputRastersProps": _raster_properties(tiles.bands),
        **({"InputRastersProps2": _raster_properties(_second_bands(tiles))} if two else {}),
        "AllTilesStats": _tile_stats(tiles.bands, tiles.band_statistics()),
        **(
            {"AllTilesStats2": _tile_stats(_second_bands(tiles), tiles.second_statistics())}
            if two
            else {}
        ),
        "WellKnownBandNames (FYI, these band names can be used in ExtractBands)": _WELL_KNOWN_BANDS,
    }


def _tile_stats(bands: Sequence[str], statistics: BandStatistics) -> list[dict[str, Any]]:
    return [
        {
            "BandName": name,
            "Min": statistics.minimum[k],
            "Max": statistics.maximum[k],
            "Mean": statistics.mean[k],
            "StdDev": statistics.std[k],
        }
        for k, name in enumerate(bands)
    ]


def _second_bands(tiles: TileSet) -> tuple[str, ...]:
    return () if tiles.second is None else tiles.second.bands


def _raster_properties(bands: Sequence[str]) -> dict[str, Any]:
    return {"RasterCount": 1, "SensorName": _NO_SENSOR, "BandNames": list(bands)}


def _cell_size_range(sizes: Sequence[CellSize]) -> dict[str, CellSize]:
    if not sizes:
        return {}
    smallest = min(sizes, key=lambda s: s["x"] * s["y"])
    largest = max(sizes, key=lambda s: s["x"] * s["y"])
    return {"MinCellSize": smallest, "MaxCellSize": largest}


def _five(values: NDArray[np.int64]) -> dict[str, Any]:
    return {
        "Min": int(values.min()),
        "Max": int(values.max()),
        "Mean": float(values.mean()),
        "Sum": int(values.sum()),
        "Count": len(values),
    }


def _quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _write(path: Path, lines: Iterable[str], *, newline: str) -> None:
    path.write_bytes("".join(line + newline for line in lines).encode())


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise TileSetError(
            f"Side files must be readable UTF-8 text, got {error} in {path}; "
            "export the set again or remove the file."
        ) from error


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, TileSetError):
            raise
        raise TileSetError(
            f"Side files must be whole JSON, got '{error}' in {path}; "
            "export the set again or remove the file."
        ) from error
    return content if isinstance(content, dict) else {}
