"""The images of a date, read on a grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift import grid, raster
from landshift.errors import GridError, of_gdal, reason_of
from landshift.grid import Window
from landshift.images.placement import placed, reach
from landshift.images.planning import Layer, Plan, straightened
from landshift.raster import validity

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox
    from rasterio.io import DatasetReader


@contextmanager
def opened(plan: Plan, target: GeoBox, *, cache: int = raster.GDAL_CACHE) -> Iterator[ImageReader]:
    """An image open to be read on a grid; for one thread.

    Args:
        plan: The image.
        target: The grid.
        cache: Bytes for GDAL's blocks, of all open rasters together.

    Raises:
        RasterError: A file can't be read.
    """
    with ExitStack() as stack:
        yield ImageReader(plan, target, stack, cache)


class ImageReader:
    """An open image, read by windows of a target grid."""

    def __init__(self, plan: Plan, target: GeoBox, stack: ExitStack, cache: int) -> None:
        self._cache = cache
        self._plan = plan
        self._target = target
        self._stack = stack
        self._files: dict[str, DatasetReader] = {}
        self._placed = {
            layer: _Placed(layer, self._open(layer), target, layer.resampling, stack)
            for layer in plan.layers
        }
        self._quality = [
            (
                codes,
                [_Placed(one, self._open(one), target, "nearest", stack) for one in mosaic],
                reach(plan, target),
            )
            for codes, mosaic in plan.quality
        ]

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Values ``(band, row, column)`` and the mask ``(row, column)``, True where valid.

        Args:
            window: Pixels of the target grid.
        """
        parts = []
        mask = np.ones((window.height, window.width), np.bool_)
        for group in self._plan.stack:
            layers = [self._placed[layer] for layer in group]
            values, valid = _mosaic(layers, window, scaled=self._plan.image.scaled)
            parts.append(values)
            mask &= valid
        for codes, mosaic, around in self._quality:
            wide = window.grown(around)
            values, covered = _mosaic(mosaic, wide)
            clear = codes.valid(values[0]) & covered
            if around:
                from scipy import ndimage

                # a pixel off the quality band hides itself, not its neighbours
                spread = ndimage.binary_dilation(~clear & covered, iterations=around)
                clear &= ~spread
                clear = clear[around:-around, around:-around]
            mask &= clear
        typed = [part.astype(self._plan.dtype, copy=False) for part in parts]
        return np.concatenate(typed) if len(typed) > 1 else typed[0], mask

    def _open(self, layer: Layer) -> DatasetReader:
        if layer.path not in self._files:
            self._files[layer.path] = self._stack.enter_context(
                open_layer(layer, cache=self._cache)
            )
        return self._files[layer.path]


@contextmanager
def open_layer(layer: Layer, *, cache: int = raster.GDAL_CACHE) -> Iterator[Any]:
    """A layer's file, open on the grid that the layer states.

    Raises:
        RasterError: The file can't be read.
    """
    with ExitStack() as stack:
        source = stack.enter_context(raster.open_raster(layer.path, cache=cache))
        yield (stack.enter_context(straightened(source, layer.nodata)) if layer.derived else source)


class _Placed:
    """A layer on the target grid: copied where pixels coincide, else warped on the fly."""

    def __init__(
        self, layer: Layer, source: DatasetReader, target: GeoBox, how: str, stack: ExitStack
    ) -> None:
        self.layer = layer
        self._source = source
        self._place = placed(layer, target)
        self._warped: raster.Warped | None = None
        if self._place.offset is None:
            self._warped = stack.enter_context(_warped(layer, source, target, how))

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]] | None:
        """Values and mask; None where the layer has no pixel in the window."""
        if not self._place.overlaps(window):
            return None
        layer = self.layer
        with raster.reading(layer.path):
            if self._warped is not None:
                if not _touches(window, *self._warped.grid.shape):
                    return None
                return self._warped.read(window)
            rows, columns = self._place.offset or (0, 0)
            at = window.shifted(-rows, -columns)
            if not _touches(at, layer.info.height, layer.info.width):
                return None
            return raster.read(
                self._source, at, layer.numbers, nodata=layer.nodata, alpha=layer.alpha
            )


def _mosaic(
    layers: Sequence[_Placed], window: Window, *, scaled: bool = False
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The first layer's valid pixels, then the next one's in those that are left.

    Where values are scaled, each layer's own tags apply.
    """
    count = len(layers[0].layer.numbers)
    types = [np.dtype(one.layer.info.dtype) for one in layers]
    dtype = np.dtype(np.float32) if scaled else np.result_type(*types)
    values: NDArray[Any] | None = None
    mask = np.zeros((window.height, window.width), np.bool_)
    for one in layers:
        part = one.read(window)
        if part is None:
            continue
        read, valid = part
        if scaled:
            scales, offsets = (
                np.array(v, np.float32)[:, np.newaxis, np.newaxis]
                for v in (one.layer.scales, one.layer.offsets)
            )
            with np.errstate(invalid="ignore", over="ignore"):
                read = read.astype(np.float32) * scales + offsets
            valid = valid & np.isfinite(read).all(axis=0)  # tags can state anything
        if values is None or not mask.any():
            values, mask = read.astype(dtype, copy=False), valid
        else:
            new = valid & ~mask
            values[:, new] = read[:, new]
            mask |= new
        if mask.all():
            break
    if values is None:
        values = np.zeros((count, window.height, window.width), dtype)
    return values, mask


def _touches(window: Window, height: int, width: int) -> bool:
    """Whether a window has a pixel of a raster of this size."""
    return (
        window.row < height and window.row + window.height > 0
        and window.column < width and window.column + window.width > 0
    )  # fmt: skip


@contextmanager
def _warped(
    layer: Layer, source: DatasetReader, target: GeoBox, how: str
) -> Iterator[raster.Warped]:
    own = layer.info.grid
    try:
        rule = validity.of(source, layer.numbers, nodata=layer.nodata, alpha=layer.alpha)
        with raster.on_grid(source, own, target, how, rule=rule) as warped:
            yield warped
    except of_gdal() as error:
        raise GridError(
            f"An image must have a place on the target grid, got {grid.describe(own)} "
            f"for {grid.describe(target)} ({reason_of(error.__cause__ or error)}) in "
            f"{layer.path}; warp it by hand first (gdalwarp)."
        ) from error
