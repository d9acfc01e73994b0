"""A tile, a set of them, and what their pixels say: statistics per band, pixels per class."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

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


@dataclass(frozen=True, kw_only=True)
class PixelFacts:
    """What the pixels of one tile say.

    Attributes:
        class_pixels: Pixels of each label value, unlabelled ones (0) included.
        valid: Pixels that are valid in every band.
        minimum: Smallest value of each band over valid pixels; NaN where there are none.
        maximum: Largest value of each band.
        mean: Mean of each band.
        m2: Sum of squared deviations from the mean, each band.
    """

    class_pixels: Mapping[int, int]
    valid: int
    minimum: tuple[float, ...]
    maximum: tuple[float, ...]
    mean: tuple[float, ...]
    m2: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Tile(PixelFacts):
    """An image and its labels as stored for training, with what their pixels say.

    Attributes:
        name: Stem of the two files, such as ``000000012``.
        image: Where the image lies.
        label: Where the labels lie.
        bounds: Left, bottom, right, top on the ground, in units of `crs`; None without
            georeference.
        crs: Coordinate reference system as ``EPSG:n`` or WKT; None where unknown.
    """

    name: str
    image: Path
    label: Path
    bounds: Bounds | None
    crs: str | None


@dataclass(frozen=True)
class BandStatistics:
    """Statistics of each band over the valid pixels of several tiles.

    Attributes:
        minimum: Smallest value.
        maximum: Largest value.
        mean: Mean.
        std: Standard deviation of the sample (n - 1), as Esri's AllTilesStats hold it.
        count: Valid pixels.
    """

    minimum: tuple[float, ...]
    maximum: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    count: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What the files of a set hold, whatever the classes are called.

    Attributes:
        bands: Name of each band; '' where it has none.
        dtype: Pixel type of the images.
        nodata: Value that means 'no data' in the images, or None.
        height: Rows of a tile.
        width: Columns of a tile.
        cell_size: Width and height of a pixel in CRS units (of the first tile that has a
            georeference); None without.
        tiles: The tiles, by name.
    """

    bands: tuple[str, ...]
    dtype: str
    nodata: float | None
    height: int
    width: int
    cell_size: tuple[float, float] | None
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, kw_only=True)
class TileSet(Contents):
    """A training set: tiles of one size, one pixel type and the same bands.

    Attributes:
        folder: The set's root, which holds ``images`` and ``labels``.
        scheme: Classes of the labels.
    """

    folder: Path
    scheme: ClassScheme

    def band_statistics(self, tiles: Sequence[int] | None = None) -> BandStatistics:
        """Statistics of each band, pooled exactly from those of the tiles.

        The pooled sum of squared deviations is that of Chan, Golub & LeVeque (1979, Stanford
        STAN-CS-79-773, eq. 2.1), for all tiles at once.

        Args:
            tiles: Indices of the tiles to pool; None for all.

        Raises:
            TileSetError: No valid pixel in them.
        """
        chosen = [t for t in self._chosen(tiles) if t.valid]
        if not chosen:
            raise TileSetError(
                f"Band statistics need a valid pixel, got none in {len(self._chosen(tiles))} tiles "
                f"of {self.folder}; check the nodata value of the images."
            )
        count = np.array([t.valid for t in chosen], np.float64)[:, None]
        total = count.sum()
        means = np.array([t.mean for t in chosen])
        mean = (count * means).sum(axis=0) / total
        m2 = np.array([t.m2 for t in chosen]).sum(axis=0) + (count * (means - mean) ** 2).sum(
            axis=0
        )
        std = np.sqrt(m2 / max(total - 1, 1))
        return BandStatistics(
            minimum=_floats(np.array([t.minimum for t in chosen]).min(axis=0)),
            maximum=_floats(np.array([t.maximum for t in chosen]).max(axis=0)),
            mean=_floats(mean),
            std=_floats(std),
            count=(int(total),) * len(self.bands),
        )

    def class_pixels(self, tiles: Sequence[int] | None = None) -> dict[int, int]:
        """Pixels of each label value, 0 included, ascending by value.

        Args:
            tiles: Indices of the tiles to count; None for all.
        """
        counts: Counter[int] = Counter()
        for tile in self._chosen(tiles):
            counts.update(tile.class_pixels)
        return dict(sorted(counts.items()))

    def _chosen(self, tiles: Sequence[int] | None) -> Sequence[Tile]:
        return self.tiles if tiles is None else [self.tiles[k] for k in tiles]


