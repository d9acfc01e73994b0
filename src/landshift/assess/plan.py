"""What is asked of a sample, and the units that each stratum so gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from landshift.assess import design as sizes
from landshift.assess.design import Allocation
from landshift.errors import ParameterError
from landshift.files import options

DesignKind = Literal["stratified", "simple", "systematic"]

KINDS: tuple[str, ...] = get_args(DesignKind)
"""The designs that a sample may have."""

if TYPE_CHECKING:
    StratumUnits = Mapping[str, int] | Sequence[str]
    ExpectedShares = Mapping[str | None, float] | Sequence[str]
else:  # as the command line gives them
    StratumUnits = Sequence[str]
    """Units by name of the stratum, or written 'stratum=75'."""
    ExpectedShares = Sequence[str]
    """Shares by name of the stratum, None for all others; or written 'stratum=0.7' and '0.9'."""


@dataclass(frozen=True)
class SamplePlan:
    """How many units a sample has, and how they are drawn."""

    size: int | None = None
    """Units in all."""
    standard_error: float | None = None
    """Or: the standard error to reach, as a share: of the overall accuracy, or of a class's area
    (see `expect`)."""
    design: DesignKind = "stratified"
    """How units are drawn: at random in each stratum, at random from the whole map, or on a square
    grid with a random start."""
    allocation: Allocation | None = None
    """How strata share the units; left out: floor."""
    floor: int | None = None
    """For the allocation floor: least units of a stratum; left out: 50, or half of an equal share
    if that is less."""
    stratum_units: StratumUnits = ()
    """Units of a stratum, 'to water=75'; can be repeated. The others share the rest."""
    expect: ExpectedShares = ()
    """Share of a stratum likely to be right, 'to water=0.7'; 0.9 alone is for all others. For a
    class's area: share of the stratum likely to be that class. Can be repeated."""
    unit_size: int = 1
    """Rows and columns of a unit, in pixels."""
    seed: int = 0
    """Another seed draws other units."""

    def __post_init__(self) -> None:
        options.check_choice("design", self.design, DesignKind)
        if self.allocation is not None:
            options.check_choice("allocation", self.allocation, Allocation)
        if self.unit_size < 1:
            raise ParameterError(f"`unit_size` must be at least 1 pixel, got {self.unit_size}.")
        self._check_size()
        self._check_strata()
        wrong = [p for p in self.expected.values() if not 0 <= p <= 1]
        if wrong:
            raise ParameterError(f"An expected share must lie in 0 to 1, got {wrong[0]:g}.")
        if not self.expected and (self.standard_error is not None or self.allocation == "neyman"):
            raise ParameterError(
                "`standard_error` and Neyman's allocation need expectations, got none; give the "
                "share of each stratum that is likely right, such as 0.9 (from a pilot or a "
                "similar map), as `expect`."
            )

    def _check_size(self) -> None:
        if self.size is not None and self.standard_error is not None:
            raise ParameterError(
                f"A sample must have `size` or `standard_error`, got {self.size} and "
                f"{self.standard_error}; give one of them."
            )
        if self.size is not None and self.size < sizes.LEAST:
            raise ParameterError(
                f"A sample must hold at least {sizes.LEAST} units, got {self.size}."
            )
        if self.standard_error is not None:
            sizes.check_target(self.standard_error)
        if self.design == "systematic" and self.standard_error is not None:
            raise ParameterError(
                "A systematic sample needs `size`, got `standard_error`; ask for a simple design "
                "to learn a size that is enough."
            )

    def _check_strata(self) -> None:
        if self.design != "stratified" and (self.allocation is not None or self.units):
            given = "units of strata" if self.units else f"the allocation {self.allocation!r}"
            raise ParameterError(
                f"Only strata can share units, got {given} for a {self.design} design; leave it "
                "out."
            )
        few = [name for name, n in self.units.items() if n < sizes.LEAST]
        if few:
            raise ParameterError(
                f"A stratum must get at least {sizes.LEAST} units, got {self.units[few[0]]} for "
                f"{few[0]!r}."
            )

    def check_complete(self) -> None:
        """Check that a size follows from the plan.

        Raises:
            ParameterError: Neither a size nor a standard error nor units of strata.
        """
        if self.size is None and self.standard_error is None and not self.units:
            raise ParameterError(
                "A sample must have `size` or `standard_error`, got neither; give one of them."
            )

    @property
    def units(self) -> dict[str, int]:
        """Units of the strata whose units are stated, by name."""
        if isinstance(self.stratum_units, Mapping):
            return dict(self.stratum_units)
        units: dict[str, int] = {}
        for text in self.stratum_units:
            name, equals, number = text.rpartition("=")
            name = name.strip()
            if not equals or not name or not number.strip().isdecimal() or name in units:
                raise ParameterError(
                    f"`stratum_units` must be written 'stratum=75', each stratum once, got "
                    f"{text!r}."
                )
            units[name] = int(number)
        return units

    @property
    def expected(self) -> dict[str | None, float]:
        """Expected shares by name of the stratum; under None that of all others."""
        if isinstance(self.expect, Mapping):
            return dict(self.expect)
        shares: dict[str | None, float] = {}
        for text in self.expect:
            name, equals, share = text.rpartition("=")
            try:
                shares[name.strip() if equals else None] = float(share)
            except ValueError:
                raise ParameterError(
                    f"An expected share must be 'stratum=0.7' or 0.9, got {text!r}."
                ) from None
        return shares

    @property
    def most(self) -> int:
        """Units that one stratum can get at most.

        For a standard error to reach: where each stratum has so many, the largest variance, 0.25,
        suffices.
        """
        stated = max(self.units.values(), default=0)
        if self.size is not None:
            return max(self.size, stated)
        if self.standard_error is None:
            return stated
        largest = int(np.ceil(0.25 / self.standard_error**2)) + 1
        return max(self.floor or sizes.FLOOR, sizes.LEAST, largest, stated)

    @property
    def sharing(self) -> Allocation:
        """How units are shared out: the allocation asked for, or that of the design."""
        return self.allocation or ("floor" if self.design == "stratified" else "proportional")


