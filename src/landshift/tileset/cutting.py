"""Cutting composites and change maps into a training set."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift import grid, ledger, provenance, raster
from landshift.classes import UNLABELLED, ClassScheme, Colour
from landshift.errors import BandError, ClassError, OutputError, ParameterError, TileSetError
from landshift.grid import Window
from landshift.raster import RasterInfo
from landshift.tileset import esri
from landshift.tileset.index import write_index
from landshift.tileset.reading import name_crs, read
from landshift.tileset.tiles import (
    Contents,
    Tile,
    TileSet,
    bounds_of,
    cell_size_of,
    measure,
    without_georeference,
)
from landshift.tiling import training_windows

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]


def cut(
    images: Sequence[Path],
    labels: Sequence[Path],
    folder: Path,
    *,
    scheme: ClassScheme | None = None,
    tile_size: int = 256,
    stride: int = 128,
    start_index: int = 0,
    skip_unlabelled: bool = True,
    on_tile: Progress | None = None,
) -> TileSet:
    """Cut images and their class rasters into a training set in 'Classified Tiles' layout.

    Pixels that aren't valid in every band of the image become its nodata value (0 under a mask
    inside the file, if it has none) and unlabelled. A raster smaller than a tile is padded so.

    Args:
        images: Composites; all with the same bands, pixel type and nodata value.
        labels: The class raster of each image, on its grid.
        folder: Where the set goes; new or empty.
        scheme: Classes of the labels; None: as the class rasters tell.
        tile_size: Rows and columns of a tile.
        stride: Step between tiles, in pixels.
        start_index: Number of the first tile.
        skip_unlabelled: Whether windows without a labelled pixel are left out.
        on_tile: Called after each window with the windows done and all windows.

    Raises:
        ParameterError: An option out of its range, or a folder that isn't empty.
        GridError: An image and its labels on different grids.
        BandError: Images that differ in bands, pixel type or nodata value; labels of several
            bands.
        ClassError: No classes known, a label value outside them, or unlabelled pixels that
            can't be told from a class of value 0.
        TileSetError: No window holds a labelled pixel.
        RasterError: A raster is missing or damaged.
        OutputError: The folder can't be written.
    """
    images, labels = [Path(p) for p in images], [Path(p) for p in labels]
    _check_options(images, labels, start_index)
    with without_georeference():  # _check_rasters says it once, in our words
        infos = _check_rasters(images, labels)
        scheme = scheme or _scheme_of(labels)
        plans = [list(training_windows(i.height, i.width, tile_size, stride)) for i in infos]
        job = _Job(scheme, _usable_nodata(infos[0]), skip_unlabelled)
        with ledger.whole_folder(Path(folder)) as part:
            tiles = _cut_all(job, infos, labels, plans, part, start_index, on_tile)
            windows = sum(map(len, plans))
            if not any(t.valid and job.is_labelled(t) for t in tiles):
                raise TileSetError(
                    f"A training set needs a labelled pixel, got none in {windows} windows of "
                    f"{labels[0]}; check that image and labels are valid on the same ground."
                )
            _write_about(part, job, infos, labels, tiles, tile_size, stride, start_index)
    logger.info("%s: %d tiles of %d windows hold labels.", folder, len(tiles), windows)
    return read(Path(folder), scheme)


@dataclass(frozen=True)
class _Job:
    """What holds for every tile.

    Attributes:
        scheme: Classes of the labels.
        nodata: Value of image pixels that aren't valid; None: 0, under a mask inside the file.
        skip_unlabelled: Whether windows without a labelled pixel are left out.
    """

    scheme: ClassScheme
    nodata: float | None
    skip_unlabelled: bool

    def is_labelled(self, tile: Tile) -> bool:
        return any(tile.class_pixels.get(v) for v in self.scheme.values)


@dataclass(frozen=True)
class _Window:
    """The data of one window, ready to be written."""

    values: NDArray[Any]
    mask: NDArray[np.bool_]
    labels: NDArray[np.uint8]
    transform: Any
    crs: Any
    bands: tuple[str, ...]


def _check_options(images: Sequence[Path], labels: Sequence[Path], start_index: int) -> None:
    if not images or len(images) != len(labels):
        raise ParameterError(
            f"Each image needs its class raster, got {len(images)} images and {len(labels)} "
            "class rasters; give one for each."
        )
    if start_index < 0:
        raise ParameterError(f"start_index must be at least 0, got {start_index}.")


def _check_rasters(images: Sequence[Path], labels: Sequence[Path]) -> list[RasterInfo]:
    """What the images are, once they fit each other and their labels."""
    infos = [raster.info(p) for p in images]
    for info in infos:
        if _kind(info) != _kind(infos[0]):
            raise BandError(
                "Images of one set must share bands, pixel type and nodata value, got "
                f"{_describe(infos[0])} in {infos[0].path} and {_describe(info)} in {info.path}; "
                "make the composites alike first."
            )
        if info.grid.affine.is_identity:
            logger.warning(
                "%s has no georeference; its tiles won't know their ground, and a split by "
                "ground can't tell which of them overlap.", info.path
            )  # fmt: skip
    for info, path in zip(infos, labels, strict=True):
        found = raster.info(path)
        names = (f"in {info.path}", f"in {path}")
        grid.check_same(info.grid, found.grid, what="An image and its labels", names=names)
        if len(found.bands) != 1:
            raise BandError(
                f"Labels must have one band, got {len(found.bands)} in {path}; extract the band "
                "of class values (gdal_translate -b)."
            )
    return infos


def _kind(info: RasterInfo) -> tuple[Any, ...]:
    return info.bands, info.dtype, repr(info.nodata)  # repr: NaN differs from itself


def _describe(info: RasterInfo) -> str:
    names = ", ".join(info.bands) if any(info.bands) else "unnamed"
    return f"{len(info.bands)} bands ({names}) of {info.dtype} with nodata {info.nodata}"


def _scheme_of(labels: Sequence[Path]) -> ClassScheme:
    """The classes that the class rasters tell, together."""
    names: dict[int, str] = {}
    colours: dict[int, Colour] = {}
    for path in labels:
        for c in raster.scheme_of(path) or ():
            if names.setdefault(c.value, c.name) != c.name:
                raise ClassError(
                    f"Class rasters must agree on their classes, got {names[c.value]!r} and "
                    f"{c.name!r} for value {c.value} in {path}; give a class mapping."
                )
            colours.setdefault(c.value, c.colour)
    if not names:
        raise ClassError(
            f"Labels must carry class names or a colour table, got neither in {labels[0]}; "
            "give a class mapping such as {1: 'to forest', 2: 'No change'}."
        )
    return ClassScheme.from_mapping(names, colours)


def _usable_nodata(info: RasterInfo) -> float | None:
    """The nodata value, if the pixel type can hold it."""
    dtype = np.dtype(info.dtype)
    if info.nodata is None or np.issubdtype(dtype, np.floating):
        return info.nodata
    limits = np.iinfo(dtype)
    fits = limits.min <= info.nodata <= limits.max and float(info.nodata).is_integer()
    return info.nodata if fits else None


def _cut_all(
    job: _Job,
    infos: Sequence[RasterInfo],
    labels: Sequence[Path],
    plans: Sequence[Sequence[Window]],
    folder: Path,
    start_index: int,
    on_tile: Progress | None,
) -> list[Tile]:
    """Write the tiles of all pairs, one after another; tiles are compressed on all cores."""
    total = sum(map(len, plans))
    for name in ("images", "labels"):
        (folder / name).mkdir()
    tiles: list[Tile] = []
    waiting: deque[Future[Tile]] = deque()
    workers = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:
        number = start_index
        windows = _windows_of(job, infos, labels, plans)
        for done, window in enumerate(windows, start=1):
            if window is not None:
                waiting.append(pool.submit(_write_tile, job, window, folder, f"{number:09d}"))
                number += 1
            while len(waiting) > 2 * workers:  # bounds the memory
                tiles.append(waiting.popleft().result())
            if on_tile is not None:
                on_tile(done, total)
        tiles += [future.result() for future in waiting]
    return tiles


def _windows_of(
    job: _Job,
    infos: Sequence[RasterInfo],
    labels: Sequence[Path],
    plans: Sequence[Sequence[Window]],
) -> Iterator[_Window | None]:
    """The data of each window; None where it is skipped."""
    for info, label, plan in zip(infos, labels, plans, strict=True):
        with raster.open_raster(info.path) as image, raster.open_raster(label) as classes:
            for window in plan:
                codes = _read_labels(classes, window, job.scheme)
                if job.skip_unlabelled and not (codes >= 0).any():
                    yield None
                    continue
                values, mask = raster.read(image, window)
                codes[~mask] = -1
                if job.skip_unlabelled and not (codes >= 0).any():
                    yield None
                    continue
                _check_background(codes, mask, job.scheme, label)
                values[:, ~mask] = 0 if job.nodata is None else job.nodata
                yield _Window(
                    values=values,
                    mask=mask,
                    labels=np.where(codes < 0, UNLABELLED, codes).astype(np.uint8),
                    transform=_transform_of(info, window),
                    crs=image.crs,
                    bands=info.bands,
                )


def _transform_of(info: RasterInfo, window: Window) -> Any:
    """The affine transform of a window; the identity where the raster has no georeference."""
    affine = info.grid.affine
    return affine if affine.is_identity else grid.window_geobox(info.grid, window).affine


def _read_labels(source: DatasetReader, window: Window, scheme: ClassScheme) -> NDArray[np.int16]:
    """Class values of a window, -1 where unlabelled."""
    values, mask = raster.read(source, window)
    values, background = values[0], scheme.background is not None
    if background:  # a class that the mapping names counts, even where the file calls it nodata
        inside = window.clipped(source.height, source.width).shifted(-window.row, -window.column)
        mask[inside.slices] |= values[inside.slices] == UNLABELLED
    unknown = scheme.unknown(values[mask])
    if unknown:
        raise ClassError(
            f"Label values must be in the class mapping {list(scheme.values)} (or 0, unlabelled), "
            f"got {', '.join(map(str, unknown[:8]))} in {source.name}; add them to the mapping or "
            "recode them."
        )
    codes = np.full(values.shape, -1, np.int16)
    codes[mask] = values[mask]
    if not background:
        codes[codes == UNLABELLED] = -1
    return codes


def _check_background(
    codes: NDArray[np.int16], mask: NDArray[np.bool_], scheme: ClassScheme, path: Path
) -> None:
    """Check that no valid pixel is unlabelled where 0, the tiles' word for that, is a class."""
    if scheme.background is not None and (codes[mask] < 0).any():
        raise ClassError(
            f"Every valid pixel needs a label where 0 is a class ({scheme.names[0]!r}), got "
            f"nodata in {path}; recode that class to a value from 1 to 254."
        )


