"""Runs of pixels of one code along the rows of a block, of which its patches consist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", np.int64, np.float64)


@dataclass(frozen=True)
class Runs:
    """The longest runs of pixels of one code, row by row; far fewer than pixels.

    Attributes:
        codes: Code of each pixel ``(row, column)``; 0 belongs to no patch.
        starts: Pixels where a run starts.
        first: Place of each run's first pixel among all pixels.
        of_pixel: Run of each pixel ``(row, column)``.
    """

    codes: NDArray[Any]
    starts: NDArray[np.bool_]
    first: NDArray[np.int64]
    of_pixel: NDArray[np.int32]

    @classmethod
    def of(cls, codes: NDArray[Any]) -> Runs:
        """The runs of a block's codes."""
        codes = np.ascontiguousarray(codes)
        starts = np.ones(codes.shape, np.bool_)
        np.not_equal(codes[:, 1:], codes[:, :-1], out=starts[:, 1:])
        of_pixel = np.cumsum(starts, dtype=np.int32).reshape(codes.shape)
        of_pixel -= 1
        return cls(codes, starts, np.flatnonzero(starts), of_pixel)

    @property
    def code(self) -> NDArray[Any]:
        """Code of each run."""
        return self.codes.ravel()[self.first]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Pixels of each run."""
        return np.diff(self.first, append=self.codes.size)

    def sums(self, values: NDArray[Number]) -> NDArray[Number]:
        """Sum of values over the pixels of each run.

        Args:
            values: Value of each pixel ``(row, column)``, or ``(1, 1)`` of all.
        """
        values = np.broadcast_to(values, self.codes.shape)
        sums: NDArray[Number]
        if values.strides[1] == 0:  # a value per row
            of_row = values[:, 0]
            sums = of_row[self.first // values.shape[1]] * self.lengths.astype(values.dtype)
        else:
            sums = np.add.reduceat(values.ravel(), self.first)
        return sums

    def spread(self, values: NDArray[Any]) -> NDArray[Any]:
        """The runs' values as values of their pixels ``(row, column)``."""
        return np.repeat(values, self.lengths).reshape(self.codes.shape)

    def patches(self, neighbours: int) -> NDArray[np.int32]:
        """Patch of each run; a run of code 0 is a patch of its own.

        Args:
            neighbours: Whether pixels connect over their sides only, 4, or corners too, 8.
        """
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        codes, starts, width = self.codes, self.starts, self.codes.shape[1]
        # each pair of runs that overlap is linked once, where the overlap starts
        over = (starts[1:] | starts[:-1]) & (codes[1:] == codes[:-1]) & (codes[1:] != 0)
        links = [(np.flatnonzero(over), width)]
        if neighbours == 8:
            # at a corner, a run ends where that in the other row starts
            corner = starts[:-1, 1:] & starts[1:, 1:]
            for left, right, step in (
                (codes[:-1, :-1], codes[1:, 1:], width + 1),
                (codes[1:, :-1], codes[:-1, 1:], 1 - width),
            ):
                row, column = np.divmod(
                    np.flatnonzero(corner & (left == right) & (left != 0)), max(width - 1, 1)
                )
                links.append(((row + (step < 0)) * width + column, step))
        flat, count = self.of_pixel.ravel(), self.first.size
        heads = np.concatenate([flat[at] for at, _ in links])
        tails = np.concatenate([flat[at + step] for at, step in links])
        graph = coo_array((np.ones(heads.size), (heads, tails)), shape=(count, count))
        graph.has_canonical_format = True  # no link twice; else scipy sorts them
        patches: NDArray[np.int32] = connected_components(graph, directed=False)[1]
        return patches
