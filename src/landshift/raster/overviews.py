"""A GeoTIFF -> the same at half its rows and columns, and so on down to one block."""

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

from landshift.raster import cog

_AT_ONCE = 1 << 20  # bytes: a block of more is made in four steps, each from one block


def build(draft: Path, predictor: int, *, classes: Sequence[bool]) -> list[Path]:
    """Write the overviews of a GeoTIFF beside it.

    Args:
        draft: The GeoTIFF, whole.
        predictor: See `cog.creation`.
        classes: Of each band, whether overviews hold the commonest value of each 2 x 2 pixels
            instead of their average.

    Returns:
        The files, each half as large as the one before, the last no larger than a block.

    Raises:
        OSError: The disk is full.
    """
    import rasterio

    found: list[Path] = []
    while True:
        level = found[-1] if found else draft
        with rasterio.open(level) as source:
            if max(source.shape) <= cog.BLOCK:
                return found
        half = draft.with_name(f"{draft.stem}.{len(found) + 1}.tif")
        _halve(level, half, predictor, classes=classes)
        cog.check_written(half)
        found.append(half)


def _halve(level: Path, path: Path, predictor: int, *, classes: Sequence[bool]) -> None:
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
    corners = _corners(profile["height"], profile["width"], size)
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
                    # band by band, so that wider types in between cost little memory
                    halved = np.stack(
                        [
                            (_commonest if mixed_never else _averaged)(band, profile["nodata"])
                            for band, mixed_never in zip(values, classes, strict=True)
                        ]
                    )
                    with lock:
                        target.write(halved, window=_part(target, row, column, size))

        count = min(os.cpu_count() or 1, 4)
        with ThreadPoolExecutor(count) as pool:
            for worker in [pool.submit(work) for _ in range(count)]:
                worker.result()


def _corners(height: int, width: int, size: int) -> Iterator[tuple[int, int]]:
    """First row and column of each part, block by block, so that few blocks are unfinished."""
    for row, column in itertools.product(range(0, height, cog.BLOCK), range(0, width, cog.BLOCK)):
        for down, right in itertools.product(range(0, cog.BLOCK, size), repeat=2):
            if row + down < height and column + right < width:
                yield row + down, column + right


def _has_colours(source: Any) -> bool:
    from rasterio.enums import ColorInterp

    return bool(source.colorinterp[0] == ColorInterp.palette)


def _part(raster: Any, row: int, column: int, size: int) -> Any:
    """The rasterio window of a square, cut off at the raster's far edges."""
    from rasterio.windows import Window

    height, width = min(size, raster.height - row), min(size, raster.width - column)
    return Window(column, row, width, height)


def _averaged(values: NDArray[Any], nodata: float | None) -> NDArray[Any]:
    """Means of the valid pixels of each 2 x 2 square; nodata where none is valid.

    Args:
        values: One band, ``(row, column)``; squares reach over an odd edge.
        nodata: Value that means 'no data', or None.
    """
    kind = values.dtype
    whole = np.issubdtype(kind, np.integer)
    wide = np.dtype(np.float64 if not whole else np.int32 if kind.itemsize < 4 else np.int64)
    values = _even(values)
    valid = None if nodata is None else _is_valid(values, nodata)
    if valid is None or valid.all():
        found = _rounded(_squares(values.astype(wide)), 4, kind)
        count: Any = 4
    else:
        count = _squares(valid.astype(np.int8))
        total = _squares(np.where(valid, values, 0).astype(wide))
        found = _rounded(total, np.maximum(count, 1), kind)
    if nodata is None:
        return found
    if whole:
        clash = (found == nodata) & (count > 0)  # a mean that happens to be nodata's value
        found[clash] = nodata + 1 if nodata < np.iinfo(kind).max else nodata - 1
    found[np.broadcast_to(count == 0, found.shape)] = nodata
    return found


def _commonest(values: NDArray[Any], nodata: float | None) -> NDArray[Any]:
    """The commonest valid value of each 2 x 2 square, of equal ones the first row by row.

    Args:
        values: One band, ``(row, column)``; squares reach over an odd edge.
        nodata: Value that means 'no data', or None; it stays only where nothing else is.
    """
    values = _even(values)
    if (values == values[0, 0]).all():
        return values[::2, ::2]
    a, b, c, d = four = [
        np.ascontiguousarray(values[row::2, column::2]) for row in (0, 1) for column in (0, 1)
    ]
    valid = [True if nodata is None else _is_valid(one, nodata) for one in four]
    twice = [(a == b) | (a == c) | (a == d), (b == c) | (b == d), c == d]
    found = d.copy()
    for k in (2, 1, 0):  # if none is there twice, the first valid one
        np.copyto(found, four[k], where=valid[k])
    for k in (2, 1, 0):
        np.copyto(found, four[k], where=twice[k] & valid[k])
    return found


def _is_valid(values: NDArray[Any], nodata: float) -> NDArray[np.bool_]:
    return np.asarray(~np.isnan(values) if nodata != nodata else values != nodata)


def _even(values: NDArray[Any]) -> NDArray[Any]:
    """The array with its last row or column repeated where their number is odd."""
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
