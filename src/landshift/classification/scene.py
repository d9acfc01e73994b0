"""The input of a map: a raster, or the images of its dates as one composite, on one grid."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from landshift import grid, raster, vector
from landshift import images as imagery
from landshift.classification.options import MapArea
from landshift.errors import GridError, ParameterError
from landshift.files import options
from landshift.grid import Window
from landshift.images import Image
from landshift.prepare import target
from landshift.prepare.moments import BandLines
from landshift.raster import validity
from landshift.spec import InputSpec

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

log = logging.getLogger(__name__)

_THREADS = min(os.cpu_count() or 1, 4)  # decode a tile's file blocks, so that no engine waits


@dataclass(frozen=True)
class SceneWindow:
    """The data of a window of a scene.

    Attributes:
        values: ``(band, row, column)`` in the scene's pixel type.
        mask: ``(row, column)``, True where valid.
        wanted: ``(row, column)``, True where the map gets a class: valid, and inside the polygons
            if there are any.
    """

    values: NDArray[Any]
    mask: NDArray[np.bool_]
    wanted: NDArray[np.bool_]


class SceneReader(Protocol):
    """Reads windows of a scene, which may reach over its edges."""

    def __call__(self, window: Window, needed: Window | None = None) -> SceneWindow:
        """Read a window.

        Args:
            window: Pixels of the scene.
            needed: Part of the window that must hold a wanted pixel; else the rest isn't read, and
                no pixel of the window is valid. None: the whole window.
        """


@dataclass(frozen=True)
class InputScene:
    """The input of a map. Each thread and process opens it for itself.

    Attributes:
        files: Every file that is read, for the provenance.
        box: Grid of the part that is classified.
        dtype: Pixel type of the values that are read.
        stored: Rows and columns of the file's blocks.
        corner: Row and column of the whole where the part begins.
        bands: Numbers of the model's bands, from 1.
        cell_size: Pixel size of the resampled input, in CRS units; None: as stored.
        plans: The images of the dates; empty for a raster.
        whole: Grid of the whole input.
        polygons: Polygons outside of which the map is nodata, in the grid's CRS; None: no limit.
        lines: Lines that values are put on as they are read; None: they stay as stored.
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
    lines: BandLines | None = None

    @property
    def ground(self) -> Window:
        """The whole input, in rows and columns of the part that is classified."""
        row, column = self.corner
        return Window(-row, -column, self.whole.height, self.whole.width)

    def sources(self) -> list[Path]:
        """Local files that pixels come from, including those named in a VRT."""
        named = [*self.files, *(layer.path for plan in self.plans for layer in plan.layers)]
        return sorted({f for name in named for f in raster.files_of(name)})

    @contextmanager
    def opened(self, cache: int) -> Iterator[SceneReader]:
        """Open the scene for one thread; windows are relative to its box and may reach over it.

        Args:
            cache: Bytes of GDAL's block cache, for all open rasters together.

        Raises:
            RasterError: A file can't be read.
        """
        with ExitStack() as stack:
            source = self._source(stack, cache)

            def read_window(window: Window, needed: Window | None = None) -> SceneWindow:
                at = window.shifted(*self.corner)
                core = at if needed is None else needed.shifted(*self.corner)
                inside = None if self.polygons is None else self._inside(at)
                there = core.shifted(-at.row, -at.column).slices
                if (inside is not None and not inside[there].any()) or source.is_empty(core):
                    values = np.zeros((len(self.bands), at.height, at.width), self.dtype)
                    none = np.zeros((at.height, at.width), np.bool_)
                    return SceneWindow(values, none, none)
                values, mask = source.read(at)
                if self.lines is not None:
                    values = self.lines.applied(values, np.float32)
                return SceneWindow(values, mask, mask if inside is None else mask & inside)

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
        read: Reads some bands of a window: values and mask.
        bands: Numbers of the bands that are read.
    """

    def __init__(
        self,
        read: Callable[[Window, Sequence[int]], tuple[NDArray[Any], NDArray[np.bool_]]],
        bands: Sequence[int],
    ) -> None:
        self._read, self._bands = read, bands

    def is_empty(self, window: Window) -> bool:
        """Whether the first band has no valid pixel."""
        return not self._read(window, self._bands[:1])[1].any()

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Values and mask of a window."""
        return self._read(window, self._bands)


