"""The inputs and options of a training set, checked against each other."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift import grid, raster
from landshift.classes import ClassScheme
from landshift.errors import BandError, GridError, ParameterError, TileSetError
from landshift.files import containers, provenance
from landshift.raster import RasterInfo
from landshift.raster.recoding import Recoding
from landshift.tileset import esri
from landshift.tileset.blocks import Kept
from landshift.tileset.chips import ChipFormat, check_fits, format_of, nodata_of
from landshift.tileset.coding import LabelCodes
from landshift.tileset.options import Companions, Cutting, Encoding
from landshift.tileset.sampling import Turn
from landshift.tileset.tiles import SecondInput, Tile, TileSet

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inputs:
    """The files that a set is cut from: of each kind one for each image, or none."""

    images: tuple[Path, ...]
    labels: tuple[Path, ...]
    seconds: tuple[Path, ...]
    before: tuple[Path, ...]
    after: tuple[Path, ...]
    weights: tuple[Path, ...]
    polygons: Path | None

    @classmethod
    def of(
        cls,
        images: Sequence[Path],
        labels: Sequence[Path],
        companions: Companions,
        polygons: Path | None,
    ) -> Inputs:
        """The inputs, checked: each kind has one file for each image, or none.

        Raises:
            ParameterError: Another number of files.
        """
        before, after = companions.labels_before, companions.labels_after
        if not images or len(images) != len(labels):
            raise ParameterError(
                f"Each image needs its class raster, got {len(images)} images and {len(labels)} "
                "class rasters; give one for each."
            )
        for kind, name in (
            ("second input", "images2"),
            ("class map before", "labels_before"),
            ("class map after", "labels_after"),
            ("weights", "weights"),
        ):
            count = len(getattr(companions, name))
            if count not in (0, len(images)):
                raise ParameterError(
                    f"Each image needs its {kind} (`{name}`), or none does, got {count} for "
                    f"{len(images)} images; give one for each."
                )
        if bool(before) != bool(after):
            raise ParameterError(
                f"Class maps must come in pairs, got {len(before)} before (`labels_before`) and "
                f"{len(after)} after (`labels_after`); give both or neither."
            )
        return cls(
            images=tuple(map(Path, images)),
            labels=tuple(map(Path, labels)),
            seconds=tuple(map(Path, companions.images2)),
            before=tuple(map(Path, before)),
            after=tuple(map(Path, after)),
            weights=tuple(map(Path, companions.weights)),
            polygons=None if polygons is None else Path(polygons),
        )

    @property
    def all(self) -> list[Path]:
        """Every file, images first."""
        polygons = [] if self.polygons is None else [self.polygons]
        maps = (*self.before, *self.after, *self.weights)
        return [*self.images, *self.labels, *self.seconds, *maps, *polygons]


@dataclass(frozen=True)
class CuttingJob:
    """The part of a run that is the same for every tile.

    Attributes:
        inputs: The files.
        cutting: Which tiles are cut.
        encoding: How they are stored.
        labels: Codes of the label values.
        maps: Codes of the class maps' values; None without class maps.
        infos: Properties of each image.
        second: Properties of the second input; None without one.
        nodata: Value of invalid image pixels; None: 0, under a mask inside the file.
        turns: Rotations of each window; None: not rotated.
        start: Number of the first tile.
        digits: Digits of a tile's name.
        block: Rows and columns of the blocks that overlapping tiles share; None: none.
        kept: Shared blocks that are already compressed.
    """

    inputs: Inputs
    cutting: Cutting
    encoding: Encoding
    labels: LabelCodes
    maps: LabelCodes | None
    infos: Sequence[RasterInfo]
    second: SecondInput | None
    nodata: float | None
    turns: Sequence[Turn | None]
    start: int
    digits: int
    block: tuple[int, int] | None
    kept: Kept

    @property
    def chips(self) -> ChipFormat:
        """Format of the tiles."""
        return self.encoding.chips

    @property
    def tile_size(self) -> tuple[int, int]:
        """Rows and columns of a tile."""
        return self.cutting.sizes[0]

    @property
    def scheme(self) -> ClassScheme:
        """Classes of the labels."""
        return self.labels.scheme

    @property
    def map_scheme(self) -> ClassScheme | None:
        """Classes of the class maps; None without them."""
        return None if self.maps is None else self.maps.scheme

    def is_labelled(self, tile: Tile) -> bool:
        """Whether a tile has a labelled pixel."""
        return any(tile.class_pixels.get(v) for v in self.scheme.values)

    def skips(self, codes: NDArray[np.int16]) -> bool:
        """Whether a tile with these class values, -1 where unlabelled, is skipped."""
        labelled = np.count_nonzero(codes >= 0)
        if labelled == 0:
            return not self.cutting.unlabelled or self.cutting.minimum_labelled > 0
        return bool(labelled < self.cutting.minimum_labelled * codes.size)


def describe_job(
    inputs: Inputs,
    cutting: Cutting,
    encoding: Encoding,
    schemes: Sequence[ClassScheme | None],
    recode: Recoding | None,
) -> dict[str, Any]:
    """Everything that decides the tiles, for the ledger of an unfinished set.

    Args:
        inputs: The files.
        cutting: Which tiles are cut.
        encoding: How they are stored.
        schemes: Classes of the labels and of the class maps; None: as the files state them.
        recode: Recoding of the labels.
    """
    files = [
        [p.name, provenance.fingerprint(file), file.stat().st_mtime_ns]
        if file.is_file()
        else [str(p)]
        for p, file in zip(inputs.all, map(containers.file_of, inputs.all), strict=True)
    ]
    return {
        **cutting.as_json(),
        **encoding.as_json(),
        "classes": [None if s is None else s.as_list() for s in schemes],
        "recode": None if recode is None else [list(entry) for entry in recode.items()],
        "inputs": files,
        "software": provenance.record("tileset", (), {})["software"],
    }


def turns_of(cutting: Cutting) -> list[Turn | None]:
    """Rotations of each window: none (None), and each multiple of the angle."""
    turns: list[Turn | None] = [None]
    angle = cutting.rotation_angle
    if angle:
        count = int(np.ceil(360 / angle - 1e-9))
        turns += [Turn.of(k * angle, *cutting.sizes[0]) for k in range(1, count)]
    return turns


def check_rasters(inputs: Inputs, chips: ChipFormat) -> list[RasterInfo]:
    """Properties of the images, after a check that they fit each other, the format and the labels.

    Raises:
        BandError: Images that differ, or that the format can't hold; labels of several bands.
        GridError: An image and its labels on different grids; class maps that don't hold the
            image's grid; mask polygons without a CRS.
    """
    infos = _infos_alike(inputs.images, "Images")
    check_fits(chips, infos[0])
    for info in infos:
        if info.grid.affine.is_identity:
            logger.warning(
                "%s has no georeference; its tiles have no bounds, and a split by ground can't "
                "detect which of them overlap.", info.path
            )  # fmt: skip
        if inputs.polygons is not None and info.grid.crs is None:
            raise GridError(
                f"A mask polygon needs images with a CRS, got none in {info.path}; assign one "
                "(gdal_edit -a_srs)."
            )
    groups = (
        ("An image and its labels", inputs.labels, True, False),
        ("An image and its second input", inputs.seconds, False, False),
        ("An image and its class map", inputs.before, True, True),
        ("An image and its class map", inputs.after, True, True),
        ("An image and the weights of its labels", inputs.weights, True, True),
    )
    for what, paths, classes, larger in groups:  # larger: the image may be a part of it
        for info, path in zip(infos, paths, strict=False):
            other = raster.info(path)
            names = (f"in {info.path}", f"in {path}")
            if not larger or grid.place_inside(info.grid, other.grid) is None:
                grid.check_same(info.grid, other.grid, what=what, names=names)
            if classes and len(other.names) != 1:
                kind = "Weights" if paths is inputs.weights else "Labels"
                raise BandError(
                    f"{kind} must have one band, got {len(other.names)} in {path}; extract it "
                    "(gdal_translate -b)."
                )
    return infos


def _infos_alike(paths: Sequence[Path], what: str) -> list[RasterInfo]:
    infos = [raster.info(p) for p in paths]
    for info in infos:
        if _kind(info) != _kind(infos[0]):
            raise BandError(
                f"{what} of one set must share bands, pixel type and nodata value, got "
                f"{_describe(infos[0])} in {infos[0].path} and {_describe(info)} in {info.path}; "
                "make the composites alike first."
            )
    return infos


def second_of(inputs: Inputs, chips: ChipFormat) -> SecondInput | None:
    """Properties of the second inputs; None without any.

    Raises:
        BandError: They differ from each other, or the format can't hold them.
    """
    if not inputs.seconds:
        return None
    first = _infos_alike(inputs.seconds, "Second inputs")[0]
    check_fits(chips, first)
    return SecondInput(first.names, first.dtype, nodata_of(chips, usable_nodata(first)))


def warn_of_others(scheme: ClassScheme, image: RasterInfo, second: SecondInput | None) -> None:
    """Warn of contents that arcgis.learn reads differently, or not at all."""
    if scheme.background is not None:
        logger.warning(
            "The class %s has the value 0, which arcgis.learn reads as 'NoData' and drops; to "
            "train there, give it another value (`recode`).",
            scheme.names[scheme.background],
        )
    if second is not None and len(second.bands) != len(image.bands):
        logger.warning(
            "The second input has %d bands and the image %d; arcgis.learn needs the same number "
            "in both. To train there, give both the same bands.",
            len(second.bands), len(image.bands),
        )  # fmt: skip


def _kind(info: RasterInfo) -> tuple[Any, ...]:
    return info.names, info.dtype, repr(info.nodata)  # repr: NaN differs from itself


def _describe(info: RasterInfo) -> str:
    names = ", ".join(info.names) if any(info.names) else "unnamed"
    return f"{len(info.names)} bands ({names}) of {info.dtype} with nodata {info.nodata}"


def start_of(start_index: int | None, base: TileSet | None) -> int:
    """Number of the first tile.

    Args:
        start_index: The number that the user gave, if any.
        base: The set that tiles are appended to, if any.

    Raises:
        ParameterError: A number that the set already uses.
    """
    if base is None:
        return start_index or 0
    numbers = [int(t.name) for t in base.tiles if t.name.isdecimal()]
    least = max(numbers, default=-1) + 1
    following = max(least, esri.read_next_index(base.folder) or 0)
    if start_index is None:
        return following
    if start_index < least:
        raise ParameterError(
            f"`start_index` must be at least {least}, the number after the last tile in "
            f"{base.folder}, got {start_index}; leave it out to continue from there."
        )
    return start_index


def check_alike(job: CuttingJob, base: TileSet) -> None:
    """Check that new tiles match those of the set they are appended to.

    Raises:
        TileSetError: They differ.
    """
    info = job.infos[0]
    second = job.second and (len(job.second.bands), job.second.dtype, repr(job.second.nodata))
    theirs = base.second and (len(base.second.bands), base.second.dtype, repr(base.second.nodata))
    first = base.tiles[0]
    pairs = {
        "tile size": (job.tile_size, (base.height, base.width)),
        "number of bands": (len(info.names), len(base.bands)),
        "pixel type": (info.dtype, base.dtype),
        "nodata value": (_float(job.nodata), _float(base.nodata)),
        "format": (job.chips, format_of(first.image)),
        "second input": (second, theirs),
        "class maps": (bool(job.inputs.before), first.before is not None),
        "weights": (bool(job.inputs.weights), first.weights is not None),
    }
    if all(info.names) and all(base.bands):
        pairs["bands"] = (info.names, base.bands)
    if first.before is not None:
        pairs["classes of the class maps"] = (job.map_scheme, base.map_scheme)
    for what, (ours, of_base) in pairs.items():
        if ours != of_base:
            raise TileSetError(
                f"Tiles appended to a set must have its {what}, got {ours} and not {of_base} as in "
                f"{base.folder}; cut with its options, or into another folder."
            )


def _float(nodata: float | None) -> str:
    return repr(None if nodata is None else float(nodata))  # NaN differs from itself


def usable_nodata(info: RasterInfo) -> float | None:
    """The nodata value, or None if the pixel type can't hold it."""
    dtype = np.dtype(info.dtype)
    if info.nodata is None or np.issubdtype(dtype, np.floating):
        return info.nodata
    limits = np.iinfo(dtype)
    fits = limits.min <= info.nodata <= limits.max and float(info.nodata).is_integer()
    return info.nodata if fits else None


def more_causes(cutting: Cutting) -> str:
    """Options that may have excluded every window, as the end of a sentence."""
    causes = []
    if cutting.minimum_labelled:
        causes.append(f"that {cutting.minimum_labelled:g} of a tile can be labelled")
    if cutting.mask_polygons is not None:
        causes.append(f"that a whole tile fits in the polygons of {cutting.mask_polygons}")
    return "".join(f", {cause}" for cause in causes)
