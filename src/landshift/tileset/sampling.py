"""Pixels of windows, rotated on request, from rasters read row by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift import raster
from landshift.grid import Window
from landshift.raster import validity

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

ROWS_BYTES = 256 << 20
"""Bytes of a raster's rows to keep; if the rows of a tile need more, none are kept."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class RowCache:
    """Reads windows of an open raster, without alpha, and keeps their rows.

    Tiles overlap: without the cache, a pixel would be read for each of its tiles.

    Args:
        source: An open raster.
        reach: Largest number of rows in a window.
    """

    def __init__(self, source: DatasetReader, reach: int) -> None:
        self.source = source
        self.reach = min(reach, source.height)
        self._bands = validity.data_bands(source)
        pixel = len(self._bands) * np.dtype(source.dtypes[0]).itemsize + 1
        self.keeps = self.reach * source.width * pixel <= ROWS_BYTES
        self._first = self._end = 0
        self._values: NDArray[Any] = np.empty((len(self._bands), 0, source.width), source.dtypes[0])
        self._mask: NDArray[np.bool_] = np.empty((0, source.width), np.bool_)

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Values and mask of a window, as from `raster.read`; the caller may modify them."""
        if not self.keeps:
            return raster.read(self.source, window, self._bands)
        if not _overlaps(window, self.source):
            return self._nothing(window)
        inside = window.clipped(self.source.height, self.source.width)
        self._keep(inside.row, inside.row + inside.height)
        part = inside.shifted(-self._first, 0).slices
        if inside == window:
            return self._values[:, *part].copy(), self._mask[part].copy()
        values, mask = self._nothing(window)
        at = inside.shifted(-window.row, -window.column).slices
        values[:, *at], mask[at] = self._values[:, *part], self._mask[part]
        return values, mask

    def _nothing(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        shape = (window.height, window.width)
        return (
            np.zeros((len(self._bands), *shape), self._values.dtype),
            np.zeros(shape, np.bool_),
        )

    def _keep(self, first: int, end: int) -> None:
        """Read these rows, and those below them that the next windows need."""
        if self._first <= first and end <= self._end:
            return
        end = max(end, min(first + self.reach, self.source.height))
        start = self._end if self._first <= first < self._end else first
        rows = Window(start, 0, end - start, self.source.width)
        new = raster.read(self.source, rows, self._bands)
        if start > first:
            kept = slice(first - self._first, None)
            new = (
                np.concatenate([self._values[:, kept], new[0]], axis=1),
                np.concatenate([self._mask[kept], new[1]]),
            )
        self._values, self._mask = new
        self._first, self._end = first, end


@dataclass(frozen=True)
class Turn:
    """Positions of a rotated tile's pixels, relative to its window's first pixel.

    The tile's frame is rotated clockwise about its centre, so it covers ground beside the window.

    Attributes:
        angle: Angle in degrees.
        around: The window that contains all source pixels, for a tile at row 0, column 0.
        row: Row of each pixel's centre within `around`, in pixels from the first one's centre.
        column: Column, likewise.
    """

    angle: float
    around: Window
    row: Floats
    column: Floats

    @classmethod
    def of(cls, angle: float, height: int, width: int) -> Turn:
        """The rotation of tiles of a size by an angle in degrees."""
        transform = turned(angle, height, width)
        column, row = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        x = transform.a * column + transform.b * row + transform.c - 0.5
        y = transform.d * column + transform.e * row + transform.f - 0.5
        x, y = np.round(x, 9), np.round(y, 9)  # makes quarter turns exact
        top, left = int(np.floor(y.min())), int(np.floor(x.min()))
        bottom, right = int(np.floor(y.max())) + 2, int(np.floor(x.max())) + 2
        return cls(angle, Window(top, left, bottom - top, right - left), y - top, x - left)

    def nearest(
        self, values: NDArray[Any], mask: NDArray[np.bool_]
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """The pixel at each centre, from ``(band, row, column)`` values and their mask."""
        rows, columns = _round(self.row), _round(self.column)
        return values[:, rows, columns], mask[rows, columns]

    def bilinear(
        self, values: NDArray[Any], mask: NDArray[np.bool_]
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Bilinear interpolation at each centre; valid where all contributing pixels are.

        Integers are rounded to the nearest.
        """
        rows, columns = np.floor(self.row).astype(np.int64), np.floor(self.column).astype(np.int64)
        down, right = self.row - rows, self.column - columns
        result = np.zeros((len(values), *rows.shape), np.float64)
        valid = np.ones(rows.shape, np.bool_)
        for low, weight_y in ((0, 1 - down), (1, down)):
            for side, weight_x in ((0, 1 - right), (1, right)):
                weight = weight_y * weight_x
                r, c = rows + low, columns + side
                valid &= mask[r, c] | (weight == 0)
                corner = values[:, r, c].astype(np.float64)
                result += np.where(weight > 0, corner, 0) * weight  # no NaN times 0
        if np.issubdtype(values.dtype, np.integer):
            result = np.rint(result)
        result[:, ~valid] = 0
        return result.astype(values.dtype), valid


def turned(angle: float, height: int, width: int) -> Any:
    """The affine transform of a tile's frame rotated clockwise about its centre, in pixels."""
    from affine import Affine

    there = Affine.translation(width / 2, height / 2)
    back = Affine.translation(-width / 2, -height / 2)
    return there @ Affine.rotation(angle) @ back


def _overlaps(window: Window, source: DatasetReader) -> bool:
    below = window.row + window.height > 0 and window.row < source.height
    return below and window.column + window.width > 0 and window.column < source.width


def _round(position: Floats) -> Ints:
    nearest: Ints = np.floor(position + 0.5).astype(np.int64)
    return nearest
