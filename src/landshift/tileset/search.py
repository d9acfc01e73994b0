"""The search for a split of tiles by ground."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift.errors import ParameterError
from landshift.machine import progress
from landshift.tileset.tiles import Bounds, TileSet

logger = logging.getLogger(__name__)

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
TOUCH = 1e-6  # of a tile's side; tiles that share less ground only touch

# Weights of a split's cost. The mean share of a class's pixels that training loses has weight 1,
# so that no class lies mostly in the blocks.
_MISSED_SHARE = 0.5  # times the relative error of the share of validation tiles
_DROPPED = 0.5  # times the share of dropped tiles
_ABSENT_CLASS = 0.25  # for each class that one side lacks
_UNEVEN = 2.0  # times the mean relative error of a class's share, where that is asked
_FEW_BLOCKS = 0.05  # divided by the number of blocks: several places are more representative

_LACKING = {"training": "it can't be learnt", "validation": "its scores are unknown"}

_BLOCKS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)  # numbers of blocks to try
_SHAPES = ((1.0, 1.0), (2.0, 1.0), (1.0, 2.0))  # relative width and height of a block
_CORNERS = ((True, True), (True, False), (False, True), (False, False))  # grow right, up
_ANCHORS = 24  # random tiles that blocks grow from, in addition to the outermost
_RARE = 12  # number of rare classes whose tiles blocks grow from
_STARTS = 3  # first blocks to try


@dataclass(frozen=True)
class Split:
    """Training, validation and dropped tiles.

    Attributes:
        train: Indices of the training tiles, ascending.
        valid: Indices of the validation tiles.
        dropped: Indices of the tiles in neither, since their ground overlaps validation tiles.
    """

    train: tuple[int, ...]
    valid: tuple[int, ...]
    dropped: tuple[int, ...]


class Search:
    """Searches blocks of ground for validation.

    Args:
        tiles: The tile set.
        pairs: Its overlapping pairs.
        share: Wanted share of validation tiles.
        rng: Random generator.
        stratify: Whether each class is to have the same share of its pixels in validation.
    """

    def __init__(
        self,
        tiles: TileSet,
        pairs: Ints,
        share: float,
        rng: np.random.Generator,
        *,
        stratify: bool = False,
    ) -> None:
        self.uneven = _UNEVEN if stratify else 0.0
        self.count = len(tiles.tiles)
        self.share = share
        self.neighbours = _neighbours(pairs, self.count)
        self.box, self.group = places(tiles)
        self.pixels = _pixels(tiles)
        self.holds = self.pixels > 0
        self.anchors = self._draw_anchors(rng)

    def best(self) -> Bools | None:
        """The validation tiles of the cheapest split; None if there is no split."""
        wanted = max(1, round(self.share * self.count))
        best = self._smallest()
        best_cost = np.inf
        sizes = {n: max(1, round(wanted / n)) for n in _BLOCKS if n <= wanted}
        blocks = self._blocks(set(sizes.values()))
        for number, size in progress.each(sizes.items(), "split by ground", len(sizes)):
            pool = _Pool.of(_unpacked(blocks[size], self.count), self.box, self.group, self.pixels)
            for start in self._starts(pool, number):
                chosen = self._choose(pool, number, start)
                valid: Bools = np.any(pool.members[chosen], axis=0)
                cost = self._cost(valid, len(chosen))
                if cost < best_cost:
                    best, best_cost = valid, cost
        return best

    def split_of(self, valid: Bools) -> Split:
        """The split with these validation tiles."""
        dropped = self._dropped(valid)
        return Split(indices_of(~valid & ~dropped), indices_of(valid), indices_of(dropped))

    def _draw_anchors(self, rng: np.random.Generator) -> Ints:
        """Tiles that blocks grow from: outermost, random, and some of each rare class."""
        drawn = rng.permutation(self.count)[:_ANCHORS]
        outermost = []
        for group in np.argsort(-np.bincount(self.group), kind="stable")[:4]:
            members = np.flatnonzero(self.group == group)
            x, y = self.box[members, 0], self.box[members, 1]
            for term in (x + y, x - y, y - x, -x - y, x, -x, y, -y):
                outermost.append(members[np.argmin(term)])
        rare = []
        for column in self.holds.T[np.argsort(self.holds.sum(axis=0), kind="stable")[:_RARE]]:
            members = np.flatnonzero(column)
            rare += list(rng.permutation(members)[:2])
        return np.unique(np.concatenate([drawn, np.array(outermost + rare, np.int64)]))

    def _reaches(self) -> Iterator[Floats]:
        """The size at which each block contains each tile, block by block.

        A block starts with an anchor's ground and grows in one of four directions. The size is
        infinite for tiles that it never contains.
        """
        for anchor in self.anchors:
            elsewhere = self.group != self.group[anchor]
            for right, up in _CORNERS:
                near_x, far_x = _seen_from(anchor, self.box[:, 0], self.box[:, 2], right)
                near_y, far_y = _seen_from(anchor, self.box[:, 1], self.box[:, 3], up)
                outside = elsewhere | (near_x < -TOUCH) | (near_y < -TOUCH)
                for width, height in _SHAPES:
                    reach = np.maximum(far_x / width, far_y / height)
                    reach[outside] = np.inf
                    rounded: Floats = reach.round(5)  # equal ground must compare equal
                    yield rounded

    def _blocks(self, sizes: set[int]) -> dict[int, list[bytes]]:
        """For each size, the different blocks grown until they contain about that many tiles.

        A block has one bit per tile, to save memory: there are hundreds of blocks.
        """
        by_size: dict[int, dict[bytes, None]] = {size: {} for size in sizes}
        for reach in self._reaches():
            order = np.argsort(reach, kind="stable")
            for size, blocks in by_size.items():
                inside = np.zeros(self.count, np.bool_)
                inside[order[: _level(reach[order], size)]] = True
                blocks[np.packbits(inside).tobytes()] = None
        return {size: list(blocks) for size, blocks in by_size.items()}

    def _starts(self, pool: _Pool, number: int) -> list[int]:
        """First blocks: those with the smallest estimated cost alone."""
        cost = self._estimate(pool, [], number)
        return [int(k) for k in np.argsort(cost, kind="stable")[:_STARTS]]

    def _choose(self, pool: _Pool, number: int, start: int) -> list[int]:
        """Blocks apart from each other, each the cheapest when it is added; at most ``number``."""
        chosen = [start]
        free = pool.apart[start].copy()
        while len(chosen) < number and free.any():
            cost = self._estimate(pool, chosen, number)
            best = int(np.argmin(np.where(free, cost, np.inf)))
            chosen.append(best)
            free &= pool.apart[best]
        return chosen

    def _estimate(self, pool: _Pool, chosen: list[int], number: int) -> Floats:
        """Estimated cost of adding each block to the chosen ones; shared rims count twice."""
        target = self.share * (len(chosen) + 1) / number
        share = (pool.size + pool.size[chosen].sum()) / self.count
        lacking = (~(pool.holds | pool.holds[chosen].any(axis=0))).sum(axis=1)
        left = self.holds.sum(axis=0) - pool.takes - pool.takes[chosen].sum(axis=0)
        lacking += (left <= 0).sum(axis=1)
        lost = (pool.lost + pool.lost[chosen].sum(axis=0)).mean(axis=1)
        cost: Floats = (
            self._missed(share - target)
            + _DROPPED * pool.rim / self.count
            + lost
            + _ABSENT_CLASS * lacking
            + self._unevenness(pool.has + pool.has[chosen].sum(axis=0), target)
        )
        return cost

    def _cost(self, valid: Bools, blocks: int) -> float:
        """Cost of a split."""
        dropped = self._dropped(valid)
        train = ~valid & ~dropped
        if not train.any():
            return np.inf
        share = valid.sum() / (valid.sum() + train.sum())
        sides = (self.holds[valid], self.holds[train])
        absent = sum(int((~side.any(axis=0)).sum()) for side in sides)
        return float(
            self._missed(share - self.share)
            + _DROPPED * dropped.sum() / self.count
            + 1.0
            - self.pixels[train].sum(axis=0).mean()
            + _ABSENT_CLASS * absent
            + _FEW_BLOCKS / blocks
            + self._unevenness(self.pixels[valid].sum(axis=0), self.share)
        )

    def _unevenness(self, shares: Floats, target: float) -> Any:
        """Cost of classes that have other shares of their pixels in validation than is wanted."""
        return self.uneven * np.abs(shares - target).mean(axis=-1) / self.share

    def _missed(self, error: Any) -> Any:
        """Cost of an error in the share of validation tiles."""
        return _MISSED_SHARE * abs(error) / self.share

    def _dropped(self, valid: Bools) -> Bools:
        """Tiles that overlap a validation tile without being one."""
        beside = np.zeros(self.count, np.bool_)
        beside[self.neighbours[np.flatnonzero(valid)].indices] = True
        return beside & ~valid

    def _smallest(self) -> Bools | None:
        """The tile with the fewest overlaps, if that leaves a training tile."""
        degree = np.diff(self.neighbours.indptr)
        tile = int(np.argmin(degree))
        if degree[tile] >= self.count - 1:
            return None
        valid: Bools = np.arange(self.count) == tile
        return valid


@dataclass(frozen=True)
class _Pool:
    """Candidate blocks.

    Attributes:
        members: Tiles inside each block, ``(block, tile)``.
        size: Number of tiles inside each block.
        rim: Number of tiles that overlap a block but aren't inside it.
        holds: Classes that occur in each block, ``(block, class)``.
        has: Share of each class's pixels inside each block, ``(block, class)``.
        takes: Tiles with each class, inside and on the rim, ``(block, class)``.
        lost: Share of each class's pixels that lies in those tiles, ``(block, class)``.
        apart: Whether two blocks neither share nor touch a tile, ``(block, block)``.
    """

    members: Bools
    size: Ints
    rim: Ints
    holds: Bools
    has: Floats
    takes: Ints
    lost: Floats
    apart: Bools

    @classmethod
    def of(cls, members: Bools, box: Floats, group: Ints, pixels: Floats) -> _Pool:
        from scipy.sparse import csr_array

        around = np.array([_around(inside, box, group) for inside in members])
        inside = csr_array(members, dtype=np.int32)
        wide = csr_array(members | around, dtype=np.int32)
        kinds = (pixels > 0).astype(np.int32)
        return cls(
            members=members,
            size=members.sum(axis=1),
            rim=around.sum(axis=1),
            holds=inside @ kinds > 0,
            has=inside @ pixels,
            takes=wide @ kinds,
            lost=wide @ pixels,
            apart=(inside @ wide.T).toarray() == 0,
        )


def _unpacked(blocks: Sequence[bytes], count: int) -> Bools:
    """Packed blocks as booleans ``(block, tile)``."""
    bits = np.frombuffer(b"".join(blocks), np.uint8).reshape(len(blocks), -1)
    return np.unpackbits(bits, axis=1, count=count).astype(np.bool_)


def _seen_from(anchor: int, low: Floats, high: Floats, forwards: bool) -> tuple[Floats, Floats]:
    """Distance of each tile's near and far edge from the anchor's, along one axis."""
    if forwards:
        return low - low[anchor], high - low[anchor]
    return high[anchor] - high, high[anchor] - low


def _level(reach: Floats, size: int) -> int:
    """Number of ascending values closest to ``size``, without separating equal ones."""
    finite = int(np.searchsorted(reach, np.inf, side="left"))
    level = reach[min(size, finite) - 1]
    less = int(np.searchsorted(reach, level, side="left"))
    more = int(np.searchsorted(reach, level, side="right"))
    return less if less > 0 and size - less < more - size else more


def _around(inside: Bools, box: Floats, group: Ints) -> Bools:
    """Tiles that overlap the bounding box of others, without being among them."""
    left, bottom, right, top = box.T
    overlaps: Bools = group == group[np.argmax(inside)]
    overlaps &= (right > left[inside].min() + TOUCH) & (left < right[inside].max() - TOUCH)
    overlaps &= (top > bottom[inside].min() + TOUCH) & (bottom < top[inside].max() - TOUCH)
    return overlaps & ~inside


def _neighbours(pairs: Ints, count: int) -> Any:
    """Overlapping tiles as a sparse matrix, ``(tile, tile)``."""
    from scipy.sparse import csr_array

    rows, columns = np.concatenate([pairs, pairs[:, ::-1]]).T
    return csr_array((np.ones(len(rows), np.bool_), (rows, columns)), shape=(count, count))


def _pixels(tiles: TileSet) -> Floats:
    """Share of each class's pixels in each tile, ``(tile, class)``, without empty classes."""
    values = tiles.scheme.values
    counts = np.array([[t.class_pixels.get(v, 0) for v in values] for t in tiles.tiles], np.float64)
    total = counts.sum(axis=0)
    shares: Floats = counts[:, total > 0] / total[total > 0]
    return shares


