"""What a training set is cut from and how: inputs and options, checked against each other."""

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
from landshift.raster.tiling import Size
from landshift.tileset import esri
from landshift.tileset.blocks import Kept
from landshift.tileset.chips import ChipFormat, check_fits, format_of, nodata_of
from landshift.tileset.coding import LabelCodes
from landshift.tileset.sampling import Turn
from landshift.tileset.tiles import SecondInput, Tile, TileSet

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inputs:
    """The files that a set is cut from, one of each kind for each image (or none)."""

    images: tuple[Path, ...]
    labels: tuple[Path, ...]
    seconds: tuple[Path, ...]
    before: tuple[Path, ...]
    after: tuple[Path, ...]
    polygons: Path | None

    @classmethod
    def of(
        cls,
        images: Sequence[Path],
        labels: Sequence[Path],
        seconds: Sequence[Path],
        before: Sequence[Path],
        after: Sequence[Path],
        polygons: Path | None,
    ) -> Inputs:
        """The inputs, once there are as many of each kind as of images, or none.

        Raises:
            ParameterError: Another number of them.
        """
        if not images or len(images) != len(labels):
            raise ParameterError(
                f"Each image needs its class raster, got {len(images)} images and {len(labels)} "
                "class rasters; give one for each."
            )
        for what, paths in (
            ("second input", seconds), ("class map before", before), ("class map after", after)
        ):  # fmt: skip
            if len(paths) not in (0, len(images)):
                raise ParameterError(
                    f"Each image needs its {what}, or none does, got {len(paths)} for "
                    f"{len(images)} images; give one for each."
                )
        if bool(before) != bool(after):
            raise ParameterError(
                f"Class maps must come in pairs, got {len(before)} before and {len(after)} after; "
                "give both or neither."
            )
        return cls(
            images=tuple(map(Path, images)),
            labels=tuple(map(Path, labels)),
            seconds=tuple(map(Path, seconds)),
            before=tuple(map(Path, before)),
            after=tuple(map(Path, after)),
            polygons=None if polygons is None else Path(polygons),
        )

    @property
    def all(self) -> list[Path]:
        """Every file, images first."""
        polygons = [] if self.polygons is None else [self.polygons]
        return [*self.images, *self.labels, *self.seconds, *self.before, *self.after, *polygons]


@dataclass(frozen=True)
class Options:
    """What was asked for, see `cut`."""

    tile_size: tuple[int, int]
    stride: tuple[int, int]
    start_index: int | None
    skip_unlabelled: bool
    minimum_labelled: float
    chip_format: ChipFormat
    rotation_angle: float
    compress: bool
    mask_layer: str | None = None

    def __post_init__(self) -> None:
        if self.start_index is not None and self.start_index < 0:
            raise ParameterError(f"start_index must be at least 0, got {self.start_index}.")
        if not 0 <= self.minimum_labelled <= 1:
            raise ParameterError(
                f"minimum_labelled must be a share from 0 to 1, got {self.minimum_labelled}."
            )
        if not 0 <= self.rotation_angle < 360:
            raise ParameterError(
                "rotation_angle must be at least 0 and below 360 degrees, got "
                f"{self.rotation_angle}."
            )

        if not self.compress and self.chip_format is not ChipFormat.tiff:
            raise ParameterError(
                f"Only TIFF tiles can go without compression, got {self.chip_format}; choose TIFF."
            )

    @property
    def sizes(self) -> tuple[Size, Size]:
        """Tile size and stride, each as rows and columns."""
        return self.tile_size, self.stride

    def named(self) -> dict[str, Any]:
        """As JSON holds it; one number where rows and columns are the same."""
        found = {**vars(self), "chip_format": self.chip_format.value}
        for key in ("tile_size", "stride"):
            rows, columns = found[key]
            found[key] = rows if rows == columns else [rows, columns]
        return found


