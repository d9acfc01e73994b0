"""Rasters as files: what they are, windows of them with a mask, and new ones written whole."""

from __future__ import annotations

import glob
import logging
import shlex
import uuid
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift import access, cog, containers, dates, grid, ledger, legend, overviews, validity
from landshift.classes import UNLABELLED, ClassScheme, Colour, MapScheme, check_names, says_none
from landshift.errors import (
    BandError,
    ClassError,
    DateError,
    GridError,
    LandshiftError,
    OutputError,
    ParameterError,
    RasterError,
    of_gdal,
    reason_of,
    refuse_out_of_memory,
)
from landshift.grid import Window

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox
    from rasterio.io import DatasetReader, DatasetWriter

log = logging.getLogger(__name__)

GDAL_CACHE = 256 << 20
"""Bytes for GDAL's blocks, so that a row of them is read once and not for each window."""

_NAMELESS = ("GTiff", "COG", "PNG", "JPEG", "MEM")
"""Formats that hold no names of values themselves: GDAL keeps them in .aux.xml."""

_MOST_LISTED = 40  # rasters of a file that an error names
_HDF4 = b"\x0e\x03\x13\x01"  # how files in HDF4 begin


@dataclass(frozen=True)
class RasterInfo:
    """What a raster is, without its pixels.

    Attributes:
        path: Where it lies.
        grid: Size, affine transform and CRS.
        dtype: Pixel type of its bands, as numpy names it.
        nodata: Value that means 'no data' in every band that isn't alpha, or None.
        bands: Name of each band; '' where the file has none.
        block: Rows and columns of the blocks it is stored in.
        masked: Whether something else says too which pixels are valid: a mask, an alpha band, or
            nodata values that differ between bands.
        taken: When it was taken, or what time it maps, as tags or the file's name state.
        alpha: Number of the alpha band, or None.
        scaling: Scale and offset of each band: what a value means is value * scale + offset.
    """

    path: Path
    grid: GeoBox
    dtype: str
    nodata: float | None
    bands: tuple[str, ...]
    block: tuple[int, int]
    masked: bool
    taken: dates.Period | None
    alpha: int | None = None
    scaling: tuple[tuple[float, float], ...] = ()

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.grid.height)

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.grid.width)

    @property
    def numbers(self) -> tuple[int, ...]:
        """Numbers of the bands that aren't alpha, from 1."""
        return tuple(k for k in range(1, len(self.bands) + 1) if k != self.alpha)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the bands that aren't alpha; '' where the file has none."""
        return tuple(self.bands[k - 1] for k in self.numbers)


@contextmanager
def open_raster(
    path: Path | str,
    *,
    cache: int = GDAL_CACHE,
    threads: int | None = None,
    untrusted: bool = False,
) -> Iterator[DatasetReader]:
    """Open a raster to read; what GDAL says when it can't becomes one clear line.

    Args:
        path: A path, or a name that GDAL knows how to open; no URL where LANDSHIFT_OFFLINE is
            set.
        cache: Bytes for GDAL's blocks, of all open rasters together.
        threads: Threads that decode the blocks of a window; None: as GDAL's environment says.
        untrusted: Whether the file may come from anyone: it must then be of `access.FORMATS`, as
            those beside it that GDAL opens with it, and name no other file.

    Raises:
        RasterError: The file is missing, no raster, damaged, of complex numbers, or not to be
            opened.
    """
    import rasterio

    name = _checked_name(path)
    settings = {"GDAL_CACHEMAX": cache, "GDAL_NUM_THREADS": threads, **access.settings()}
    if untrusted:
        settings["GDAL_DISABLE_READDIR_ON_OPEN"] = "TRUE"  # side files in their exact names alone
    told = {name: value for name, value in settings.items() if value is not None}
    with reading(path), rasterio.Env(**told):
        for beside in access.side_files(Path(path)) if untrusted else ():
            with open_raster(beside, untrusted=True):
                pass  # of such a format too
        with _without_place():
            source = _open_own_formats(Path(path)) if untrusted else _open(name)
        with source:
            _check_real(source)
            if untrusted:
                access.check_contained(source)
            yield source


@contextmanager
def _without_place() -> Iterator[None]:
    """Open a raster that may have no place on the ground: those who need one, check."""
    from rasterio.errors import NotGeoreferencedWarning

    with validity.OPENING, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def _checked_name(path: Path | str) -> str:
    """A raster's name as GDAL opens it.

    Raises:
        RasterError: Its file isn't there, lies elsewhere while offline, or has a name that isn't
            UTF-8; a VRT names files that aren't there.
    """
    strange = containers.not_utf8(path)
    if strange is not None:
        raise RasterError(f"A raster's name must be UTF-8, got {strange}; rename the file.")
    access.check_local(path)
    file = containers.file_of(path)
    remote = file == Path(path) and ("://" in str(path) or str(path).startswith("/vsi"))
    if not remote:
        if not file.exists():
            raise RasterError(f"The raster must exist, got {path}; check the path.")
        access.check_sources(file)
    return containers.gdal_name(path)


