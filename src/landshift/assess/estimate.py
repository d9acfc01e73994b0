"""A labelled sample -> accuracies and areas with standard errors and intervals."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray

from landshift.assess import figures, intervals
from landshift.assess.assessment import Assessment
from landshift.assess.contents import Design, Sample
from landshift.assess.domains import Domains, DomainSource, find_domains
from landshift.assess.estimators import Estimator, Strata, judge
from landshift.assess.figures import ClassedUnits, Intervals
from landshift.assess.files import read_sample
from landshift.assess.others import PointDesign, sample_of_points
from landshift.assess.points import PointColumns
from landshift.classes import ARROW, TO, class_options
from landshift.errors import ClassError, ParameterError, SampleError
from landshift.files import containers, kinds, options, provenance, texts, whole

_SHOWN = 8  # names or numbers listed in an error

_LABEL = "label them with `landshift label-samples`"
_FILL = "fill the column of their classes"

if TYPE_CHECKING:
    Merge = Mapping[str, Sequence[str]] | Sequence[str]
else:  # as the command line gives them
    Merge = Sequence[str]
    """Classes to count as one: the new name and those it takes in, or written 'new=old,old'."""


def estimate(
    sample: options.FilePath,
    *,
    labels: options.FilePath | None = None,
    mapped: Annotated[options.FilePath | None, Parameter(name="--map")] = None,
    points: Annotated[PointColumns, options.GROUP] = PointColumns(),  # noqa: B008
    drawn: Annotated[PointDesign, options.GROUP] = PointDesign(),  # noqa: B008
    post_stratify: options.Flag = False,
    merge: Merge = (),
    domains: Annotated[DomainSource, options.GROUP] = DomainSource(),  # noqa: B008
    level: float = 0.95,
    out: Annotated[options.FilePath | None, Parameter(name=("--out", "-o"))] = None,
    table: options.FilePath | None = None,
    overwrite: options.Flag = False,
) -> Assessment:
    """Estimate areas and accuracies, with intervals, from a labelled sample.

    Args:
        sample: The labelled sample (.gpkg); or points that others drew and labelled, in any vector
            format or CSV, with `reference_column`.
        labels: CSV with the labels; left out: the labels in the sample.
        mapped: The map; a sample must have been drawn from it.
        post_stratify: Simple and systematic samples: use the map's class areas.
        merge: Count classes as one, 'loss=forest->crop,forest->urban'; can be repeated. Names that
            hold a comma or '=' are quoted: 'wet="rain, snow",fog'.
        level: Level of the intervals.
        out: JSON to write, with all figures.
        table: CSV to write, with a row per figure.
        overwrite: Replace what is there already under the same name.

    Raises:
        SampleError: No sample; no design of points; units unlabelled or left out; a stratum of
            fewer than 2 units; a class of the map without any; another map.
        ClassError: A label that is none of the choices; a merged class that there isn't.
        ParameterError: A level outside 0 to 1; options that don't fit the design.
        VectorError: Points or domains can't be read.
        GridError: The map has no CRS, or the strata lie on another grid.
        RasterError: A raster can't be read.
        OutputError: An output can't be written.
    """
    sample = Path(sample)
    given = map(class_options.file_of, (mapped, labels, drawn.classes))
    kinds.JSON.check(out)
    kinds.TABLE.check(table)
    whole.check_new(
        out, table, inputs=[sample, *given, domains.domains, drawn.strata], overwrite=overwrite
    )
    if not 0 < level < 1:
        raise ParameterError(f"The level of an interval must lie in 0 to 1, got {level:g}.")
    merged = merged_classes(merge)
    map_file = class_options.file_of(mapped)
    units, notes = _read(sample, class_options.file_of(labels), map_file, points, drawn)
    _check_post_stratify(units, post_stratify)
    classed = _classed(units, sample, merged, _LABEL if points.reference_column is None else _FILL)
    strata = _strata(units, post_stratify)
    _check_classes(classed)
    places = _places(units, sample, map_file, domains)
    method = _method(units.design, post_stratify)
    assessment = _assess(units, classed, strata, places, level, method, notes)
    written = []
    if table is not None:
        written.append(assessment.write_csv(table, overwrite=overwrite))
    if out is not None:
        written.append(assessment.write_json(out, overwrite=overwrite))
    return replace(assessment, files=tuple(written))


def _check_post_stratify(units: Sample, post_stratify: bool) -> None:
    if post_stratify and units.design.kind == "stratified":
        raise ParameterError(
            "Only a simple or systematic sample can be stratified afterwards, got one that has "
            "strata; leave `post_stratify` out."
        )


def _assess(
    units: Sample,
    classed: ClassedUnits,
    strata: tuple[Strata, NDArray[np.int64], list[str]],
    places: Domains | None,
    level: float,
    method: str,
    notes: Sequence[str],
) -> Assessment:
    """The estimates of a labelled sample.

    Args:
        units: The sample.
        classed: Class of each unit in reference and map.
        strata: Strata, each unit's place among them, and their names.
        places: The domains, and the one that each unit lies in; None: there are none.
        level: Level of the intervals.
        method: The estimators in words.
        notes: Notes on the sample.
    """
    sizes, stratum, stratum_names = strata
    estimator = Estimator(sizes, stratum, units.hectares)
    accuracy = judge(estimator, classed.reference, classed.mapped, len(classed.names))
    bounds = Intervals(estimator, classed.reference, classed.mapped, level)
    classes, class_notes = figures.of_classes(classed, accuracy, bounds, stratum_names)
    overall, overall_notes = figures.overall(accuracy, bounds, stratum_names)
    parts = () if places is None else figures.in_domains(places, estimator, classed, level)
    return Assessment(
        units.design, len(units), level, estimator.total, overall, classes, accuracy.confusion,
        accuracy.counts, method, (*notes, *class_notes, *overall_notes), parts,
    )  # fmt: skip


_MERGED = re.compile(r'\s*("(?:[^"]|"")*"|[^="]*?)\s*=(.*)', re.DOTALL)


def merged_classes(merge: Mapping[str, Sequence[str]] | Sequence[str]) -> dict[str, list[str]]:
    """Merged classes: the new name, and the names it takes in; written, both may be quoted.

    Raises:
        ParameterError: A text that isn't 'new=old,old'.
    """
    if isinstance(merge, Mapping):
        return {name: list(names) for name, names in merge.items()}
    merged: dict[str, list[str]] = {}
    for text in merge:
        parted = _MERGED.fullmatch(text)
        try:
            name = "".join(texts.cells(parted[1])) if parted else ""
            names = [m for m in texts.cells(parted[2]) if m] if parted else []
        except csv.Error:
            name, names = "", []
        if not name or not names:
            raise ParameterError(
                f"Classes to merge must be written 'new=old,old', got {text!r}; quote names that "
                "hold a comma or '='."
            )
        merged.setdefault(name, []).extend(names)
    return merged


def _read(
    path: Path,
    labels: Path | None,
    mapped: Path | None,
    points: PointColumns,
    drawn: PointDesign,
) -> tuple[Sample, list[str]]:
    """The sample that `landshift.sample` drew, or points that others did, with notes on them."""
    if points.reference_column is not None:
        if mapped is None or labels is not None:
            raise ParameterError(
                "Points that others labelled need `mapped` and no `labels`, got "
                f"{'no map' if mapped is None else f'labels {labels}'}; "
                + ("give the map." if mapped is None else "leave them out.")
            )
        return sample_of_points(path, points, mapped, drawn)
    stated = [f.name for f in fields(drawn) if getattr(drawn, f.name) is not None]
    if stated:
        raise ParameterError(
            f"`{stated[0]}` is for points that others labelled, got no `reference_column`; name "
            "the column of their classes."
        )
    sample = read_sample(path, labels)
    if (
        mapped is not None
        and provenance.digest(containers.file_of(mapped)) != sample.design.map_digest
    ):
        raise SampleError(
            f"A sample must be drawn from the map that it judges, got one of "
            f"{sample.design.map_name} for {mapped}, which isn't that file any more; draw another, "
            "or give that map."
        )
    return sample, []


def _classed(
    units: Sample, path: Path, merged: Mapping[str, Sequence[str]], advice: str
) -> ClassedUnits:
    """The class of each unit in reference and map, with the classes merged."""
    design = units.design
    renamed = _renamed(design, merged)
    reference = [renamed.get(n, n) for n in _reference(units, path, advice)]
    mapped = [renamed.get(n, n) for n in (design.classes[int(v)] for v in units.mapped)]
    hectares: dict[str, float] = {}
    for part in design.parts:
        name = design.classes[part.mapped]
        name = renamed.get(name, name)
        hectares[name] = hectares.get(name, 0.0) + part.hectares
    order = dict.fromkeys(renamed.get(n, n) for n in design.classes.values())
    names = [n for n in order if n in hectares or n in reference]
    names += sorted(set(reference) - set(names))
    return ClassedUnits(
        tuple(names), np.array([names.index(n) for n in reference]),
        np.array([names.index(n) for n in mapped]), hectares,
    )  # fmt: skip


def _reference(units: Sample, path: Path, advice: str) -> list[str]:
    """Class of each unit as labelled; the advice says how units get labels."""
    pairs = list(zip(units.numbers, units.before, units.after, strict=True))
    needs_before = units.design.response.dates == 2
    empty = [int(n) for n, b, a in pairs if a is None or (needs_before and b is None)]
    if empty:
        more = ", ..." if len(empty) > _SHOWN else ""
        raise SampleError(
            f"Every unit must be labelled, got {len(empty):,} of {len(pairs):,} without a label "
            f"(units {', '.join(map(str, empty[:_SHOWN]))}{more}) in {path}; {advice}: left "
            "out, they bias the rest."
        )
    classes = []
    for number, before, after in pairs:
        assert after is not None
        try:
            classes.append(units.design.response.reference(before, after))
        except ClassError as error:
            raise ClassError(f"Unit {number}: {error}") from error
    return classes


def _renamed(design: Design, merged: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The name that each merged class gets."""
    renamed: dict[str, str] = {}
    response = design.response
    known = set(design.classes.values())
    if response.coding == "from-to":
        known |= {f"{a}{ARROW}{b}" for a in response.choices for b in response.choices}
    elif response.coding == "to":
        known |= {f"{TO}{c}" for c in response.choices}
    elif response.coding == "class":
        known |= set(response.choices)
    for new, olds in merged.items():
        for old in olds:
            if old not in known or old in renamed:
                raise ClassError(
                    f"Classes to merge must be of the map, each once, got {old!r} for {new!r}; "
                    f"the map has {', '.join(design.classes.values())}."
                )
            renamed[old] = new
        if new in known and new not in olds:
            raise ClassError(
                f"Merged classes need a name of their own, got {new!r}; choose another."
            )
    return renamed


