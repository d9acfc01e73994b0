"""How many units a sample needs, and how strata share them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from landshift.errors import ParameterError

Allocation = Literal["floor", "proportional", "equal", "neyman"]
"""How strata may share the units of a sample."""

ALLOCATIONS: tuple[str, ...] = get_args(Allocation)

LEAST = 2
"""Units that a stratum needs for a standard error, unless it holds fewer."""

FLOOR = 50
"""Least units of a stratum for the allocation 'floor' (Olofsson et al. 2014, section 5.1.2)."""

FEW_SAMPLED = 20
"""Units sampled of a stratum below which a warning says that its intervals will be wide, however
they are made: with 20 units, that of a share of 80 % already spans 35 percentage points."""


def floor_for(size: int, strata: int) -> int:
    """Least units of a stratum where the user states none: `FLOOR`, or half of an equal share.

    So a small sample keeps half of its units for the shares of the map.
    """
    return max(LEAST, min(FLOOR, size // (2 * strata)))


def allocate(
    size: int,
    population: NDArray[np.int64],
    weights: NDArray[np.float64],
    *,
    allocation: Allocation,
    floor: int | None = None,
) -> NDArray[np.int64]:
    """Share a sample's units among strata.

    Units go out in proportion to a claim: the stratum's share of the map ('proportional', and
    'floor', which gives each rare stratum at least ``floor`` units: Olofsson et al. 2014, section
    5.1.2, doi 10.1016/j.rse.2014.02.015), the same for all ('equal'), or share times standard
    deviation ('neyman': Cochran 1977, Sampling Techniques, eq. 5.26), which the caller gives as
    weights. No stratum gets fewer than `LEAST` units or more than it holds.

    Args:
        size: Units in all.
        population: Units that each stratum holds.
        weights: Claim of each stratum where the allocation isn't 'equal'; any scale.
        allocation: One of `ALLOCATIONS`.
        floor: Least units of a stratum, for 'floor'; None: that of `floor_for`.

    Raises:
        ParameterError: Another allocation; a size that can't give each stratum its least, or
            beyond the population.
    """
    if allocation not in ALLOCATIONS:
        raise ParameterError(
            f"`allocation` must be one of {', '.join(ALLOCATIONS)}, got {allocation!r}; choose one."
        )
    if floor is None:
        floor = floor_for(size, population.size)
    least = np.minimum(max(floor, LEAST) if allocation == "floor" else LEAST, population)
    if size < least.sum():
        raise ParameterError(
            f"The sample must hold at least {least.sum():,} units, {least.max()} in each of "
            f"{population.size} strata, got {size:,}; ask for more, or merge strata."
        )
    if size > population.sum():
        raise ParameterError(
            f"The sample must be smaller than the map, got {size:,} of {population.sum():,} units; "
            "ask for fewer."
        )
    claims = np.ones(population.size) if allocation == "equal" else weights
    return _share_out(size, claims, least, population)


def expected_error(
    sampled: NDArray[np.int64],
    population: NDArray[np.int64],
    weights: NDArray[np.float64],
    deviations: NDArray[np.float64],
) -> float:
    """Standard error that a stratified sample is expected to give (Cochran 1977, eq. 5.6).

    Args:
        sampled: Units of each stratum in the sample.
        population: Units that each stratum holds.
        weights: Share of the map that each stratum has; they sum to 1.
        deviations: Standard deviation expected in each stratum: ``sqrt(p (1 - p))`` where a share
            p of it is right, or is the class whose area is asked for.
    """
    left = 1 - sampled / population
    return float(np.sqrt(np.sum(weights**2 * deviations**2 * left / sampled)))


def size_for(
    target: float,
    population: NDArray[np.int64],
    weights: NDArray[np.float64],
    deviations: NDArray[np.float64],
    share: Callable[[int], NDArray[np.int64]],
) -> int:
    """The smallest sample that is expected to reach a standard error.

    With Neyman's allocation this is Olofsson et al. (2014), eq. 13 (Cochran 1977, eq. 5.25),
    ``n = (sum W S)^2 / (SE^2 + sum W S^2 / N)``; other allocations need more.

    Args:
        target: The standard error, as a share of the map; above 0.
        population: Units that each stratum holds.
        weights: Share of the map that each stratum has.
        deviations: As for `expected_error`.
        share: The allocation: units of each stratum for a size.

    Raises:
        ParameterError: The target isn't above 0.
    """
    check_target(target)

    def reaches(size: int) -> bool:
        return expected_error(share(size), population, weights, deviations) <= target

    low, high = 0, _least_size(share, population)
    while not reaches(high):
        low, high = high, min(2 * high, int(population.sum()))
    low = max(low, _least_size(share, population) - 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high


def check_target(target: float) -> None:
    """Check a standard error that a sample has to reach.

    Raises:
        ParameterError: It isn't between 0 and 0.5.
    """
    if not 0 < target < 0.5:
        raise ParameterError(
            f"A standard error to reach must be a share of the map above 0 and below 0.5, got "
            f"{target:g}; 0.01 is usual for the overall accuracy."
        )


def _least_size(share: Callable[[int], NDArray[np.int64]], population: NDArray[np.int64]) -> int:
    """The smallest size that an allocation can share out."""
    low, high = 0, int(population.sum())
    while high - low > 1:
        middle = (low + high) // 2
        try:
            share(middle)
        except ParameterError:
            low = middle
        else:
            high = middle
    return high


def _share_out(
    size: int, claims: NDArray[np.float64], least: NDArray[np.int64], most: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Whole numbers in proportion to claims, between least and most, that sum to the size."""
    claims = np.maximum(claims / claims.sum(), 1e-12)  # so that all grow until the sum is reached
    low, high = 0.0, float(most.max() / claims.min())
    for _ in range(200):  # each halves the range of a double: more can't change it
        middle = (low + high) / 2
        if np.clip(middle * claims, least, most).sum() < size:
            low = middle
        else:
            high = middle
    exact = np.clip(high * claims, least, most)
    whole = np.floor(exact).astype(np.int64)
    rest = exact - whole
    rest[whole >= most] = -1
    # the largest fractions are rounded up; of equal ones, those of the first strata
    whole[np.argsort(-rest, kind="stable")[: size - int(whole.sum())]] += 1
    return whole