def _open(name: str) -> DatasetReader:
    """Open a raster of any format.

    Raises:
        RasterError: The file holds several rasters, none, not the one named, or is HDF4.
        RasterioIOError: GDAL can't open it for another reason.
    """
    import rasterio
    from rasterio.errors import RasterioIOError

    part = containers.part_of(name)
    try:
        source = rasterio.open(name)
    except RasterioIOError as error:
        file = containers.file_of(name)
        if _is_hdf4(file):
            raise RasterError(
                f"The raster must be of a format that GDAL reads here, got HDF4 in {file}; convert "
                "it first (gdal_translate of a GDAL with HDF4, as conda and Debian have it, or "
                "h4toh5)."
            ) from error
        if part is None or not file.is_file():
            raise
        with rasterio.open(file) as whole:
            names = whole.subdatasets
        raise RasterError(
            f"A raster inside a file must be one of those that it holds, got {part.inner} for "
            f"{file}; give one of {_listed(names) or 'none: it has but one'}."
        ) from error
    if source.count:
        return source
    with source:
        names = source.subdatasets
    if not names:
        raise RasterError(f"The raster must have a band, got none in {name}.")
    raise RasterError(
        f"One raster must be chosen where a file holds several, got {len(names)} in {name}; give "
        f"one of {_listed(names)}."
    )


def _check_real(source: DatasetReader) -> None:
    strange = next((t for t in source.dtypes if t.startswith("complex")), None)
    if strange is not None:
        raise RasterError(
            f"Pixels must be real numbers, got {strange} in {source.name}; take their amplitude "
            "first (gdal_translate of DERIVED_SUBDATASET:AMPLITUDE:FILE)."
        )


def _listed(names: Sequence[str]) -> str:
    """Names of rasters inside a file, as they are typed in a shell."""
    shown = [shlex.quote(name) for name in names[:_MOST_LISTED]]
    return ", ".join(shown) + (", ..." if len(names) > _MOST_LISTED else "")


def _is_hdf4(file: Path) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        return opened.read(len(_HDF4)) == _HDF4


def _open_own_formats(path: Path) -> DatasetReader:
    """Open a file as one of `access.FORMATS`; never as another, whatever it holds."""
    from rasterio.errors import RasterioIOError
    from rasterio.io import DatasetReader

    try:
        return DatasetReader(str(path), driver=list(access.FORMATS))
    except RasterioIOError as error:
        raise RasterError(
            f"A raster of a tile set must be a whole TIFF, PNG or JPEG, got {path} "
            f"({reason_of(error)}); export it again, or convert it (gdal_translate -of GTiff)."
        ) from error


@contextmanager
def reading(path: Path | str) -> Iterator[None]:
    """What GDAL says when it can't read a raster, as one clear line.

    Raises:
        RasterError: The block ended in an error of GDAL's, or band names aren't UTF-8.
        OutOfMemoryError: It ended so for want of memory.
    """
    try:
        yield
    except LandshiftError:
        raise
    except of_gdal() as error:
        refuse_out_of_memory(error, f" while reading {path}")
        reason = reason_of(error.__cause__ or error)
        raise RasterError(
            f"The raster must be readable, got {path} ({reason}); "
            "check that it is a whole raster file (gdalinfo -checksum shows where it breaks)."
        ) from error
    except UnicodeDecodeError as error:
        raise RasterError(
            f"A raster's band names must be UTF-8, got {error.object[:40]!r} in {path}; write them "
            "again (rasterio's set_band_description)."
        ) from error


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """What GDAL says when it can't write a raster, as one clear line.

    Raises:
        OutputError: The block ended in an error of GDAL's.
        OutOfMemoryError: It ended so for want of memory.
    """
    try:
        yield
    except of_gdal() as error:
        refuse_out_of_memory(error, f" while writing to {path}")
        reason = reason_of(error.__cause__ or error)
        raise OutputError(
            f"The output must be writable, got '{reason}' at {path}; "
            "make room or choose another folder."
        ) from error


def info(path: Path | str) -> RasterInfo:
    """What a raster is, without its pixels.

    Raises:
        RasterError: See `open_raster`; also bands of different pixel types.
    """
    with open_raster(path) as source:
        return info_of(source)


def files_of(path: Path | str) -> set[Path]:
    """The files of this machine that a raster is read from: its own, and those that a VRT names.

    Raises:
        RasterError: See `open_raster`.
    """
    found: set[Path] = set()
    waiting = [containers.file_of(path)]
    while waiting:
        file = waiting.pop()
        if file in found or not file.is_file():
            continue
        found.add(file)
        if file.suffix.lower() == ".vrt":
            with open_raster(file) as source:
                waiting += map(containers.file_of, source.files)
    return found


def info_of(source: DatasetReader) -> RasterInfo:
    """What an open raster is."""
    if len(set(source.dtypes)) != 1:
        raise RasterError(
            f"Bands must share a pixel type, got {source.dtypes} in {source.name}; "
            "convert it first (gdal_translate -ot)."
        )
    path = Path(source.name)
    says = validity.of(source)
    same = len({repr(n) for n in says.nodata}) == 1
    tags = source.tags()
    return RasterInfo(
        path=path,
        grid=grid_of(source),
        dtype=str(source.dtypes[0]),
        nodata=source.nodatavals[says.bands[0] - 1] if same else None,
        bands=_band_names(source, tags),
        block=source.block_shapes[0],
        masked=bool(says.masks) or says.alpha is not None or not same,
        taken=dates.of_tags(tags) or dates.of_name(containers.file_of(path).stem),
        alpha=says.alpha,
        scaling=tuple(
            (float(s), float(o)) for s, o in zip(source.scales, source.offsets, strict=True)
        ),
    )


