"""The images of a date, placed and read on a grid."""

from __future__ import annotations

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
from landshift.images.reader import Reader, open_layer, opened, reach

__all__ = [
    "RESAMPLING",
    "Image",
    "Layer",
    "Plan",
    "Reader",
    "crs_of",
    "fits",
    "open_layer",
    "opened",
    "plan",
    "reach",
    "warn_of_scaling",
]
