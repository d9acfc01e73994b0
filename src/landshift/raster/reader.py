"""Reading rasters: their properties, and windows of values with a mask."""

from __future__ import annotations

import logging
import shlex
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift import grid
from landshift.errors import (
    ClassError,
    GridError,
    LandshiftError,
    RasterError,
    of_gdal,
    reason_of,
    refuse_out_of_memory,
)
from landshift.files import access, containers, dates
from landshift.grid import Window
from landshift.machine import parallel
from landshift.raster import validity

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox
    from rasterio.io import DatasetReader

log = logging.getLogger(__name__)

GDAL_CACHE = 256 << 20
"""Bytes of GDAL's block cache; holds a row of blocks, so that each block is read once. See also
`cache_for`."""

_LEAST_CACHE = 32 << 20

NAMELESS = ("GTiff", "COG", "PNG", "JPEG", "MEM")
"""Formats without names of values inside; GDAL keeps them in .aux.xml."""

_MOST_LISTED = 40  # rasters of a file that an error lists
_HDF4 = b"\x0e\x03\x13\x01"  # first bytes of HDF4 files


@dataclass(frozen=True)
class RasterInfo:
    """Properties of a raster, without its pixels.

    Attributes:
        path: The file.
        grid: Size, affine transform and CRS.
        dtype: numpy's name of the bands' pixel type.
        nodata: Nodata value of every band other than alpha, or None.
        bands: Name of each band; '' if it has none.
        block: Rows and columns of the stored blocks.
        masked: Whether a mask, an alpha band, or nodata values that differ between bands also
            decide which pixels are valid.
        taken: Date of the image or map, from tags or the file's name.
        alpha: Number of the alpha band, or None.
        scaling: Scale and offset of each band: physical value = value * scale + offset.
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
        """Names of the bands that aren't alpha; '' for a band without a name."""
        return tuple(self.bands[k - 1] for k in self.numbers)


@contextmanager
def open_raster(
    path: Path | str,
    *,
    cache: int = GDAL_CACHE,
    threads: int | None = None,
    untrusted: bool = False,
) -> Iterator[DatasetReader]:
    """Open a raster for reading; GDAL's errors become one clear line.

    Args:
        path: A path, or another name that GDAL opens; no URL while LANDSHIFT_OFFLINE is set.
        cache: Bytes of GDAL's block cache, for all open rasters together.
        threads: Threads that decode the blocks of a window; None: GDAL's own setting.
        untrusted: Whether the file is untrusted: it and the files that GDAL opens with it must
            then be of `access.FORMATS` and refer to no other file.

    Raises:
        RasterError: The file is missing, no raster, damaged, of complex numbers, or not allowed.
    """
    import rasterio

    name = _checked_name(path)
    settings = {"GDAL_CACHEMAX": cache, "GDAL_NUM_THREADS": threads, **access.settings()}
    if untrusted:
        settings["GDAL_DISABLE_READDIR_ON_OPEN"] = "TRUE"  # only side files with the exact names
    stated = {name: value for name, value in settings.items() if value is not None}
    with reading(path), rasterio.Env(**stated):
        for beside in access.side_files(Path(path)) if untrusted else ():
            with open_raster(beside, untrusted=True):
                pass  # checks its format too
        with without_place():
            source = _open_own_formats(Path(path)) if untrusted else _open(name)
        with source:
            _check_real(source)
            if untrusted:
                access.check_contained(source)
            yield source


@contextmanager
def without_place() -> Iterator[None]:
    """Suppress rasterio's warning about a missing georeference; callers that need one check it."""
    from rasterio.errors import NotGeoreferencedWarning

    with parallel.FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def _checked_name(path: Path | str) -> str:
    """A raster's name as GDAL opens it.

    Raises:
        RasterError: The file is missing, remote while offline, or has a name that isn't UTF-8; a
            VRT names missing files.
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
        RasterError: The file holds no raster, several, or not the one named; or it is HDF4.
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
                "it first (gdal_translate of a GDAL with HDF4, as in conda and Debian, or "
                "h4toh5)."
            ) from error
        if part is None or not file.is_file():
            raise
        with rasterio.open(file) as whole:
            names = whole.subdatasets
        raise RasterError(
            f"A raster inside a file must be one of those that it holds, got {part.inner} for "
            f"{file}; give one of {_listed(names) or 'none: it has only one'}."
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
    """Names of rasters inside a file, quoted for a shell."""
    shown = [shlex.quote(name) for name in names[:_MOST_LISTED]]
    return ", ".join(shown) + (", ..." if len(names) > _MOST_LISTED else "")


def _is_hdf4(file: Path) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        return opened.read(len(_HDF4)) == _HDF4


def _open_own_formats(path: Path) -> DatasetReader:
    """Open a file as one of `access.FORMATS`, never as another format."""
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
    """Turn GDAL's errors while it reads a raster into one clear line.

    Raises:
        RasterError: GDAL failed, or band names aren't UTF-8.
        OutOfMemoryError: GDAL failed for lack of memory.
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


