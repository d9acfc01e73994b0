"""Cutting composites and change maps into a training set."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift import raster
from landshift.classes import ClassScheme
from landshift.errors import ParameterError, TileSetError
from landshift.files import provenance, resumable
from landshift.files import whole as whole_files
from landshift.grid import Window
from landshift.raster.recoding import Recoding
from landshift.raster.tiling import Size, both, training_windows
from landshift.tileset import esri
from landshift.tileset.blocks import Kept, shared_block
from landshift.tileset.chips import (
    ChipFormat,
    Shared,
    label_format,
    nodata_of,
    suffix,
    write_chip,
)
from landshift.tileset.coding import codes_of_labels, codes_of_maps, tell_codes
from landshift.tileset.index import INDEX, read_bands, read_provenance, spell_bands, write_index
from landshift.tileset.job import (
    Inputs,
    Job,
    Options,
    check_alike,
    check_rasters,
    describe_job,
    format_named,
    second_of,
    start_of,
    turns_of,
    usable_nodata,
    warn_of_others,
    who_else,
)
from landshift.tileset.reading import name_crs, read, root_of
from landshift.tileset.source import Chip, chips_of
from landshift.tileset.tiles import (
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
    without_georeference,
)

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]

_OF_A_SET = {
    "images", "images2", "labels", esri.BEFORE, esri.AFTER, esri.MAP, esri.STATS, esri.ACCUMULATED,
    esri.DEFINITION, esri.MAP_CLASSES, INDEX,
}  # fmt: skip
"""What a set's folder holds; models saved in it are no part of it."""

_WAITING_BYTES = 64 << 20  # of tiles read and not yet written: what keeps the cores busy


