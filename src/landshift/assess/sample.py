"""A sample of a map drawn and written, ready to be labelled."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from landshift import raster
from landshift.assess import design as sizes
from landshift.assess import drawing, files
from landshift.assess.contents import Design, Stratum
from landshift.assess.drawing import Drawn, Part, Population
from landshift.assess.response import response_of
from landshift.classes import ClassScheme
from landshift.errors import ParameterError
from landshift.files import containers, provenance, whole

log = logging.getLogger(__name__)

KINDS = ("stratified", "simple", "systematic")
"""The designs that a sample may have."""


@dataclass(frozen=True)
class Plan:
    """What is asked of a sample.

    Attributes:
        kind: One of `KINDS`.
        size: Units in all; None where a target says it.
        target: Standard error to reach, as a share of the map: of the overall accuracy, or, with
            expectations of a class's share of each stratum, of that class's area.
        allocation: How strata share the units; see `landshift.assess.design.allocate`. None:
            'floor', where there are strata.
        floor: Least units of a stratum, for the allocation 'floor'; None:
            `landshift.assess.design.floor_for` says it.
        units: Units of some strata, by name; the others share the rest of the size. Where all are
            given the size follows.
        expected: For a target and for Neyman's allocation: the share expected to be right (or to
            be the class) in each stratum, by its name; under the name None for all others.
        seed: Another seed draws other units.
        unit_size: Rows and columns of a unit, in pixels.
    """

    kind: str = "stratified"
    size: int | None = None
    target: float | None = None
    allocation: str | None = None
    floor: int | None = None
    units: Mapping[str, int] = field(default_factory=dict)
    expected: Mapping[str | None, float] | None = None
    seed: int = 0
    unit_size: int = 1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ParameterError(f"design must be one of {', '.join(KINDS)}, got {self.kind!r}.")
        if (self.size is None) == (self.target is None) and not (
            self.units and self.size is self.target is None
        ):
            raise ParameterError(
                f"A sample needs a size or a standard error to reach, got size {self.size} and "
                f"standard error {self.target}; give one of them."
            )
        if self.size is not None and self.size < sizes.LEAST:
            raise ParameterError(
                f"A sample must hold at least {sizes.LEAST} units, got {self.size}."
            )
        if self.target is not None:
            sizes.check_target(self.target)
        if self.kind != "stratified" and (self.allocation is not None or self.units):
            given = "units of strata" if self.units else f"the allocation {self.allocation!r}"
            raise ParameterError(
                f"Only strata can share units, got {given} for a {self.kind} design; leave it out."
            )
        few = [name for name, n in self.units.items() if n < sizes.LEAST]
        if few:
            raise ParameterError(
                f"A stratum must get at least {sizes.LEAST} units, got {self.units[few[0]]} for "
                f"{few[0]!r}."
            )
        if self.kind == "systematic" and self.target is not None:
            raise ParameterError(
                "A systematic sample needs a size, got a standard error; ask for a simple design "
                "to learn a size that is enough."
            )
        wrong = [p for p in (self.expected or {}).values() if not 0 <= p <= 1]
        if wrong:
            raise ParameterError(f"An expected share must lie in 0 to 1, got {wrong[0]:g}.")
        if not self.expected and (self.target is not None or self.allocation == "neyman"):
            raise ParameterError(
                "A target or Neyman's allocation needs expectations, got none; give the share of "
                "each stratum that is likely right, such as 0.9 (from a pilot or a similar map)."
            )

    @property
    def most(self) -> int:
        """Units that one stratum can get at most.

        For a target: where each stratum has so many, the largest variance, 0.25, suffices.
        """
        stated = max(self.units.values(), default=0)
        if self.size is not None:
            return max(self.size, stated)
        if self.target is None:
            return stated
        largest = int(np.ceil(0.25 / self.target**2)) + 1
        return max(self.floor or sizes.FLOOR, sizes.LEAST, largest, stated)

    @property
    def sharing(self) -> str:
        """How units are shared out: the allocation asked for, or that of the design."""
        return self.allocation or ("floor" if self.kind == "stratified" else "proportional")


@dataclass(frozen=True)
class NewSample:
    """What `draw_sample` drew.

    Attributes:
        design: The design, as the file records it.
        floor: Least units of a stratum whose units weren't stated, for the allocation 'floor'.
        expected_error: Standard error expected of it, where expectations were given.
        files: The files written.
    """

    design: Design
    floor: int | None
    expected_error: float | None
    files: tuple[Path, ...]

    @property
    def few(self) -> tuple[Stratum, ...]:
        """Strata with fewer than `landshift.assess.design.FEW` units that hold more of them."""
        return tuple(s for s in self.design.strata if s.sampled < min(sizes.FEW, s.units))


def draw_sample(
    mapped: Path,
    out: Path,
    plan: Plan,
    *,
    strata: Path | None = None,
    scheme: ClassScheme | None = None,
    nodata: float | None = None,
    choices: ClassScheme | None = None,
    show_map: bool = False,
    block: int = drawing.BLOCK,
    overwrite: bool = False,
    on_block: Callable[[int, int], None] | None = None,
) -> NewSample:
    """Draw a probability sample of a map's pixels or blocks, and write it to be labelled.

    Args:
        mapped: The map: any class raster with a CRS.
        out: The GeoPackage to write; a CSV comes beside it.
        plan: What is asked of the sample.
        strata: A class raster on the map's grid whose values are the strata; None: the map's
            classes.
        scheme: The map's classes; None: as its files tell, else by value.
        nodata: A value of the map without a class, beside what the file says.
        choices: The classes that labellers may choose from, of each date; None: as the map's
            classes tell.
        show_map: Whether labellers see the map's class.
        block: Rows and columns read at once; the result doesn't depend on it.
        overwrite: Whether what is there already is replaced.
        on_block: Called with blocks done and blocks in all.

    Raises:
        ParameterError: A size too small or too large for the strata; expectations that name no
            stratum, or leave one out.
        ClassError: The map holds no class, or classes that aren't named; ground without a stratum.
        GridError: The map has no CRS, or the strata lie on another grid.
        RasterError: A raster can't be read.
        OutputError: A file can't be written.
    """
    mapped, out = Path(mapped), Path(out)
    if out.suffix.lower() != ".gpkg":
        raise ParameterError(f"A sample is written as GeoPackage, got {out}; name it .gpkg.")
    if strata is not None and plan.kind != "stratified":
        raise ParameterError(f"Only a stratified design has strata, got {strata}; leave it out.")
    whole.check_new(out, out.with_suffix(".csv"), inputs=[mapped, strata], overwrite=overwrite)
    answers = files.answers_beside(out)
    if answers.exists():
        log.warning("%s holds answers to an earlier sample, and stays; move it elsewhere.", answers)
    about = raster.info(mapped)
    if not containers.file_of(mapped).is_file():
        raise ParameterError(
            f"The map must be a file, so that the sample can record its hash, got {mapped}; "
            "copy it first."
        )
    known = raster.map_classes(mapped, scheme, nodata)
    of_strata = None if strata is None else raster.map_classes(strata)
    population = Population(mapped, strata, plan.kind == "stratified", plan.unit_size, known)
    if plan.kind == "systematic":
        assert plan.size is not None, "the plan has checked it"
        drawn = drawing.draw_systematic(
            population, plan.size, plan.seed, block=block, on_block=on_block
        )
    else:
        drawn = drawing.draw_random(
            population, plan.most, plan.seed, block=block, on_block=on_block
        )
    classes, names = named_parts(known, of_strata, drawn.parts, population)
    units, found, error = _pick(drawn, names, plan)
    response = response_of(list(classes.values()), None if choices is None else choices.names)
    design = Design(
        map_name=mapped.name,
        map_digest=provenance.digest(containers.file_of(mapped)),
        kind=plan.kind,
        allocation=plan.sharing if plan.kind == "stratified" else None,
        seed=plan.seed,
        unit_size=plan.unit_size,
        strata_name=None if strata is None else Path(strata).name,
        classes=classes,
        strata=found,
        parts=drawn.parts,
        response=response,
    )
    record = provenance.record(
        "sample",
        [mapped, *([] if strata is None else [Path(strata)])],
        {
            "size": plan.size, "target": plan.target, "floor": plan.floor,
            "units": dict(plan.units), "nodata": nodata,
            "expected": [[k, v] for k, v in (plan.expected or {}).items()], "show_map": show_map,
        },
    )  # fmt: skip
    units = drawing.shuffled(units, about.width, plan.seed)
    written = files.write_sample(out, units, design, record, about.grid, show_map=show_map)
    return NewSample(design, _floor(found, plan), error, tuple(written))


def _pick(
    drawn: Drawn, names: Mapping[int, str], plan: Plan
) -> tuple[drawing.Units, tuple[Stratum, ...], float | None]:
    """The units of the sample, its strata, and the standard error expected."""
    values = sorted({p.stratum for p in drawn.parts})
    population = np.array([sum(p.units for p in _of(drawn.parts, v)) for v in values])
    hectares = np.array([sum(p.hectares for p in _of(drawn.parts, v)) for v in values])
    weights = hectares / hectares.sum()
    deviations = _deviations([names[v] for v in values], plan.expected)
    if plan.kind == "systematic":
        sampled = np.array([len(drawn.units)])
    else:
        sampled = _allocated([names[v] for v in values], population, weights, deviations, plan)
    error = None
    if deviations is not None:
        error = sizes.expected_error(sampled, population, weights, deviations)
    chosen = [
        np.flatnonzero(drawn.units.stratum == v)[:n] for v, n in zip(values, sampled, strict=True)
    ]
    assert [c.size for c in chosen] == sampled.tolist(), "strata keep as many as they can get"
    strata = tuple(
        Stratum(v, names[v], int(population[k]), float(hectares[k]), int(sampled[k]))
        for k, v in enumerate(values)
    )
    return drawn.units.take(np.concatenate(chosen)), strata, error


def _allocated(
    names: list[str],
    population: NDArray[np.int64],
    weights: NDArray[np.float64],
    deviations: NDArray[np.float64] | None,
    plan: Plan,
) -> NDArray[np.int64]:
    """Units of each stratum: those stated, and the others' shares of the rest."""
    unknown = [n for n in plan.units if n not in names]
    if unknown:
        raise ParameterError(
            f"Units must be stated for strata that there are ({', '.join(names)}), got "
            f"{unknown[0]!r}; name one of them."
        )
    stated = np.array([plan.units.get(n, 0) for n in names])
    beyond = np.flatnonzero(stated > population)
    if beyond.size:
        k = int(beyond[0])
        raise ParameterError(
            f"A stratum can give no more units than it holds, got {stated[k]:,} of "
            f"{population[k]:,} for {names[k]!r}; state fewer."
        )
    free = stated == 0
    if not free.any():
        if plan.target is not None or plan.size not in (None, stated.sum()):
            asked = f"a standard error of {plan.target}" if plan.size is None else plan.size
            raise ParameterError(
                f"The units stated for all strata make the size, {stated.sum():,}, got {asked} "
                "too; leave that out."
            )
        return stated
    claims = weights
    if plan.sharing == "neyman":
        assert deviations is not None, "the plan has checked it"
        claims = weights * deviations
        if not claims[free].any():
            raise ParameterError(
                "Neyman's allocation needs a stratum that may be wrong, got expected shares "
                "of 0 or 1 only; give what a similar map had."
            )

    def share(size: int) -> NDArray[np.int64]:
        sampled = stated.copy()
        sampled[free] = sizes.allocate(
            size - int(stated.sum()), population[free], claims[free], allocation=plan.sharing,
            floor=plan.floor,
        )  # fmt: skip
        return sampled

    if plan.target is not None:
        assert deviations is not None
        return share(sizes.size_for(plan.target, population, weights, deviations, share))
    if plan.size is None:
        missing = [n for n, of_it in zip(names, free, strict=True) if of_it]
        raise ParameterError(
            f"Without a size the units of every stratum must be stated, got none for "
            f"{', '.join(map(repr, missing[:8]))}; state them, or give the size."
        )
    return share(plan.size)


