"""Domains of a map, such as provinces: their areas, and which one each unit lies in."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift import grid, raster, vector
from landshift.errors import ClassError, GridError, ParameterError
from landshift.raster import blockwise

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox
    from rasterio.io import DatasetReader

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DomainSource:
    """Polygons whose areas are estimated apart."""

    domains: Path | None = None
    """Polygons, such as provinces, each of which gets areas of its own; in any CRS. Several may
    share a name; where they overlap, the last one counts."""
    domain_column: str | None = None
    """Column with the name of each polygon's domain."""
    domain_layer: str | None = None
    """Layer of the polygons, of several."""

    def __post_init__(self) -> None:
        if (self.domains is None) != (self.domain_column is None):
            raise ParameterError(
                f"Domains need their polygons and the column of their names, got {self.domains} "
                f"and {self.domain_column}; give `domains` and `domain_column`."
            )


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
    source: DomainSource,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    *,
    classes: Collection[int],
) -> Domains:
    """Measure domains on a map and look up units in them.

    Args:
        mapped: The map.
        source: Polygons of the domains.
        rows: Row of the pixel at each unit's centre.
        columns: Column of it.
        classes: Values of the map's classes.

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
    names, outlines, values = _outlines(source, about.grid)
    bounds = np.array([g.bounds for g in outlines])
    areas = np.zeros(len(names) + 1)
    place = np.full(rows.size, -1, np.int64)

    def measured(
        opened: DatasetReader, block: blockwise.Block
    ) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.int32]]:
        window = block.window
        box = grid.window_geobox(about.grid, window)
        near = _near(bounds, box)
        burnt = vector.burn([outlines[k] for k in near], [values[k] for k in near], box)
        codes, mask = raster.read(opened, window, [1])
        mask &= np.isin(codes[0], list(classes))
        weights = np.where(mask, ground.hectares(window), 0.0)
        down, right = rows - window.row, columns - window.column
        here = np.flatnonzero(
            (down >= 0) & (down < window.height) & (right >= 0) & (right < window.width)
        )
        return (
            np.bincount(burnt.ravel(), weights.ravel(), areas.size).astype(np.float64),
            here,
            burnt[down[here], right[here]] - 1,
        )

    windows = list(raster.blocks(about.height, about.width))
    opened = partial(raster.open_raster, mapped)
    with blockwise.results(windows, "measuring domains", opened, measured) as results:
        for _, (hectares, units, domains) in results:
            areas += hectares
            place[units] = domains
    _check_areas(names, areas[1:], source)
    return Domains(names, areas[1:], place)


def _outlines(source: DomainSource, box: GeoBox) -> tuple[tuple[str, ...], list[Any], list[int]]:
    """Names of the domains, all polygons, and the place of each one's name, from 1."""
    assert source.domains is not None, "the caller has checked it"
    column = source.domain_column
    polygons = vector.read_polygons(source.domains, box, source.domain_layer, option="domain_layer")
    if column not in polygons.columns:
        raise ClassError(
            f"The domains' column must be one of {', '.join(polygons.columns) or 'no columns'}, "
            f"got {column!r} for {source.domains}; name another."
        )
    texts = [str(v) for v in polygons.columns[column]]
    names = tuple(sorted(set(texts)))
    return names, list(polygons.geometries), [names.index(t) + 1 for t in texts]


def _near(bounds: NDArray[np.float64], box: GeoBox) -> NDArray[np.int64]:
    """Places of the bounds that touch a grid's."""
    left, bottom, right, top = box.extent.boundingbox
    near: NDArray[np.int64] = np.flatnonzero(
        (bounds[:, 0] <= right)
        & (bounds[:, 2] >= left)
        & (bounds[:, 1] <= top)
        & (bounds[:, 3] >= bottom)
    )
    return near


def _check_areas(names: tuple[str, ...], areas: NDArray[np.float64], source: DomainSource) -> None:
    """Check that domains cover pixels; warn of those that cover none."""
    if not areas.any():
        raise GridError(f"Domains must cover pixels of the map, got none in {source.domains}.")
    absent = [name for name, area in zip(names, areas, strict=True) if not area]
    if absent:
        logger.warning(
            "%s: %d domains hold the centre of no pixel with a class: %s.",
            source.domains, len(absent), ", ".join(absent[:8]),
        )  # fmt: skip