def read_tile(tile: Tile) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.uint8]]:
    """Read a tile's pixels.

    Returns:
        The values, ``(band, row, column)`` in the file's pixel type; a mask ``(row, column)``,
        True where every band is valid; the label values ``(row, column)``, 0 where the label
        file says 'no data'.

    Raises:
        RasterError: A file is missing or damaged.
    """
    with open_tile(tile.image) as source:
        values, mask = read_whole(source)
    with open_tile(tile.label) as source:
        labels = read_labels(source)
    return values, mask, labels.astype(np.uint8)


def read_whole(source: DatasetReader) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """All values of an open raster and where they are valid, see `raster.read`."""
    return raster.read(source, Window(0, 0, source.height, source.width))


def read_labels(source: DatasetReader) -> NDArray[Any]:
    """Label values of an open raster in its own pixel type, 0 where it says 'no data'."""
    values, mask = read_whole(source)
    labels: NDArray[Any] = np.where(mask, values[0], values.dtype.type(UNLABELLED))
    return labels


def measure(values: NDArray[Any], mask: NDArray[np.bool_], labels: NDArray[Any]) -> PixelFacts:
    """What a tile's pixels say.

    Args:
        values: ``(band, row, column)``.
        mask: ``(row, column)``, True where valid.
        labels: ``(row, column)``.
    """
    found, pixels = np.unique(labels, return_counts=True)
    class_pixels = {int(v): int(n) for v, n in zip(found, pixels, strict=True)}
    valid = int(mask.sum())
    if not valid:
        unknown = (float("nan"),) * len(values)
        return PixelFacts(
            class_pixels=class_pixels,
            valid=0,
            minimum=unknown,
            maximum=unknown,
            mean=unknown,
            m2=(0.0,) * len(values),
        )
    x = values.reshape(len(values), -1) if mask.all() else values[:, mask]
    minimum, maximum = x.min(axis=1), x.max(axis=1)
    x = x.astype(np.float64)
    mean = x.mean(axis=1)
    x -= mean[:, None]
    m2 = np.einsum("bp,bp->b", x, x)
    return PixelFacts(
        class_pixels=class_pixels,
        valid=valid,
        minimum=_floats(minimum),
        maximum=_floats(maximum),
        mean=_floats(mean),
        m2=_floats(m2),
    )


_FILTERS = Lock()


@contextmanager
def open_tile(path: Path) -> Iterator[DatasetReader]:
    """Open a tile's file, which may lack a georeference: label tiles of ArcGIS often do.

    Raises:
        RasterError: See `raster.open_raster`.
    """
    with ExitStack() as stack:
        with _FILTERS, without_georeference():  # Python's warning filters belong to all threads
            source = stack.enter_context(raster.open_raster(path))
        yield source


@contextmanager
def without_georeference() -> Iterator[None]:
    """Where a raster without georeference is no cause for rasterio's warning."""
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def bounds_of(transform: Any, height: int, width: int) -> Bounds | None:
    """The box around a tile's ground; None where the transform is the identity."""
    if transform.is_identity:
        return None
    corners = [transform @ corner for corner in ((0, 0), (width, 0), (0, height), (width, height))]
    x, y = zip(*corners, strict=True)
    return min(x), min(y), max(x), max(y)


def cell_size_of(transform: Any) -> tuple[float, float] | None:
    """Width and height of a pixel; None where the transform is the identity."""
    if transform.is_identity:
        return None
    return float(np.hypot(transform.a, transform.d)), float(np.hypot(transform.b, transform.e))


def _floats(values: NDArray[Any]) -> tuple[float, ...]:
    return tuple(float(v) for v in values)
