"""A tile set split into training and validation, as batches."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from landshift import tileset
from landshift.classes import ClassScheme, legend_readers
from landshift.dataset.draws import Draws
from landshift.dataset.options import DataOptions, TrainingTiles
from landshift.dataset.samples import Sample, TileDataset
from landshift.errors import BandError, ClassError, ParameterError, TileSetError
from landshift.spec import InputSpec

log = logging.getLogger(__name__)


@dataclass(frozen=True, repr=False)
class TrainingData:
    """A tile set split into training and validation, ready to be batched.

    Attributes:
        tiles: The tile set.
        split: Which tiles are for training, which for validation.
        spec: The model input; statistics are those of the training tiles.
        batch_size: Tiles a batch.
        chip_size: Rows and columns of a sample.
        options: Options of the split, enough to make it again.
        num_workers: Processes that load tiles; 0 loads in the training process.
        resize_to: Rows and columns that tiles are resized to; None: as they are.
        working_dir: Folder that models are saved in by name; None: that of the tiles.
    """

    tiles: tileset.TileSet
    split: tileset.Split
    spec: InputSpec
    batch_size: int
    chip_size: int
    options: DataOptions
    num_workers: int = 0
    resize_to: int | None = None
    working_dir: Path | None = None

    @property
    def models(self) -> Path:
        """The folder of models that have a name alone."""
        return (self.working_dir or self.tiles.folder) / "models"

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
            f"in {', '.join(map(str, self.tiles.folders))}"
        )

    @cached_property
    def train_ds(self) -> TileDataset:
        """Training samples."""
        return self.plain(self.split.train)

    @cached_property
    def valid_ds(self) -> TileDataset:
        """Validation samples."""
        return self.plain(self.split.valid)

    def plain(
        self, indices: Sequence[int], *, class_maps: bool = False, weights: bool = False
    ) -> TileDataset:
        """Samples of some tiles."""
        return TileDataset(
            self.tiles, indices, self.spec, chip_size=self.chip_size, class_maps=class_maps,
            weights=weights, ignored=self.options.ignore_classes, resize_to=self.resize_to,
        )  # fmt: skip

    def ignoring(self, values: Sequence[int]) -> TrainingData:
        """The same tiles, with pixels of some label values left out of training and scores.

        Raises:
            ClassError: A value that is no class, or no class left.
        """
        left = set(self.scheme.values) - set(values)
        if set(values) - set(self.scheme.values) or not left:
            raise ClassError(
                f"`ignore_classes` must be among the classes {list(self.scheme.values)} and leave "
                f"one, got {sorted(values)}."
            )
        return replace(self, options=replace(self.options, ignore_classes=tuple(sorted(values))))

    def class_pixels(self) -> dict[int, int]:
        """Pixels of each class in the training tiles, without ignored ones."""
        pixels = self.tiles.class_pixels(self.split.train)
        counted = set(self.scheme.values) - set(self.options.ignore_classes)
        return {v: n for v, n in pixels.items() if v in counted}

    def named_pixels(self) -> dict[str, int]:
        """The same by name, also of classes that no training tile holds."""
        pixels, ignored = self.class_pixels(), set(self.options.ignore_classes)
        return {c.name: pixels.get(c.value, 0) for c in self.scheme if c.value not in ignored}

    @cached_property
    def mean_weight(self) -> float | None:
        """Mean weight of the training tiles' labels; None where the tile set has none."""
        return self.tiles.mean_weight(self.split.train)

    def train_loader(
        self,
        *,
        class_maps: bool = False,
        factors: NDArray[np.float64] | None = None,
        process: int = 0,
        processes: int = 1,
    ) -> DataLoader[Sample]:
        """Batches of training samples in random order; a last part of a batch is left out.

        They hold the weights of the labels where the tile set has any.

        Args:
            class_maps: Whether targets hold the classes before and after too.
            factors: How often each tile is drawn in an epoch; None: once.
            process: Number of this process among those that train together.
            processes: Number of them.
        """
        samples = self.plain(self.split.train, class_maps=class_maps, weights=True)
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
    path: Path | Sequence[Path],
    options: DataOptions | None = None,
    reading: TrainingTiles | None = None,
    *,
    valid: Path | None = None,
    on_tile: Callable[[int, int], None] | None = None,
) -> TrainingData:
    """Read a tile set, or a zip of it, and split it into training and validation tiles.

    Args:
        path: Folder in the 'Classified Tiles' layout, or a zip of one; several are joined.
        options: How it is split and drawn from.
        reading: How its tiles are read and batched.
        valid: A tile set for validation alone; training tiles that share its ground are left out.
        on_tile: Called with tiles checked and all tiles, where the set has no index yet.

    Raises:
        ParameterError: An option out of its range.
        TileSetError: See `landshift.tileset.read`.
        SplitError: No split by ground exists.
        ClassError: A label value outside the mapping, or a bad mapping.
    """
    options, reading = options or DataOptions(), reading or TrainingTiles()
    if reading.batch_size < 1 or not 0 <= reading.num_workers <= 4 * (os.cpu_count() or 1):
        raise ParameterError(
            f"`batch_size` must be at least 1 and `num_workers` at most {4 * (os.cpu_count() or 1)}"
            f", got {reading.batch_size} and {reading.num_workers}."
        )
    paths = [path] if isinstance(path, str | Path) else [*path]
    sets = [
        tileset.read(Path(own), _scheme(Path(own), reading), on_tile=on_tile)
        for own in [*paths, *([] if valid is None else [valid])]
    ]
    tiles = tileset.join(sets)
    if valid is not None:
        parts = tileset.split_from(tiles, len(tiles.tiles) - len(sets[-1].tiles))
    elif options.split == "random":
        parts = tileset.split_at_random(
            tiles, valid_share=options.val_split_pct, seed=options.seed
        )  # fmt: skip
    else:
        parts = tileset.split_by_ground(
            tiles, valid_share=options.val_split_pct, seed=options.seed, stratify=options.stratify
        )
    return of_split(tiles, parts, options, reading, sets)


