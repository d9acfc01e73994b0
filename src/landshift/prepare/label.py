"""Two class maps -> a change map, and the table of transitions."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from landshift import grid, raster
from landshift.classes import (
    UNLABELLED,
    ClassScheme,
    Coding,
    check_names,
    class_options,
    legend,
    legend_writers,
)
from landshift.files import kinds, options, provenance
from landshift.files import whole as whole_files
from landshift.maps.transitions import TransitionTable
from landshift.prepare.map_reading import MapReading, MapStack
from landshift.prepare.pairs import CleanedPairs, PairBlock
from landshift.prepare.rules import Cleaning, Filters, PairRules
from landshift.prepare.weighting import MapWeights, Weighting
from landshift.raster import recoding
from landshift.raster.recoding import Coded

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

__all__ = ["Cleaning", "Filters", "MapReading", "TransitionTable", "Weighting", "label"]

logger = logging.getLogger(__name__)

MUCH = 0.5
"""Share of changed pixels above which two class maps hardly differ by change alone.

Maps of one place differ by 9 to 14 % from year to year, errors included, by 35 % in ten years and
37 % in sixteen (class maps of Mato Grosso and Pucallpa)."""

SUDDEN, SUDDEN_A_YEAR = 0.2, 0.2
"""The same for maps whose dates are known: a share above the first that is also above the second
for each year between them."""


def label(
    before: options.FilePath,
    after: options.FilePath,
    out: options.OutFile,
    *,
    classes: class_options.ClassesLike = None,
    table: options.FilePath | None = None,
    class_table: options.FilePath | None = None,
    bounds: options.Bounds | None = None,
    coding: Coding = "to",
    dates: options.Dates = None,
    reading: Annotated[MapReading, options.GROUP] = MapReading(),  # noqa: B008
    filters: Annotated[Filters, options.GROUP] = Filters(),  # noqa: B008
    cleaning: Annotated[Cleaning, options.GROUP] = Cleaning(),  # noqa: B008
    weighting: Annotated[Weighting, options.GROUP] = Weighting(),  # noqa: B008
    overwrite: options.Flag = False,
) -> TransitionTable:
    """Compare two class maps: a change map, and the table of transitions.

    The steps, in this order: each map is read on the grid of the first, recoded to one scheme, and
    smoothed; forbidden transitions become nodata; changes that other maps don't confirm are
    removed; so are changes in patches that are too small; then the filter decides what the map
    keeps. The table counts the pixels after the cleaning, whatever the filter.

    Beside the map lie .aux.xml (category names and an attribute table, for GDAL and QGIS),
    .vat.dbf (the attribute table for ArcGIS) and .qml (the style for QGIS).

    Args:
        before: Class map of the first date; whole numbers, one band.
        after: Class map of the second date.
        out: The change map to write; 0 where either map has no class.
        classes: The classes of both maps; a file: CSV value,name, JSON, .clr, .qml, .vat.dbf and
            others. Left out: names and colours that the maps or their sidecars carry, else the
            values found. A value 0 named 'nodata', 'unclassified' or the like is no class. Classes
            whose value isn't 1 to 253 get the lowest free ones.
        table: Write the transition table as CSV here.
        class_table: Write gain, loss, net change and swap per class as CSV here.
        bounds: Left, bottom, right, top in the CRS of the first map. Smoothing looks over them,
            patches end at them.
        coding: The meaning of the codes. to: the value of the later class where the class differs,
            the largest class value plus one where it doesn't. from-to: a code for each
            transition. binary: 1 change, 2 no change.
        dates: What time the two maps are of: YYYY, YYYY-MM, YYYY-MM-DD or FROM/TO, or '-' as the
            file states; left out: as the files state, in tags or names.
        overwrite: Replace what is there already under the same name.

    Raises:
        GridError: The maps' grids or CRS differ and `resampling` is left out; no overlap.
        DateError: Before is later than after, where the files state it.
        ClassError: A value outside the scheme or the recoding; no integers; an unknown class.
        ParameterError: An option out of its range, or two that contradict each other.
        RasterError: A map can't be read.
        OutputError: The change map can't be written.
    """
    before, after, out = Path(before), Path(after), Path(out)
    earlier = [before, *map(Path, cleaning.agree_before)]
    later = [after, *map(Path, cleaning.agree_after)]
    given = map(class_options.file_of, (classes, reading.recode_before, reading.recode_after))
    inputs = [*earlier, *later, *given, *weighting.files]
    kinds.TABLE.check(table, class_table)
    kinds.RASTER.check(weighting.weights)
    outputs = (out, table, class_table, weighting.weights)
    whole_files.check_new(*outputs, inputs=inputs, overwrite=overwrite)
    for each in filter(None, (out, weighting.weights)):
        raster.check_new(each, inputs=inputs, overwrite=overwrite)
    options.check_choice("coding", coding, Coding)
    scheme = class_options.classes_of(classes)
    forbidden = [
        class_options.parse_transition(f) if isinstance(f, str) else f for f in filters.forbidden
    ]
    first, second = _check_dates(earlier, later, dates)
    area = grid.area_of(first.grid, bounds)
    box = grid.window_geobox(first.grid, area)
    # a smallest area needs a CRS; `ground` raises without one
    ground = grid.known_ground(box) if cleaning.min_hectares is None else grid.ground(box)
    maps = MapStack(earlier, later, first.grid, reading, scheme)
    coded, by_name = _classes(scheme, maps, out, coding)
    targets = [coded.targets(*each) for each in zip(maps.recodings, by_name, strict=True)]
    rules = PairRules(coded, coding, filters, forbidden, cleaning.unconfirmed)
    sure = None
    if weighting.weights is not None:
        of_dates = (len(earlier), len(later))
        sure = MapWeights(weighting, coded, of_dates, first.grid, reading.resampling)
    parameters = {
        "bounds": bounds, "coding": coding, "dates": None if dates is None else list(dates),
        **_options(reading, filters, cleaning), "recode_before": maps.recodings[0],
        "recode_after": maps.recodings[-1], "forbidden": [list(f) for f in forbidden],
        "moved": {str(old): new for old, new in coded.moved.items()},
        "by_name": [{str(old): new for old, new in each.items()} for each in by_name],
    }  # fmt: skip
    # so that `tiles` finds the maps, and knows what their values mean
    record = provenance.record("label", maps.paths, parameters, beside=out)
    record["map_classes"] = coded.scheme.as_list()
    counts = _PairCounts(rules, ground)
    with (
        raster.create(
            out, box, count=1, dtype=rules.change.dtype, nodata=UNLABELLED, bands=["change"],
            tags=provenance.as_tag(record), scheme=rules.change,
        ) as target,
        _weights_raster(weighting, maps, parameters, box) as weights,
        CleanedPairs(maps, targets, rules, cleaning, area, ground, sure).blocks() as blocks,
    ):  # fmt: skip
        for block, pairs in blocks:
            counts.add(pairs)
            raster.write(target, pairs.codes[np.newaxis], block.window)
            if weights is not None and pairs.weights is not None:
                raster.write(weights, pairs.weights[np.newaxis], block.window)
        counts.check_names(coded, f"{before} and {after}")
    files = tuple(Path(p) for p in (table, class_table, weighting.weights, out) if p is not None)
    transitions = counts.table(files)
    _warn_of_much(transitions.changed, first, second)
    legend_writers.write_attributes(out, rules.change, counts.columns())
    if table is not None:
        transitions.write_csv(table, overwrite=overwrite)
    if class_table is not None:
        transitions.write_class_csv(class_table, overwrite=overwrite)
    return transitions


def _weights_raster(
    weighting: Weighting, maps: MapStack, parameters: dict[str, Any], box: GeoBox
) -> AbstractContextManager[raster.NewRaster | None]:
    """The raster of the weights, open for writing; None where none is asked for."""
    path = weighting.weights
    if path is None:
        return nullcontext()
    inputs = [*maps.paths, *weighting.files]
    record = provenance.record("label", inputs, parameters | weighting.as_json(), beside=path)
    return raster.create(
        path, box, count=1, dtype="float32", nodata=None, bands=["weight"],
        tags=provenance.as_tag(record),
    )  # fmt: skip


def _check_dates(
    earlier: Sequence[Path], later: Sequence[Path], dates: options.Dates
) -> tuple[raster.RasterInfo, raster.RasterInfo]:
    """Check that the maps of the first date come before those of the second; metadata of both.

    Raises:
        DateError: They don't.
    """
    first, second = raster.infos_in_order(earlier[0], later[0], dates)
    if dates is None:
        for path in earlier:
            raster.check_order(raster.info(path), second)
        for path in later:
            raster.check_order(first, raster.info(path))
    return first, second


def _warn_of_much(share: float, first: raster.RasterInfo, second: raster.RasterInfo) -> None:
    """Warn if more ground changed than land cover does."""
    sudden, between = False, ""
    if first.taken is not None and second.taken is not None:
        years = first.taken.years_to(second.taken)
        sudden = share > max(SUDDEN, SUDDEN_A_YEAR * years)
        between = f" between {first.taken} and {second.taken}"
    if sudden or share > MUCH:
        logger.warning(
            "%.0f %% of the pixels changed class%s, which is more than land cover does: check that "
            "both maps show one season without clouds, and that their classes mean the same "
            "(landshift view IMAGE --map %s --reference %s -o FILE.png shows them side by side).",
            100 * share, between, first.path, second.path,
        )  # fmt: skip


def _classes(
    scheme: ClassScheme | None, maps: MapStack, out: Path, coding: Coding
) -> tuple[Coded, list[Mapping[int, int]]]:
    """The classes with values that the map can hold; what each map's values become by name."""
    by_name: list[Mapping[int, int]] = [{} for _ in maps.paths]
    if scheme is None:
        scheme, by_name = maps.find_classes()
    coded = recoding.coded(scheme)
    if coded.moved and coding == "to":
        logger.warning(
            "%s: classes whose value the map can't hold have another one there: %s.",
            out, coded.line(),
        )  # fmt: skip
    for path, each in zip(maps.paths, maps.recodings, strict=True):
        if each is not None:
            recoding.warn_of_zero(each, coded, raster.info(path).nodata, path)
    return coded, by_name


