"""Outlines of a map's patches, traced block by block with the same result as tracing it whole.

Each side of a pixel that separates it from another patch is a step of a patch's border; the steps
don't depend on the blocks in which the map is read. The steps of a block become straight segments.
Patches inside a block are closed into rings at once; segments of patches that reach a block's
border wait until their last row of blocks is done.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift import grid, raster
from landshift.errors import GridError, ParameterError
from landshift.maps.cleaning import JoinedRow, Parts, Patches, patch_codes
from landshift.maps.runs import Runs
from landshift.raster import blockwise
from landshift.raster.blockwise import Block

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox
    from rasterio.io import DatasetReader

SIDES = 4
"""Neighbours of a pixel over its sides alone."""

# Directions of a border step, clockwise around its patch: east above a pixel, south at its right,
# west below, north at its left; rows count down
_EAST, _SOUTH, _WEST, _NORTH = range(4)
_DOWN, _RIGHT = np.array([0, 1, 0, -1], np.int8), np.array([1, 0, -1, 0], np.int8)

# Confidences are summed as integers in this fraction of 1, so that their order doesn't matter
_PARTS = 1 << 24
_SUREST = 1000.0  # above it the sums of large patches could overflow

_CLOSED_AT_ONCE = 200_000
"""Segments closed at once: as many as a block of many small patches has."""

_KEYS = 1 << 62  # keys of corners stay below it

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Outlines:
    """Complete patches.

    Attributes:
        polygons: Polygon of each, in the map's CRS.
        codes: Code of each, see `patch_codes`.
        hectares: Area of each.
        confidence: Mean confidence of each; NaN where there is none.
    """

    polygons: NDArray[np.object_]
    codes: NDArray[Any]
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

    patch: NDArray[Any]
    part: NDArray[Any]
    row: NDArray[np.int32]
    column: NDArray[np.int32]
    heading: NDArray[np.int8]
    length: NDArray[np.int32]
    node: NDArray[np.bool_]

    def take(self, chosen: NDArray[Any]) -> _Segments:
        patch = self.patch[chosen]
        return _Segments(
            patch, patch if self.part is self.patch else self.part[chosen], self.row[chosen],
            self.column[chosen], self.heading[chosen], self.length[chosen], self.node[chosen],
        )  # fmt: skip

    def numbered(self, patch: NDArray[Any], part: NDArray[Any] | None = None) -> _Segments:
        """The same segments with other numbers of patches and parts; None: of patches alone."""
        return replace(self, patch=patch, part=patch if part is None else part)


@dataclass(frozen=True)
class _TracedBlock:
    """What a block holds.

    Attributes:
        inside: The patches inside the block.
        parts: Its patches, with the sums of `MapTracer._sums`.
        sides: Its parts that connect over sides, where patches connect over corners too.
        hidden: Number of those parts inside the block whose patches reach its border.
        segments: Borders of patches at the block's border. Patches and parts are numbered among
            those at the border; hidden parts are -1, -2, ...
    """

    inside: Outlines
    parts: Parts
    sides: Parts | None
    hidden: int
    segments: _Segments


@dataclass(frozen=True)
class _Sources:
    """A thread's own open map and confidence."""

    map: DatasetReader
    confidence: DatasetReader | None


