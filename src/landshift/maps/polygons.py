"""Patches of change as polygons, traced block by block as if the map were traced whole.

Each side of a pixel that parts it from another patch is a step of a patch's border; where such
steps lie doesn't depend on the blocks in which the map is read. The steps of a block become
straight segments. Patches inside a block are closed into rings at once; segments of patches that
reach over a block's border wait until the last of their blocks is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray

from landshift import grid, raster, vector
from landshift.classes import class_options, ends_of, stays
from landshift.errors import ClassError, GridError, ParameterError
from landshift.files import options
from landshift.files import whole as whole_files
from landshift.files.rows import Rows
from landshift.grid import Window
from landshift.maps.cleaning import Patches, check_neighbours, parts_of, patch_codes, value_of

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

DRIVERS = {".gpkg": "GPKG", ".fgb": "FlatGeobuf", ".parquet": vector.GEOPARQUET}
"""Formats that patches are written in, by suffix."""

BLOCK = 1024
"""Rows and columns of the map read at once."""

_BATCH = 100_000  # polygons written at once
_SIDES = 4
_ALIKE = np.ones((1, 1))  # areas that nobody asks for

# Directions of a border step, clockwise around its patch: east above a pixel, south at its right,
# west below, north at its left; rows count down
_EAST, _SOUTH, _WEST, _NORTH = range(4)
_DOWN, _RIGHT = np.array([0, 1, 0, -1]), np.array([1, 0, -1, 0])

# Confidences are added as whole numbers of this part of 1, so that their order doesn't matter
_PARTS = 1 << 24
_SUREST = 1000.0  # beyond it the sums of large patches could overflow

Ints = NDArray[np.int64]


@dataclass(frozen=True, repr=False)
class Traced(Rows):
    """What `polygons` wrote.

    Attributes:
        path: The file.
        polygons: Polygons of each class that has some, by its name.
        hectares: Area of each of those classes in them.
        dropped: Patches smaller than the minimum.
        min_hectares: That minimum.
    """

    path: Path
    polygons: dict[str, int]
    hectares: dict[str, float]
    dropped: int
    min_hectares: float = 0.0

    def rows(self) -> list[dict[str, Any]]:
        """A row per class: its polygons and their area."""
        return [
            {"class": name, "polygons": count, "hectares": self.hectares[name]}
            for name, count in self.polygons.items()
        ]


def polygons(
    mapped: options.MapFile,
    out: options.OutFile,
    *,
    confidence: Path | None = None,
    min_hectares: float = 0.0,
    simplify: float | None = None,
    everything: options.Flag = False,
    neighbours: Annotated[int, Parameter(name=("--neighbours", "--connectivity"))] = _SIDES,
    classes: class_options.ClassesLike = None,
    nodata: float | None = None,
    overwrite: options.Flag = False,
    block: Annotated[int, Parameter(parse=False)] = BLOCK,
    on_block: options.OnBlock = None,
) -> Traced:
    """Write a map's patches of change as polygons: class, from, to, hectares, confidence.

    A patch is pixels of one class that connect over their sides or, on request, their corners. Then
    it is a multipolygon, whose parts connect over sides and touch each other at corners only. Its
    area is that of its pixels, also where its outline is simplified.

    Args:
        mapped: The map: a change map, or any class map (all of whose classes count as change).
        out: The file to write: .gpkg, .parquet (GeoParquet; needs pyarrow), or .fgb, which holds
            all polygons in memory.
        confidence: A raster of one band on the map's grid; each polygon gets its mean.
        min_hectares: Leave smaller patches out.
        simplify: Simplify outlines by this tolerance in units of the CRS; borders that patches
            share stay shared (Visvalingam & Whyatt 1993, doi 10.1179/000870493786962263, as GEOS
            does it for coverages). Holds all polygons in memory. Left out: outlines follow the
            pixels.
        everything: Trace 'No change' and classes such as 'forest->forest' too.
        neighbours: Whether pixels connect over their sides only, 4, or corners too, 8, as
            multipolygons.
        classes: The map's classes, as for label; left out: as its files tell, else by value.
        nodata: A value without a class, beside what the file says.
        overwrite: Replace what is there already under the same name.
        block: Rows and columns read at once; the polygons don't depend on it, their order does.

    Raises:
        ParameterError: Another format, or one that needs what isn't installed; a minimum or
            tolerance below 0; neither 4 nor 8 neighbours; confidences beyond 1000.
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
            "The smallest area (`min_hectares`) and the tolerance (`simplify`) must be at least "
            f"0, got {min_hectares:g} ha and {simplify}."
        )
    check_neighbours(neighbours)
    inputs = [mapped, confidence, class_options.file_of(classes)]
    whole_files.check_new(out, inputs=inputs, overwrite=overwrite)
    known = raster.map_classes(mapped, class_options.classes_of(classes), nodata)
    left_out = [v for v, n in known.names.items() if stays(n) and not everything]
    counts: dict[str, int] = {}
    hectares: dict[str, float] = {}
    names: dict[int, str] = {}
    dropped = 0
    with ExitStack() as stack:
        part = stack.enter_context(whole_files.whole_file(out))
        source = _Source(
            stack, mapped, confidence, known, left_out, block, neighbours,
            nodes=simplify is not None,
        )  # fmt: skip
        crs = source.box.crs
        assert crs is not None, "areas need a CRS"
        kind = "Polygon" if neighbours == _SIDES else "MultiPolygon"
        layer = stack.enter_context(vector.new_layer(part, "changes", crs, driver, kind))
        sink = _Sink(layer, source.box, confidence is not None, simplify)
        for patches in source.trace(on_block):
            large = patches.hectares >= min_hectares * (1 - 1e-9)
            dropped += int((~large).sum())
            kept = patches.take(large)
            class_names = np.empty(kept.codes.size, object)
            for code in np.unique(kept.codes):
                of_it = kept.codes == code
                value = value_of(int(code))
                if value not in names:
                    names = known.named([*names, value])
                name = names[value]
                class_names[of_it] = name
                counts[name] = counts.get(name, 0) + int(of_it.sum())
                hectares[name] = hectares.get(name, 0.0) + float(kept.hectares[of_it].sum())
            sink.add(kept, class_names)
        sink.flush()
        if not sink.written:
            raise ClassError(
                f"The map must hold a patch of change of {min_hectares:g} ha or more, got none in "
                f"{mapped}; lower `min_hectares`, or ask for `everything`."
            )
    return Traced(out, counts, hectares, dropped, min_hectares)


