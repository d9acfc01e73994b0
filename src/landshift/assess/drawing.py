"""Units drawn from a class raster of any size, read once, block by block.

Each unit has a key: a pseudo-random number made from its place and the seed alone. The units with
the smallest keys of a stratum are a simple random sample of it without replacement, whatever the
blocks in which the raster is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from landshift import grid, raster
from landshift.errors import ClassError, ParameterError
from landshift.grid import Window
from landshift.raster import blockwise

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

Chosen = TypeVar("Chosen")

BLOCK = 1024
"""Rows and columns read at once, about."""

WHOLE = 0
"""Value of the only stratum where the map isn't stratified."""

_GOLDEN = 0x9E3779B97F4A7C15  # steps and mixing of splitmix64: Steele, Lea & Flood (2014),
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # doi 10.1145/2660193.2660195
_ALL_BITS = (1 << 64) - 1


@dataclass(frozen=True)
class PopulationPart:
    """The ground of one class of the map in one stratum.

    Attributes:
        stratum: Value of the stratum.
        mapped: Value of the map's class.
        units: Units of the population.
        hectares: Area.
    """

    stratum: int
    mapped: int
    units: int
    hectares: float


@dataclass(frozen=True)
class Units:
    """Units of the population; arrays of one entry a unit.

    Attributes:
        row: Row of the unit's first pixel.
        column: Column of it.
        stratum: Value of the stratum.
        mapped: Value of the map's class: of blocks, that of most of its pixels.
        hectares: Area of its pixels with a class.
    """

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    stratum: NDArray[np.int64]
    mapped: NDArray[np.int64]
    hectares: NDArray[np.float64]

    def __len__(self) -> int:
        return self.row.size

    def take(self, chosen: NDArray[Any]) -> Units:
        """Some of the units, by place or mask."""
        return Units(
            self.row[chosen], self.column[chosen], self.stratum[chosen], self.mapped[chosen],
            self.hectares[chosen],
        )  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """The result of one pass over a map.

    Attributes:
        parts: The population, by stratum and class of the map, in the order of their values.
        units: The units kept, by stratum; within each in the order in which they are drawn.
    """

    parts: tuple[PopulationPart, ...]
    units: Units


@dataclass(frozen=True)
class Population:
    """The units that a sample is drawn from.

    Attributes:
        mapped: The map; pixels without a class belong to no unit.
        strata: A class raster on the same grid whose values are the strata; None: the map.
        stratified: Whether there are strata at all.
        unit_size: Rows and columns of a unit. A block's class is that of most of its pixels (of
            equally many the smaller value), and so is its stratum; blocks at the edges are cut.
        known: Which values of the map are classes; None: as its files state.
    """

    mapped: Path
    strata: Path | None = None
    stratified: bool = True
    unit_size: int = 1
    known: raster.ClassValues | None = None

    def __post_init__(self) -> None:
        if self.unit_size < 1:
            raise ParameterError(f"A unit must have at least 1 pixel a side, got {self.unit_size}.")


def draw_random(
    population: Population,
    most: int,
    seed: int,
    *,
    block: int = BLOCK,
) -> Drawn:
    """Draw at most so many units of each stratum at random, without replacement.

    Args:
        population: What to draw from.
        most: Units to keep of each stratum; the first n of them are a simple random sample of n.
        seed: Another seed draws other units.
        block: Rows and columns read at once, about; the result doesn't depend on it.

    Raises:
        ClassError: The map holds no class; values that aren't whole numbers; ground that has a
            class but no stratum.
        GridError: The map has no CRS, or the strata lie on another grid.
        RasterError: A raster can't be read.
    """
    kept: dict[int, _Reservoir] = {}

    def choose(here: _UnitBlock) -> tuple[NDArray[np.uint64], Units]:
        keys = _keys(here.numbers(), seed)
        thresholds = np.full(len(here.pairs) + 1, 0, np.uint64)  # the last: units without a class
        for k, (stratum, _) in enumerate(here.pairs):
            # maybe one of earlier blocks, which lets more units through: the smallest keys stay
            reservoir = kept.get(stratum)
            thresholds[k] = _ALL_BITS if reservoir is None else reservoir.threshold
        chosen = np.flatnonzero(keys.ravel() < thresholds[here.pair].ravel())
        return keys.ravel()[chosen], here.units(chosen)

    def keep(chosen: tuple[NDArray[np.uint64], Units]) -> None:
        keys, units = chosen
        for stratum in np.unique(units.stratum):
            of_it = units.stratum == stratum
            reservoir = kept.setdefault(int(stratum), _Reservoir(most))
            reservoir.add(keys[of_it], units.take(of_it))

    parts = _survey(population, choose, keep, block, "drawing units")
    return Drawn(parts, _joined([kept[s].units() for s in sorted(kept)]))


