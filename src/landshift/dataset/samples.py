"""Tiles as samples: pairs of image and targets."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from torch.utils.data import Dataset, get_worker_info

from landshift import tileset
from landshift.classes import IGNORE_INDEX, code_table
from landshift.errors import ClassError, TileSetError
from landshift.machine import parallel
from landshift.spec import InputSpec

CACHE_BYTES = 1 << 30
"""Tiles are kept in memory up to this size, over all loading processes of a set; larger sets are
read from disk again each epoch."""

_KEEPING = threading.Lock()  # else several threads keep one tile more each than there is room for

Sample = tuple[torch.Tensor, ...]
"""Image and targets, and the weights of the labels where they are asked for."""

Loaded = tuple[
    NDArray[np.generic], NDArray[np.bool_], NDArray[np.uint8], NDArray[np.float32] | None
]

Draw = tuple[int, int]
"""A sample's position, and a number that decides where it is cropped."""

LAYERS = ("change", "before", "after")
"""Layers of a sample's targets; those of the class maps are optional."""


class TileDataset(Dataset[Sample]):
    """Tiles as pairs of image and targets.

    Args:
        tiles: The tile set.
        indices: Which tiles of it.
        spec: The model input.
        chip_size: Rows and columns of a sample. Of a larger tile, a position reads the middle and
            a `Draw` any part.
        class_maps: Whether the targets hold the classes before and after too.
        weights: Whether a sample holds the weights of its labels, where the set has any.
        ignored: Label values whose pixels count as unlabelled.
        resize_to: Rows and columns that a tile is resized to; None: as it is.

    A sample is ``(band, row, column)`` float32 in the raster's units and ``(layer, row, column)``
    int64 class indices, `IGNORE_INDEX` where unlabelled or where the image isn't valid; the layers
    are the first one or all three of `LAYERS`. Weights are ``(row, column)`` float32, 0 to 1.
    Where the class maps don't give the change map's label, as where `landshift.label` removed a
    change or smoothed the maps, both are in doubt and have no class.

    Raises:
        TileSetError: The set doesn't hold the class maps.
    """

    def __init__(
        self,
        tiles: tileset.TileSet,
        indices: Sequence[int],
        spec: InputSpec,
        *,
        chip_size: int,
        class_maps: bool = False,
        weights: bool = False,
        ignored: Sequence[int] = (),
        resize_to: int | None = None,
    ) -> None:
        if class_maps and tiles.map_scheme is None:
            raise TileSetError(
                f"The tiles must carry the class maps before and after, got none in {tiles.folder};"
                " cut the set with both (labels_before, labels_after)."
            )
        self.tiles = tiles
        self.class_maps = class_maps
        self.weights = weights and tiles.tiles[0].weights is not None
        self._codes = _codes_of(tiles) if class_maps else None
        self.indices = tuple(indices)
        self.spec = spec
        self.chip_size = chip_size
        self.ignored = tuple(ignored)
        self.resize_to = resize_to
        bands = [k - 1 for k in spec.positions]
        self._bands = None if bands in ([], [*range(len(tiles.bands))]) else bands
        value = np.dtype(tiles.dtype if resize_to is None else np.float32).itemsize
        pixels = tiles.height * tiles.width if resize_to is None else resize_to**2
        each = value * len(spec.bands) + 4 + 4 * self.weights
        self._room = CACHE_BYTES // (pixels * each)
        self._cache: dict[int, Loaded] = {}

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, draw: int | Draw) -> Sample:
        image, mask, targets, weights = self.read(draw)
        pixels = torch.from_numpy(self.spec.fill(image, mask))
        sample = pixels, torch.from_numpy(targets.astype(np.int64))
        return sample if weights is None else (*sample, torch.from_numpy(weights.copy()))

    def __getitems__(self, draws: Sequence[int | Draw]) -> list[Sample]:
        """The samples of a batch, read on all cores; in a process that loads tiles, on its own."""
        if get_worker_info() is not None:
            return [self[draw] for draw in draws]
        with parallel.in_order(draws, nullcontext, lambda _, draw: self[draw]) as samples:
            return list(samples)

    def read(self, draw: int | Draw) -> Loaded:
        """A sample before it is filled.

        Returns:
            Values ``(band, row, column)`` as stored, a mask ``(row, column)``, True where valid,
            class indices ``(layer, row, column)``, and weights ``(row, column)`` or None.
        """
        position, number = draw if isinstance(draw, tuple) else (draw, None)
        image, mask, targets, weights = self._load(position)
        height, width = mask.shape
        rows, columns = self._part(height, width, number)
        part = image[:, rows, columns], mask[rows, columns], targets[:, rows, columns]
        return (*part, None if weights is None else weights[rows, columns])

    def arrays(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
        """Images and their labels one after another, as numpy arrays of float32 and uint8.

        An image is ``(band, row, column)``, its labels ``(row, column)`` class indices.
        """
        yield from map(self.arrays_at, range(len(self)))

    def arrays_at(self, position: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """One of `arrays`; for threads."""
        image, targets = self[position][:2]
        return image.numpy(), targets[0].numpy().astype(np.uint8)

    def _load(self, position: int) -> Loaded:
        if position in self._cache:
            return self._cache[position]
        tile = self.tiles.tiles[self.indices[position]]
        image, mask, labels = tileset.read_tile(tile)
        image = image if self._bands is None else image[self._bands]
        layers = [self.tiles.scheme.to_indices(labels, where=str(tile.label))]
        if self.class_maps:
            assert self.tiles.map_scheme is not None
            for values, path in zip(
                tileset.read_class_maps(tile), (tile.before, tile.after), strict=True
            ):
                layers.append(self.tiles.map_scheme.to_indices(values, where=str(path)))
        targets = np.stack(layers)
        if self._codes is not None:
            change, before, after = targets
            known = (targets != IGNORE_INDEX).all(axis=0)
            differs = known & (self._codes[before, after] != change)
            targets[1:, differs] = IGNORE_INDEX
        targets[:, ~mask | np.isin(labels, self.ignored)] = IGNORE_INDEX
        weights = tileset.read_weights(tile) if self.weights else None
        loaded: Loaded = image, mask, targets, weights
        if self.resize_to is not None:
            filled = self.spec.fill(image, mask)
            loaded = _resized(filled, mask, targets, weights, self.resize_to)
        worker = get_worker_info()
        with _KEEPING:
            if len(self._cache) < self._room // (worker.num_workers if worker else 1):
                self._cache[position] = loaded
        return loaded

    def _part(self, height: int, width: int, number: int | None) -> tuple[slice, slice]:
        spare = (max(height - self.chip_size, 0), max(width - self.chip_size, 0))
        if number is None:
            row, column = (s // 2 for s in spare)
        else:
            rest, row = divmod(number, spare[0] + 1)
            column = rest % (spare[1] + 1)
        return slice(row, row + self.chip_size), slice(column, column + self.chip_size)


def _resized(
    image: NDArray[np.float32],
    mask: NDArray[np.bool_],
    targets: NDArray[np.uint8],
    weights: NDArray[np.float32] | None,
    size: int,
) -> Loaded:
    """A sample with other rows and columns: values bilinear, or means of what shrinks; labels and
    their weights of the nearest pixel. Only pixels that all come from valid ones are valid."""
    values = torch.from_numpy(np.concatenate([image, mask[np.newaxis]]).astype(np.float32))
    values = functional.interpolate(
        values[np.newaxis], (size, size), mode="bilinear", antialias=True
    )[0]
    valid = values[-1].numpy() > 1 - 1e-5
    classes = _nearest(targets, size).astype(np.uint8)
    classes[:, ~valid] = IGNORE_INDEX
    kept = None if weights is None else _nearest(weights[np.newaxis], size)[0]
    return values[:-1].numpy(), valid, classes, kept


def _nearest(layers: NDArray[Any], size: int) -> NDArray[np.float32]:
    """Layers with other rows and columns, each pixel that of the nearest one."""
    given = torch.from_numpy(layers)[np.newaxis].float()
    moved = functional.interpolate(given, (size, size), mode="nearest-exact")[0]
    return np.asarray(moved.numpy(), np.float32)


def _codes_of(tiles: tileset.TileSet) -> NDArray[np.uint8] | None:
    """The change map's class of each pair of classes; None where its codes are of no coding."""
    assert tiles.map_scheme is not None
    try:
        return code_table(tiles.scheme, tiles.map_scheme)
    except ClassError:
        return None  # a model that learns from both refuses them