@dataclass(frozen=True)
class _Outlines:
    """Whole patches.

    Attributes:
        polygons: Their polygons, in pixels.
        codes: Code of each.
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
        self, layer: vector.NewLayer, box: GeoBox, with_confidence: bool, tolerance: float | None
    ) -> None:
        self._layer = layer
        self._box = box
        self._with_confidence = with_confidence
        self._tolerance = tolerance
        # what must be written at once, because the format or the simplification needs it
        self._at_once = tolerance is not None or not layer.grows
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
        self._layer.add(columns, outlines)
        self.written += self._polygons
        self._held, self._polygons = [], 0


@dataclass(frozen=True)
class _Segments:
    """Straight parts of borders, the patch at their right hand; one entry a segment.

    Attributes:
        patch: Number of the patch.
        part: Number of its part that connects over sides; the same array where patches do.
        row: Row of the corner where it starts.
        column: Column of it.
        heading: Direction.
        length: Pixels that it passes.
        node: Whether its start stays a corner where the border runs straight on, because others'
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
        """The same with patches numbered from another number on."""
        patch = self.patch - first
        return replace(self, patch=patch, part=patch if self.part is self.patch else self.part)


class _Source:
    """A map and its confidence, block by block, and the patches traced in it."""

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

    def trace(self, on_block: Callable[[int, int], None] | None) -> Iterator[_Outlines]:
        """The patches, in batches: of each block those inside, of each row of blocks the rest."""
        patches = Patches(self._windows, self._neighbours)
        # their parts that connect over sides: those have the outlines
        parts = patches if self._neighbours == _SIDES else Patches(self._windows, _SIDES)
        total = 2 * len(self._windows)
        for done, window in enumerate(self._windows, start=1):
            codes = self._codes(window)
            for found in dict.fromkeys((patches, parts)):
                found.add(codes, parts_of(codes, _ALIKE, found.neighbours))
            if on_block is not None:
                on_block(done, total)
        for found in dict.fromkeys((patches, parts)):
            found.join()
        passed = 0  # parts inside of earlier blocks
        waiting: list[_Segments] = []
        sums = np.zeros((4, patches.count), np.int64)  # rows as in _Sums
        for number, window in enumerate(self._windows):
            codes = self._codes(window.grown(1))
            inner = codes[1:-1, 1:-1]
            labels = patches.numbers(number, inner, _ALIKE)
            # patches at the border have numbers below the count, those inside from it on
            local = labels - patches.count
            inside = _Sums(int(local.max(initial=-1)) + 1)
            outside = _Sums(patches.count, sums)
            areas, values = self._ground.shares(window), self._confidences(window)
            for own, held in ((local, inside), (np.where(local < 0, labels, -1), outside)):
                held.add(own, inner, areas, values)
            own = labels
            if parts is not patches:
                own = parts.numbers(number, inner, _ALIKE)
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
        """Codes of change as `patch_codes` gives them, 0 elsewhere."""
        values, mask = raster.read_classes(self._map, window, self._known)
        if self._left_out:
            mask &= ~np.isin(values, self._left_out)
        return patch_codes(values, mask)

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
        corners = np.stack([rings.column, rings.row], axis=1).astype(np.float64)
        closed = shapely.linearrings(corners, indices=ring_of)
        polygons = shapely.polygons(closed, indices=rings.place)
        patches = rings.patches
        if self._neighbours != _SIDES:
            patches, first, member = np.unique(patches, return_index=True, return_inverse=True)
            order = np.argsort(first)  # patches in the order of their first parts
            place = np.argsort(order)[member]
            by_patch = np.argsort(place, kind="stable")
            polygons = shapely.multipolygons(polygons[by_patch], indices=place[by_patch])
            patches = patches[order]
        code, shares, total, pixels = sums[:, patches]
        mean = np.full(code.size, np.nan)
        np.divide(total, pixels * float(_PARTS), out=mean, where=pixels > 0)
        return _Outlines(polygons, code, shares * self._ground.share, mean)


