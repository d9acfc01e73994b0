"""Two class maps -> a change map, and the table of transitions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray

from landshift import grid, raster
from landshift.classes import (
    CODINGS,
    IGNORE_INDEX,
    UNLABELLED,
    ClassScheme,
    Coding,
    check_names,
    class_options,
    legend,
    legend_writers,
)
from landshift.errors import ClassError, ParameterError
from landshift.files import options, provenance
from landshift.files import whole as whole_files
from landshift.grid import Window
from landshift.images import overlay
from landshift.machine import parallel
from landshift.maps.cleaning import (
    Parts,
    check_kernel,
    check_neighbours,
    majority,
    parts_of,
    remove_small,
)
from landshift.maps.transitions import TransitionTable
from landshift.raster import recoding
from landshift.raster.recoding import Class, Coded, Recoding

__all__ = ["Cleaning", "Filters", "MapReading", "TransitionTable", "label", "parse_transition"]

logger = logging.getLogger(__name__)

Resampling = Literal["nearest", "mode"]
Keep = Literal["all", "changed", "unchanged"]
Unconfirmed = Literal["unchanged", "nodata"]

_NONE = IGNORE_INDEX
_BLOCK = 512  # rows and columns that a thread works on; as large as the blocks of most files
_LARGEST_WHOLE = 2.0**53  # above it a float64 holds no class for sure


@dataclass(frozen=True)
class MapReading:
    """How class maps are read."""

    recode_before: class_options.RecodingLike = None
    """What each value of the first map becomes, a value or the name of a class, or nothing for no
    class; a file: CSV value,new value or class name. Without classes, new names get the lowest
    free values."""
    recode_after: class_options.RecodingLike = None
    """The same for the second map."""
    resampling: Resampling | None = None
    """How a map on another grid than the first is resampled; left out, the grids must be one."""
    nodata: float | None = None
    """A value without a class in every map, beside what the files say."""

    def __post_init__(self) -> None:
        if self.resampling is not None:
            options.check_choice("resampling", self.resampling, Resampling)


@dataclass(frozen=True)
class Filters:
    """Which pixels a change map keeps; the others become 0, not labelled."""

    keep: Keep = "all"
    """Pixels that the map keeps. `keep` alone decides whether unchanged pixels stay."""
    from_classes: Annotated[class_options.Classes, Parameter(name="--from")] = ()
    """Keep changes from this class only, by name or value; can be repeated."""
    to_classes: Annotated[class_options.Classes, Parameter(name="--to")] = ()
    """Keep changes to this class only; can be repeated."""
    forbidden: Annotated[class_options.TransitionsLike, Parameter(name="--forbid")] = ()
    """A transition that can't be, 'urban->forest', or 'urban->*' for every other class; its pixels
    become 0 and are counted by themselves. Can be repeated."""

    def __post_init__(self) -> None:
        options.check_choice("keep", self.keep, Keep)
        if self.keep == "unchanged" and (self.from_classes or self.to_classes):
            raise ParameterError(
                "Lists of classes (`from_classes`, `to_classes`) choose among the changes, got "
                "them with `keep` 'unchanged'; leave one of the two out."
            )


@dataclass(frozen=True)
class Cleaning:
    """Which changes are taken away."""

    smooth: int | None = None
    """Each pixel of each map first gets the commonest class in a square of so many pixels: 3, 5,
    7, 9 or 11."""
    min_pixels: int | None = None
    """Changes in patches of fewer pixels are taken away. A patch is a set of connected pixels of
    one code of the change map."""
    min_hectares: float | None = None
    """The same by area."""
    neighbours: int = 8
    """Whether pixels of a patch connect over their sides only, 4, or corners too, 8."""
    agree_before: Sequence[Path] = ()
    """One more class map, recoded as the first: a change counts only where it has the earlier
    class. Can be repeated."""
    agree_after: Sequence[Path] = ()
    """One more class map, recoded as the second: a change counts only where it has the later
    class: it persists. Can be repeated."""
    unconfirmed: Unconfirmed = "unchanged"
    """What a change that is taken away becomes: unchanged, as if the pixel had kept its earlier
    class, or nodata."""

    def __post_init__(self) -> None:
        options.check_choice("unconfirmed", self.unconfirmed, Unconfirmed)
        if self.smooth is not None:
            check_kernel(self.smooth)
        check_neighbours(self.neighbours)
        if self.min_pixels is not None and self.min_hectares is not None:
            raise ParameterError(
                "The smallest patch must be given in pixels (`min_pixels`) or in hectares "
                "(`min_hectares`), got both; choose one."
            )
        if self.least is not None and not 0 < self.least < float("inf"):
            name = "min_pixels" if self.min_hectares is None else "min_hectares"
            raise ParameterError(f"`{name}` must be above 0, got {self.least}; leave it out.")

    @property
    def least(self) -> float | None:
        """The smallest patch, in pixels or hectares; None where every patch stays."""
        return self.min_pixels if self.min_hectares is None else self.min_hectares


def label(
    before: Path,
    after: Path,
    out: options.OutFile,
    *,
    classes: class_options.ClassesLike = None,
    table: Path | None = None,
    class_table: Path | None = None,
    bounds: options.Bounds | None = None,
    coding: Coding = "to",
    dates: options.Dates = None,
    reading: Annotated[MapReading, options.GROUP] = MapReading(),
    filters: Annotated[Filters, options.GROUP] = Filters(),
    cleaning: Annotated[Cleaning, options.GROUP] = Cleaning(),
    overwrite: options.Flag = False,
    on_block: options.OnBlock = None,
) -> TransitionTable:
    """Compare two class maps: a change map, and the table of transitions.

    What happens, in this order: each map is read on the grid of the first, recoded to one scheme,
    and smoothed; forbidden transitions become nodata; changes that other maps don't confirm are
    taken away; so are changes in patches that are too small; then the filter says what the map
    keeps. The table counts what is left after the cleaning, filter or not.

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
        coding: What the codes tell. to: the value of the later class where the class differs, the
            largest class value plus one where it doesn't. from-to: a code for each transition.
            binary: 1 change, 2 no change.
        dates: What time the two maps are of: YYYY, YYYY-MM, YYYY-MM-DD or FROM/TO, or '-' as the
            file states; left out: as the files state, in tags or names.
        overwrite: Replace what is there already under the same name.

    Raises:
        GridError: The maps' grids or CRS differ and ``resampling`` is None; no overlap.
        DateError: Before is later than after, where the files tell.
        ClassError: A value outside the scheme or the recoding; no integers; an unknown class.
        ParameterError: An option out of its range, or two that contradict each other.
        RasterError: A map can't be read.
        OutputError: The change map can't be written.
    """
    before, after, out = Path(before), Path(after), Path(out)
    earlier = [before, *(Path(p) for p in cleaning.agree_before)]
    later = [after, *(Path(p) for p in cleaning.agree_after)]
    given = map(class_options.file_of, (classes, reading.recode_before, reading.recode_after))
    inputs = [*earlier, *later, *given]
    whole_files.check_new(out, table, class_table, inputs=inputs, overwrite=overwrite)
    raster.check_new(out, inputs=inputs, overwrite=overwrite)
    options.check_choice("coding", coding, Coding)
    scheme = class_options.classes_of(classes)
    recode_before = class_options.recoding_of(reading.recode_before)
    recode_after = class_options.recoding_of(reading.recode_after)
    forbidden = [parse_transition(f) if isinstance(f, str) else f for f in filters.forbidden]
    min_hectares, neighbours, least = cleaning.min_hectares, cleaning.neighbours, cleaning.least
    first, second = raster.infos_in_order(before, after, dates)
    if dates is None:
        for path in earlier:
            raster.check_order(raster.info(path), second)
        for path in later:
            raster.check_order(first, raster.info(path))
    whole = Window(0, 0, first.height, first.width)
    area = whole if bounds is None else grid.window_of_bounds(first.grid, bounds)
    box = grid.window_geobox(first.grid, area)
    # a smallest area needs a CRS, and the error says so
    ground = grid.known_ground(box) if min_hectares is None else grid.ground(box)
    windows = list(raster.blocks(area.height, area.width, _BLOCK))
    passes = 1 if least is None else 2
    recodings = [recode_before] * len(earlier) + [recode_after] * len(later)
    known = [
        _class_values(path, scheme, each, reading.nodata)
        for path, each in zip((*earlier, *later), recodings, strict=True)
    ]

    @contextmanager
    def opened() -> Iterator[list[_Read]]:
        with ExitStack() as stack:
            layers = [
                stack.enter_context(
                    overlay.on_grid(
                        path, first.grid, resampling=reading.resampling, nodata=reading.nodata,
                        names=("before", name),
                    )
                )
                for path, name in _with_roles(earlier, later)
            ]  # fmt: skip
            yield [_Read(layer, values) for layer, values in zip(layers, known, strict=True)]

    by_name: list[Mapping[int, int]] = [{} for _ in known]
    if scheme is None:
        scheme, by_name = _classes_found([*earlier, *later], opened, recodings)
    coded = recoding.coded(scheme)
    if coded.moved and coding == "to":
        logger.warning(
            "%s: classes whose value the map can't hold have another one there: %s.",
            out, coded.line(),
        )  # fmt: skip
    record = provenance.record(
        "label",
        [*earlier, *later],
        {
            "bounds": bounds, "coding": coding, "dates": None if dates is None else list(dates),
            **asdict(reading), "recode_before": recode_before, "recode_after": recode_after,
            **asdict(filters), "forbidden": [list(f) for f in forbidden],
            **asdict(cleaning), "agree_before": len(earlier) - 1, "agree_after": len(later) - 1,
            "moved": {str(old): new for old, new in coded.moved.items()},
            "by_name": [{str(old): new for old, new in each.items()} for each in by_name],
        },
    )  # fmt: skip
    targets = [coded.targets(each, names) for each, names in zip(recodings, by_name, strict=True)]
    for path, each in zip((*earlier, *later), recodings, strict=True):
        if each is not None:
            recoding.tell_zero(each, coded, raster.info(path).nodata, path)
    scheme = coded.scheme
    rules = _Rules(coded, coding, filters, forbidden, cleaning.unconfirmed)

    @contextmanager
    def paired() -> Iterator[_Pairs]:
        with opened() as reads:
            maps = [
                _ClassMap(each, _Recoder(each.layer, target), cleaning.smooth)
                for each, target in zip(reads, targets, strict=True)
            ]
            yield _Pairs(maps[: len(earlier)], maps[len(earlier) :], rules, area)

    def areas(window: Window) -> NDArray[np.float64]:
        if min_hectares is None or ground is None:
            return np.ones((1, 1))
        return ground.hectares(window)

    def patch_codes(pairs: _Pairs, window: Window) -> tuple[NDArray[Any], Parts]:
        codes = rules.patch_code[pairs.read(window).values]
        return codes, parts_of(codes, areas(window), neighbours)

    def told(done: int) -> None:
        if on_block is not None:
            on_block(done, passes * len(windows))

    is_small = None
    if least is not None:
        with parallel.in_order(windows, paired, patch_codes) as codes:
            is_small = remove_small(
                windows, codes, least=least, neighbours=neighbours, on_block=told
            )

    def cleaned(pairs: _Pairs, task: tuple[int, Window]) -> _Block:
        number, window = task
        found = pairs.read(window)
        if is_small is None:
            return found
        small = is_small(number, rules.patch_code[found.values], areas(window))
        found.values[small] = rules.taken_away[found.values[small]]
        return replace(found, removed=found.removed + int(small.sum()))

    n = len(scheme)
    pixels = np.zeros(n * n + 1, np.int64)
    hectares = np.zeros(n * n + 1)
    lost = np.zeros(n * n + 1, np.int64)
    nodata_pixels = removed = 0
    with (
        raster.create(
            out, box, count=1, dtype=rules.change.dtype, nodata=UNLABELLED, bands=["change"],
            tags=provenance.as_tag(record), scheme=rules.change,
        ) as target,
        parallel.in_order(list(enumerate(windows)), paired, cleaned) as blocks,
    ):  # fmt: skip
        for number, (window, found) in enumerate(zip(windows, blocks, strict=True)):
            pair = found.values
            nodata_pixels += found.nodata
            removed += found.removed
            lost += found.forbidden
            pixels += np.bincount(pair.ravel(), minlength=n * n + 1)
            if ground is not None:
                weights = ground.hectares(window).ravel()
                hectares += np.bincount(pair.ravel(), weights, n * n + 1)
            raster.write(target, rules.map_code[pair][np.newaxis], window)
            told((passes - 1) * len(windows) + number + 1)
        counts = pixels[:-1].reshape(n, n)
        occurring = np.flatnonzero(counts.sum(axis=0) + counts.sum(axis=1))
        names = {coded.sources[k]: scheme.names[k] for k in occurring}
        check_names(names, f"{before} and {after}")
    counted = TransitionTable(
        scheme,
        counts,
        None if ground is None else hectares[:-1].reshape(n, n),
        nodata_pixels,
        forbidden={rules.names(int(p)): int(lost[p]) for p in np.flatnonzero(rules.forbidden)},
        filtered=int(pixels[:-1][~rules.kept[:-1]].sum()),
        removed=removed,
        files=tuple(Path(p) for p in (table, class_table, out) if p is not None),
    )
    _write_attributes(out, rules, pixels, None if ground is None else hectares)
    if table is not None:
        counted.write_csv(table, overwrite=overwrite)
    if class_table is not None:
        counted.write_class_csv(class_table, overwrite=overwrite)
    return counted


def parse_transition(text: str) -> tuple[Class, Class]:
    """A transition written as ``forest->urban`` or ``1->2``; '*' stands for every other class.

    Raises:
        ParameterError: It is written otherwise.
    """
    parts = [p.strip() for p in text.split("->")]
    if len(parts) != 2 or not all(parts):
        raise ParameterError(
            f"A transition must be written 'from->to', got {text!r}; give names or values."
        )
    return parts[0], parts[1]


class _Rules:
    """What becomes of each pair of classes: tables by pair, ``i * n + j``; the last: no class."""

    def __init__(
        self,
        classes: Coded,
        coding: Coding,
        filters: Filters,
        forbidden: Sequence[tuple[Class, Class]],
        unconfirmed: Unconfirmed,
    ) -> None:
        scheme = self.scheme = classes.scheme
        n = len(scheme)
        self.change = CODINGS[coding](scheme)
        i, j = (k.ravel() for k in np.indices((n, n)))
        self.changed = np.append(i != j, False)
        self.forbidden = np.zeros(n * n + 1, np.bool_)
        for before, after in forbidden:
            at = [a * n + b for a in classes.find(before) for b in classes.find(after) if a != b]
            if not at:
                raise ParameterError(
                    f"A forbidden transition must be a change, got {before}->{after}; "
                    "choose unchanged pixels with `keep`."
                )
            self.forbidden[at] = True
        froms = {k for c in filters.from_classes for k in classes.find(c)} or set(range(n))
        tos = {k for c in filters.to_classes for k in classes.find(c)} or set(range(n))
        listed = np.append(np.isin(i, list(froms)) & np.isin(j, list(tos)), False) & self.changed
        stayed = np.append(i == j, False)
        self.kept = (listed & (filters.keep != "unchanged")) | (
            stayed & (filters.keep != "changed")
        )
        values = np.array(scheme.values)
        code = np.append(self.change.code(values[i], values[j]), 0).astype(self.change.dtype)
        self.map_code = np.where(self.kept, code, 0).astype(self.change.dtype)
        self.patch_code = np.where(listed, code, 0).astype(self.change.dtype)
        back = i * n + i if unconfirmed == "unchanged" else np.full(n * n, n * n)
        self.taken_away = np.append(back, n * n).astype(np.int32)

    def names(self, pair: int) -> tuple[str, str]:
        """Names of a pair's classes."""
        i, j = divmod(pair, len(self.scheme))
        return self.scheme.names[i], self.scheme.names[j]


