"""Tile size and stride where they aren't given: chosen by the size of the rasters."""

from __future__ import annotations

from collections.abc import Sequence

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


def choose_sizes(
    rasters: Sequence[tuple[int, int]], tile_size: Size | None = None, stride: Size | None = None
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Choose tile size and stride where they aren't given.

    The tile is the largest of `TILE_SIZES`, none smaller than the stride, that gives at least
    `ENOUGH_TILES` windows on all rasters together. If none does, it is the smallest of them, and
    `SMALLEST_TILE` where even that gives fewer than `LEAST_TILES`. The stride is half the tile.

    Args:
        rasters: Rows and columns of each raster.
        tile_size: Rows and columns of a tile; None: chosen.
        stride: Step between tiles down and to the right; None: half the tile.

    Returns:
        Tile size and stride, each as rows and columns.
    """
    if tile_size is not None:
        return both(tile_size), _half(both(tile_size)) if stride is None else both(stride)
    least = 1 if stride is None else max(both(stride))
    steps = {
        size: _half((size, size)) if stride is None else both(stride) for size in _sizes(least)
    }
    counts = {
        size: sum(count_windows(*raster, size, step) for raster in rasters)
        for size, step in steps.items()
    }
    *larger, smallest = steps
    wanted = {size: ENOUGH_TILES if size > TILE_SIZES[-1] else LEAST_TILES for size in larger}
    size = next((s for s, enough in wanted.items() if counts[s] >= enough), smallest)
    return (size, size), steps[size]


def _sizes(least: int) -> list[int]:
    """Tile sizes that a stride allows, the largest first."""
    sizes = [size for size in (*TILE_SIZES, SMALLEST_TILE) if size >= least]
    return sizes or [least]


def _half(size: tuple[int, int]) -> tuple[int, int]:
    return max(1, size[0] // 2), max(1, size[1] // 2)
