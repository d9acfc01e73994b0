"""Patches of a map's classes: number, sizes, edges; computed block by block.

Measures are those of FRAGSTATS (McGarigal & Marks 1995, USDA PNW-GTR-351; McGarigal, Cushman & Ene
2012, 'FRAGSTATS v4', its help, class metrics).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray

from landshift import grid, raster
from landshift.classes import class_options
from landshift.errors import ClassError
from landshift.files import kinds, options, whole
from landshift.files.rows import Rows, write_csv
from landshift.grid import Window
from landshift.maps.cleaning import (
    Parts,
    Patches,
    check_neighbours,
    parts_of,
    patch_codes,
    value_of,
)
from landshift.raster import blockwise
from landshift.raster.blockwise import Block

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

BLOCK = 1024
"""Rows and columns of the map read at once."""

_NEIGHBOURS = 8

_SPAN = 1 << 12  # codes that are counted by value; counting many values takes longer than sorting


@dataclass(frozen=True)
class ClassPatches:
    """Measures of the patches of one class, with FRAGSTATS' names in brackets.

    Attributes:
        name: The class.
        patches: Number of patches [NP].
        hectares: Area of the class [CA].
        percent: That area in per cent of all classes' area [PLAND].
        density: Patches per 100 ha of all classes' area [PD].
        mean: Mean area of a patch in hectares [AREA_MN].
        deviation: Population standard deviation of the patches' areas in hectares [AREA_SD].
        weighted_mean: Area-weighted mean area in hectares: the expected size of the patch around
            a random point of the class [AREA_AM].
        largest: Area of the largest patch in hectares.
        largest_percent: That area in per cent of all classes' area [LPI].
        edge: Length of the edge between the class and other classes in metres; the map's border
            and pixels without a class don't count [TE].
        edge_density: Metres of that edge per hectare of all classes' area [ED].
    """

    name: str
    patches: int
    hectares: float
    percent: float
    density: float
    mean: float
    deviation: float
    weighted_mean: float
    largest: float
    largest_percent: float
    edge: float
    edge_density: float


@dataclass(frozen=True, repr=False)
class Fragmentation(Rows):
    """Measures of a map's patches; a row per class.

    Attributes:
        classes: Measures of each class that occurs, by value.
        hectares: Area of all classes.
        files: The table, if it was written.
    """

    classes: tuple[ClassPatches, ...]
    hectares: float
    files: tuple[Path, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """A row per class."""
        return [
            {k: round(v, 6) if isinstance(v, float) else v for k, v in asdict(c).items()}
            for c in self.classes
        ]

    def write_csv(self, path: Path | str, *, overwrite: bool = False) -> Path:
        """Write `rows` as CSV."""
        rows = self.rows()
        return write_csv(path, list(rows[0]), rows, overwrite=overwrite)


def patches(
    mapped: options.MapFile,
    out: options.TableFile = None,
    *,
    neighbours: Annotated[int, Parameter(name=("--neighbours", "--connectivity"))] = _NEIGHBOURS,
    classes: class_options.ClassesLike = None,
    nodata: float | None = None,
    overwrite: options.Flag = False,
    block: Annotated[int, Parameter(parse=False)] = BLOCK,
) -> Fragmentation:
    """Measure the patches of a map's classes: number, sizes, edges, the largest one.

    The map is read once, by blocks; patches across their borders are joined, with the same result
    as labelling the whole map. With a geographic CRS, areas and edges are measured on the
    ellipsoid.

    Args:
        mapped: A class or change map with a CRS.
        out: The CSV to write: a row per class.
        neighbours: Whether pixels connect over their sides only, 4, or corners too, 8.
        classes: The map's classes, as for label. Left out: as its files state, else by value.
        nodata: A value without a class, in addition to those that the file states.
        overwrite: Replace what is there already under the same name.
        block: Rows and columns read at once.

    Raises:
        ParameterError: Neither 4 nor 8 neighbours.
        ClassError: The map is no class raster, or has no class anywhere.
        GridError: The map has no CRS.
        RasterError: The map can't be read.
        OutputError: The table can't be written.
    """
    check_neighbours(neighbours)
    kinds.TABLE.check(out)
    whole.check_new(out, inputs=[mapped, class_options.file_of(classes)], overwrite=overwrite)
    about = raster.info(mapped)
    ground = grid.ground(about.grid)
    known = raster.map_classes(mapped, class_options.classes_of(classes), nodata)
    windows = list(raster.blocks(about.height, about.width, block))
    joined = Patches(windows, neighbours)
    sums: dict[int, _ClassSums] = {}
    codes, areas = [np.zeros(0, np.int64)], [np.zeros(0)]  # of patches at borders of blocks

    def measured(source: DatasetReader, block: Block) -> tuple[Parts, list[_Edges]]:
        window = block.window
        # one more row and column, for the edges between blocks
        wider = Window(window.row, window.column, window.height + 1, window.width + 1)
        wide = patch_codes(*raster.read_classes(source, wider, known))
        parts = parts_of(wide[:-1, :-1], ground.hectares(window), neighbours)
        return parts, _edges(wide, *ground.sides(window))

    opened = partial(raster.open_raster, mapped, cache=raster.cache_for(about, block))
    with blockwise.results(windows, "measuring patches", opened, measured) as results:
        for _, (parts, edges) in results:
            complete = parts.codes != 0
            complete[parts.at_border] = False
            _add_patches(sums, parts.codes[complete], parts.sums[complete])
            _add_edges(sums, edges)
            codes.append(parts.codes[parts.at_border])
            areas.append(parts.sums[parts.at_border])
            row = joined.add(parts)
            if row is not None:
                code, area = row.of_each(np.concatenate(codes)), row.sums(np.concatenate(areas))
                _add_patches(sums, code[row.going_on :], area[row.going_on :])
                codes, areas = [code[: row.going_on]], [area[: row.going_on]]
    if not sums:
        raise ClassError(f"A map must hold a class, got none in {mapped}; give another.")
    total = sum(s.hectares for s in sums.values())
    names = known.named(map(value_of, sums))
    measures = tuple(sums[c].of(names[value_of(c)], total) for c in sorted(sums))
    result = Fragmentation(measures, total, () if out is None else (Path(out),))
    if out is not None:
        result.write_csv(out, overwrite=overwrite)
    return result


@dataclass
class _ClassSums:
    """Sums over the patches of a class, in hectares and metres."""

    patches: int = 0
    hectares: float = 0.0
    squares: float = 0.0
    largest: float = 0.0
    edge: float = 0.0

    def of(self, name: str, total: float) -> ClassPatches:
        mean = self.hectares / self.patches
        return ClassPatches(
            name=name,
            patches=self.patches,
            hectares=self.hectares,
            percent=100 * self.hectares / total,
            density=100 * self.patches / total,
            mean=mean,
            # a difference of float sums can be slightly below 0
            deviation=float(np.sqrt(max(self.squares / self.patches - mean**2, 0.0))),
            weighted_mean=self.squares / self.hectares,
            largest=self.largest,
            largest_percent=100 * self.largest / total,
            edge=self.edge,
            edge_density=self.edge / total,
        )


def _add_patches(
    sums: dict[int, _ClassSums], codes: NDArray[Any], areas: NDArray[np.float64]
) -> None:
    """Add complete patches."""
    for code in np.unique(codes):
        own = areas[codes == code]
        total = sums.setdefault(int(code), _ClassSums())
        total.patches += own.size
        total.hectares += float(own.sum())
        total.squares += float((own**2).sum())
        total.largest = max(total.largest, float(own.max()))


_Edges = tuple[NDArray[Any], NDArray[Any]]
"""Codes, and metres of each one's edges."""


