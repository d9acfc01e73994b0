"""Trajectories: the classes of a pixel in order of time, and what changed in them for good.

Everything here works on distinct trajectories ``(trajectory, date)``: arrays of classes 0 to
``classes - 1``, and ``classes`` where a date has none. A block of a map has few of them: each is
worked out once, and pixels look the result up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint8]


@dataclass(frozen=True)
class Lasting:
    """When a class has lasted.

    Attributes:
        dates: Number of dates in a row that must have it.
        years: Years that must lie between the first and the last of these dates.
        bridge: Whether dates without a class are skipped; else such a pixel isn't known.
    """

    dates: int = 2
    years: float = 0.0
    bridge: bool = True


@dataclass(frozen=True)
class Rules:
    """What a trajectory can't be; a class that can't be gives way to the one before it.

    Attributes:
        forbidden: ``(from, to)``: changes that don't occur.
        least: Dates in a row that each class lasts at least, unless the series begins or ends.
    """

    forbidden: NDArray[np.bool_]
    least: NDArray[np.int64]


@dataclass(frozen=True)
class Changes:
    """What changed, for each trajectory.

    A class lasts where a run of dates has it for long enough. A change is lasting where two lasting
    classes that follow each other differ, whatever short runs lie between them.

    Attributes:
        known: Whether the trajectory says if there was a lasting change. Not where no class lasts,
            nor where the only sign of one is too near an end of the series.
        start: Last date of the lasting class before the last lasting change; -1 for none.
        end: First date of the lasting class after it; -1 for none.
        before: Class before it; where there is none, the class that lasts; ``classes`` for none.
        after: Class after it, likewise.
        changes: Number of changes from a date to the next one that has a class.
        lasting: Number of lasting changes.
        flicker: Whether a class came that didn't last, away from the ends of the series.
    """

    known: NDArray[np.bool_]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    before: Codes
    after: Codes
    changes: NDArray[np.int64]
    lasting: NDArray[np.int64]
    flicker: NDArray[np.bool_]


class _Run:
    """The run of dates that each trajectory is in, and the lasting class before it."""

    def __init__(self, count: int, none: int) -> None:
        self.code = np.full(count, none, np.uint8)
        self.length, self.first, self.last, self.number = np.zeros((4, count), np.int64)
        self.steady = np.full(count, none, np.uint8)
        self.until = np.full(count, -1, np.int64)


def changes_of(
    trajectories: Codes, classes: int, years: Sequence[float], lasting: Lasting
) -> Changes:
    """What changed in each trajectory.

    Args:
        trajectories: Classes ``(trajectory, date)``.
        classes: Number of classes.
        years: Time of each date in years.
        lasting: When a class has lasted.
    """
    count, dates = trajectories.shape
    time = np.asarray(years, float)
    run = _Run(count, classes)
    start, end = np.full((2, count), -1, np.int64)
    before, after = np.full((2, count), classes, np.uint8)
    total, good = np.zeros((2, count), np.int64)
    first = np.full(count, classes, np.uint8)  # the first class, if it didn't last
    flicker, open_start = np.zeros((2, count), np.bool_)

    def close(ends: NDArray[np.bool_], *, at_end: bool) -> NDArray[np.bool_]:
        """End the run of some trajectories; those whose class didn't last."""
        span = time[run.last] - time[run.first]
        lasts = ends & (run.length >= lasting.dates) & (span >= lasting.years - 1e-9)
        change = lasts & (run.steady != classes) & (run.steady != run.code)
        good[change] += 1
        start[change], end[change] = run.until[change], run.first[change]
        before[change], after[change] = run.steady[change], run.code[change]
        begins = lasts & (run.steady == classes)
        before[begins] = after[begins] = run.code[begins]
        open_start[begins] = (first[begins] != classes) & (first[begins] != run.code[begins])
        run.steady[lasts], run.until[lasts] = run.code[lasts], run.last[lasts]
        short = ends & ~lasts
        at_start = short & (run.number == 0)
        first[at_start] = run.code[at_start]
        if not at_end:
            flicker[short & (run.number > 0)] = True
        return np.asarray(short)

    for date in range(dates):
        here = trajectories[:, date]
        classed = here != classes
        new = classed & (here != run.code)
        ends = new & (run.code != classes)
        if ends.any():
            close(ends, at_end=False)
            total[ends] += 1
            run.number[ends] += 1
        run.length[new], run.first[new] = 0, date
        run.code[new] = here[new]
        run.length[classed] += 1
        run.last[classed] = date
    short = close(run.code != classes, at_end=True)
    open_end = short & (run.code != run.steady)
    steady = run.steady != classes
    known = steady & ((good > 0) | ~(open_end | open_start))
    if not lasting.bridge:
        whole = (trajectories != classes).all(axis=1)
        known &= whole
        before[~whole] = after[~whole] = classes
        start[~whole] = end[~whole] = -1
        good[~whole] = 0
        flicker &= whole
    return Changes(known, start, end, before, after, total, good, flicker)


