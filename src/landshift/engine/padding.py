"""Measurement of the padding that a model needs around a tile."""

from __future__ import annotations

import bisect
import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift.engine.protocol import Engine
from landshift.errors import RasterError
from landshift.grid import Window
from landshift.machine import progress
from landshift.spec import MULTIPLE, InputSpec

ENOUGH = 0.998
"""Share of pixels that must get the same class with a padding twice as large."""

_FIRST = 16

ReadWindow = Callable[[Window], tuple[NDArray[Any], NDArray[np.bool_]]]


@dataclass(frozen=True)
class MeasuredPadding:
    """The padding that a model was measured to need.

    Attributes:
        padding: The padding, in pixels.
        agreement: For each padding that was tried, ascending, the share of valid pixels whose
            class stays the same with a padding twice as large.
        enough: Whether the padding's agreement is at least `ENOUGH`; if not, the padding is half
            the training tile, the largest that is tried.
    """

    padding: int
    agreement: dict[int, float]
    enough: bool


def measure_padding(
    engine: Engine, spec: InputSpec, read: ReadWindow, corners: Sequence[tuple[int, int]]
) -> MeasuredPadding:
    """Find the smallest padding that gives the map of twice that padding on 99.8 % of pixels.

    Paddings of 16, 32, 64, ... pixels up to half the training tile are tried, around cores of the
    training tile's size; then, by bisection, the multiples of 32 between the last that isn't
    enough and the first that is. Only multiples of 32 can be compared: a network that halves its
    input five times samples it on a grid that starts at the tile's corner, so that with paddings
    of 48 and 96 its map may differ more than with 32 and 64.

    Args:
        engine: The model.
        spec: Input of the model.
        read: Reads a window, which may reach over the raster's edges: values and mask.
        corners: Row and column of the first pixel of each core.

    Raises:
        RasterError: The cores hold no valid pixel.
    """
    size, most = spec.tile_size, max(spec.tile_size // 2, 1)
    tried = [p for p in itertools.takewhile(lambda p: p < most, _doubling())] + [most]
    windows = [Window(row, column, size, size) for row, column in corners]
    inside = np.concatenate([read(w)[1].ravel() for w in windows])
    if not inside.any():
        raise RasterError("The padding is measured on valid pixels, got none; give another raster.")

    @functools.cache
    def mapped(padding: int) -> NDArray[np.uint8]:
        cores = []
        for window in progress.each(windows, f"padding {padding}", len(windows)):
            values, mask = read(window.grown(padding))
            codes = engine.best(values[np.newaxis], mask[np.newaxis])[0]
            cores.append(codes[padding : padding + size, padding : padding + size].ravel())
        valid: NDArray[np.uint8] = np.concatenate(cores)[inside]
        return valid

    agreement: dict[int, float] = {}

    def enough(padding: int) -> bool:
        agreement[padding] = float((mapped(padding) == mapped(2 * padding)).mean())
        return agreement[padding] >= ENOUGH

    least = next((padding for padding in tried if enough(padding)), None)
    if least is None:
        return MeasuredPadding(most, agreement, False)
    less = max((padding for padding in tried if padding < least), default=0)
    between = range(less + MULTIPLE, least, MULTIPLE)
    first = bisect.bisect_left(between, True, key=enough)
    least = [*between, least][first]
    return MeasuredPadding(least, dict(sorted(agreement.items())), True)


def measure_in_tiles(
    engine: Engine, spec: InputSpec, tiles: Sequence[tuple[NDArray[Any], NDArray[np.bool_]]]
) -> MeasuredPadding | None:
    """As `measure_padding`, from tiles of the training tile's size instead of a raster.

    A tile without its outermost pixels is compared with the whole tile, on the pixels that are
    twice as far from the edge: paddings of 16, 32, 48, ... pixels below a quarter of the tile,
    since a tile can't verify larger ones. If none of them is enough, the padding is half the
    training tile.

    Args:
        engine: The model.
        spec: Input of the model.
        tiles: Values ``(band, row, column)`` and masks ``(row, column)``.

    Returns:
        None if tiles are too small, or none of their pixels is valid.
    """
    size, agreement = spec.tile_size, dict[int, float]()
    tried = range(_FIRST, -(-size // 4), _FIRST)
    with progress.step("padding", len(tiles) * (1 + len(tried))) as under_way:

        def best(values: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
            codes: NDArray[np.uint8] = engine.best(values[np.newaxis], mask[np.newaxis])[0]
            under_way.advance()
            return codes

        whole = [best(values, mask) for values, mask in tiles]
        for padding in tried:
            inner, core = slice(padding, size - padding), slice(2 * padding, size - 2 * padding)
            same = valid = 0
            for (values, mask), codes in zip(tiles, whole, strict=True):
                one = best(values[:, inner, inner], mask[inner, inner])
                equal = one[padding:-padding, padding:-padding] == codes[core, core]
                same += int(equal[mask[core, core]].sum())
                valid += int(mask[core, core].sum())
            if not valid:
                return None
            agreement[padding] = same / valid
            if agreement[padding] >= ENOUGH:
                return MeasuredPadding(padding, agreement, True)
    return MeasuredPadding(size // 2, agreement, False) if agreement else None


def _doubling() -> Any:
    return (_FIRST << k for k in itertools.count())
