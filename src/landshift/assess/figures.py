"""Figures of classes and domains, with the interval of each, and notes on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift.assess import intervals
from landshift.assess.assessment import ClassFigures, DomainFigures, IntervalEstimate
from landshift.assess.domains import Domains
from landshift.assess.estimators import Accuracy, Estimates, Estimator, quantile
from landshift.assess.intervals import Interval

_STRATA = 3  # strata named in a note
_NO_ERROR = 1e-9  # of the whole: a standard error of 0, but for rounding


@dataclass(frozen=True)
class ClassedUnits:
    """The class of each unit of a sample, in the reference and in the map.

    Attributes:
        names: The classes: those of the map first.
        reference: Index of each unit's class in the reference.
        mapped: Index of it in the map.
        map_hectares: Area of each class in the map.
    """

    names: tuple[str, ...]
    reference: NDArray[np.int64]
    mapped: NDArray[np.int64]
    map_hectares: Mapping[str, float]


class Intervals:
    """The interval of each estimate of a sample: the normal one unless few units decide it.

    Args:
        estimator: The sample's.
        reference: Index of each unit's class in the reference.
        mapped: Index of it in the map.
        level: Level of the intervals.

    Attributes:
        total: Area of the map.
        reach: Standard errors on each side of an estimate, of the normal interval.
    """

    def __init__(
        self,
        estimator: Estimator,
        reference: NDArray[np.int64],
        mapped: NDArray[np.int64],
        level: float,
    ) -> None:
        self.total = estimator.total
        self.reach = quantile(level)
        self._estimator, self._level = estimator, level
        self._reference, self._mapped = reference, mapped
        self._all = np.ones(reference.size)

    def overall(self) -> Interval:
        """Of the overall accuracy."""
        return self._share(self._reference == self._mapped, self._all)

    def area(self, k: int) -> Interval:
        """Of a class's share of the map."""
        return self._share(self._reference == k, self._all)

    def users(self, k: int) -> Interval | None:
        """Of a user's accuracy; None where no unit has the class in the map."""
        called = self._mapped == k
        return self._share(self._reference == k, called) if called.any() else None

    def producers(self, k: int) -> Interval | None:
        """Of a producer's accuracy; None where no unit has the class in the reference.

        Of a sample without strata it is a share of the units of the class. Else the part of a
        class that the map has lies where the map shows the class, and the part that it misses
        elsewhere: the interval takes each from the strata that hold such units.
        """
        is_class, called = self._reference == k, self._mapped == k
        if not is_class.any():
            return None
        if self._estimator.strata == 1:
            return self._share(called, is_class)
        part, rest = (
            self._estimator.groups(
                (is_class & kind).astype(np.float64), self._estimator.in_strata_of(kind)
            )
            for kind in (called, ~called)
        )
        return intervals.ratio(part, rest, self._level)

    def _share(self, values: NDArray[np.bool_], of: NDArray[Any]) -> Interval:
        among = of.astype(np.float64)
        return intervals.share(self._estimator.groups(values * among, among), self._level)


def overall(
    accuracy: Accuracy, bounds: Intervals, strata: Sequence[str]
) -> tuple[IntervalEstimate, list[str]]:
    """The overall accuracy, and notes on it.

    Args:
        accuracy: The sample's estimates.
        bounds: Their intervals.
        strata: Names of the strata.
    """
    interval = bounds.overall()
    notes = []
    if interval.strata:
        notes.append(
            f"Overall accuracy: fewer than {intervals.FEW_HITS} units are wrong, or right, in "
            f"strata that decide it ({_units_in_strata('right', interval, strata)}): interval by "
            f"{intervals.EXACT}."
        )
    return _estimate(accuracy.overall, 0, interval, bounds.reach), notes


def of_classes(
    units: ClassedUnits, accuracy: Accuracy, bounds: Intervals, strata: Sequence[str]
) -> tuple[tuple[ClassFigures, ...], list[str]]:
    """The figures of each class, and notes on them.

    Args:
        units: The classes of the units.
        accuracy: The sample's estimates.
        bounds: Their intervals.
        strata: Names of the strata.
    """
    classes, notes = [], []
    reach = bounds.reach
    for k, name in enumerate(units.names):
        area, users, producers = bounds.area(k), bounds.users(k), bounds.producers(k)
        figures = ClassFigures(
            name=name,
            map_units=int(accuracy.counts[:, k].sum()),
            reference_units=int(accuracy.counts[k].sum()),
            map_hectares=units.map_hectares.get(name, 0.0),
            hectares=_estimate(accuracy.shares, k, area, reach, by=bounds.total),
            share=_estimate(accuracy.shares, k, area, reach),
            users=None if users is None else _estimate(accuracy.users, k, users, reach),
            producers=None
            if producers is None
            else _estimate(accuracy.producers, k, producers, reach),
        )
        classes.append(figures)
        notes += _area_notes(figures, area, strata)
        if users is not None and users.strata:
            notes.append(_users_note(figures, int(accuracy.counts[k, k]), users, strata))
    return tuple(classes), notes


