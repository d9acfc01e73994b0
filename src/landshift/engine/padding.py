"""How much ground around a tile a model needs to see."""

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
from landshift.spec import MULTIPLE, InputSpec

ENOUGH = 0.998
"""Share of pixels on which a padding must give the class that one twice as large gives."""

_FIRST = 16

ReadWindow = Callable[[Window], tuple[NDArray[Any], NDArray[np.bool_]]]


@dataclass(frozen=True)
class Measured:
    """What was measured.

    Attributes:
        padding: The padding, in pixels.
        agreement: For each padding that was tried, in their order, the share of valid pixels whose
            class a padding twice as large doesn't change.
        enough: Whether that of the padding is at least `ENOUGH`; else the padding is half the
            training tile, the most that is tried.
    """

    padding: int
    agreement: dict[int, float]
    enough: bool


def measure_padding(
    engine: Engine, spec: InputSpec, read: ReadWindow, corners: Sequence[tuple[int, int]]
) -> Measured:
    """The smallest padding whose map is that of a padding twice as large, but for 0.2 %.

    Paddings of 16, 32, 64, ... pixels up to half the training tile are tried, around cores of the
    training tile's size; then, by halves, the multiples of 32 between the last that isn't enough
    and the first that is. (What a network halves five times lies otherwise in tiles that begin
    elsewhere: with paddings of 48 and 96 its map may differ more than with 32 and 64.)

    Args:
        engine: The model.
        spec: What it eats.
        read: Reads a window, which may reach over the raster: values and mask.
        corners: Row and column of the first pixel of each core.

    Raises:
        RasterError: No valid pixel there.
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
        for window in windows:
            values, mask = read(window.grown(padding))
            found = engine.best(values[np.newaxis], mask[np.newaxis])[0]
            cores.append(found[padding : padding + size, padding : padding + size].ravel())
        found_inside: NDArray[np.uint8] = np.concatenate(cores)[inside]
        return found_inside

    agreement: dict[int, float] = {}

    def enough(padding: int) -> bool:
        agreement[padding] = float((mapped(padding) == mapped(2 * padding)).mean())
        return agreement[padding] >= ENOUGH

    least = next((padding for padding in tried if enough(padding)), None)
    if least is None:
        return Measured(most, agreement, False)
    less = max((padding for padding in tried if padding < least), default=0)
    between = range(less + MULTIPLE, least, MULTIPLE)
    found = bisect.bisect_left(between, True, key=enough)
    least = [*between, least][found]
    return Measured(least, dict(sorted(agreement.items())), True)


def measure_in_tiles(
    engine: Engine, spec: InputSpec, tiles: Sequence[tuple[NDArray[Any], NDArray[np.bool_]]]
) -> Measured | None:
    """As `measure_padding`, where there is no raster but only tiles of the training tile's size.

    A tile less a rim of so many pixels is compared with the whole tile, on what lies twice as far
    from its edge: paddings of 16, 32, 48, ... pixels below a quarter of the tile. If none of them
    is enough, it is half the training tile.

    Args:
        engine: The model.
        spec: What it eats.
        tiles: Values ``(band, row, column)`` and masks ``(row, column)``.

    Returns:
        None where tiles are too small, or none of their pixels valid, to tell anything.
    """
    size, agreement = spec.tile_size, dict[int, float]()
    whole = [engine.best(v[np.newaxis], m[np.newaxis])[0] for v, m in tiles]
    for padding in range(_FIRST, -(-size // 4), _FIRST):
        inner, core = slice(padding, size - padding), slice(2 * padding, size - 2 * padding)
        same = valid = 0
        for (values, mask), found in zip(tiles, whole, strict=True):
            one = engine.best(values[np.newaxis, :, inner, inner], mask[np.newaxis, inner, inner])
            equal = one[0, padding:-padding, padding:-padding] == found[core, core]
            same += int(equal[mask[core, core]].sum())
            valid += int(mask[core, core].sum())
        if not valid:
            return None
        agreement[padding] = same / valid
        if agreement[padding] >= ENOUGH:
            return Measured(padding, agreement, True)
    return Measured(size // 2, agreement, False) if agreement else None


def _doubling() -> Any:
    return (_FIRST << k for k in itertools.count())
