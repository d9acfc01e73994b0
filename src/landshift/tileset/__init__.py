"""Training sets in Esri's 'Classified Tiles' layout: cutting, reading, indexing, splitting."""

from __future__ import annotations

from landshift.tileset.audit import Audit, AuditedSplit, audit, shared_ground
from landshift.tileset.chips import ChipFormat
from landshift.tileset.cutting import CutTiles, cut
from landshift.tileset.joining import join
from landshift.tileset.options import Auditing, Companions, Cutting, Encoding
from landshift.tileset.origin import digest, sources
from landshift.tileset.reading import class_colours, read, read_sensor
from landshift.tileset.search import Split
from landshift.tileset.splitting import (
    folds_by_ground,
    leaking_pairs,
    overlapping_pairs,
    several_by_ground,
    split_at_random,
    split_by_ground,
    split_from,
)
from landshift.tileset.summary import Side, SplitSummary, summarise
from landshift.tileset.tiles import (
    BandStatistics,
    SecondInput,
    Tile,
    TileSet,
    read_class_maps,
    read_second,
    read_tile,
    read_units,
    read_weights,
)

__all__ = [
    "Audit",
    "AuditedSplit",
    "Auditing",
    "BandStatistics",
    "ChipFormat",
    "Companions",
    "CutTiles",
    "Cutting",
    "Encoding",
    "SecondInput",
    "Side",
    "Split",
    "SplitSummary",
    "Tile",
    "TileSet",
    "audit",
    "class_colours",
    "cut",
    "digest",
    "folds_by_ground",
    "join",
    "leaking_pairs",
    "overlapping_pairs",
    "read",
    "read_class_maps",
    "read_second",
    "read_sensor",
    "read_tile",
    "read_units",
    "read_weights",
    "several_by_ground",
    "shared_ground",
    "sources",
    "split_at_random",
    "split_by_ground",
    "split_from",
    "summarise",
]