def cut(
    images: Sequence[Path],
    labels: Sequence[Path],
    folder: Path,
    *,
    scheme: ClassScheme | None = None,
    recode: Recoding | None = None,
    tile_size: Size = 256,
    stride: Size = 128,
    start_index: int | None = None,
    skip_unlabelled: bool = True,
    minimum_labelled: float = 0.0,
    chip_format: str = "TIFF",
    compress: bool = True,
    rotation_angle: float = 0.0,
    mask_polygons: Path | None = None,
    mask_layer: str | None = None,
    images2: Sequence[Path] = (),
    labels_before: Sequence[Path] = (),
    labels_after: Sequence[Path] = (),
    map_scheme: ClassScheme | None = None,
    append: bool = False,
    overwrite: bool = False,
    on_tile: Progress | None = None,
) -> TileSet:
    """Cut images and their class rasters into a training set in 'Classified Tiles' layout.

    Pixels that aren't valid in every band of the image become its nodata value (0 under a mask
    inside the file, if it has none) and unlabelled. A raster smaller than a tile is padded so.
    Windows without a valid pixel give no tile. The set appears when it is whole; a run that was
    killed is taken up by the same call, and ends with the same bytes.

    Args:
        images: Composites; all with the same bands, pixel type and nodata value.
        labels: The class raster of each image, on its grid.
        folder: Where the set goes; new or empty, unless appended to or overwritten.
        scheme: Classes of the labels; None: as the class rasters, or the recoding, tell. Classes
            whose value a byte can't hold get the lowest free values; so does class 0 where a valid
            pixel is unlabelled. 0 is no class where it isn't named and no nodata is declared.
        recode: What each value of the labels becomes, a value or the name of a class, or None
            for unlabelled; without a scheme, new names get the lowest free values.
        tile_size: Rows and columns of a tile; one number for both.
        stride: Step between tiles down and to the right, in pixels; one number for both.
        start_index: Number of the first tile; None: 0, or the next one of the set appended to.
        skip_unlabelled: Whether windows without a labelled pixel are left out.
        minimum_labelled: Share of a tile's pixels that must be labelled, 0 to 1.
        chip_format: ``TIFF``, ``PNG`` or ``JPEG`` (whose labels are PNG, without loss).
        compress: Whether TIFF tiles are compressed (LZW); without, they are written faster.
        rotation_angle: Degrees above 0 and below 360: each window is also cut with its frame
            turned clockwise about its centre by the angle and its multiples below 360; images are
            sampled bilinearly, labels by the nearest pixel, what lies outside the raster is
            nodata. 0: not turned.
        mask_polygons: A vector file; only tiles whose ground lies wholly in its polygons count.
        mask_layer: Name of their layer; None: the only one.
        images2: A second input raster for each image, on its grid, with bands of its own; a
            pixel is valid where it is in both.
        labels_before: The class map before of each image, kept beside the labels.
        labels_after: The class map after; both or neither.
        map_scheme: Classes of the class maps; None: as they tell. Values that a change map of
            them can't hold are moved as `landshift.prepare.label.label` moves them.
        append: Whether tiles are added to the set in `folder`, if one is there.
        overwrite: Whether a set in `folder` is replaced; not where models were saved in it, or
            anything else.
        on_tile: Called after each window (each rotation of it) with those done and all.

    Raises:
        ParameterError: An option out of its range, a folder that isn't empty, or an unfinished
            set of other inputs or options beside it.
        GridError: An image and its labels on different grids; mask polygons without a CRS.
        BandError: Images that differ in bands, pixel type or nodata value, or don't fit the
            format; labels of several bands.
        ClassError: No classes known, a label value outside them, or unlabelled pixels that
            can't be told from a class of value 0.
        TileSetError: No window holds a labelled pixel; or the set appended to is unlike.
        RasterError: A raster is missing or damaged.
        VectorError: The polygons are missing or damaged.
        OutputError: The folder can't be written.
    """
    inputs = Inputs.of(images, labels, images2, labels_before, labels_after, mask_polygons)
    options = Options(
        tile_size=both(tile_size),
        stride=both(stride),
        start_index=start_index,
        skip_unlabelled=skip_unlabelled,
        minimum_labelled=float(minimum_labelled),
        chip_format=format_named(chip_format),
        rotation_angle=float(rotation_angle),
        compress=compress,
        mask_layer=mask_layer,
    )
    folder = Path(folder)
    _check_new(folder, append=append, overwrite=overwrite)
    described = {**describe_job(inputs, options, scheme, map_scheme, recode), "append": append}
    with without_georeference():  # check_rasters says it once, in our words
        base = None
        if append and folder.is_dir() and any(folder.iterdir()):
            folder = root_of(folder)
            if resumable.finish_joining(folder, described):
                return read(folder)
            base = read(folder)
        infos = check_rasters(inputs, options.chip_format)
        label_codes = codes_of_labels(
            inputs.images, inputs.labels, scheme, recode, None if base is None else base.scheme
        )
        tell_codes(folder, label_codes, inputs.labels)
        map_codes = None
        if inputs.before:
            map_codes = codes_of_maps([*inputs.before, *inputs.after], map_scheme)
            tell_codes(folder, map_codes, [*inputs.before, *inputs.after])
        second = second_of(inputs, options.chip_format)
        warn_of_others(label_codes.scheme, infos[0], second)
        plans = [list(training_windows(i.height, i.width, *options.sizes)) for i in infos]
        job = Job(
            inputs=inputs,
            options=options,
            labels=label_codes,
            maps=map_codes,
            infos=infos,
            second=second,
            nodata=nodata_of(options.chip_format, usable_nodata(infos[0])),
            turns=turns_of(options),
            start=start_of(options, base),
            digits=len(base.tiles[-1].name) if base and base.tiles[-1].name.isdigit() else 9,
            block=shared_block(options.tile_size, options.stride),
            kept=Kept(),
        )
        if base is not None:
            check_alike(job, base)
        with resumable.resumable_folder(
            folder, described, join=base is not None, overwrite=overwrite
        ) as unfinished:
            tiles = _cut_all(job, plans, unfinished, on_tile)
            windows = sum(map(len, plans)) * len(job.turns)
            if not any(t.valid and job.is_labelled(t) for t in tiles):
                raise TileSetError(
                    f"A training set needs a labelled pixel, got none in {windows} windows of "
                    f"{labels[0]}; check that image and labels are valid on the same ground"
                    f"{who_else(options, inputs)}."
                )
            _write_about(unfinished.folder, job, tiles, base, recode)
            logger.info("%s: %d tiles of %d windows hold labels.", folder, len(tiles), windows)
    return read(folder, label_codes.scheme)


def _check_new(folder: Path, *, append: bool, overwrite: bool) -> None:
    """Check that a set goes into a new folder, or into one that holds nothing but a set."""
    if append and overwrite:
        raise ParameterError(
            "A set is either appended to or replaced, got both append and overwrite; choose one."
        )
    if append:
        return
    whole_files.check_new_folder(folder, overwrite=overwrite)
    others = sorted(p.name for p in folder.glob("*") if p.name not in _OF_A_SET)
    if others:
        raise ParameterError(
            f"Only a tile set is replaced, got {folder} with {', '.join(others[:3])} in it; move "
            "that elsewhere, or give another name."
        )


