"""What is classified: a raster, or the images of two dates as one composite, on one grid."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from landshift import grid, raster, vector
from landshift import images as imagery
from landshift.errors import GridError, ParameterError
from landshift.grid import Window
from landshift.images import Image
from landshift.prepare import target
from landshift.raster import validity
from landshift.spec import InputSpec

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

Bounds = tuple[float, float, float, float]

log = logging.getLogger(__name__)

_THREADS = min(os.cpu_count() or 1, 4)  # that decode a tile's blocks, so that no engine waits


@dataclass(frozen=True)
class Read:
    """A window as it was read.

    Attributes:
        values: ``(band, row, column)`` in the raster's pixel type.
        mask: ``(row, column)``, True where valid.
        wanted: ``(row, column)``, True where the map shall say something: valid, and inside the
            polygons where there are some.
    """

    values: NDArray[Any]
    mask: NDArray[np.bool_]
    wanted: NDArray[np.bool_]


class Reader(Protocol):
    """What reads windows of a scene, which may reach over it."""

    def __call__(self, window: Window, needed: Window | None = None) -> Read:
        """Read a window.

        Args:
            window: Pixels of the scene.
            needed: Its part without which the rest is of no use: where nothing in it is wanted,
                no more is read, and nothing of the window is valid. None: all of it.
        """


@dataclass(frozen=True)
class Scene:
    """What is classified, opened by each thread and process for itself.

    Attributes:
        files: Every file that it is read from, for the record.
        box: Grid of the part that is classified.
        dtype: Pixel type.
        stored: Rows and columns of the blocks that its file is stored in.
        corner: Row and column where the part begins.
        bands: Numbers of the model's bands, from 1.
        cell_size: Size of a pixel where it is resampled, in CRS units; None: as filed.
        plans: The images of the dates; none for a raster.
        whole: Grid of all of it.
        polygons: Where the map shall say something, in the grid's CRS; None: everywhere.
    """

    files: tuple[Path | str, ...]
    box: GeoBox
    dtype: str
    stored: tuple[int, int]
    corner: tuple[int, int]
    bands: tuple[int, ...]
    cell_size: float | None
    plans: tuple[imagery.Plan, ...]
    whole: GeoBox
    polygons: tuple[Any, ...] | None

    @property
    def ground(self) -> Window:
        """All of it, by rows and columns of the part that is classified."""
        row, column = self.corner
        return Window(-row, -column, self.whole.height, self.whole.width)

    def sources(self) -> list[Path]:
        """Every file of this machine that pixels come from, those that a VRT names too."""
        named = [*self.files, *(layer.path for plan in self.plans for layer in plan.layers)]
        return sorted({f for name in named for f in raster.files_of(name)})

    @contextmanager
    def opened(self, cache: int) -> Iterator[Reader]:
        """The scene open to be read by windows of its box, which may reach over it; one thread.

        Args:
            cache: Bytes for GDAL's blocks, of all open rasters together.

        Raises:
            RasterError: A file can't be read.
        """
        with ExitStack() as stack:
            source = self._source(stack, cache)

            def read_window(window: Window, needed: Window | None = None) -> Read:
                at = window.shifted(*self.corner)
                core = at if needed is None else needed.shifted(*self.corner)
                inside = None if self.polygons is None else self._inside(at)
                there = core.shifted(-at.row, -at.column).slices
                if (inside is not None and not inside[there].any()) or source.is_empty(core):
                    values = np.zeros((len(self.bands), at.height, at.width), self.dtype)
                    none = np.zeros((at.height, at.width), np.bool_)
                    return Read(values, none, none)
                values, mask = source.read(at)
                return Read(values, mask, mask if inside is None else mask & inside)

            yield read_window

    def _source(self, stack: ExitStack, cache: int) -> _Raster | _Dates:
        if self.plans:
            readers = [
                stack.enter_context(imagery.opened(plan, self.whole, cache=cache))
                for plan in self.plans
            ]
            return _Dates(readers, self.bands, self.dtype)
        source = stack.enter_context(
            raster.open_raster(self.files[0], cache=cache, threads=_THREADS)
        )
        if self.cell_size is None:
            alpha = validity.alpha_of(source) not in self.bands
            return _Raster(partial(raster.read, source, alpha=alpha), self.bands)
        resampled = raster.at_cell_size(source, self.cell_size, self.bands)
        return _Raster(stack.enter_context(resampled).read, self.bands)

    def _inside(self, window: Window) -> NDArray[np.bool_]:
        box = grid.window_geobox(self.whole, window)
        left, bottom, right, top = box.boundingbox
        near = self._index.query(_rectangle((left, bottom, right, top)))
        shapes = [self._shapes[k] for k in sorted(near)]
        return vector.burn(shapes, [1] * len(shapes), box) > 0

    @property
    def _shapes(self) -> tuple[Any, ...]:
        assert self.polygons is not None
        return self.polygons

    @cached_property
    def _index(self) -> Any:
        from shapely import STRtree

        return STRtree(self._shapes)


class _Raster:
    """An open raster.

    Args:
        read: What reads a window of some bands.
        bands: Numbers of the bands that are read.
    """

    def __init__(
        self,
        read: Callable[[Window, Sequence[int]], tuple[NDArray[Any], NDArray[np.bool_]]],
        bands: Sequence[int],
    ) -> None:
        self._read, self._bands = read, bands

    def is_empty(self, window: Window) -> bool:
        """Whether it is known, from the first band, that nothing is valid."""
        return not self._read(window, self._bands[:1])[1].any()

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Values and mask of a window."""
        return self._read(window, self._bands)