def in_domains(
    domains: Domains, estimator: Estimator, units: ClassedUnits, level: float
) -> tuple[DomainFigures, ...]:
    """Area of each class in each domain: its share of the domain, times the domain's area.

    The share is a ratio of two totals (Stehman 2014, eqs. 27-28; for domains Cochran 1977,
    section 5A.14), the area is known from the map.
    """
    figures = []
    reach = quantile(level)
    is_class = (units.reference[:, np.newaxis] == np.arange(len(units.names))).astype(np.float64)
    for k, name in enumerate(domains.names):
        inside = (domains.place == k).astype(np.float64)[:, np.newaxis]
        count = int(inside.sum())
        hectares = float(domains.hectares[k])
        classes: dict[str, IntervalEstimate] = {}
        if count >= 2:
            shares = estimator.ratios(is_class * inside, np.broadcast_to(inside, is_class.shape))
            for j, class_name in enumerate(units.names):
                here = is_class[:, j] * inside[:, 0]
                if here.any():
                    interval = intervals.share(estimator.groups(here, inside[:, 0]), level)
                    classes[class_name] = _estimate(shares, j, interval, reach, by=hectares)
        figures.append(DomainFigures(name, count, hectares, classes))
    return tuple(figures)


def _estimate(
    of: Estimates, k: int, interval: Interval, reach: float, *, by: float = 1.0
) -> IntervalEstimate:
    """An estimate of a share, with its interval, times an area."""
    value, error = float(of.value[k]) * by, float(of.error[k]) * by
    if interval.strata:
        known = error if error > _NO_ERROR * by else None
        lower, upper = by * interval.lower, by * interval.upper
        # sums of weights are rounded; an estimate doesn't leave its interval for that
        lower, upper = min(lower, value), max(upper, value)
        return IntervalEstimate(value, known, (upper - lower) / 2, lower, upper, intervals.EXACT)
    margin = reach * error
    return IntervalEstimate(value, error, margin, max(0.0, value - margin), min(by, value + margin))


def _area_notes(of: ClassFigures, area: Interval, strata: Sequence[str]) -> list[str]:
    """A note on the exact interval of a class's area or producer's accuracy."""
    by = f"interval by {intervals.EXACT}"
    exact_producers = of.producers is not None and of.producers.is_exact
    if of.reference_units == 0 and area.strata:
        return [
            f"No unit was found to be {of.name!r}: its area is estimated as 0, and may be up to "
            f"{of.hectares.upper:,.1f} ha ({by}). More units in the strata where it may hide would "
            "tell more; so would merging classes."
        ]
    if area.strata:
        which = "this class" if max(area.hits) < intervals.FEW_HITS else "this class, or any other,"
        figures = "area and producer's accuracy" if exact_producers else "area"
        return [
            f"{of.name!r}: fewer than {intervals.FEW_HITS} units found {which} in strata that "
            f"decide its {figures} ({_units_in_strata('found in', area, strata)}): {by}."
        ]
    if exact_producers:
        return [
            f"{of.name!r}: fewer than {intervals.FEW_HITS} units of it were found by the map, or "
            f"missed, in strata that decide its producer's accuracy: {by}."
        ]
    return []


def _users_note(of: ClassFigures, right: int, users: Interval, strata: Sequence[str]) -> str:
    """A note on the exact interval of a class's user's accuracy."""
    by = f"interval by {intervals.EXACT}"
    units = f"units that the map calls {of.name!r}"
    if right == of.map_units:
        return (
            f"All {right:,} {units} are right: the sample met no error, which isn't to say "
            f"that there is none. User's accuracy: {by}."
        )
    if right == 0:
        return (
            f"None of the {units} is right ({of.map_units:,}), which isn't to say that all of "
            f"it is wrong. User's accuracy: {by}."
        )
    return (
        f"Fewer than {intervals.FEW_HITS} {units} are wrong, or right, in strata that "
        f"decide its user's accuracy ({_units_in_strata('right', users, strata)}): {by}."
    )


def _units_in_strata(what: str, interval: Interval, strata: Sequence[str]) -> str:
    """The units that decide an interval: 'right 29 of 30 units of 'to water''."""
    rows = zip(interval.strata, interval.hits, interval.units, strict=True)
    counts = [f"{hits:,} of {units:,} units of {strata[k]!r}" for k, hits, units in rows]
    return f"{what} {', '.join(counts[:_STRATA])}{', ...' if len(counts) > _STRATA else ''}"