def _edges(
    wide: NDArray[Any], below: NDArray[np.float64], right: NDArray[np.float64]
) -> list[_Edges]:
    """Edges below a block's pixels and to their right.

    Args:
        wide: Codes of the block, and of one more row and column.
        below: Length of the lower side of each pixel of the block.
        right: Length of its right side.
    """
    flat, width = wide.ravel(), wide.shape[1]
    own = flat[:-width]
    edges = []
    for step, lengths in ((1, right), (width, below)):
        other = flat[step : step + own.size]
        edge = (own != other) & (own != 0) & (other != 0)
        edge.reshape(-1, width)[:, -1] = False  # the column beyond the block
        at = np.flatnonzero(edge)
        row = at // width
        if lengths.strides[1] == 0:  # a length per row
            metres = lengths[:, 0].take(row)
        else:
            metres = lengths[row, at - row * width]
        edges += [_by_code(codes.take(at), metres) for codes in (own, other)]
    return edges


def _by_code(codes: NDArray[Any], metres: NDArray[np.float64]) -> _Edges:
    """Sum of lengths of each code that occurs."""
    if codes.size and int(codes.max()) - int(codes.min()) < _SPAN:
        least = int(codes.min())
        sums = np.bincount(codes - least, metres)
        present = np.flatnonzero(sums)
        return present + least, sums[present]
    present, ranks = np.unique(codes, return_inverse=True)
    return present, np.bincount(ranks, metres, present.size)


def _add_edges(sums: dict[int, _ClassSums], edges: Iterable[_Edges]) -> None:
    """Add edges."""
    for codes, metres in edges:
        for code, length in zip(codes, metres, strict=True):
            sums.setdefault(int(code), _ClassSums()).edge += float(length)
