"""Resampling of rasters to another grid or cell size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift import grid
from landshift.errors import GridError, ParameterError
from landshift.grid import Window
from landshift.raster import validity
from landshift.raster.reader import open_raster, rasterio_window, reading

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox
    from rasterio.io import DatasetReader


class Warped:
    """A raster on another grid, resampled while it is read.

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
        rule: validity.Validity,
        stack: ExitStack,
        tolerance: float | None,
    ) -> None:
        self.grid, self.bands = box, rule.bands
        self.dtype = np.dtype(source.dtypes[0])
        self._name = source.name
        self._own, self._resampling, self._tolerance = own, resampling, tolerance
        self._says, self._stack = rule, stack
        self._shown, self._alpha = stack.enter_context(validity.presented(source, rule))
        self._opened: dict[str, Any] = {}
        for nodata in self._nodata:
            self._warped(nodata)  # fails here if GDAL can't warp the raster

    @property
    def _nodata(self) -> list[float | None]:
        """The nodata value of each band for GDAL."""
        rule = self._says
        nan = float("nan") if self.dtype.kind == "f" else None
        return [n if n is not None else rule.also if rule.also is not None else nan
                for n in rule.nodata]  # fmt: skip

    def read(
        self, window: Window, bands: Sequence[int] | None = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Values and mask of a window, as `read` returns them.

        Args:
            window: Pixels of the grid; those outside it are 0 and invalid.
            bands: Some of `bands`; None for all.
        """
        wanted = list(self.bands if bands is None else bands)
        places = [self.bands.index(k) for k in wanted]
        inside = window.clipped(self.grid.height, self.grid.width)
        rows, columns = inside.shifted(-window.row, -window.column).slices
        at = rasterio_window(inside)
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
        """The raster warped with one nodata value; without one, its last band is alpha."""
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
    rule: validity.Validity | None = None,
    tolerance: float | None = None,
) -> Iterator[Warped]:
    """A raster resampled to another grid on the fly, each band from its own valid pixels.

    Args:
        source: The open raster.
        own: Its grid, with a CRS that the file may lack.
        box: The other grid.
        resampling: GDAL's name of the method.
        rule: The bands to read, and their valid pixels; None: all but an alpha band, as the file
            states.
        tolerance: Largest error of interpolated coordinates in pixels; None: GDAL's 0.125, with
            which the result depends slightly on the windows read.
    """
    with ExitStack() as stack:
        yield Warped(source, own, box, resampling, rule or validity.of(source), stack, tolerance)


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
        ParameterError: A size not above 0, or larger than the raster.
        GridError: No CRS, or a size too small for GDAL.
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
            f"`cell_size` must be above 0 and smaller than the raster, got {cell_size:g} for "
            f"pixels of {across:g} x {down:g}."
        )
    if source.crs is None:
        raise GridError(f"Another cell size needs a CRS, got a raster without one: {source.name}.")
    transform = Affine(
        a.a / across * cell_size, a.b / down * cell_size, a.c,
        a.d / across * cell_size, a.e / down * cell_size, a.f,
    )  # fmt: skip
    own = grid.geobox(source.height, source.width, a, source.crs)
    box = grid.geobox(round(rows), round(columns), transform, source.crs)
    with on_grid(source, own, box, "bilinear", rule=validity.of(source, bands)) as resampled:
        yield resampled


def preview(
    path: Path | str, size: int, bands: Sequence[int] | None = None, *, classes: bool = False
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Read a raster at preview size, from its overviews if it has some.

    Args:
        path: The raster.
        size: Largest number of rows or columns.
        bands: Numbers of the bands, from 1; None for all.
        classes: Whether values are classes, sampled by the nearest pixel; else they are averaged.

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
    """Read a window in fewer pixels, from the raster's overviews if it has some.

    Args:
        source: An open raster.
        window: Pixels to read; all inside the raster.
        shape: Rows and columns of the result, at most those of the window.
        bands: Numbers of the bands, from 1; None for all.
        nodata: As for `read`.
        alpha: As for `read`.
        classes: Whether values are classes, sampled by the nearest pixel; else they are averaged.

    Returns:
        As `read`.
    """
    from rasterio.enums import Resampling

    rule = validity.of(source, bands, nodata=nodata, alpha=alpha)
    numbers = list(rule.bands)
    where: dict[str, Any] = {
        "window": rasterio_window(window), "out_shape": (len(numbers), *shape),
    }  # fmt: skip
    how = Resampling.nearest if classes else Resampling.average
    with (
        reading(source.name),
        validity.presented(source, rule, averaged=not classes) as (shown, _),
    ):
        values = shown.read(numbers, resampling=how, **where)
        # averages never contain nodata if GDAL applies a mask instead
        nearest = values if classes else source.read(numbers, **where)
        mask = rule.mask(source, nearest, **where)
    return values, mask
