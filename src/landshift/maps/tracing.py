"""Outlines of a map's patches, traced block by block with the same result as tracing it whole.

Each side of a pixel that separates it from another patch is a step of a patch's border; the steps
don't depend on the blocks in which the map is read. The steps of a block become straight segments.
Patches inside a block are closed into rings at once; segments of patches that cross a block's
border wait until the last of their blocks is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift import grid, raster
from landshift.errors import GridError, ParameterError
from landshift.grid import Window
from landshift.maps.cleaning import Patches, parts_of, patch_codes

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

SIDES = 4
"""Neighbours of a pixel over its sides alone."""

_EQUAL = np.ones((1, 1))  # areas, where only the patches matter

# Directions of a border step, clockwise around its patch: east above a pixel, south at its right,
# west below, north at its left; rows count down
_EAST, _SOUTH, _WEST, _NORTH = range(4)
_DOWN, _RIGHT = np.array([0, 1, 0, -1]), np.array([1, 0, -1, 0])

# Confidences are summed as integers in this fraction of 1, so that their order doesn't matter
_PARTS = 1 << 24
_SUREST = 1000.0  # above it the sums of large patches could overflow

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Outlines:
    """Complete patches.

    Attributes:
        polygons: Polygon of each, in pixels.
        codes: Code of each, see `patch_codes`.
        hectares: Area of each.
        confidence: Mean confidence of each; NaN where there is none.
    """

    polygons: NDArray[np.object_]
    codes: Ints
    hectares: NDArray[np.float64]
    confidence: NDArray[np.float64]

    def take(self, chosen: NDArray[Any]) -> Outlines:
        """Some of the patches, by mask or index."""
        return Outlines(
            self.polygons[chosen], self.codes[chosen], self.hectares[chosen],
            self.confidence[chosen],
        )  # fmt: skip


@dataclass(frozen=True)
class _Segments:
    """Straight parts of borders, with the patch on their right; one entry per segment.

    Attributes:
        patch: Number of the patch.
        part: Number of its part that connects over sides; the same array if all patches do.
        row: Row of the corner where the segment starts.
        column: Column of that corner.
        heading: Direction.
        length: Length in pixels.
        node: Whether the start stays a corner where the border runs straight on, because other
            borders meet there.
    """

    patch: Ints
    part: Ints
    row: Ints
    column: Ints
    heading: Ints
    length: Ints
    node: NDArray[np.bool_]

    def take(self, chosen: NDArray[Any]) -> _Segments:
        patch = self.patch[chosen]
        return _Segments(
            patch, patch if self.part is self.patch else self.part[chosen], self.row[chosen],
            self.column[chosen], self.heading[chosen], self.length[chosen], self.node[chosen],
        )  # fmt: skip

    def numbered_from(self, first: int) -> _Segments:
        """The same segments, with patches numbered from another number."""
        patch = self.patch - first
        return replace(self, patch=patch, part=patch if self.part is self.patch else self.part)


class MapTracer:
    """Traces the patches of a map, with their area and mean confidence.

    Args:
        stack: Closes the rasters.
        mapped: The map.
        confidence: A raster of one band on the map's grid, or None.
        known: The values that are classes.
        left_out: Class values without outlines.
        block: Rows and columns read at once.
        neighbours: 4 or 8.
        nodes: Whether corners where borders of several patches meet are kept.

    Raises:
        GridError: The map has no CRS, or the confidence lies on another grid.
        RasterError: A raster can't be read.
    """

    def __init__(
        self,
        stack: ExitStack,
        mapped: Path,
        confidence: Path | None,
        known: raster.ClassValues,
        left_out: Sequence[int],
        block: int,
        neighbours: int,
        *,
        nodes: bool,
    ) -> None:
        self._nodes = nodes
        self._neighbours = neighbours
        self._map = stack.enter_context(raster.open_raster(mapped))
        about = raster.info_of(self._map)
        self.box: GeoBox = about.grid
        self._known = known
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
        self._ground = grid.ground(about.grid)

    def trace(self, on_block: Callable[[int, int], None] | None) -> Iterator[Outlines]:
        """Trace all patches, in batches: those inside each block, the others by rows of blocks.

        Args:
            on_block: Called with steps done and steps in all, two per block.
        """
        patches = Patches(self._windows, self._neighbours)
        # outlines are those of the parts that connect over sides
        parts = patches if self._neighbours == SIDES else Patches(self._windows, SIDES)
        total = 2 * len(self._windows)
        for done, window in enumerate(self._windows, start=1):
            codes = self._codes(window)
            for labelled in dict.fromkeys((patches, parts)):
                labelled.add(codes, parts_of(codes, _EQUAL, labelled.neighbours))
            if on_block is not None:
                on_block(done, total)
        for labelled in dict.fromkeys((patches, parts)):
            labelled.join()
        passed = 0  # parts inside earlier blocks
        waiting: list[_Segments] = []
        sums = np.zeros((4, patches.count), np.int64)  # rows as in _PatchSums
        for number, window in enumerate(self._windows):
            codes = self._codes(window.grown(1))
            inner = codes[1:-1, 1:-1]
            labels = patches.numbers(number, inner, _EQUAL)
            # patches at the border have numbers below the count, those inside from it on
            local = labels - patches.count
            inside = _PatchSums(int(local.max(initial=-1)) + 1)
            outside = _PatchSums(patches.count, sums)
            areas, values = self._ground.shares(window), self._confidences(window)
            for own, patch_sums in (
                (local, inside), (np.where(local < 0, labels, -1), outside)
            ):  # fmt: skip
                patch_sums.add(own, inner, areas, values)
            own = labels
            if parts is not patches:
                own = parts.numbers(number, inner, _EQUAL)
                own[own >= parts.count] += passed
                passed = max(passed, int(own.max(initial=-1)) + 1 - parts.count)
            segments = _segments(codes, labels, own, window, nodes=self._nodes)
            whole = segments.patch >= patches.count
            waiting.append(segments.take(~whole))
            closed = segments.take(whole)
            if closed.patch.size:
                yield self._close(closed.numbered_from(patches.count), inside.table)
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
        """Codes of the classes with outlines, see `patch_codes`; 0 elsewhere."""
        values, mask = raster.read_classes(self._map, window, self._known)
        if self._left_out:
            mask &= ~np.isin(values, self._left_out)
        return patch_codes(values, mask)

    def _confidences(self, window: Window) -> tuple[Ints, NDArray[np.bool_]] | None:
        """Confidences as integers in units of 1 / `_PARTS`, and where they are valid."""
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

    def _close(self, segments: _Segments, sums: Ints) -> Outlines:
        """Close the segments of complete patches into polygons, ordered by their first corner."""
        import shapely

        rings = _rings(segments, int(self.box.width))
        sizes = np.diff(np.append(rings.start, rings.row.size))
        ring_of = np.repeat(np.arange(sizes.size), sizes)
        corners = np.stack([rings.column, rings.row], axis=1).astype(np.float64)
        closed = shapely.linearrings(corners, indices=ring_of)
        polygons = shapely.polygons(closed, indices=rings.place)
        patches = rings.patches
        if self._neighbours != SIDES:
            patches, first, member = np.unique(patches, return_index=True, return_inverse=True)
            order = np.argsort(first)  # patches in the order of their first parts
            place = np.argsort(order)[member]
            by_patch = np.argsort(place, kind="stable")
            polygons = shapely.multipolygons(polygons[by_patch], indices=place[by_patch])
            patches = patches[order]
        code, shares, total, pixels = sums[:, patches]
        mean = np.full(code.size, np.nan)
        np.divide(total, pixels * float(_PARTS), out=mean, where=pixels > 0)
        return Outlines(polygons, code, shares * self._ground.share, mean)


class _PatchSums:
    """Sums per patch: its code, area in shares, sum of confidences, pixels with a confidence."""

    def __init__(self, count: int, table: Ints | None = None) -> None:
        self.table = np.zeros((4, count), np.int64) if table is None else table

    def add(
        self, labels: Ints, codes: Ints, areas: Ints, values: tuple[Ints, NDArray[np.bool_]] | None
    ) -> None:
        """Add the pixels of a block; labels below 0 belong to none of these patches."""
        chosen = labels >= 0
        held = labels[chosen]
        self.table[0][held] = codes[chosen]
        np.add.at(self.table[1], held, areas[chosen])
        if values is not None:
            confidence, mask = values
            valid = mask[chosen]
            np.add.at(self.table[2], held[valid], confidence[chosen][valid])
            np.add.at(self.table[3], held[valid], 1)


@dataclass(frozen=True)
class _Rings:
    """Closed borders: the corners of all rings, one ring after the other, and each ring's part.

    Attributes:
        row: Row of each corner.
        column: Column of each corner.
        start: Index of each ring's first corner.
        place: Index of each ring's part among the parts; shells come before their holes.
        patches: Patch number of each part, in the order of the first corner of their shells.
    """

    row: Ints
    column: Ints
    start: Ints
    place: Ints
    patches: Ints


def _segments(codes: Ints, labels: Ints, parts: Ints, window: Window, *, nodes: bool) -> _Segments:
    """The border segments of a block's patches; codes extend one pixel further on each side."""
    height, width = labels.shape

    def seen(down: int, right: int) -> Ints:
        return codes[1 + down : 1 + down + height, 1 + right : 1 + right + width]

    inner = seen(0, 0)
    segments = []
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
        cut = node[:-1] if backwards else node[1:]
        joins = (line[1:] == line[:-1]) & (at[1:] == at[:-1] + 1) & (patch[1:] == patch[:-1]) & ~cut
        first = np.flatnonzero(np.append(True, ~joins)[: line.size])
        length = np.diff(np.append(first, line.size))
        head = first + (length - 1 if backwards else 0)
        row, column = (k[head] for k in place)
        patch = patch[head]
        segments.append(
            _Segments(
                patch,
                patch if parts is labels else parts[row, column],
                row + window.row + (heading in (_WEST, _NORTH)),
                column + window.column + (heading in (_SOUTH, _WEST)),
                np.full(first.size, heading, np.int64),
                length,
                node[head],
            )
        )
    return _joined(segments)


