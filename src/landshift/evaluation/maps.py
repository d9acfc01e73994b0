"""Scores of class maps and of per-pixel rules against a reference raster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift import grid, raster
from landshift.classes import (
    CODINGS,
    IGNORE_INDEX,
    UNLABELLED,
    BinaryScheme,
    ChangeScheme,
    ClassScheme,
    FromToScheme,
    MapScheme,
    same_name,
)
from landshift.errors import ClassError, ParameterError, listed
from landshift.evaluation.evaluation import Evaluation
from landshift.grid import Window
from landshift.raster import blockwise, recoding
from landshift.raster.recoding import Coded, Recoding
from landshift.scores import confusion
from landshift.scores.confusion import Matrix
from landshift.spec import InputSpec

if TYPE_CHECKING:
    from landshift.evaluation import baselines

_AGREE = "state what the values mean in both (`classes`), or recode those of the map (`recode`)"

Bounds = tuple[float, float, float, float]
CodingScheme = ChangeScheme | FromToScheme | BinaryScheme

Judged = Callable[[Window], NDArray[np.uint8]]
"""Indices of the classes of what is judged in a window, `IGNORE_INDEX` where there is none."""


def evaluate_map(
    mapped: Path,
    reference: Path,
    *,
    scheme: ClassScheme | None = None,
    recode: Recoding | None = None,
    nodata: float | None = None,
    bounds: Bounds | None = None,
) -> Evaluation:
    """Compare a class map with a reference on the same grid, over labelled pixels.

    Args:
        mapped: The map.
        reference: The reference; pixels without a class never count (see
            `raster.class_values`).
        scheme: The classes of both, by their values; None: as the reference states, else the map.
            Where both name their classes, names decide: a class that has another value in the
            map than in the reference is recoded.
        recode: What each value of the map becomes: a value or the name of a class of the
            reference, or None for no class. None: values, or names, are those of the reference.
        nodata: A value without a class in both, beside what the files state.
        bounds: Left, bottom, right, top of the part to compare; None for all.

    Raises:
        GridError: The grids or CRS differ.
        ClassError: Neither file states its classes and none are given; a value that map and
            reference name differently; a value outside them; no labelled pixel.
        RasterError: A file can't be read.
    """
    _check_grids({"map": mapped, "reference": reference})
    classes, numbers = _map_and_reference(mapped, reference, scheme, recode, nodata)
    for path, own in ((mapped, numbers), (reference, _numbers(classes))):
        raster.warn_of_unstated(_class_values(path, own, nodata))

    @contextmanager
    def judged() -> Iterator[Judged]:
        with _ClassRaster.opened(mapped, numbers, nodata) as source:
            yield source.indices

    matrix = _over_raster(reference, classes, judged, nodata, bounds, "compare map")
    return Evaluation(classes.scheme, matrix)


def evaluate_class_maps(
    before: Path,
    after: Path,
    reference: Path,
    *,
    classes: ClassScheme | None = None,
    nodata: float | None = None,
    coding: str | None = None,
    bounds: Bounds | None = None,
) -> Evaluation:
    """Score the change between two class maps, each made by itself, against a reference.

    This is post-classification comparison: the two maps are coded as `landshift.label` codes them,
    so each error of either map becomes a false change.

    Args:
        before: Class map of the first date.
        after: Class map of the second date.
        reference: Change map; pixels without a class never count.
        classes: The classes of the two class maps; None: as the files state.
        nodata: A value without a class in all of them, beside what the files state.
        coding: How the reference is coded, a key of `landshift.classes.CODINGS`; None: as its
            classes show.
        bounds: Left, bottom, right, top of the part to compare; None for all.

    Raises:
        GridError: The grids or CRS differ.
        ClassError: The classes aren't known, or the reference's don't follow from them; a value
            outside them; no labelled pixel.
        ParameterError: An unknown coding.
        RasterError: A file can't be read.
    """
    _check_grids({"map of before": before, "map of after": after, "reference": reference})
    by_name: Sequence[Mapping[int, int]] = [{}, {}]
    if classes is None:
        classes, by_name = _classes_of([before, after], nodata)
    coded = recoding.coded(classes)
    scheme = _change_scheme(coded.scheme, reference, coding)
    of_changes = recoding.as_filed(scheme)
    numbers = [_numbers(coded, by_name=own) for own in by_name]
    for path, own in zip((before, after, reference), (*numbers, _numbers(of_changes)), strict=True):
        raster.warn_of_unstated(_class_values(path, own, nodata))
    values = np.full(IGNORE_INDEX + 1, UNLABELLED, np.uint8)
    values[: len(coded.scheme)] = coded.scheme.values

    @contextmanager
    def judged() -> Iterator[Judged]:
        with (
            _ClassRaster.opened(before, numbers[0], nodata) as first,
            _ClassRaster.opened(after, numbers[1], nodata) as second,
        ):

            def read(at: Window) -> NDArray[np.uint8]:
                codes = scheme.code(values[first.indices(at)], values[second.indices(at)])
                return scheme.to_indices(codes)

            yield read

    matrix = _over_raster(reference, of_changes, judged, nodata, bounds, "compare class maps")
    return Evaluation(scheme, matrix)


def evaluate_rules(
    rules: Mapping[str, baselines.Rule],
    spec: InputSpec,
    image: Path,
    reference: Path,
    *,
    scheme: ClassScheme,
    nodata: float | None = None,
    bounds: Bounds | None = None,
) -> dict[str, Evaluation]:
    """Scores of per-pixel rules over an image, against a reference on its grid.

    Args:
        rules: As `landshift.evaluation.baselines.fit` gives them.
        spec: Input of the rules: bands, and which pixels are valid.
        image: The image; where it isn't valid, the rules give no class.
        reference: The reference; pixels without a class never count.
        scheme: The classes that the rules were fitted on.
        nodata: A value of the reference without a class, beside what the file states.
        bounds: Left, bottom, right, top of the part to compare; None for all.

    Raises:
        GridError: The grids or CRS differ.
        BandError: The image lacks a band.
        ClassError: A value of the reference outside the classes; no labelled pixel.
        RasterError: A file can't be read.
    """
    _check_grids({"image": image, "reference": reference})
    bands = raster.pick_bands(raster.info(image), spec.bands)
    classes = recoding.as_filed(scheme)

    @contextmanager
    def judged(rule: baselines.Rule) -> Iterator[Judged]:
        with raster.open_raster(image) as source:

            def read(at: Window) -> NDArray[np.uint8]:
                values, mask = raster.read(source, at, bands)
                return np.where(mask, rule(spec.fill(values, mask)), np.uint8(IGNORE_INDEX))

            yield read

    evaluations = {}
    for name, rule in rules.items():
        opened = partial(judged, rule)
        matrix = _over_raster(reference, classes, opened, nodata, bounds, f"apply {name}")
        evaluations[name] = Evaluation(classes.scheme, matrix)
    return evaluations


def _over_raster(
    reference: Path,
    classes: Coded,
    judged: Callable[[], AbstractContextManager[Judged]],
    nodata: float | None,
    bounds: Bounds | None,
    what: str,
) -> Matrix:
    """The confusion of a reference with what is judged, block by block.

    Args:
        reference: The reference.
        classes: Its classes.
        judged: Opens what is judged, for one thread.
        nodata: A value of the reference without a class, beside what the file states.
        bounds: Left, bottom, right, top of the part to compare; None for all.
        what: Name of the work in progress reports.
    """
    info = raster.info(reference)
    area = grid.area_of(info.grid, bounds)
    n = len(classes.scheme)
    matrix = np.zeros((n, n + 1), np.int64)
    numbers = _numbers(classes)

    @contextmanager
    def opened() -> Iterator[tuple[_ClassRaster, Judged]]:
        with _ClassRaster.opened(reference, numbers, nodata) as truth, judged() as read:
            yield truth, read

    def counted(sources: tuple[_ClassRaster, Judged], block: blockwise.Block) -> Matrix | None:
        truth, read = sources
        at = block.window.shifted(area.row, area.column)
        indices = truth.indices(at)
        if (indices == IGNORE_INDEX).all():
            return None
        return confusion.count(indices, read(at), n)

    windows = list(raster.blocks(area.height, area.width))
    with blockwise.results(windows, what, opened, counted) as results:
        for _, part in results:
            if part is not None:
                matrix += part
    if not matrix.any():
        raise ClassError(
            f"The reference must hold labelled pixels, got none in {reference}"
            f"{'' if bounds is None else ' within the bounds'}."
        )
    return matrix


def _check_grids(rasters: Mapping[str, Path]) -> None:
    """Check that rasters, by their role, lie on the grid of the first."""
    (first, path), *others = rasters.items()
    box = raster.info(path).grid
    for name, other in others:
        what = f"{first.capitalize()} and {name}"
        grid.check_same(box, raster.info(other).grid, what=what, names=(first, name))


def _map_and_reference(
    mapped: Path,
    reference: Path,
    scheme: ClassScheme | None,
    recode: Recoding | None,
    nodata: float | None,
) -> tuple[Coded, dict[int, int]]:
    """The classes of a map and its reference, and the index of each value of the map.

    The classes are those given, else those that the reference states, else the map.
    """
    by_name: Mapping[int, int] = {}
    if scheme is None:
        stated = [raster.scheme_of(path, nodata=nodata) for path in (reference, mapped)]
        scheme = stated[0] or stated[1]
        if scheme is None:
            raise ClassError(
                f"The classes must be known, got none in {reference} or {mapped}; give a class "
                "mapping."
            )
        if recode is None and not _agree(stated):
            one = recoding.united_files([reference, mapped], _AGREE, nodata=nodata)
            more = {v: one.legend.names.get(v, f"class {v}") for v in one.values}
            scheme = MapScheme.from_mapping(more | scheme.mapping, one.legend.colours)
            by_name = one.recodings[1]
    classes = recoding.as_filed(scheme)
    if recode is not None:
        declared = raster.info(mapped).nodata
        recoding.warn_of_nodata(recode, declared, mapped)
        recoding.warn_of_zero(recode, classes, declared, mapped)
    return classes, _numbers(classes, recode, by_name)


def _classes_of(
    maps: Sequence[Path], nodata: float | None
) -> tuple[ClassScheme, Sequence[Mapping[int, int]]]:
    """The classes of class maps, and of each map the values that another one gives the class."""
    if not any(raster.scheme_of(path, nodata=nodata) for path in maps):
        raise ClassError(
            f"The class maps must state their classes, got none in {' or '.join(map(str, maps))}; "
            "give a class mapping."
        )
    one = recoding.united_files(
        maps,
        "state what the values mean in all of them (`classes`), or recode them with `landshift "
        "label` first (--recode-before, --recode-after)",
        nodata=nodata,
    )
    return recoding.scheme_from(one.legend, one.values, ()), one.recodings


def _agree(schemes: Sequence[ClassScheme | None]) -> bool:
    """Whether all schemes give the same names to the same values."""
    pairs = {(c.value, same_name(c.name)) for scheme in schemes for c in scheme or ()}
    return len(pairs) == len({v for v, _ in pairs}) == len({n for _, n in pairs})


def _numbers(
    classes: Coded, recode: Recoding | None = None, by_name: Mapping[int, int] | None = None
) -> dict[int, int]:
    """Index of the class of each value of a raster, `IGNORE_INDEX` for none."""
    classes.scheme.check_count()
    targets = classes.targets(recode, by_name)
    return {value: IGNORE_INDEX if k is None else k for value, k in targets.items()}


def _change_scheme(classes: ClassScheme, reference: Path, coding: str | None) -> CodingScheme:
    """The scheme that codes two class maps as a reference is coded."""
    if coding is not None:
        if coding not in CODINGS:
            raise ParameterError(f"`coding` must be one of {', '.join(CODINGS)}, got {coding!r}.")
        return CODINGS[coding](classes)
    stated = raster.scheme_of(reference)
    if stated is not None:
        for scheme in (make(classes) for make in CODINGS.values()):
            if scheme.mapping == stated.mapping:
                return scheme
    raise ClassError(
        "The reference must be a change map of the class maps' classes, coded 'to', 'from-to' or "
        f"'binary', got {_first_names(stated)} in {reference} for {_first_names(classes)}; "
        "make it with landshift label, name the classes as there, or state its `coding`."
    )


def _first_names(scheme: ClassScheme | None) -> str:
    if scheme is None:
        return "none"
    names = [f"{c.value} {c.name!r}" for c in scheme]
    return listed(names, 3)


def _class_values(
    path: Path, numbers: Mapping[int, int], nodata: float | None
) -> raster.ClassValues:
    names = {value: f"class {value}" for value in numbers}
    with raster.open_raster(path) as source:
        raster.check_one_band(source)
        return raster.class_values(source, names=names, nodata=nodata)


@dataclass(frozen=True)
class _ClassRaster:
    """An open class raster whose classes are listed."""

    source: Any
    known: raster.ClassValues
    table: recoding.Table

    @classmethod
    @contextmanager
    def opened(
        cls,
        path: Path,
        numbers: Mapping[int, int],
        nodata: float | None,
    ) -> Iterator[_ClassRaster]:
        """Open a raster to read it as indices of classes.

        Args:
            path: The raster.
            numbers: Index of the class of each value, `IGNORE_INDEX` for none.
            nodata: A value without a class, beside what the file states.
        """
        known = _class_values(path, numbers, nodata)
        with raster.open_raster(path) as source:
            table = recoding.Table(numbers, np.dtype(source.dtypes[0]))
            yield cls(source, known, table)

    def indices(self, window: Window) -> NDArray[np.uint8]:
        """Indices of the classes of a window, `IGNORE_INDEX` where there is none.

        Raises:
            ClassError: A value outside the classes.
        """
        values, mask = raster.read(self.source, window)
        classed = self.known.classed(values[0], mask)
        return self.table.indices(values[0], classed, self.source.name)
