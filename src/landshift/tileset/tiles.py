"""Tiles and tile sets, with statistics of their bands and pixels per class."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from landshift import raster
from landshift.classes import UNLABELLED, ClassScheme
from landshift.errors import TileSetError
from landshift.grid import Window

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

Bounds = tuple[float, float, float, float]
"""Left, bottom, right, top on the ground."""


class TileFiles(NamedTuple):
    """The files of one tile.

    Attributes:
        image: The image.
        label: Its labels.
        image2: The image of the second input, in a two-input set.
        before: The class map before, in a set that carries both class maps.
        after: The class map after.
        weights: The weights of the labels, in a set that carries them.
    """

    image: Path
    label: Path
    image2: Path | None = None
    before: Path | None = None
    after: Path | None = None
    weights: Path | None = None

    @property
    def there(self) -> tuple[Path, ...]:
        """The files that the tile has."""
        return tuple(p for p in self if p is not None)


@dataclass(frozen=True, kw_only=True)
class BandFacts:
    """Statistics of an image's values.

    Attributes:
        valid: Pixels that are valid in every band.
        minimum: Smallest value of each band over valid pixels; NaN where there are none.
        maximum: Largest value of each band.
        mean: Mean of each band.
        m2: Sum of squared deviations from the mean, each band.
    """

    valid: int
    minimum: tuple[float, ...]
    maximum: tuple[float, ...]
    mean: tuple[float, ...]
    m2: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class PixelFacts(BandFacts):
    """Statistics of one tile's pixels.

    Attributes:
        class_pixels: Pixels of each label value, unlabelled ones (0) included.
        second: Statistics of the second input, in a two-input set.
        before_pixels: Pixels of each class before, in a set with class maps.
        after_pixels: Pixels of each class after.
        weight: Sum of the labels' weights, in a set that carries them.
    """

    class_pixels: Mapping[int, int]
    second: BandFacts | None = None
    before_pixels: Mapping[int, int] | None = None
    after_pixels: Mapping[int, int] | None = None
    weight: float | None = None


@dataclass(frozen=True, kw_only=True)
class Tile(PixelFacts):
    """An image and its labels as stored for training, with statistics of their pixels.

    Attributes:
        name: Stem of the files, such as ``000000012``.
        image: File of the image.
        label: File of the labels.
        image2: File of the second input; None in a set of one input.
        before: File of the class map before; None in a set without class maps.
        after: File of the class map after.
        weights: File of the labels' weights; None in a set without.
        bounds: Left, bottom, right, top of its bounding box, in units of `crs`; None without a
            georeference.
        crs: Coordinate reference system as ``EPSG:n`` or WKT; None where unknown.
    """

    name: str
    image: Path
    label: Path
    image2: Path | None = None
    before: Path | None = None
    after: Path | None = None
    weights: Path | None = None
    bounds: Bounds | None
    crs: str | None

    @property
    def files(self) -> TileFiles:
        """Its files."""
        return TileFiles(self.image, self.label, self.image2, self.before, self.after, self.weights)


@dataclass(frozen=True)
class BandStatistics:
    """Statistics of each band over the valid pixels of several tiles.

    Attributes:
        minimum: Smallest value.
        maximum: Largest value.
        mean: Mean.
        std: Standard deviation of the sample (n - 1), as in Esri's AllTilesStats.
        count: Valid pixels.
    """

    minimum: tuple[float, ...]
    maximum: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    count: tuple[int, ...]


@dataclass(frozen=True)
class SecondInput:
    """Properties of a second input's images.

    Attributes:
        bands: Name of each band; '' if it has none.
        dtype: Pixel type.
        nodata: The nodata value, or None.
    """

    bands: tuple[str, ...]
    dtype: str
    nodata: float | None


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Contents of a set's files, without the names of the classes.

    Attributes:
        bands: Name of each band; '' if it has none.
        dtype: Pixel type of the images.
        nodata: Nodata value of the images, or None.
        height: Rows of a tile.
        width: Columns of a tile.
        cell_size: Width and height of a pixel in CRS units, of the first tile with a georeference;
            None without.
        tiles: The tiles, by name.
        second: The second input; None in a set of one.
    """

    bands: tuple[str, ...]
    dtype: str
    nodata: float | None
    height: int
    width: int
    cell_size: tuple[float, float] | None
    tiles: tuple[Tile, ...]
    second: SecondInput | None = None