def ruled(trajectories: Codes, classes: int, rules: Rules) -> Codes:
    """Trajectories brought to what can be: forbidden changes first, then brief classes.

    Args:
        trajectories: Classes ``(trajectory, date)``.
        classes: Number of classes.
        rules: What can't be.
    """
    result = trajectories.copy()
    if rules.forbidden.any():
        table = np.zeros((classes + 1, classes + 1), np.bool_)
        table[:classes, :classes] = rules.forbidden
        kept = np.full(len(result), classes, np.uint8)
        for date in range(result.shape[1]):
            here = result[:, date]
            back = table[kept, here]
            here[back] = kept[back]
            kept = np.where(here != classes, here, kept)
    if (rules.least > 1).any():
        _lengthen(result, classes, rules.least)
    return result


def _lengthen(result: Codes, classes: int, least: NDArray[np.int64]) -> None:
    """Give runs that are too brief the class before them, in place, from the earliest on."""
    count, dates = result.shape
    needed = np.append(least, 0)
    code = np.full(count, classes, np.uint8)
    before = np.full(count, classes, np.uint8)  # class of the run before
    length, first = np.zeros((2, count), np.int64)
    for date in range(dates):
        here = result[:, date]
        new = (here != classes) & (here != code)
        brief = new & (before != classes) & (length < needed[code])
        for row in np.flatnonzero(brief):  # few of the distinct ones
            part = result[row, first[row] : date]
            part[part == code[row]] = before[row]
        code[brief] = before[brief]
        joined = brief & (here == code)
        first[brief] = 0  # the run before goes on; it was long enough
        length[brief] = dates
        new &= ~joined
        before[new] = code[new]
        code[new], first[new], length[new] = here[new], date, 0
        length[here != classes] += 1


def keys_of(trajectories: Codes, classes: int) -> NDArray[Any]:
    """A key for each trajectory that can be sorted: a number, or bytes where 64 bits are too few.

    Args:
        trajectories: Classes ``(date, trajectory)``.
        classes: Number of classes.
    """
    if (classes + 1) ** len(trajectories) > 1 << 64:
        rows = np.ascontiguousarray(trajectories.T)
        return rows.view(np.dtype((np.void, rows.shape[1]))).ravel()
    keys = np.zeros(trajectories.shape[1:], np.uint64)
    for here in trajectories:
        keys *= np.uint64(classes + 1)
        keys += here
    return keys


def distinct(pixels: Codes, classes: int) -> tuple[Codes, NDArray[np.int64]]:
    """The distinct trajectories of pixels, and the number of each pixel's.

    The first ``classes + 1`` are those of pixels that never change.

    Args:
        pixels: Classes ``(date, pixel)``.
        classes: Number of classes.

    Returns:
        Trajectories ``(trajectory, date)``; for each pixel the row of its own.
    """
    dates = len(pixels)
    constant = np.repeat(np.arange(classes + 1, dtype=np.uint8)[:, None], dates, axis=1)
    number = pixels[0].astype(np.int64)
    differ = np.zeros(pixels.shape[1], np.bool_)
    for here in pixels[1:]:
        differ |= here != pixels[0]
    if not differ.any():
        return constant, number
    changing = pixels[:, differ]
    _, first, inverse = np.unique(
        keys_of(changing, classes), return_index=True, return_inverse=True
    )
    number[differ] = inverse.reshape(-1) + classes + 1
    return np.concatenate([constant, changing[:, first].T]), number