def _strata(units: Sample, post_stratify: bool) -> tuple[Strata, NDArray[np.int64], list[str]]:
    """The strata of the estimate, each unit's place among them, and their names."""
    design = units.design
    if post_stratify:
        values = sorted({p.mapped for p in design.parts})
        groups = [[p for p in design.parts if p.mapped == v] for v in values]
        sizes = np.array([sum(p.units for p in g) for g in groups], np.float64)
        areas = np.array([sum(p.hectares for p in g) for g in groups])
        names, of = [design.classes[v] for v in values], units.mapped
    else:
        values = [s.value for s in design.strata]
        sizes = np.array([s.units for s in design.strata], np.float64)
        areas = np.array([s.hectares for s in design.strata])
        names, of = [s.name for s in design.strata], units.stratum
    stratum = np.searchsorted(values, of)
    held = np.bincount(stratum, minlength=len(values))
    for name, n, all_of_it in zip(names, held, sizes, strict=True):
        if n < 2 and n < all_of_it:
            raise SampleError(
                f"A stratum must have at least 2 units for a standard error, got {n} in {name!r}; "
                + (
                    "estimate without stratifying afterwards, or draw a stratified sample."
                    if post_stratify
                    else "draw a sample that gives it more, or merge strata."
                )
            )
    return Strata(sizes, areas), stratum, names


