"""A sample of a map drawn and written, ready to be labelled."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import Parameter

from landshift import raster
from landshift.assess import design as sizes
from landshift.assess import drawing, files
from landshift.assess.contents import Design, Stratum
from landshift.assess.drawing import Drawn, Population, Units
from landshift.assess.plan import SamplePlan, StratumSizes, allocated, expected_deviations
from landshift.assess.response import response_of
from landshift.classes import ClassScheme, class_options
from landshift.errors import ParameterError, listed
from landshift.files import containers, kinds, options, provenance, whole
from landshift.files.rows import Rows

log = logging.getLogger(__name__)


@dataclass(frozen=True, repr=False)
class NewSample(Rows):
    """A sample that was drawn.

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
        """Strata with fewer units than `assess.design.FEW_SAMPLED` that hold more of them."""
        return tuple(s for s in self.design.strata if s.sampled < min(sizes.FEW_SAMPLED, s.units))

    def rows(self) -> list[dict[str, Any]]:
        """A row per stratum: its name, the units that it holds, its area, units sampled."""
        return [
            {"stratum": s.name, "units": s.units, "hectares": s.hectares, "sampled": s.sampled}
            for s in self.design.strata
        ]


def sample(
    mapped: options.MapFile,
    out: options.OutFile,
    *,
    plan: Annotated[SamplePlan, options.GROUP] = SamplePlan(),  # noqa: B008
    strata: options.FilePath | None = None,
    classes: class_options.ClassesLike = None,
    nodata: float | None = None,
    choices: class_options.ClassesLike = None,
    show_map: options.Flag = False,
    overwrite: options.Flag = False,
    block: Annotated[int, Parameter(parse=False)] = drawing.BLOCK,
) -> NewSample:
    """Draw a probability sample of a map, to be labelled by people and then estimated from.

    Args:
        mapped: The class or change map.
        out: The GeoPackage to write; a CSV comes beside it.
        strata: Class raster on the map's grid: its values are the strata; left out: the map's
            classes.
        classes: The map's classes, as for label; left out: as its files state, else by value.
        nodata: A value without a class, beside what the file states.
        choices: Classes to choose from when labelling; left out: those of the map.
        show_map: Let labellers see the map's class.
        overwrite: Replace what is there already under the same name.
        block: Rows and columns read at once; the result doesn't depend on it.

    Raises:
        ParameterError: A size too small or too large for the strata; expectations that name no
            stratum, or leave one out.
        ClassError: The map holds no class, or classes that aren't named; ground without a stratum.
        GridError: The map has no CRS, or the strata lie on another grid.
        RasterError: A raster can't be read.
        OutputError: A file can't be written.
    """
    mapped, out = Path(mapped), Path(out)
    plan.check_complete()
    if strata is not None and plan.design != "stratified":
        raise ParameterError(f"Only a stratified design has strata, got {strata}; leave it out.")
    given = map(class_options.file_of, (strata, classes, choices))
    _check_files(mapped, out, list(given), overwrite)
    known = raster.map_classes(mapped, class_options.classes_of(classes), nodata)
    of_strata = None if strata is None else raster.map_classes(strata)
    population = Population(
        mapped, class_options.file_of(strata), plan.design == "stratified", plan.unit_size, known
    )
    drawn = _draw(population, plan, block)
    names, stratum_names = drawing.named_parts(known, of_strata, drawn.parts, population)
    chosen, new_strata, error = _choose(drawn, stratum_names, plan)
    design = Design(
        map_name=mapped.name,
        map_digest=provenance.digest(containers.file_of(mapped)),
        kind=plan.design,
        allocation=plan.sharing if plan.design == "stratified" else None,
        seed=plan.seed,
        unit_size=plan.unit_size,
        strata_name=None if strata is None else Path(strata).name,
        classes=names,
        strata=new_strata,
        parts=drawn.parts,
        response=response_of(list(names.values()), _names(class_options.classes_of(choices))),
    )
    parameters = asdict(plan) | {
        "stratum_units": plan.units, "expect": [[k, v] for k, v in plan.expected.items()],
        "nodata": nodata, "show_map": show_map,
    }  # fmt: skip
    inputs = [mapped, *([] if strata is None else [Path(strata)])]
    grid = raster.info(mapped).grid
    written = files.write_sample(
        out, drawing.shuffled(chosen, grid.width, plan.seed), design,
        provenance.record("sample", inputs, parameters), grid, show_map=show_map,
    )  # fmt: skip
    drawn_sample = NewSample(design, _floor(new_strata, plan), error, tuple(written))
    _warn_of_few(drawn_sample.few, plan)
    return drawn_sample