def _write_tile(job: _Job, window: _Window, folder: Path, name: str) -> Tile:
    """Write image, labels and their world files; what the tile holds."""
    image, label = folder / "images" / f"{name}.tif", folder / "labels" / f"{name}.tif"
    hidden = job.nodata is None and not window.mask.all()
    mask = window.mask if hidden else None
    with _output_errors(folder):
        _write_raster(image, window.values, window, job.nodata, window.bands, mask)
        _write_raster(label, window.labels[None], window, None, (), None)
    bounds = bounds_of(window.transform, *window.mask.shape)
    if bounds is not None:
        for path in (image, label):
            text = esri.world_file(window.transform)
            path.with_suffix(".tfw").write_bytes(text.encode())
    return Tile(
        name=name,
        image=image,
        label=label,
        bounds=bounds,
        crs=None if window.crs is None else name_crs(window.crs.wkt),
        **vars(measure(window.values, window.mask, window.labels)),
    )


@contextmanager
def _output_errors(folder: Path) -> Iterator[None]:
    from rasterio.errors import RasterioError

    try:
        yield
    except RasterioError as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise OutputError(
            f"Tiles must be writable, got '{reason}' in {folder}; make room or choose another "
            "folder."
        ) from error


def _write_raster(
    path: Path,
    values: NDArray[Any],
    window: _Window,
    nodata: float | None,
    bands: Sequence[str],
    mask: NDArray[np.bool_] | None,
) -> None:
    import rasterio

    georeference = {} if window.transform.is_identity else {"transform": window.transform}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, GDAL_PAM_ENABLED=False),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=len(values),
            height=values.shape[1],
            width=values.shape[2],
            dtype=values.dtype,
            nodata=nodata,
            crs=window.crs,
            compress="lzw",
            predictor=_predictor(values.dtype) if bands else 1,
            interleave="pixel" if len(values) > 1 else "band",
            blockysize=values.shape[1],  # one strip: a tile is always read whole
            photometric="minisblack",  # else GDAL takes the fourth of four uint8 bands for alpha
            **georeference,
        ) as target,
    ):
        target.write(values)
        for number, band in enumerate(bands, start=1):
            if band:
                target.set_band_description(number, band)
        if mask is not None:
            target.write_mask(mask)


