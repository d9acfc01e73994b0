"""Pixels and hectares of each class of a map, counted over all its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from landshift import grid, raster
from landshift.classes import ends_of, stays
from landshift.errors import GridError
from landshift.raster import blockwise

if TYPE_CHECKING:
    from rasterio.io import DatasetReader


@dataclass(frozen=True)
class MapClass:
    """A class of a map.

    Attributes:
        name: Its name.
        pixels: Its pixels.
        hectares: Its area; None where the map's CRS gives none.
    """

    name: str
    pixels: int
    hectares: float | None


@dataclass(frozen=True)
class MapCounts:
    """Pixels and areas of a map's classes, counted, without intervals.

    Attributes:
        classes: The classes that occur, the largest first.
        nothing: Pixels without a class.
        is_change: Whether it is a change map, by the names of its classes, also of those that
            don't occur.
    """

    classes: tuple[MapClass, ...]
    nothing: int
    is_change: bool

    @property
    def pixels(self) -> int:
        """Pixels with a class."""
        return sum(c.pixels for c in self.classes)

    @property
    def hectares(self) -> float | None:
        """Area with a class; None where the map's CRS gives none."""
        known = [c.hectares for c in self.classes if c.hectares is not None]
        return sum(known) if len(known) == len(self.classes) else None

    @property
    def changed(self) -> tuple[MapClass, ...]:
        """The classes but those that mean 'unchanged', the largest first."""
        return tuple(c for c in self.classes if not stays(c.name))

    def share(self, *classes: MapClass) -> float:
        """Share of classes in the area with a class, or in the pixels where areas aren't known."""
        whole = self.hectares
        if whole:
            return sum(c.hectares or 0.0 for c in classes) / whole
        return sum(c.pixels for c in classes) / max(self.pixels, 1)


def count(path: Path) -> MapCounts:
    """Count a class map, block by block.

    Raises:
        ClassError: It isn't a class map; two of its classes share a name.
        RasterError: It can't be read.
    """
    about = raster.info(path)
    try:
        ground = grid.known_ground(about.grid)
    except GridError:  # a CRS of another place
        ground = None
    with raster.open_raster(path) as source:
        raster.check_class_raster(source)
        known = raster.class_values(source)
    pixels, shares = _totals(path, known, ground)
    names = known.named(pixels)
    classes = [
        MapClass(names[v], n, None if ground is None else shares.get(v, 0) * ground.share)
        for v, n in pixels.items()
    ]
    ordered = tuple(sorted(classes, key=lambda c: (-c.pixels, c.name)))
    nothing = about.height * about.width - sum(pixels.values())
    stated = {*known.names.values(), *names.values()}
    return MapCounts(ordered, nothing, is_change=any(map(_is_of_change, stated)))


def _totals(
    path: Path, known: raster.ClassValues, ground: grid.Ground | None
) -> tuple[dict[int, int], dict[int, int]]:
    """Pixels and area of each value of a class map; areas in whole shares, none without ground."""

    def counted(
        source: DatasetReader, block: blockwise.Block
    ) -> tuple[NDArray[np.int64], NDArray[np.intp], NDArray[np.float64]]:
        values, ranks = raster.ranked(*raster.read_classes(source, block.window, known))
        ranks = ranks.ravel()
        held = np.bincount(ranks, minlength=values.size + 1)[:-1]
        if ground is None:
            return values, held, np.zeros(held.size)
        # sums of whole shares stay exact in floats
        areas = np.bincount(ranks, ground.shares(block.window).ravel(), held.size + 1)[:-1]
        return values, held, areas.astype(np.float64)

    about = raster.info(path)
    pixels: dict[int, int] = {}
    shares: dict[int, int] = {}
    windows = list(raster.blocks(about.height, about.width))
    opened = partial(raster.open_raster, path)
    with blockwise.results(windows, "counting the map", opened, counted) as results:
        for _, (values, held, areas) in results:
            for k in np.flatnonzero(held):
                value = int(values[k])
                pixels[value] = pixels.get(value, 0) + int(held[k])
                shares[value] = shares.get(value, 0) + int(areas[k])
    return pixels, shares


def _is_of_change(name: str) -> bool:
    """Whether a class of this name stands in a change map."""
    return stays(name) or ends_of(name) != (None, None)