class MapTracer:
    """Traces the patches of a map, with their area and mean confidence.

    Args:
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
        mapped: Path,
        confidence: Path | None,
        known: raster.ClassValues,
        left_out: Sequence[int],
        block: int,
        neighbours: int,
        *,
        nodes: bool,
    ) -> None:
        about = raster.info(mapped)
        self.box: GeoBox = about.grid
        self._map, self._confidence = mapped, confidence
        self._cache = raster.cache_for(about, block)
        self._known, self._left_out = known, left_out
        self._neighbours, self._nodes = neighbours, nodes
        if confidence is not None:
            other = raster.info(confidence)
            grid.check_same(
                about.grid, other.grid, what="Map and confidence", names=("map", "confidence")
            )
            if len(other.bands) != 1:
                raise GridError(
                    f"The confidence must be one band, got {len(other.bands)} in {confidence}."
                )
            self._cache += raster.cache_for(other, block)
        self._windows = list(raster.blocks(about.height, about.width, block))
        self._ground = grid.ground(about.grid)

    @contextmanager
    def traced(self) -> Iterator[Iterator[Outlines]]:
        """All patches, in batches: those inside each block, and after a row of blocks the others.

        Raises:
            ParameterError: Neither 4 nor 8 neighbours, or confidences beyond 1000.
            RasterError: A raster can't be read.
        """
        with blockwise.results(
            self._windows, "tracing patches", self._opened, self._trace
        ) as results:
            yield self._batches(block for _, block in results)

    @contextmanager
    def _opened(self) -> Iterator[_Sources]:
        with ExitStack() as stack:
            paths = (self._map, self._confidence)
            rasters = (p and raster.open_raster(p, cache=self._cache) for p in paths)
            yield _Sources(*(r and stack.enter_context(r) for r in rasters))

    def _trace(self, sources: _Sources, block: Block) -> _TracedBlock:
        """Trace a block by itself."""
        codes = self._codes(sources.map, block.window.grown(1))
        runs = Runs.of(codes[1:-1, 1:-1])
        patches = parts = runs.patches(self._neighbours)
        if self._neighbours != SIDES:
            parts = runs.patches(SIDES)
        whole = Parts.of(runs, patches, self._sums(sources, block.window, runs, patches))
        segments = _segments(codes, runs, block.window, nodes=self._nodes)
        run = segments.patch
        segments = segments.numbered(patches[run], None if parts is patches else parts[run])
        place = np.full(whole.codes.size, -1, np.int64)
        place[whole.at_border] = np.arange(whole.at_border.size)
        waits = place[segments.patch] >= 0
        inside = self._close(segments.take(~waits), whole.codes, whole.sums)
        segments = segments.take(waits)
        if parts is patches:
            segments = segments.numbered(place[segments.patch])
            return _TracedBlock(inside, whole, None, 0, segments)
        sides = Parts.of(runs, parts, np.zeros((0, int(parts.max()) + 1)))
        present = np.unique(segments.part)
        hidden = np.setdiff1d(present, sides.at_border)
        number = np.zeros(sides.codes.size, np.int64)
        number[sides.at_border] = np.arange(sides.at_border.size)
        number[hidden] = -1 - np.arange(hidden.size)
        segments = segments.numbered(place[segments.patch], number[segments.part])
        return _TracedBlock(inside, whole, sides, hidden.size, segments)

    def _batches(self, blocks: Iterator[_TracedBlock]) -> Iterator[Outlines]:
        """Outlines of the patches of all blocks; see `traced`."""
        joined = Patches(self._windows, self._neighbours)
        sides = _Sides(self._windows)
        waiting: list[_Segments] = []
        codes, sums = [np.zeros(0, np.int64)], [np.zeros((3, 0), np.int64)]
        for block in blocks:
            if block.inside.codes.size:
                yield block.inside
            border = block.parts.at_border
            codes.append(block.parts.codes[border])
            sums.append(block.parts.sums[:, border])
            own = block.segments.patch + joined.count
            waiting.append(block.segments.numbered(own, sides.numbers(block)))
            row = joined.add(block.parts)
            sides_row = None if block.sides is None else sides.joined.add(block.sides)
            if row is None:
                continue
            held = _joined(waiting)
            held = held.numbered(row.whole[held.patch], sides.joined_numbers(held, sides_row))
            code, table = row.of_each(np.concatenate(codes)), row.sums(np.concatenate(sums, axis=1))
            waiting = [held.take(held.patch < row.going_on)]
            held = held.take(held.patch >= row.going_on)
            yield from self._complete(held, row.going_on, code, table)
            codes, sums = [code[: row.going_on]], [table[:, : row.going_on]]

    def _complete(
        self, segments: _Segments, first: int, codes: NDArray[Any], sums: Ints
    ) -> Iterator[Outlines]:
        """Close the patches from a number on, a few at a time: it takes much memory."""
        segments_before = np.append(0, np.cumsum(np.bincount(segments.patch, minlength=codes.size)))
        while first < codes.size:
            last = segments_before[first] + _CLOSED_AT_ONCE
            end = max(int(np.searchsorted(segments_before, last, side="right")) - 1, first + 1)
            chosen = (segments.patch >= first) & (segments.patch < end)
            yield self._close(segments.take(chosen), codes, sums)
            first = end

    def _codes(self, source: DatasetReader, window: grid.Window) -> NDArray[Any]:
        """Codes of the classes with outlines, see `patch_codes`; 0 elsewhere."""
        values, mask = raster.read_classes(source, window, self._known)
        for value in self._left_out:
            mask &= values != value
        return patch_codes(values, mask)

    def _sums(
        self, sources: _Sources, window: grid.Window, runs: Runs, patches: NDArray[np.int32]
    ) -> Ints:
        """Area in shares, sum of confidences, and pixels with one, of each patch of a block."""
        values = [self._ground.shares(window)]
        if sources.confidence is not None:
            confidence, mask = raster.read(sources.confidence, window)
            known = np.where(mask, confidence[0], 0).astype(np.float64)
            largest = np.abs(known).max()
            if largest > _SUREST:
                raise ParameterError(
                    f"A confidence must be a share or per cent, got {largest:g} in "
                    f"{sources.confidence.name}; scale it."
                )
            # integers in units of 1 / _PARTS
            values += [np.rint(known * _PARTS).astype(np.int64), mask.astype(np.int64)]
        sums = np.zeros((3, int(patches.max()) + 1), np.int64)
        for total, own in zip(sums, values, strict=False):
            np.add.at(total, patches, runs.sums(own))
        return sums

    def _close(self, segments: _Segments, codes: NDArray[Any], sums: Ints) -> Outlines:
        """Close the segments of complete patches into polygons, ordered by their first corner.

        Args:
            segments: All segments of those patches.
            codes: Code of each patch, by number.
            sums: Its sums, as of `_sums`.
        """
        import shapely

        if not segments.patch.size:
            return Outlines(np.zeros(0, object), codes[:0], np.zeros(0), np.zeros(0))
        rings = _rings(segments, int(self.box.width))
        x, y = grid.apply(
            self.box.affine, rings.column.astype(np.float64), rings.row.astype(np.float64)
        )
        offsets: tuple[Ints, ...] = (rings.corners, rings.parts)
        kind = shapely.GeometryType.POLYGON
        if self._neighbours != SIDES:
            offsets, kind = (*offsets, rings.members), shapely.GeometryType.MULTIPOLYGON
        polygons = shapely.from_ragged_array(kind, np.stack([x, y], axis=1), offsets)
        shares, total, pixels = sums[:, rings.patches]
        mean = np.full(pixels.size, np.nan)
        np.divide(total, pixels * float(_PARTS), out=mean, where=pixels > 0)
        return Outlines(polygons, codes[rings.patches], shares * self._ground.share, mean)


class _Sides:
    """Numbers of parts that connect over sides, where patches connect over corners too.

    A part may be complete before its patch is; it then has a number below 0, for good.
    """

    def __init__(self, windows: Sequence[grid.Window]) -> None:
        self.joined = Patches(windows, SIDES)
        self._complete = 0

    def numbers(self, block: _TracedBlock) -> Ints | None:
        """Numbers of the parts of a block's segments, before the block is added."""
        if block.sides is None:
            return None
        part = block.segments.part
        numbers = np.where(part < 0, part - self._complete, part + self.joined.count)
        self._complete += block.hidden
        return numbers

    def joined_numbers(self, held: _Segments, row: JoinedRow | None) -> Ints | None:
        """Numbers of the parts of all segments after a row of blocks."""
        if row is None:
            return None
        part = held.part.copy()
        open_part = part >= 0
        whole = row.whole[part[open_part]]
        complete = whole >= row.going_on
        whole[complete] = row.going_on - 1 - self._complete - whole[complete]
        part[open_part] = whole
        self._complete += int(row.whole.max(initial=-1)) + 1 - row.going_on
        return part


