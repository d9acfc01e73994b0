"""Two class maps -> a change map, and the table of transitions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift import grid, raster
from landshift.classes import (
    CODINGS,
    IGNORE_INDEX,
    UNLABELLED,
    ClassScheme,
    check_names,
    legend,
    legend_writers,
)
from landshift.errors import ClassError, ParameterError
from landshift.files import provenance
from landshift.grid import Window
from landshift.images import overlay
from landshift.machine import parallel
from landshift.maps import cleaning
from landshift.maps.transitions import TransitionTable
from landshift.raster import recoding
from landshift.raster.recoding import Class, Coded, Recoding

__all__ = ["TransitionTable", "label", "parse_transition"]

logger = logging.getLogger(__name__)

KEEP = ("all", "changed", "unchanged")
"""Which pixels a change map may keep."""

UNCONFIRMED = ("unchanged", "nodata")
"""What a change that cleaning takes away may become."""

_NONE = IGNORE_INDEX
_BLOCK = 512  # rows and columns that a thread works on; as large as the blocks of most files
_LARGEST_WHOLE = 2.0**53  # above it a float64 holds no class for sure


def label(
    before: Path,
    after: Path,
    out: Path,
    *,
    scheme: ClassScheme | None = None,
    bounds: tuple[float, float, float, float] | None = None,
    coding: str = "to",
    keep: str = "all",
    from_classes: Sequence[Class] = (),
    to_classes: Sequence[Class] = (),
    forbidden: Sequence[tuple[Class, Class]] = (),
    resampling: str | None = None,
    nodata: float | None = None,
    recode_before: Recoding | None = None,
    recode_after: Recoding | None = None,
    smooth: int | None = None,
    min_pixels: int | None = None,
    min_hectares: float | None = None,
    neighbours: int = 8,
    agree_before: Sequence[Path] = (),
    agree_after: Sequence[Path] = (),
    unconfirmed: str = "unchanged",
    dates: Sequence[str] | None = None,
    overwrite: bool = False,
    on_block: Callable[[int, int], None] | None = None,
) -> TransitionTable:
    """Compare two class maps: write a change map, return the table of transitions.

    What happens, in this order: each map is read on the grid of ``before``, recoded to one
    scheme, and smoothed; forbidden transitions become nodata; changes that other maps don't
    confirm are taken away; so are changes in patches that are too small; then the filter says
    what the map keeps. The table counts what is left after the cleaning, filter or not.

    Beside the map lie ``.aux.xml`` (category names and an attribute table, for GDAL and QGIS),
    ``.vat.dbf`` (the attribute table for ArcGIS) and ``.qml`` (the style for QGIS).

    Args:
        before: Class map of the first date; whole numbers, one band. Which of its values are
            classes: see `raster.class_values`.
        after: Class map of the second date.
        out: The change map to write; 0 where either map has no class.
        scheme: The classes of both maps; None: names and colours that the files or their
            sidecars carry, else the values found. A value 0 named 'nodata', 'unclassified' or
            the like is no class. Classes whose value isn't 1 to 253 get the lowest free ones.
        bounds: Left, bottom, right, top in the CRS of ``before``; None for all. Smoothing looks
            over them, patches end at them.
        coding: What the codes tell. 'to': the value of the later class where the class differs,
            the largest class value plus one where it doesn't. 'from-to': a code for each
            transition (`FromToScheme`). 'binary': 1 change, 2 no change.
        keep: 'all', 'changed' or 'unchanged' pixels; the others become 0, not labelled.
        from_classes: Keep changes from these classes only, by name or value; empty for all.
            Whether unchanged pixels stay is ``keep``'s word alone.
        to_classes: Keep changes to these classes only; empty for all.
        forbidden: Transitions that can't be, by name or value; '*' stands for every other class.
            Their pixels become 0 and are counted by themselves.
        resampling: How a map on another grid than ``before`` is resampled, 'nearest' or 'mode';
            None: the grids must be one.
        nodata: A value without a class in every map, beside what the files say.
        recode_before: What each value of ``before`` becomes, a value or the name of a class, or
            None for no class; without a scheme, new names get the lowest free values.
        recode_after: The same for ``after``.
        smooth: Each pixel of each map gets the commonest class in a square of so many pixels,
            3, 5, 7, 9 or 11; see `cleaning.majority`.
        min_pixels: Changes in patches of fewer pixels are taken away. A patch is a set of
            connected pixels of one code of the change map.
        min_hectares: The same by area.
        neighbours: Whether pixels connect over their sides only, 4, or corners too, 8.
        agree_before: More class maps, recoded as ``before``: a change counts only where all of
            them have the earlier class.
        agree_after: More class maps, recoded as ``after``: a change counts only where all of
            them have the later class: it persists.
        unconfirmed: What a change that is taken away becomes: 'unchanged', as if the pixel had
            kept its earlier class, or 'nodata'.
        dates: What time ``before`` and ``after`` are of: YYYY, YYYY-MM, YYYY-MM-DD or FROM/TO, or
            '-' as the file states; None: as the files state, in tags or names.
        overwrite: Whether what is there already is replaced.
        on_block: Called with blocks done and blocks in all.

    Raises:
        GridError: The maps' grids or CRS differ and ``resampling`` is None; no overlap.
        DateError: Before is later than after, where the files tell.
        ClassError: A value outside the scheme or the recoding; no integers; an unknown class.
        ParameterError: An option out of its range, or two that contradict each other.
        RasterError: A map can't be read.
        OutputError: The change map can't be written.
    """
    before, after, out = Path(before), Path(after), Path(out)
    earlier = [before, *(Path(p) for p in agree_before)]
    later = [after, *(Path(p) for p in agree_after)]
    raster.check_new(out, inputs=[*earlier, *later], overwrite=overwrite)
    _check_options(coding, keep, [*from_classes, *to_classes], unconfirmed)
    if smooth is not None:
        cleaning.check_kernel(smooth)
    cleaning.check_neighbours(neighbours)
    least = _least_patch(min_pixels, min_hectares)
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
        _class_values(path, scheme, each, nodata)
        for path, each in zip((*earlier, *later), recodings, strict=True)
    ]

    @contextmanager
    def opened() -> Iterator[list[_Read]]:
        with ExitStack() as stack:
            layers = [
                stack.enter_context(
                    overlay.on_grid(
                        path, first.grid, resampling=resampling, nodata=nodata,
                        names=("before", name),
                    )
                )
                for path, name in _with_roles(earlier, later)
            ]  # fmt: skip
            yield [_Read(layer, values) for layer, values in zip(layers, known, strict=True)]

    by_name: list[Mapping[int, int]] = [{} for _ in known]
    if scheme is None:
        scheme, by_name = _classes_found([*earlier, *later], opened, recodings)
    classes = recoding.coded(scheme)
    if classes.moved and coding == "to":
        logger.warning(
            "%s: classes whose value the map can't hold have another one there: %s.",
            out, classes.line(),
        )  # fmt: skip
    record = provenance.record(
        "label",
        [*earlier, *later],
        {
            "bounds": bounds, "coding": coding, "keep": keep, "from": list(from_classes),
            "to": list(to_classes), "forbidden": [list(f) for f in forbidden],
            "resampling": resampling, "nodata": nodata,
            "recode_before": recode_before, "recode_after": recode_after, "smooth": smooth,
            "min_pixels": min_pixels, "min_hectares": min_hectares, "neighbours": neighbours,
            "agree_before": len(agree_before), "agree_after": len(agree_after),
            "unconfirmed": unconfirmed, "dates": None if dates is None else list(dates),
            "moved": {str(old): new for old, new in classes.moved.items()},
            "by_name": [{str(old): new for old, new in each.items()} for each in by_name],
        },
    )  # fmt: skip
    targets = [classes.targets(each, names) for each, names in zip(recodings, by_name, strict=True)]
    for path, each in zip((*earlier, *later), recodings, strict=True):
        if each is not None:
            recoding.tell_zero(each, classes, raster.info(path).nodata, path)
    scheme = classes.scheme
    rules = _Rules(classes, coding, keep, from_classes, to_classes, forbidden, unconfirmed)

    @contextmanager
    def paired() -> Iterator[_Pairs]:
        with opened() as reads:
            maps = [
                _ClassMap(each, _Recoder(each.layer, target), smooth)
                for each, target in zip(reads, targets, strict=True)
            ]
            yield _Pairs(maps[: len(earlier)], maps[len(earlier) :], rules, area)

    def areas(window: Window) -> NDArray[np.float64]:
        if min_hectares is None or ground is None:
            return np.ones((1, 1))
        return ground.hectares(window)

    def patch_codes(pairs: _Pairs, window: Window) -> tuple[NDArray[Any], cleaning.Parts]:
        codes = rules.patch_code[pairs.read(window).values]
        return codes, cleaning.parts_of(codes, areas(window), neighbours)

    def told(done: int) -> None:
        if on_block is not None:
            on_block(done, passes * len(windows))

    is_small = None
    if least is not None:
        with parallel.in_order(windows, paired, patch_codes) as codes:
            is_small = cleaning.remove_small(
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
        names = {classes.sources[k]: scheme.names[k] for k in occurring}
        check_names(names, f"{before} and {after}")
    table = TransitionTable(
        scheme,
        counts,
        None if ground is None else hectares[:-1].reshape(n, n),
        nodata_pixels,
        forbidden={rules.names(int(p)): int(lost[p]) for p in np.flatnonzero(rules.forbidden)},
        filtered=int(pixels[:-1][~rules.kept[:-1]].sum()),
        removed=removed,
    )
    _write_attributes(out, rules, pixels, None if ground is None else hectares)
    return table


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
        coding: str,
        keep: str,
        from_classes: Sequence[Class],
        to_classes: Sequence[Class],
        forbidden: Sequence[tuple[Class, Class]],
        unconfirmed: str,
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
                    "choose unchanged pixels with keep."
                )
            self.forbidden[at] = True
        froms = {k for c in from_classes for k in classes.find(c)} or set(range(n))
        tos = {k for c in to_classes for k in classes.find(c)} or set(range(n))
        listed = np.append(np.isin(i, list(froms)) & np.isin(j, list(tos)), False) & self.changed
        stayed = np.append(i == j, False)
        self.kept = (listed & (keep != "unchanged")) | (stayed & (keep != "changed"))
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
        found = cleaning.majority(found, self.smooth, _NONE)
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


def _check_options(coding: str, keep: str, lists: Sequence[Class], unconfirmed: str) -> None:
    for name, got, allowed in (
        ("coding", coding, tuple(CODINGS)),
        ("keep", keep, KEEP),
        ("unconfirmed", unconfirmed, UNCONFIRMED),
    ):
        if got not in allowed:
            raise ParameterError(
                f"{name} must be one of {', '.join(allowed)}, got {got!r}; choose one."
            )
    if keep == "unchanged" and lists:
        raise ParameterError(
            "Lists of classes choose among the changes, got them with keep='unchanged'; "
            "leave one of the two out."
        )


def _least_patch(min_pixels: int | None, min_hectares: float | None) -> float | None:
    if min_pixels is not None and min_hectares is not None:
        raise ParameterError(
            "The smallest patch must be given in pixels or in hectares, got both; choose one."
        )
    least = min_pixels if min_hectares is None else min_hectares
    if least is not None and not 0 < least < float("inf"):
        raise ParameterError(f"The smallest patch must be above 0, got {least}; leave it out.")
    return least


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
        "say what the values mean in all of them with --classes, or bring one to the other with "
        "--recode-before or --recode-after",
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
        legend.AttributeColumn("Count", [int(counts[v]) for v in rules.change.values]),
        legend.AttributeColumn("From", [e[0] for e in ends]),
        legend.AttributeColumn("To", [e[1] for e in ends]),
    ]
    if hectares is not None:
        areas = np.bincount(codes, hectares, most)
        columns.append(
            legend.AttributeColumn(
                "Hectares", [round(float(areas[v]), 6) for v in rules.change.values]
            )
        )
    legend_writers.write_attributes(out, rules.change, columns)