def grounds(tiles: TileSet) -> Iterator[tuple[Ints, Floats]]:
    """Groups of tiles by CRS: their indices and boxes; NaN boxes without a georeference.

    Tiles of several known CRSs form one group, with boxes in the CRS of most of them.
    """
    known = Counter(t.crs for t in tiles.tiles if t.bounds is not None and t.crs is not None)
    main = known.most_common(1)[0][0] if known else None
    keys, boxes = [], []
    for tile in tiles.tiles:
        box, crs = tile.bounds, tile.crs
        if box is not None and crs is not None and main is not None and crs != main:
            moved = _moved(box, crs, main)
            box, crs = (box, crs) if moved is None else (moved, main)
        keys.append((box is not None, crs or ""))
        boxes.append(box or (np.nan,) * 4)
    for key in sorted(set(keys)):
        members = np.array([k for k, own in enumerate(keys) if own == key], np.int64)
        yield members, np.array([boxes[k] for k in members], np.float64)


def _moved(box: Bounds, crs: str, main: str) -> Bounds | None:
    """The bounding box of a box in another CRS; None outside that CRS's domain."""
    from pyproj.exceptions import ProjError

    try:
        bounds = _transformer(crs, main).transform_bounds(*box)
    except ProjError:
        return None
    left, bottom, right, top = (float(v) for v in bounds)
    return (left, bottom, right, top) if np.isfinite(bounds).all() and left < right else None


