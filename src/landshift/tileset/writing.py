"""Writing a training set: the files of each tile, the side files, the index."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift import raster
from landshift.errors import TileSetError
from landshift.files import provenance, resumable
from landshift.grid import Window
from landshift.machine import parallel, progress
from landshift.raster.recoding import Recoding
from landshift.tileset import esri
from landshift.tileset.chips import ChipFormat, Pixels, Shared, label_format, suffix, write_chip
from landshift.tileset.index import read_bands, read_provenance, spell_bands, write_index
from landshift.tileset.job import CuttingJob
from landshift.tileset.reading import name_crs
from landshift.tileset.source import Chip, chips_of
from landshift.tileset.tiles import (
    BandFacts,
    Contents,
    Tile,
    TileFiles,
    TileSet,
    bounds_of,
    cell_size_of,
    count_values,
    measure_bands,
    open_tile,
    read_whole,
)

Progress = Callable[[int, int], None]

_WAITING_BYTES = 64 << 20  # of tiles read and not yet written; enough to keep all cores busy


def write_tiles(
    job: CuttingJob,
    plans: Sequence[Sequence[Window]],
    unfinished: resumable.Unfinished,
    on_tile: Progress | None,
) -> list[Tile]:
    """Write the tiles of all images, one after another; tiles are compressed on all cores.

    Args:
        job: The part of the run that is the same for every tile.
        plans: Windows of each image.
        unfinished: The folder to write into, and the tiles that an earlier run finished.
        on_tile: Called after each window with those done and all.

    Raises:
        TileSetError: The set that tiles are appended to has changed since the run began.
    """
    folder, done = unfinished.folder, unfinished.done
    start, entries = job.start, list(done)
    if entries:
        start = int(entries.pop(0)["start"])
        if start != job.start:
            raise TileSetError(
                f"A set must stay as it is while tiles are appended, got {job.start} as the next "
                f"number and {start} when the unfinished run began; append again."
            )
    else:
        unfinished.record({"start": start})
    tiles = [_tile_of(entry, folder) for entry in entries if entry is not None]
    for name in _folders(job):
        (folder / name).mkdir(exist_ok=True)
    total = sum(map(len, plans)) * len(job.turns)
    workers = parallel.threads()
    waiting: deque[Future[Tile] | None] = deque()
    number, finished = start + len(tiles), len(entries)
    unfinished.count(finished, total, "windows")

    def finish() -> None:
        nonlocal finished
        future = waiting.popleft()
        tile = None if future is None else future.result()
        unfinished.record(None if tile is None else _entry_of(tile))
        if tile is not None:
            tiles.append(tile)
        finished += 1
        step.to(finished)
        unfinished.count(finished, total, "windows")
        if on_tile is not None:
            on_tile(finished, total)

    # a pool by hand: one reader keeps the rows that tiles share, so that tasks aren't known before,
    # and what waits is bounded by its bytes
    with progress.step("cut", total) as step, ThreadPoolExecutor(workers) as pool:
        step.to(finished)
        try:
            for chip in chips_of(job, plans, skip=len(entries)):
                if chip is None:
                    waiting.append(None)
                else:
                    name = f"{number:0{job.digits}d}"
                    waiting.append(pool.submit(_write_tile, job, chip, folder, name))
                    number += 1
                    bound = max(2 * workers, _WAITING_BYTES // max(1, chip.values.nbytes))
                while waiting and (waiting[0] is None or waiting[0].done() or len(waiting) > bound):
                    finish()
            while waiting:
                finish()
        except BaseException:
            for future in filter(None, waiting):
                future.cancel()
            raise
    return tiles


def _folders(job: CuttingJob) -> list[str]:
    names = ["images", "labels"]
    if job.second is not None:
        names.append("images2")
    if job.inputs.before:
        names += [esri.BEFORE, esri.AFTER]
    if job.inputs.weights:
        names.append(esri.WEIGHTS)
    return names


def _entry_of(tile: Tile) -> dict[str, Any]:
    """A tile as the ledger holds it."""
    return {
        "name": tile.name,
        "files": [None if p is None else [p.parent.name, p.name] for p in tile.files],
        "bounds": tile.bounds,
        "crs": tile.crs,
        "first": spell_bands(tile),
        "second": None if tile.second is None else spell_bands(tile.second),
        "pixels": [
            None if counts is None else list(counts.items())
            for counts in (tile.class_pixels, tile.before_pixels, tile.after_pixels)
        ],
        "weight": tile.weight,
    }


def _tile_of(entry: Mapping[str, Any], folder: Path) -> Tile:
    """A tile from its entry in the ledger."""
    image, label, *others = entry["files"]
    files = TileFiles(
        folder.joinpath(*image),
        folder.joinpath(*label),
        *(None if names is None else folder.joinpath(*names) for names in others),
    )
    pixels, before, after = (
        None if counts is None else dict(map(tuple, counts)) for counts in entry["pixels"]
    )
    return Tile(
        name=entry["name"],
        **files._asdict(),
        bounds=None if entry["bounds"] is None else tuple(entry["bounds"]),
        crs=entry["crs"],
        class_pixels=pixels or {},
        before_pixels=before,
        after_pixels=after,
        weight=entry.get("weight"),
        second=None if entry["second"] is None else read_bands(entry["second"]),
        **vars(read_bands(entry["first"])),
    )


def _write_tile(job: CuttingJob, chip: Chip, folder: Path, name: str) -> Tile:
    """Write the files of a tile.

    Returns:
        The tile, with statistics of its pixels.
    """
    image, facts = _write_image(job, chip, folder / "images", name, chip.values, chip.bands)
    label = _write_labels(job, chip, folder / "labels", name, chip.labels)
    files = TileFiles(image, label)
    second = None
    if chip.second is not None and job.second is not None:
        bands = job.second.bands
        path, second = _write_image(job, chip, folder / "images2", name, chip.second, bands)
        files = files._replace(image2=path)
    before = after = None
    if chip.maps:
        before, after = map(count_values, chip.maps)
        files = files._replace(
            before=_write_labels(job, chip, folder / esri.BEFORE, name, chip.maps[0]),
            after=_write_labels(job, chip, folder / esri.AFTER, name, chip.maps[1]),
        )
    weight = None
    if chip.weights is not None:
        weight = float(chip.weights.sum(dtype=np.float64))
        files = files._replace(weights=_write_weights(job, chip, folder / esri.WEIGHTS, name))
    return Tile(
        name=name,
        **files._asdict(),
        bounds=bounds_of(chip.place.transform, *chip.mask.shape),
        crs=None if chip.place.crs is None else name_crs(chip.place.crs.wkt),
        class_pixels=count_values(chip.labels),
        second=second,
        before_pixels=before,
        after_pixels=after,
        weight=weight,
        **vars(facts),
    )


def _write_image(
    job: CuttingJob,
    chip: Chip,
    folder: Path,
    name: str,
    values: NDArray[Any],
    bands: tuple[str, ...],
) -> tuple[Path, BandFacts]:
    """Write the first or second input of a tile: its file, and statistics of what it holds."""
    path = folder / f"{name}{suffix(job.chips)}"
    nodata = job.nodata
    if values is chip.second and job.second is not None:
        nodata = job.second.nodata
    mask = None if chip.mask.all() or nodata is not None else chip.mask
    write_chip(
        path, Pixels(values, nodata, bands, mask), chip.place, job.chips,
        shared=_shared(job, chip, folder.name), compress=not job.encoding.uncompressed,
    )  # fmt: skip
    return path, measure_bands(*_stored(path, values, chip.mask, job.chips))


def _write_labels(
    job: CuttingJob, chip: Chip, folder: Path, name: str, values: NDArray[Any]
) -> Path:
    """Write labels or a class map of a tile."""
    chips = label_format(job.chips)
    path = folder / f"{name}{suffix(chips)}"
    write_chip(
        path, Pixels(values[None]), chip.place, chips,
        shared=_shared(job, chip, folder.name), compress=not job.encoding.uncompressed,
    )  # fmt: skip
    return path


def _write_weights(job: CuttingJob, chip: Chip, folder: Path, name: str) -> Path:
    """Write the weights of a tile's labels: TIFF beside images of any format."""
    assert chip.weights is not None
    path = folder / f"{name}{suffix(ChipFormat.tiff)}"
    write_chip(
        path, Pixels(chip.weights[None]), chip.place, ChipFormat.tiff,
        shared=_shared(job, chip, folder.name), compress=not job.encoding.uncompressed,
    )  # fmt: skip
    return path


