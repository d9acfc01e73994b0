"""Plans of windows: where tiles lie on a raster, which part of each is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from landshift.errors import ParameterError
from landshift.grid import Window


@dataclass(frozen=True)
class Tile:
    """A window that a model sees, and the core of it that is kept.

    Attributes:
        window: What is read; may reach over the raster's edge.
        core: What is written; inside both the window and the raster.
    """

    window: Window
    core: Window

    @property
    def crop(self) -> tuple[slice, slice]:
        """Row and column slices that cut the core out of the window's data."""
        return self.core.shifted(-self.window.row, -self.window.column).slices


Size = int | tuple[int, int]
"""Rows and columns, or one number for both."""


def training_windows(height: int, width: int, tile_size: Size, stride: Size) -> Iterator[Window]:
    """Windows of a training set: every ``stride`` pixels, and flush with the far edges.

    A raster smaller than a tile gives one window that reaches over its edge.

    Args:
        height: Rows of the raster.
        width: Columns.
        tile_size: Rows and columns of a tile; one number for both.
        stride: Step between tiles down and to the right, in pixels; one number for both.

    Raises:
        ParameterError: A size or stride below 1, or a stride larger than the tile.
    """
    (rows, columns), (down, right) = both(tile_size), both(stride)
    for step, size in ((down, rows), (right, columns)):
        if not 1 <= step <= size:
            raise ParameterError(
                f"The stride must be between 1 and the tile size, got {step} with tiles of "
                f"{size}; a larger one leaves ground out."
            )
    for row in _starts(height, rows, down):
        for column in _starts(width, columns, right):
            yield Window(row, column, rows, columns)


def both(size: Size) -> tuple[int, int]:
    """Rows and columns of a size given as one number or as both."""
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def inference_tiles(height: int, width: int, tile_size: int, padding: int) -> Iterator[Tile]:
    """Tiles whose cores cover every pixel of a raster once, row by row.

    Args:
        height: Rows of the raster.
        width: Columns.
        tile_size: Rows and columns that the model sees.
        padding: Pixels thrown away on each side of a tile.

    Raises:
        ParameterError: The padding leaves no core.
    """
    if padding < 0 or 2 * padding >= tile_size:
        raise ParameterError(
            f"The padding must be at least 0 and below half the tile size, got {padding} with "
            f"tiles of {tile_size}; a quarter of the tile is usual."
        )
    step = tile_size - 2 * padding
    for row in range(0, height, step):
        for column in range(0, width, step):
            core = Window(row, column, min(step, height - row), min(step, width - column))
            window = Window(row - padding, column - padding, tile_size, tile_size)
            yield Tile(window, core)


def _starts(length: int, tile_size: int, stride: int) -> list[int]:
    if length <= tile_size:
        return [0]
    starts = list(range(0, length - tile_size + 1, stride))
    if starts[-1] + tile_size < length:
        starts.append(length - tile_size)
    return starts
