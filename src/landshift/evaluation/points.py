"""Scores of a map at labelled points: scores of the points, not of the area."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from landshift import raster
from landshift.assess import others
from landshift.assess.points import PointColumns, Points, classes_of, read_points, values_at
from landshift.classes import IGNORE_INDEX, ClassScheme, MapScheme
from landshift.errors import SampleError
from landshift.evaluation.evaluation import Evaluation
from landshift.raster import recoding
from landshift.scores import confusion


def evaluate_points(
    mapped: Path,
    path: Path,
    columns: PointColumns,
    *,
    scheme: ClassScheme | None = None,
    nodata: float | None = None,
) -> Evaluation:
    """Count how many points a class map gets right: scores of the points, not of the area.

    Args:
        mapped: The map.
        path: The labelled points.
        columns: Their columns.
        scheme: The classes; None: as the map states, else by value.
        nodata: A value of the map without a class, beside what its file states.

    Returns:
        The evaluation, with notes that a reader of its scores needs.

    Raises:
        SampleError: A column is missing; no coordinates; no point that is labelled lies on the map.
        ClassError: A class that there isn't.
        VectorError: The points can't be read.
        RasterError: The map can't be read.
    """
    shape = raster.info(mapped).grid.shape
    read = read_points(path, columns, raster.info(mapped).grid)
    of_map = raster.map_classes(mapped, scheme, nodata)
    scheme = _scheme(mapped, read, of_map, scheme, nodata)
    names = {} if scheme is None else scheme.mapping
    values, here = others.mapped_at(read, mapped, columns.map_column, names, of_map)
    reference = classes_of(read.reference, names, what="Reference classes", path=path)
    labelled = np.array([v is not None for v in reference])
    inside = np.ones(len(read), np.bool_)
    if read.places is not None:
        inside = np.all((read.places >= 0) & (read.places < np.array(shape)), axis=1)
    used = labelled & inside
    if scheme is None or not (used & here).any():
        raise SampleError(
            f"Labelled points must lie on classes of the map, got none that do of {len(read):,} in "
            f"{path}; check their CRS and columns."
        )
    place = {v: k for k, v in enumerate(scheme.mapping)}
    truth = np.array([IGNORE_INDEX if v is None else place[v] for v in reference], np.uint8)
    in_map = np.array(
        [place.get(int(v), IGNORE_INDEX) if classed else IGNORE_INDEX
         for v, classed in zip(values, here, strict=True)], np.uint8,
    )  # fmt: skip
    matrix = confusion.count(truth[used], in_map[used], len(scheme))
    notes = _notes(read, inside, labelled)
    return Evaluation(scheme, matrix, notes=tuple(notes), counted="points")


def _scheme(
    mapped: Path,
    read: Points,
    of_map: raster.ClassValues,
    scheme: ClassScheme | None,
    nodata: float | None,
) -> ClassScheme | None:
    """The classes: those given, else the map's, else the values at the points; None without any."""
    scheme = scheme or raster.scheme_of(mapped, nodata=nodata)
    if scheme is not None:
        return recoding.as_filed(scheme).scheme
    if read.places is None:
        return None
    present, here = values_at(mapped, read.places, of_map)
    names = {int(v): f"class {v}" for v in np.unique(present[here])}
    return MapScheme.from_mapping(names) if names else None


def _notes(read: Points, inside: NDArray[np.bool_], labelled: NDArray[np.bool_]) -> list[str]:
    notes = [
        f"{wrong.sum():,} of {len(read):,} points {what} ({read.named(wrong)}): they don't count."
        for wrong, what in ((~inside, "lie outside the map"), (~labelled, "have no label"))
        if wrong.any()
    ]
    counted = int((inside & labelled).sum())
    notes.append(
        f"Scores of {counted:,} points, each counted once, as they were chosen: no areas and no "
        "intervals follow. With a known design `landshift estimate` gives them."
    )
    return notes