@dataclass(frozen=True, kw_only=True, repr=False)
class TileSet(Contents):
    """A training set: tiles of one size, one pixel type and the same bands.

    Attributes:
        folder: The set's root, which holds ``images`` and ``labels``.
        scheme: Classes of the labels.
        map_scheme: Classes of the two class maps; None in a set without them.
        parts: The sets that it joins, of which `folder` is the first's; () for a single one.
    """

    folder: Path
    scheme: ClassScheme
    map_scheme: ClassScheme | None = None
    parts: tuple[TileSet, ...] = ()

    @property
    def folders(self) -> list[Path]:
        """The root of each set that it joins; its own."""
        return [part.folder for part in self.parts] or [self.folder]

    def __repr__(self) -> str:
        """Folder, number and size of the tiles, bands and classes."""
        return (
            f"TileSet({str(self.folder)!r}: {len(self.tiles)} tiles of {self.width} x "
            f"{self.height} pixels, {len(self.bands)} bands of {self.dtype}, classes "
            f"{', '.join(self.scheme.names)})"
        )

    def band_statistics(self, tiles: Sequence[int] | None = None) -> BandStatistics:
        """Statistics of each band, pooled exactly from the tiles' own.

        The pooled sum of squared deviations is that of Chan, Golub & LeVeque (1979, Stanford
        STAN-CS-79-773, eq. 2.1), for all tiles at once.

        Args:
            tiles: Indices of the tiles to pool; None for all.

        Raises:
            TileSetError: No valid pixel in them.
        """
        return _pooled(list(self._chosen(tiles)), self.folder)

    def second_statistics(self, tiles: Sequence[int] | None = None) -> BandStatistics:
        """Statistics of each band of the second input; see `band_statistics`.

        Args:
            tiles: Indices of the tiles to pool; None for all.

        Raises:
            TileSetError: No second input, or no valid pixel in it.
        """
        return _pooled([t.second for t in self._chosen(tiles) if t.second], self.folder)

    def class_pixels(self, tiles: Sequence[int] | None = None) -> dict[int, int]:
        """Pixels of each label value, 0 included, ascending by value.

        Args:
            tiles: Indices of the tiles to count; None for all.
        """
        counts: Counter[int] = Counter()
        for tile in self._chosen(tiles):
            counts.update(tile.class_pixels)
        return dict(sorted(counts.items()))

    def map_pixels(self, tiles: Sequence[int] | None = None) -> dict[int, int]:
        """Pixels of each class in the class maps before and after together, ascending by value.

        Args:
            tiles: Indices of the tiles to count; None for all.
        """
        counts: Counter[int] = Counter()
        for tile in self._chosen(tiles):
            counts.update(tile.before_pixels or {})
            counts.update(tile.after_pixels or {})
        return dict(sorted(counts.items()))

    def mean_weight(self, tiles: Sequence[int] | None = None) -> float | None:
        """Mean weight of labelled pixels; None in a set without weights, or without a label.

        Args:
            tiles: Indices of the tiles to count; None for all.
        """
        sums = [t.weight for t in self._chosen(tiles) if t.weight is not None]
        values = set(self.scheme.values)
        pixels = sum(n for v, n in self.class_pixels(tiles).items() if v in values)
        return sum(sums) / pixels if sums and pixels else None

    def _chosen(self, tiles: Sequence[int] | None) -> Sequence[Tile]:
        return self.tiles if tiles is None else [self.tiles[k] for k in tiles]