def of_split(
    tiles: tileset.TileSet,
    parts: tileset.Split,
    options: DataOptions,
    reading: TrainingTiles | None = None,
    sets: Sequence[tileset.TileSet] = (),
) -> TrainingData:
    """A tile set with this split; see `prepare`.

    Args:
        tiles: The tile set.
        parts: The split.
        options: How it is drawn from.
        reading: How its tiles are read and batched.
        sets: The tile sets that it was joined from; none: itself.

    Raises:
        ParameterError: An option out of its range.
        ClassError: A bad list of ignored classes.
    """
    reading = reading or TrainingTiles()
    sets = sets or (tiles,)
    chip_size = _chip_size(tiles, reading)
    sensors = {tileset.read_sensor(own.folder) for own in sets}
    sensor = reading.sensor or (sensors.pop() if len(sensors) == 1 else None)
    units = reading.units or _units(sets)
    data = TrainingData(
        tiles=tiles,
        split=parts,
        spec=_extracted(
            replace(
                _spec_of(tiles, parts.train, chip_size, reading),
                band_sensors=_each("sensor", sensor, tiles),
                band_units=_each("units", units, tiles),
            ),
            reading.bands,
        ),
        batch_size=reading.batch_size,
        chip_size=chip_size,
        options=replace(options, ignore_classes=()),
        num_workers=reading.num_workers,
        resize_to=reading.resize_to,
    )
    return data.ignoring(options.ignore_classes) if options.ignore_classes else data


def _scheme(path: Path, reading: TrainingTiles) -> ClassScheme | None:
    """The classes that the options state."""
    names = reading.classes
    if names is None:
        return None
    if isinstance(names, str | Path):
        names = legend_readers.read_classes(names).mapping
    return ClassScheme.from_mapping(names, tileset.class_colours(path))