def _rings(segments: _Segments, width: int) -> _Rings:
    """Connect the segments of complete patches into rings."""
    order = np.argsort(_corner_key(segments.row, segments.column, segments.heading, width))
    s = segments.take(order)
    s, ring = _walked(s, _followers(s, width))
    begin = np.flatnonzero(np.append(True, ring[1:] != ring[:-1]))
    previous = np.arange(ring.size) - 1
    previous[begin] = np.append(begin[1:], ring.size) - 1
    # segments of two blocks may continue in a straight line
    corner = (s.heading != s.heading[previous]) | s.node
    return _by_part(s.take(corner), ring[corner])


def _corner_key(row: Ints, column: Ints, heading: Ints, width: int) -> Ints:
    """A number that identifies a corner and a heading; in the order of rows, then columns."""
    return ((row * (width + 1) + column) << 2) | heading


def _followers(s: _Segments, width: int) -> Ints:
    """Index of the segment that continues each segment's border; the segments are sorted."""
    starts = _corner_key(s.row, s.column, s.heading, width)
    end_row = s.row + (_DOWN[s.heading] * s.length).astype(np.int64)
    end_column = s.column + (_RIGHT[s.heading] * s.length).astype(np.int64)
    after = np.full(starts.size, -1, np.int64)
    # Where two pixels of a patch meet only at a corner, the border turns left: rings then never
    # touch themselves, as valid polygons require.
    for turn in (1, 0, 3):
        wanted = _corner_key(end_row, end_column, (s.heading + turn) & 3, width)
        at = np.minimum(np.searchsorted(starts, wanted), starts.size - 1)
        fits = (starts[at] == wanted) & (s.part[at] == s.part)
        after[fits] = at[fits]
    assert (after >= 0).all(), "borders close"
    return after


