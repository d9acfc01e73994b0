"""A tile set as batches: what a network is trained and validated on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from landshift import tileset
from landshift.classes import ClassScheme
from landshift.errors import ParameterError, TileSetError
from landshift.spec import InputSpec

CACHE_BYTES = 1 << 30
"""Tiles are kept in memory up to this size; a larger set is read from disk again each epoch."""

Sample = tuple[torch.Tensor, torch.Tensor]

LAYERS = ("change", "before", "after")
"""What the layers of a sample's targets are; class maps only where they are asked for."""


class TileDataset(Dataset[Sample]):
    """Tiles as pairs of image and targets.

    Args:
        tiles: The tile set.
        indices: Which tiles of it.
        spec: What the model eats.
        chip_size: Rows and columns of a sample: a random part of the tile where smaller.
        augment: Whether samples are cropped, mirrored and turned at random; else the tile's
            middle is taken, as it lies.
        class_maps: Whether the targets hold the classes before and after too.

    A sample is ``(band, row, column)`` float32 in the raster's units and ``(layer, row, column)``
    int64 class indices, `IGNORE_INDEX` where unlabelled; the layers are the first one or all
    three of `LAYERS`.

    Raises:
        TileSetError: Class maps are asked for that the set doesn't hold.
    """

    def __init__(
        self,
        tiles: tileset.TileSet,
        indices: Sequence[int],
        spec: InputSpec,
        *,
        chip_size: int,
        augment: bool,
        class_maps: bool = False,
    ) -> None:
        if class_maps and tiles.map_scheme is None:
            raise TileSetError(
                f"The tiles must carry the class maps before and after, got none in {tiles.folder};"
                " cut the set with both (labels_before, labels_after)."
            )
        self.tiles = tiles
        self.class_maps = class_maps
        self.indices = tuple(indices)
        self.spec = spec
        self.chip_size = chip_size
        self.augment = augment
        size = np.dtype(tiles.dtype).itemsize * len(tiles.bands) * tiles.height * tiles.width
        self._room = CACHE_BYTES // (size + 4 * tiles.height * tiles.width)
        self._cache: dict[
            int, tuple[NDArray[np.generic], NDArray[np.bool_], NDArray[np.uint8]]
        ] = {}

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> Sample:
        image, mask, targets = self.read(position)
        pixels = torch.from_numpy(self.spec.fill(image, mask))
        indices = torch.from_numpy(targets.astype(np.int64))
        if self.augment:
            pixels, indices = _turn(pixels, indices)
        return pixels, indices

    def read(
        self, position: int
    ) -> tuple[NDArray[np.generic], NDArray[np.bool_], NDArray[np.uint8]]:
        """A sample before it is filled and turned.

        Returns:
            Values ``(band, row, column)`` as stored, a mask ``(row, column)``, True where valid,
            and class indices ``(layer, row, column)``.
        """
        image, mask, targets = self._load(position)
        rows, columns = self._part(*mask.shape)
        return image[:, rows, columns], mask[rows, columns], targets[:, rows, columns]

    def arrays(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
        """Images and their labels one after another, as numpy arrays of float32 and uint8.

        An image is ``(band, row, column)``, its labels ``(row, column)`` class indices.
        """
        for position in range(len(self)):
            image, targets = self[position]
            yield image.numpy(), targets[0].numpy().astype(np.uint8)

    def _load(
        self, position: int
    ) -> tuple[NDArray[np.generic], NDArray[np.bool_], NDArray[np.uint8]]:
        if position in self._cache:
            return self._cache[position]
        tile = self.tiles.tiles[self.indices[position]]
        image, mask, labels = tileset.read_tile(tile)
        layers = [self.tiles.scheme.to_indices(labels, where=str(tile.label))]
        if self.class_maps:
            assert self.tiles.map_scheme is not None
            for values, path in zip(
                tileset.read_class_maps(tile), (tile.before, tile.after), strict=True
            ):
                layers.append(self.tiles.map_scheme.to_indices(values, where=str(path)))
        loaded = image, mask, np.stack(layers)
        if len(self._cache) < self._room:
            self._cache[position] = loaded
        return loaded

    def _part(self, height: int, width: int) -> tuple[slice, slice]:
        spare = (max(height - self.chip_size, 0), max(width - self.chip_size, 0))
        if self.augment:
            row, column = (int(torch.randint(s + 1, ())) for s in spare)
        else:
            row, column = (s // 2 for s in spare)
        return slice(row, row + self.chip_size), slice(column, column + self.chip_size)


@dataclass(frozen=True)
class DataOptions:
    """What a split of a tile set depends on, besides the tiles.

    Attributes:
        val_split_pct: Share of tiles for validation.
        split: ``ground`` or ``random``.
        augment: Whether training samples are mirrored and turned.
        seed: Seed of the split, the shuffle and the augmentation.
    """

    val_split_pct: float = 0.1
    split: str = "ground"
    augment: bool = True
    seed: int = 42


@dataclass(frozen=True)
class TrainingData:
    """A tile set split into training and validation, ready to be batched.

    Attributes:
        tiles: The tile set.
        split: Which tiles are for training, which for validation.
        spec: What a model trained on it eats; statistics are those of the training tiles.
        batch_size: Tiles a batch.
        chip_size: Rows and columns of a sample.
        options: What was asked for, enough to make the same split again.
        num_workers: Processes that load tiles; 0 loads in the training process.
    """

    tiles: tileset.TileSet
    split: tileset.Split
    spec: InputSpec
    batch_size: int
    chip_size: int
    options: DataOptions
    num_workers: int = 0

    @property
    def scheme(self) -> ClassScheme:
        """The classes of the labels."""
        return self.tiles.scheme

    @cached_property
    def train_ds(self) -> TileDataset:
        """Training samples."""
        return self._dataset(self.split.train, augment=self.options.augment)

    @cached_property
    def valid_ds(self) -> TileDataset:
        """Validation samples, never augmented."""
        return self.plain(self.split.valid)

    def plain(self, indices: Sequence[int]) -> TileDataset:
        """Samples of some tiles as they lie, never augmented."""
        return self._dataset(indices, augment=False)

    def train_loader(self, *, class_maps: bool = False) -> DataLoader[Sample]:
        """Batches of training samples in random order; a last part of a batch is left out."""
        samples = self._dataset(
            self.split.train, augment=self.options.augment, class_maps=class_maps
        )
        return DataLoader(
            samples,
            batch_size=min(self.batch_size, len(samples)),
            shuffle=True,
            drop_last=True,  # a batch of one sample has no variance for batch norm
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
        )

    def valid_loader(self, *, class_maps: bool = False) -> DataLoader[Sample]:
        """Batches of validation samples, in order."""
        return DataLoader(
            self._dataset(self.split.valid, augment=False, class_maps=class_maps),
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
        )

    def _dataset(
        self, indices: Sequence[int], *, augment: bool, class_maps: bool = False
    ) -> TileDataset:
        return TileDataset(
            self.tiles, indices, self.spec, chip_size=self.chip_size, augment=augment,
            class_maps=class_maps,
        )  # fmt: skip


def prepare(
    path: Path,
    *,
    class_mapping: Mapping[int, str] | None = None,
    chip_size: int | None = None,
    val_split_pct: float = 0.1,
    batch_size: int = 8,
    split: str = "ground",
    augment: bool = True,
    seed: int = 42,
    num_workers: int = 0,
    dates: Sequence[str] | None = None,
    on_tile: Callable[[int, int], None] | None = None,
) -> TrainingData:
    """Read a tile set, or a zip of it, and split it into training and validation tiles.

    Args:
        path: Folder in the 'Classified Tiles' layout, or a zip of one.
        class_mapping: Name of each label value; None: as the tile set says.
        chip_size: Rows and columns of a sample; None: the whole tile.
        val_split_pct: Share of tiles for validation, between 0 and 1.
        batch_size: Tiles a batch.
        split: ``ground``: by blocks of ground, no validation pixel is seen in training;
            ``random``: tile by tile, which leaks where tiles overlap, and says so.
        augment: Whether training samples are mirrored and turned.
        seed: Seed of the split, the shuffle and the augmentation.
        num_workers: Processes that load tiles.
        dates: Names of the dates whose bands the tiles stack, the same number each; None: as the
            bands' names say (``before:red``).
        on_tile: Called with tiles checked and all tiles, where the set has no index yet.

    Raises:
        ParameterError: An option out of its range.
        TileSetError: See `landshift.tileset.read`.
        SplitError: No split by ground exists.
        ClassError: A label value outside the mapping, or a bad mapping.
    """
    if not 0 < val_split_pct < 1:
        raise ParameterError(f"val_split_pct must lie between 0 and 1, got {val_split_pct}.")
    if batch_size < 1 or num_workers < 0 or num_workers > 4 * (os.cpu_count() or 1):
        raise ParameterError(
            f"batch_size must be at least 1 and num_workers reasonable, got {batch_size} and "
            f"{num_workers}."
        )
    if split not in _SPLITS:
        raise ParameterError(f"split must be one of {', '.join(_SPLITS)}, got {split!r}.")
    scheme = None
    if class_mapping is not None:
        scheme = ClassScheme.from_mapping(class_mapping, tileset.class_colours(Path(path)))
    tiles = tileset.read(Path(path), scheme, on_tile=on_tile)
    parts = _SPLITS[split](tiles, valid_share=val_split_pct, seed=seed)
    size = min(tiles.height, tiles.width)
    chip_size = size if chip_size is None else chip_size
    if not 1 <= chip_size <= size:
        raise ParameterError(
            f"chip_size must lie between 1 and the tile size {size}, got {chip_size}."
        )
    return TrainingData(
        tiles=tiles,
        split=parts,
        spec=_spec_of(tiles, parts.train, chip_size, dates),
        batch_size=batch_size,
        chip_size=chip_size,
        options=DataOptions(val_split_pct, split, augment, seed),
        num_workers=num_workers,
    )


_SPLITS = {"ground": tileset.split_by_ground, "random": tileset.split_at_random}


def _spec_of(
    tiles: tileset.TileSet, train: Sequence[int], chip_size: int, dates: Sequence[str] | None
) -> InputSpec:
    statistics = tiles.band_statistics(train)
    return InputSpec(
        bands=tiles.bands,
        mean=tuple(float(v) for v in statistics.mean),
        std=tuple(float(v) if v > 0 else 1.0 for v in statistics.std),
        minimum=tuple(float(v) for v in statistics.minimum),
        maximum=tuple(float(v) for v in statistics.maximum),
        tile_size=chip_size,
        dtype=tiles.dtype,
        cell_size=None if tiles.cell_size is None else float(tiles.cell_size[0]),
        dates=() if dates is None else _repeated(dates, len(tiles.bands)),
    )


def _repeated(dates: Sequence[str], bands: int) -> tuple[str, ...]:
    """The date of each band, where each date has the same number of them."""
    if not dates or len(set(dates)) != len(dates) or bands % len(dates):
        raise ParameterError(
            f"dates must be different names that share the {bands} bands evenly, got "
            f"{', '.join(dates)}."
        )
    return tuple(date for date in dates for _ in range(bands // len(dates)))


def _turn(image: torch.Tensor, target: torch.Tensor) -> Sample:
    """One of the eight flips and quarter turns, the same for image and targets."""
    turns = int(torch.randint(4, ()))
    image, target = torch.rot90(image, turns, (-2, -1)), torch.rot90(target, turns, (-2, -1))
    if int(torch.randint(2, ())):
        image, target = image.flip(-1), target.flip(-1)
    return image.contiguous(), target.contiguous()