class _Recoder:
    """Values of a class map as indices of classes.

    Args:
        layer: The map.
        targets: Index of each value, None for no class.
    """

    def __init__(self, layer: overlay.Layer, targets: Mapping[int, int | None]) -> None:
        self._path = layer.path
        self._targets = targets
        numbers = {v: _NONE if index is None else index for v, index in targets.items()}
        self._table = recoding.Table(numbers, layer.dtype)

    def indices(self, values: NDArray[Any], classed: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Indices of values, `_NONE` where there is no class.

        Raises:
            ClassError: A value without an index.
        """
        found = self._table(values)
        found[~classed] = _NONE
        unknown = found == recoding.UNKNOWN
        if unknown.any():
            raise ClassError(
                f"Class values must be in the class mapping {sorted(self._targets)[:16]}, got "
                f"{[int(v) for v in np.unique(values[unknown])[:8]]} in {self._path}; "
                "add them or recode them."
            )
        indices: NDArray[np.uint8] = found.astype(np.uint8)
        return indices


@dataclass(frozen=True)
class _ClassMap:
    """A class map as indices of classes, smoothed where asked for."""

    map: _Read
    recoder: _Recoder
    smooth: int | None

    def read(self, window: Window) -> NDArray[np.uint8]:
        halo = 0 if self.smooth is None else self.smooth // 2
        found = self.recoder.indices(*self.map.read(window.grown(halo)))
        if self.smooth is None:
            return found
        found = majority(found, self.smooth, _NONE)
        return found[halo : halo + window.height, halo : halo + window.width]


@dataclass(frozen=True)
class _Block:
    """Pairs of classes of a window, and what was taken out of them."""

    values: NDArray[np.int32]
    nodata: int
    removed: int
    forbidden: NDArray[np.int64]


@dataclass(frozen=True)
class _Pairs:
    """Pairs of classes of two dates, forbidden and unconfirmed ones taken out."""

    earlier: Sequence[_ClassMap]
    later: Sequence[_ClassMap]
    rules: _Rules
    area: Window

    def read(self, window: Window) -> _Block:
        at = window.shifted(self.area.row, self.area.column)
        n = len(self.rules.scheme)
        none = n * n
        i, j = self.earlier[0].read(at), self.later[0].read(at)
        classed = (i != _NONE) & (j != _NONE)
        pair = np.where(classed, i.astype(np.int32) * n + j, none).astype(np.int32)
        counts = np.zeros(none + 1, np.int64)
        lost = self.rules.forbidden[pair]
        if lost.any():
            counts = np.bincount(pair[lost], minlength=none + 1)
            pair[lost] = none
        removed = 0
        doubtful = np.zeros(pair.shape, np.bool_)
        for more, own in ((self.earlier[1:], i), (self.later[1:], j)):
            for class_map in more:
                doubtful |= class_map.read(at) != own
        doubtful &= self.rules.changed[pair]
        if doubtful.any():
            removed = int(doubtful.sum())
            pair[doubtful] = self.rules.taken_away[pair[doubtful]]
        return _Block(pair, int(classed.size - classed.sum()), removed, counts)


def _class_values(
    path: Path, scheme: ClassScheme | None, recode: Recoding | None, nodata: float | None
) -> raster.ClassValues:
    """Which values of a map are classes; a recoding or scheme lists them all."""
    names: Mapping[int, str] | None = None if scheme is None else scheme.mapping
    if recode is not None:
        names = {value: f"class {value}" for value in recode}
    with raster.open_raster(path) as source:
        raster.check_one_band(source)
        known = raster.class_values(source, names=names, nodata=nodata)
        if recode is not None:
            recoding.tell_nodata(recode, source.nodata, path)
    raster.tell_unstated(known)
    return known


def _with_roles(earlier: Sequence[Path], later: Sequence[Path]) -> list[tuple[Path, str]]:
    """The maps, and how an error names them."""
    return [
        *((p, "before" if k == 0 else str(p)) for k, p in enumerate(earlier)),
        *((p, "after" if k == 0 else str(p)) for k, p in enumerate(later)),
    ]


@dataclass(frozen=True)
class _Read:
    """A class map on the grid of the first."""

    layer: overlay.Layer
    known: raster.ClassValues

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Class values of a window, and where there are any."""
        values, mask = self.layer.read(window)
        classes: NDArray[Any] = np.where(mask, values[0], 0)
        if np.issubdtype(classes.dtype, np.floating):
            if ((classes != np.round(classes)) | (np.abs(classes) > _LARGEST_WHOLE)).any():
                raise ClassError(
                    "A class map must hold whole numbers, got fractions or numbers above 2^53 in "
                    f"{self.layer.path}; give class maps, not images."
                )
            classes = classes.astype(np.int64)
        return classes, self.known.classed(classes, mask)


def _classes_found(
    paths: Sequence[Path],
    opened: Callable[[], AbstractContextManager[list[_Read]]],
    recodings: Sequence[Recoding | None],
) -> tuple[ClassScheme, list[Mapping[int, int]]]:
    """Classes that the files, their pixels and the recodings tell.

    Returns:
        The classes, and for each map what its values become, as names decide.
    """
    plain = [k for k, each in enumerate(recodings) if each is None]
    values: list[set[int]] = [set() for _ in paths]
    if plain:
        with opened() as maps:
            height, width = maps[0].layer.height, maps[0].layer.width
        windows = list(raster.blocks(height, width, _BLOCK))
        with parallel.in_order(
            windows, opened, lambda own, w: {k: _values_of(own[k], w) for k in plain}
        ) as present:
            for found in present:
                for k, more in found.items():
                    values[k] |= more
    given = [each for each in recodings if each is not None]
    if not any(values) and not any(given):
        where = " and ".join(dict.fromkeys(map(str, paths)))
        raise ClassError(f"Class maps must hold classes, got only nodata in {where}.")
    told = [
        recoding.Told(paths[k], raster.legend_of(paths[k]), frozenset(values[k])) for k in plain
    ]
    one = recoding.united(
        told,
        "say what the values mean in all of them with `classes`, or bring one to the other with "
        "`recode_before` or `recode_after`",
    )
    by_name: list[Mapping[int, int]] = [{} for _ in paths]
    for place, k in enumerate(plain):
        by_name[k] = one.recodings[place]
        line = one.line(place, paths[k])
        if line:
            logger.warning("%s", line)
    return recoding.scheme_from(one.legend, one.values, given), by_name


def _values_of(each: _Read, window: Window) -> set[int]:
    classes, classed = each.read(window)
    return {int(v) for v in np.unique(classes[classed])}


def _write_attributes(
    out: Path,
    rules: _Rules,
    pixels: NDArray[np.int64],
    hectares: NDArray[np.float64] | None,
) -> None:
    """The attribute table: code, from, to, count, hectares."""
    codes = rules.map_code.astype(np.int64)
    most = rules.change.values[-1] + 1
    counts = np.bincount(codes, pixels, most)
    ends = [rules.change.ends[v] for v in rules.change.values]
    columns = [
        legend.Column("Count", [int(counts[v]) for v in rules.change.values]),
        legend.Column("From", [e[0] for e in ends]),
        legend.Column("To", [e[1] for e in ends]),
    ]
    if hectares is not None:
        areas = np.bincount(codes, hectares, most)
        columns.append(
            legend.Column("Hectares", [round(float(areas[v]), 6) for v in rules.change.values])
        )
    legend_writers.write_attributes(out, rules.change, columns)