@lru_cache(maxsize=64)
def _transformer(crs: str, main: str) -> Any:
    import pyproj

    return pyproj.Transformer.from_crs(crs, main, always_xy=True)


def places(tiles: TileSet) -> tuple[Floats, Ints]:
    """Box of each tile in units of tile sides, and the group of tiles that it may overlap.

    Tiles of no known ground lie apart.
    """
    box = np.empty((len(tiles.tiles), 4))
    group = np.empty(len(tiles.tiles), np.int64)
    for number, (members, bounds) in enumerate(grounds(tiles)):
        group[members] = number
        if np.isnan(bounds).any():  # separate, in the order of their names
            left = 2.0 * np.arange(len(members))
            bounds = np.stack([left, 0 * left, left + 1, 0 * left + 1], axis=1)
        side = (bounds[:, 2:] - bounds[:, :2]).max(axis=0)
        origin = bounds[:, :2].min(axis=0)
        box[members] = (bounds - np.tile(origin, 2)) / np.tile(side, 2)
    return np.asfortranarray(box), group  # columns are compared


def check_share(valid_share: float) -> None:
    """Check that a share of validation tiles lies between 0 and 1.

    Raises:
        ParameterError: It doesn't.
    """
    if not 0 < valid_share < 1:
        raise ParameterError(f"`val_split_pct` must lie between 0 and 1, got {valid_share}.")