@dataclass(frozen=True)
class _Rings:
    """Closed borders: the corners of all rings, one ring after the other.

    Attributes:
        row: Row of each corner; the last one of a ring is the first one again.
        column: Column of each corner.
        corners: First corner of each ring, and the number of corners.
        parts: First ring of each part, its shell, which its holes follow; and the number of rings.
        members: First part of each patch, and the number of parts.
        patches: Number of each patch, in the order of the first corner of their shells.
    """

    row: NDArray[np.int32]
    column: NDArray[np.int32]
    corners: Ints
    parts: Ints
    members: Ints
    patches: Ints


def _segments(codes: NDArray[Any], runs: Runs, window: grid.Window, *, nodes: bool) -> _Segments:
    """The border segments of a block's patches, with the run on their right in place of a patch.

    Args:
        codes: Codes of the block, and of one more pixel on each side.
        runs: The block's runs.
        window: The block.
        nodes: Whether a segment ends where borders of other patches meet it.
    """
    turned = np.ascontiguousarray(codes.T)
    segments = []
    for heading, lines, beyond in (
        (_EAST, codes, slice(None, -2)), (_SOUTH, turned, slice(2, None)),
        (_WEST, codes, slice(2, None)), (_NORTH, turned, slice(None, -2)),
    ):  # fmt: skip
        backwards = heading in (_WEST, _NORTH)
        inner, other = lines[1:-1], lines[beyond]  # other: at the left hand
        steps = (inner != other) & (inner != 0)
        # where a border runs straight on from one pixel to the next
        on = steps[:, :-1] & steps[:, 1:] & (inner[:, :-1] == inner[:, 1:])
        node = on & (other[:, :-1] != other[:, 1:]) if nodes else np.zeros_like(on)
        on &= ~node
        on[:, [0, -1]] = False
        steps = steps[:, 1:-1]
        first, last = np.flatnonzero(steps & ~on[:, :-1]), np.flatnonzero(steps & ~on[:, 1:])
        line, at = np.divmod(last if backwards else first, steps.shape[1])
        row, column = (line, at) if lines is codes else (at, line)
        run = runs.of_pixel[row, column]
        segments.append(
            _Segments(
                run, run,
                (row + (window.row + backwards)).astype(np.int32),
                (column + (window.column + (heading in (_SOUTH, _WEST)))).astype(np.int32),
                np.full(first.size, heading, np.int8),
                (last - first + 1).astype(np.int32),
                node[line, at + backwards],
            )
        )  # fmt: skip
    return _joined(segments)


