"""How a map's classes are cut into patches: number, sizes, edges, read block by block.

Measures are those of FRAGSTATS (McGarigal & Marks 1995, USDA PNW-GTR-351; McGarigal, Cushman & Ene
2012, 'FRAGSTATS v4', its help, class metrics).
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift import grid, raster
from landshift.classes import ClassScheme
from landshift.errors import ClassError
from landshift.files import whole
from landshift.grid import Window
from landshift.maps.cleaning import Patches, check_neighbours, parts_of, patch_codes, value_of

BLOCK = 1024
"""Rows and columns of the map read at once."""

_NEIGHBOURS = 8


@dataclass(frozen=True)
class ClassPatches:
    """The patches of one class; in brackets what FRAGSTATS calls a measure.

    Attributes:
        name: The class.
        patches: Number of patches [NP].
        hectares: Area of the class [CA].
        percent: The same in per cent of all classes' area [PLAND].
        density: Patches per 100 ha of all classes' area [PD].
        mean: Mean area of a patch in hectares [AREA_MN].
        deviation: Standard deviation of the patches' areas in hectares, of all of them [AREA_SD].
        weighted_mean: Mean area weighted by area in hectares: the size of the patch that a random
            place of the class lies in [AREA_AM].
        largest: Area of the largest patch in hectares.
        largest_percent: The same in per cent of all classes' area [LPI].
        edge: Metres of edge between the class and others; the map's border and what has no class
            don't count [TE].
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


@dataclass(frozen=True)
class Fragmentation:
    """The patches of a map.

    Attributes:
        classes: Measures of each class that occurs, by value.
        hectares: Area of all classes.
    """

    classes: tuple[ClassPatches, ...]
    hectares: float

    def rows(self) -> list[dict[str, Any]]:
        """A row per class."""
        return [
            {k: round(v, 6) if isinstance(v, float) else v for k, v in asdict(c).items()}
            for c in self.classes
        ]

    def write_csv(self, path: Path, *, overwrite: bool = False) -> Path:
        """Write `rows` as CSV."""
        whole.check_new(path, overwrite=overwrite)
        rows = self.rows()
        with (
            whole.whole_file(Path(path)) as part,
            part.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        return Path(path)


def measure_patches(
    mapped: Path,
    *,
    neighbours: int = _NEIGHBOURS,
    scheme: ClassScheme | None = None,
    nodata: float | None = None,
    block: int = BLOCK,
    on_block: Callable[[int, int], None] | None = None,
) -> Fragmentation:
    """Measure how a map's classes are cut into patches.

    The map is read once, by blocks; patches over their borders are joined as if the map were
    labelled whole. Areas and edges are those of `landshift.grid.ground`.

    Args:
        mapped: A class or change map with a CRS.
        neighbours: Whether pixels connect over their sides only, 4, or corners too, 8.
        scheme: The map's classes; None: as its files tell, else by value.
        nodata: A value without a class, beside what the file says.
        block: Rows and columns read at once.
        on_block: Called with blocks done and blocks in all.

    Raises:
        ParameterError: Neither 4 nor 8 neighbours.
        ClassError: A map that is no class raster, or has no class anywhere.
        GridError: The map has no CRS.
        RasterError: The map can't be read.
    """
    check_neighbours(neighbours)
    about = raster.info(mapped)
    ground = grid.ground(about.grid)
    known = raster.map_classes(mapped, scheme, nodata)
    windows = list(raster.blocks(about.height, about.width, block))
    patches = Patches(windows, neighbours)
    sums: dict[int, _Sums] = {}
    at_borders: list[NDArray[np.int64]] = []
    with raster.open_raster(mapped) as source:
        for done, window in enumerate(windows, start=1):
            # a row and a column further, for the edges between blocks
            wider = Window(window.row, window.column, window.height + 1, window.width + 1)
            wide = patch_codes(*raster.read_classes(source, wider, known))
            codes = wide[:-1, :-1]
            found = parts_of(codes, ground.hectares(window), neighbours)
            patches.add(codes, found)
            of_part, areas, border = found
            code = np.zeros(areas.size, np.int64)
            code[of_part[codes != 0]] = codes[codes != 0]
            at_borders.append(code[border])
            inside = code != 0
            inside[border] = False
            _add_patches(sums, code[inside], areas[inside])
            _add_edges(sums, wide, *ground.sides(window))
            if on_block is not None:
                on_block(done, len(windows))
    patches.join()
    code = np.zeros(patches.count, np.int64)
    code[patches.whole] = np.concatenate(at_borders)
    _add_patches(sums, code, patches.areas)
    if not sums:
        raise ClassError(f"A map must hold a class, got none in {mapped}; give another.")
    total = sum(s.hectares for s in sums.values())
    names = known.named(map(value_of, sums))
    return Fragmentation(tuple(sums[c].of(names[value_of(c)], total) for c in sorted(sums)), total)


@dataclass
class _Sums:
    """What adds up over the patches of a class."""

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
            # differences of float sums can fall a hair below 0
            deviation=float(np.sqrt(max(self.squares / self.patches - mean**2, 0.0))),
            weighted_mean=self.squares / self.hectares,
            largest=self.largest,
            largest_percent=100 * self.largest / total,
            edge=self.edge,
            edge_density=self.edge / total,
        )


def _add_patches(
    sums: dict[int, _Sums], codes: NDArray[np.int64], areas: NDArray[np.float64]
) -> None:
    """Take whole patches."""
    for code in np.unique(codes):
        own = areas[codes == code]
        held = sums.setdefault(int(code), _Sums())
        held.patches += own.size
        held.hectares += float(own.sum())
        held.squares += float((own**2).sum())
        held.largest = max(held.largest, float(own.max()))


def _add_edges(
    sums: dict[int, _Sums],
    wide: NDArray[np.int64],
    below: NDArray[np.float64],
    right: NDArray[np.float64],
) -> None:
    """Take the edges below a block's pixels and at their right."""
    own = wide[:-1, :-1]
    for other, lengths in ((wide[:-1, 1:], right), (wide[1:, :-1], below)):
        edge = (own != other) & (own != 0) & (other != 0)
        metres = lengths[edge]
        for codes in (own[edge], other[edge]):
            found, ranks = np.unique(codes, return_inverse=True)
            for code, length in zip(found, np.bincount(ranks, metres), strict=True):
                sums.setdefault(int(code), _Sums()).edge += float(length)