def _walked(s: _Segments, after: Ints) -> tuple[_Segments, Ints]:
    """Segments in the order of their rings, and the ring of each."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order, connected_components

    count = after.size
    ends = np.arange(count + 1)
    links = csr_array((np.ones(count, np.int8), after, ends), shape=(count, count))
    _, ring = connected_components(links, directed=False)
    _, first = np.unique(ring, return_index=True)  # the ring's first corner, from the top left
    # all rings are cut open and joined into one path, which is then followed
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
    return s.take(way), ring[way]


def _by_part(s: _Segments, ring: Ints) -> _Rings:
    """Rings in the order of the parts that they bound, shells before holes."""
    begin = np.flatnonzero(np.append(True, ring[1:] != ring[:-1]))
    following = np.arange(ring.size) + 1
    following[np.append(begin[1:], ring.size) - 1] = begin
    next_row = s.row[following]
    # shells run clockwise on screen: more area lies left of their downward sides
    shell = np.add.reduceat(s.column * (next_row - s.row), begin) > 0
    part = s.part[begin]
    parts, shells = np.unique(part[shell], return_index=True)
    rank = np.empty(parts.size, np.int64)
    rank[np.argsort(shells)] = np.arange(parts.size)
    place = rank[np.searchsorted(parts, part)]
    ring_order = np.lexsort((np.arange(begin.size), ~shell, place))
    sizes = np.diff(np.append(begin, ring.size))[ring_order]
    start = np.append(0, np.cumsum(sizes)[:-1])
    corners = np.repeat(begin[ring_order] - start, sizes) + np.arange(ring.size)
    numbers = np.empty(parts.size, np.int64)
    numbers[rank] = s.patch[begin][shell][shells]
    return _Rings(s.row[corners], s.column[corners], start, place[ring_order], numbers)


def _joined(parts: list[_Segments]) -> _Segments:
    patch = np.concatenate([p.patch for p in parts])
    alike = all(p.part is p.patch for p in parts)
    return _Segments(
        patch,
        patch if alike else np.concatenate([p.part for p in parts]),
        np.concatenate([p.row for p in parts]),
        np.concatenate([p.column for p in parts]),
        np.concatenate([p.heading for p in parts]),
        np.concatenate([p.length for p in parts]),
        np.concatenate([p.node for p in parts]),
    )
