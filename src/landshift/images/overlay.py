"""Rasters read on another raster's grid, window by window."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from landshift import grid, raster
from landshift.errors import GridError, ParameterError, of_gdal
from landshift.grid import Window
from landshift.raster import validity

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

ClassResampling = Literal["nearest", "mode"]
"""How class maps may be resampled."""

ImageResampling = Literal["nearest", "bilinear", "cubic", "average"]
"""How images may be resampled."""

CLASS_RESAMPLINGS: tuple[str, ...] = get_args(ClassResampling)
IMAGE_RESAMPLINGS: tuple[str, ...] = get_args(ImageResampling)

_TOLERANCE = 1e-9  # of a pixel; with GDAL's 0.125 the result depends on the windows


@dataclass(frozen=True)
class OverlayLayer:
    """An open raster, read on a grid that may differ from its own.

    Attributes:
        path: The file.
        dtype: Its pixel type.
        bands: Name of each of its bands, without alpha; '' where the file has none.
        height: Rows of the grid.
        width: Columns of the grid.
    """

    path: Path
    dtype: np.dtype[Any]
    bands: tuple[str, ...]
    height: int
    width: int
    _read: Callable[[Window, Sequence[int]], tuple[NDArray[Any], NDArray[np.bool_]]]
    _numbers: tuple[int, ...]

    def read(
        self, window: Window, bands: Sequence[int] | None = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Values and mask of a window, as `raster.read` gives them.

        Raises:
            RasterError: The file breaks off or is damaged there.
        """
        return self._read(window, self._numbers if bands is None else bands)


@contextmanager
def on_grid(
    path: Path | str,
    box: GeoBox,
    *,
    resampling: str | None,
    bands: Sequence[int] | None = None,
    allowed: Sequence[str] = CLASS_RESAMPLINGS,
    nodata: float | None = None,
    what: str = "Class maps",
    names: tuple[str, str] = ("before", "after"),
) -> Iterator[OverlayLayer]:
    """Open a raster to read it on a grid, resampled on the fly where its own is another.

    Coordinates are transformed exactly for every pixel, so that values don't depend on the windows
    they are read in.

    Args:
        path: The raster.
        box: The grid.
        resampling: How to resample; None: the grids must be one.
        bands: Numbers of the bands that are read, from 1; None for all but an alpha band.
        allowed: The resamplings that make sense for the raster.
        nodata: A value that means 'no data' beside the file's own; None for none.
        what: Name of the rasters that must share a grid, for the error.
        names: How the error names the grid and the raster.

    Raises:
        ParameterError: A resampling that isn't allowed.
        GridError: The grids differ and ``resampling`` is None, a CRS is missing, or the two lie
            apart on the ground.
        RasterError: The raster can't be read.
    """
    if resampling is not None and resampling not in allowed:
        raise ParameterError(
            f"`resampling` must be one of {', '.join(allowed)}, got {resampling!r}; choose one."
        )
    with raster.open_raster(path) as source:
        own = raster.grid_of(source)
        dtype = np.dtype(source.dtypes[0])
        info = raster.info_of(source)  # also checks that the bands share a pixel type
        numbers = info.numbers if bands is None else tuple(bands)
        names_read = tuple(info.bands[k - 1] for k in numbers)
        about = (Path(path), dtype, names_read, box.height, box.width)
        if grid.same(box, own):
            yield OverlayLayer(*about, partial(raster.read, source, also=nodata), numbers)
            return
        differ = f"got {grid.describe(box)} {names[0]} and {grid.describe(own)} {names[1]}"
        if resampling is None:
            raise GridError(
                f"{what} must share a grid, {differ}; "
                f"give `resampling` ({' or '.join(allowed)}) or align one to the other first."
            )
        if box.crs is None or own.crs is None:
            raise GridError(f"Resampling needs a CRS on both grids, {differ}; assign it first.")
        if not _meet(box, own):
            raise GridError(f"{what} must overlap on the ground, {differ}; check their CRS.")
        rule = validity.of(source, numbers, also=nodata)
        with raster.on_grid(
            source, own, box, resampling, rule=rule, tolerance=_TOLERANCE
        ) as resampled:
            yield OverlayLayer(*about, resampled.read, numbers)


def _meet(box: GeoBox, own: GeoBox) -> bool:
    """Whether two grids may overlap on the ground, judged by their outlines."""
    verdicts = [_apart(box, own), _apart(own, box)]
    known = [v for v in verdicts if v is not None]
    return not known or not all(known)


def _apart(first: GeoBox, second: GeoBox) -> bool | None:
    """Whether the outline of a grid, in the other's CRS, misses it; None where it is unknown.

    A CRS may cover only a part of the Earth, so that one direction works where the other fails.
    """
    from rasterio.warp import transform_bounds

    here, there = first.extent.boundingbox, second.extent.boundingbox
    try:
        left, bottom, right, top = transform_bounds(
            str(second.crs), str(first.crs), there.left, there.bottom, there.right, there.top
        )
    except of_gdal():
        return None
    if not np.isfinite([left, bottom, right, top]).all() or left > right:
        return None  # out of the CRS, or over the antimeridian
    return bool(
        left >= here.right or right <= here.left or bottom >= here.top or top <= here.bottom
    )
