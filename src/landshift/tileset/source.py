"""Reading of tiles: the pixels of each window, rotated on request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift import grid, raster, vector
from landshift.classes import UNLABELLED, ClassScheme
from landshift.errors import ClassError, RasterError
from landshift.grid import Window
from landshift.machine import parallel
from landshift.raster import RasterInfo
from landshift.tileset.chips import Place
from landshift.tileset.coding import LabelReader
from landshift.tileset.job import CuttingJob
from landshift.tileset.sampling import RowCache, Turn, turned
from landshift.tileset.tiles import cell_size_of, weights_fit


@dataclass(frozen=True)
class Chip:
    """The data of one tile, ready to write."""

    values: NDArray[Any]
    mask: NDArray[np.bool_]
    labels: NDArray[np.uint8]
    second: NDArray[Any] | None
    maps: tuple[NDArray[np.uint8], ...]
    weights: NDArray[np.float32] | None
    place: Place
    bands: tuple[str, ...]
    source: int
    corner: tuple[int, int] | None  # first row and column in the raster; None: rotated


def chips_of(
    job: CuttingJob, plans: Sequence[Sequence[Window]], *, skip: int
) -> Iterator[Chip | None]:
    """Read the data of each tile.

    Args:
        job: The part of the run that is the same for every tile.
        plans: Windows of each image.
        skip: Number of tiles to leave out at the start.

    Yields:
        The data; None for a window without a tile.
    """
    for number, plan in enumerate(plans):
        count = len(plan) * len(job.turns)
        if skip >= count:
            skip -= count
            continue
        with ExitStack() as stack:
            source = _OpenImage(job, number, stack)
            for position in range(skip, count):
                window, turn = divmod(position, len(job.turns))
                yield source.chip(plan[window], job.turns[turn])
        skip = 0


class _OpenImage:
    """The open rasters of one image.

    Args:
        job: The part of the run that is the same for every tile.
        number: Index of the image.
        stack: Closes the rasters.
    """

    def __init__(self, job: CuttingJob, number: int, stack: ExitStack) -> None:
        self.job = job
        self.number = number
        self.info = job.infos[number]
        self.label_path = label_path = job.inputs.labels[number]
        reach = max([job.tile_size[0]] + [t.around.height for t in job.turns if t is not None])

        def rows(path: Path) -> RowCache:
            opened = raster.open_raster(path, threads=parallel.threads())
            return RowCache(stack.enter_context(opened), reach)

        self.image, self.labels = rows(self.info.path), rows(label_path)
        self.label_reader = LabelReader(job.labels, label_path, self.labels.source)
        self.second = rows(job.inputs.seconds[number]) if job.inputs.seconds else None
        maps = (job.inputs.before, job.inputs.after)
        of_maps = [(paths[number], rows(paths[number])) for paths in maps if paths]
        self.maps = [
            (each, LabelReader(job.maps, path, each.source), self._place_on(path))
            for path, each in of_maps
            if job.maps
        ]
        weights = job.inputs.weights[number : number + 1]
        self.weights = [(rows(path), self._place_on(path)) for path in weights]
        self.crs = self.image.source.crs
        self.inside = _inside_polygons(job.inputs.polygons, job.cutting.mask_layer, self.info)

    def chip(self, window: Window, turn: Turn | None) -> Chip | None:
        """The data of a window, rotated on request; None if it gives no tile."""
        job = self.job
        if self.inside is not None and not self.inside(window, turn):
            return None
        codes = _codes(self.labels, self.label_reader, window, turn)
        if job.skips(codes):
            return None
        values, mask = self._values(self.image, window, turn)
        second = None
        if self.second is not None:
            second, valid = self._values(self.second, window, turn)
            mask &= valid
        if not mask.any():
            return None
        hidden = None if mask.all() else ~mask
        if hidden is not None:
            codes[hidden] = -1
            if job.skips(codes):
                return None
        _check_background(codes, mask, job.scheme, self.label_path)
        if hidden is not None:
            values[:, hidden] = 0 if job.nodata is None else job.nodata
            if second is not None and job.second is not None:
                second[:, hidden] = 0 if job.second.nodata is None else job.second.nodata
        maps = []
        for rows, reader, (row, column) in self.maps:
            map_codes = _codes(rows, reader, window.shifted(row, column), turn)
            if hidden is not None:
                map_codes[hidden] = -1
            maps.append(_label_values(map_codes))
        weights = None
        for rows, (row, column) in self.weights:
            weights = _weights(rows, window.shifted(row, column), turn)
            weights[codes < 0] = 0
        return Chip(
            values=values,
            mask=mask,
            labels=_label_values(codes),
            second=second,
            maps=tuple(maps),
            weights=weights,
            place=Place(_transform_of(self.info, window, turn), self.crs),
            bands=self.info.names,
            source=self.number,
            corner=None if turn is not None else (window.row, window.column),
        )

    def _place_on(self, path: Path) -> tuple[int, int]:
        """Row and column of the image's first pixel on a class map, which may be larger."""
        return grid.place_inside(self.info.grid, raster.info(path).grid) or (0, 0)

    def _values(
        self, rows: RowCache, window: Window, turn: Turn | None
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        if turn is None:
            return rows.read(window)
        return turn.bilinear(*rows.read(turn.around.shifted(window.row, window.column)))


def _weights(rows: RowCache, window: Window, turn: Turn | None) -> NDArray[np.float32]:
    """Weights of a window, 0 where there are none."""
    if turn is None:
        values, mask = rows.read(window)
    else:
        values, mask = turn.nearest(*rows.read(turn.around.shifted(window.row, window.column)))
    weights = np.where(mask, values[0], 0).astype(np.float32)
    if not weights_fit(weights):
        raise RasterError(
            "Weights of labels must lie between 0 and 1, got others in "
            f"{rows.source.name}; give what `landshift label` writes."
        )
    return weights


def _codes(
    rows: RowCache, reader: LabelReader, window: Window, turn: Turn | None
) -> NDArray[np.int16]:
    """Class values of a window, -1 where unlabelled."""
    around = window if turn is None else turn.around.shifted(window.row, window.column)
    values, mask = rows.read(around)
    mask = reader.mask(values, mask, around)
    if turn is not None:
        values, mask = turn.nearest(values, mask)
    return reader.codes(values[0], mask)


def _label_values(codes: NDArray[np.int16]) -> NDArray[np.uint8]:
    return np.where(codes < 0, UNLABELLED, codes).astype(np.uint8)


def _inside_polygons(
    path: Path | None, layer: str | None, info: RasterInfo
) -> Callable[[Window, Turn | None], bool] | None:
    """A function that tests whether polygons cover a tile's ground inside the raster."""
    if path is None:
        return None
    import shapely

    polygons = vector.read_polygons(path, info.grid, layer, option="mask_layer")
    union = shapely.union_all(polygons.geometries)
    shapely.prepare(union)
    affine = info.grid.affine
    corners = ((0, 0), (info.width, 0), (info.width, info.height), (0, info.height))
    extent = shapely.Polygon([affine @ c for c in corners])
    spare = 1e-3 * min(cell_size_of(affine) or (1.0,))  # edges on the polygon's edge are inside

    def inside(window: Window, turn: Turn | None) -> bool:
        place = _transform_of(info, window, turn)
        height, width = window.height, window.width
        corners = ((0, 0), (width, 0), (width, height), (0, height))
        ground = shapely.intersection(shapely.Polygon([place @ c for c in corners]), extent)
        return bool(shapely.covers(union, shapely.buffer(ground, -spare)))

    return inside


def _transform_of(info: RasterInfo, window: Window, turn: Turn | None) -> Any:
    """The affine transform of a tile; the identity if the raster has no georeference."""
    affine = info.grid.affine
    if affine.is_identity:
        return affine
    affine = grid.window_geobox(info.grid, window).affine
    return affine if turn is None else affine @ turned(turn.angle, window.height, window.width)


def _check_background(
    codes: NDArray[np.int16], mask: NDArray[np.bool_], scheme: ClassScheme, path: Path
) -> None:
    """Check that no valid pixel is unlabelled if 0, which means unlabelled in tiles, is a class."""
    if scheme.background is not None and (codes[mask] < 0).any():
        raise ClassError(
            f"Every valid pixel needs a label where 0 is a class ({scheme.names[0]!r}), got "
            f"nodata in {path}; recode that class to a value from 1 to 254."
        )