def _shared(job: CuttingJob, chip: Chip, layer: str) -> Shared | None:
    """Blocks that a file of a tile shares with those of tiles that overlap it by whole blocks."""
    if job.block is None or job.chips is not ChipFormat.tiff or chip.corner is None:
        return None
    row, column = chip.corner
    if row % job.block[0] or column % job.block[1]:
        return None  # flush with the raster's far edge
    return Shared(job.kept, job.block, (chip.source, layer), row, column)


def _stored(
    path: Path, values: NDArray[Any], mask: NDArray[np.bool_], chips: ChipFormat
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Values and mask as stored: JPEG isn't lossless."""
    if chips is not ChipFormat.jpeg:
        return values, mask
    with open_tile(path) as source:
        return read_whole(source)


def write_about(
    folder: Path,
    job: CuttingJob,
    tiles: Sequence[Tile],
    base: TileSet | None,
    recode: Recoding | None,
) -> None:
    """Write side files and index.

    Args:
        folder: The unfinished set.
        job: The part of the run that is the same for every tile.
        tiles: The new tiles.
        base: The set that they are appended to, if any.
        recode: Recoding of the labels.
    """
    own = [(size, i) for i in job.infos if (size := cell_size_of(i.grid.affine))]
    sizes = [esri.cell_size(size, _crs_of(i.path)) for size, i in own]
    start = int(tiles[0].name)
    parameters = {
        **job.cutting.as_json(),
        **job.encoding.as_json(),
        "start_index": start,
        "recode": recode,
        "moved": {str(old): new for old, new in job.labels.moved.items()},
    }
    record = provenance.record("tileset", job.inputs.all, parameters)
    contents = Contents(
        bands=job.infos[0].names,
        dtype=job.infos[0].dtype,
        nodata=job.nodata,
        height=job.tile_size[0],
        width=job.tile_size[1],
        cell_size=own[0][0] if own else None,
        tiles=tuple(tiles),
        second=job.second,
    )
    joined = None
    if base is not None:
        joined = base.folder
        sizes = [*esri.read_cell_sizes(joined), *sizes]
        record["appended_to"] = read_provenance(joined)
        contents = Contents(
            **{
                **vars(contents),
                "bands": base.bands if any(base.bands) else contents.bands,
                "cell_size": base.cell_size or contents.cell_size,
                "tiles": (*base.tiles, *tiles),
            }
        )
    tile_set = TileSet(
        **vars(contents), folder=folder, scheme=job.scheme, map_scheme=job.map_scheme
    )
    following = int(tiles[-1].name) + 1
    esri.write_side_files(folder, tile_set, next_index=following, cell_sizes=sizes)
    write_index(folder, contents, record, joined=joined)


def _crs_of(path: Path) -> Any:
    with raster.open_raster(path) as source:
        return source.crs