def grid_of(source: DatasetReader) -> GeoBox:
    """The grid of an open raster.

    Raises:
        GridError: See `grid.geobox`.
    """
    try:
        return grid.geobox(source.height, source.width, source.transform, source.crs)
    except GridError as error:
        raise GridError(f"{source.name}: {error}") from error


def _band_names(source: DatasetReader, tags: Mapping[str, str]) -> tuple[str, ...]:
    """Name of each band: its description, else where it lies along a NetCDF file's time."""
    names = []
    for number, description in enumerate(source.descriptions, start=1):
        step = None if description else source.tags(number).get("NETCDF_DIM_time")
        told = step and dates.of_step(step, tags.get("time#units"), tags.get("time#calendar"))
        names.append(description or told or "")
    return tuple(names)


def read(
    source: DatasetReader,
    window: Window,
    bands: Sequence[int] | None = None,
    *,
    nodata: float | None = None,
    also: float | None = None,
    alpha: bool = True,
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Read a window, which may reach over the raster's edge.

    Args:
        source: An open raster.
        window: Pixels to read; those outside the raster come as 0 and not valid.
        bands: Numbers of the bands, from 1; None for all but an alpha band.
        nodata: Value that means 'no data' in place of what the file says; None: as it says.
        also: A value that means 'no data' beside those.
        alpha: Whether an alpha band that isn't read counts.

    Returns:
        The values, ``(band, row, column)`` in the file's pixel type, and a mask
        ``(row, column)``, True where every band read is valid (see `validity`).
    """
    says = validity.of(source, bands, nodata=nodata, also=also, alpha=alpha)
    inside = window.clipped(source.height, source.width)
    new = np.empty if inside == window else np.zeros
    values = new((len(says.bands), window.height, window.width), source.dtypes[0])
    mask = np.zeros((window.height, window.width), np.bool_)
    rows, columns = inside.shifted(-window.row, -window.column).slices
    at = _rasterio_window(inside)
    with reading(source.name):
        source.read(list(says.bands), window=at, out=values[:, rows, columns])
        mask[rows, columns] = says.mask(source, values[:, rows, columns], window=at)
    return values, mask


@dataclass(frozen=True)
class ClassValues:
    """Which values of a class raster are classes; see `class_values`.

    Attributes:
        names: Name of each class that has one.
        zero: Whether 0 is a class.
        nodata: A value without a class, beside what the file says; None for none.
        unstated: Values whose meaning neither the file nor the caller states.
        listed: Whether the caller listed all classes.
        path: The raster.
        fill: Values other than 0 whose name says that they are no class ('Fill').
    """

    names: Mapping[int, str]
    zero: bool
    nodata: float | None = None
    unstated: tuple[int, ...] = ()
    listed: bool = False
    path: str = ""
    fill: frozenset[int] = frozenset()

    def name(self, value: int) -> str:
        """The name of a class that occurs.

        Raises:
            ClassError: All classes were listed, and it isn't among them.
        """
        name = self.names.get(value)
        if name is None and self.listed:
            raise ClassError(
                "The classes given must name every value of the map, got no name for "
                f"{value} in {self.path}; add it, or give --nodata {value} if it is no class."
            )
        return name or f"class {value}"

    def named(self, values: Iterable[int]) -> dict[int, str]:
        """Names of the classes that occur, by value, ascending.

        Raises:
            ClassError: See `name`; or two of them share a name.
        """
        names = {value: self.name(value) for value in sorted(values)}
        check_names(names, self.path)
        return names

    def classed(self, values: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Where valid pixels have a class.

        Args:
            values: ``(row, column)``.
            mask: ``(row, column)``, True where the file says that the pixel is valid.
        """
        if not self.zero:
            mask = mask & (values != UNLABELLED)
        if self.nodata is not None:
            mask = mask & (values != self.nodata)
        for value in self.fill:
            mask = mask & (values != value)
        return mask


def class_values(
    source: DatasetReader,
    *,
    names: Mapping[int, str] | None = None,
    nodata: float | None = None,
    labels: bool = False,
) -> ClassValues:
    """Which values of an open class raster are classes.

    Every value is one, 0 and negative values too, except where the file's nodata value or mask, or
    ``nodata``, says that there is none, or the value's name does ('No data', 'Fill'): the one in
    ``names``, or where these leave the value out, the one that the file tells. 0 is none
    either where the file declares no nodata and the list of classes leaves it out: the list given,
    or that of our own tag. In label rasters without nodata, 0 is unlabelled unless such a list
    names it.

    Args:
        source: The open raster.
        names: Names of all classes; None: as the file and those beside it tell, perhaps not all.
        nodata: A value without a class, beside what the file says.
        labels: Whether the raster holds labels to learn from, which needn't cover the ground.

    Raises:
        ClassError: The tag or a file beside it is damaged.
    """
    listed = names is not None or legend.TAG in source.tags()
    known = dict(_told(source, source.name).names if names is None else names)
    if names is not None:
        with suppress(ClassError):  # a list that is given also stands for one that is damaged
            filed = _told(source, source.name).names
            known |= {v: n for v, n in filed.items() if v not in known and says_none(n)}
    declared = _declares_nodata(source)
    unstated: list[int] = []
    if nodata == UNLABELLED or says_none(known.get(UNLABELLED, "")):
        zero = False
    elif (UNLABELLED in known and (listed or not labels)) or declared:
        zero = True
    else:
        zero = not listed and not labels
        unstated.append(UNLABELLED)
    kind = np.dtype(source.dtypes[0])
    if not declared and not labels and kind.kind == "i" and kind.itemsize > 1:
        least = int(np.iinfo(kind).min)  # what many programs write for 'no data'
        if least not in known and least != nodata:
            unstated.append(least)
    fill = frozenset(v for v, name in known.items() if v != UNLABELLED and says_none(name))
    none = {source.nodata, nodata, *fill} | (set() if zero else {UNLABELLED})
    kept = {value: name for value, name in known.items() if value not in none}
    return ClassValues(kept, zero, nodata, tuple(unstated), names is not None, source.name, fill)


def _declares_nodata(source: DatasetReader) -> bool:
    """Whether a class raster has a mask, or a nodata value that its pixels can have."""
    from rasterio.enums import MaskFlags

    flags = source.mask_flag_enums[0]
    kind = np.dtype(source.dtypes[0])
    if source.nodata is None or kind.kind not in "iu":
        return MaskFlags.all_valid not in flags
    limits = np.iinfo(kind)
    return MaskFlags.per_dataset in flags or limits.min <= source.nodata <= limits.max


def tell_unstated(known: ClassValues) -> None:
    """Say in one line how many pixels have a value whose meaning nothing states, and its reading.

    The raster is read for it, but only where it declares no nodata.

    Args:
        known: Which values of the raster are classes.

    Raises:
        RasterError: It can't be read.
    """
    if not known.unstated:
        return
    counts = dict.fromkeys(known.unstated, 0)
    with open_raster(known.path) as source:
        for window in blocks(source.height, source.width):
            values, mask = read(source, window)
            for value in counts:
                counts[value] += int(np.count_nonzero((values[0] == value) & mask))
    for value, pixels in counts.items():
        if not pixels:
            continue
        if value == UNLABELLED and not known.zero:
            log.warning(
                "%s: %s pixels of 0 count as without a class, since the file declares no nodata "
                "value and the classes leave 0 out; name 0 among them if it is a class.",
                known.path, f"{pixels:,}",
            )  # fmt: skip
        else:
            log.warning(
                "%s: %s pixels of %d count as a class, since the file declares no nodata value; "
                "give --nodata %d if they have no class.",
                known.path, f"{pixels:,}", value, value,
            )  # fmt: skip


def read_classes(
    source: DatasetReader, window: Window, known: ClassValues
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Read a window of a class raster.

    Args:
        source: An open raster.
        window: Pixels to read, as for `read`.
        known: Which of its values are classes.

    Returns:
        The values, ``(row, column)``, and a mask, True where there is a class.

    Raises:
        ClassError: More than one band, or values that aren't whole numbers.
    """
    check_class_raster(source)
    values, mask = read(source, window)
    return values[0], known.classed(values[0], mask)


def check_one_band(source: DatasetReader) -> None:
    """Check that an open class raster has one band, beside which there may be alpha.

    Raises:
        ClassError: It has more.
    """
    bands = validity.data_bands(source)
    if len(bands) != 1:
        raise ClassError(
            f"A class map must have one band, got {len(bands)} in {source.name}; "
            "extract the classes first (gdal_translate -b 1)."
        )


def check_class_raster(source: DatasetReader) -> None:
    """Check that an open raster can hold classes: one band of whole numbers, perhaps with alpha.

    Raises:
        ClassError: It has more bands, or other numbers.
    """
    check_one_band(source)
    if np.dtype(source.dtypes[0]).kind not in "iu":
        raise ClassError(
            f"A class raster must hold whole numbers, got {source.dtypes[0]} in {source.name}; "
            "convert it first (gdal_translate -ot)."
        )


def map_classes(
    path: Path | str, scheme: ClassScheme | None = None, nodata: float | None = None
) -> ClassValues:
    """Which values of a class map are classes, told in one line where nothing states it.

    Args:
        path: The map.
        scheme: All its classes; None: as its files tell, perhaps not all.
        nodata: A value without a class, beside what the file says.

    Raises:
        RasterError: See `open_raster`.
        ClassError: More than one band, or values that aren't whole numbers; the tag or a file
            beside it is damaged.
    """
    with open_raster(path) as source:
        check_class_raster(source)
        known = class_values(
            source, names=None if scheme is None else scheme.mapping, nodata=nodata
        )
    tell_unstated(known)
    return known


class Warped:
    """A raster on another grid, resampled as it is read.

    Attributes:
        grid: The grid.
        dtype: Pixel type.
        bands: Numbers of the bands that can be read, from 1.
    """

    def __init__(
        self,
        source: DatasetReader,
        own: GeoBox,
        box: GeoBox,
        resampling: str,
        says: validity.Validity,
        stack: ExitStack,
        tolerance: float | None,
    ) -> None:
        self.grid, self.bands = box, says.bands
        self.dtype = np.dtype(source.dtypes[0])
        self._name = source.name
        self._own, self._resampling, self._tolerance = own, resampling, tolerance
        self._says, self._stack = says, stack
        self._shown, self._alpha = stack.enter_context(validity.presented(source, says))
        self._opened: dict[str, Any] = {}
        for nodata in self._nodata:
            self._warped(nodata)  # what GDAL can't warp shows here

    @property
    def _nodata(self) -> list[float | None]:
        """The value of each band that means 'no data' to GDAL."""
        says = self._says
        nan = float("nan") if self.dtype.kind == "f" else None
        return [n if n is not None else says.also if says.also is not None else nan
                for n in says.nodata]  # fmt: skip

    def read(
        self, window: Window, bands: Sequence[int] | None = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Values and mask of a window, as `read` gives them.

        Args:
            window: Pixels of the grid; those outside it come as 0 and not valid.
            bands: Some of `bands`; None for all.
        """
        wanted = list(self.bands if bands is None else bands)
        places = [self.bands.index(k) for k in wanted]
        inside = window.clipped(self.grid.height, self.grid.width)
        rows, columns = inside.shifted(-window.row, -window.column).slices
        at = _rasterio_window(inside)
        values = np.zeros((len(wanted), window.height, window.width), self.dtype)
        mask = np.zeros((window.height, window.width), np.bool_)
        valid = np.ones((inside.height, inside.width), np.bool_)
        groups: dict[str, list[int]] = {}
        for k, place in enumerate(places):
            groups.setdefault(repr(self._nodata[place]), []).append(k)
        for group in groups.values():
            nodata = self._nodata[places[group[0]]]
            warped = self._warped(nodata)
            numbers = [wanted[k] for k in group]
            veiled = nodata is None or self._alpha is not None
            veil = [self._alpha or warped.count] if veiled else []
            with reading(self._name):
                resampled = warped.read([*numbers, *veil], window=at)
            if veiled:
                valid &= resampled[-1] > 0
                resampled = resampled[:-1]
            valid &= self._says.pick([places[k] for k in group]).of_values(resampled)
            if len(groups) == 1 and inside == window:
                return resampled, valid
            values[group, rows, columns] = resampled
        mask[rows, columns] = valid
        return values, mask

    def _warped(self, nodata: float | None) -> Any:
        """The raster warped with one nodata value; without any, its last band is alpha."""
        from rasterio.crs import CRS
        from rasterio.enums import Resampling
        from rasterio.vrt import WarpedVRT

        if repr(nodata) not in self._opened:
            options: dict[str, Any] = {}
            if self._tolerance is not None:
                options["tolerance"] = self._tolerance
            if self._alpha is not None:
                options |= {"src_alpha": self._alpha, "dst_alpha": self._alpha}
            elif nodata is None:
                options["add_alpha"] = True
            if nodata is not None:
                options |= {"src_nodata": nodata, "nodata": nodata, "UNIFIED_SRC_NODATA": "NO"}
            self._opened[repr(nodata)] = self._stack.enter_context(
                WarpedVRT(
                    self._shown,
                    src_crs=CRS.from_user_input(str(self._own.crs)),
                    crs=CRS.from_user_input(str(self.grid.crs)),
                    transform=self.grid.affine,
                    height=self.grid.height,
                    width=self.grid.width,
                    resampling=Resampling[self._resampling],
                    **options,
                )
            )
        return self._opened[repr(nodata)]


@contextmanager
def on_grid(
    source: DatasetReader,
    own: GeoBox,
    box: GeoBox,
    resampling: str,
    *,
    bands: Sequence[int] | None = None,
    nodata: float | None = None,
    also: float | None = None,
    alpha: bool = True,
    tolerance: float | None = None,
) -> Iterator[Warped]:
    """A raster resampled to another grid on the fly; each band from its own valid pixels.

    Args:
        source: The open raster.
        own: Its grid, whose CRS it may not state.
        box: The other grid.
        resampling: GDAL's name of the way.
        bands: Numbers of the bands to read, from 1; None for all but an alpha band.
        nodata: As for `read`.
        also: As for `read`.
        alpha: As for `read`.
        tolerance: Pixels by which coordinates may be off where they are interpolated; None:
            GDAL's 0.125, which lets the result depend on the windows read.
    """
    says = validity.of(source, bands, nodata=nodata, also=also, alpha=alpha)
    with ExitStack() as stack:
        yield Warped(source, own, box, resampling, says, stack, tolerance)


@contextmanager
def at_cell_size(
    source: DatasetReader, cell_size: float, bands: Sequence[int] | None = None
) -> Iterator[Warped]:
    """The raster resampled bilinearly to square pixels of another size, read on the fly.

    Args:
        source: An open raster.
        cell_size: Size of a pixel in CRS units.
        bands: Numbers of the bands to read, from 1; None for all but an alpha band.

    Raises:
        ParameterError: A size that isn't above 0, or larger than the raster.
        GridError: No CRS, or a size so small that GDAL can't count the pixels.
    """
    from affine import Affine

    a = source.transform
    across, down = np.hypot(a.a, a.d), np.hypot(a.b, a.e)
    rows, columns = (
        n * side / cell_size if cell_size > 0 else 0.0
        for n, side in ((source.height, down), (source.width, across))
    )
    if not (min(rows, columns) > 0.5 and np.isfinite([rows, columns]).all()):
        raise ParameterError(
            f"cell_size must be above 0 and smaller than the raster, got {cell_size:g} for pixels "
            f"of {across:g} x {down:g}."
        )
    if source.crs is None:
        raise GridError(f"Another cell size needs a CRS, got a raster without one: {source.name}.")
    transform = Affine(
        a.a / across * cell_size, a.b / down * cell_size, a.c,
        a.d / across * cell_size, a.e / down * cell_size, a.f,
    )  # fmt: skip
    own = grid.geobox(source.height, source.width, a, source.crs)
    box = grid.geobox(round(rows), round(columns), transform, source.crs)
    with on_grid(source, own, box, "bilinear", bands=bands) as resampled:
        yield resampled


def preview(
    path: Path | str, size: int, bands: Sequence[int] | None = None, *, classes: bool = False
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """A raster made small enough to look at, read from its overviews where it has some.

    Args:
        path: The raster.
        size: Rows and columns at most.
        bands: Numbers of the bands, from 1; None for all.
        classes: Whether values are classes: the nearest is taken then, else the average.

    Returns:
        As `read`.
    """
    with open_raster(path) as source:
        scale = min(1.0, size / max(source.height, source.width))
        shape = (max(1, round(source.height * scale)), max(1, round(source.width * scale)))
        whole = Window(0, 0, source.height, source.width)
        return read_shrunk(source, whole, shape, bands, classes=classes)


def read_shrunk(
    source: DatasetReader,
    window: Window,
    shape: tuple[int, int],
    bands: Sequence[int] | None = None,
    *,
    nodata: float | None = None,
    alpha: bool = True,
    classes: bool = False,
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Read a window in fewer pixels, from the raster's overviews where it has some.

    Args:
        source: An open raster.
        window: Pixels to read; all inside the raster.
        shape: Rows and columns to make of them, no more than the window has.
        bands: Numbers of the bands, from 1; None for all.
        nodata: As for `read`.
        alpha: As for `read`.
        classes: Whether values are classes: the nearest is taken then, else the average.

    Returns:
        As `read`.
    """
    from rasterio.enums import Resampling

    says = validity.of(source, bands, nodata=nodata, alpha=alpha)
    numbers = list(says.bands)
    where: dict[str, Any] = {
        "window": _rasterio_window(window), "out_shape": (len(numbers), *shape),
    }  # fmt: skip
    how = Resampling.nearest if classes else Resampling.average
    with (
        reading(source.name),
        validity.presented(source, says, averaged=not classes) as (shown, _),
    ):
        values = shown.read(numbers, resampling=how, **where)
        # averages never hold nodata where GDAL heeds a mask instead
        nearest = values if classes else source.read(numbers, **where)
        mask = says.mask(source, nearest, **where)
    return values, mask


def check_new(
    *paths: Path | str, inputs: Iterable[Path | str | None] = (), overwrite: bool = False
) -> None:
    """As `ledger.check_new`, for rasters: the files beside one belong to it.

    Raises:
        OutputError: See there.
        ParameterError: See there.
    """
    beside = [file for path in paths for file in ledger.side_files(Path(path))]
    ledger.check_new(*paths, *beside, inputs=inputs, overwrite=overwrite)


@contextmanager
def create(
    path: Path,
    box: GeoBox,
    *,
    count: int,
    dtype: str,
    nodata: float | None,
    bands: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
    scheme: ClassScheme | None = None,
    classes: bool | Sequence[bool] = False,
    colours: Mapping[int, Colour] | None = None,
    alone: bool = False,
    cache: int = GDAL_CACHE,
) -> Iterator[DatasetWriter]:
    """A new Cloud-Optimised GeoTIFF that appears under its name when it is whole.

    What the block writes goes, in any order, to a temporary GeoTIFF; overviews are made from it,
    and the blocks of all are moved into one file, in one order, so that the same pixels give the
    same bytes. Until then the disk holds both. Files beside a raster that is replaced go with it.

    Args:
        path: Where it will lie.
        box: Its grid.
        count: Number of bands.
        dtype: Pixel type.
        nodata: Value that means 'no data', or None.
        bands: A name for each band.
        tags: Tags of the file.
        scheme: Classes of a class raster: written as colour table and tag and, beside the file,
            as category names (.aux.xml) and the style for QGIS (.qml).
        classes: Whether values, or those of each band, are classes though no scheme names them:
            overviews then hold the commonest value instead of the average.
        colours: Colours of the values of a single band, where no scheme tells them.
        alone: Whether nothing is written beside the file.
        cache: Bytes for GDAL's blocks, of all open rasters together.

    Raises:
        OutputError: The file can't be written.
    """
    import rasterio

    path = Path(path)
    predictor = _predictor(dtype, scheme)
    with ledger.whole_file(path) as part:
        draft = part.with_name(f"{part.stem}.draft.tif")
        try:
            with writing(path), rasterio.Env(GDAL_CACHEMAX=cache):
                with _without_place():
                    opened = rasterio.open(
                        draft, "w", **cog.creation(count, predictor), height=box.height,
                        width=box.width, count=count, dtype=dtype, nodata=nodata,
                        crs=None if box.crs is None else str(box.crs), transform=box.affine,
                    )  # fmt: skip
                with opened as target:
                    for number, name in enumerate(bands, start=1):
                        target.set_band_description(number, name)
                    target.update_tags(**(tags or {}))
                    if scheme is not None:
                        target.write_colormap(1, legend.colour_table(scheme))
                        target.update_tags(**legend.as_tag(scheme))
                    elif colours:
                        target.write_colormap(1, dict(colours))
                    yield target
                cog.check_written(draft)
                each = [classes] * count if isinstance(classes, bool) else list(classes)
                each = [True] if scheme is not None else each
                coarse = overviews.build(draft, predictor, classes=each)
                cog.join([draft, *coarse], part)
        finally:
            for left in path.parent.glob(f"{glob.escape(part.stem)}*"):
                if left != part:
                    left.unlink(missing_ok=True)
        ledger.remove_raster(path)
    if scheme is not None and not alone:
        legend.write_category_names(path, scheme)
        legend.write_qml(path, scheme)  # without it QGIS lists every entry of the colour table


def write(target: DatasetWriter, values: NDArray[Any], window: Window) -> None:
    """Write ``(band, row, column)`` values into a window of a new raster.

    Raises:
        OutputError: The disk is full, or the like.
    """
    with writing(Path(target.name).parent):  # here, lest a reader around it take the error
        target.write(values, window=_rasterio_window(window))


def legend_of(path: Path | str) -> legend.Legend:
    """Names of a class raster's classes, and colours of its values.

    From our own tag, then the files beside it (`legend.beside`), then names inside it (VRT, ENVI,
    HFA), then the colour table; the earlier wins. What is no class has no name; see
    `class_values`.

    Raises:
        RasterError: See `open_raster`.
        ClassError: The tag or a file beside it is damaged.
    """
    with open_raster(path) as source:
        return legend.Legend(dict(class_values(source).names), _told(source, path).colours)


def scheme_of(
    path: Path | str, *, nodata: float | None = None, labels: bool = False
) -> ClassScheme | None:
    """The classes of a class raster as the file and those beside it tell them, or None.

    Our own tag tells them all. Else a class is each value that has a name, or a pixel; see
    `class_values`.

    Args:
        path: The raster.
        nodata: A value without a class, beside what the file says.
        labels: As for `class_values`.

    Raises:
        RasterError: See `open_raster`.
        ClassError: The tag or a file beside it is damaged; or values that can't be classes.
    """
    with open_raster(path) as source:
        tagged = legend.from_tags(source.tags(), path)
        if tagged is not None:
            return tagged
        told = _told(source, path)
        if not told or not np.issubdtype(np.dtype(source.dtypes[0]), np.integer):
            return None
        known = class_values(source, nodata=nodata, labels=labels)
        values = known.names.keys() | values_in(source, known)
    if not values:
        return None
    return MapScheme.from_mapping(
        {v: known.names.get(v) or f"class {v}" for v in values},
        {v: c for v, c in told.colours.items() if v in values},
    )


def read_scheme(path: Path | str) -> ClassScheme:
    """The classes that a file states: a legend (`legend.read_legend`), or a class raster.

    Raises:
        ClassError: The file holds no classes.
        RasterError: The raster can't be read.
    """
    if Path(path).suffix.lower() not in (".tif", ".tiff", ".img", ".vrt"):
        return legend.read_classes(path)
    scheme = scheme_of(path)
    if scheme is None:
        raise ClassError(f"The raster must say its classes, got none in {path}; give a CSV.")
    return scheme


def values_in(source: DatasetReader, known: ClassValues) -> set[int]:
    """The classes that pixels of an open class raster have.

    Raises:
        RasterError: It can't be read.
    """
    values: set[int] = set()
    for window in blocks(source.height, source.width):
        codes, mask = read(source, window)
        values.update(int(v) for v in np.unique(codes[0][known.classed(codes[0], mask)]))
    return values


def holds_classes(source: DatasetReader) -> bool:
    """Whether an open raster's values are classes, as far as the file and those beside it tell.

    It has one band of whole numbers, and our tag, a colour table that is more than a grey ramp, or
    names of values in ``.aux.xml`` or ``.vat.dbf``. A style (``.qml``, ``.clr``) says too little:
    heights have them too.

    Raises:
        ClassError: A table beside it is damaged.
    """
    from rasterio.enums import ColorInterp

    if source.count != 1 or not np.issubdtype(np.dtype(source.dtypes[0]), np.integer):
        return False
    if legend.TAG in source.tags():
        return True
    if source.colorinterp[0] == ColorInterp.palette:
        colours = colours_of(source).values()
        if any(len(set(colour)) > 1 for colour in colours):
            return True
    return bool(legend.tables_beside(Path(source.name)).or_else(_legend_inside(source)).names)


def _told(source: DatasetReader, path: Path | str) -> legend.Legend:
    """Names and colours of values, classes or not, as the file and those beside it tell."""
    tagged = legend.from_tags(source.tags(), path)
    found = legend.Legend() if tagged is None else legend.Legend(tagged.mapping, tagged.colours)
    found = found.or_else(legend.beside(Path(path))).or_else(_legend_inside(source))
    return found.or_else(legend.Legend({}, colours_of(source)))


def _legend_inside(source: DatasetReader) -> legend.Legend:
    """Category names and the attribute table that a raster's format holds inside (VRT, ENVI, HFA).

    rasterio tells neither; GDAL writes both into the description of a virtual copy.
    """
    import rasterio.shutil

    if source.driver in _NAMELESS:
        return legend.Legend()
    if source.driver == "VRT":
        return legend.from_vrt(
            source.tags(ns="xml:VRT").get("xml:VRT", "<VRTDataset/>"), source.name
        )
    copy = f"/vsimem/{uuid.uuid4().hex}.vrt"
    with reading(source.name):
        try:
            rasterio.shutil.copy(source, copy, driver="VRT")
            with _without_place():
                opened = rasterio.open(copy)
            with opened as virtual:
                description = virtual.tags(ns="xml:VRT")["xml:VRT"]
        finally:
            if rasterio.shutil.exists(copy):
                rasterio.shutil.delete(copy, driver="VRT")
    return legend.from_vrt(description, source.name)


def colours_of(source: DatasetReader) -> dict[int, Colour]:
    """The colour of each value in an open raster's colour table; empty where it has none."""
    try:
        table = source.colormap(1)
    except ValueError:
        return {}
    return {value: (c[0], c[1], c[2]) for value, c in table.items()}


def pick_bands(
    info: RasterInfo, wanted: Sequence[str], positions: Sequence[int] = ()
) -> tuple[int, ...]:
    """Numbers of the bands to read, from 1: by name where the file has names, else in order.

    An alpha band that comes on top of the wanted ones isn't one of them.

    Args:
        info: The file.
        wanted: Name of each band.
        positions: Number of each band where the file hasn't all the names; none for a file that
            must then have exactly these bands.

    Raises:
        BandError: A named band is missing, or an unnamed file has another number of bands.
    """
    numbers = list(range(1, len(info.bands) + 1))
    if (
        len(numbers) > len(wanted)
        and info.alpha is not None
        and (info.bands[info.alpha - 1] or None) not in wanted
    ):
        numbers.remove(info.alpha)
    names = [info.bands[k - 1] for k in numbers]
    if all(names) and all(wanted) and set(wanted) <= set(names):
        return tuple(numbers[names.index(name)] for name in wanted)
    if positions:
        if max(positions) > len(info.bands):
            raise BandError(
                f"The raster must have the bands {', '.join(map(str, positions))}, got "
                f"{len(info.bands)} in {info.path}; stack the dates as for training first."
            )
        return tuple(positions)
    if len(numbers) != len(wanted):
        have = f" ({', '.join(names)})" if any(names) else ""
        raise BandError(
            f"The raster must have {len(wanted)} bands ({', '.join(wanted)}), got "
            f"{len(numbers)}{have} in {info.path}; stack the dates as for training first."
        )
    missing = [name for name in wanted if name not in names]
    if all(names) and missing and all(wanted):
        raise BandError(
            f"The raster must have the bands {', '.join(wanted)}, got {', '.join(names)} "
            f"in {info.path}; name its bands as those of the training images."
        )
    return tuple(numbers)


def match_names(wanted: Sequence[str], names: Sequence[str]) -> list[int] | None:
    """Places among a file's bands of those with the wanted names, whatever their case.

    Args:
        wanted: Names of the bands, in the order in which they are wanted.
        names: Name of each band of the file; '' where it has none.

    Returns:
        The places, from 0; None where a name is missing, or not the name of one band alone.
    """
    own = [name.lower() for name in names]
    sought = [name.lower() for name in wanted]
    if not all(sought) or any(own.count(n) != 1 or sought.count(n) != 1 for n in sought):
        return None
    return [own.index(n) for n in sought]


def crossed(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """Names that stand at one place of the first list and at another of the second."""
    own, other = ([name.lower() for name in names] for names in (first, second))
    return [
        name
        for place, name in enumerate(first)
        if name and own[place] in other and other[place : place + 1] != [own[place]]
    ]


def in_step(first: Sequence[str], second: Sequence[str], *, what: str, instead: str) -> list[int]:
    """Places among the bands of a second image that answer to those of a first one, from 0.

    By name where every band of the first has a name that the second has too; else one by one, with
    a warning where the same name then stands at different places.

    Args:
        first: Name of each band; '' where it has none.
        second: Likewise; as many.
        what: Whose bands they are, for the warning.
        instead: What to do, for the warning.
    """
    places = match_names(first, second)
    if places is not None:
        return places
    if crossing := crossed(first, second):
        log.warning(
            "The bands of %s are taken one by one, though the same names stand at different "
            "places: %s (%s; %s); %s.", what, ", ".join(crossing), ", ".join(first),
            ", ".join(second), instead,
        )  # fmt: skip
    return list(range(len(first)))


def check_order(before: RasterInfo, after: RasterInfo) -> None:
    """Check that before is not later than after, where both files state their dates.

    Raises:
        DateError: Every day of before is later than every day of after.
    """
    if before.taken and after.taken and before.taken.first > after.taken.last:
        raise DateError(
            f"Before must be earlier than after, got {before.taken} ({before.path.name}) before "
            f"and {after.taken} ({after.path.name}) after; swap the two, or state their dates "
            "where these are others (--dates)."
        )


def infos_in_order(
    before: Path | str, after: Path | str, stated: Sequence[str] | None = None
) -> tuple[RasterInfo, RasterInfo]:
    """What two rasters are, with the dates that options state in place of the files' own.

    Args:
        before: The earlier raster.
        after: The later one.
        stated: See `dates.stated`.

    Raises:
        DateError: See `check_order`.
        ParameterError: A date that isn't one.
        RasterError: See `open_raster`.
    """
    first, second = (
        about if period is None else replace(about, taken=period)
        for about, period in zip((info(before), info(after)), dates.stated(stated, 2), strict=True)
    )
    check_order(first, second)
    return first, second


def blocks(height: int, width: int, size: int = 1024) -> Iterator[Window]:
    """Windows of at most size x size pixels that cover a raster once, row by row."""
    for row in range(0, height, size):
        for column in range(0, width, size):
            yield Window(row, column, min(size, height - row), min(size, width - column))


def _rasterio_window(window: Window) -> Any:
    from rasterio.windows import Window as RasterioWindow

    return RasterioWindow(window.column, window.row, window.width, window.height)


def _predictor(dtype: str, scheme: ClassScheme | None) -> int:
    if scheme is not None:
        return 1  # differences of class codes compress worse than the codes
    return 3 if np.issubdtype(np.dtype(dtype), np.floating) else 2
