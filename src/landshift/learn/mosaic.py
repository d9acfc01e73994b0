"""What is known of a tile set's pixels, on the ground that the tiles cover."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift import grid
from landshift.grid import Window
from landshift.tileset import TileSet

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

_OFF = 1e-3  # of a pixel, that tiles of one grid may lie off it


@dataclass(frozen=True)
class Layout:
    """Where the pixels of each tile lie among those of all.

    Attributes:
        places: First row and column of each tile.
        shape: Rows and columns of all.
        box: Their grid; None where the tiles are none of one grid, and lie below each other.
    """

    places: Sequence[tuple[int, int]]
    shape: tuple[int, int]
    box: GeoBox | None

    @classmethod
    def of(cls, tiles: TileSet) -> Layout:
        """The layout of a set: on the ground, unless tiles are turned or of several grids or dates.

        Two tiles of the same ground are of different dates.
        """
        height, width = tiles.height, tiles.width
        below = [(k * (height + 1), 0) for k in range(len(tiles.tiles))]  # a line apart
        apart = cls(below, (len(below) * (height + 1), width), None)
        bounds = [t.bounds for t in tiles.tiles if t.bounds is not None]
        one_crs = len({t.crs for t in tiles.tiles}) == 1
        if tiles.cell_size is None or not one_crs or len(set(bounds)) < len(tiles.tiles):
            return apart
        from affine import Affine

        box = np.array(bounds)
        x, y = tiles.cell_size
        left, top = box[:, 0].min(), box[:, 3].max()
        columns, rows = (box[:, 0] - left) / x, (top - box[:, 3]) / y
        size = np.stack([(box[:, 2] - box[:, 0]) / x - width, (box[:, 3] - box[:, 1]) / y - height])
        off = [columns - columns.round(), rows - rows.round(), size]
        if max(float(np.abs(each).max()) for each in off) > _OFF:
            return apart
        places = list(zip(rows.round().astype(int).tolist(), columns.round().astype(int).tolist(),
                          strict=True))  # fmt: skip
        shape = (max(r for r, _ in places) + height, max(c for _, c in places) + width)
        transform = Affine(x, 0.0, left, 0.0, -y, top)
        return cls(places, shape, grid.geobox(*shape, transform, tiles.tiles[0].crs))


class Mosaic:
    """Values of all pixels in files of a folder, so that memory doesn't follow the ground.

    Where tiles overlap, the tile counts in which a pixel lies farthest from the edge.

    Attributes:
        layout: Where the tiles lie.
        values: Arrays ``(row, column)`` by name; 0 where no tile lies.
    """

    def __init__(self, layout: Layout, dtypes: dict[str, str], folder: Path) -> None:
        """Make empty values.

        Args:
            layout: Where the tiles lie.
            dtypes: Pixel type of each value.
            folder: An empty folder that outlives it.
        """
        self.layout = layout
        kinds = {**dtypes, "edge": "uint16"}
        self.values: dict[str, NDArray[Any]] = {
            name: np.memmap(folder / name, dtype, "w+", shape=layout.shape)
            for name, dtype in kinds.items()
        }

    def put(self, tile: int, values: dict[str, NDArray[Any]]) -> None:
        """Take the values ``(row, column)`` of a tile where it counts."""
        height, width = next(iter(values.values())).shape
        rows, columns = (np.minimum(np.arange(n), np.arange(n)[::-1]) + 1 for n in (height, width))
        edge = np.minimum(rows[:, None], columns[None])
        at = Window(*self.layout.places[tile], height, width).slices
        counts = edge > self.values["edge"][at]
        for name, own in {**values, "edge": edge}.items():
            self.values[name][at] = np.where(counts, own, self.values[name][at])

    def read(self, name: str, window: Window) -> NDArray[Any]:
        """Values of a window, which may lie beyond the tiles: 0 there."""
        values = self.values[name]
        part = np.zeros((window.height, window.width), values.dtype)
        top, left = max(window.row, 0), max(window.column, 0)
        bottom = min(window.row + window.height, values.shape[0])
        right = min(window.column + window.width, values.shape[1])
        if top < bottom and left < right:
            inside = Window(top, left, bottom - top, right - left)
            at = inside.shifted(-window.row, -window.column).slices
            part[at] = values[inside.slices]
        return part
