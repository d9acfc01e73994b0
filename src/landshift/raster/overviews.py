"""Overviews of a GeoTIFF: halved rows and columns, repeatedly, down to one block."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift.machine import progress
from landshift.raster import cog

_AT_ONCE = 1 << 20  # bytes; larger blocks are made in four steps, each from one block


def build(draft: Path, predictor: int, *, classes: Sequence[bool]) -> list[Path]:
    """Write the overviews of a GeoTIFF beside it.

    Args:
        draft: The complete GeoTIFF.
        predictor: See `cog.creation`.
        classes: Whether each band's overviews hold the most frequent value of 2 x 2 pixels
            instead of their mean.

    Returns:
        The files, each half as large as the one before, the last no larger than a block.

    Raises:
        OSError: The disk is full.
    """
    import rasterio

    levels: list[Path] = []
    with progress.step("overviews") as step:
        while True:
            level = levels[-1] if levels else draft
            with rasterio.open(level) as source:
                if max(source.shape) <= cog.BLOCK:
                    return levels
            half = draft.with_name(f"{draft.stem}.{len(levels) + 1}.tif")
            _halve(level, half, predictor, classes=classes, step=step)
            cog.check_written(half)
            levels.append(half)


def _halve(
    level: Path, path: Path, predictor: int, *, classes: Sequence[bool], step: progress.Step
) -> None:
    import rasterio

    with rasterio.open(level) as source:
        profile = {
            **cog.creation(source.count, predictor), "dtype": source.dtypes[0],
            "height": (source.height + 1) // 2, "width": (source.width + 1) // 2,
            "count": source.count, "nodata": source.nodata, "crs": source.crs,
            "transform": source.transform @ source.transform.scale(2),
        }  # fmt: skip
        table = source.colormap(1) if _has_colours(source) else None
    pixel = profile["count"] * np.dtype(profile["dtype"]).itemsize
    size = cog.BLOCK if cog.BLOCK**2 * pixel <= _AT_ONCE else cog.BLOCK // 2
    parts = list(_corners(profile["height"], profile["width"], size))
    corners = iter(parts)
    step.to(0, len(parts))
    lock = threading.Lock()
    with rasterio.open(path, "w", **profile) as target:
        if table is not None:
            target.write_colormap(1, table)

        def work() -> None:
            with ExitStack() as stack:
                source = stack.enter_context(rasterio.open(level))
                while True:
                    with lock:
                        corner = next(corners, None)
                    if corner is None:
                        return
                    row, column = corner
                    values = source.read(window=_part(source, 2 * row, 2 * column, 2 * size))
                    # band by band, to limit the memory of wider intermediate types
                    halved = np.stack(
                        [
                            (_commonest if mixed_never else _averaged)(band, profile["nodata"])
                            for band, mixed_never in zip(values, classes, strict=True)
                        ]
                    )
                    with lock:
                        target.write(halved, window=_part(target, row, column, size))
                        step.advance()

        count = min(os.cpu_count() or 1, 4)
        with ThreadPoolExecutor(count) as pool:
            for worker in [pool.submit(work) for _ in range(count)]:
                worker.result()


def _corners(height: int, width: int, size: int) -> Iterator[tuple[int, int]]:
    """First row and column of each part, block by block, so that few blocks are incomplete."""
    for row, column in itertools.product(range(0, height, cog.BLOCK), range(0, width, cog.BLOCK)):
        for down, right in itertools.product(range(0, cog.BLOCK, size), repeat=2):
            if row + down < height and column + right < width:
                yield row + down, column + right


def _has_colours(source: Any) -> bool:
    from rasterio.enums import ColorInterp

    return bool(source.colorinterp[0] == ColorInterp.palette)


def _part(raster: Any, row: int, column: int, size: int) -> Any:
    """The rasterio window of a square, clipped to the raster."""
    from rasterio.windows import Window

    height, width = min(size, raster.height - row), min(size, raster.width - column)
    return Window(column, row, width, height)


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
