"""The files that a page shows: recognised by their contents, in a folder or as they are named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from landshift import raster
from landshift.errors import LandshiftError, ParameterError, RasterError
from landshift.files import containers, provenance
from landshift.grid import Window
from landshift.pages.report import formats, job

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

RasterKind = Literal["image", "classes", "values"]
"""What a raster's pixels are: radiometry, codes of classes, or shares and other quantities."""

SHAPES = (".gpkg", ".geojson", ".fgb", ".shp", ".parquet", ".kml")
"""Suffixes of the vector files that are looked for in a folder."""

FEW = 32
"""Most values of a raster of one integer band that are taken for classes where nothing states
them: a land-cover map has fewer classes, a grey image more shades."""

MOST = 60
"""Most rasters and vector files of a page; more couldn't be told apart in its list."""

BARE = 4 * 10**9
"""Most pixels of a raster without overviews: reading more of them takes minutes to hours."""

_LOOKED_AT = 512  # rows and columns in which values are counted
_HEAD = 65_536  # bytes in which GeoJSON states its type
_LAYERS = ("confidence", "entropy")  # of those that classify writes, the ones of one band


@dataclass(frozen=True)
class RasterSource:
    """A raster that a page shows.

    Attributes:
        path: The file, or GDAL's name of a raster inside one.
        kind: What its pixels are.
        record: Its provenance; empty where it states none.
        info: Its properties.
    """

    path: Path
    kind: RasterKind
    record: dict[str, Any]
    info: raster.RasterInfo

    @property
    def stage(self) -> str:
        """The stage that made it; '' where it states none."""
        return str(self.record.get("stage", ""))

    @property
    def layer(self) -> str:
        """The layer of `classify` that it is: 'class', 'confidence', ...; '' for others."""
        return _layer(self.path, self.record)

    @property
    def stem(self) -> str:
        """Its name without the suffix."""
        return containers.short_name(self.path)


@dataclass
class Found:
    """What was found.

    Attributes:
        rasters: The rasters; the first one's CRS is the page's.
        shapes: Vector files.
        areas: JSON of `estimate`.
        left_out: A line for each file that isn't shown.
    """

    rasters: list[RasterSource] = field(default_factory=list)
    shapes: list[Path] = field(default_factory=list)
    areas: list[Path] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def find(given: Sequence[Path]) -> Found:
    """The files of folders and the files named, in this order.

    In a folder, files are those that `report` looks at, and mosaics of `classify`. Of a composite
    and the images that it was made from, the composite is shown; a model's map comes first.

    Raises:
        ParameterError: Nothing was given; a file or folder doesn't exist, or is of another kind.
        RasterError: A raster that was named can't be read.
        VectorError: See `landshift.vector.read_layer`.
    """
    if not given:
        raise ParameterError("A map page needs a folder or files, got none; name some.")
    found = Found()
    for path in dict.fromkeys(given):
        if path.is_dir():
            _add_folder(found, path)
        elif not containers.file_of(path).exists():
            raise ParameterError(f"A map page needs files that exist, got {path}; check the path.")
        elif path.suffix.lower() in SHAPES and containers.part_of(path) is None:
            found.shapes.append(path)
        elif path.suffix.lower() == ".json":
            _add_json(found, path)
        else:
            found.rasters.append(recognised(path))
    found.rasters = list({s.path.absolute(): s for s in found.rasters}.values())
    found.shapes = list({p.absolute(): p for p in found.shapes}.values())
    if not found.rasters:
        named = ", ".join(str(path) for path in given[:3])
        raise ParameterError(f"A map page needs a raster, got none in {named}; name one.")
    many = [str(s.path) for s in found.rasters] + [str(p) for p in found.shapes]
    if len(many) > MOST:
        raise ParameterError(
            f"A map page must have at most {MOST} files, got {len(many):,}; name those to show."
        )
    return found


def recognised(path: Path) -> RasterSource:
    """A raster, and what its pixels are.

    Raises:
        RasterError: It can't be read, or is too large to look at without overviews.
        GridError: Its grid has no pixels.
        ClassError: Its legend is damaged.
    """
    with raster.open_raster(path) as source:
        _check_size(source)
        info = raster.info_of(source)
        record = provenance.from_tags(source.tags())
        return RasterSource(path, _kind(source, info, _layer(path, record)), record, info)


def _layer(path: Path, record: Mapping[str, Any]) -> str:
    """The layer of a map that a raster is, by its provenance, else by its name as `report` does."""
    beside = path.stem.rpartition("_")[2]
    return str(record.get("layer", beside if beside in _LAYERS else ""))


def _check_size(source: DatasetReader) -> None:
    """Check that a raster can be looked at as a whole.

    Raises:
        RasterError: It has more than `BARE` pixels and no overviews.
    """
    if source.height * source.width > BARE and not source.overviews(1):
        raise RasterError(
            f"A raster of more than {BARE:,} pixels needs overviews, got none in {source.name} of "
            f"{source.height:,} x {source.width:,}; make them (gdaladdo), or convert it "
            "(gdal_translate -of COG)."
        )


def _kind(source: DatasetReader, info: raster.RasterInfo, layer: str) -> RasterKind:
    if layer in _LAYERS and len(info.numbers) == 1:
        return "values"
    if raster.holds_classes(source):
        return "classes"
    if len(info.numbers) > 1:
        return "image"
    if np.dtype(info.dtype).kind == "f":
        return "values"
    return "classes" if _has_few_values(source) else "image"


def _has_few_values(source: DatasetReader) -> bool:
    """Whether one band of whole numbers has so few of them that they must be classes."""
    size = min(1.0, _LOOKED_AT / max(source.shape))
    shape = (max(1, round(source.height * size)), max(1, round(source.width * size)))
    whole = Window(0, 0, source.height, source.width)
    values, mask = raster.read_shrunk(source, whole, shape, classes=True)
    return 1 < len(np.unique(values[:, mask])) <= FEW


def _add_folder(found: Found, folder: Path) -> None:
    mosaics = sorted(folder.glob("*.vrt"))  # as classify writes them, of blocks beside them
    blocks = {mosaic.with_name(f"{mosaic.stem}_blocks") for mosaic in mosaics}
    paths = [*mosaics, *(p for p in job.listed(folder) if p.parent not in blocks)]
    found.shapes += [p for p in paths if p.suffix.lower() in SHAPES]
    found.areas += job.with_keys(paths, formats.Areas)
    sources = []
    for path in paths:
        if path.suffix.lower() in (*job.RASTERS, ".vrt"):
            try:
                sources.append(recognised(path))
            except LandshiftError as error:
                found.left_out.append(f"{path.name} isn't shown: {error}")
    stacked = {
        entry.get("fingerprint")
        for source in sources if source.stage == "composite"
        for entry in source.record.get("inputs", []) if isinstance(entry, dict)
    }  # fmt: skip
    shown = [
        s for s in sources
        if s.kind != "image" or not stacked or provenance.fingerprint(s.path) not in stacked
    ]  # fmt: skip
    found.rasters += sorted(shown, key=lambda s: s.stage != "classify")


def _add_json(found: Found, path: Path) -> None:
    """Areas of `estimate`, or GeoJSON."""
    if job.with_keys([path], formats.Areas):
        found.areas.append(path)
        return
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if b'"FeatureCollection"' not in head and b'"Feature"' not in head:
        raise ParameterError(
            "A JSON file must hold GeoJSON or the areas of landshift estimate, got neither in "
            f"{path}; name another."
        )
    found.shapes.append(path)