@dataclass(frozen=True)
class StratumSizes:
    """The strata that a sample is drawn from; one entry a stratum.

    Attributes:
        values: Value of each in the raster of strata.
        names: Its name.
        units: Units that it holds.
        hectares: Its area.
    """

    values: tuple[int, ...]
    names: tuple[str, ...]
    units: NDArray[np.int64]
    hectares: NDArray[np.float64]

    @property
    def weights(self) -> NDArray[np.float64]:
        """Share of the map's area."""
        weights: NDArray[np.float64] = self.hectares / self.hectares.sum()
        return weights


def allocated(plan: SamplePlan, strata: StratumSizes) -> NDArray[np.int64]:
    """Units of each stratum: those stated, and the others' shares of the rest.

    Raises:
        ParameterError: Units stated for no stratum or beyond what it holds; a size that is
            missing, stated twice, too small or too large; expectations that don't fit the strata.
    """
    stated = _stated(plan, strata)
    free = stated == 0
    if not free.any():
        _check_size_left_out(plan, int(stated.sum()))
        return stated
    deviations = expected_deviations(plan, strata)
    claims = strata.weights
    if plan.sharing == "neyman":
        assert deviations is not None, "the plan has checked it"
        claims = claims * deviations
        if not claims[free].any():
            raise ParameterError(
                "Neyman's allocation needs a stratum that may be wrong, got expected shares "
                "of 0 or 1 only; give what a similar map had."
            )

    def share(size: int) -> NDArray[np.int64]:
        sampled = stated.copy()
        sampled[free] = sizes.allocate(
            size - int(stated.sum()), strata.units[free], claims[free], allocation=plan.sharing,
            floor=plan.floor,
        )  # fmt: skip
        return sampled

    if plan.standard_error is not None:
        assert deviations is not None, "the plan has checked it"
        return share(
            sizes.size_for(plan.standard_error, strata.units, strata.weights, deviations, share)
        )
    if plan.size is None:
        missing = [name for name, shares in zip(strata.names, free, strict=True) if shares]
        raise ParameterError(
            f"Without `size` the units of every stratum must be stated, got none for "
            f"{', '.join(map(repr, missing[:8]))}; state them, or give the size."
        )
    return share(plan.size)


def _stated(plan: SamplePlan, strata: StratumSizes) -> NDArray[np.int64]:
    """Units stated for each stratum, 0 for none."""
    unknown = [n for n in plan.units if n not in strata.names]
    if unknown:
        raise ParameterError(
            f"Units must be stated for strata that there are ({', '.join(strata.names)}), got "
            f"{unknown[0]!r}; name one of them."
        )
    stated = np.array([plan.units.get(n, 0) for n in strata.names])
    beyond = np.flatnonzero(stated > strata.units)
    if beyond.size:
        k = int(beyond[0])
        raise ParameterError(
            f"A stratum can give no more units than it holds, got {stated[k]:,} of "
            f"{strata.units[k]:,} for {strata.names[k]!r}; state fewer."
        )
    return stated


def _check_size_left_out(plan: SamplePlan, stated: int) -> None:
    if plan.standard_error is not None or plan.size not in (None, stated):
        wanted = f"size {plan.size:,}"
        if plan.size is None:
            wanted = f"a standard error of {plan.standard_error}"
        raise ParameterError(
            f"The units stated for all strata make the size, {stated:,}, got {wanted} too; leave "
            "that out."
        )


def expected_deviations(plan: SamplePlan, strata: StratumSizes) -> NDArray[np.float64] | None:
    """Standard deviation expected in each stratum; None without expectations.

    Raises:
        ParameterError: Expectations that name no stratum, or leave one out.
    """
    expected = plan.expected
    if not expected:
        return None
    unknown = [n for n in expected if n is not None and n not in strata.names]
    missing = [n for n in strata.names if n not in expected]
    if unknown or (missing and None not in expected):
        wrong = f"{unknown[0]!r}" if unknown else f"none for {missing[0]!r}"
        raise ParameterError(
            f"Expected shares must be given for the strata {', '.join(strata.names)}, got "
            f"{wrong}; name each, or give one for all others."
        )
    shares = np.array([expected.get(n, expected.get(None, 0.0)) for n in strata.names])
    deviations: NDArray[np.float64] = np.sqrt(shares * (1 - shares))
    return deviations
