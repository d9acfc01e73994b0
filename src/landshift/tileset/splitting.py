"""Splitting a tile set into training and validation tiles, by ground or at random."""

from __future__ import annotations

import logging

import numpy as np

from landshift.errors import SplitError
from landshift.tileset.search import (
    TOUCH,
    Ints,
    Search,
    Split,
    check_share,
    grounds,
    indices_of,
    log_split,
    places,
    why_impossible,
)
from landshift.tileset.tiles import TileSet

_FOLD_TILES = 2  # least tiles of a fold
_FOLD_BLOCKS = 4  # blocks of ground of a fold: several places are more representative

logger = logging.getLogger(__name__)


def split_by_ground(
    tiles: TileSet, *, valid_share: float = 0.1, seed: int = 42, stratify: bool = False
) -> Split:
    """Split so that no validation tile's ground overlaps a training tile's, at any date.

    Validation tiles form blocks of ground. Other tiles that overlap them are dropped, so the buffer
    is as wide as tiles overlap, whichever raster they were cut from. Blocks of several shapes,
    sizes and numbers are grown from random tiles, from the outermost ones and from tiles of rare
    classes; the cheapest set of blocks is taken. The cost is the error in the share, plus half the
    share of dropped tiles, plus the mean share of a class's pixels that training loses, plus a
    penalty for each class that one side lacks, plus one for few blocks. A warning names the classes
    that one side lacks.

    Args:
        tiles: The tile set.
        valid_share: Share of validation tiles among those kept, between 0 and 1.
        seed: Seed of the random choice.
        stratify: Add the differences between the classes' shares of validation pixels to the cost.

    Raises:
        ParameterError: A share outside its range.
        SplitError: Every two tiles overlap.
    """
    check_share(valid_share)
    if any(t.bounds is None for t in tiles.tiles):
        logger.warning(
            "%s: tiles without georeference have no known ground; they are assumed not to overlap.",
            tiles.folder
        )  # fmt: skip
    if len({t.crs for t in tiles.tiles if t.bounds is not None}) > 1 and any(
        t.crs is None and t.bounds is not None for t in tiles.tiles
    ):
        logger.warning(
            "%s: some tiles have no known CRS; they are assumed not to overlap the others.",
            tiles.folder,
        )
    (split,) = several_by_ground(
        tiles, 1, valid_share=valid_share, seed=seed, stratify=stratify
    )  # fmt: skip
    log_split(tiles, split)
    return split


def split_from(tiles: TileSet, first: int) -> Split:
    """The tiles from one on for validation, those before for training, without shared ground.

    Args:
        tiles: The tile set.
        first: Index of the first validation tile.

    Raises:
        SplitError: Every training tile overlaps a validation tile.
    """
    count = len(tiles.tiles)
    whole = Split(tuple(range(first)), tuple(range(first, count)), ())
    shared = {int(k) for k in leaking_pairs(tiles, whole)[:, 0]}
    train = tuple(k for k in whole.train if k not in shared)
    if not train:
        raise SplitError(
            f"Training tiles must lie apart from the validation tiles, got {first} that all share "
            f"their ground ({tiles.folder}, {tiles.tiles[first].image.parent.parent}); give tiles "
            "of other ground."
        )
    if shared:
        logger.warning(
            "%d of %d training tiles share ground with validation tiles and are left out.",
            len(shared), first,
        )  # fmt: skip
    split = Split(train, whole.valid, tuple(sorted(shared)))
    log_split(tiles, split)
    return split


def several_by_ground(
    tiles: TileSet, count: int, *, valid_share: float, seed: int, stratify: bool = False
) -> list[Split]:
    """Several splits as `split_by_ground` makes them, for cross-validation; nothing is logged.

    Args:
        tiles: The tile set.
        count: Number of splits.
        valid_share: Share of validation tiles in each.
        seed: Seed of the first; the others follow from it.
        stratify: As in `split_by_ground`.

    Raises:
        SplitError: Every two tiles overlap.
    """
    pairs, splits = overlapping_pairs(tiles), []
    for k in range(count):
        rng = np.random.default_rng(seed + k)
        search = Search(tiles, pairs, valid_share, rng, stratify=stratify)
        valid = search.best()
        if valid is None:
            raise SplitError(why_impossible(tiles))
        splits.append(search.split_of(valid))
    return splits


