"""Several tile sets as one: the same bands, classes and tile size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from landshift.errors import TileSetError, plain
from landshift.tileset.tiles import TileSet


def join(sets: Sequence[TileSet]) -> TileSet:
    """One set of the tiles of several, in their order; statistics are pooled over its tiles.

    Args:
        sets: One set or more.

    Raises:
        TileSetError: They differ in bands, pixel type, nodata value, tile size, cell size or
            classes, or one is given twice.
    """
    first = sets[0]
    folders = [own.folder.resolve() for own in sets]
    if len(set(folders)) < len(folders):
        raise TileSetError(
            f"Each tile set must be given once, got {', '.join(map(str, folders))}; leave out what "
            "is there twice."
        )
    for own in sets[1:]:
        for (what, mine), theirs in zip(_traits(first).items(), _traits(own).values(), strict=True):
            if mine != theirs:
                raise TileSetError(
                    f"Tile sets must have the same {what}, got {plain(str(mine), 300)} in "
                    f"{first.folder} and {plain(str(theirs), 300)} in {own.folder}; cut them alike"
                    f"{', or pass `class_mapping`' if what == 'classes' else ''}."
                )
    if len(sets) == 1:
        return first
    tiles = tuple(tile for own in sets for tile in own.tiles)
    return replace(first, tiles=tiles, parts=tuple(sets))


def _traits(tiles: TileSet) -> dict[str, Any]:
    """What sets that are joined must share."""
    cell = tiles.cell_size
    maps = tiles.map_scheme
    return {
        "number of bands": len(tiles.bands),
        "names of bands": ", ".join(tiles.bands) or "none",
        "pixel type": tiles.dtype,
        "nodata value": None if tiles.nodata is None else str(tiles.nodata),  # NaN is like NaN
        "tile size": f"{tiles.width} x {tiles.height} pixels",
        "cell size": None if cell is None else tuple(float(f"{side:.6g}") for side in cell),
        "classes": tiles.scheme.mapping,
        "weights of labels": "none" if tiles.tiles[0].weights is None else "kept",
        "classes before and after": None if maps is None else maps.mapping,
    }
