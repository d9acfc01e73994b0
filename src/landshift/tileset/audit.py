"""Leakage between training and validation: tiles of both that share ground."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift import grid
from landshift.errors import SplitError
from landshift.files.rows import Rows, write_csv
from landshift.tileset.search import Split, absent_classes
from landshift.tileset.splitting import (
    leaking_pairs,
    overlapping_pairs,
    split_at_random,
    split_by_ground,
)
from landshift.tileset.tiles import TileSet


@dataclass(frozen=True)
class AuditedSplit:
    """A split and its leakage.

    Attributes:
        split: Which tiles train, validate and are dropped.
        leaks: Pairs of a training and a validation tile that share ground, ``(pair, 2)``.
        leaking: Number of validation tiles that share ground with training tiles.
        absent: Classes without a pixel on a side, by side (``training``, ``validation``).
    """

    split: Split
    leaks: NDArray[np.int64]
    leaking: int
    absent: dict[str, tuple[str, ...]]


@dataclass(frozen=True, repr=False)
class Audit(Rows):
    """Leakage of splits of a tile set; a row per pair of tiles that share ground.

    Attributes:
        tiles: The tile set.
        pairs: Pairs of tiles that share ground, ``(pair, 2)``.
        groups: Sizes of the groups of tiles connected by such pairs, largest first.
        at_random: The split tile by tile.
        by_ground: The split by blocks of ground; None where there is none.
        why_not: Why there is none, and what would allow one; None where there is one.
        files: The table of pairs, if it was written.
    """

    tiles: TileSet
    pairs: NDArray[np.int64]
    groups: tuple[int, ...]
    at_random: AuditedSplit
    by_ground: AuditedSplit | None
    why_not: str | None
    files: tuple[Path, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """A row per pair of tiles that share ground.

        Columns: names of the two tiles, share of the first one's ground that lies in the second,
        1 where the random split puts one into training and the other into validation.
        """
        leaks = set(map(tuple, self.at_random.leaks.tolist()))
        return [
            {
                "tile": self.tiles.tiles[a].name,
                "other": self.tiles.tiles[b].name,
                "shared": shared_ground(self.tiles, a, b),
                "leaks_at_random": int((a, b) in leaks),
            }
            for a, b in self.pairs.tolist()
        ]

    def write_csv(self, path: Path, *, overwrite: bool = False) -> Path:
        """Write `rows` as CSV.

        Args:
            path: The CSV file.
            overwrite: Whether what is there already is replaced.

        Raises:
            OutputError: The file can't be written.
        """
        columns = ("tile", "other", "shared", "leaks_at_random")
        pairs = [{**row, "shared": f"{row['shared']:.4f}"} for row in self.rows()]
        return write_csv(path, columns, pairs, overwrite=overwrite)


def audit(tiles: TileSet, *, valid_share: float = 0.1, seed: int = 42) -> Audit:
    """Measure the leakage of a random split of a tile set, and compare it with a split by ground.

    Args:
        tiles: The tile set.
        valid_share: Share of validation tiles, between 0 and 1.
        seed: Seed of both splits.

    Raises:
        ParameterError: A share outside its range.
        SplitError: Fewer than two tiles.
    """
    pairs = overlapping_pairs(tiles)
    at_random = _audited(tiles, split_at_random(tiles, valid_share=valid_share, seed=seed))
    by_ground, why_not = None, None
    try:
        by_ground = _audited(tiles, split_by_ground(tiles, valid_share=valid_share, seed=seed))
    except SplitError as error:
        why_not = str(error)
    return Audit(tiles, pairs, _groups(pairs, len(tiles.tiles)), at_random, by_ground, why_not)


def shared_ground(tiles: TileSet, a: int, b: int) -> float:
    """Share of the first tile's box that lies in the second's; NaN for different CRSs."""
    first, second = tiles.tiles[a], tiles.tiles[b]
    if first.bounds is None or second.bounds is None or not grid.same_crs(first.crs, second.crs):
        return float("nan")
    p, q = np.array(first.bounds), np.array(second.bounds)
    sides = np.minimum(p[2:], q[2:]) - np.maximum(p[:2], q[:2])
    return float(np.prod(np.maximum(sides, 0)) / np.prod(p[2:] - p[:2]))


def _audited(tiles: TileSet, split: Split) -> AuditedSplit:
    leaks = leaking_pairs(tiles, split)
    leaking = np.intersect1d(leaks, split.valid)
    names: dict[int, Any] = tiles.scheme.mapping
    sides = {"training": split.train, "validation": split.valid}
    absent = {s: tuple(names[v] for v in absent_classes(tiles, k)) for s, k in sides.items()}
    return AuditedSplit(split, leaks, len(leaking), absent)


def _groups(pairs: NDArray[np.int64], count: int) -> tuple[int, ...]:
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(pairs), np.int8)
    graph = csr_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    labels = connected_components(graph, directed=False)[1]
    return tuple(sorted((int(n) for n in np.bincount(labels)), reverse=True))
