"""Where the layers of an image lie on a grid: copied, or resampled, and how far that reaches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from landshift import grid
from landshift.grid import Window
from landshift.images.planning import RESAMPLING, Layer, Plan

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

_SPARE = 2  # pixels around a layer's outline, which may be a curve between its points


@dataclass(frozen=True)
class Placement:
    """Where a layer lies on a grid.

    Attributes:
        offset: Row and column of its first pixel where its pixels coincide with the grid's, so that
            they are copied; None: they are resampled.
        rows: First row of its outline, and the last one (exclusive).
        columns: First and last column, likewise.
        covers: Whether each pixel of the grid is one of the layer's.
        reach: Pixels of the grid around a layer's pixel that resampling mixes it into; 0 where
            pixels are copied.
    """

    offset: tuple[int, int] | None
    rows: tuple[float, float]
    columns: tuple[float, float]
    covers: bool
    reach: int

    def overlaps(self, window: Window) -> bool:
        """Whether the layer's outline touches a window, with pixels to spare."""
        return (
            window.row - _SPARE < self.rows[1]
            and self.rows[0] < window.row + window.height + _SPARE
            and window.column - _SPARE < self.columns[1]
            and self.columns[0] < window.column + window.width + _SPARE
        )


@lru_cache(maxsize=1024)  # each thread places the layers that it reads
def placed(layer: Layer, target: GeoBox) -> Placement:
    """The place of a layer on a grid.

    Raises:
        GridError: It has none there.
    """
    own = layer.info.grid
    offset = grid.offset(own, target)
    top, left, bottom, right = grid.extent(own, target)
    reach, covers = 0, False
    if offset is None:
        pixel = max((bottom - top) / own.height, (right - left) / own.width, 1.0)
        nearest = layer.resampling == "nearest"
        reach = 0 if nearest else int(np.ceil(RESAMPLING[layer.resampling] * pixel))
    else:
        covers = max(offset) <= 0 and (
            offset[0] + own.height >= target.height and offset[1] + own.width >= target.width
        )
    return Placement(offset, (top, bottom), (left, right), covers, reach)


def reach(plan: Plan, target: GeoBox) -> int:
    """Target pixels around a hidden one that resampling mixes it into; 0 where all is copied."""
    return max(placed(layer, target).reach for layer in plan.layers)
