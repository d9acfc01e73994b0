"""Plans of tiles: their windows on a raster, and the part of each that is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from landshift.errors import ParameterError
from landshift.grid import Window


@dataclass(frozen=True)
class PaddedTile:
    """A window that a model reads, and its core, which is kept.

    Attributes:
        window: Pixels to read; may extend beyond the raster.
        core: Pixels to write; inside both the window and the raster.
    """

    window: Window
    core: Window

    @property
    def crop(self) -> tuple[slice, slice]:
        """Row and column slices of the core within the window."""
        return self.core.shifted(-self.window.row, -self.window.column).slices


Size = int | tuple[int, int]
"""Rows and columns, or one number for both."""


def training_windows(height: int, width: int, tile_size: Size, stride: Size) -> Iterator[Window]:
    """Windows of a training set: every ``stride`` pixels, the last ones flush with the far edges.

    A raster smaller than a tile gives one window, which extends beyond it.

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


def count_windows(height: int, width: int, tile_size: Size, stride: Size) -> int:
    """Number of `training_windows`, without listing them; arguments as there."""
    (rows, columns), (down, right) = both(tile_size), both(stride)
    return len(_starts(height, rows, down)) * len(_starts(width, columns, right))


def both(size: Size) -> tuple[int, int]:
    """Rows and columns of a size given as one number or as both."""
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


@dataclass(frozen=True)
class TileBlock:
    """Neighbouring tiles that are classified, written and recorded as done together.

    Attributes:
        number: Index in the plan.
        window: Union of its tiles' cores.
        tiles: The tiles, row by row.
    """

    number: int
    window: Window
    tiles: tuple[PaddedTile, ...]


