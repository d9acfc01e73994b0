"""Writing rasters: whole GeoTIFFs, on a grid, with their classes and colours."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift.classes import (
    ClassScheme,
    Colour,
    legend_writers,
)
from landshift.errors import (
    OutputError,
    of_gdal,
    reason_of,
    refuse_out_of_memory,
)
from landshift.files import whole as whole_files
from landshift.grid import Window
from landshift.raster import cog, overviews

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox
    from rasterio.io import DatasetWriter
from landshift.raster.reader import GDAL_CACHE, rasterio_window, without_place


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


def check_new(
    *paths: Path | str, inputs: Iterable[Path | str | None] = (), overwrite: bool = False
) -> None:
    """As `ledger.check_new`, for rasters: the files beside one belong to it.

    Raises:
        OutputError: See there.
        ParameterError: See there.
    """
    beside = [file for path in paths for file in whole_files.side_files(Path(path))]
    whole_files.check_new(*paths, *beside, inputs=inputs, overwrite=overwrite)


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
    with whole_files.whole_file(path) as part:
        draft = part.with_name(f"{part.stem}.draft.tif")
        try:
            with writing(path), rasterio.Env(GDAL_CACHEMAX=cache):
                with without_place():
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
                        target.write_colormap(1, legend_writers.colour_table(scheme))
                        target.update_tags(**legend_writers.as_tag(scheme))
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
        whole_files.remove_raster(path)
    if scheme is not None and not alone:
        legend_writers.write_category_names(path, scheme)
        legend_writers.write_qml(
            path, scheme
        )  # without it QGIS lists every entry of the colour table


def write(target: DatasetWriter, values: NDArray[Any], window: Window) -> None:
    """Write ``(band, row, column)`` values into a window of a new raster.

    Raises:
        OutputError: The disk is full, or the like.
    """
    with writing(Path(target.name).parent):  # here, lest a reader around it take the error
        target.write(values, window=rasterio_window(window))


def _predictor(dtype: str, scheme: ClassScheme | None) -> int:
    if scheme is not None:
        return 1  # differences of class codes compress worse than the codes
    return 3 if np.issubdtype(np.dtype(dtype), np.floating) else 2