def _check_classes(classed: ClassedUnits) -> None:
    sampled = {classed.names[k] for k in classed.mapped}
    bare = [n for n in classed.names if n in classed.map_hectares and n not in sampled]
    if bare:
        raise SampleError(
            f"Every class of the map must have a unit in the sample, got none in "
            f"{', '.join(map(repr, bare[:_SHOWN]))}; draw a sample stratified by the map's "
            "classes, or merge classes for the estimate."
        )


def _places(
    units: Sample, path: Path, mapped: Path | None, domains: DomainSource
) -> Domains | None:
    """The domains, and the one that each unit lies in; None without domains."""
    if domains.domains is None:
        return None
    if mapped is None:
        raise ParameterError("Domains need the map, got none; give `mapped`, for their areas.")
    if (units.rows < 0).any():
        raise ParameterError(
            f"Domains need points with coordinates, got none in {path}; leave them out."
        )
    half = units.design.unit_size // 2
    return find_domains(
        mapped, domains, units.rows + half, units.columns + half, classes=units.design.classes
    )


def _method(design: Design, post_stratify: bool) -> str:
    """The estimators in words."""
    sampling = {
        "stratified": "Stratified random sampling",
        "simple": "Simple random sampling",
        "systematic": "Systematic sampling, with the variance of a simple random sample, which "
        "overstates it where neighbouring ground is alike",
    }[design.kind]
    if post_stratify:
        sampling += (
            ", stratified afterwards by the map's classes, given how many units fell into each"
            " (Holt & Smith 1979)"
        )
    by_class = post_stratify or (design.kind == "stratified" and design.strata_name is None)
    by = "Olofsson et al. (2014), eqs. 1-11" if by_class else "Stehman (2014), eqs. 2-29"
    method = f"{sampling}; estimators of {by}, with the correction for a finite population"
    if design.unit_size > 1:
        side = design.unit_size
        method += (
            f". Units are blocks of {side} x {side} pixels: accuracies and areas are those of "
            "blocks, each counted whole as its commonest class"
        )
    return (
        f"{method}. Intervals: the estimate, and so many standard errors on each side (normal); "
        f"where fewer than {intervals.FEW_HITS} units of a stratum decide, its exact binomial "
        "limits (Clopper & Pearson 1934) with its effective size (Korn & Graubard 1998), combined "
        "over strata (Zou et al. 2009; of a producer's accuracy, Donner & Zou 2012)."
    )
