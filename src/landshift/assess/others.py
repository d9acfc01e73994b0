"""A sample that others drew and labelled, with the population that it is of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from landshift import grid, raster
from landshift.assess import drawing, points
from landshift.assess import sample as drawn
from landshift.assess.contents import Design, Sample, Stratum
from landshift.assess.drawing import Population
from landshift.assess.points import Points, PointSource
from landshift.assess.response import Response
from landshift.classes import ClassScheme
from landshift.errors import ParameterError, SampleError
from landshift.files import containers, provenance
from landshift.grid import Window


def sample_of_points(
    source: PointSource,
    mapped: Path,
    kind: str | None,
    *,
    strata: Path | None = None,
    scheme: ClassScheme | None = None,
    nodata: float | None = None,
    on_block: Callable[[int, int], None] | None = None,
) -> tuple[Sample, list[str]]:
    """Read labelled points as a sample of a map, whose classes and strata are counted.

    Args:
        source: The points.
        mapped: The map.
        kind: How they were drawn, one of `landshift.assess.sample.KINDS`; None: nobody knows.
        strata: A class raster on the map's grid whose values are the strata; None: the map's
            classes, of a stratified sample.
        scheme: The map's classes; None: as its files tell, else by value.
        nodata: A value of the map without a class, beside what its file says.
        on_block: Called with blocks done and blocks in all.

    Returns:
        The sample, and what a reader of its figures must know.

    Raises:
        SampleError: The design isn't known; columns are missing; no point lies on a class of the
            map; a column says other classes or strata than the rasters.
        ParameterError: Strata of a design that has none.
        ClassError: A class or a stratum that there isn't.
        VectorError: The points can't be read.
        GridError: The map has no CRS, or the strata lie on another grid.
        RasterError: A raster can't be read.
    """
    mapped = Path(mapped)
    if kind is None:
        raise SampleError(
            "Areas and intervals follow from how units were drawn, got no design for "
            f"{source.path}; state --design stratified, simple or systematic if they were drawn at "
            "random, else count them with `landshift evaluate MAP POINTS`."
        )
    if kind not in drawn.KINDS:
        raise ParameterError(f"design must be one of {', '.join(drawn.KINDS)}, got {kind!r}.")
    if kind != "stratified" and (strata is not None or source.stratum is not None):
        raise ParameterError(
            f"Only a stratified design has strata, got some for a {kind} one; leave them out."
        )
    box = raster.info(mapped).grid
    ground = grid.ground(box)
    read = points.read_points(source, box)
    known = raster.map_classes(mapped, scheme, nodata)
    of_strata = None if strata is None else raster.map_classes(strata)
    population = Population(mapped, strata, kind == "stratified", known=known)
    parts = drawing.survey(population, on_block)
    classes, names = drawn.named_parts(known, of_strata, parts, population)
    values, notes, read = _mapped(read, source, mapped, classes, known)
    stratum = _stratum(read, source, population, of_strata, names, values)
    reference = points.classes_of(
        read.reference, classes, what="Reference classes", path=source.path
    )
    if read.places is None:
        rows = columns = np.full(len(read), -1)
        size = {(p.stratum, p.mapped): p.hectares / p.units for p in parts}
        pairs = list(zip(stratum.tolist(), values.tolist(), strict=True))
        _check_parts(read, pairs, size, source)
        hectares = np.array([size[pair] for pair in pairs])
    else:
        rows, columns = read.places.T
        hectares = np.array(
            [float(ground.hectares(Window(r, c, 1, 1))[0, 0]) for r, c in read.places.tolist()]
        )
        notes += _together(read)
    found = tuple(
        Stratum(v, names[v], sum(p.units for p in of_it), sum(p.hectares for p in of_it), n)
        for v in sorted({p.stratum for p in parts})
        for of_it, n in [([p for p in parts if p.stratum == v], int((stratum == v).sum()))]
    )
    all_names = tuple(classes.values())
    design = Design(
        map_name=mapped.name, map_digest=provenance.digest(containers.file_of(mapped)), kind=kind,
        allocation=None, seed=0, unit_size=1,
        strata_name=None if strata is None else Path(strata).name,
        classes=classes, strata=found, parts=parts,
        response=Response("class", all_names, all_names),
    )  # fmt: skip
    after = tuple(None if v is None else classes[v] for v in reference)
    nothing: tuple[None, ...] = (None,) * len(read)
    sample = Sample(design, read.numbers, stratum, values, hectares, rows, columns, nothing, after)
    return sample, notes


def mapped_at(
    read: Points,
    source: PointSource,
    mapped: Path,
    classes: Mapping[int, str],
    of_map: raster.ClassValues,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The map's class at each point, and where it has one.

    Args:
        read: The points.
        source: Where they come from.
        mapped: The map.
        classes: Name of each class.
        of_map: Which values of the map are classes.

    Raises:
        SampleError: Neither coordinates nor a column of the map's classes; a column that says
            other classes than the map.
        ClassError: A class that the map hasn't.
    """
    said = None
    if read.mapped is not None:
        written = points.classes_of(
            read.mapped, dict(classes), what="The map's classes", path=source.path
        )
        said = np.array([-1 if v is None else v for v in written], np.int64)
        known = np.array([v is not None for v in written])
    if read.places is None:
        if said is None:
            raise SampleError(
                "Points need coordinates, or a column with the map's class, got neither in "
                f"{source.path}; name --x-column and --y-column, or --map-column."
            )
        return said, known
    values, here = points.values_at(mapped, read.places, of_map)
    if said is not None:
        _check_same(
            read, known & here & (said != values), "class of the map", source.mapped or "",
            "give the map that the sample is of, or leave the column out",
        )  # fmt: skip
    return values, here