def _cut_all(
    job: Job,
    plans: Sequence[Sequence[Window]],
    unfinished: resumable.Unfinished,
    on_tile: Progress | None,
) -> list[Tile]:
    """Write the tiles of all images, one after another; tiles are compressed on all cores."""
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
    workers = min(8, os.cpu_count() or 1)
    waiting: deque[Future[Tile] | None] = deque()
    number, finished = start + len(tiles), len(entries)

    def finish() -> None:
        nonlocal finished
        future = waiting.popleft()
        tile = None if future is None else future.result()
        unfinished.record(None if tile is None else _entry_of(tile))
        if tile is not None:
            tiles.append(tile)
        finished += 1
        if on_tile is not None:
            on_tile(finished, total)

    with ThreadPoolExecutor(workers) as pool:
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


def _folders(job: Job) -> list[str]:
    names = ["images", "labels"]
    if job.second is not None:
        names.append("images2")
    if job.inputs.before:
        names += [esri.BEFORE, esri.AFTER]
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
        second=None if entry["second"] is None else read_bands(entry["second"]),
        **vars(read_bands(entry["first"])),
    )


def _write_tile(job: Job, chip: Chip, folder: Path, name: str) -> Tile:
    """Write a tile's files; what it holds."""
    chips = job.options.chip_format
    labels = label_format(chips)
    write = partial(write_chip, compress=job.options.compress)
    image = folder / "images" / f"{name}{suffix(chips)}"
    label = folder / "labels" / f"{name}{suffix(labels)}"
    whole = bool(chip.mask.all())
    hidden = None if whole or job.nodata is not None else chip.mask
    place = chip.place
    write(
        image, chip.values, place, chips, nodata=job.nodata, bands=chip.bands, mask=hidden,
        shared=_shared(job, chip, "images"),
    )  # fmt: skip
    write(label, chip.labels[None], place, labels, shared=_shared(job, chip, "labels"))
    files = TileFiles(image, label)
    second = None
    if chip.second is not None and job.second is not None:
        path = folder / "images2" / image.name
        nodata, bands = job.second.nodata, job.second.bands
        hidden = None if whole or nodata is not None else chip.mask
        write(
            path, chip.second, place, chips, nodata=nodata, bands=bands, mask=hidden,
            shared=_shared(job, chip, "images2"),
        )  # fmt: skip
        second = measure_bands(*_stored(path, chip.second, chip.mask, chips))
        files = files._replace(image2=path)
    counts = []
    for root, values in zip((esri.BEFORE, esri.AFTER), chip.maps, strict=False):
        path = folder / root / label.name
        write(path, values[None], place, labels, shared=_shared(job, chip, root))
        counts.append(count_values(values))
    if counts:
        files = files._replace(
            before=folder / esri.BEFORE / label.name, after=folder / esri.AFTER / label.name
        )
    before, after = counts or (None, None)
    return Tile(
        name=name,
        **files._asdict(),
        bounds=bounds_of(place.transform, *chip.mask.shape),
        crs=None if place.crs is None else name_crs(place.crs.wkt),
        class_pixels=count_values(chip.labels),
        second=second,
        before_pixels=before,
        after_pixels=after,
        **vars(measure_bands(*_stored(image, chip.values, chip.mask, chips))),
    )


def _shared(job: Job, chip: Chip, layer: str) -> Shared | None:
    """What a file of a tile shares with those of tiles that overlap it by whole blocks."""
    if job.block is None or job.options.chip_format is not ChipFormat.tiff or chip.corner is None:
        return None
    row, column = chip.corner
    if row % job.block[0] or column % job.block[1]:
        return None  # flush with the raster's far edge
    return Shared(job.kept, job.block, (chip.source, layer), row, column)


def _stored(
    path: Path, values: NDArray[Any], mask: NDArray[np.bool_], chips: ChipFormat
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Values as the file holds them: JPEG changes them."""
    if chips is not ChipFormat.jpeg:
        return values, mask
    with open_tile(path) as source:
        return read_whole(source)


def _write_about(
    folder: Path, job: Job, tiles: Sequence[Tile], base: TileSet | None, recode: Recoding | None
) -> None:
    """Write side files and index."""
    own = [(size, i) for i in job.infos if (size := cell_size_of(i.grid.affine))]
    sizes = [esri.cell_size(size, _crs_of(i.path)) for size, i in own]
    start = int(tiles[0].name)
    parameters = {
        **job.options.named(),
        "start_index": start,
        "recode": recode,
        "moved": {str(old): new for old, new in job.labels.moved.items()},
    }
    record = provenance.record("tileset", job.inputs.all, parameters)
    contents = Contents(
        bands=job.infos[0].names,
        dtype=job.infos[0].dtype,
        nodata=job.nodata,
        height=job.options.tile_size[0],
        width=job.options.tile_size[1],
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