def _pooled(facts: Sequence[BandFacts], folder: Path) -> BandStatistics:
    chosen = [f for f in facts if f.valid]
    if not chosen:
        raise TileSetError(
            f"Band statistics need a valid pixel, got none in {len(facts)} tiles "
            f"of {folder}; check the nodata value of the images."
        )
    count = np.array([f.valid for f in chosen], np.float64)[:, None]
    total = count.sum()
    means = np.array([f.mean for f in chosen])
    mean = (count * means).sum(axis=0) / total
    within = np.array([f.m2 for f in chosen]).sum(axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        m2 = within + (count * (means - mean) ** 2).sum(axis=0)
    if not np.isfinite(m2).all():
        least, most = (
            float(f(np.array([getattr(c, name) for c in chosen])))
            for f, name in ((np.min, "minimum"), (np.max, "maximum"))
        )
        raise TileSetError(
            f"Band values must have a mean and a deviation, got values from {least:g} to {most:g} "
            f"in {folder}; declare the nodata value of the images (gdal_edit -a_nodata)."
        )
    return BandStatistics(
        minimum=_floats(np.array([f.minimum for f in chosen]).min(axis=0)),
        maximum=_floats(np.array([f.maximum for f in chosen]).max(axis=0)),
        mean=_floats(mean),
        std=_floats(np.sqrt(m2 / max(total - 1, 1))),
        count=(int(total),) * means.shape[1],
    )


def read_tile(tile: Tile) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.uint8]]:
    """Read a tile's pixels.

    Returns:
        The values, ``(band, row, column)`` in the file's pixel type; a mask ``(row, column)``,
        True where every band is valid; the label values ``(row, column)``, 0 at the label file's
        nodata.

    Raises:
        RasterError: A file is missing or damaged.
    """
    with open_tile(tile.image) as source:
        values, mask = read_whole(source)
    with open_tile(tile.label) as source:
        labels = read_labels(source)
    return values, mask, labels.astype(np.uint8)


def read_second(tile: Tile) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Read the second input of a tile.

    Returns:
        The values, ``(band, row, column)``, and a mask ``(row, column)``, True where every band
        is valid.

    Raises:
        TileSetError: The tile has no second input.
        RasterError: The file is missing or damaged.
    """
    if tile.image2 is None:
        raise TileSetError(
            f"The tile must have a second input, got only {tile.image}; cut the set with a second "
            "raster (images2)."
        )
    with open_tile(tile.image2) as source:
        return read_whole(source)


def read_class_maps(tile: Tile) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read the class maps before and after of a tile.

    Returns:
        Class values before and after, each ``(row, column)``, 0 without a class.

    Raises:
        TileSetError: The tile has no class maps.
        RasterError: A file is missing or damaged.
    """
    if tile.before is None or tile.after is None:
        raise TileSetError(
            f"The tile must have class maps before and after, got none beside {tile.label}; cut "
            "the set with both (labels_before, labels_after)."
        )
    maps = []
    for path in (tile.before, tile.after):
        with open_tile(path) as source:
            maps.append(read_labels(source).astype(np.uint8))
    return maps[0], maps[1]


def read_weights(tile: Tile) -> NDArray[np.float32]:
    """Read the weights of a tile's labels, ``(row, column)``.

    Raises:
        TileSetError: The tile has none.
        RasterError: The file is missing or damaged.
    """
    if tile.weights is None:
        raise TileSetError(
            f"The tile must have weights, got none beside {tile.label}; cut the set with `weights`."
        )
    with open_tile(tile.weights) as source:
        values, mask = read_whole(source)
    return np.where(mask, values[0], 0).astype(np.float32)


def weights_fit(weights: NDArray[Any]) -> bool:
    """Whether all weights lie between 0 and 1."""
    return bool(((weights >= 0) & (weights <= 1)).all())


def read_units(tile: Tile) -> tuple[str | None, ...]:
    """Unit of each band of a tile, from its file, or None.

    Raises:
        RasterError: The file is missing or damaged.
    """
    with open_tile(tile.image) as source:
        return tuple(unit or None for unit in source.units)