def why_impossible(tiles: TileSet) -> str:
    """Why no split by ground exists, and which tile size would allow one."""
    boxes = np.array([t.bounds for t in tiles.tiles if t.bounds is not None])
    state = f"got {len(tiles.tiles)} tiles in {tiles.folder} that all share ground"
    pixels = 0
    if len(boxes):
        sides = (boxes[0, 2:] - boxes[0, :2]) / (tiles.width, tiles.height)
        extent = (boxes[:, 2:].max(axis=0) - boxes[:, :2].min(axis=0)) / sides
        pixels = int(np.floor(extent.max() / 2 + 1e-6))
    if pixels < 1:
        return f"A split by ground needs two tiles apart from each other, {state}; cut more tiles."
    if pixels >= 32:
        pixels -= pixels % 32  # networks halve a tile up to five times
    return (
        f"A split by ground needs two tiles apart from each other, {state}; cut tiles of at most "
        f"{pixels} pixels with a stride of at most {pixels}, or split at random."
    )


def log_split(tiles: TileSet, split: Split) -> None:
    """Log how many tiles train and validate, and which classes a side lacks."""
    logger.info(
        "%s: %d training and %d validation tiles, %d dropped between them.",
        tiles.folder, len(split.train), len(split.valid), len(split.dropped),
    )  # fmt: skip
    names = tiles.scheme.mapping
    sides = {"training": split.train, "validation": split.valid}
    for side, members in sides.items():
        absent = [
            f"{names[v]} (in {_many(sum(v in t.class_pixels for t in tiles.tiles))})"
            for v in absent_classes(tiles, members)
        ]
        if absent:
            logger.warning(
                "%s: no %s tile holds %s; too few tiles apart from each other do, so that %s. Cut "
                "smaller tiles, or add pairs that hold it.",
                tiles.folder, side, ", ".join(absent), _LACKING[side],
            )  # fmt: skip


def absent_classes(tiles: TileSet, members: Sequence[int]) -> list[int]:
    """Values of the set's classes that don't occur in some of its tiles.

    Args:
        tiles: The tile set.
        members: Indices of those tiles.
    """
    everywhere, own = tiles.class_pixels(), tiles.class_pixels(members)
    return [v for v in tiles.scheme.values if everywhere.get(v) and not own.get(v)]


def _many(count: int) -> str:
    return "1 tile" if count == 1 else f"{count} tiles"


def indices_of(chosen: Bools) -> tuple[int, ...]:
    """Indices of the true entries, ascending."""
    return tuple(int(k) for k in np.flatnonzero(chosen))
