"""Overviews of a GeoTIFF: halved rows and columns, repeatedly, down to one block.

Reading a raster back and decoding it takes about as long as halving it and compressing the result.
So the first overview is made of the pixels while they are written, where they come in whole blocks
of it; the others, a quarter as large each, are made of the one before.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift.grid import Window
from landshift.machine import parallel, progress
from landshift.raster import cog
from landshift.raster.reader import rasterio_window

FILLING = 2 * cog.BLOCK
"""Rows and columns of a window that fills a block of the first overview."""

_AT_ONCE = 1 << 20  # bytes; larger blocks are made in four steps, each from one block


class FirstOverview:
    """The first overview of a GeoTIFF, made of its windows while they are written.

    It is given up at the first window that doesn't fill whole blocks of it: so each block is
    compressed once, and few wait in memory.
    """

    def __init__(
        self, draft: Any, predictor: int, *, classes: Sequence[bool], stack: ExitStack
    ) -> None:
        """Prepare it.

        Args:
            draft: The open GeoTIFF.
            predictor: See `cog.creation`.
            classes: See `build`.
            stack: Closes the overview.
        """
        self._draft, self._predictor, self._classes, self._stack = draft, predictor, classes, stack
        self._shape, self._nodata = draft.shape, draft.nodata
        self._file: Any = None
        self._given_up = not _sizes(self._shape)

    @property
    def complete(self) -> bool:
        """Whether the overview has the pixels of all windows written so far."""
        return self._file is not None and not self._given_up

    def halved(self, values: NDArray[Any], window: Window) -> NDArray[Any] | None:
        """The overview's pixels of a window, for `write`; None where it is given up."""
        self._given_up = self._given_up or not self._fills_blocks(window)
        return None if self._given_up else _halved(values, self._nodata, self._classes)

    def write(self, halved: NDArray[Any] | None, window: Window) -> None:
        """Write what `halved` gave for a window; one thread at a time."""
        if halved is None:
            return
        if self._file is None:
            new = _new(self._draft, _path(self._draft.name, 1), self._predictor)
            self._file = self._stack.enter_context(new)
        part = Window(window.row // 2, window.column // 2, *halved.shape[1:])
        self._file.write(halved, window=rasterio_window(part))

    def _fills_blocks(self, window: Window) -> bool:
        sides = (window.row, window.height), (window.column, window.width)
        return all(
            first % FILLING == 0 and (count % FILLING == 0 or first + count == end)
            for (first, count), end in zip(sides, self._shape, strict=True)
        )


def build(
    draft: Path, predictor: int, *, classes: Sequence[bool], first: FirstOverview
) -> list[Path]:
    """Write the overviews of a GeoTIFF beside it.

    Args:
        draft: The complete GeoTIFF.
        predictor: See `cog.creation`.
        classes: Whether each band's overviews hold the most frequent value of 2 x 2 pixels
            instead of their mean.
        first: The first one, closed; taken as it is where it is complete.

    Returns:
        The files, each half as large as the one before, the last no larger than a block.

    Raises:
        OSError: The disk is full.
    """
    import rasterio

    with rasterio.open(draft) as source:
        sizes = _sizes(source.shape)
        pixel = source.count * np.dtype(source.dtypes[0]).itemsize
    size = cog.BLOCK if cog.BLOCK**2 * pixel <= _AT_ONCE else cog.BLOCK // 2
    levels = [_path(draft, number) for number in range(1, len(sizes) + 1)]
    parts = [list(_corners(*shape, size)) for shape in sizes]
    done = int(first.complete)
    with progress.step("overviews", sum(map(len, parts[done:]))) as step:
        for number in range(done, len(levels)):
            level = levels[number - 1] if number else draft
            _halve(level, levels[number], predictor, parts[number], classes=classes, step=step)
    for level in levels:
        cog.check_written(level)
    return levels


def _path(draft: Path | str, number: int) -> Path:
    """The file of an overview; the first has number 1."""
    return Path(draft).with_name(f"{Path(draft).stem}.{number}.tif")


def _sizes(shape: tuple[int, int]) -> list[tuple[int, int]]:
    """Rows and columns of each overview."""
    sizes = []
    while max(shape) > cog.BLOCK:
        shape = (shape[0] + 1) // 2, (shape[1] + 1) // 2
        sizes.append(shape)
    return sizes


@contextmanager
def _new(level: Any, path: Path, predictor: int) -> Iterator[Any]:
    """A new GeoTIFF for the overview of an open one."""
    import rasterio

    profile = {
        **cog.creation(level.count, predictor), "dtype": level.dtypes[0],
        "height": (level.height + 1) // 2, "width": (level.width + 1) // 2,
        "count": level.count, "nodata": level.nodata, "crs": level.crs,
        "transform": level.transform @ level.transform.scale(2),
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as target:
        if _has_colours(level):
            target.write_colormap(1, level.colormap(1))
        yield target


def _halve(
    level: Path,
    path: Path,
    predictor: int,
    parts: Sequence[Window],
    *,
    classes: Sequence[bool],
    step: progress.Step,
) -> None:
    import rasterio

    def halved(source: Any, part: Window) -> NDArray[Any]:
        twice = Window(2 * part.row, 2 * part.column, 2 * part.height, 2 * part.width)
        values = source.read(window=rasterio_window(twice.clipped(*source.shape)))
        return _halved(values, source.nodata, classes)

    with (
        rasterio.open(level) as source,
        _new(source, path, predictor) as target,
        parallel.in_order(parts, partial(rasterio.open, level), halved) as results,
    ):
        for part, values in zip(parts, results, strict=True):
            target.write(values, window=rasterio_window(part))
            step.advance()


def _halved(values: NDArray[Any], nodata: float | None, classes: Sequence[bool]) -> NDArray[Any]:
    # band by band, to limit the memory of wider intermediate types
    return np.stack(
        [
            (_commonest if never_mixed else _averaged)(band, nodata)
            for band, never_mixed in zip(values, classes, strict=True)
        ]
    )


def _corners(height: int, width: int, size: int) -> Iterator[Window]:
    """Windows of a raster, block by block, so that few blocks are incomplete."""
    for row, column in itertools.product(range(0, height, cog.BLOCK), range(0, width, cog.BLOCK)):
        for down, right in itertools.product(range(0, cog.BLOCK, size), repeat=2):
            if row + down < height and column + right < width:
                yield Window(row + down, column + right, size, size).clipped(height, width)


def _has_colours(source: Any) -> bool:
    from rasterio.enums import ColorInterp

    return bool(source.colorinterp[0] == ColorInterp.palette)


def _averaged(values: NDArray[Any], nodata: float | None) -> NDArray[Any]:
    """Means of the valid pixels of each 2 x 2 square; nodata where none is valid.

    Args:
        values: One band, ``(row, column)``; an odd edge is repeated.
        nodata: The nodata value, or None.
    """
    kind = values.dtype
    whole = np.issubdtype(kind, np.integer)
    wide = np.dtype(np.float64 if not whole else np.int32 if kind.itemsize < 4 else np.int64)
    values = _even(values)
    valid = None if nodata is None else _is_valid(values, nodata)
    if valid is None or valid.all():
        means = _rounded(_squares(values.astype(wide)), 4, kind)
        count: Any = 4
    else:
        count = _squares(valid.astype(np.int8))
        total = _squares(np.where(valid, values, 0).astype(wide))
        means = _rounded(total, np.maximum(count, 1), kind)
    if nodata is None:
        return means
    if whole:
        clash = (means == nodata) & (count > 0)  # a mean that equals the nodata value
        means[clash] = nodata + 1 if nodata < np.iinfo(kind).max else nodata - 1
    means[np.broadcast_to(count == 0, means.shape)] = nodata
    return means


def _commonest(values: NDArray[Any], nodata: float | None) -> NDArray[Any]:
    """The most frequent valid value of each 2 x 2 square; in a tie the first one, row by row.

    Args:
        values: One band, ``(row, column)``; an odd edge is repeated.
        nodata: The nodata value, or None; it stays only in squares without another value.
    """
    values = _even(values)
    if (values == values[0, 0]).all():
        return values[::2, ::2]
    a, b, c, d = four = [
        np.ascontiguousarray(values[row::2, column::2]) for row in (0, 1) for column in (0, 1)
    ]
    valid = [True if nodata is None else _is_valid(one, nodata) for one in four]
    twice = [(a == b) | (a == c) | (a == d), (b == c) | (b == d), c == d]
    commonest = d.copy()
    for k in (2, 1, 0):  # without a repeated value, the first valid one
        np.copyto(commonest, four[k], where=valid[k])
    for k in (2, 1, 0):
        np.copyto(commonest, four[k], where=twice[k] & valid[k])
    return commonest


def _is_valid(values: NDArray[Any], nodata: float) -> NDArray[np.bool_]:
    return np.asarray(~np.isnan(values) if nodata != nodata else values != nodata)


def _even(values: NDArray[Any]) -> NDArray[Any]:
    """The array, with the last row or column repeated if their number is odd."""
    if values.shape[0] % 2 or values.shape[1] % 2:
        return np.pad(values, [(0, n % 2) for n in values.shape], mode="edge")
    return values


def _squares(values: NDArray[Any]) -> NDArray[Any]:
    rows: NDArray[Any] = values[::2] + values[1::2]
    return np.asarray(rows[:, ::2] + rows[:, 1::2])


def _rounded(total: NDArray[Any], count: Any, kind: np.dtype[Any]) -> NDArray[Any]:
    if np.issubdtype(kind, np.integer):
        return np.asarray((total + count // 2) // count).astype(kind)
    return np.asarray(total / count).astype(kind)
