"""Estimates from a probability sample: areas and accuracies with their standard errors.

One pair of formulas serves every design here. A total over the map is estimated stratum by
stratum, and its variance is Stehman's (2014, Int. J. Remote Sensing 35(13): 4923-4939, doi
10.1080/01431161.2014.930207) eq. 25; a ratio of two totals (user's and producer's accuracy) and its
variance are his eqs. 27 and 28. Where the strata are the map's classes, both are those of Olofsson
et al. (2014, Remote Sensing of Environment 148: 42-57, doi 10.1016/j.rse.2014.02.015), eqs. 1-11.

Pixels of a geographic grid differ in area, and so do cut blocks. So a stratum's share is that of
the sampled area, times the stratum's known area (a separate ratio estimator: Cochran 1977, Sampling
Techniques, eq. 6.44); with units of one size it is the share of the units.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Strata:
    """The population of a sample; one stratum where the design has none.

    Attributes:
        units: Units that each stratum holds; infinity leaves the correction for a finite
            population out, as Olofsson et al. (2014) do.
        areas: Area of each stratum.
    """

    units: Floats
    areas: Floats


@dataclass(frozen=True)
class Estimates:
    """Values with their standard errors; NaN where there is nothing to estimate from.

    Attributes:
        value: The estimates.
        error: Their standard errors.
    """

    value: Floats
    error: Floats

    def scaled(self, by: float) -> Estimates:
        """The estimates in another unit."""
        return Estimates(self.value * by, self.error * by)


@dataclass(frozen=True)
class Groups:
    """Units by stratum, and those on which a quantity holds; arrays of one entry a stratum.

    Attributes:
        areas: Area that the units represent.
        shares: Share of it on which the quantity holds.
        sizes: Effective number of units: fewer where their areas differ (Kish 1965, Survey
            Sampling, eq. 11.7.6), more where they are a good part of the stratum; infinity where
            they are all of it.
        hits: Units on which the quantity holds.
        units: Units.
    """

    areas: Floats
    shares: Floats
    sizes: Floats
    hits: NDArray[np.int64]
    units: NDArray[np.int64]


class Estimator:
    """Totals and ratios over a population, from a stratified random sample of its units.

    Args:
        strata: The population.
        stratum: Place of each unit's stratum among the strata.
        areas: Area of each unit, in any unit.
    """

    def __init__(self, strata: Strata, stratum: NDArray[np.int64], areas: Floats) -> None:
        self.strata = strata.units.size
        self._stratum = stratum
        self._in = (np.arange(strata.units.size)[:, np.newaxis] == stratum).astype(np.float64)
        sampled = self._in.sum(axis=1)
        self.weights: Floats = (strata.areas / (self._in @ areas))[stratum] * areas
        """Area of the map that each unit represents."""
        # the strata's areas, rounded as the sums are: residuals are 0 where all units agree
        self._areas = self._in @ self.weights[:, np.newaxis]
        left = 1 - sampled / strata.units
        self._left = left
        spread = np.maximum(sampled - 1, 1)  # a stratum of one unit, sampled, has nothing left
        self._scale = sampled * left / spread
        self.total = float(strata.areas.sum())

    def sums(self, values: Floats) -> Estimates:
        """Area on which values of 0 or 1 (or shares) hold.

        Args:
            values: ``(unit, quantity)``.
        """
        totals, residuals = self._project(values)
        return Estimates(totals, self._error(residuals))

    def shares(self, values: Floats) -> Estimates:
        """The same as a share of the map's area."""
        return self.sums(values).scaled(1 / self.total)

    def ratios(self, values: Floats, of: Floats) -> Estimates:
        """Areas as a share of other areas, estimated too.

        Args:
            values: ``(unit, quantity)``.
            of: The whole of each share, of the same shape.
        """
        part, part_residuals = self._project(values)
        whole, whole_residuals = self._project(of)
        known = whole > 0
        divisor = np.where(known, whole, 1.0)
        ratio = part / divisor
        error = self._error(part_residuals - ratio * whole_residuals) / divisor
        return Estimates(np.where(known, ratio, np.nan), np.where(known, error, np.nan))

    def groups(self, values: Floats, of: Floats) -> Groups:
        """Units by stratum.

        Args:
            values: 1 for each unit on which the quantity holds, else 0.
            of: 1 for each unit on which it may hold, else 0.
        """
        weights = self.weights * of
        areas = self._in @ weights
        known = np.where(areas > 0, areas, 1.0)
        squares = np.where(areas > 0, self._in @ weights**2, 1.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            sizes = np.where(self._left > 0, areas**2 / squares / self._left, np.inf)
        shares = np.clip(self._in @ (weights * values) / known, 0.0, 1.0)
        hits, units = (np.rint(self._in @ (of * v)).astype(np.int64) for v in (values, of))
        return Groups(areas, shares, sizes, hits, units)

    def in_strata_of(self, chosen: NDArray[np.bool_]) -> Floats:
        """1 for each unit of a stratum that holds some of these units, else 0."""
        held: Floats = (self._in @ chosen > 0)[self._stratum].astype(np.float64)
        return held

    def _project(self, values: Floats) -> tuple[Floats, Floats]:
        """Totals, and the residual of each unit: ``w (y - mean of its stratum)``."""
        weights = self.weights[:, np.newaxis]
        by_stratum = self._in @ (weights * values)
        means = by_stratum / self._areas
        return by_stratum.sum(axis=0), weights * (values - means[self._stratum])

    def _error(self, residuals: Floats) -> Floats:
        error: Floats = np.sqrt(self._scale @ (self._in @ residuals**2))
        return error


@dataclass(frozen=True)
class Accuracy:
    """Accuracies of a map and areas of its classes.

    Attributes:
        confusion: ``(reference, map)`` shares of the map's area; they sum to 1.
        counts: The same in units.
        overall: Share of the area where the map is right.
        users: Of each class of the map, the share that is right.
        producers: Of each class of the reference, the share that the map has.
        shares: Share of the area that each class has in the reference.
    """

    confusion: Floats
    counts: NDArray[np.int64]
    overall: Estimates
    users: Estimates
    producers: Estimates
    shares: Estimates


def judge(
    estimator: Estimator, reference: NDArray[np.int64], mapped: NDArray[np.int64], classes: int
) -> Accuracy:
    """Accuracies and areas of a map's classes.

    Args:
        estimator: The sample's.
        reference: Index of each unit's class in the reference.
        mapped: Index of it in the map.
        classes: Number of classes.
    """
    indices = np.arange(classes)
    is_reference = (reference[:, np.newaxis] == indices).astype(np.float64)
    is_mapped = (mapped[:, np.newaxis] == indices).astype(np.float64)
    right = is_reference * is_mapped
    pair = reference * classes + mapped
    shape = (classes, classes)
    confusion = np.bincount(pair, estimator.weights, classes**2) / estimator.total
    return Accuracy(
        confusion=confusion.reshape(shape),
        counts=np.bincount(pair, minlength=classes**2).reshape(shape),
        overall=estimator.shares(right.sum(axis=1, keepdims=True)),
        users=estimator.ratios(right, is_mapped),
        producers=estimator.ratios(right, is_reference),
        shares=estimator.shares(is_reference),
    )


def quantile(level: float) -> float:
    """Standard errors on each side of an estimate that an interval of a level reaches (1.96)."""
    return NormalDist().inv_cdf((1 + level) / 2)
