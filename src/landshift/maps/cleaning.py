"""Cleaning of class and change maps by blocks, with the same result as cleaning them whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift.errors import ParameterError
from landshift.grid import Window

Parts = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]
"""The patch of each pixel of a block, the area of each patch, and the patches at its border."""

SMALLEST_KERNEL, LARGEST_KERNEL = 3, 11


def patch_codes(values: NDArray[Any], classed: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Codes of class values for patches; 0 without a class.

    Values from 0 up are shifted by 1, so that 0 can be a class.

    Args:
        values: Class values ``(row, column)``, of any sign.
        classed: Where there is a class.
    """
    wide = values.astype(np.int64)
    return np.where(classed, wide + (wide >= 0), 0)


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


class Patches:
    """Patches: connected pixels of one code, labelled block by block.

    The first pass, `add`, labels each block by itself (Rosenfeld & Pfaltz 1966, J. ACM 13(4), doi
    10.1145/321356.321357, by blocks) and keeps only the patches that touch a block's border: their
    areas, and which of them meet across it. `join` adds those up. The second pass, `small` or
    `numbers`, labels each block again and looks up those patches. The result equals labelling the
    whole raster; memory holds at most one number for each pixel on a border between blocks.

    Args:
        windows: The blocks, row by row and from left to right, as `landshift.raster.blocks`
            returns them. `add` takes them in this order; the second pass refers to their index.
        neighbours: 4 or 8.

    Raises:
        ParameterError: See `check_neighbours`.
    """

    def __init__(self, windows: Sequence[Window], neighbours: int) -> None:
        check_neighbours(neighbours)
        self._windows = windows
        self.neighbours = neighbours
        width = max(w.column + w.width for w in windows)
        # last row of the blocks above, and of the current row of blocks
        self._above = _BorderLine(width)
        self._bottom = _BorderLine(width)
        self._left: tuple[NDArray[Any], NDArray[np.int64]] | None = None
        self._first: list[int] = []
        self._areas: list[NDArray[np.float64]] = []
        self._meetings: list[NDArray[np.int64]] = []
        self._total: NDArray[np.float64] | None = None
        self._count = 0
        self.count = 0
        """Number of joined patches that touch a block's border; they are numbered first."""
        self.last = np.zeros(0, np.int64)
        """Index of the last block of each of those patches."""
        self.areas = np.zeros(0)
        """Area of each of those patches."""
        self.whole = np.zeros(0, np.int64)
        """Patch number of each part at a block's border, in the order of the blocks."""

    def add(self, codes: NDArray[Any], parts: Parts) -> None:
        """Add the next block.

        Args:
            codes: Its codes ``(row, column)``; 0 belongs to no patch.
            parts: Its `parts_of`.
        """
        window = self._windows[len(self._first)]
        if window.column == 0:
            self._above, self._bottom = self._bottom, _BorderLine(self._bottom.codes.size)
            self._left = None
        patches, sums, at_border = parts
        numbers = np.full(sums.size, -1, np.int64)
        numbers[at_border] = self._count + np.arange(at_border.size)
        self._first.append(self._count)
        self._count += at_border.size
        self._areas.append(sums[at_border])
        own = numbers[patches]
        own[codes == 0] = -1
        diagonal = (-1, 0, 1) if self.neighbours == 8 else (0,)
        columns = np.arange(window.column, window.column + window.width)
        for step in diagonal:
            other = columns + step
            inside = (other >= 0) & (other < self._above.codes.size)
            self._meet(
                codes[0][inside], own[0][inside],
                self._above.codes[other[inside]], self._above.numbers[other[inside]],
            )  # fmt: skip
            if self._left is not None:
                left_codes, left_numbers = self._left
                rows = np.arange(window.height)
                other = rows + step
                inside = (other >= 0) & (other < window.height)
                self._meet(
                    codes[rows[inside], 0], own[rows[inside], 0],
                    left_codes[other[inside]], left_numbers[other[inside]],
                )  # fmt: skip
        self._bottom.codes[columns] = codes[-1]
        self._bottom.numbers[columns] = own[-1]
        self._left = (codes[:, -1].copy(), own[:, -1].copy())

    def join(self) -> None:
        """Join the parts of patches across blocks, after all blocks are added."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        if self._count == 0:
            self._total = np.zeros(0)
            return
        areas = np.concatenate(self._areas)
        meetings = np.concatenate([*self._meetings, np.zeros((2, 0), np.int64)], axis=1)
        edges = coo_array(
            (np.ones(meetings.shape[1], np.bool_), (meetings[0], meetings[1])),
            shape=(self._count, self._count),
        )
        self.count, whole = connected_components(edges, directed=False)
        self.whole = whole.astype(np.int64)
        self.areas = np.bincount(whole, areas).astype(np.float64)
        self._total = self.areas[whole]
        blocks = np.repeat(np.arange(len(self._areas)), [a.size for a in self._areas])
        self.last = np.zeros(self.count, np.int64)
        np.maximum.at(self.last, whole, blocks)

    def small(
        self, number: int, codes: NDArray[Any], areas: NDArray[np.float64], least: float
    ) -> NDArray[np.bool_]:
        """Mask of a block's pixels in patches below an area.

        Args:
            number: Index of the block among the windows.
            codes: The codes passed to `add`.
            areas: Area of each of its pixels, as for `add`.
            least: Smallest area that isn't small, with a tolerance of one part in a billion.
        """
        assert self._total is not None, "join comes before small"
        patches, sums, at_border = parts_of(codes, areas, self.neighbours)
        first = self._first[number]
        sums[at_border] = self._total[first : first + at_border.size]
        small: NDArray[np.bool_] = (sums < least * (1 - 1e-9))[patches] & (codes != 0)
        return small

    def numbers(
        self, number: int, codes: NDArray[Any], areas: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Patch number of each pixel; below `count` for patches that touch a block's border.

        Numbers from `count` up are patches inside this block; -1: no patch.

        Args:
            number: Index of the block among the windows.
            codes: The codes passed to `add`.
            areas: Area of each of its pixels, as for `add`.
        """
        assert self._total is not None, "join comes before numbers"
        patches, sums, at_border = parts_of(codes, areas, self.neighbours)
        numbers = np.empty(sums.size, np.int64)
        inside = np.ones(sums.size, np.bool_)
        inside[at_border] = False
        numbers[inside] = self.count + np.arange(int(inside.sum()))
        first = self._first[number]
        numbers[at_border] = self.whole[first : first + at_border.size]
        of_pixel: NDArray[np.int64] = np.where(codes != 0, numbers[patches], -1)
        return of_pixel

    def _meet(
        self,
        codes: NDArray[Any],
        numbers: NDArray[np.int64],
        other_codes: NDArray[Any],
        other_numbers: NDArray[np.int64],
    ) -> None:
        meet = (codes == other_codes) & (numbers >= 0) & (other_numbers >= 0)
        if meet.any():
            pairs = np.stack([numbers[meet], other_numbers[meet]])
            self._meetings.append(np.unique(pairs, axis=1))