def read_whole(source: DatasetReader) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Values of all bands of an open raster, including alpha, and their mask; see `raster.read`."""
    return raster.read(source, Window(0, 0, source.height, source.width), source.indexes)


def read_labels(source: DatasetReader) -> NDArray[Any]:
    """Label values of an open raster in its own pixel type, 0 at its nodata."""
    values, mask = read_whole(source)
    labels: NDArray[Any] = np.where(mask, values[0], values.dtype.type(UNLABELLED))
    return labels


def measure(values: NDArray[Any], mask: NDArray[np.bool_], labels: NDArray[Any]) -> PixelFacts:
    """Measure a tile's pixels.

    Args:
        values: ``(band, row, column)``.
        mask: ``(row, column)``, True where valid.
        labels: ``(row, column)``.
    """
    return PixelFacts(class_pixels=count_values(labels), **vars(measure_bands(values, mask)))


def count_values(labels: NDArray[Any]) -> dict[int, int]:
    """Pixels of each value, ascending by value."""
    if labels.dtype == np.uint8:
        counts = np.bincount(labels.ravel(), minlength=256)
        return {int(v): int(counts[v]) for v in np.flatnonzero(counts)}
    values, pixels = np.unique(labels, return_counts=True)
    return {int(v): int(n) for v, n in zip(values, pixels, strict=True)}


def measure_bands(values: NDArray[Any], mask: NDArray[np.bool_]) -> BandFacts:
    """Measure an image's values, see `measure`."""
    valid = int(np.count_nonzero(mask))
    if not valid:
        unknown = (float("nan"),) * len(values)
        return BandFacts(
            valid=0, minimum=unknown, maximum=unknown, mean=unknown, m2=(0.0,) * len(values)
        )
    x = values.reshape(len(values), -1) if valid == mask.size else values[:, mask]
    moments = [_moments(band) for band in x]
    return BandFacts(
        valid=valid,
        minimum=_floats(x.min(axis=1)),
        maximum=_floats(x.max(axis=1)),
        mean=tuple(mean for mean, _ in moments),
        m2=tuple(m2 for _, m2 in moments),
    )


_EXACT = 1 << 20
"""Number of 16-bit pixels whose squares sum exactly in float64: below 2^53."""


def _moments(band: NDArray[Any]) -> tuple[float, float]:
    """Mean and sum of squared deviations; exact for short integers, in one pass."""
    if not (np.issubdtype(band.dtype, np.integer) and band.dtype.itemsize <= 2):
        x = band.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):  # `_pooled` reports overflow
            mean = float(x.mean())
            x -= mean
            return mean, float(np.einsum("p,p->", x, x))
    total = squares = 0
    for start in range(0, len(band), _EXACT):
        x = band[start : start + _EXACT].astype(np.float64)
        total += int(x.sum())
        squares += int(np.einsum("p,p->", x, x))
    count = len(band)
    return total / count, (count * squares - total * total) / count


def open_tile(path: Path) -> AbstractContextManager[DatasetReader]:
    """Open a tile's file, which is untrusted.

    Raises:
        RasterError: See `raster.open_raster`.
    """
    return raster.open_raster(path, untrusted=True)


@contextmanager
def without_georeference() -> Iterator[None]:
    """Suppress rasterio's warning about rasters without georeference."""
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def bounds_of(transform: Any, height: int, width: int) -> Bounds | None:
    """The bounding box of a tile; None if the transform is the identity."""
    if transform.is_identity:
        return None
    corners = [transform @ corner for corner in ((0, 0), (width, 0), (0, height), (width, height))]
    x, y = zip(*corners, strict=True)
    return min(x), min(y), max(x), max(y)


def cell_size_of(transform: Any) -> tuple[float, float] | None:
    """Width and height of a pixel; None if the transform is the identity."""
    if transform.is_identity:
        return None
    return float(np.hypot(transform.a, transform.d)), float(np.hypot(transform.b, transform.e))


def _floats(values: NDArray[Any]) -> tuple[float, ...]:
    return tuple(float(v) for v in values)
