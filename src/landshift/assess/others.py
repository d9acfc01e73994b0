"""A sample that others drew and labelled, with the population that it is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from landshift import grid, raster
from landshift.assess import drawing, points
from landshift.assess.contents import Design, Sample, Stratum
from landshift.assess.drawing import Population, PopulationPart
from landshift.assess.plan import KINDS, DesignKind
from landshift.assess.points import PointColumns, Points
from landshift.assess.response import Response
from landshift.classes import class_options
from landshift.errors import ParameterError, SampleError
from landshift.files import containers, options, provenance
from landshift.grid import Window


@dataclass(frozen=True)
class PointDesign:
    """How points that others labelled were drawn, and the classes of their map."""

    design: DesignKind | None = None
    """Points that others labelled: how they were drawn; must be stated."""
    strata: Path | None = None
    """Points that others labelled: class raster on the map's grid whose values are the strata; left
    out: the map."""
    stratum_column: str | None = None
    """Points that others labelled: column with the stratum, checked against the raster."""
    classes: class_options.ClassesLike = None
    """Points that others labelled: the map's classes; left out: as its files state."""
    nodata: float | None = None
    """Points that others labelled: a value of the map without a class."""

    def __post_init__(self) -> None:
        if self.design is not None:
            options.check_choice("design", self.design, DesignKind)
            has_strata = self.strata is not None or self.stratum_column is not None
            if self.design != "stratified" and has_strata:
                raise ParameterError(
                    f"Only a stratified design has strata, got some for a {self.design} one; leave "
                    "them out."
                )


def sample_of_points(
    path: Path,
    columns: PointColumns,
    mapped: Path,
    drawn: PointDesign,
) -> tuple[Sample, list[str]]:
    """Read labelled points as a sample of a map, whose classes and strata are counted.

    Args:
        path: The points.
        columns: Their columns.
        mapped: The map.
        drawn: How they were drawn.

    Returns:
        The sample, and notes that a reader of its figures needs.

    Raises:
        SampleError: The design isn't known; columns are missing; no point lies on a class of the
            map; a column gives other classes or strata than the rasters.
        ClassError: A class or a stratum that there isn't.
        VectorError: The points can't be read.
        GridError: The map has no CRS, or the strata lie on another grid.
        RasterError: A raster can't be read.
    """
    mapped = Path(mapped)
    if drawn.design is None:
        raise SampleError(
            "Areas and intervals follow from how units were drawn, got no design for "
            f"{path}; state `design` ({', '.join(KINDS)}) if they were drawn at random, else count "
            "them with `landshift evaluate MAP POINTS`."
        )
    box = raster.info(mapped).grid
    ground = grid.ground(box)
    read = points.read_points(path, columns, box, drawn.stratum_column)
    known = raster.map_classes(mapped, class_options.classes_of(drawn.classes), drawn.nodata)
    of_strata = None if drawn.strata is None else raster.map_classes(drawn.strata)
    population = Population(mapped, drawn.strata, drawn.design == "stratified", known=known)
    parts = drawing.survey(population)
    classes, names = drawing.named_parts(known, of_strata, parts, population)
    values, notes, read = _mapped(read, mapped, columns, classes, known)
    stratum = _stratum(read, drawn, population, of_strata, names, values)
    reference = points.classes_of(read.reference, classes, what="Reference classes", path=path)
    if read.places is None:
        rows = columns_ = np.full(len(read), -1)
        hectares = _mean_hectares(read, parts, stratum, values)
    else:
        rows, columns_ = read.places.T
        hectares = np.array(
            [float(ground.hectares(Window(r, c, 1, 1))[0, 0]) for r, c in read.places.tolist()]
        )
        notes += _shared_pixels(read)
    design = _design(mapped, drawn, parts, classes, _strata(parts, names, stratum))
    after = tuple(None if v is None else classes[v] for v in reference)
    before: tuple[None, ...] = (None,) * len(read)
    sample = Sample(design, read.numbers, stratum, values, hectares, rows, columns_, before, after)
    return sample, notes