class _Dates:
    """Open images, one per date, as one raster.

    Args:
        readers: The images.
        bands: Numbers of the bands that are read, counted through all dates.
        dtype: Pixel type that holds the values of all dates.
    """

    def __init__(
        self, readers: Sequence[imagery.ImageReader], bands: Sequence[int], dtype: str
    ) -> None:
        self._readers, self._bands, self._dtype = readers, bands, dtype

    def is_empty(self, window: Window) -> bool:
        """False: the answer would need all bands."""
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
    area: MapArea = MapArea(),  # noqa: B008
) -> InputScene:
    """Determine the grid of the input's part that is classified, and the bands that are read.

    Args:
        image: A raster, or one image per date.
        spec: Input of the model.
        area: The part to classify, and its pixel size.

    Raises:
        RasterError: A file can't be read.
        BandError: A band is missing.
        GridError: Bounds or polygons miss the raster; no CRS where one is needed.
        VectorError: The polygons can't be read.
        ParameterError: No image, or a cell size out of its range.
    """
    if isinstance(image, (str, Path)):
        scene = _raster(image, spec, area.cell_size)
    else:
        scene = _dates(image, spec, area.cell_size)
    whole = scene.whole
    shapes = None
    if area.polygons is not None:
        shapes = _polygons(area.polygons, whole, area.mask_layer)
    part = Window(0, 0, whole.height, whole.width)
    for limits in (area.bounds, None if shapes is None else _around(shapes)):
        if limits is not None:
            part = _common(part, grid.window_of_bounds(whole, limits))
    return replace(
        scene, box=grid.window_geobox(whole, part), corner=(part.row, part.column), polygons=shapes
    )


def _raster(image: Path | str, spec: InputSpec, cell_size: float | None) -> InputScene:
    with raster.open_raster(image) as source:
        info = raster.info_of(source)
        bands = raster.pick_bands(info, spec.bands, spec.positions)
        box, stored = info.grid, info.block
        if cell_size is not None:
            with raster.at_cell_size(source, cell_size, bands) as resampled:
                box = resampled.grid
            stored = (1, 1)
    return InputScene((image,), box, info.dtype, stored, (0, 0), bands, cell_size, (), box, None)


def _dates(
    images: Sequence[Path | str | Image], spec: InputSpec, cell_size: float | None
) -> InputScene:
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
    return InputScene(files, box, dtype, first.block, (0, 0), bands, cell_size, plans, box, None)


def _polygons(path: Path | str, box: GeoBox, layer: str | None) -> tuple[Any, ...]:
    if box.crs is None:
        raise GridError(
            "A mask polygon needs a raster with a CRS, got none; assign one (gdal_edit -a_srs)."
        )
    geometries = vector.read_polygons(path, box, layer, option="mask_layer").geometries
    vanished = vector.without_pixel(geometries, box)
    if vanished:
        log.warning("%s: %d polygons hold no pixel's centre.", path, len(vanished))
    shapes = tuple(shape for shape in geometries if not shape.is_empty)
    if not shapes:
        raise GridError(
            f"Polygons must lie on the raster, got none of {path} on {grid.describe(box)}; "
            "check their CRS."
        )
    return shapes


def _around(shapes: Sequence[Any]) -> options.Bounds:
    from shapely import total_bounds

    left, bottom, right, top = total_bounds(shapes)
    return float(left), float(bottom), float(right), float(top)


def _common(first: Window, second: Window) -> Window:
    row, column = max(first.row, second.row), max(first.column, second.column)
    bottom = min(first.row + first.height, second.row + second.height)
    right = min(first.column + first.width, second.column + second.width)
    if bottom <= row or right <= column:
        raise GridError(
            "`bounds` and `polygons` must overlap on the raster, got "
            f"{first} and {second}; check their CRS."
        )
    return Window(row, column, bottom - row, right - column)


def _rectangle(bounds: options.Bounds) -> Any:
    from shapely import box

    return box(*bounds)
