"""Intervals of estimates that rest on few units, where the normal one is far too narrow.

The limits of each stratum are the exact binomial ones (Clopper & Pearson 1934, Biometrika 26(4):
404-413, doi 10.1093/biomet/26.4.404) for its effective number of units (Korn & Graubard 1998,
Survey Methodology 24(2): 193-201); for a stratum that shows none of a class the upper one is the
rule of three's, two-sided: 3.7 / n. They are combined over strata by the recovery of variances
(Zou, Huang & Zhang 2009, Computational Statistics & Data Analysis 53(4): 1080-1085, doi
10.1016/j.csda.2008.09.033), for a ratio of two areas by eq. 9 of Donner & Zou (2012, Statistical
Methods in Medical Research 21(4): 347-359, doi 10.1177/0962280210383082).

benchmarks/assess.py compares the method with others; docs/assess.md shows the result.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landshift.assess.estimators import Floats, Groups

NORMAL = "normal"
"""Name of the interval of so many standard errors on each side."""

EXACT = "Clopper-Pearson"
"""Name of the interval of this module."""

FEW_HITS = 5
"""Units of one kind in a stratum, or of all other kinds, below which a normal interval of their
share is too narrow, however many units the stratum has: the rule of at least 5 of each for the
normal approximation of a binomial."""

_DECIDES = 0.2  # share of an interval's squared width at which such strata decide it
_NAMED = 0.05  # share of it from which a stratum is named


@dataclass(frozen=True)
class Interval:
    """An interval, and the strata that decide it by few units.

    Attributes:
        lower: Where it begins.
        upper: Where it ends.
        strata: Place of each such stratum, the one that decides most first; none: the normal
            interval does.
        hits: Units of each on which the quantity holds.
        units: All units of each.
    """

    lower: float
    upper: float
    strata: tuple[int, ...] = ()
    hits: tuple[int, ...] = ()
    units: tuple[int, ...] = ()


def binomial(shares: Floats, sizes: Floats, level: float) -> tuple[Floats, Floats]:
    """Exact limits of shares (Clopper & Pearson 1934).

    Args:
        shares: The shares seen.
        sizes: Units that each was seen in, not necessarily whole; infinity: all there are.
        level: Level of the limits, 0 to 1.
    """
    from scipy import special  # slow to import, and pages need only the names of the methods

    finite = np.where(np.isfinite(sizes), sizes, 1.0)
    hits, misses = shares * finite, (1 - shares) * finite
    tail = (1 - level) / 2
    tiny = 1e-9  # of a unit: shares are rounded as sums of weights are
    none, all_ = hits < tiny, misses < tiny
    lower = special.betaincinv(np.where(none, 1.0, hits), misses + 1, tail)
    upper = special.betaincinv(hits + 1, np.where(all_, 1.0, misses), 1 - tail)
    known = ~np.isfinite(sizes)
    return (
        np.where(known, shares, np.where(none, 0.0, lower)),
        np.where(known, shares, np.where(all_, 1.0, upper)),
    )


@dataclass(frozen=True)
class _Total:
    """An area over strata, its limits, and the squared width that each stratum adds."""

    value: float
    lower: float
    upper: float
    spread: Floats


def _total(groups: Groups, level: float) -> _Total:
    """The area on which a quantity holds (Zou, Huang & Zhang 2009)."""
    lower, upper = binomial(groups.shares, groups.sizes, level)
    below = (groups.areas * (groups.shares - lower)) ** 2
    above = (groups.areas * (upper - groups.shares)) ** 2
    value = float(groups.areas @ groups.shares)
    return _Total(
        value,
        value - float(np.sqrt(below.sum())),
        value + float(np.sqrt(above.sum())),
        np.maximum(below, above),
    )


def share(groups: Groups, level: float) -> Interval:
    """The interval of a share of an area, from the shares of the strata.

    Args:
        groups: Units by stratum.
        level: Level of the interval, 0 to 1.
    """
    total, whole = _total(groups, level), float(groups.areas.sum())
    lower, upper = max(0.0, total.lower / whole), min(1.0, total.upper / whole)
    return _decided(lower, upper, [groups], total.spread)


def ratio(part: Groups, rest: Groups, level: float) -> Interval:
    """The interval of an area as a share of itself and another one.

    The two areas count as independent: they are where they lie in strata of their own, and nearly
    where either is rare in a stratum.

    Args:
        part: Units of the one area, by stratum.
        rest: The same of the other.
        level: Level of the interval, 0 to 1.
    """
    here, there = _total(part, level), _total(rest, level)
    value = here.value / (here.value + there.value)
    if here.value > 0:
        lower, upper = _quotient(there, here)
        lower, upper = 1 / (1 + upper), 1 / (1 + lower)
    else:
        _, upper = _quotient(here, there)
        lower, upper = 0.0, 1 / (1 + 1 / upper) if upper else 0.0  # all units are known: no doubt
    spread = np.concatenate([here.spread * (1 - value) ** 2, there.spread * value**2])
    return _decided(lower, upper, [part, rest], spread)


def _quotient(above: _Total, below: _Total) -> tuple[float, float]:
    """Limits of one area over another that isn't 0 (Donner & Zou 2012, eq. 9)."""
    product = above.value * below.value

    def root(of_above: float, of_below: float) -> tuple[float, float, float]:
        first = of_above * (2 * above.value - of_above)
        second = of_below * (2 * below.value - of_below)
        return first, second, float(np.sqrt(max(product**2 - first * second, 0.0)))

    first, _, square = root(above.lower, below.upper)
    lower = first / (product + square) if above.value > 0 else 0.0
    _, second, square = root(above.upper, below.lower)
    return lower, (product + square) / second if second > 0 else np.inf


def _decided(lower: float, upper: float, groups: list[Groups], spread: Floats) -> Interval:
    """An interval with the strata of few units that decide it."""
    hits, units = (np.concatenate([getattr(g, name) for g in groups]) for name in ("hits", "units"))
    few: NDArray[np.bool_] = np.minimum(hits, units - hits) < FEW_HITS
    whole = spread.sum()
    if spread[few].sum() <= _DECIDES * whole:
        return Interval(lower, upper)
    named = [k for k in np.argsort(-spread) if few[k] and spread[k] > _NAMED * whole]
    strata = len(groups[0].hits)
    return Interval(
        lower, upper, tuple(int(k) % strata for k in named),
        tuple(int(hits[k]) for k in named), tuple(int(units[k]) for k in named),
    )  # fmt: skip
