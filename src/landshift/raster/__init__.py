"""Rasters: reading, writing, resampling, and the meaning of class values."""

from __future__ import annotations

from landshift.raster.bands import (
    check_order,
    crossed,
    in_step,
    infos_in_order,
    match_names,
    pick_bands,
)
from landshift.raster.blockwise import blocks
from landshift.raster.class_maps import (
    ClassValues,
    check_class_raster,
    class_values,
    colours_of,
    holds_classes,
    legend_of,
    map_classes,
    read_classes,
    read_scheme,
    scheme_of,
    values_in,
    warn_of_unstated,
)
from landshift.raster.reader import (
    GDAL_CACHE,
    RasterInfo,
    cache_for,
    check_one_band,
    files_of,
    grid_of,
    info,
    info_of,
    open_raster,
    read,
    reading,
)
from landshift.raster.resampling import Warped, at_cell_size, on_grid, preview, read_shrunk
from landshift.raster.writer import check_new, create, write, writing

__all__ = [
    "GDAL_CACHE",
    "ClassValues",
    "RasterInfo",
    "Warped",
    "at_cell_size",
    "blocks",
    "cache_for",
    "check_class_raster",
    "check_new",
    "check_one_band",
    "check_order",
    "class_values",
    "colours_of",
    "create",
    "crossed",
    "files_of",
    "grid_of",
    "holds_classes",
    "in_step",
    "info",
    "info_of",
    "infos_in_order",
    "legend_of",
    "map_classes",
    "match_names",
    "on_grid",
    "open_raster",
    "pick_bands",
    "preview",
    "read",
    "read_classes",
    "read_scheme",
    "read_shrunk",
    "reading",
    "scheme_of",
    "values_in",
    "warn_of_unstated",
    "write",
    "writing",
]