def _warn_of_few(few: tuple[Stratum, ...], plan: SamplePlan) -> None:
    """Warn of strata whose classes will have wide intervals."""
    if not few:
        return
    more = "`floor`, `stratum_units`" if plan.sharing == "floor" else "`allocation` floor"
    if plan.design != "stratified":
        more = "`size`"
    log.warning(
        "Fewer than %d units in %s. Intervals will be wide there; give them more (%s).",
        sizes.FEW_SAMPLED, listed([f"{s.name} ({s.sampled:,})" for s in few]), more,
    )  # fmt: skip


def _check_files(mapped: Path, out: Path, inputs: list[Path | None], overwrite: bool) -> None:
    """Check the outputs, and that the map is a file, whose digest the sample records."""
    kinds.GEOPACKAGE.check(out)
    whole.check_new(out, out.with_suffix(".csv"), inputs=[mapped, *inputs], overwrite=overwrite)
    answers = files.answers_beside(out)
    if answers.exists():
        log.warning("%s holds answers to an earlier sample, and stays; move it elsewhere.", answers)
    raster.info(mapped)
    if not containers.file_of(mapped).is_file():
        raise ParameterError(
            f"The map must be a file, so that the sample can record its hash, got {mapped}; "
            "copy it first."
        )


def _names(scheme: ClassScheme | None) -> tuple[str, ...] | None:
    return None if scheme is None else scheme.names


def _draw(population: Population, plan: SamplePlan, block: int) -> Drawn:
    """The population, and as many units of each stratum as it can get."""
    if plan.design == "systematic":
        assert plan.size is not None, "the plan has checked it"
        return drawing.draw_systematic(population, plan.size, plan.seed, block=block)
    return drawing.draw_random(population, plan.most, plan.seed, block=block)


def _choose(
    drawn: Drawn, names: dict[int, str], plan: SamplePlan
) -> tuple[Units, tuple[Stratum, ...], float | None]:
    """The units of the sample, its strata, and the standard error expected."""
    values = tuple(sorted({p.stratum for p in drawn.parts}))
    members = [[p for p in drawn.parts if p.stratum == v] for v in values]
    sizes_of = StratumSizes(
        values,
        tuple(names[v] for v in values),
        np.array([sum(p.units for p in parts) for parts in members]),
        np.array([sum(p.hectares for p in parts) for parts in members]),
    )
    deviations = expected_deviations(plan, sizes_of)
    if plan.design == "systematic":
        sampled = np.array([len(drawn.units)])
    else:
        sampled = allocated(plan, sizes_of)
    error = None
    if deviations is not None:
        error = sizes.expected_error(sampled, sizes_of.units, sizes_of.weights, deviations)
    chosen = [
        np.flatnonzero(drawn.units.stratum == v)[:n] for v, n in zip(values, sampled, strict=True)
    ]
    assert [c.size for c in chosen] == sampled.tolist(), "strata keep as many as they can get"
    strata = tuple(
        Stratum(v, sizes_of.names[k], int(sizes_of.units[k]), float(sizes_of.hectares[k]),
                int(sampled[k]))
        for k, v in enumerate(values)
    )  # fmt: skip
    return drawn.units.take(np.concatenate(chosen)), strata, error


def _floor(strata: tuple[Stratum, ...], plan: SamplePlan) -> int | None:
    """Least units that the allocation 'floor' gave the strata that share units."""
    sharing = [s.sampled for s in strata if s.name not in plan.units]
    if plan.design != "stratified" or plan.sharing != "floor" or not sharing:
        return None
    return plan.floor if plan.floor is not None else sizes.floor_for(sum(sharing), len(sharing))
