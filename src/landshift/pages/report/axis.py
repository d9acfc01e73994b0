"""Round numbers along an axis."""

from __future__ import annotations

import math


def round_step(span: float, most: int) -> float:
    """The smallest of 1, 2, 5, 10, 20, ... (and of their tenths) that divides a span often enough.

    Args:
        span: Length of the axis, above 0.
        most: Largest number of steps along it.
    """
    size: float = 10.0 ** math.floor(math.log10(span / most))
    return size * next(f for f in (1, 2, 5, 10) if span / (f * size) <= most * (1 + 1e-9))


def ticks(top: float, most: int) -> list[float]:
    """Round numbers from 0 up to a value.

    Args:
        top: End of the axis, above 0.
        most: Largest number of steps along it.
    """
    step = round_step(top, most)
    return [round(k * step, 10) for k in range(math.floor(top / step + 1e-9) + 1)]
