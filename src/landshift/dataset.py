"""A tile set as batches: what a network is trained and validated on."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from landshift import tileset
from landshift.classes import IGNORE_INDEX, ClassScheme
from landshift.errors import ClassError, ParameterError, TileSetError
from landshift.machine import parallel
from landshift.spec import InputSpec

CACHE_BYTES = 1 << 30
"""Tiles are kept in memory up to this size, over all loading processes of a set; what is larger
is read from disk again each epoch."""

_KEEPING = threading.Lock()  # else several threads keep one tile more each than there is room for

Sample = tuple[torch.Tensor, torch.Tensor]

Draw = tuple[int, int]
"""A sample's position, and a number that decides where it is cropped."""

LAYERS = ("change", "before", "after")
"""What the layers of a sample's targets are; class maps only where they are asked for."""


class TileDataset(Dataset[Sample]):
    """Tiles as pairs of image and targets.

    Args:
        tiles: The tile set.
        indices: Which tiles of it.
        spec: What the model eats.
        chip_size: Rows and columns of a sample, a part of the tile where smaller: the middle one
            where a sample is asked for by its position, any one where by a `Draw`.
        class_maps: Whether the targets hold the classes before and after too.
        ignored: Label values whose pixels count as unlabelled.

    A sample is ``(band, row, column)`` float32 in the raster's units and ``(layer, row, column)``
    int64 class indices, `IGNORE_INDEX` where unlabelled or where the image isn't valid; the layers
    are the first one or all three of `LAYERS`.

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
        class_maps: bool = False,
        ignored: Sequence[int] = (),
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
        self.ignored = tuple(ignored)
        size = np.dtype(tiles.dtype).itemsize * len(tiles.bands) * tiles.height * tiles.width
        self._room = CACHE_BYTES // (size + 4 * tiles.height * tiles.width)
        self._cache: dict[
            int, tuple[NDArray[np.generic], NDArray[np.bool_], NDArray[np.uint8]]
        ] = {}

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, draw: int | Draw) -> Sample:
        image, mask, targets = self.read(draw)
        pixels = torch.from_numpy(self.spec.fill(image, mask))
        return pixels, torch.from_numpy(targets.astype(np.int64))

    def __getitems__(self, draws: Sequence[int | Draw]) -> list[Sample]:
        """The samples of a batch, read on all cores; in a process that loads tiles, on its own."""
        if get_worker_info() is not None:
            return [self[draw] for draw in draws]
        with parallel.in_order(draws, nullcontext, lambda _, draw: self[draw]) as samples:
            return list(samples)

    def read(
        self, draw: int | Draw
    ) -> tuple[NDArray[np.generic], NDArray[np.bool_], NDArray[np.uint8]]:
        """A sample before it is filled.

        Returns:
            Values ``(band, row, column)`` as stored, a mask ``(row, column)``, True where valid,
            and class indices ``(layer, row, column)``.
        """
        position, number = draw if isinstance(draw, tuple) else (draw, None)
        image, mask, targets = self._load(position)
        height, width = mask.shape
        rows, columns = self._part(height, width, number)
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
        targets = np.stack(layers)
        targets[:, ~mask | np.isin(labels, self.ignored)] = IGNORE_INDEX
        loaded = image, mask, targets
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


class Draws(Sampler[int | Draw]):
    """Which samples an epoch draws, in which order and cropped where.

    All of it follows from the seed and `epoch`, whatever was drawn before, so that an epoch can
    be drawn again. A sample is drawn as often as its factor says, rounded up or down at random
    (systematic sampling), and an epoch holds as many as the factors' sum.

    Args:
        factors: How often each sample is drawn in an epoch, on average.
        seed: Decides all.
        batch_size: Samples a batch; what doesn't fill a batch of every process is left out.
        process: Number of this process among those that train together.
        processes: Number of them.
        cropped: Whether samples are cropped at random; else the middle is taken.

    Attributes:
        epoch: The epoch that is drawn, from 0.
        batches: Batches of this process to draw; may be lowered.
    """

    def __init__(
        self,
        factors: NDArray[np.float64],
        *,
        seed: int,
        batch_size: int,
        process: int = 0,
        processes: int = 1,
        cropped: bool = True,
    ) -> None:
        self.cropped = cropped
        self.factors = factors
        self.seed = seed
        self.batch_size = batch_size
        self.process = process
        self.processes = processes
        self.epoch = 0
        self.batches = round(float(factors.sum())) // (batch_size * processes)

    def __len__(self) -> int:
        return self.batches * self.batch_size

    def __iter__(self) -> Iterator[int | Draw]:
        random = np.random.default_rng((self.seed, self.epoch))
        order = random.permutation(len(self.factors))
        ends = np.cumsum(self.factors[order])
        ends *= round(ends[-1]) / ends[-1]
        counts = np.diff(np.floor(ends.round(6) + random.random()), prepend=0)
        drawn = random.permutation(np.repeat(order, counts.astype(np.int64)))
        numbers = random.integers(2**62, size=len(drawn))
        mine = slice(self.process, len(self) * self.processes, self.processes)
        positions: list[int] = drawn[mine].tolist()
        yield from (
            zip(positions, numbers[mine].tolist(), strict=True) if self.cropped else positions
        )


@dataclass(frozen=True)
class DataOptions:
    """What a split of a tile set depends on, besides the tiles.

    Attributes:
        val_split_pct: Share of tiles for validation.
        split: ``ground`` or ``random``.
        augment: Whether training samples are random parts of the tiles, where smaller than them.
        seed: Seed of the split, the shuffle and the augmentation.
        ignore_classes: Label values whose pixels count neither in training nor in scores.
    """

    val_split_pct: float = 0.1
    split: str = "ground"
    augment: bool = True
    seed: int = 42
    ignore_classes: Sequence[int] = ()


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        dropped = self.split.dropped
        return (
            f"{len(self.split.train)} training and {len(self.split.valid)} validation tiles"
            f"{f' ({len(dropped)} between them dropped)' if dropped else ''} of "
            f"{self.chip_size} px, {len(self.spec.bands)} bands, {len(self.scheme)} classes, "
            f"in {self.tiles.folder}"
        )

    @cached_property
    def train_ds(self) -> TileDataset:
        """Training samples."""
        return self.plain(self.split.train)

    @cached_property
    def valid_ds(self) -> TileDataset:
        """Validation samples."""
        return self.plain(self.split.valid)

    def plain(self, indices: Sequence[int], *, class_maps: bool = False) -> TileDataset:
        """Samples of some tiles."""
        return TileDataset(
            self.tiles, indices, self.spec, chip_size=self.chip_size, class_maps=class_maps,
            ignored=self.options.ignore_classes,
        )  # fmt: skip

    def ignoring(self, values: Sequence[int]) -> TrainingData:
        """The same tiles, with pixels of some label values left out of training and scores.

        Raises:
            ClassError: A value that is no class, or no class left.
        """
        left = set(self.scheme.values) - set(values)
        if set(values) - set(self.scheme.values) or not left:
            raise ClassError(
                f"ignore_classes must be among the classes {list(self.scheme.values)} and leave "
                f"one, got {sorted(values)}."
            )
        return replace(self, options=replace(self.options, ignore_classes=tuple(sorted(values))))

    def class_pixels(self) -> dict[int, int]:
        """Pixels of each class in the training tiles, without ignored ones."""
        found = self.tiles.class_pixels(self.split.train)
        counted = set(self.scheme.values) - set(self.options.ignore_classes)
        return {v: n for v, n in found.items() if v in counted}

    def train_loader(
        self,
        *,
        class_maps: bool = False,
        factors: NDArray[np.float64] | None = None,
        process: int = 0,
        processes: int = 1,
    ) -> DataLoader[Sample]:
        """Batches of training samples in random order; a last part of a batch is left out.

        Args:
            class_maps: Whether targets hold the classes before and after too.
            factors: How often each tile is drawn in an epoch; None: once.
            process: Number of this process among those that train together.
            processes: Number of them.
        """
        samples = self.plain(self.split.train, class_maps=class_maps)
        factors = np.ones(len(samples)) if factors is None else factors
        batch_size = min(self.batch_size, len(samples))
        draws = Draws(
            factors, seed=self.options.seed, batch_size=batch_size, process=process,
            processes=processes, cropped=self.options.augment,
        )  # fmt: skip
        # a batch of one sample may have no variance for batch norm, so that parts are dropped
        return self._loader(samples, batch_size, sampler=draws, drop_last=True)

    def valid_loader(
        self, *, class_maps: bool = False, process: int = 0, processes: int = 1
    ) -> DataLoader[Sample]:
        """Batches of validation samples, in order; arguments as in `train_loader`."""
        mine = self.split.valid[process::processes]
        return self._loader(self.plain(mine, class_maps=class_maps), self.batch_size)

    def _loader(self, samples: TileDataset, batch_size: int, **options: Any) -> DataLoader[Sample]:
        return DataLoader(
            samples,
            batch_size=batch_size,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # else each pass takes a number from the caller's
            **options,
        )


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
    ignore_classes: Sequence[int] = (),
    dates: Sequence[str] | None = None,
    sensor: str | Sequence[str | None] | None = None,
    units: str | Sequence[str | None] | None = None,
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
        augment: Whether training samples are random parts of the tiles, where smaller than them.
        seed: Seed of the split, the shuffle and the augmentation.
        num_workers: Processes that load tiles.
        ignore_classes: Label values whose pixels count neither in training nor in scores.
        dates: Names of the dates whose bands the tiles stack, the same number each; None: as the
            bands' names say (``before:red``).
        sensor: What took the images, for all bands or for each; None: as the side files say.
        units: What their values count, likewise; None: as the tiles' files say.
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
    data = TrainingData(
        tiles=tiles,
        split=parts,
        spec=replace(
            _spec_of(tiles, parts.train, chip_size, dates),
            band_sensors=_each("sensor", sensor or tileset.read_sensor(tiles.folder), tiles),
            band_units=_each("units", units or tileset.read_units(tiles.tiles[0]), tiles),
        ),
        batch_size=batch_size,
        chip_size=chip_size,
        options=DataOptions(val_split_pct, split, augment, seed),
        num_workers=num_workers,
    )
    return data.ignoring(ignore_classes) if ignore_classes else data


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
        nodata=tiles.nodata if tiles.nodata is not None and np.isfinite(tiles.nodata) else None,
    )


def _each(
    what: str, told: str | Sequence[str | None] | None, tiles: tileset.TileSet
) -> tuple[str | None, ...]:
    """What is told of all bands, or of each, for each."""
    if told is None or isinstance(told, str):
        return (told,) * len(tiles.bands)
    if len(told) != len(tiles.bands):
        raise ParameterError(
            f"{what} must be told once, or for each of the {len(tiles.bands)} bands, got "
            f"{len(told)} of them."
        )
    return tuple(told)


def _repeated(dates: Sequence[str], bands: int) -> tuple[str, ...]:
    """The date of each band, where each date has the same number of them."""
    if not dates or len(set(dates)) != len(dates) or bands % len(dates):
        raise ParameterError(
            f"dates must be different names that share the {bands} bands evenly, got "
            f"{', '.join(dates)}."
        )
    return tuple(date for date in dates for _ in range(bands // len(dates)))
