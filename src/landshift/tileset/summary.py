"""Summary of a split tile set: tiles, ground and labelled pixels of each side."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from landshift.errors import listed
from landshift.tileset.search import TOUCH, Floats, Ints, Split, places
from landshift.tileset.sizes import SMALLEST_TILE
from landshift.tileset.splitting import overlapping_pairs
from landshift.tileset.tiles import TileSet

logger = logging.getLogger(__name__)

FEW_TILES = 20
"""Training tiles below which a warning is given: an epoch has only one or two batches of eight, and
the network sees hardly more than one place."""

FEW_VALIDATION_TILES = 3
"""Validation tiles below which a warning is given: scores then come from one place."""

FEW_TRAINING_PIXELS = 500
"""Labelled pixels of a class in training, counted once on the ground, below which a warning is
given. For per-pixel classifiers 30 pixels a band and class are a usual minimum (Mather & Koch 2011,
doi 10.1002/9780470666517), 360 for two dates of six bands; neighbouring pixels, of which tiles
consist, say less than those."""

_STEPS = 64  # to which edges are rounded, of a tile's side
_RAREST = 3  # classes that are shown
_SHOWN_AT_MOST = 8  # classes that a warning names


@dataclass(frozen=True)
class Side:
    """The training or the validation tiles of a set.

    Attributes:
        tiles: Number of tiles.
        ground: Share of the ground of all tiles that they cover, 0 to 1.
        pixels: Labelled pixels of each class of the set, by name. Those that lie in several tiles
            count about once: each tile's pixels count by the share of its ground that is its own.
    """

    tiles: int
    ground: float
    pixels: dict[str, int]


@dataclass(frozen=True)
class SplitSummary:
    """Tiles, ground and labelled pixels of each side of a split tile set.

    Attributes:
        folder: The set's root.
        tile_size: Rows and columns of a tile.
        training: The training tiles.
        validation: The validation tiles.
        dropped: Tiles in neither, since their ground overlaps validation tiles.
    """

    folder: Path
    tile_size: tuple[int, int]
    training: Side
    validation: Side
    dropped: int

    def steps(self, batch_size: int) -> int:
        """Steps of an epoch: whole batches of training tiles."""
        return max(1, self.training.tiles // batch_size)

    @property
    def few_tiles(self) -> bool:
        """Whether training has fewer than `FEW_TILES` tiles."""
        return self.training.tiles < FEW_TILES

    @property
    def rare(self) -> dict[str, int]:
        """Classes below `FEW_TRAINING_PIXELS` and their pixels in training, the rarest first.

        Classes without any are left out: the split warns of those that only other tiles hold.
        """
        return {name: n for name, n in self._ascending() if n < FEW_TRAINING_PIXELS}

    def lines(self, batch_size: int) -> list[str]:
        """The summary in plain words, a line for each fact.

        Args:
            batch_size: Tiles a batch.
        """
        training, validation = self.training, self.validation
        steps = self.steps(batch_size)
        lines = [
            f"training: {_tiles(training.tiles)}, {training.ground:.0%} of the ground, "
            f"{steps:,} {'step' if steps == 1 else 'steps'} an epoch (batches of {batch_size})",
            f"validation: {_tiles(validation.tiles)}, {validation.ground:.0%} of the ground; "
            f"{self.dropped:,} dropped between them",
        ]
        rarest = [f"{name} ({n:,} pixels)" for name, n in self._ascending()[:_RAREST]]
        if rarest and not self.rare:  # a warning names those
            lines.append(f"rarest in training, about: {', '.join(rarest)}")
        never = [name for name, n in self._all().items() if not n]
        if never:
            lines.append(f"classes without a labelled pixel: {', '.join(never)}")
        return lines

    def warnings(self) -> list[str]:
        """Warnings of too few tiles or pixels, with what to do; empty where there are enough."""
        warnings = []
        training, validation = self.training, self.validation
        if self.few_tiles:
            warnings.append(
                f"{_tiles(training.tiles)} for training, fewer than {FEW_TILES}; {self._more()}."
            )
        if validation.tiles < FEW_VALIDATION_TILES:
            warnings.append(
                f"{_tiles(validation.tiles)} for validation, fewer than {FEW_VALIDATION_TILES}: "
                f"scores depend on one place; {self._more()}."
            )
        if self.rare:
            shown = [f"{name} ({n:,})" for name, n in self.rare.items()]
            warnings.append(
                f"fewer than {FEW_TRAINING_PIXELS} labelled pixels in training: "
                f"{listed(shown, _SHOWN_AT_MOST)}; add pairs of rasters with more of them, or join "
                "them with other classes (`recode`)."
            )
        return warnings

    def warn(self) -> None:
        """Log each warning, with the set's folder."""
        for warning in self.warnings():
            logger.warning("%s: %s", self.folder, warning)

    def _ascending(self) -> list[tuple[str, int]]:
        """Classes that occur in training and their pixels, the rarest first."""
        pixels = [(name, n) for name, n in self.training.pixels.items() if n]
        return sorted(pixels, key=lambda entry: entry[1])

    def _all(self) -> dict[str, int]:
        return {name: n + self.validation.pixels[name] for name, n in self.training.pixels.items()}

    def _more(self) -> str:
        """How to get more tiles."""
        size = max(self.tile_size) // 2 // SMALLEST_TILE * SMALLEST_TILE
        if size < SMALLEST_TILE:
            return "add pairs of rasters, or cut with a smaller `stride`"
        return f"cut smaller tiles (`tile_size` {size}, `stride` {size // 2}), or add pairs"