@dataclass(frozen=True)
class TilePlan:
    """Tiles over a raster, in blocks.

    Blocks go down columns of tiles, so that a halo is still in GDAL's cache when the next tile
    below needs it, and the cache stays small for rasters of any width.

    Attributes:
        height: Rows of the raster.
        width: Columns.
        core: Rows and columns of a tile that are kept. The first and last tile of a row or column
            also keep the padding on a side without further data; the last keeps at most what
            remains.
        padding: Pixels around a core that the model reads, and whose results are discarded.
        group: Rows and columns of tiles in a block.
        ground: Pixels with data, which may exceed the raster; windows stay inside if they can.
            None: windows are centred on their cores.
    """

    height: int
    width: int
    core: tuple[int, int]
    padding: int
    group: tuple[int, int]
    ground: Window | None = None

    @property
    def tile(self) -> tuple[int, int]:
        """Rows and columns of a window."""
        rows, columns = self.axes
        return rows.size, columns.size

    @property
    def reach(self) -> int:
        """Largest distance in pixels that a window extends beyond its tile's core."""
        return max(axis.reach for axis in self.axes)

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        rows, columns = self._blocks
        return rows * columns

    def window(self, number: int) -> Window:
        """The window of a block."""
        down, right = self.axes
        column, row = divmod(number, self._blocks[0])
        top, bottom = down.kept(row * self.group[0], self.group[0])
        left, end = right.kept(column * self.group[1], self.group[1])
        return Window(top, left, bottom - top, end - left)

    def block(self, number: int) -> TileBlock:
        """A block by its number."""
        window = self.window(number)
        return TileBlock(number, window, tuple(self.tiles_over(window)))

    def count_over(self, window: Window) -> int:
        """Number of the tiles whose cores overlap a window of the raster."""
        down, right = self.axes
        rows = len(down.over(window.row, window.height))
        return rows * len(right.over(window.column, window.width))

    def tiles_over(self, window: Window) -> Iterator[PaddedTile]:
        """The tiles whose cores overlap a window of the raster, row by row."""
        down, right = self.axes
        for row in down.over(window.row, window.height):
            for column in right.over(window.column, window.width):
                (top, bottom), (left, end) = down.kept(row), right.kept(column)
                yield PaddedTile(
                    Window(down.seen(row), right.seen(column), down.size, right.size),
                    Window(top, left, bottom - top, end - left),
                )

    @property
    def axes(self) -> tuple[TileAxis, TileAxis]:
        """Tiles along the rows and along the columns."""
        rows = columns = None
        if self.ground is not None:
            rows = self.ground.row, self.ground.row + self.ground.height
            columns = self.ground.column, self.ground.column + self.ground.width
        return (
            TileAxis(self.height, self.core[0], self.padding, rows),
            TileAxis(self.width, self.core[1], self.padding, columns),
        )

    @property
    def _blocks(self) -> tuple[int, int]:
        down, right = self.axes
        return -(-down.count // self.group[0]), -(-right.count // self.group[1])


@dataclass(frozen=True)
class TileAxis:
    """Tiles along the rows or the columns of a raster.

    Attributes:
        length: Pixels of the raster.
        core: Pixels that a tile keeps.
        padding: Pixels around them.
        ground: First pixel with data, and the first after the last; None: windows are centred on
            their cores.
    """

    length: int
    core: int
    padding: int
    ground: tuple[int, int] | None

    @property
    def more(self) -> tuple[int, int]:
        """Additional pixels that the first and the last tile keep, at sides without data."""
        if self.ground is None:
            return 0, 0
        start, end = self.ground
        return max(self.padding + start, 0), max(self.padding - (end - self.length), 0)

    @property
    def count(self) -> int:
        """Number of tiles."""
        return max(1, -(-(self.length - sum(self.more)) // self.core))

    @property
    def size(self) -> int:
        """Length of a window in pixels."""
        size = self.core + 2 * self.padding
        if self.ground is None:
            return size
        return min(size, _up(self.ground[1] - self.ground[0], 2 * _HALF))

    @property
    def reach(self) -> int:
        """Largest distance in pixels that a window extends beyond its tile's core."""
        reach = self.padding
        for number in (0, self.count - 1):
            (start, end), seen = self.kept(number), self.seen(number)
            reach = max(reach, start - seen, seen + self.size - end)
        return reach

    def kept(self, number: int, tiles: int = 1) -> tuple[int, int]:
        """First pixel that a number of tiles keep, and the first after the last."""
        first, last = number, number + tiles
        start = self.more[0] + first * self.core if first else 0
        return start, self.length if last >= self.count else self.more[0] + last * self.core

    def seen(self, number: int) -> int:
        """First pixel of a tile's window."""
        start = self.more[0] + number * self.core - self.padding
        if self.ground is None:
            return start
        return max(self.ground[0], min(start, self.ground[1] - self.size))

    def over(self, start: int, length: int) -> range:
        """Numbers of the tiles that keep some of these pixels."""
        first, last = (
            min(max(pixel - self.more[0], 0) // self.core, self.count - 1)
            for pixel in (start, start + length - 1)
        )
        return range(first, last + 1)


def plan_inference(
    height: int,
    width: int,
    *,
    padding: int,
    tile_size: int | None = None,
    most: int = 1024,
    block_size: tuple[int, int] = (1024, 4096),
    ground: Window | None = None,
) -> TilePlan:
    """Plan tiles whose cores cover every pixel of a raster once.

    With a tile size, the cores are the tile less the padding, and windows are centred on them.
    Without one, the cores divide the raster evenly in multiples of 32 pixels (blocks of the file
    would save less reading than they cost computation), the padding is rounded up to a multiple of
    16, and windows stay inside the pixels with data.

    Args:
        height: Rows of the raster.
        width: Columns.
        padding: Pixels discarded on each side of a tile.
        tile_size: Rows and columns of a window; None: chosen.
        most: Largest rows and columns of a chosen core.
        block_size: Largest rows and columns of a block of tiles; a block holds at least one tile.
        ground: Pixels with data; None: the raster.

    Raises:
        ParameterError: The padding leaves no core, or is negative.
    """
    if padding < 0:
        raise ParameterError(f"The padding must be at least 0, got {padding}.")
    if tile_size is None:
        padding = _up(padding, _HALF)
        widest = TilePlan(
            height, width, (most, most), padding, (1, 1), ground or Window(0, 0, height, width)
        )
        ground = widest.ground
        core = _even(widest.axes[0]), _even(widest.axes[1])
    elif 2 * padding >= tile_size:
        raise ParameterError(
            f"The padding must be at least 0 and below half the tile size, got {padding} with "
            f"tiles of {tile_size}; a quarter of the tile is usual."
        )
    else:
        core, ground = (tile_size - 2 * padding, tile_size - 2 * padding), None
    group = (max(1, block_size[0] // core[0]), max(1, block_size[1] // core[1]))
    return TilePlan(height, width, core, padding, group, ground)


_HALF = 16  # half the multiple of a chosen tile size: encoders halve it five times


def _even(axis: TileAxis) -> int:
    """Core size along an axis that divides it evenly, at most that of the axis."""
    inner = axis.length - sum(axis.more)
    return _up(-(-max(inner, 1) // axis.count), 2 * _HALF)


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _starts(length: int, tile_size: int, stride: int) -> list[int]:
    if length <= tile_size:
        return [0]
    starts = list(range(0, length - tile_size + 1, stride))
    if starts[-1] + tile_size < length:
        starts.append(length - tile_size)
    return starts