def mapped_at(
    read: Points,
    mapped: Path,
    column: str | None,
    classes: Mapping[int, str],
    of_map: raster.ClassValues,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The map's class at each point, and where it has one.

    Args:
        read: The points.
        mapped: The map.
        column: Name of the points' column with the map's class.
        classes: Name of each class.
        of_map: Which values of the map are classes.

    Raises:
        SampleError: Neither coordinates nor a column of the map's classes; a column that gives
            other classes than the map.
        ClassError: A class that the map hasn't.
    """
    written = None
    if read.mapped is not None:
        codes = points.classes_of(
            read.mapped, dict(classes), what="The map's classes", path=read.path
        )
        written = np.array([-1 if v is None else v for v in codes], np.int64)
        known = np.array([v is not None for v in codes])
    if read.places is None:
        if written is None:
            raise SampleError(
                "Points need coordinates, or a column with the map's class, got neither in "
                f"{read.path}; name `x_column` and `y_column`, or `map_column`."
            )
        return written, known
    values, here = points.values_at(mapped, read.places, of_map)
    if written is not None:
        _check_same(
            read, known & here & (written != values), "class of the map", column or "",
            "give the map that the sample is of, or leave the column out",
        )  # fmt: skip
    return values, here


def _mapped(
    read: Points,
    mapped: Path,
    columns: PointColumns,
    classes: Mapping[int, str],
    known: raster.ClassValues,
) -> tuple[NDArray[np.int64], list[str], Points]:
    """The map's class at each point that has one, a note on the others, and these points."""
    values, here = mapped_at(read, mapped, columns.map_column, classes, known)
    if here.all():
        return values, [], read
    where = (
        "has no class in the map"
        if read.places is None
        else "lies outside the map or where it has no class"
    )
    if not here.any():
        raise SampleError(
            f"Points must lie on classes of the map, got none that do of {len(read):,} in "
            f"{read.path}; check their CRS and columns."
        )
    note = (
        f"{(~here).sum():,} of {len(read):,} points were left out: each {where} "
        f"({read.named(~here)})."
    )
    return values[here], [note], read.take(here)


def _stratum(
    read: Points,
    drawn: PointDesign,
    population: Population,
    of_strata: raster.ClassValues | None,
    names: Mapping[int, str],
    mapped: NDArray[np.int64],
) -> NDArray[np.int64]:
    """The stratum of each point, from the rasters, else from its column."""
    if not population.stratified:
        return np.full(len(read), drawing.WHOLE)
    written = _written_strata(read, names)
    if population.strata is None or of_strata is None:
        stratum = mapped
    elif read.places is not None:
        stratum, _ = points.values_at(population.strata, read.places, of_strata)
    elif written is not None:
        return written
    else:
        raise SampleError(
            f"Without coordinates the strata need a column, got none in {read.path}; name "
            "`stratum_column`."
        )
    if written is not None:
        _check_same(
            read, written != stratum, "stratum", drawn.stratum_column or "",
            "give the raster of strata that the sample was drawn from (`strata`)",
        )  # fmt: skip
    return stratum


def _written_strata(read: Points, names: Mapping[int, str]) -> NDArray[np.int64] | None:
    """The stratum of each point by its column; None without one."""
    if read.stratum is None:
        return None
    codes = points.classes_of(read.stratum, dict(names), what="Strata", path=read.path)
    empty = np.array([v is None for v in codes])
    if empty.any():
        raise SampleError(
            f"Every point must have a stratum, got none for {read.named(empty)} in "
            f"{read.path}; fill the column."
        )
    return np.array(codes, np.int64)


def _mean_hectares(
    read: Points,
    parts: Sequence[PopulationPart],
    stratum: NDArray[np.int64],
    mapped: NDArray[np.int64],
) -> NDArray[np.float64]:
    """The mean area of a unit with each point's stratum and class."""
    hectares = {(p.stratum, p.mapped): p.hectares / p.units for p in parts}
    pairs = list(zip(stratum.tolist(), mapped.tolist(), strict=True))
    bare = np.array([pair not in hectares for pair in pairs])
    if bare.any():
        raise SampleError(
            f"Points must have a class and a stratum that meet on the map, got none such for "
            f"{read.named(bare)} in {read.path}; give the map and the strata that it is of."
        )
    return np.array([hectares[pair] for pair in pairs])


def _strata(
    parts: Sequence[PopulationPart], names: Mapping[int, str], stratum: NDArray[np.int64]
) -> tuple[Stratum, ...]:
    strata = []
    for value in sorted({p.stratum for p in parts}):
        members = [p for p in parts if p.stratum == value]
        units, hectares = sum(p.units for p in members), sum(p.hectares for p in members)
        strata.append(Stratum(value, names[value], units, hectares, int((stratum == value).sum())))
    return tuple(strata)


def _design(
    mapped: Path,
    drawn: PointDesign,
    parts: tuple[PopulationPart, ...],
    classes: dict[int, str],
    strata: tuple[Stratum, ...],
) -> Design:
    assert drawn.design is not None, "the caller has checked it"
    names = tuple(classes.values())
    return Design(
        map_name=mapped.name, map_digest=provenance.digest(containers.file_of(mapped)),
        kind=drawn.design, allocation=None, seed=0, unit_size=1,
        strata_name=None if drawn.strata is None else Path(drawn.strata).name,
        classes=classes, strata=strata, parts=parts, response=Response("class", names, names),
    )  # fmt: skip


def _check_same(
    read: Points, other: NDArray[np.bool_], what: str, column: str, advice: str
) -> None:
    if other.any():
        raise SampleError(
            f"The {what} of each point must be that of the raster, got another one in the column "
            f"{column!r} for {other.sum():,} of {len(read):,} points ({read.named(other)}); "
            f"{advice}."
        )


def _shared_pixels(read: Points) -> list[str]:
    """A note on points that share a pixel."""
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