def _mapped(
    read: Points,
    source: PointSource,
    mapped: Path,
    classes: Mapping[int, str],
    known: raster.ClassValues,
) -> tuple[NDArray[np.int64], list[str], Points]:
    """The map's class at each point that has one, a note of the others, and these points."""
    values, here = mapped_at(read, source, mapped, classes, known)
    if here.all():
        return values, [], read
    where = (
        "has no class in the map"
        if read.places is None
        else ("lies outside the map or where it has no class")
    )
    if not here.any():
        raise SampleError(
            f"Points must lie on classes of the map, got none that do of {len(read):,} in "
            f"{source.path}; check their CRS and columns."
        )
    note = (
        f"{(~here).sum():,} of {len(read):,} points were left out: each {where} "
        f"({read.named(~here)})."
    )
    return values[here], [note], read.take(here)


def _stratum(
    read: Points,
    source: PointSource,
    population: Population,
    of_strata: raster.ClassValues | None,
    names: Mapping[int, str],
    mapped: NDArray[np.int64],
) -> NDArray[np.int64]:
    """The stratum of each point, from the rasters, else from its column."""
    if not population.stratified:
        return np.full(len(read), drawing.WHOLE)
    said = None
    if read.stratum is not None:
        written = points.classes_of(read.stratum, dict(names), what="Strata", path=source.path)
        empty = np.array([v is None for v in written])
        if empty.any():
            raise SampleError(
                f"Every point must have a stratum, got none for {read.named(empty)} in "
                f"{source.path}; fill the column."
            )
        said = np.array(written, np.int64)
    if population.strata is None or of_strata is None:
        found = mapped
    elif read.places is not None:
        found, _ = points.values_at(population.strata, read.places, of_strata)
    elif said is not None:
        return said
    else:
        raise SampleError(
            f"Without coordinates the strata need a column, got none in {source.path}; name "
            "--stratum-column."
        )
    if said is not None:
        _check_same(
            read, said != found, "stratum", source.stratum or "",
            "give the raster of strata that the sample was drawn from (--strata)",
        )  # fmt: skip
    return found


def _check_same(
    read: Points, other: NDArray[np.bool_], what: str, column: str, advice: str
) -> None:
    if other.any():
        raise SampleError(
            f"The {what} of each point must be that of the raster, got another one in the column "
            f"{column!r} for {other.sum():,} of {len(read):,} points ({read.named(other)}); "
            f"{advice}."
        )


def _check_parts(
    read: Points,
    pairs: Sequence[tuple[int, int]],
    size: Mapping[tuple[int, int], float],
    source: PointSource,
) -> None:
    bare = np.array([pair not in size for pair in pairs])
    if bare.any():
        raise SampleError(
            f"Points must have a class and a stratum that meet on the map, got none such for "
            f"{read.named(bare)} in {source.path}; give the map and the strata that it is of."
        )


def _together(read: Points) -> list[str]:
    """A note of points that share a pixel."""
    assert read.places is not None
    _, first, count = np.unique(read.places, axis=0, return_index=True, return_counts=True)
    extra = int((count - 1).sum())
    if not extra:
        return []
    shared = np.zeros(len(read), np.bool_)
    shared[first[count > 1]] = True
    return [
        f"{extra:,} of {len(read):,} points lie in a pixel with another one "
        f"({read.named(shared)}): take out what was entered twice; with it intervals are too "
        "narrow."
    ]
