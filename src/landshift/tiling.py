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


@dataclass(frozen=True)
class Block:
    """Neighbouring tiles that are classified, written and noted as done together.

    Attributes:
        number: Its place in the plan, from 0.
        window: What its tiles' cores cover.
        tiles: The tiles, row by row.
    """

    number: int
    window: Window
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Plan:
    """Tiles over a raster, in blocks.

    Blocks follow each other down macro-columns, so that a halo is still in GDAL's cache when the
    next tile down needs it, and the cache stays small however wide the raster is.

    Attributes:
        height: Rows of the raster.
        width: Columns.
        core: Rows and columns of a tile that are kept; the last tile of a row or column keeps
            what is left.
        padding: Pixels around a core that the model sees and that are thrown away.
        group: Rows and columns of tiles in a block.
        ground: Where there is something to see, which may be more than the raster that is
            covered; windows stay inside as far as they can. None: they lie around their cores.
    """

    height: int
    width: int
    core: tuple[int, int]
    padding: int
    group: tuple[int, int]
    ground: Window | None = None

    @property
    def tile(self) -> tuple[int, int]:
        """Rows and columns that the model sees."""
        height, width = (c + 2 * self.padding for c in self.core)
        if self.ground is None:
            return height, width
        most = (_up(side, 2 * _HALF) for side in (self.ground.height, self.ground.width))
        return min(height, next(most)), min(width, next(most))

    @property
    def reach(self) -> int:
        """Pixels that a window reaches beyond its tile's core at most, moved or not."""
        if self.ground is None:
            return self.padding
        sides = zip((self.height, self.width), self.core, strict=True)
        return max(2 * self.padding + core - 1 - (length - 1) % core for length, core in sides)

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        rows, columns = self._blocks
        return rows * columns

    def window(self, number: int) -> Window:
        """What a block covers."""
        rows, _ = self._blocks
        column, row = divmod(number, rows)
        down, right = self.group[0] * self.core[0], self.group[1] * self.core[1]
        top, left = row * down, column * right
        return Window(top, left, min(down, self.height - top), min(right, self.width - left))

    def block(self, number: int) -> Block:
        """A block by its number."""
        window = self.window(number)
        return Block(number, window, tuple(self.tiles_over(window)))

    def tiles_over(self, window: Window) -> Iterator[Tile]:
        """The tiles whose cores meet a window of the raster, row by row."""
        (down, right), (height, width) = self.core, self.tile
        for row in range(window.row // down * down, window.row + window.height, down):
            for column in range(
                window.column // right * right, window.column + window.width, right
            ):
                core = Window(
                    row, column, min(down, self.height - row), min(right, self.width - column)
                )
                top, left = row - self.padding, column - self.padding
                if self.ground is not None:
                    top = _moved(top, height, self.ground.row, self.ground.height)
                    left = _moved(left, width, self.ground.column, self.ground.width)
                yield Tile(Window(top, left, height, width), core)

    @property
    def _blocks(self) -> tuple[int, int]:
        down, right = self.group[0] * self.core[0], self.group[1] * self.core[1]
        return -(-self.height // down), -(-self.width // right)


def plan_inference(
    height: int,
    width: int,
    *,
    padding: int,
    tile_size: int | None = None,
    most: int = 1024,
    stored: tuple[int, int] = (1, 1),
    block_size: tuple[int, int] = (1024, 4096),
    ground: Window | None = None,
) -> Plan:
    """Tiles whose cores cover every pixel of a raster once.

    With a tile size the cores are what the padding leaves of it, and windows lie around them.
    Without one the cores divide the raster evenly, in whole blocks of the file where that costs no
    more than `_ALIGNED` of the work, else in multiples of 32 pixels; padding is then rounded up to
    a multiple of 16, and windows stay where there is ground.

    Args:
        height: Rows of the raster.
        width: Columns.
        padding: Pixels thrown away on each side of a tile.
        tile_size: Rows and columns that the model sees; None: chosen.
        most: Rows and columns of a chosen core at most.
        stored: Rows and columns of the blocks that the file is stored in.
        block_size: Rows and columns of a block of tiles at most, if that holds a tile.
        ground: Where there is something to see; None: in the raster.

    Raises:
        ParameterError: The padding leaves no core, or is negative.
    """
    if padding < 0:
        raise ParameterError(f"The padding must be at least 0, got {padding}.")
    if tile_size is None:
        padding = _up(padding, _HALF)
        core = (
            _even(height, padding, most, stored[0]), _even(width, padding, most, stored[1])
        )  # fmt: skip
    elif 2 * padding >= tile_size:
        raise ParameterError(
            f"The padding must be at least 0 and below half the tile size, got {padding} with "
            f"tiles of {tile_size}; a quarter of the tile is usual."
        )
    else:
        core = (tile_size - 2 * padding, tile_size - 2 * padding)
    group = (max(1, block_size[0] // core[0]), max(1, block_size[1] // core[1]))
    if tile_size is not None:
        return Plan(height, width, core, padding, group)
    return Plan(height, width, core, padding, group, ground or Window(0, 0, height, width))


_HALF = 16  # half of what a chosen tile's size is a multiple of: encoders halve it five times
_ALIGNED = 1.03


def _even(length: int, padding: int, most: int, stored: int) -> int:
    """The core along one axis."""
    pieces = -(-length // most)
    core = _up(-(-length // pieces), 2 * _HALF)
    aligned = _up(core, stored) if stored % (2 * _HALF) == 0 else core
    if aligned <= max(most, core) and _work(length, aligned, padding) <= _ALIGNED * _work(
        length, core, padding
    ):
        return aligned
    return core


def _work(length: int, core: int, padding: int) -> int:
    """Pixels along one axis that the model sees."""
    return -(-length // core) * (core + 2 * padding)


def _moved(start: int, size: int, first: int, length: int) -> int:
    """The start of a window moved along one axis to lie within others, at least from the first."""
    return max(first, min(start, first + length - size))


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _starts(length: int, tile_size: int, stride: int) -> list[int]:
    if length <= tile_size:
        return [0]
    starts = list(range(0, length - tile_size + 1, stride))
    if starts[-1] + tile_size < length:
        starts.append(length - tile_size)
    return starts
