"""Pairs of classes of two dates, block by block, without the changes that rules remove."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift import grid
from landshift.classes import UNLABELLED
from landshift.grid import Window
from landshift.maps.cleaning import Parts, parts_of, remove_small
from landshift.prepare.map_reading import IndexedMap, MapStack, blocks
from landshift.prepare.rules import Cleaning, PairRules
from landshift.prepare.weighting import MapWeights, OpenWeights
from landshift.raster import blockwise
from landshift.raster.blockwise import Block

IsSmall = Callable[[int, NDArray[Any], NDArray[np.float64]], NDArray[np.bool_]]
"""Where codes of a block belong to small patches; see `cleaning.remove_small`."""


@dataclass(frozen=True)
class PairBlock:
    """The change map in a window, and what it holds.

    Attributes:
        codes: The change map ``(row, column)``.
        pixels: Pixels of each pair, forbidden ones too, as `PairRules` numbers them.
        hectares: Area of each pair; None where areas aren't known.
        removed: Pixels whose change was removed.
        weights: Weight of each label ``(row, column)``; None where none are asked for.
    """

    codes: NDArray[Any]
    pixels: NDArray[np.int64]
    hectares: NDArray[np.float64] | None
    removed: int
    weights: NDArray[np.float32] | None


@dataclass(frozen=True)
class _PairReader:
    """The maps of two dates, open to be read as pairs; for one thread.

    Attributes:
        earlier: The map of the first date, and those that confirm it.
        later: The map of the second date, and those that confirm it.
        rules: Which pairs are changes, and what removed changes become.
        area: The part of the grid that is compared; windows are relative to it.
        sure: How sure each map is; None where no weights are asked for.
    """

    earlier: Sequence[IndexedMap]
    later: Sequence[IndexedMap]
    rules: PairRules
    area: Window
    sure: OpenWeights | None

    def read(self, window: Window) -> tuple[NDArray[Any], int]:
        """Pairs of a window without unconfirmed changes, and how many those are."""
        at = window.shifted(self.area.row, self.area.column)
        before, after = self.earlier[0].read(at), self.later[0].read(at)
        pairs = self.rules.pairs(before, after)
        others = [(m, before) for m in self.earlier[1:]] + [(m, after) for m in self.later[1:]]
        if not others:
            return pairs, 0
        unconfirmed = np.logical_or.reduce([m.read(at) != own for m, own in others])
        return pairs, self.remove(pairs, unconfirmed)

    def weigh(self, window: Window, pairs: NDArray[Any]) -> NDArray[np.float32] | None:
        """Weights of a window's labels, by the maps as they are; 0 where the map keeps none."""
        if self.sure is None:
            return None
        at = window.shifted(self.area.row, self.area.column)
        said = [m.unsmoothed(at) for m in (*self.earlier, *self.later)]
        weights = self.sure.read(at, said, np.divmod(pairs, len(self.rules.scheme) + 1))
        weights[self.rules.map_code.take(pairs) == UNLABELLED] = 0
        return weights

    def remove(self, pairs: NDArray[Any], chosen: NDArray[np.bool_]) -> int:
        """Remove the changes among the chosen pixels, in place; how many those are."""
        chosen = chosen & self.rules.changed.take(pairs)
        pairs[chosen] = self.rules.without_change[pairs[chosen]]
        return int(np.count_nonzero(chosen))


@dataclass(frozen=True)
class CleanedPairs:
    """Pairs of classes of two maps, read once, or twice where small patches are removed.

    Attributes:
        maps: The maps.
        targets: Index of the class of each value of each map.
        rules: What becomes of each pair.
        cleaning: Which changes are removed.
        area: The part of the grid that is compared.
        ground: Areas of its pixels, if they are known.
        weights: How sure the maps are; None where no weights are asked for.
    """

    maps: MapStack
    targets: Sequence[Mapping[int, int | None]]
    rules: PairRules
    cleaning: Cleaning
    area: Window
    ground: grid.Ground | None
    weights: MapWeights | None = None

    @contextmanager
    def blocks(self) -> Iterator[Iterator[tuple[Block, PairBlock]]]:
        """The change map of each block, in order; finds small patches first."""
        is_small = None if self.cleaning.least is None else self._small_patches()

        def read(reader: _PairReader, block: Block) -> PairBlock:
            pairs, removed = reader.read(block.window)
            if is_small is not None:
                codes = self.rules.patch_code.take(pairs)
                small = is_small(block.number, codes, self._areas(block.window))
                removed += reader.remove(pairs, small)
            weights = reader.weigh(block.window, pairs)
            return self._counted(block.window, pairs, removed, weights)

        with blockwise.results(self._windows, "writing", self._opened, read) as results:
            yield results

    @property
    def _windows(self) -> list[Window]:
        return blocks(self.area.height, self.area.width)

    @contextmanager
    def _opened(self) -> Iterator[_PairReader]:
        sure = nullcontext() if self.weights is None else self.weights.opened()
        with self.maps.indexed(self.targets, self.cleaning.smooth) as (earlier, later), sure as own:
            yield _PairReader(earlier, later, self.rules, self.area, own)

    def _small_patches(self) -> IsSmall:
        """Where changes belong to small patches."""
        assert self.cleaning.least is not None
        neighbours = self.cleaning.neighbours

        def parts(reader: _PairReader, block: Block) -> Parts:
            codes = self.rules.patch_code.take(reader.read(block.window)[0])
            return parts_of(codes, self._areas(block.window), neighbours)

        with blockwise.results(self._windows, "finding patches", self._opened, parts) as results:
            return remove_small(
                self._windows, (each for _, each in results), least=self.cleaning.least,
                neighbours=neighbours,
            )  # fmt: skip

    def _areas(self, window: Window) -> NDArray[np.float64]:
        """Areas that count for small patches: of each pixel in hectares, else 1 of all."""
        if self.cleaning.min_hectares is None or self.ground is None:
            return np.ones((1, 1))
        return self.ground.hectares(window)

    def _counted(
        self, window: Window, pairs: NDArray[Any], removed: int, weights: NDArray[np.float32] | None
    ) -> PairBlock:
        rules = self.rules
        hectares = None
        if self.ground is None:
            pixels = grid.counts(pairs, rules.size)
        else:
            pixels, hectares = self.ground.tally(window, pairs, rules.size)
        return PairBlock(rules.map_code.take(pairs), pixels, hectares, removed, weights)
