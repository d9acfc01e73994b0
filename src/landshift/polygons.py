"""Patches of change as polygons, traced block by block as if the map were traced whole.

Each side of a pixel that parts it from another patch is a step of a patch's border; where such
steps lie doesn't depend on the blocks in which the map is read. The steps of a block become
straight segments. Patches inside a block are closed into rings at once; segments of patches that
reach over a block's border wait until the last of their blocks is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift import grid, ledger, raster, vector
from landshift.classes import UNLABELLED, ClassScheme, ends_of, stays
from landshift.cleaning import Patches, parts_of
from landshift.errors import ClassError, GridError, ParameterError
from landshift.grid import Window

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

DRIVERS = {".gpkg": "GPKG", ".fgb": "FlatGeobuf"}
"""Formats that patches are written in, by suffix."""

BLOCK = 1024
"""Rows and columns of the map read at once."""

_BATCH = 100_000  # polygons written at once
_NEIGHBOURS = 4

# Directions of a border step, clockwise around its patch: east above a pixel, south at its right,
# west below, north at its left; rows count down
_EAST, _SOUTH, _WEST, _NORTH = range(4)
_DOWN, _RIGHT = np.array([0, 1, 0, -1]), np.array([1, 0, -1, 0])

# Confidences are added as whole numbers of this part of 1, so that their order doesn't matter
_PARTS = 1 << 24
_SUREST = 1000.0  # beyond it the sums of large patches could overflow

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Traced:
    """What `trace_changes` wrote.

    Attributes:
        path: The file.
        polygons: Polygons of each class that has some, by its name.
        hectares: Area of each of those classes in them.
        dropped: Patches smaller than the minimum.
    """

    path: Path
    polygons: dict[str, int]
    hectares: dict[str, float]
    dropped: int


def trace_changes(
    mapped: Path,
    out: Path,
    *,
    confidence: Path | None = None,
    min_hectares: float = 0.0,
    simplify: float | None = None,
    everything: bool = False,
    scheme: ClassScheme | None = None,
    block: int = BLOCK,
    on_block: Callable[[int, int], None] | None = None,
) -> Traced:
    """Write a map's patches of change as polygons: class, from, to, hectares, mean confidence.

    A patch is pixels of one class that connect over their sides. Its area is that of its pixels,
    geodesic on geographic grids, also where its outline is simplified.

    Args:
        mapped: The map: a change map, or any class map (all of whose classes count as change).
        out: The file to write: .gpkg, or .fgb, which holds all polygons in memory.
        confidence: A raster of one band on the map's grid; each polygon gets its mean.
        min_hectares: Smaller patches are left out.
        simplify: Tolerance of a simplification in units of the CRS, which keeps borders that
            patches share (Visvalingam & Whyatt 1993, doi 10.1179/000870493786962263, as GEOS does
            it for coverages); holds all polygons in memory. None: outlines follow the pixels.
        everything: Whether 'No change' and classes such as 'forest->forest' become polygons too.
        scheme: The map's classes; None: as its files tell, else by value.
        block: Rows and columns read at once; the polygons don't depend on it, their order does.
        on_block: Called with blocks done and blocks in all.

    Raises:
        ParameterError: Another format; a minimum or tolerance below 0; confidences beyond 1000.
        ClassError: A map that is no class raster, or holds no change.
        GridError: The map has no CRS, or the confidence lies on another grid.
        RasterError: A raster can't be read.
        OutputError: The file can't be written.
    """
    mapped, out = Path(mapped), Path(out)
    driver = DRIVERS.get(out.suffix.lower())
    if driver is None:
        raise ParameterError(f"Polygons are written as {' or '.join(DRIVERS)}, got {out}.")
    if min_hectares < 0 or (simplify is not None and simplify < 0):
        raise ParameterError(
            f"The smallest area and the tolerance must be at least 0, got {min_hectares:g} ha and "
            f"{simplify}."
        )
    ledger.check_apart(out, [mapped])
    names = raster.legend_of(mapped).names if scheme is None else scheme.mapping
    left_out = np.zeros(1 << 16, np.bool_)
    left_out[UNLABELLED] = True
    if not everything:
        left_out[[v for v, n in names.items() if stays(n)]] = True
    polygons: dict[str, int] = {}
    hectares: dict[str, float] = {}
    dropped = 0
    with ExitStack() as stack:
        part = stack.enter_context(ledger.whole_file(out))
        source = _Source(stack, mapped, confidence, left_out, block, simplify is not None)
        sink = _Sink(part, driver, source.box, confidence is not None, simplify)
        for patches in source.trace(on_block):
            large = patches.hectares >= min_hectares * (1 - 1e-9)
            dropped += int((~large).sum())
            kept = patches.take(large)
            classes = np.empty(kept.codes.size, object)
            for value in np.unique(kept.codes):
                of_it = kept.codes == value
                name = names.get(int(value)) or f"class {value}"
                classes[of_it] = name
                polygons[name] = polygons.get(name, 0) + int(of_it.sum())
                hectares[name] = hectares.get(name, 0.0) + float(kept.hectares[of_it].sum())
            sink.add(kept, classes)
        sink.flush()
        if not sink.written:
            raise ClassError(
                f"The map must hold a patch of change of {min_hectares:g} ha or more, got none in "
                f"{mapped}; lower the minimum, or ask for everything."
            )
    return Traced(out, polygons, hectares, dropped)


@dataclass(frozen=True)
class _Outlines:
    """Whole patches.

    Attributes:
        polygons: Their polygons, in pixels.
        codes: Value of each.
        hectares: Area of each.
        confidence: Mean confidence of each; NaN where there is none.
    """

    polygons: NDArray[np.object_]
    codes: Ints
    hectares: NDArray[np.float64]
    confidence: NDArray[np.float64]

    def take(self, chosen: NDArray[Any]) -> _Outlines:
        return _Outlines(
            self.polygons[chosen], self.codes[chosen], self.hectares[chosen],
            self.confidence[chosen],
        )  # fmt: skip


class _Sink:
    """A layer of polygons that grows by batches."""

    def __init__(
        self, part: Path, driver: str, box: GeoBox, with_confidence: bool, tolerance: float | None
    ) -> None:
        self._part = part
        self._driver = driver
        self._box = box
        self._with_confidence = with_confidence
        self._tolerance = tolerance
        # what must be written at once, because the format or the simplification needs it
        self._at_once = tolerance is not None or driver != "GPKG"
        self._held: list[tuple[_Outlines, NDArray[np.object_]]] = []
        self._polygons = 0
        self.written = 0

    def add(self, patches: _Outlines, classes: NDArray[np.object_]) -> None:
        """Take patches and the names of their classes."""
        self._held.append((patches, classes))
        self._polygons += classes.size
        if self._polygons >= _BATCH and not self._at_once:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        import shapely

        if not self._polygons:
            return
        outlines = np.concatenate([p.polygons for p, _ in self._held])
        classes = np.concatenate([c for _, c in self._held])
        affine = self._box.affine
        outlines = shapely.transform(
            outlines, lambda x, y: grid.apply(affine, x, y), interleaved=False
        )
        if self._tolerance is not None:
            outlines = shapely.coverage_simplify(outlines, self._tolerance)
        ends = {name: ends_of(name) for name in set(classes)}
        columns: dict[str, NDArray[Any]] = {
            "class": classes,
            "from": np.array([ends[c][0] for c in classes], object),
            "to": np.array([ends[c][1] for c in classes], object),
            "hectares": np.concatenate([p.hectares for p, _ in self._held]),
        }
        if self._with_confidence:
            columns["confidence"] = np.concatenate([p.confidence for p, _ in self._held])
        vector.write_layer(
            self._part, "changes", columns, outlines, self._box.crs, driver=self._driver,
            append=self.written > 0,
        )  # fmt: skip
        self.written += self._polygons
        self._held, self._polygons = [], 0


@dataclass(frozen=True)
class _Segments:
    """Straight parts of borders, the patch at their right hand; one entry a segment.

    Attributes:
        patch: Number of the patch.
        row: Row of the corner where it starts.
        column: Column of it.
        heading: Direction.
        length: Pixels that it passes.
        node: Whether its start stays a corner where the border runs straight on, because others'
            borders meet there.
    """

    patch: Ints
    row: Ints
    column: Ints
    heading: Ints
    length: Ints
    node: NDArray[np.bool_]

    def take(self, chosen: NDArray[Any]) -> _Segments:
        return _Segments(
            self.patch[chosen], self.row[chosen], self.column[chosen], self.heading[chosen],
            self.length[chosen], self.node[chosen],
        )  # fmt: skip


class _Source:
    """A map and its confidence, block by block, and the patches traced in it."""

    def __init__(
        self,
        stack: ExitStack,
        mapped: Path,
        confidence: Path | None,
        left_out: NDArray[np.bool_],
        block: int,
        nodes: bool,
    ) -> None:
        self._nodes = nodes
        self._map = stack.enter_context(raster.open_raster(mapped))
        about = raster.info_of(self._map)
        self.box: GeoBox = about.grid
        self._left_out = left_out
        self._confidence = None
        if confidence is not None:
            self._confidence = stack.enter_context(raster.open_raster(confidence))
            other = raster.info_of(self._confidence)
            grid.check_same(
                about.grid, other.grid, what="Map and confidence", names=("map", "confidence")
            )
            if len(other.bands) != 1:
                raise GridError(
                    f"The confidence must be one band, got {len(other.bands)} in {confidence}."
                )
        self._windows = list(raster.blocks(about.height, about.width, block))
        # area of a column of pixels above each line between rows
        self._above = np.append(0.0, np.cumsum(grid.row_hectares(about.grid)))

    def trace(self, on_block: Callable[[int, int], None] | None) -> Iterator[_Outlines]:
        """The patches, in batches: of each block those inside, of each row of blocks the rest."""
        patches = Patches(self._windows, _NEIGHBOURS)
        total = 2 * len(self._windows)
        for done, window in enumerate(self._windows, start=1):
            codes = self._codes(window)
            patches.add(codes, parts_of(codes, np.ones(window.height), _NEIGHBOURS))
            if on_block is not None:
                on_block(done, total)
        patches.join()
        waiting: list[_Segments] = []
        sums = np.zeros((3, patches.count), np.int64)  # code, confidence, pixels with it
        for number, window in enumerate(self._windows):
            codes = self._codes(window.grown(1))
            inner = codes[1:-1, 1:-1]
            labels = patches.numbers(number, inner, np.ones(window.height))
            # patches at the border have numbers below the count, those inside from it on
            local = labels - patches.count
            inside = _Sums(int(local.max(initial=-1)) + 1)
            outside = _Sums(patches.count, sums)
            values = self._confidences(window)
            for part, held in ((local, inside), (np.where(local < 0, labels, -1), outside)):
                held.add(part, inner, values)
            segments = _segments(codes, labels, window, nodes=self._nodes)
            whole = segments.patch >= patches.count
            waiting.append(segments.take(~whole))
            own = segments.take(whole)
            if own.patch.size:
                own = replace(own, patch=own.patch - patches.count)
                yield self._close(own, inside.table)
            last = number + 1 == len(self._windows)
            if last or self._windows[number + 1].row != window.row:
                ready = patches.last <= number
                held_back = _joined(waiting)
                done_now = ready[held_back.patch]
                if done_now.any():
                    yield self._close(held_back.take(done_now), sums)
                waiting = [held_back.take(~done_now)]
            if on_block is not None:
                on_block(len(self._windows) + number + 1, total)

    def _codes(self, window: Window) -> Ints:
        """Codes of change, 0 elsewhere."""
        values, mask = raster.read_classes(self._map, window)
        if values.dtype.itemsize > 2 and mask.any() and values[mask].max() >= self._left_out.size:
            raise ClassError(
                f"Classes must be below {self._left_out.size}, got {values[mask].max()} in "
                f"{self._map.name}; recode them."
            )
        known = np.where(mask, values, 0).astype(np.int64)
        known[self._left_out[known]] = 0
        return known

    def _confidences(self, window: Window) -> tuple[Ints, NDArray[np.bool_]] | None:
        """Confidences as whole numbers of a small part, and where there are some."""
        if self._confidence is None:
            return None
        values, mask = raster.read(self._confidence, window)
        known = np.where(mask, values[0], 0).astype(np.float64)
        largest = np.abs(known).max()
        if largest > _SUREST:
            raise ParameterError(
                f"A confidence must be a share or per cent, got {largest:g} in "
                f"{self._confidence.name}; scale it."
            )
        return np.rint(known * _PARTS).astype(np.int64), mask

    def _close(self, segments: _Segments, sums: Ints) -> _Outlines:
        """Close the segments of whole patches into polygons, ordered by their first corner."""
        import shapely

        rings = _rings(segments, int(self.box.width))
        sizes = np.diff(np.append(rings.start, rings.row.size))
        ring_of = np.repeat(np.arange(sizes.size), sizes)
        # Green's theorem: what lies left of each step down or up, summed around the ring; from the
        # ring's own column on, so that little is lost in the differences
        below = self._above[rings.next_row] - self._above[rings.row]
        right = rings.column - rings.column[rings.start][ring_of]
        parts = np.add.reduceat(right * below, rings.start)
        hectares = np.zeros(rings.patches.size)
        np.add.at(hectares, rings.place, parts)
        corners = np.stack([rings.column, rings.row], axis=1).astype(np.float64)
        closed = shapely.linearrings(corners, indices=ring_of)
        polygons = shapely.polygons(closed, indices=rings.place)
        code, total, pixels = sums[:, rings.patches]
        mean = np.full(code.size, np.nan)
        np.divide(total, pixels * float(_PARTS), out=mean, where=pixels > 0)
        return _Outlines(polygons, code, hectares, mean)


class _Sums:
    """Code, confidence and pixels with one, of each patch."""

    def __init__(self, count: int, table: Ints | None = None) -> None:
        self.table = np.zeros((3, count), np.int64) if table is None else table

    def add(self, labels: Ints, codes: Ints, values: tuple[Ints, NDArray[np.bool_]] | None) -> None:
        """Take the pixels of a block; labels below 0 belong to none of these patches."""
        chosen = labels >= 0
        held = labels[chosen]
        self.table[0][held] = codes[chosen]
        if values is not None:
            confidence, mask = values
            valid = mask[chosen]
            np.add.at(self.table[1], held[valid], confidence[chosen][valid])
            np.add.at(self.table[2], held[valid], 1)


@dataclass(frozen=True)
class _Rings:
    """Closed borders: corners of all rings one after the other, and which patch each ring bounds.

    Attributes:
        row: Row of each corner.
        column: Column of it.
        next_row: Row of the corner after it.
        start: Place of each ring's first corner.
        place: Place of each ring's patch among the patches; shells come before their holes.
        patches: Number of each patch, in the order of the first corner of their shells.
    """

    row: Ints
    column: Ints
    next_row: Ints
    start: Ints
    place: Ints
    patches: Ints


def _segments(codes: Ints, labels: Ints, window: Window, *, nodes: bool) -> _Segments:
    """The border segments of a block's patches; codes reach one pixel further on each side."""
    height, width = labels.shape

    def seen(down: int, right: int) -> Ints:
        return codes[1 + down : 1 + down + height, 1 + right : 1 + right + width]

    inner = seen(0, 0)
    found = []
    for heading in (_EAST, _SOUTH, _WEST, _NORTH):
        down, right = int(_DOWN[heading]), int(_RIGHT[heading])
        beyond = seen(-right, down)  # at the left hand
        behind = seen(-down, -right)
        steps = (inner != 0) & (inner != beyond)
        node = np.zeros(steps.shape, np.bool_)
        if nodes:
            earlier = seen(-right - down, down - right)
            node = (behind == inner) & (earlier != inner) & (earlier != beyond)
        # along the direction of the steps, so that those of one segment follow each other
        across = heading in (_EAST, _WEST)
        line, at = np.nonzero(steps if across else steps.T)
        place = (line, at) if across else (at, line)
        patch, node = labels[place], node[place]
        backwards = heading in (_WEST, _NORTH)
        parts = node[:-1] if backwards else node[1:]
        joins = (
            (line[1:] == line[:-1]) & (at[1:] == at[:-1] + 1) & (patch[1:] == patch[:-1]) & ~parts
        )
        first = np.flatnonzero(np.append(True, ~joins)[: line.size])
        length = np.diff(np.append(first, line.size))
        head = first + (length - 1 if backwards else 0)
        row, column = (k[head] for k in place)
        found.append(
            _Segments(
                patch[head],
                row + window.row + (heading in (_WEST, _NORTH)),
                column + window.column + (heading in (_SOUTH, _WEST)),
                np.full(first.size, heading, np.int64),
                length,
                node[head],
            )
        )
    return _joined(found)


