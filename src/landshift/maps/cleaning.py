"""Cleaning of class and change maps by blocks, with the same result as cleaning them whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift.errors import ParameterError
from landshift.grid import Window
from landshift.maps.runs import Number, Runs

SMALLEST_KERNEL, LARGEST_KERNEL = 3, 11


def patch_codes(values: NDArray[Any], classed: NDArray[np.bool_]) -> NDArray[Any]:
    """Codes of class values for patches; 0 without a class.

    Values from 0 up are shifted by 1, so that 0 can be a class. Codes are signed integers of twice
    the values' bytes, so that they fit: numpy compares small ones faster.

    Args:
        values: Class values ``(row, column)``, of any sign.
        classed: Where there is a class.
    """
    codes = values.astype(f"i{min(2 * values.dtype.itemsize, 8)}")
    codes += codes >= 0
    codes[~classed] = 0
    return codes


def value_of(code: int) -> int:
    """The class value of a code of `patch_codes`."""
    return code - (code > 0)


def check_kernel(size: int) -> None:
    """Check the size of a majority filter.

    Raises:
        ParameterError: It is even, or not from 3 to 11.
    """
    if size % 2 == 0 or not SMALLEST_KERNEL <= size <= LARGEST_KERNEL:
        raise ParameterError(
            f"A majority filter (`smooth`) must be 3, 5, 7, 9 or 11 pixels wide, got {size}."
        )


def check_neighbours(neighbours: int) -> None:
    """Check how pixels connect.

    Raises:
        ParameterError: Neither over 4 sides nor to all 8 neighbours.
    """
    if neighbours not in (4, 8):
        raise ParameterError(
            f"Patches have 4 or 8 neighbours, got {neighbours}; set `neighbours` to one of them."
        )


def majority(indices: NDArray[np.uint8], size: int, ignore: int) -> NDArray[np.uint8]:
    """The most frequent class in a square around each pixel.

    Pixels without a class don't vote and stay without one. In a tie the pixel's own class wins,
    else the class with the lowest index. Beyond the array there is no class: to filter a block as
    part of a map, pass ``size // 2`` more pixels on each side, and cut them off afterwards.

    Args:
        indices: Class indices ``(row, column)``.
        size: Rows and columns of the square; 3, 5, 7, 9 or 11.
        ignore: Index that means 'no class'.

    Raises:
        ParameterError: See `check_kernel`.
    """
    check_kernel(size)
    best = indices.copy()
    votes = np.zeros(indices.shape, np.int16)
    for k in np.unique(indices[indices != ignore]):
        is_k = indices == k
        # twice the count, plus one for the pixel's own class, so that it wins a tie
        score = 2 * _count_around(is_k, size) + is_k
        wins = score > votes
        best[wins] = k
        votes[wins] = score[wins]
    best[indices == ignore] = ignore
    return best


def _count_around(chosen: NDArray[np.bool_], size: int) -> NDArray[np.int16]:
    """Number of chosen pixels in the square around each pixel."""
    counts = chosen.astype(np.int16)
    for axis in (0, 1):
        pad = [(0, 0), (0, 0)]
        pad[axis] = (size // 2 + 1, size // 2)
        sums = np.cumsum(np.pad(counts, pad), axis=axis, dtype=np.int32)
        n = counts.shape[axis]
        upper = np.take(sums, np.arange(size, size + n), axis=axis)
        counts = (upper - np.take(sums, np.arange(n), axis=axis)).astype(np.int16)
    return counts


@dataclass(frozen=True)
class Parts:
    """The patches of a block by itself: what other blocks may add to.

    Attributes:
        codes: Code of each; 0 where pixels belong to no patch.
        sums: Area of each, or several sums over its pixels ``(sum, patch)``.
        at_border: Those with pixels at the block's border, ascending.
        sides: Patches of the pixels along the upper, left, lower and right side.
    """

    codes: NDArray[Any]
    sums: NDArray[Any]
    at_border: NDArray[np.int64]
    sides: tuple[NDArray[np.int32], ...]

    @classmethod
    def of(cls, runs: Runs, patches: NDArray[np.int32], sums: NDArray[Any]) -> Parts:
        """The patches of a block's runs, with sums over each."""
        codes = np.zeros(sums.shape[-1], runs.codes.dtype)
        codes[patches] = runs.code
        pixels = runs.of_pixel
        sides = tuple(patches[k] for k in (pixels[0], pixels[:, 0], pixels[-1], pixels[:, -1]))
        at_border = np.unique(np.concatenate(sides)).astype(np.int64)
        return cls(codes, sums, at_border[codes[at_border] != 0], sides)