def info(path: Path | str) -> RasterInfo:
    """Properties of a raster.

    Raises:
        RasterError: See `open_raster`; also bands of different pixel types.
    """
    with open_raster(path) as source:
        return info_of(source)


def cache_for(about: RasterInfo, rows: int) -> int:
    """Bytes of GDAL's block cache with which rows of windows decode each stored block once.

    Args:
        about: The raster.
        rows: Rows of a window, without a halo.
    """
    # threads are in two rows of windows at most; a halo reads one more stored block on each side
    lines = 2 * (rows + 2 * about.block[0])
    line = about.width * len(about.bands) * np.dtype(about.dtype).itemsize
    return min(max(lines * line, _LEAST_CACHE), GDAL_CACHE)


def files_of(path: Path | str) -> set[Path]:
    """The local files that a raster is read from: its own, and those that a VRT names.

    Raises:
        RasterError: See `open_raster`.
    """
    files: set[Path] = set()
    waiting = [containers.file_of(path)]
    while waiting:
        file = waiting.pop()
        if file in files or not file.is_file():
            continue
        files.add(file)
        if file.suffix.lower() == ".vrt":
            with open_raster(file) as source:
                waiting += map(containers.file_of, source.files)
    return files


def info_of(source: DatasetReader) -> RasterInfo:
    """Properties of an open raster.

    Raises:
        RasterError: Bands of different pixel types.
        GridError: See `grid_of`.
    """
    if len(set(source.dtypes)) != 1:
        raise RasterError(
            f"Bands must share a pixel type, got {source.dtypes} in {source.name}; "
            "convert it first (gdal_translate -ot)."
        )
    path = Path(source.name)
    rule = validity.of(source)
    same = len({repr(n) for n in rule.nodata}) == 1
    tags = source.tags()
    return RasterInfo(
        path=path,
        grid=grid_of(source),
        dtype=str(source.dtypes[0]),
        nodata=source.nodatavals[rule.bands[0] - 1] if same else None,
        bands=_band_names(source, tags),
        block=source.block_shapes[0],
        masked=bool(rule.masks) or rule.alpha is not None or not same,
        taken=dates.of_tags(tags) or dates.of_name(containers.file_of(path).stem),
        alpha=rule.alpha,
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
    """Name of each band: its description, else its time step in a NetCDF file."""
    names = []
    for number, description in enumerate(source.descriptions, start=1):
        step = None if description else source.tags(number).get("NETCDF_DIM_time")
        date = step and dates.of_step(step, tags.get("time#units"), tags.get("time#calendar"))
        names.append(description or date or "")
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
    """Read a window, which may extend beyond the raster.

    Args:
        source: An open raster.
        window: Pixels to read; those outside the raster are 0 and invalid.
        bands: Numbers of the bands, from 1; None for all but an alpha band.
        nodata: Nodata value that replaces those of the file; None: those of the file.
        also: A further nodata value.
        alpha: Whether an alpha band that isn't read counts.

    Returns:
        The values, ``(band, row, column)`` in the file's pixel type, and a mask
        ``(row, column)``, True where every band read is valid (see `validity`).
    """
    rule = validity.of(source, bands, nodata=nodata, also=also, alpha=alpha)
    inside = window.clipped(source.height, source.width)
    new = np.empty if inside == window else np.zeros
    values = new((len(rule.bands), window.height, window.width), source.dtypes[0])
    mask = np.zeros((window.height, window.width), np.bool_)
    rows, columns = inside.shifted(-window.row, -window.column).slices
    at = rasterio_window(inside)
    with reading(source.name):
        source.read(list(rule.bands), window=at, out=values[:, rows, columns])
        mask[rows, columns] = rule.mask(source, values[:, rows, columns], window=at)
    return values, mask


def check_one_band(source: DatasetReader) -> None:
    """Check that an open class raster has one band, apart from alpha.

    Raises:
        ClassError: It has several.
    """
    bands = validity.data_bands(source)
    if len(bands) != 1:
        raise ClassError(
            f"A class map must have one band, got {len(bands)} in {source.name}; "
            "extract the classes first (gdal_translate -b 1)."
        )


def rasterio_window(window: Window) -> Any:
    """The window as a rasterio window."""
    from rasterio.windows import Window as RasterioWindow

    return RasterioWindow(window.column, window.row, window.width, window.height)
