"""Layers of points, lines and polygons, read and written."""

from __future__ import annotations

from landshift.vector import styles
from landshift.vector.layers import (
    GEOPARQUET,
    NEVER,
    NewLayer,
    Polygons,
    burn,
    burn_from_both_ends,
    new_layer,
    read_layer,
    read_polygons,
    read_shapes,
    without_pixel,
    write_layer,
)

__all__ = [
    "GEOPARQUET",
    "NEVER",
    "NewLayer",
    "Polygons",
    "burn",
    "burn_from_both_ends",
    "new_layer",
    "read_layer",
    "read_polygons",
    "read_shapes",
    "styles",
    "without_pixel",
    "write_layer",
]