def _floor(strata: tuple[Stratum, ...], plan: Plan) -> int | None:
    """Least units that the allocation 'floor' gave the strata that share units."""
    sharing = [s.sampled for s in strata if s.name not in plan.units]
    if plan.kind != "stratified" or plan.sharing != "floor" or not sharing:
        return None
    return plan.floor if plan.floor is not None else sizes.floor_for(sum(sharing), len(sharing))


def _of(parts: tuple[Part, ...], stratum: int) -> list[Part]:
    return [p for p in parts if p.stratum == stratum]


def _deviations(
    names: list[str], expected: Mapping[str | None, float] | None
) -> NDArray[np.float64] | None:
    """Standard deviation expected in each stratum, or None."""
    if not expected:
        return None
    unknown = [n for n in expected if n is not None and n not in names]
    missing = [n for n in names if n not in expected]
    if unknown or (missing and None not in expected):
        wrong = f"{unknown[0]!r}" if unknown else f"none for {missing[0]!r}"
        raise ParameterError(
            f"Expected shares must be given for the strata {', '.join(names)}, got {wrong}; name "
            "each, or give one for all others."
        )
    shares = np.array([expected.get(n, expected.get(None, 0.0)) for n in names])
    deviations: NDArray[np.float64] = np.sqrt(shares * (1 - shares))
    return deviations


def named_parts(
    known: raster.ClassValues,
    of_strata: raster.ClassValues | None,
    parts: tuple[Part, ...],
    population: Population,
) -> tuple[dict[int, str], dict[int, str]]:
    """Names of a map's classes and of its strata, by value.

    Args:
        known: Which values of the map are classes.
        of_strata: Which values of the raster of strata are strata; None: the map's classes are.
        parts: The population.
        population: What it is of.

    Raises:
        ClassError: Classes given that don't name every value; a name twice.
    """
    classes = _named(known, {p.mapped for p in parts})
    if not population.stratified:
        return classes, {drawing.WHOLE: "the whole map"}
    if of_strata is None:
        return classes, classes
    return classes, _named(of_strata, {p.stratum for p in parts})


def _named(known: raster.ClassValues, present: set[int]) -> dict[int, str]:
    """Names of a raster's classes; values that only the pixels tell are named by value."""
    return known.named(present | known.names.keys())