class _Dates:
    """Open images, one a date, as one raster.

    Args:
        readers: The images.
        bands: Numbers of the bands that are read, counted through all dates.
        dtype: Pixel type that holds all of them.
    """

    def __init__(self, readers: Sequence[imagery.ImageReader], bands: Sequence[int], dtype: str) -> None:
        self._readers, self._bands, self._dtype = readers, bands, dtype

    def is_empty(self, window: Window) -> bool:
        """Not known: that takes reading all of it."""
        return False

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Values and mask of a window."""
        parts, masks = zip(*(r.read(window) for r in self._readers), strict=True)
        bands = [band for part in parts for band in part]
        values = np.stack([bands[b - 1] for b in self._bands], dtype=self._dtype)
        return values, np.logical_and.reduce(masks)


def find_scene(
    image: Path | str | Sequence[Path | str | Image],
    spec: InputSpec,
    *,
    bounds: Bounds | None = None,
    polygons: Path | str | None = None,
    mask_layer: str | None = None,
    cell_size: float | None = None,
) -> Scene:
    """Look at what is to be classified and settle where it lies and which bands are read.

    Args:
        image: A raster, or one image a date.
        spec: What the model eats.
        bounds: Left, bottom, right, top of the part to classify, in the raster's CRS.
        polygons: Vector file; only pixels inside its polygons are classified, and only their
            bounding box is mapped.
        mask_layer: Name of the layer of the polygons; None: the only one.
        cell_size: Size of a pixel in CRS units, to run at another resolution; None: as filed.

    Raises:
        RasterError: A file can't be read.
        BandError: A band is missing.
        GridError: Bounds or polygons miss the raster; no CRS where one is needed.
        VectorError: The polygons can't be read.
        ParameterError: No image, or a cell size out of its range.
    """
    if isinstance(image, (str, Path)):
        found = _raster(image, spec, cell_size)
    else:
        found = _dates(image, spec, cell_size)
    whole = found.whole
    shapes = None if polygons is None else _polygons(polygons, whole, mask_layer)
    part = Window(0, 0, whole.height, whole.width)
    for limits in (bounds, None if shapes is None else _around(shapes)):
        if limits is not None:
            part = _common(part, grid.window_of_bounds(whole, limits))
    return Scene(
        **{
            **vars(found), "box": grid.window_geobox(whole, part),
            "corner": (part.row, part.column), "polygons": shapes,
        }
    )  # fmt: skip


def _raster(image: Path | str, spec: InputSpec, cell_size: float | None) -> Scene:
    with raster.open_raster(image) as source:
        info = raster.info_of(source)
        bands = raster.pick_bands(info, spec.bands, spec.positions)
        box, stored = info.grid, info.block
        if cell_size is not None:
            with raster.at_cell_size(source, cell_size, bands) as resampled:
                box = resampled.grid
            stored = (1, 1)
    return Scene((image,), box, info.dtype, stored, (0, 0), bands, cell_size, (), box, None)


def _dates(images: Sequence[Path | str | Image], spec: InputSpec, cell_size: float | None) -> Scene:
    given = [i if isinstance(i, Image) else Image(files=(i,)) for i in images]
    if not given:
        raise ParameterError("A raster, or an image of each date, must be given, got none.")
    dates = target.date_names(len(given))
    plans = tuple(target.match_bands([imagery.plan(i) for i in given], dates))
    box = target.target_grid(plans, target.TargetGrid(resolution=cell_size))
    names = target.bands_of(plans)
    imagery.warn_of_scaling(plans, dates)
    first = plans[0].layers[0].info
    dtype = str(np.result_type(*(p.dtype for p in plans)))
    info = raster.RasterInfo(first.path, box, dtype, None, names, first.block, False, None)
    bands = raster.pick_bands(info, spec.bands, spec.positions)
    files = tuple(f for i in given for f in i.files)
    return Scene(files, box, dtype, first.block, (0, 0), bands, cell_size, plans, box, None)


def _polygons(path: Path | str, box: GeoBox, layer: str | None) -> tuple[Any, ...]:
    if box.crs is None:
        raise GridError(
            "A mask polygon needs a raster with a CRS, got none; assign one (gdal_edit -a_srs)."
        )
    found = vector.read_polygons(path, box, layer, option="mask_layer").geometries
    vanished = vector.without_pixel(found, box)
    if vanished:
        log.warning("%s: %d polygons hold no pixel's centre.", path, len(vanished))
    shapes = tuple(shape for shape in found if not shape.is_empty)
    if not shapes:
        raise GridError(
            f"Polygons must lie on the raster, got none of {path} on {grid.describe(box)}; "
            "check their CRS."
        )
    return shapes


def _around(shapes: Sequence[Any]) -> Bounds:
    from shapely import total_bounds

    left, bottom, right, top = total_bounds(shapes)
    return float(left), float(bottom), float(right), float(top)


def _common(first: Window, second: Window) -> Window:
    row, column = max(first.row, second.row), max(first.column, second.column)
    bottom = min(first.row + first.height, second.row + second.height)
    right = min(first.column + first.width, second.column + second.width)
    if bottom <= row or right <= column:
        raise GridError(
            "Bounds and polygons must share ground on the raster, got "
            f"{first} and {second}; check their CRS."
        )
    return Window(row, column, bottom - row, right - column)


def _rectangle(bounds: Bounds) -> Any:
    from shapely import box

    return box(*bounds)
