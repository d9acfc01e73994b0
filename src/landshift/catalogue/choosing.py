"""One value of each pixel from several observations: median, best pixel, medoid."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Method = Literal["median", "best", "medoid"]
"""How a pixel's value follows from its clear observations."""

REACH = 50
"""Pixels from a hidden one at which a pixel is as good as any: White et al. 2014 (doi
10.1080/07038992.2014.945827), whose score of distances it is."""

_STEEPNESS = 0.2  # of that score; same source


def median(values: NDArray[np.float32], clear: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The median of each band; of an even number, the mean of the middle two.

    Args:
        values: ``(time, band, row, column)``.
        clear: ``(time, row, column)``, True where an observation counts.

    Returns:
        ``(band, row, column)``, NaN where no observation counts.
    """
    ordered = np.where(clear[:, np.newaxis], values, np.float32(np.inf))
    ordered.sort(axis=0)
    count = clear.sum(axis=0)
    low, high = np.maximum((count - 1) // 2, 0), np.minimum(count // 2, len(values) - 1)
    lower = np.take_along_axis(ordered, low[np.newaxis, np.newaxis], axis=0)[0]
    upper = np.take_along_axis(ordered, high[np.newaxis, np.newaxis], axis=0)[0]
    with np.errstate(invalid="ignore", over="ignore"):
        middle = lower + (upper - lower) / 2
    return np.where(count > 0, middle, np.float32(np.nan)).astype(np.float32)


def medoid(values: NDArray[np.float32], clear: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The observation that lies nearest to all others: Flood 2013, doi 10.3390/rs5126481.

    Arguments and result as for `median`; distances are Euclidean over the bands, and of
    observations that lie as near the first counts.
    """
    least: NDArray[np.float32] = np.full(clear.shape[1:], np.inf, np.float32)
    result = np.full(values.shape[1:], np.nan, np.float32)
    known = np.where(clear[:, np.newaxis], values, np.float32(0))
    for time in range(len(values)):
        total = np.zeros(clear.shape[1:], np.float32)
        for other in range(len(values)):
            if other != time:
                apart = np.sqrt(((known[time] - known[other]) ** 2).sum(axis=0))
                total += np.where(clear[other], apart, 0)
        nearer = clear[time] & (total < least)
        least = np.where(nearer, total, least)
        result = np.where(nearer, values[time], result)
    return result


def best(
    values: NDArray[np.float32], clear: NDArray[np.bool_], scores: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The observation with the highest score; of several the first.

    Args:
        values: ``(time, band, row, column)``.
        clear: ``(time, row, column)``, True where an observation counts.
        scores: ``(time, row, column)``.

    Returns:
        ``(band, row, column)``, NaN where no observation counts.
    """
    chosen = np.where(clear, scores, -np.inf).argmax(axis=0)
    picked = np.take_along_axis(values, chosen[np.newaxis, np.newaxis], axis=0)[0]
    return np.where(clear.any(axis=0), picked, np.float32(np.nan)).astype(np.float32)


def scores(
    clear: NDArray[np.bool_], days: NDArray[np.float64], middle: float, spread: float
) -> NDArray[np.float32]:
    """Scores of observations: far from what is hidden, near the middle of the season.

    The sum of White et al.'s (2014) scores of the distance to clouds and of the day of the year,
    both from 0 to 1.

    Args:
        clear: ``(time, row, column)``, True where an observation counts.
        days: Day of each observation.
        middle: The day that is best.
        spread: Standard deviation of the days' score, in days.

    Returns:
        ``(time, row, column)``.
    """
    seasonal = np.exp(-0.5 * ((days - middle) / spread) ** 2)
    return np.stack([_far(c) + np.float32(s) for c, s in zip(clear, seasonal, strict=True)])


def _far(clear: NDArray[np.bool_]) -> Any:
    """The score of the distance to the nearest pixel that isn't clear."""
    from scipy import ndimage

    if clear.all():
        far: Any = np.full(clear.shape, REACH, np.float32)
    else:
        far = np.minimum(ndimage.distance_transform_edt(clear), REACH).astype(np.float32)
    return 1 / (1 + np.exp(-_STEEPNESS * (far - REACH / 2)))
