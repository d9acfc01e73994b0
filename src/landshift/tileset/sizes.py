"""Tile size and stride where they aren't given: chosen by the size of the rasters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from landshift.raster.tiling import Size, both, count_windows

TILE_SIZES = (256, 128, 64)
"""Rows and columns of tiles to choose from, the largest first. Halved five times, as encoders do,
each leaves two pixels or more."""

SMALLEST_TILE = 32
"""The smallest tile that is chosen: what is left of it after an encoder's five halvings is one
pixel. It is taken only where tiles of 64 pixels would be fewer than `LEAST_TILES`."""

ENOUGH_TILES = 100
"""Tiles that a set should have: with a tenth for validation, and those dropped whose ground
overlaps them, 60 to 80 are left for training, eight to ten batches of eight."""

LEAST_TILES = 40
"""Tiles below which those of 64 pixels are halved once more: about half of so few are left for
training, which is about `summary.FEW_TILES`."""


@dataclass(frozen=True)
class Sizes:
    """Tile size and stride of a set.

    Attributes:
        tile: Rows and columns of a tile.
        stride: Step between tiles down and to the right.
        why: Why the tile size was chosen, in plain words; '' where it was given.
    """

    tile: tuple[int, int]
    stride: tuple[int, int]
    why: str = ""


def choose_sizes(
    rasters: Sequence[tuple[int, int]], tile_size: Size | None = None, stride: Size | None = None
) -> Sizes:
    """Choose tile size and stride where they aren't given.

    The tile is the largest of `TILE_SIZES`, none smaller than the stride, that gives at least
    `ENOUGH_TILES` windows on all rasters together. If none does, it is the smallest of them, and
    `SMALLEST_TILE` where even that gives fewer than `LEAST_TILES`. The stride is half the tile.

    Args:
        rasters: Rows and columns of each raster.
        tile_size: Rows and columns of a tile; None: chosen.
        stride: Step between tiles down and to the right; None: half the tile.
    """
    if tile_size is not None:
        tile = both(tile_size)
        return Sizes(tile, _half(tile) if stride is None else both(stride))
    least = 1 if stride is None else max(both(stride))
    sizes = [size for size in (*TILE_SIZES, SMALLEST_TILE) if size >= least] or [least]
    for size in sizes:
        step = _half((size, size)) if stride is None else both(stride)
        count = sum(count_windows(*raster, size, step) for raster in rasters)
        if count >= _wanted(size):
            break
    return Sizes((size, size), step, _reason(size, sizes, count))


def _wanted(size: int) -> int:
    """Tiles for which a size is taken."""
    return ENOUGH_TILES if size > TILE_SIZES[-1] else LEAST_TILES


def _reason(size: int, sizes: Sequence[int], count: int) -> str:
    """Why a size was chosen: among sizes, the largest first, for the number of its tiles."""
    if size != sizes[0]:
        return f"larger ones would be fewer than {_wanted(sizes[sizes.index(size) - 1])}"
    if count >= _wanted(size):
        return f"they are at least {_wanted(size)}"
    return "the smallest for the stride"


def _half(size: tuple[int, int]) -> tuple[int, int]:
    return max(1, size[0] // 2), max(1, size[1] // 2)