@dataclass(frozen=True)
class JoinedRow:
    """What the blocks of a row joined.

    Attributes:
        whole: Patch of each number of the row; those that may go on below come first.
        going_on: How many may go on below. In the next row their numbers are these.
    """

    whole: NDArray[np.int64]
    going_on: int

    def of_each(self, values: NDArray[Any]) -> NDArray[Any]:
        """The value of each patch, which all its numbers share."""
        shared = np.zeros(int(self.whole.max(initial=-1)) + 1, values.dtype)
        shared[self.whole] = values
        return shared

    def sums(self, values: NDArray[Number]) -> NDArray[Number]:
        """Sum over each patch of values ``(number,)`` or ``(sum, number)``."""
        shape = (*values.shape[:-1], int(self.whole.max(initial=-1)) + 1)
        sums = np.zeros(shape, values.dtype)
        np.add.at(sums.T, self.whole, values.T)
        return sums


class Patches:
    """Joins patches across blocks: connected pixels of one code, labelled block by block.

    Each block is labelled by itself (Rosenfeld & Pfaltz 1966, J. ACM 13(4), doi
    10.1145/321356.321357, by blocks). `add` takes the patches at its border; at the end of a row of
    blocks those that meet are joined, and those that don't touch its last line are complete. The
    result equals labelling the whole raster; memory follows its width.

    In a row of blocks, each patch that goes on from the row above has a number, and after those
    each patch at the border of a block, in the order of the blocks.

    Args:
        windows: The blocks, row by row and from left to right, as `landshift.raster.blocks`
            returns them. `add` takes them in this order.
        neighbours: 4 or 8.

    Raises:
        ParameterError: See `check_neighbours`.
    """

    def __init__(self, windows: Sequence[Window], neighbours: int) -> None:
        check_neighbours(neighbours)
        self._windows = windows
        self._steps = (-1, 0, 1) if neighbours == 8 else (0,)
        self._added = 0  # blocks
        self.count = 0
        """Numbers of this row of blocks so far."""
        self._width = max(w.column + w.width for w in windows)
        # last line of the blocks above, and of this row of blocks
        self._above, self._bottom = _Line.empty(self._width), _Line.empty(self._width)
        self._left: _Line | None = None
        self._meetings: list[NDArray[np.int64]] = []

    def add(self, parts: Parts) -> JoinedRow | None:
        """Add the next block; returns what is joined after the last one of a row."""
        window = self._windows[self._added]
        self._added += 1
        numbers = np.full(parts.codes.size, -1, np.int64)
        numbers[parts.at_border] = self.count + np.arange(parts.at_border.size)
        self.count += parts.at_border.size
        top, left, bottom, right = (_Line(parts.codes[s], numbers[s]) for s in parts.sides)
        self._meet(top, self._above, window.column)
        if self._left is not None:
            self._meet(left, self._left, 0)
        columns = window.slices[1]
        self._bottom.codes[columns], self._bottom.numbers[columns] = bottom.codes, bottom.numbers
        self._left = right
        more = self._windows[self._added :]
        if more and more[0].row == window.row:
            return None
        return self._joined(last=not more)

    def _joined(self, *, last: bool) -> JoinedRow:
        """Join the numbers that meet; the patches become those of the next row."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        whole = np.zeros(0, np.int64)
        below = self._bottom.numbers >= 0
        if self.count:
            heads, tails = np.concatenate([*self._meetings, np.zeros((2, 0), np.int64)], axis=1)
            shape = (self.count, self.count)
            links = coo_array((np.ones(heads.size), (heads, tails)), shape=shape)
            count, patches = connected_components(links, directed=False)
            goes_on = np.zeros(count, np.bool_)
            goes_on[patches[self._bottom.numbers[below]]] = not last
            rank = np.where(goes_on, np.cumsum(goes_on), goes_on.sum() + np.cumsum(~goes_on)) - 1
            whole = rank[patches].astype(np.int64)
            self.count = int(goes_on.sum())
        self._bottom.numbers[below] = whole[self._bottom.numbers[below]]
        self._above, self._bottom = self._bottom, _Line.empty(self._width)
        self._left = None
        self._meetings = []
        return JoinedRow(whole, self.count)

    def _meet(self, line: _Line, other: _Line, start: int) -> None:
        """Note which patches of a line are those of another one, from `start` on, beside it."""
        places = np.arange(line.codes.size)
        for step in self._steps:
            beside = places + start + step
            inside = (beside >= 0) & (beside < other.codes.size)
            here, there = places[inside], beside[inside]
            meets = (line.codes[here] == other.codes[there]) & (line.numbers[here] >= 0)
            meets &= other.numbers[there] >= 0
            if meets.any():
                pair = [line.numbers[here[meets]], other.numbers[there[meets]]]
                self._meetings.append(np.stack(pair))


@dataclass(frozen=True)
class _Line:
    """Codes and numbers of the pixels along a line; -1: no patch."""

    codes: NDArray[Any]
    numbers: NDArray[np.int64]

    @classmethod
    def empty(cls, width: int) -> _Line:
        return cls(np.zeros(width, np.int64), np.full(width, -1, np.int64))


def parts_of(codes: NDArray[Any], areas: NDArray[np.float64], neighbours: int) -> Parts:
    """Label the patches of a single block.

    Args:
        codes: Its codes ``(row, column)``; 0 belongs to no patch.
        areas: Area of each of its pixels ``(row, column)``, or ``(1, 1)`` of all.
        neighbours: Whether pixels connect over their sides only, 4, or corners too, 8.
    """
    return _labelled(codes, areas, neighbours)[2]


def _labelled(
    codes: NDArray[Any], areas: NDArray[np.float64], neighbours: int
) -> tuple[Runs, NDArray[np.int32], Parts]:
    """The runs of a block, the patch of each, and the patches."""
    runs = Runs.of(codes)
    patches = runs.patches(neighbours)
    return runs, patches, Parts.of(runs, patches, np.bincount(patches, runs.sums(areas)))


def remove_small(
    windows: Sequence[Window],
    blocks: Iterable[Parts],
    *,
    least: float,
    neighbours: int,
) -> Callable[[int, NDArray[Any], NDArray[np.float64]], NDArray[np.bool_]]:
    """Find patches below an area: the first of two passes over all blocks.

    Args:
        windows: The blocks; see `Patches`.
        blocks: The `parts_of` each window.
        least: Smallest area that isn't small, with a tolerance of one part in a billion.
        neighbours: 4 or 8.

    Returns:
        The second pass: a function of a block's index, codes and areas that returns the mask of
        pixels in small patches. Safe to call from several threads.
    """
    smallest = least * (1 - 1e-9)
    patches = Patches(windows, neighbours)
    first = [0]  # each block's first part at its border, of those of all blocks
    small = [np.zeros(0, np.int64)]
    # parts of patches that go on below, the number of each one's patch, and areas by number
    held, numbers, areas = np.zeros(0, np.int64), np.zeros(0, np.int64), [np.zeros(0)]
    for parts in blocks:
        held = np.append(held, first[-1] + np.arange(parts.at_border.size))
        numbers = np.append(numbers, patches.count + np.arange(parts.at_border.size))
        areas.append(parts.sums[parts.at_border])
        first.append(first[-1] + parts.at_border.size)
        row = patches.add(parts)
        if row is None:
            continue
        totals, numbers = row.sums(np.concatenate(areas)), row.whole[numbers]
        goes_on = numbers < row.going_on
        small.append(held[(totals < smallest)[numbers] & ~goes_on])
        held, numbers, areas = held[goes_on], numbers[goes_on], [totals[: row.going_on]]
    is_small = np.zeros(first[-1], np.bool_)
    is_small[np.concatenate(small)] = True

    def second_pass(
        number: int, codes: NDArray[Any], areas: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        runs, patch, parts = _labelled(codes, areas, neighbours)
        chosen = parts.sums < smallest
        chosen[parts.at_border] = is_small[first[number] : first[number + 1]]
        return runs.spread((chosen & (parts.codes != 0))[patch])

    return second_pass