def summarise(tiles: TileSet, split: Split, *, ignored: Sequence[int] = ()) -> SplitSummary:
    """Summarise what a split tile set gives to learn from.

    Args:
        tiles: The tile set.
        split: Its split.
        ignored: Label values that count neither in training nor in scores.
    """
    pairs = overlapping_pairs(tiles)
    whole = _own_ground(tiles, range(len(tiles.tiles)), pairs).sum()
    return SplitSummary(
        folder=tiles.folder,
        tile_size=(tiles.height, tiles.width),
        training=_side(tiles, split.train, pairs, ignored, whole),
        validation=_side(tiles, split.valid, pairs, ignored, whole),
        dropped=len(split.dropped),
    )


def _side(
    tiles: TileSet, members: Sequence[int], pairs: Ints, ignored: Sequence[int], whole: float
) -> Side:
    """One side of a split.

    Args:
        tiles: The tile set.
        members: Indices of the side's tiles.
        pairs: Pairs of tiles that share ground.
        ignored: Label values that don't count.
        whole: Ground of all tiles, in tiles.
    """
    layers = _layers(tiles)
    apart = pairs[layers[pairs[:, 0]] == layers[pairs[:, 1]]]
    own = _own_ground(tiles, members, apart)
    names = {c.value: c.name for c in tiles.scheme if c.value not in ignored}
    counts = [tiles.tiles[k].class_pixels for k in members]
    pixels = {
        name: int(np.ceil(own @ np.array([n.get(v, 0) for n in counts], np.float64) - 1e-6))
        for v, name in names.items()
    }
    ground = _own_ground(tiles, members, pairs).sum()
    return Side(len(members), float(ground / whole), pixels)


def _layers(tiles: TileSet) -> Ints:
    """Number of each tile among those of exactly its ground and of other labels.

    Pairs of other dates on the same ground have labels of their own. Turned tiles, which show the
    labels of the straight ones, are not told apart.
    """
    sides = [0.0 if t.bounds is None else t.bounds[2] - t.bounds[0] for t in tiles.tiles]
    least = min(sides)
    seen: dict[Any, list[Any]] = {}
    layers = np.zeros(len(tiles.tiles), np.int64)
    for k, (tile, side) in enumerate(zip(tiles.tiles, sides, strict=True)):
        if tile.bounds is not None and side <= least * (1 + TOUCH):
            labels = seen.setdefault((tile.crs, tile.bounds), [])
            if tile.class_pixels not in labels:
                labels.append(tile.class_pixels)
            layers[k] = labels.index(tile.class_pixels)
    return layers


def _own_ground(tiles: TileSet, members: Sequence[int], pairs: Ints) -> Floats:
    """Share of each of some tiles' ground that is its own, 0 to 1.

    Ground under several of these tiles is divided among them, so that the shares add up to the
    ground that all cover, in tiles.

    Args:
        tiles: The tile set.
        members: Indices of the tiles.
        pairs: Pairs of tiles that share ground.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    count = len(tiles.tiles)
    chosen = np.zeros(count, np.bool_)
    chosen[list(members)] = True
    box, _ = places(tiles)
    links = pairs[chosen[pairs].all(axis=1)]
    graph = csr_array((np.ones(len(links), np.int8), links.T), shape=(count, count))
    cluster = connected_components(graph, directed=False)[1]
    share = np.ones(count)
    order = np.flatnonzero(chosen)
    order = order[np.argsort(cluster[order], kind="stable")]
    starts = np.flatnonzero(np.diff(cluster[order])) + 1
    for together in np.split(order, starts):
        if len(together) > 1:
            share[together] = _shares(box[together])
    own: Floats = share[list(members)]
    return own


def _shares(box: Floats) -> Floats:
    """Share of each box's area that is its own, where boxes overlap.

    Args:
        box: Left, bottom, right, top of each, in tile sides.
    """
    steps = np.round(box * _STEPS).astype(np.int64)
    x, y = (np.unique(steps[:, [k, k + 2]]) for k in (0, 1))
    left, right = (np.searchsorted(x, steps[:, k]) for k in (0, 2))
    bottom, top = (np.searchsorted(y, steps[:, k]) for k in (1, 3))
    ends = np.zeros((len(x), len(y)), np.int64)
    for columns, rows, sign in (
        (left, bottom, 1),
        (right, top, 1),
        (left, top, -1),
        (right, bottom, -1),
    ):
        np.add.at(ends, (columns, rows), sign)
    over = ends.cumsum(axis=0).cumsum(axis=1)[:-1, :-1]  # boxes over each cell between edges
    area = np.diff(x)[:, None] * np.diff(y)
    total = np.zeros((len(x), len(y)))
    total[1:, 1:] = (area / np.maximum(over, 1)).cumsum(axis=0).cumsum(axis=1)
    part = total[right, top] - total[left, top] - total[right, bottom] + total[left, bottom]
    shares: Floats = part / ((x[right] - x[left]) * (y[top] - y[bottom]))
    return shares


def _tiles(count: int) -> str:
    return "1 tile" if count == 1 else f"{count:,} tiles"