def _options(reading: MapReading, filters: Filters, cleaning: Cleaning) -> dict[str, Any]:
    """The options that the provenance states as they are; maps that confirm by their number."""
    stated = {**asdict(reading), **asdict(filters), **asdict(cleaning)}
    return stated | {
        "from": list(stated.pop("from_classes")),
        "to": list(stated.pop("to_classes")),
        "agree_before": len(cleaning.agree_before),
        "agree_after": len(cleaning.agree_after),
    }


class _PairCounts:
    """Pixels and areas of each pair of classes, gathered block by block."""

    def __init__(self, rules: PairRules, ground: grid.Ground | None) -> None:
        self._rules = rules
        self._pixels = np.zeros(rules.size, np.int64)
        self._hectares = None if ground is None else np.zeros(rules.size)
        self._removed = 0

    def add(self, block: PairBlock) -> None:
        """Count a block."""
        self._removed += block.removed
        self._pixels += block.pixels
        if self._hectares is not None and block.hectares is not None:
            self._hectares += block.hectares

    def check_names(self, coded: Coded, where: str) -> None:
        """Check that the classes that occur have names; see `classes.check_names`."""
        pixels = self._rules.by_classes(self._pixels)
        occurring = np.flatnonzero(pixels.sum(axis=0) + pixels.sum(axis=1))
        names = self._rules.scheme.names
        check_names({coded.sources[k]: names[k] for k in occurring}, where)

    def table(self, files: tuple[Path, ...]) -> TransitionTable:
        """The table of transitions."""
        rules = self._rules
        without_class = int(self._pixels[~rules.classed].sum())
        dropped = rules.classed & ~rules.kept & ~rules.forbidden
        return TransitionTable(
            rules.scheme,
            rules.by_classes(self._pixels),
            None if self._hectares is None else rules.by_classes(self._hectares),
            without_class - self._removed if rules.removed_are_nodata else without_class,
            forbidden={
                rules.names(int(p)): int(self._pixels[p]) for p in np.flatnonzero(rules.forbidden)
            },
            filtered=int(self._pixels[dropped].sum()),
            removed=self._removed,
            files=files,
        )

    def columns(self) -> list[legend.AttributeColumn]:
        """The columns of the attribute table, by code: count, from, to, hectares."""
        change = self._rules.change
        codes = self._rules.map_code.astype(np.int64)
        most = change.values[-1] + 1
        counts = np.bincount(codes, self._pixels, most)
        ends = [change.ends[v] for v in change.values]
        columns = [
            legend.AttributeColumn("Count", [int(counts[v]) for v in change.values]),
            legend.AttributeColumn("From", [e[0] for e in ends]),
            legend.AttributeColumn("To", [e[1] for e in ends]),
        ]
        if self._hectares is not None:
            areas = np.bincount(codes, self._hectares, most)
            columns.append(
                legend.AttributeColumn(
                    "Hectares", [round(float(areas[v]), 6) for v in change.values]
                )
            )
        return columns
