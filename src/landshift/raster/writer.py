"""Writing rasters: whole GeoTIFFs, on a grid, with their classes and colours."""

from __future__ import annotations

import glob
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift.classes import ClassScheme, Colour, legend_writers
from landshift.errors import OutputError, of_gdal, reason_of, refuse_out_of_memory
from landshift.files import kinds
from landshift.files import whole as whole_files
from landshift.grid import Window
from landshift.raster import cog, overviews
from landshift.raster.reader import GDAL_CACHE, rasterio_window, without_place

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox
    from rasterio.io import DatasetWriter


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Turn GDAL's errors while it writes a raster into one clear line.

    Raises:
        OutputError: GDAL failed.
        OutOfMemoryError: GDAL failed for lack of memory.
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


def check_new(
    *paths: Path | str,
    inputs: Iterable[Path | str | None] = (),
    overwrite: bool = False,
    kind: kinds.Kind = kinds.RASTER,
) -> None:
    """As `files.whole.check_new`, for rasters: the files beside a raster belong to it.

    Args:
        paths: The outputs.
        inputs: The inputs.
        overwrite: Whether existing files are replaced.
        kind: The suffixes that they may have.

    Raises:
        OutputError: See there.
        ParameterError: See there.
    """
    kind.check(*paths)
    beside = [file for path in paths for file in whole_files.side_files(Path(path))]
    whole_files.check_new(*paths, *beside, inputs=inputs, overwrite=overwrite)


@dataclass(frozen=True)
class NewRaster:
    """A raster while it is written; see `create` and `write`.

    Attributes:
        file: The open GeoTIFF: its tags, scales and colours.
        first: Its first overview.
        lock: Held while a window is written.
    """

    file: DatasetWriter
    first: overviews.FirstOverview
    lock: threading.Lock = field(default_factory=threading.Lock)


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
) -> Iterator[NewRaster]:
    """Create a Cloud-Optimised GeoTIFF that appears under its name when it is complete.

    The block writes, in any order, to a temporary GeoTIFF. Overviews are made beside it, and the
    blocks of all are moved into one file, in a fixed order, so that the same pixels give the same
    bytes. Until then the disk holds both. A raster that is replaced loses the files beside it.

    Args:
        path: The file.
        box: Its grid.
        count: Number of bands.
        dtype: Pixel type.
        nodata: The nodata value, or None.
        bands: A name for each band.
        tags: Tags of the file.
        scheme: Classes of a class raster: written as colour table and tag and, beside the file,
            as category names (.aux.xml) and the style for QGIS (.qml).
        classes: Whether the values, or those of each band, are classes without a scheme: overviews
            then hold the commonest value instead of the average.
        colours: Colours of the values of a single band, if there is no scheme.
        alone: Whether no files are written beside the raster.
        cache: Bytes of GDAL's block cache, for all open rasters together.

    Raises:
        OutputError: The file can't be written.
    """
    import rasterio

    path = Path(path)
    predictor = _predictor(dtype, scheme)
    each = [classes] * count if isinstance(classes, bool) else list(classes)
    each = [True] if scheme is not None else each
    with whole_files.whole_file(path) as part:
        draft = part.with_name(f"{part.stem}.draft.tif")
        try:
            with writing(path), rasterio.Env(GDAL_CACHEMAX=cache), ExitStack() as stack:
                profile = {
                    **cog.creation(count, predictor), "count": count, "dtype": dtype,
                    "nodata": nodata, **_place(box),
                }  # fmt: skip
                with without_place():
                    file = stack.enter_context(rasterio.open(draft, "w", **profile))
                for number, name in enumerate(bands, start=1):
                    file.set_band_description(number, name)
                file.update_tags(**(tags or {}))
                _write_colours(file, scheme, colours)
                first = overviews.FirstOverview(file, predictor, classes=each, stack=stack)
                yield NewRaster(file, first)
                stack.close()
                cog.check_written(draft)
                coarse = overviews.build(draft, predictor, classes=each, first=first)
                cog.join([draft, *coarse], part)
        finally:
            for leftover in path.parent.glob(f"{glob.escape(part.stem)}*"):
                if leftover != part:
                    leftover.unlink(missing_ok=True)
        whole_files.remove_raster(path)
    if scheme is not None and not alone:
        legend_writers.write_category_names(path, scheme)
        # without a style, QGIS lists every entry of the colour table
        legend_writers.write_qml(path, scheme)


def _place(box: GeoBox) -> dict[str, Any]:
    """Size, transform and CRS of a grid, as rasterio takes them."""
    return {
        "height": box.height,
        "width": box.width,
        "crs": None if box.crs is None else str(box.crs),
        "transform": box.affine,
    }


def _write_colours(
    target: DatasetWriter, scheme: ClassScheme | None, colours: Mapping[int, Colour] | None
) -> None:
    """Write the classes as colour table and tag; without classes, the colours alone."""
    if scheme is not None:
        target.write_colormap(1, legend_writers.colour_table(scheme))
        target.update_tags(**legend_writers.as_tag(scheme))
    elif colours:
        target.write_colormap(1, dict(colours))


def write(target: NewRaster, values: NDArray[Any], window: Window) -> None:
    """Write ``(band, row, column)`` values into a window of a new raster, from any thread.

    Windows of `overviews.FILLING` rows and columns from the first pixel on are the fastest.

    Raises:
        OutputError: The disk is full, or the like.
    """
    halved = target.first.halved(values, window)
    # converted here: a reader around this call would report it as a reading error
    with writing(Path(target.file.name).parent), target.lock:
        target.file.write(values, window=rasterio_window(window))
        target.first.write(halved, window)


def _predictor(dtype: str, scheme: ClassScheme | None) -> int:
    if scheme is not None:
        return 1  # differences of class codes compress worse than the codes
    return 3 if np.issubdtype(np.dtype(dtype), np.floating) else 2
