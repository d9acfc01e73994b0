"""Training sets in Esri's 'Classified Tiles' layout: cut, read, index, split by ground."""

from __future__ import annotations

from landshift.tileset.cutting import cut
from landshift.tileset.reading import class_colours, read
from landshift.tileset.splitting import Split, overlapping_pairs, split_at_random, split_by_ground
from landshift.tileset.tiles import BandStatistics, Tile, TileSet, read_tile

__all__ = [
    "BandStatistics",
    "Split",
    "Tile",
    "TileSet",
    "class_colours",
    "cut",
    "overlapping_pairs",
    "read",
    "read_tile",
    "split_at_random",
    "split_by_ground",
]