@dataclass(frozen=True)
class Job:
    """What holds for every tile.

    Attributes:
        inputs: The files.
        options: What was asked for.
        labels: What the values of the labels become.
        maps: What those of the class maps become; None without them.
        infos: What the images are.
        second: What the second input is; None without one.
        nodata: Value of image pixels that aren't valid; None: 0, under a mask inside the file.
        turns: The angles that each window is cut at; None: as it lies.
        start: Number of the first tile.
        digits: Digits of a tile's name.
        block: Rows and columns of the blocks that overlapping tiles share; None: none.
        kept: Those that are compressed already.
    """

    inputs: Inputs
    options: Options
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
    def scheme(self) -> ClassScheme:
        """Classes of the labels."""
        return self.labels.scheme

    @property
    def map_scheme(self) -> ClassScheme | None:
        """Classes of the class maps; None without them."""
        return None if self.maps is None else self.maps.scheme

    def is_labelled(self, tile: Tile) -> bool:
        """Whether a tile holds a labelled pixel."""
        return any(tile.class_pixels.get(v) for v in self.scheme.values)

    def skips(self, codes: NDArray[np.int16]) -> bool:
        """Whether a tile with these class values, -1 where unlabelled, is left out."""
        labelled = np.count_nonzero(codes >= 0)
        if labelled == 0:
            return self.options.skip_unlabelled or self.options.minimum_labelled > 0
        return bool(labelled < self.options.minimum_labelled * codes.size)


def describe_job(
    inputs: Inputs,
    options: Options,
    scheme: ClassScheme | None,
    map_scheme: ClassScheme | None,
    recode: Recoding | None,
) -> dict[str, Any]:
    """What decides the tiles, for the ledger of an unfinished set."""
    files = [
        [p.name, provenance.fingerprint(file), file.stat().st_mtime_ns]
        if file.is_file()
        else [str(p)]
        for p, file in zip(inputs.all, map(containers.file_of, inputs.all), strict=True)
    ]
    return {
        **options.named(),
        "classes": None if scheme is None else scheme.as_list(),
        "map_classes": None if map_scheme is None else map_scheme.as_list(),
        "recode": None if recode is None else [list(entry) for entry in recode.items()],
        "inputs": files,
        "software": provenance.record("tileset", (), {})["software"],
    }


def format_named(name: str) -> ChipFormat:
    """The format of a name, in any case.

    Raises:
        ParameterError: There is none of that name.
    """
    try:
        return ChipFormat(name.upper())
    except ValueError as error:
        names = ", ".join(ChipFormat)
        raise ParameterError(f"chip_format must be one of {names}, got {name!r}.") from error


def turns_of(options: Options) -> list[Turn | None]:
    """How each window is cut: as it lies (None), and turned by each multiple of the angle."""
    turns: list[Turn | None] = [None]
    if options.rotation_angle:
        count = int(np.ceil(360 / options.rotation_angle - 1e-9))
        turns += [Turn.of(k * options.rotation_angle, *options.tile_size) for k in range(1, count)]
    return turns


