"""Intensity of change: how fast land changed in each period, which classes changed, into what.

Aldwaik & Pontius (2012), Landscape and Urban Planning 106: 103-114,
doi 10.1016/j.landurbplan.2012.02.010; equations 1 to 8.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

COLUMNS = ("level", "period", "class", "to", "intensity", "uniform")


def rows(
    areas: NDArray[np.float64], years: Sequence[float], periods: Sequence[str], names: Sequence[str]
) -> list[dict[str, Any]]:
    """Intensities of three levels, in per cent a year.

    - interval: change in a period per area and year, beside that of all periods (equations 1, 2);
    - loss, gain: of a class per area of it, beside the period's change (equations 3, 4);
    - transition: from a class to another per area of the first, beside the gain of the second per
      area of all other classes (equations 5, 6).

    An intensity above its uniform one is active, one below dormant (of transitions: targeted,
    avoided).

    Args:
        areas: Areas or pixels ``(period, from, to)``.
        years: Length of each period in years.
        periods: Name of each period.
        names: Name of each class.
    """
    changed = areas.sum(axis=(1, 2)) - np.trace(areas, axis1=1, axis2=2)
    lengths, total = np.asarray(years, float), areas.sum(axis=(1, 2))
    share = _ratio(changed, total)
    overall = float(_ratio(np.array(share.sum()), lengths.sum()))
    table = []
    for period, (area, length, name) in enumerate(zip(areas, lengths, periods, strict=True)):
        of_period = float(_ratio(share[period], length))
        table.append(_row("interval", name, "", "", of_period, overall))
        table += list(_of_period(area, float(length), name, of_period, names))
    return table


def _of_period(
    area: NDArray[np.float64], length: float, period: str, uniform: float, names: Sequence[str]
) -> Iterator[dict[str, Any]]:
    before, after, stayed = area.sum(axis=1), area.sum(axis=0), np.diag(area)
    loss = _ratio(before - stayed, before * length)
    gain = _ratio(after - stayed, after * length)
    for k, name in enumerate(names):
        if before[k] or after[k]:
            yield _row("loss", period, name, "", float(loss[k]), uniform)
            yield _row("gain", period, name, "", float(gain[k]), uniform)
    for to, name in enumerate(names):
        others = before.sum() - before[to]
        even = float(_ratio(after[to] - stayed[to], others * length))
        for k, source in enumerate(names):
            if k != to and area[k, to]:
                yield _row(
                    "transition",
                    period,
                    source,
                    name,
                    float(area[k, to] / before[k] / length),
                    even,
                )


def _row(
    level: str, period: str, source: str, to: str, intensity: float, uniform: float
) -> dict[str, Any]:
    return {
        "level": level, "period": period, "class": source, "to": to,
        "intensity": round(100 * intensity, 6), "uniform": round(100 * uniform, 6),
    }  # fmt: skip


def _ratio(part: Any, whole: Any) -> Any:
    """A ratio; 0 where there is nothing to divide by."""
    part, whole = np.asarray(part, float), np.asarray(whole, float)
    return np.divide(part, whole, out=np.zeros(np.broadcast(part, whole).shape), where=whole != 0)
