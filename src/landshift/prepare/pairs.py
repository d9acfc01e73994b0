"""Pairs of classes of two dates, block by block, without the changes that rules remove."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift import grid
from landshift.grid import Window
from landshift.machine import parallel
from landshift.maps.cleaning import Parts, parts_of, remove_small
from landshift.prepare.map_reading import NONE, IndexedMap, MapStack
from landshift.prepare.rules import Cleaning, PairRules

IsSmall = Callable[[int, NDArray[Any], NDArray[np.float64]], NDArray[np.bool_]]
"""Where codes of a block belong to small patches; see `cleaning.remove_small`."""


@dataclass(frozen=True)
class PairBlock:
    """Pairs of classes of a window.

    Attributes:
        values: The pair of each pixel, as `PairRules` numbers them.
        nodata: Pixels without a class on either date.
        removed: Pixels whose change was removed.
        forbidden: Pixels of each forbidden pair, by pair.
    """

    values: NDArray[np.int32]
    nodata: int
    removed: int
    forbidden: NDArray[np.int64]


@dataclass(frozen=True)
class PairReader:
    """The maps of two dates, open to be read as pairs; for one thread.

    Attributes:
        earlier: The map of the first date, and those that confirm it.
        later: The map of the second date, and those that confirm it.
        rules: Which pairs are forbidden, and what removed changes become.
        area: The part of the grid that is compared; windows are relative to it.
    """

    earlier: Sequence[IndexedMap]
    later: Sequence[IndexedMap]
    rules: PairRules
    area: Window

    def read(self, window: Window) -> PairBlock:
        """Pairs of a window, without forbidden and unconfirmed changes."""
        at = window.shifted(self.area.row, self.area.column)
        n = len(self.rules.scheme)
        none = n * n
        i, j = self.earlier[0].read(at), self.later[0].read(at)
        classed = (i != NONE) & (j != NONE)
        pair = np.where(classed, i.astype(np.int32) * n + j, none).astype(np.int32)
        counts = np.zeros(none + 1, np.int64)
        lost = self.rules.forbidden[pair]
        if lost.any():
            counts = np.bincount(pair[lost], minlength=none + 1)
            pair[lost] = none
        unconfirmed = np.zeros(pair.shape, np.bool_)
        for confirming, own in ((self.earlier[1:], i), (self.later[1:], j)):
            for class_map in confirming:
                unconfirmed |= class_map.read(at) != own
        unconfirmed &= self.rules.changed[pair]
        removed = int(unconfirmed.sum())
        if removed:
            pair[unconfirmed] = self.rules.without_change[pair[unconfirmed]]
        return PairBlock(pair, int(classed.size - classed.sum()), removed, counts)


class CleanedPairs:
    """Pairs of classes of two maps, read once, or twice where small patches are removed."""

    def __init__(
        self,
        maps: MapStack,
        targets: Sequence[Mapping[int, int | None]],
        rules: PairRules,
        cleaning: Cleaning,
        windows: Sequence[Window],
    ) -> None:
        """Prepare to read.

        Args:
            maps: The maps.
            targets: Index of the class of each value of each map.
            rules: What becomes of each pair.
            cleaning: Which changes are removed.
            windows: The blocks of the area that is compared.
        """
        self._maps, self._targets = maps, targets
        self._rules, self._cleaning = rules, cleaning
        self._windows = windows

    @property
    def first_pass(self) -> int:
        """Blocks read before the first one is given: all, where small patches are removed."""
        return 0 if self._cleaning.least is None else len(self._windows)

    @contextmanager
    def blocks(
        self, area: Window, ground: grid.Ground | None, on_block: Callable[[int], None]
    ) -> Iterator[Iterator[PairBlock]]:
        """The pairs of each window, in order.

        Args:
            area: The part of the grid that is compared.
            ground: Areas of its pixels, if they are known.
            on_block: Called with blocks done in the first pass.
        """
        smallest = self._cleaning.min_hectares

        @contextmanager
        def opened() -> Iterator[PairReader]:
            with self._maps.indexed(self._targets, self._cleaning.smooth) as (earlier, later):
                yield PairReader(earlier, later, self._rules, area)

        def areas(window: Window) -> NDArray[np.float64]:
            if smallest is None or ground is None:
                return np.ones((1, 1))
            return ground.hectares(window)

        is_small = self._small_patches(opened, areas, on_block)

        def cleaned(pairs: PairReader, task: tuple[int, Window]) -> PairBlock:
            number, window = task
            block = pairs.read(window)
            if is_small is None:
                return block
            small = is_small(number, self._rules.patch_code[block.values], areas(window))
            block.values[small] = self._rules.without_change[block.values[small]]
            return replace(block, removed=block.removed + int(small.sum()))

        with parallel.in_order(list(enumerate(self._windows)), opened, cleaned) as blocks:
            yield blocks

    def _small_patches(
        self,
        opened: Callable[[], AbstractContextManager[PairReader]],
        areas: Callable[[Window], NDArray[np.float64]],
        on_block: Callable[[int], None],
    ) -> IsSmall | None:
        """Where changes belong to small patches; None where every patch stays."""
        least, neighbours = self._cleaning.least, self._cleaning.neighbours
        if least is None:
            return None

        def patch_codes(pairs: PairReader, window: Window) -> tuple[NDArray[Any], Parts]:
            codes = self._rules.patch_code[pairs.read(window).values]
            return codes, parts_of(codes, areas(window), neighbours)

        def counted(codes: Iterator[tuple[NDArray[Any], Parts]]) -> Iterator[Any]:
            for done, block in enumerate(codes, start=1):
                yield block
                on_block(done)

        with parallel.in_order(self._windows, opened, patch_codes) as codes:
            return remove_small(self._windows, counted(codes), least=least, neighbours=neighbours)