def check_rasters(inputs: Inputs, chips: ChipFormat) -> list[RasterInfo]:
    """What the images are, once they fit each other, the format and their labels."""
    infos = _infos_alike(inputs.images, "Images")
    check_fits(chips, infos[0])
    for info in infos:
        if info.grid.affine.is_identity:
            logger.warning(
                "%s has no georeference; its tiles won't know their ground, and a split by "
                "ground can't tell which of them overlap.", info.path
            )  # fmt: skip
        if inputs.polygons is not None and info.grid.crs is None:
            raise GridError(
                f"A mask polygon needs images with a CRS, got none in {info.path}; assign one "
                "(gdal_edit -a_srs)."
            )
    groups = (
        ("An image and its labels", inputs.labels, True),
        ("An image and its second input", inputs.seconds, False),
        ("An image and its class map", inputs.before, True),
        ("An image and its class map", inputs.after, True),
    )
    for what, paths, classes in groups:
        for info, path in zip(infos, paths, strict=False):
            found = raster.info(path)
            names = (f"in {info.path}", f"in {path}")
            grid.check_same(info.grid, found.grid, what=what, names=names)
            if classes and len(found.names) != 1:
                raise BandError(
                    f"Labels must have one band, got {len(found.names)} in {path}; extract the "
                    "band of class values (gdal_translate -b)."
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
    """What the second inputs are, once they fit each other and the format; None without any.

    Raises:
        BandError: They don't.
    """
    if not inputs.seconds:
        return None
    first = _infos_alike(inputs.seconds, "Second inputs")[0]
    check_fits(chips, first)
    return SecondInput(first.names, first.dtype, nodata_of(chips, usable_nodata(first)))


def warn_of_others(scheme: ClassScheme, image: RasterInfo, second: SecondInput | None) -> None:
    """Warn of what a set holds that arcgis.learn takes otherwise, or not at all."""
    if scheme.background is not None:
        logger.warning(
            "The class %s has the value 0, which arcgis.learn takes for 'NoData' and drops; give "
            "it another value (--recode CSV) for a set that is to be trained there.",
            scheme.names[scheme.background],
        )
    if second is not None and len(second.bands) != len(image.bands):
        logger.warning(
            "The second input has %d bands and the image %d, where arcgis.learn takes sets of two "
            "inputs with as many bands in both; give both the same for a set that is to be "
            "trained there.", len(second.bands), len(image.bands),
        )  # fmt: skip


def _kind(info: RasterInfo) -> tuple[Any, ...]:
    return info.names, info.dtype, repr(info.nodata)  # repr: NaN differs from itself


def _describe(info: RasterInfo) -> str:
    names = ", ".join(info.names) if any(info.names) else "unnamed"
    return f"{len(info.names)} bands ({names}) of {info.dtype} with nodata {info.nodata}"


def start_of(options: Options, base: TileSet | None) -> int:
    """Number of the first tile."""
    if base is None:
        return options.start_index or 0
    numbers = [int(t.name) for t in base.tiles if t.name.isdigit()]
    least = max(numbers, default=-1) + 1
    following = max(least, esri.read_next_index(base.folder) or 0)
    if options.start_index is None:
        return following
    if options.start_index < least:
        raise ParameterError(
            f"start_index must be at least {least}, the number after the last tile in "
            f"{base.folder}, got {options.start_index}; leave it out to go on from there."
        )
    return options.start_index


def check_alike(job: Job, base: TileSet) -> None:
    """Check that new tiles are like those of the set they are appended to."""
    info, options = job.infos[0], job.options
    second = job.second and (len(job.second.bands), job.second.dtype, repr(job.second.nodata))
    theirs = base.second and (len(base.second.bands), base.second.dtype, repr(base.second.nodata))
    first = base.tiles[0]
    pairs = {
        "tile size": (options.tile_size, (base.height, base.width)),
        "number of bands": (len(info.names), len(base.bands)),
        "pixel type": (info.dtype, base.dtype),
        "nodata value": (_float(job.nodata), _float(base.nodata)),
        "format": (options.chip_format, format_of(first.image)),
        "second input": (second, theirs),
        "class maps": (bool(job.inputs.before), first.before is not None),
    }
    if all(info.names) and all(base.bands):
        pairs["bands"] = (info.names, base.bands)
    if first.before is not None:
        pairs["classes of the class maps"] = (job.map_scheme, base.map_scheme)
    for what, (ours, found) in pairs.items():
        if ours != found:
            raise TileSetError(
                f"Tiles appended to a set must have its {what}, got {ours} and not {found} as in "
                f"{base.folder}; cut with its options, or into another folder."
            )


def _float(nodata: float | None) -> str:
    return repr(None if nodata is None else float(nodata))  # NaN differs from itself


def usable_nodata(info: RasterInfo) -> float | None:
    """The nodata value, if the pixel type can hold it."""
    dtype = np.dtype(info.dtype)
    if info.nodata is None or np.issubdtype(dtype, np.floating):
        return info.nodata
    limits = np.iinfo(dtype)
    fits = limits.min <= info.nodata <= limits.max and float(info.nodata).is_integer()
    return info.nodata if fits else None


def who_else(options: Options, inputs: Inputs) -> str:
    """Which options may have left every window out."""
    told = []
    if options.minimum_labelled:
        told.append(f"that {options.minimum_labelled:g} of a tile can be labelled")
    if inputs.polygons is not None:
        told.append(f"that a whole tile fits in the polygons of {inputs.polygons}")
    return "".join(f", {text}" for text in told)