def _predictor(dtype: np.dtype[Any]) -> int:
    return 3 if np.issubdtype(dtype, np.floating) else 2


def _write_about(
    folder: Path,
    job: _Job,
    infos: Sequence[RasterInfo],
    labels: Sequence[Path],
    tiles: Sequence[Tile],
    tile_size: int,
    stride: int,
    start_index: int,
) -> None:
    """Write side files and index."""
    sizes = [(size, i) for i in infos if (size := cell_size_of(i.grid.affine))]
    contents = Contents(
        bands=infos[0].bands,
        dtype=infos[0].dtype,
        nodata=job.nodata,
        height=tile_size,
        width=tile_size,
        cell_size=sizes[0][0] if sizes else None,
        tiles=tuple(tiles),
    )
    tile_set = TileSet(**vars(contents), folder=folder, scheme=job.scheme)
    esri.write_side_files(
        folder,
        tile_set,
        next_index=start_index + len(tiles),
        cell_sizes=[esri.cell_size(size, _crs_of(i.path)) for size, i in sizes],
    )
    parameters = {
        "tile_size": tile_size,
        "stride": stride,
        "start_index": start_index,
        "skip_unlabelled": job.skip_unlabelled,
    }
    inputs = [*(i.path for i in infos), *labels]
    write_index(folder, contents, provenance.record("tileset", inputs, parameters))


def _crs_of(path: Path) -> Any:
    with raster.open_raster(path) as source:
        return source.crs