class _Sums:
    """Code, area in shares, confidence and pixels with one, of each patch."""

    def __init__(self, count: int, table: Ints | None = None) -> None:
        self.table = np.zeros((4, count), np.int64) if table is None else table

    def add(
        self, labels: Ints, codes: Ints, areas: Ints, values: tuple[Ints, NDArray[np.bool_]] | None
    ) -> None:
        """Take the pixels of a block; labels below 0 belong to none of these patches."""
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
    """Closed borders: corners of all rings one after the other, and which part each ring bounds.

    Attributes:
        row: Row of each corner.
        column: Column of it.
        start: Place of each ring's first corner.
        place: Place of each ring's part among the parts; shells come before their holes.
        patches: Number of each part's patch, in the order of the first corner of their shells.
    """

    row: Ints
    column: Ints
    start: Ints
    place: Ints
    patches: Ints


def _segments(codes: Ints, labels: Ints, parts: Ints, window: Window, *, nodes: bool) -> _Segments:
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
        cut = node[:-1] if backwards else node[1:]
        joins = (line[1:] == line[:-1]) & (at[1:] == at[:-1] + 1) & (patch[1:] == patch[:-1]) & ~cut
        first = np.flatnonzero(np.append(True, ~joins)[: line.size])
        length = np.diff(np.append(first, line.size))
        head = first + (length - 1 if backwards else 0)
        row, column = (k[head] for k in place)
        patch = patch[head]
        found.append(
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
        fits = (starts[at] == wanted) & (s.part[at] == s.part)
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
    part = s.part[begin]
    parts, shells = np.unique(part[shell], return_index=True)
    rank = np.empty(parts.size, np.int64)
    rank[np.argsort(shells)] = np.arange(parts.size)
    place = rank[np.searchsorted(parts, part)]
    # rings in the order of their parts, shells first
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