def _rings(segments: _Segments, width: int) -> _Rings:
    """Connect the segments of complete patches into rings."""
    s, after = _followers(segments, width)
    way, ring = _walked(after)
    s = s.take(way)
    begin = np.flatnonzero(np.append(True, ring[1:] != ring[:-1]))
    previous = np.arange(ring.size) - 1
    previous[begin] = np.append(begin[1:], ring.size) - 1
    # segments of two blocks may continue in a straight line
    corner = (s.heading != s.heading[previous]) | s.node
    return _by_part(s.take(corner), ring[corner])


def _followers(s: _Segments, width: int) -> tuple[_Segments, Ints]:
    """The segments in the order of their starts, and the one that continues each one's border.

    At each corner as many segments of a part start as end there. Where two do, two pixels of the
    part meet at the corner only, and the border turns left: rings then never touch themselves, as
    valid polygons require.
    """
    row, part = s.row - s.row.min(), s.part.astype(np.int64) - s.part.min()
    starts = row.astype(np.int64) * (width + 1) + s.column
    step = _DOWN[s.heading] * np.int64(width + 1) + _RIGHT[s.heading]
    ends = starts + step * s.length
    parts = int(part.max()) + 1
    if (int(starts.max()) + 1) * parts * 4 > _KEYS:
        starts, ends = (np.unique(k, return_inverse=True)[1] for k in (starts, ends))
    order = np.argsort(((starts * parts + part) << 2) | s.heading)
    turned = np.argsort(((ends * parts + part) << 2) | ((s.heading + 3) & 3))
    place = np.empty(order.size, np.int64)
    place[order] = np.arange(order.size)
    after = np.empty(order.size, np.int64)
    after[place[turned]] = np.arange(order.size)
    return s.take(order), after


def _walked(after: Ints) -> tuple[Ints, Ints]:
    """Segments in the order of their rings, each from its first corner on, and their rings."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order, connected_components

    count = after.size
    ends = np.arange(count + 1)
    links = csr_array((np.ones(count), after, ends), shape=(count, count))
    _, ring = connected_components(links, directed=False)
    first = np.empty(int(ring.max()) + 1, np.int64)
    first[ring[::-1]] = ends[-2::-1]  # the ring's first corner, from the top left
    # all rings are cut open and joined into one path, which is then followed
    before = np.empty(count, np.int64)
    before[after] = ends[:-1]
    first.sort()
    path = after.copy()
    path[before[first]] = np.append(first[1:], -1)
    open_end = path < 0
    links = csr_array(
        (np.ones(count - 1), path[~open_end], np.append(0, np.cumsum(~open_end))),
        shape=(count, count),
    )
    way = breadth_first_order(links, first[0], return_predecessors=False)
    return way, ring[way]


def _by_part(s: _Segments, ring: Ints) -> _Rings:
    """Rings in the order of the parts that they bound, shells before holes."""
    begin = np.flatnonzero(np.append(True, ring[1:] != ring[:-1]))
    sizes = np.diff(begin, append=ring.size)
    following = np.arange(ring.size) + 1
    following[begin + sizes - 1] = begin
    column, row = s.column.astype(np.int64), s.row.astype(np.int64)
    # shells run clockwise on screen: more area lies left of their downward sides
    shell = np.add.reduceat(column * (row[following] - row), begin) > 0
    own = s.patch[begin][shell]  # patch of each part, in the order of their first corners
    leader = np.empty(int(own.max()) + 1, np.int64)
    leader[own[::-1]] = np.arange(own.size)[::-1]  # first part of each patch
    leaders = leader[own]
    order = np.argsort(leaders, kind="stable")
    rank = np.empty(own.size, np.int64)
    rank[order] = np.arange(own.size)
    part = s.part[begin]
    part -= part.min()
    place = np.empty(int(part.max()) + 1, np.int64)
    place[part[shell]] = rank
    place = place[part]  # of each ring's part
    ring_order = np.lexsort((~shell, place))
    sizes = sizes[ring_order] + 1  # the first corner once more at the end
    corners = np.append(0, np.cumsum(sizes))
    at = np.arange(corners[-1]) + np.repeat(begin[ring_order] - corners[:-1], sizes)
    at[corners[1:] - 1] = begin[ring_order]
    parts = np.append(0, np.cumsum(np.bincount(place)))
    members = np.flatnonzero(np.append(True, np.diff(leaders[order]) != 0))
    patches = own[order][members]
    return _Rings(s.row[at], s.column[at], corners, parts, np.append(members, own.size), patches)


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
