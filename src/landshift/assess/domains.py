"""Domains of a map, such as provinces: their areas, and which one each unit lies in."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from landshift import grid, raster, vector
from landshift.assess import drawing
from landshift.errors import ClassError, GridError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Domains:
    """Domains of a map.

    Attributes:
        names: Their names, in the order of the alphabet.
        hectares: Area of the map's pixels with a class whose centre lies in each.
        place: Place of each unit's domain among the names, -1 for none; by the centre of the unit.
    """

    names: tuple[str, ...]
    hectares: NDArray[np.float64]
    place: NDArray[np.int64]


def find_domains(
    mapped: Path,
    polygons: Path | str,
    column: str,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    *,
    classes: Collection[int],
    layer: str | None = None,
    on_block: Callable[[int, int], None] | None = None,
) -> Domains:
    """Measure domains on a map and look up units in them.

    Args:
        mapped: The map.
        polygons: Polygons of the domains, in any CRS; several may share a name. Where polygons
            overlap, the last one counts.
        column: Column with the name of each domain.
        rows: Row of the pixel at each unit's centre.
        columns: Column of it.
        classes: Values of the map's classes.
        layer: Name of the layer; None: the only one.
        on_block: Called with blocks done and blocks in all.

    Raises:
        ClassError: No such column.
        GridError: The map has no CRS, or no domain covers a pixel of it.
        VectorError: The polygons can't be read.
        RasterError: The map can't be read.
    """
    about = raster.info(mapped)
    ground = grid.ground(about.grid)
    assert about.grid.crs is not None, "areas need a CRS"
    rows = np.minimum(rows, about.height - 1)  # the centre of a block cut at the edge
    columns = np.minimum(columns, about.width - 1)
    found = vector.read_polygons(polygons, about.grid, layer, option="domain_layer")
    if column not in found.columns:
        raise ClassError(
            f"The domains' column must be one of {', '.join(found.columns) or 'no columns'}, got "
            f"{column!r} for {polygons}; name another."
        )
    texts = [str(v) for v in found.columns[column]]
    names = tuple(sorted(set(texts)))
    values = [names.index(t) + 1 for t in texts]
    bounds = np.array([g.bounds for g in found.geometries])
    areas = np.zeros(len(names) + 1)
    place = np.full(rows.size, -1, np.int64)
    windows = list(raster.blocks(about.height, about.width, drawing.BLOCK))
    with raster.open_raster(mapped) as source:
        for done, window in enumerate(windows, start=1):
            box = grid.window_geobox(about.grid, window)
            left, bottom, right, top = box.extent.boundingbox
            near = np.flatnonzero(
                (bounds[:, 0] <= right)
                & (bounds[:, 2] >= left)
                & (bounds[:, 1] <= top)
                & (bounds[:, 3] >= bottom)
            )
            burnt = vector.burn([found.geometries[k] for k in near], [values[k] for k in near], box)
            codes, mask = raster.read(source, window, [1])
            mask &= np.isin(codes[0], list(classes))
            weights = np.where(mask, ground.hectares(window), 0.0)
            areas += np.bincount(burnt.ravel(), weights.ravel(), areas.size)
            here = (rows // drawing.BLOCK == window.row // drawing.BLOCK) & (
                columns // drawing.BLOCK == window.column // drawing.BLOCK
            )
            place[here] = burnt[rows[here] - window.row, columns[here] - window.column] - 1
            if on_block is not None:
                on_block(done, len(windows))
    if not areas[1:].any():
        raise GridError(f"Domains must cover pixels of the map, got none in {polygons}.")
    absent = [name for name, area in zip(names, areas[1:], strict=True) if not area]
    if absent:
        logger.warning(
            "%s: %d domains hold the centre of no pixel with a class: %s.",
            polygons, len(absent), ", ".join(absent[:8]),
        )  # fmt: skip
    return Domains(names, areas[1:], place)