def folds_by_ground(tiles: TileSet, count: int, *, seed: int) -> list[Split]:
    """Splits in which each tile is for validation once; other tiles that share its ground drop out.

    The ground is halved again and again, across its longer side, into a few blocks for each fold,
    which are dealt out at random.

    Args:
        tiles: The tile set.
        count: Number of folds.
        seed: Seed of the dealing.

    Raises:
        SplitError: A fold would have no tile, or none to train on.
    """
    number = len(tiles.tiles)
    if number < count * _FOLD_TILES:
        raise SplitError(
            f"Folds need {_FOLD_TILES} tiles each, got {number} tiles for {count} folds in "
            f"{tiles.folder}; use fewer `folds`, or cut smaller tiles."
        )
    box, group = places(tiles)
    centre = (box[:, :2] + box[:, 2:]) / 2
    parts = [np.flatnonzero(group == g) for g in np.unique(group)]
    most = max(count, min(_FOLD_BLOCKS * count, number // _FOLD_TILES))
    while len(parts) < most:
        part = parts.pop(int(np.argmax([len(p) for p in parts])))
        axis = int(np.ptp(centre[part], axis=0).argmax())
        order = part[np.argsort(centre[part, axis], kind="stable")]
        parts += [order[: len(order) // 2], order[len(order) // 2 :]]
    fold = np.empty(number, np.int64)
    dealt = np.random.default_rng(seed).permutation(len(parts))
    for place, k in enumerate(dealt):
        fold[parts[k]] = place % count
    pairs, splits = overlapping_pairs(tiles), []
    for k in range(count):
        valid = fold == k
        first, second = pairs[:, 0], pairs[:, 1]
        dropped = np.zeros(number, np.bool_)
        dropped[first[valid[second]]] = dropped[second[valid[first]]] = True
        dropped &= ~valid
        train = ~valid & ~dropped
        if not train.any():
            raise SplitError(
                f"Each fold must leave tiles that share no ground with it, got {number} tiles in "
                f"{tiles.folder}; use more `folds`, or cut smaller tiles."
            )
        splits.append(Split(indices_of(train), indices_of(valid), indices_of(dropped)))
    return splits


def split_at_random(tiles: TileSet, *, valid_share: float = 0.1, seed: int = 42) -> Split:
    """Split tile by tile; with overlapping tiles, training sees validation ground.

    Args:
        tiles: The tile set.
        valid_share: Share of validation tiles, between 0 and 1.
        seed: Seed of the random choice.

    Raises:
        ParameterError: A share outside its range.
        SplitError: Fewer than two tiles.
    """
    check_share(valid_share)
    count = len(tiles.tiles)
    if count < 2:
        raise SplitError(
            f"A split needs two tiles, got {count} in {tiles.folder}; cut smaller tiles."
        )
    order = np.random.default_rng(seed).permutation(count)
    size = min(max(round(valid_share * count), 1), count - 1)
    valid = np.zeros(count, np.bool_)
    valid[order[:size]] = True
    split = Split(indices_of(~valid), indices_of(valid), ())
    leaking = int(valid[np.unique(leaking_pairs(tiles, split))].sum())
    if leaking:
        logger.warning(
            "%s: %d of %d validation tiles overlap training tiles, so scores will be too high; "
            "split by ground instead.", tiles.folder, leaking, size
        )  # fmt: skip
    return split


def leaking_pairs(tiles: TileSet, split: Split) -> Ints:
    """Pairs of a training and a validation tile that share ground.

    Args:
        tiles: The tile set.
        split: Its split.

    Returns:
        Indices of the tiles, ``(pair, 2)``, in the order of `overlapping_pairs`.
    """
    side = np.zeros(len(tiles.tiles), np.int8)
    side[list(split.train)], side[list(split.valid)] = 1, -1
    pairs = overlapping_pairs(tiles)
    leaking: Ints = pairs[side[pairs[:, 0]] * side[pairs[:, 1]] < 0]
    return leaking


def overlapping_pairs(tiles: TileSet) -> Ints:
    """Pairs of different tiles that share ground; touching edges don't count.

    Tiles in different CRSs are compared by their boxes in that of most tiles. Tiles without
    georeference are never paired.

    Args:
        tiles: The tile set.

    Returns:
        Indices of the tiles, ``(pair, 2)``, the smaller first, in ascending order.
    """
    from scipy.spatial import cKDTree

    by_group = [np.zeros((0, 2), np.int64)]
    for members, box in grounds(tiles):
        if np.isnan(box).any():
            continue
        side = (box[:, 2:] - box[:, :2]).max(axis=0)
        centre = (box[:, :2] + box[:, 2:]) / 2 / side
        near = cKDTree(centre).query_pairs(1.0, p=np.inf, output_type="ndarray")
        a, b = box[near[:, 0]], box[near[:, 1]]
        shared = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
        by_group.append(np.sort(members[near[(shared > TOUCH * side).all(axis=1)]], axis=1))
    pairs = np.concatenate(by_group)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