def _rings(segments: _Segments, width: int) -> _Rings:
    """Follow the segments of whole patches around their rings."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order, connected_components

    def key(row: Ints, column: Ints, heading: Ints) -> Ints:
        return ((row * (width + 1) + column) << 2) | heading

    order = np.argsort(key(segments.row, segments.column, segments.heading))
    s = segments.take(order)
    starts = key(s.row, s.column, s.heading)
    end_row = s.row + (_DOWN[s.heading] * s.length).astype(np.int64)
    end_column = s.column + (_RIGHT[s.heading] * s.length).astype(np.int64)
    count = starts.size
    after = np.full(count, -1, np.int64)
    # Where two pixels of a patch meet at a corner only, the border turns left: rings then touch
    # themselves nowhere, as polygons need it.
    for turn in (1, 0, 3):
        wanted = key(end_row, end_column, (s.heading + turn) & 3)
        at = np.minimum(np.searchsorted(starts, wanted), count - 1)
        fits = (starts[at] == wanted) & (s.patch[at] == s.patch)
        after[fits] = at[fits]
    assert (after >= 0).all(), "borders close"

    ends = np.arange(count + 1)
    links = csr_array((np.ones(count, np.int8), after, ends), shape=(count, count))
    _, ring = connected_components(links, directed=False)
    _, first = np.unique(ring, return_index=True)  # the ring's first corner, from the top left
    # all rings cut open and joined to one path, which is then followed
    before = np.empty(count, np.int64)
    before[after] = np.arange(count)
    first = np.sort(first)
    path = after.copy()
    path[before[first]] = np.append(first[1:], -1)
    open_end = path < 0
    links = csr_array(
        (np.ones(count - 1, np.int8), path[~open_end], np.append(0, np.cumsum(~open_end))),
        shape=(count, count),
    )
    way = breadth_first_order(links, first[0], return_predecessors=False)
    s, ring = s.take(way), ring[way]
    starts_ring = np.append(True, ring[1:] != ring[:-1])
    begin = np.flatnonzero(starts_ring)
    previous = np.arange(count) - 1
    previous[begin] = np.append(begin[1:], count) - 1
    # segments of two blocks may run straight on
    corner = (s.heading != s.heading[previous]) | s.node
    s, ring = s.take(corner), ring[corner]
    begin = np.flatnonzero(np.append(True, ring[1:] != ring[:-1]))
    following = np.arange(ring.size) + 1
    following[np.append(begin[1:], ring.size) - 1] = begin
    next_row = s.row[following]

    # shells run clockwise on screen: what lies left of their ways down is more
    shell = np.add.reduceat(s.column * (next_row - s.row), begin) > 0
    patch = s.patch[begin]
    patches, shells = np.unique(patch[shell], return_index=True)
    rank = np.empty(patches.size, np.int64)
    rank[np.argsort(shells)] = np.arange(patches.size)
    place = rank[np.searchsorted(patches, patch)]
    # rings in the order of their patches, shells first
    ring_order = np.lexsort((np.arange(begin.size), ~shell, place))
    sizes = np.diff(np.append(begin, ring.size))[ring_order]
    start = np.append(0, np.cumsum(sizes)[:-1])
    corners = np.repeat(begin[ring_order] - start, sizes) + np.arange(ring.size)
    numbers = np.empty(patches.size, np.int64)
    numbers[rank] = patches
    return _Rings(
        s.row[corners], s.column[corners], next_row[corners], start, place[ring_order], numbers
    )


def _joined(parts: list[_Segments]) -> _Segments:
    return _Segments(
        np.concatenate([p.patch for p in parts]),
        np.concatenate([p.row for p in parts]),
        np.concatenate([p.column for p in parts]),
        np.concatenate([p.heading for p in parts]),
        np.concatenate([p.length for p in parts]),
        np.concatenate([p.node for p in parts]),
    )