class _BorderLine:
    """Codes and patch numbers along a row of the raster; -1: no patch."""

    def __init__(self, width: int) -> None:
        self.codes = np.zeros(width, np.int64)
        self.numbers = np.full(width, -1, np.int64)


def parts_of(codes: NDArray[Any], areas: NDArray[np.float64], neighbours: int) -> Parts:
    """Label the patches of a single block.

    Args:
        codes: Its codes ``(row, column)``; 0 belongs to no patch.
        areas: Area of each of its pixels ``(row, column)``, or ``(1, 1)`` of all.
        neighbours: Whether pixels connect over their sides only, 4, or corners too, 8.

    Returns:
        The patch of each pixel (arbitrary where the code is 0), the area of each patch, and the
        patches at the block's border, ascending.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    chosen = codes != 0
    node = np.cumsum(chosen.ravel(), dtype=np.int64).reshape(codes.shape) - 1
    count = int(node[-1, -1]) + 1
    if count == 0:
        return np.zeros(codes.shape, np.int64), np.zeros(1), np.zeros(0, np.int64)
    whole = slice(None)
    first, rest, less, more = slice(None, -1), slice(1, None), slice(None, -1), slice(1, None)
    steps = [((whole, less), (whole, more)), ((first, whole), (rest, whole))]
    if neighbours == 8:
        steps += [((first, less), (rest, more)), ((first, more), (rest, less))]
    heads, tails = [], []
    for here, there in steps:
        same = (codes[here] == codes[there]) & chosen[here]
        heads.append(node[here][same])
        tails.append(node[there][same])
    head, tail = np.concatenate(heads), np.concatenate(tails)
    edges = coo_array((np.ones(head.size, np.bool_), (head, tail)), shape=(count, count))
    _, patch = connected_components(edges, directed=False)
    patches: NDArray[np.int64] = patch.astype(np.int64)[np.maximum(node, 0)]
    weights = np.broadcast_to(areas, codes.shape)[chosen]
    sums = np.bincount(patch, weights).astype(np.float64)
    border = np.zeros(codes.shape, np.bool_)
    border[[0, -1]] = border[:, [0, -1]] = True
    return patches, sums, np.unique(patches[border & chosen])


def remove_small(
    windows: Sequence[Window],
    blocks: Iterable[tuple[NDArray[Any], Parts]],
    *,
    least: float,
    neighbours: int,
    on_block: Callable[[int], None] | None = None,
) -> Callable[[int, NDArray[Any], NDArray[np.float64]], NDArray[np.bool_]]:
    """Find patches below an area: run the first pass of `Patches` over all blocks.

    Args:
        windows: The blocks; see `Patches`.
        blocks: Codes of each window, and their `parts_of`.
        least: Smallest area that isn't small.
        neighbours: 4 or 8.
        on_block: Called with the number of blocks done.

    Returns:
        The second pass: a function of a block's index, codes and areas that returns the mask of
        pixels in small patches. Safe to call from several threads.
    """
    patches = Patches(windows, neighbours)
    for done, (codes, parts) in enumerate(blocks, start=1):
        patches.add(codes, parts)
        if on_block is not None:
            on_block(done)
    patches.join()
    return lambda number, codes, areas: patches.small(number, codes, areas, least)