def _chip_size(tiles: tileset.TileSet, reading: TrainingTiles) -> int:
    """Rows and columns of a sample; that of the tiles, with a warning, where they are smaller."""
    size, resized = min(tiles.height, tiles.width), reading.resize_to
    if resized is not None:
        if not 16 <= resized <= 8192 or tiles.height != tiles.width:
            raise ParameterError(
                "`resize_to` must lie between 16 and 8192, and tiles be square, got "
                f"{resized} for tiles of {tiles.width} x {tiles.height} pixels."
            )
        log.warning(
            "Tiles are resized from %d to %d pixels: run the model at %.4g times the cell size of "
            "its imagery (--cell-size).", size, resized, size / resized,
        )  # fmt: skip
        size = resized
    chip_size = size if reading.chip_size is None else reading.chip_size
    if chip_size < 1:
        raise ParameterError(f"`chip_size` must be at least 1, got {chip_size}.")
    if chip_size > size:
        log.warning(
            "`chip_size` %d is more than the tiles have: samples are whole tiles of %d pixels.",
            chip_size, size,
        )  # fmt: skip
    return min(chip_size, size)


def _units(sets: Sequence[tileset.TileSet]) -> tuple[str | None, ...]:
    """Unit of each band, which joined sets must share."""
    units = [tileset.read_units(own.tiles[0]) for own in sets]
    for own, stated in zip(sets, units, strict=True):
        if stated != units[0]:
            raise TileSetError(
                f"Tile sets must have the same units, got {units[0]} in {sets[0].folder} and "
                f"{stated} in {own.folder}; cut them alike, or state `units`."
            )
    return units[0]


def _extracted(spec: InputSpec, bands: Sequence[int | str] | None) -> InputSpec:
    """The input of some bands, by name or by position from 0, with their numbers in the tiles."""
    if bands is None:
        return spec
    places: list[Any] = [spec.bands.index(b) if b in spec.bands else b for b in bands]
    count = len(spec.bands)
    good = [type(k) is int and 0 <= k < count for k in places]
    if not places or not all(good) or len(set(places)) != len(places):
        raise BandError(
            f"Bands must be different ones of {', '.join(map(repr, spec.bands))}, by name or by "
            f"position from 0, got {str(list(bands))[:200]}."
        )
    listed = {f.name: getattr(spec, f.name) for f in fields(spec)}
    chosen: dict[str, Any] = {
        name: tuple(values[k] for k in places)
        for name, values in listed.items()
        if isinstance(values, tuple) and values
    }
    return replace(spec, **chosen | {"positions": tuple(int(k) + 1 for k in places)})


def _spec_of(
    tiles: tileset.TileSet, train: Sequence[int], chip_size: int, reading: TrainingTiles
) -> InputSpec:
    statistics, dates = tiles.band_statistics(train), reading.dates
    scale = 1.0 if reading.resize_to is None else tiles.width / reading.resize_to
    return InputSpec(
        bands=tiles.bands,
        mean=tuple(float(v) for v in statistics.mean),
        std=tuple(float(v) if v > 0 else 1.0 for v in statistics.std),
        minimum=tuple(float(v) for v in statistics.minimum),
        maximum=tuple(float(v) for v in statistics.maximum),
        tile_size=chip_size,
        dtype=tiles.dtype,
        cell_size=None if tiles.cell_size is None else scale * float(tiles.cell_size[0]),
        dates=() if dates is None else _repeated(dates, len(tiles.bands)),
        nodata=tiles.nodata if tiles.nodata is not None and np.isfinite(tiles.nodata) else None,
    )


def _each(
    name: str, words: str | Sequence[str | None] | None, tiles: tileset.TileSet
) -> tuple[str | None, ...]:
    """A word for each band, from one for all of them or one for each."""
    if words is None or isinstance(words, str):
        return (words,) * len(tiles.bands)
    if len(words) != len(tiles.bands):
        raise ParameterError(
            f"`{name}` must be stated once, or for each of the {len(tiles.bands)} bands, got "
            f"{len(words)} of them."
        )
    return tuple(words)


def _repeated(dates: Sequence[str], bands: int) -> tuple[str, ...]:
    """The date of each band, where each date has the same number of them."""
    if not dates or len(set(dates)) != len(dates) or bands % len(dates):
        raise ParameterError(
            f"`dates` must be different names that share the {bands} bands evenly, got "
            f"{', '.join(dates)}."
        )
    return tuple(date for date in dates for _ in range(bands // len(dates)))