def draw_systematic(
    population: Population,
    size: int,
    seed: int,
    *,
    block: int = BLOCK,
) -> Drawn:
    """Draw units on a square grid with a random start, about as many as asked for.

    A first pass counts the units; the second takes those of every k-th row and column, where
    k is the square root of units by size. k may be no whole number: each unit is still drawn
    with the probability 1 / k^2.

    Args:
        population: What to draw from.
        size: Units wanted, about.
        seed: Where the grid starts.
        block: As for `draw_random`.

    Raises:
        ParameterError: The size is below 2, or larger than the population.
        ClassError: As for `draw_random`; also a grid that hits no unit.
        GridError: As for `draw_random`.
        RasterError: As for `draw_random`.
    """
    about = raster.info(population.mapped)
    parts = survey(population, block)
    total = sum(p.units for p in parts)
    if not 2 <= size <= total:
        raise ParameterError(
            f"The sample must hold from 2 to {total:,} units, all of the map, got {size:,}."
        )
    step = np.sqrt(total / size)
    rows, columns = (
        _every(step, -(-length // population.unit_size), start)
        for length, start in zip((about.height, about.width), _starts(seed), strict=True)
    )
    kept: list[Units] = []

    def choose(here: _UnitBlock) -> Units:
        height, width = here.pair.shape
        on_grid = (
            rows[here.row : here.row + height, np.newaxis]
            & columns[np.newaxis, here.column : here.column + width]
        )
        return here.units(np.flatnonzero(on_grid & (here.pair < len(here.pairs))))

    _survey(population, choose, kept.append, block, "drawing units")
    units = _joined(kept)
    if not len(units):
        raise ClassError("A systematic sample must hit a unit, got none; ask for more units.")
    return Drawn(parts, units.take(np.lexsort((units.column, units.row))))


def survey(population: Population, block: int = BLOCK) -> tuple[PopulationPart, ...]:
    """Count a population by stratum and class of the map.

    Args:
        population: The population.
        block: As for `draw_random`.

    Raises:
        ClassError: As for `draw_random`.
        GridError: As for `draw_random`.
        RasterError: As for `draw_random`.
    """
    return _survey(population, lambda _: None, lambda _: None, block, "counting units")


def named_parts(
    known: raster.ClassValues,
    of_strata: raster.ClassValues | None,
    parts: tuple[PopulationPart, ...],
    population: Population,
) -> tuple[dict[int, str], dict[int, str]]:
    """Names of a map's classes and of its strata, by value.

    Args:
        known: Which values of the map are classes.
        of_strata: Which values of the raster of strata are strata; None: the map's classes are.
        parts: The population as counted.
        population: The population.

    Raises:
        ClassError: Classes given that don't name every value; a name twice.
    """
    classes = _named(known, {p.mapped for p in parts})
    if not population.stratified:
        return classes, {WHOLE: "the whole map"}
    if of_strata is None:
        return classes, classes
    return classes, _named(of_strata, {p.stratum for p in parts})


def _named(known: raster.ClassValues, present: set[int]) -> dict[int, str]:
    """Names of a raster's classes; values that only pixels show are named by value."""
    return known.named(present | known.names.keys())


def shuffled(units: Units, width: int, seed: int) -> Units:
    """Units in random order, so that a labeller doesn't meet one stratum after the other."""
    numbers = (units.row * width + units.column).astype(np.uint64)
    return units.take(np.argsort(_keys(numbers, seed + 1), kind="stable"))


class _Reservoir:
    """The units of a stratum with the smallest keys, of all that were offered."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._keys: list[NDArray[np.uint64]] = []
        self._units: list[Units] = []
        self._held = 0
        self.threshold = np.uint64(_ALL_BITS)
        """Keys from this one on can't be among the smallest."""

    def add(self, keys: NDArray[np.uint64], units: Units) -> None:
        self._keys.append(keys)
        self._units.append(units)
        self._held += keys.size
        if self._held > 2 * self._most:
            self._trim()

    def units(self) -> Units:
        self._trim()
        return self._units[0]

    def _trim(self) -> None:
        keys, units = np.concatenate(self._keys), _joined(self._units)
        order = np.argsort(keys)[: self._most]  # no two keys are equal: the mixing is one to one
        self._keys, self._units, self._held = [keys[order]], [units.take(order)], order.size
        if order.size == self._most:
            self.threshold = self._keys[0][-1]


@dataclass(frozen=True)
class _UnitBlock:
    """Units of one block.

    Attributes:
        row: Row of the first unit, counted in units.
        column: Column of it.
        across: Units in a row of the raster.
        pairs: Stratum and class of the map that occur in the block.
        pair: ``(row, column)`` place of each unit's pair; one more than the last: no class.
        shares: Area of each pixel with a class, 0 elsewhere; see `landshift.grid.Ground.shares`.
        share: Hectares of one share.
    """

    row: int
    column: int
    across: int
    pairs: list[tuple[int, int]]
    pair: NDArray[np.int64]
    shares: NDArray[np.int64]
    share: float

    def numbers(self) -> NDArray[np.uint64]:
        """Number of each unit in the raster, row by row."""
        height, width = self.pair.shape
        first = np.arange(self.row, self.row + height, dtype=np.uint64) * np.uint64(self.across)
        columns = np.arange(self.column, self.column + width, dtype=np.uint64)
        return first[:, np.newaxis] + columns

    def by_pair(self) -> NDArray[np.int64]:
        """Area of the units of each pair, in shares."""
        size = self.shares.shape[0] // self.pair.shape[0]
        areas = self.shares.reshape(self.pair.shape[0], size, -1, size).sum(axis=(1, 3))
        sums = np.bincount(self.pair.ravel(), areas.ravel(), len(self.pairs) + 1)[:-1]
        return np.rint(sums).astype(np.int64)

    def units(self, chosen: NDArray[np.int64]) -> Units:
        """Some units of the block, by place."""
        rows, columns = np.divmod(chosen, self.pair.shape[1])
        pairs = np.array(self.pairs or [(0, 0)], np.int64)[self.pair[rows, columns]]
        size = self.shares.shape[0] // self.pair.shape[0]
        squares = self.shares.reshape(self.pair.shape[0], size, -1, size)
        return Units(
            (self.row + rows) * size,
            (self.column + columns) * size,
            pairs[:, 0],
            pairs[:, 1],
            squares[rows, :, columns, :].sum(axis=(1, 2)) * self.share,
        )


@dataclass(frozen=True)
class _PairCounts:
    """Units of a block, by pair of stratum and class of the map.

    Attributes:
        pairs: The pairs that occur.
        units: Units of each; the last: without a class.
        shares: Area of each, in shares; see `landshift.grid.Ground.shares`.
    """

    pairs: list[tuple[int, int]]
    units: NDArray[np.intp]
    shares: NDArray[np.int64]


def _survey(
    population: Population,
    choose: Callable[[_UnitBlock], Chosen],
    keep: Callable[[Chosen], None],
    block: int,
    what: str,
) -> tuple[PopulationPart, ...]:
    """Choose units from each block, and count the population.

    Args:
        population: The population.
        choose: Called with each block, in threads.
        keep: Called with what was chosen, in the order of the blocks.
        block: Rows and columns read at once, about.
        what: What is done, for the progress.
    """
    about = raster.info(population.mapped)
    ground = grid.ground(about.grid)
    units: dict[tuple[int, int], int] = {}
    shares: dict[tuple[int, int], int] = {}
    windows = _windows(about.height, about.width, population.unit_size, block)

    def counted(reader: _UnitReader, block: blockwise.Block) -> tuple[_PairCounts, Chosen]:
        here = reader.units(block.window)
        held = np.bincount(here.pair.ravel(), minlength=len(here.pairs) + 1)
        return _PairCounts(here.pairs, held, here.by_pair()), choose(here)

    opened = partial(_UnitReader.opened, population, ground)
    with blockwise.results(windows, what, opened, counted) as results:
        for _, (counts, chosen) in results:
            keep(chosen)
            for k, pair in enumerate(counts.pairs):
                units[pair] = units.get(pair, 0) + int(counts.units[k])
                shares[pair] = shares.get(pair, 0) + int(counts.shares[k])
    parts = tuple(
        PopulationPart(stratum, mapped, n, shares[stratum, mapped] * ground.share)
        for (stratum, mapped), n in sorted(units.items())
        if n
    )
    if not parts:
        raise ClassError(f"The map must hold pixels with a class, got none in {population.mapped}.")
    return parts


def _windows(height: int, width: int, unit_size: int, block: int) -> list[Window]:
    """Windows of whole units, row by row; the last ones may reach over the raster's edge."""
    side = max(1, block // unit_size) * unit_size
    return [
        Window(
            w.row, w.column, -(-w.height // unit_size) * unit_size,
            -(-w.width // unit_size) * unit_size,
        )
        for w in raster.blocks(height, width, side)
    ]  # fmt: skip


@dataclass(frozen=True)
class _UnitReader:
    """Reads windows of the open rasters of a population as units.

    Attributes:
        source: The map.
        known: Which of its values are classes.
        strata: The raster of strata, and which of its values are strata; None: the map's classes.
        population: The population.
        ground: Areas of the map's pixels.
    """

    source: DatasetReader
    known: raster.ClassValues
    strata: tuple[DatasetReader, raster.ClassValues] | None
    population: Population
    ground: grid.Ground

    @classmethod
    @contextmanager
    def opened(cls, population: Population, ground: grid.Ground) -> Iterator[_UnitReader]:
        """Open the rasters of a population."""
        with ExitStack() as stack:
            source = stack.enter_context(raster.open_raster(population.mapped))
            known = population.known or raster.class_values(source)
            of_strata = None
            if population.stratified and population.strata is not None:
                strata = stack.enter_context(raster.open_raster(population.strata))
                of_strata = strata, raster.class_values(strata)
                grid.check_same(
                    raster.info_of(source).grid, raster.info_of(strata).grid,
                    what="Map and strata", names=("map", "strata"),
                )  # fmt: skip
            yield cls(source, known, of_strata, population, ground)

    def units(self, window: Window) -> _UnitBlock:
        """The units of a window.

        Raises:
            ClassError: A pixel with a class but no stratum.
        """
        size = self.population.unit_size
        codes, mask = raster.read_classes(self.source, window, self.known)
        values, mapped = raster.ranked(codes, mask)
        if not self.population.stratified:
            groups, stratum = np.array([WHOLE]), np.where(mask, 0, 1)
        elif self.strata is None:
            groups, stratum = values, mapped
        else:
            strata, of_strata = self.strata
            layer, covered = raster.read_classes(strata, window, of_strata)
            _check_covered(mask & ~covered, strata.name, window)
            groups, stratum = raster.ranked(layer, mask)
        if size > 1:
            mapped = _commonest(mapped, len(values), size)
            stratum = _commonest(stratum, len(groups), size)
        pairs, pair = _paired(groups, stratum, values, mapped)
        # blocks may reach over the raster's edge
        inside = window.clipped(self.source.height, self.source.width)
        shares = np.zeros(mask.shape, np.int64)
        shares[: inside.height, : inside.width] = self.ground.shares(inside)
        return _UnitBlock(
            window.row // size, window.column // size, -(-self.source.width // size), pairs, pair,
            np.where(mask, shares, 0), self.ground.share,
        )  # fmt: skip


def _paired(
    groups: NDArray[np.int64],
    stratum: NDArray[np.int64],
    values: NDArray[np.int64],
    mapped: NDArray[np.int64],
) -> tuple[list[tuple[int, int]], NDArray[np.int64]]:
    """The pairs of stratum and class that occur, and the place of each unit's among them.

    Args:
        groups: Values of the strata.
        stratum: Place of each unit's stratum among them; one more than the last: none.
        values: Values of the map's classes.
        mapped: Place of each unit's class among them, likewise.
    """
    count = len(groups) * len(values)
    pair = np.minimum(stratum * len(values) + mapped, count)
    held = np.bincount(pair.ravel(), minlength=count + 1)[:-1]
    present = np.flatnonzero(held)
    place = np.full(held.size + 1, present.size)
    place[present] = np.arange(present.size)
    pairs = [(int(groups[p // len(values)]), int(values[p % len(values)])) for p in present]
    return pairs, place[pair]


def _check_covered(bare: NDArray[np.bool_], name: str, window: Window) -> None:
    if bare.any():
        row, column = np.argwhere(bare)[0]
        raise ClassError(
            f"Every pixel with a class in the map must have a stratum, got none in {name} at row "
            f"{window.row + row}, column {window.column + column}; fill it, or make the map "
            "nodata there."
        )


def _commonest(ranks: NDArray[np.int64], count: int, size: int) -> NDArray[np.int64]:
    """The rank that most pixels of each square have, of equally many the lowest."""
    squares = ranks.reshape(ranks.shape[0] // size, size, -1, size)
    best = np.full(squares.shape[::2], count, np.int64)
    votes = np.zeros(best.shape, np.int64)
    for k in range(count):
        pixels = (squares == k).sum(axis=(1, 3))
        more = pixels > votes
        best[more], votes[more] = k, pixels[more]
    return best


def _keys(numbers: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """A pseudo-random number for each unit's number: splitmix64's sequence, entered anywhere."""
    start = np.uint64(_mixed_seed(seed))
    keys = (numbers + np.uint64(1)) * np.uint64(_GOLDEN) + start
    keys ^= keys >> np.uint64(30)
    keys *= np.uint64(_FIRST)
    keys ^= keys >> np.uint64(27)
    keys *= np.uint64(_SECOND)
    keys ^= keys >> np.uint64(31)
    return keys


def _mixed_seed(seed: int) -> int:
    """A seed spread over 64 bits, so that neighbouring ones give unrelated keys."""
    mixed = (seed * _GOLDEN) & _ALL_BITS
    mixed = ((mixed ^ (mixed >> 30)) * _FIRST) & _ALL_BITS
    mixed = ((mixed ^ (mixed >> 27)) * _SECOND) & _ALL_BITS
    return mixed ^ (mixed >> 31)


def _starts(seed: int) -> tuple[float, float]:
    """Two numbers from 0 to below 1."""
    first, second = _keys(np.arange(2, dtype=np.uint64), seed)
    return float(first >> np.uint64(11)) / 2**53, float(second >> np.uint64(11)) / 2**53


def _every(step: float, length: int, start: float) -> NDArray[np.bool_]:
    """Which of some lines a grid of this step hits, from a start given in steps."""
    lines = ((start + np.arange(int(length / step) + 2)) * step).astype(np.int64)
    hit = np.zeros(length, np.bool_)
    hit[lines[lines < length]] = True
    return hit


def _joined(pieces: list[Units]) -> Units:
    return Units(
        *(
            np.concatenate([getattr(piece, field.name) for piece in pieces])
            for field in fields(Units)
        )
    )
