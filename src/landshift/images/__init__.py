"""The images of a date, placed and read on a grid."""

from __future__ import annotations

from landshift.images.band_notes import band_notes
from landshift.images.placement import Placement, placed, reach
from landshift.images.planning import (
    RESAMPLING,
    Image,
    Layer,
    Plan,
    crs_of,
    fits,
    plan,
    warn_of_scaling,
)
from landshift.images.reader import ImageReader, open_layer, opened
from landshift.images.stac import BandFile, ItemFiles

__all__ = [
    "RESAMPLING",
    "BandFile",
    "Image",
    "ImageReader",
    "ItemFiles",
    "Layer",
    "Placement",
    "Plan",
    "band_notes",
    "crs_of",
    "fits",
    "open_layer",
    "opened",
    "placed",
    "plan",
    "reach",
    "warn_of_scaling",
]
