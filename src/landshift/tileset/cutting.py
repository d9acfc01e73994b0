"""Cutting composites and change maps into a training set."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift import grid, ledger, provenance, raster, vector
from landshift.classes import UNLABELLED, ClassScheme, Colour
from landshift.errors import (
    BandError,
    ClassError,
    GridError,
    ParameterError,
    TileSetError,
)
from landshift.grid import Window
from landshift.raster import RasterInfo
from landshift.tileset import esri
from landshift.tileset.blocks import Kept, shared_block
from landshift.tileset.chips import (
    ChipFormat,
    Place,
    Shared,
    check_fits,
    format_of,
    label_format,
    nodata_of,
    suffix,
    write_chip,
)
from landshift.tileset.index import read_bands, read_provenance, spell_bands, write_index
from landshift.tileset.reading import name_crs, read, root_of
from landshift.tileset.sampling import Rows, Turn, turned
from landshift.tileset.tiles import (
    Contents,
    SecondInput,
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
from landshift.tiling import Size, both, training_windows

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]

_WAITING_BYTES = 64 << 20  # of tiles read and not yet written: what keeps the cores busy


def cut(
    images: Sequence[Path],
    labels: Sequence[Path],
    folder: Path,
    *,
    scheme: ClassScheme | None = None,
    tile_size: Size = 256,
    stride: Size = 128,
    start_index: int | None = None,
    skip_unlabelled: bool = True,
    minimum_labelled: float = 0.0,
    chip_format: str = "TIFF",
    rotation_angle: float = 0.0,
    mask_polygons: Path | None = None,
    images2: Sequence[Path] = (),
    labels_before: Sequence[Path] = (),
    labels_after: Sequence[Path] = (),
    map_scheme: ClassScheme | None = None,
    append: bool = False,
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
        folder: Where the set goes; new or empty, unless appended to.
        scheme: Classes of the labels; None: as the class rasters tell.
        tile_size: Rows and columns of a tile; one number for both.
        stride: Step between tiles down and to the right, in pixels; one number for both.
        start_index: Number of the first tile; None: 0, or the next one of the set appended to.
        skip_unlabelled: Whether windows without a labelled pixel are left out.
        minimum_labelled: Share of a tile's pixels that must be labelled, 0 to 1.
        chip_format: ``TIFF``, ``PNG`` or ``JPEG`` (whose labels are PNG, without loss).
        rotation_angle: Degrees above 0 and below 360: each window is also cut with its frame
            turned clockwise about its centre by the angle and its multiples below 360; images are
            sampled bilinearly, labels by the nearest pixel, what lies outside the raster is
            nodata. 0: not turned.
        mask_polygons: A vector file; only tiles whose ground lies wholly in its polygons count.
        images2: A second input raster for each image, on its grid, with bands of its own; a
            pixel is valid where it is in both.
        labels_before: The class map before of each image, kept beside the labels.
        labels_after: The class map after; both or neither.
        map_scheme: Classes of the class maps; None: as they tell.
        append: Whether tiles are added to the set in `folder`, if one is there.
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
    inputs = _Inputs.of(images, labels, images2, labels_before, labels_after, mask_polygons)
    options = _Options(
        tile_size=both(tile_size),
        stride=both(stride),
        start_index=start_index,
        skip_unlabelled=skip_unlabelled,
        minimum_labelled=float(minimum_labelled),
        chip_format=_format_named(chip_format),
        rotation_angle=float(rotation_angle),
    )
    folder = Path(folder)
    described = {**_describe_job(inputs, options, scheme, map_scheme), "append": append}
    with without_georeference():  # _check_rasters says it once, in our words
        base = None
        if append and folder.is_dir() and any(folder.iterdir()):
            folder = root_of(folder)
            if ledger.finish_joining(folder, described):
                return read(folder, scheme)
            base = read(folder)
        infos = _check_rasters(inputs, options.chip_format)
        scheme = _scheme_for(labels, scheme, base)
        if inputs.before:
            map_scheme = map_scheme or _scheme_of([*inputs.before, *inputs.after], "Class maps")
        plans = [list(training_windows(i.height, i.width, *options.sizes)) for i in infos]
        job = _Job(
            inputs=inputs,
            options=options,
            scheme=scheme,
            map_scheme=map_scheme if inputs.before else None,
            infos=infos,
            second=_second_of(inputs, options.chip_format),
            nodata=nodata_of(options.chip_format, _usable_nodata(infos[0])),
            turns=_turns(options),
            start=_start(options, base),
            digits=len(base.tiles[-1].name) if base and base.tiles[-1].name.isdigit() else 9,
            block=shared_block(options.tile_size, options.stride),
            kept=Kept(),
        )
        if base is not None:
            _check_alike(job, base)
        with ledger.resumable_folder(folder, described, join=base is not None) as unfinished:
            tiles = _cut_all(job, plans, unfinished, on_tile)
            windows = sum(map(len, plans)) * len(job.turns)
            if not any(t.valid and job.is_labelled(t) for t in tiles):
                raise TileSetError(
                    f"A training set needs a labelled pixel, got none in {windows} windows of "
                    f"{labels[0]}; check that image and labels are valid on the same ground"
                    f"{_who_else(options, inputs)}."
                )
            _write_about(unfinished.folder, job, tiles, base)
            logger.info("%s: %d tiles of %d windows hold labels.", folder, len(tiles), windows)
    return read(folder, scheme)


@dataclass(frozen=True)
class _Inputs:
    """The files that a set is cut from, one of each kind for each image (or none)."""

    images: tuple[Path, ...]
    labels: tuple[Path, ...]
    seconds: tuple[Path, ...]
    before: tuple[Path, ...]
    after: tuple[Path, ...]
    polygons: Path | None

    @classmethod
    def of(
        cls,
        images: Sequence[Path],
        labels: Sequence[Path],
        seconds: Sequence[Path],
        before: Sequence[Path],
        after: Sequence[Path],
        polygons: Path | None,
    ) -> _Inputs:
        if not images or len(images) != len(labels):
            raise ParameterError(
                f"Each image needs its class raster, got {len(images)} images and {len(labels)} "
                "class rasters; give one for each."
            )
        for what, paths in (
            ("second input", seconds), ("class map before", before), ("class map after", after)
        ):  # fmt: skip
            if len(paths) not in (0, len(images)):
                raise ParameterError(
                    f"Each image needs its {what}, or none does, got {len(paths)} for "
                    f"{len(images)} images; give one for each."
                )
        if bool(before) != bool(after):
            raise ParameterError(
                f"Class maps must come in pairs, got {len(before)} before and {len(after)} after; "
                "give both or neither."
            )
        return cls(
            images=tuple(map(Path, images)),
            labels=tuple(map(Path, labels)),
            seconds=tuple(map(Path, seconds)),
            before=tuple(map(Path, before)),
            after=tuple(map(Path, after)),
            polygons=None if polygons is None else Path(polygons),
        )

    @property
    def all(self) -> list[Path]:
        polygons = [] if self.polygons is None else [self.polygons]
        return [*self.images, *self.labels, *self.seconds, *self.before, *self.after, *polygons]


@dataclass(frozen=True)
class _Options:
    """What was asked for, see `cut`."""

    tile_size: tuple[int, int]
    stride: tuple[int, int]
    start_index: int | None
    skip_unlabelled: bool
    minimum_labelled: float
    chip_format: ChipFormat
    rotation_angle: float

    def __post_init__(self) -> None:
        if self.start_index is not None and self.start_index < 0:
            raise ParameterError(f"start_index must be at least 0, got {self.start_index}.")
        if not 0 <= self.minimum_labelled <= 1:
            raise ParameterError(
                f"minimum_labelled must be a share from 0 to 1, got {self.minimum_labelled}."
            )
        if not 0 <= self.rotation_angle < 360:
            raise ParameterError(
                "rotation_angle must be at least 0 and below 360 degrees, got "
                f"{self.rotation_angle}."
            )

    @property
    def sizes(self) -> tuple[Size, Size]:
        return self.tile_size, self.stride

    def named(self) -> dict[str, Any]:
        """As JSON holds it; one number where rows and columns are the same."""
        found = {**vars(self), "chip_format": self.chip_format.value}
        for key in ("tile_size", "stride"):
            rows, columns = found[key]
            found[key] = rows if rows == columns else [rows, columns]
        return found


@dataclass(frozen=True)
class _Job:
    """What holds for every tile.

    Attributes:
        inputs: The files.
        options: What was asked for.
        scheme: Classes of the labels.
        map_scheme: Classes of the class maps; None without them.
        infos: What the images are.
        second: What the second input is; None without one.
        nodata: Value of image pixels that aren't valid; None: 0, under a mask inside the file.
        turns: The angles that each window is cut at; None: as it lies.
        start: Number of the first tile.
        digits: Digits of a tile's name.
        block: Rows and columns of the blocks that overlapping tiles share; None: none.
        kept: Those that are compressed already.
    """

    inputs: _Inputs
    options: _Options
    scheme: ClassScheme
    map_scheme: ClassScheme | None
    infos: Sequence[RasterInfo]
    second: SecondInput | None
    nodata: float | None
    turns: Sequence[Turn | None]
    start: int
    digits: int
    block: tuple[int, int] | None
    kept: Kept

    def is_labelled(self, tile: Tile) -> bool:
        return any(tile.class_pixels.get(v) for v in self.scheme.values)

    def skips(self, codes: NDArray[np.int16]) -> bool:
        """Whether a tile with these class values, -1 where unlabelled, is left out."""
        labelled = np.count_nonzero(codes >= 0)
        if labelled == 0:
            return self.options.skip_unlabelled or self.options.minimum_labelled > 0
        return bool(labelled < self.options.minimum_labelled * codes.size)


@dataclass(frozen=True)
class _Chip:
    """The data of one tile, ready to be written."""

    values: NDArray[Any]
    mask: NDArray[np.bool_]
    labels: NDArray[np.uint8]
    second: NDArray[Any] | None
    maps: tuple[NDArray[np.uint8], ...]
    place: Place
    bands: tuple[str, ...]
    source: int
    corner: tuple[int, int] | None  # first row and column in the raster; None: turned


def _describe_job(
    inputs: _Inputs,
    options: _Options,
    scheme: ClassScheme | None,
    map_scheme: ClassScheme | None,
) -> dict[str, Any]:
    """What decides the tiles, for the ledger of an unfinished set."""
    files = [
        [p.name, provenance.fingerprint(p), p.stat().st_mtime_ns] if p.is_file() else [str(p)]
        for p in inputs.all
    ]
    return {
        **options.named(),
        "classes": None if scheme is None else scheme.as_list(),
        "map_classes": None if map_scheme is None else map_scheme.as_list(),
        "inputs": files,
        "software": provenance.record("tileset", (), {})["software"],
    }


def _format_named(name: str) -> ChipFormat:
    try:
        return ChipFormat(name.upper())
    except ValueError as error:
        names = ", ".join(ChipFormat)
        raise ParameterError(f"chip_format must be one of {names}, got {name!r}.") from error


def _turns(options: _Options) -> list[Turn | None]:
    turns: list[Turn | None] = [None]
    if options.rotation_angle:
        count = int(np.ceil(360 / options.rotation_angle - 1e-9))
        turns += [Turn.of(k * options.rotation_angle, *options.tile_size) for k in range(1, count)]
    return turns


def _check_rasters(inputs: _Inputs, chips: ChipFormat) -> list[RasterInfo]:
    """What the images are, once they fit each other, the format and their labels."""
    infos = _infos_alike(inputs.images, "Images")
    check_fits(chips, infos[0])
    for info in infos:
        if info.grid.affine.is_identity:
            logger.warning(
                "%s has no georeference; its tiles won't know their ground, and a split by "
                "ground can't tell which of them overlap.", info.path
            )  # fmt: skip
        if inputs.polygons is not None and info.grid.crs is None:
            raise GridError(
                f"A mask polygon needs images with a CRS, got none in {info.path}; assign one "
                "(gdal_edit -a_srs)."
            )
    groups = (
        ("An image and its labels", inputs.labels, True),
        ("An image and its second input", inputs.seconds, False),
        ("An image and its class map", inputs.before, True),
        ("An image and its class map", inputs.after, True),
    )
    for what, paths, classes in groups:
        for info, path in zip(infos, paths, strict=False):
            found = raster.info(path)
            names = (f"in {info.path}", f"in {path}")
            grid.check_same(info.grid, found.grid, what=what, names=names)
            if classes and len(found.bands) != 1:
                raise BandError(
                    f"Labels must have one band, got {len(found.bands)} in {path}; extract the "
                    "band of class values (gdal_translate -b)."
                )
    return infos


def _infos_alike(paths: Sequence[Path], what: str) -> list[RasterInfo]:
    infos = [raster.info(p) for p in paths]
    for info in infos:
        if _kind(info) != _kind(infos[0]):
            raise BandError(
                f"{what} of one set must share bands, pixel type and nodata value, got "
                f"{_describe(infos[0])} in {infos[0].path} and {_describe(info)} in {info.path}; "
                "make the composites alike first."
            )
    return infos


def _second_of(inputs: _Inputs, chips: ChipFormat) -> SecondInput | None:
    if not inputs.seconds:
        return None
    first = _infos_alike(inputs.seconds, "Second inputs")[0]
    check_fits(chips, first)
    return SecondInput(first.bands, first.dtype, nodata_of(chips, _usable_nodata(first)))


def _kind(info: RasterInfo) -> tuple[Any, ...]:
    return info.bands, info.dtype, repr(info.nodata)  # repr: NaN differs from itself


def _describe(info: RasterInfo) -> str:
    names = ", ".join(info.bands) if any(info.bands) else "unnamed"
    return f"{len(info.bands)} bands ({names}) of {info.dtype} with nodata {info.nodata}"


def _scheme_for(
    labels: Sequence[Path], scheme: ClassScheme | None, base: TileSet | None
) -> ClassScheme:
    """The classes of the labels; of a set appended to, those that it has."""
    if base is None:
        return scheme or _scheme_of(labels, "Labels")
    for value, name in (scheme.mapping if scheme else _told(labels)).items():
        if base.scheme.mapping.get(value) != name:
            raise ClassError(
                "Tiles appended to a set must have its classes, got "
                f"{value}: {name!r} beside {base.scheme.mapping} in {base.folder}; recode the "
                "labels, or give its class mapping."
            )
    return base.scheme


def _scheme_of(labels: Sequence[Path], what: str) -> ClassScheme:
    """The classes that the class rasters tell, together."""
    colours: dict[int, Colour] = {}
    names = _told(labels, colours)
    if not names:
        raise ClassError(
            f"{what} must carry class names or a colour table, got neither in {labels[0]}; "
            "give a class mapping such as {1: 'to forest', 2: 'No change'}."
        )
    return ClassScheme.from_mapping(names, colours)


def _told(labels: Sequence[Path], colours: dict[int, Colour] | None = None) -> dict[int, str]:
    names: dict[int, str] = {}
    for path in labels:
        for c in raster.scheme_of(path) or ():
            if names.setdefault(c.value, c.name) != c.name:
                raise ClassError(
                    f"Class rasters must agree on their classes, got {names[c.value]!r} and "
                    f"{c.name!r} for value {c.value} in {path}; give a class mapping."
                )
            if colours is not None:
                colours.setdefault(c.value, c.colour)
    return names


def _start(options: _Options, base: TileSet | None) -> int:
    """Number of the first tile."""
    if base is None:
        return options.start_index or 0
    numbers = [int(t.name) for t in base.tiles if t.name.isdigit()]
    least = max(numbers, default=-1) + 1
    following = max(least, esri.read_next_index(base.folder) or 0)
    if options.start_index is None:
        return following
    if options.start_index < least:
        raise ParameterError(
            f"start_index must be at least {least}, the number after the last tile in "
            f"{base.folder}, got {options.start_index}; leave it out to go on from there."
        )
    return options.start_index


def _check_alike(job: _Job, base: TileSet) -> None:
    """Check that new tiles are like those of the set they are appended to."""
    info, options = job.infos[0], job.options
    second = job.second and (len(job.second.bands), job.second.dtype, repr(job.second.nodata))
    theirs = base.second and (len(base.second.bands), base.second.dtype, repr(base.second.nodata))
    first = base.tiles[0]
    pairs = {
        "tile size": (options.tile_size, (base.height, base.width)),
        "number of bands": (len(info.bands), len(base.bands)),
        "pixel type": (info.dtype, base.dtype),
        "nodata value": (_float(job.nodata), _float(base.nodata)),
        "format": (options.chip_format, format_of(first.image)),
        "second input": (second, theirs),
        "class maps": (bool(job.inputs.before), first.before is not None),
    }
    if all(info.bands) and all(base.bands):
        pairs["bands"] = (info.bands, base.bands)
    if first.before is not None:
        pairs["classes of the class maps"] = (job.map_scheme, base.map_scheme)
    for what, (ours, found) in pairs.items():
        if ours != found:
            raise TileSetError(
                f"Tiles appended to a set must have its {what}, got {ours} and not {found} as in "
                f"{base.folder}; cut with its options, or into another folder."
            )


def _float(nodata: float | None) -> str:
    return repr(None if nodata is None else float(nodata))  # NaN differs from itself


def _usable_nodata(info: RasterInfo) -> float | None:
    """The nodata value, if the pixel type can hold it."""
    dtype = np.dtype(info.dtype)
    if info.nodata is None or np.issubdtype(dtype, np.floating):
        return info.nodata
    limits = np.iinfo(dtype)
    fits = limits.min <= info.nodata <= limits.max and float(info.nodata).is_integer()
    return info.nodata if fits else None


def _who_else(options: _Options, inputs: _Inputs) -> str:
    """Which options may have left every window out."""
    told = []
    if options.minimum_labelled:
        told.append(f"that {options.minimum_labelled:g} of a tile can be labelled")
    if inputs.polygons is not None:
        told.append(f"that a whole tile fits in the polygons of {inputs.polygons}")
    return "".join(f", {text}" for text in told)


def _cut_all(
    job: _Job,
    plans: Sequence[Sequence[Window]],
    unfinished: ledger.Unfinished,
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
            for chip in _chips_of(job, plans, skip=len(entries)):
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


def _folders(job: _Job) -> list[str]:
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


def _chips_of(job: _Job, plans: Sequence[Sequence[Window]], *, skip: int) -> Iterator[_Chip | None]:
    """The data of each tile, the first few left out; None where a window gives none."""
    for number, plan in enumerate(plans):
        count = len(plan) * len(job.turns)
        if skip >= count:
            skip -= count
            continue
        with ExitStack() as stack:
            source = _Source(job, number, stack)
            for position in range(skip, count):
                window, turn = divmod(position, len(job.turns))
                yield source.chip(plan[window], job.turns[turn])
        skip = 0


class _Source:
    """The rasters of one image, open.

    Args:
        job: What holds for every tile.
        number: Which image.
        stack: What closes the rasters.
    """

    def __init__(self, job: _Job, number: int, stack: ExitStack) -> None:
        self.job = job
        self.number = number
        self.info = job.infos[number]
        self.label_path = job.inputs.labels[number]
        reach = max(
            [job.options.tile_size[0]] + [t.around.height for t in job.turns if t is not None]
        )

        def rows(path: Path) -> Rows:
            return Rows(stack.enter_context(raster.open_raster(path)), reach)

        self.image, self.labels = rows(self.info.path), rows(self.label_path)
        self.second = rows(job.inputs.seconds[number]) if job.inputs.seconds else None
        maps = (job.inputs.before, job.inputs.after)
        self.maps = [(paths[number], rows(paths[number])) for paths in maps if paths]
        self.crs = self.image.source.crs
        self.inside = _inside_polygons(job.inputs.polygons, self.info)

    def chip(self, window: Window, turn: Turn | None) -> _Chip | None:
        """The data of a window, as it lies or turned; None where it gives no tile."""
        job = self.job
        if self.inside is not None and not self.inside(window, turn):
            return None
        codes = self._codes(self.labels, self.label_path, window, turn, job.scheme)
        if job.skips(codes):
            return None
        values, mask = self._values(self.image, window, turn)
        second = None
        if self.second is not None:
            second, valid = self._values(self.second, window, turn)
            mask &= valid
        if not mask.any():
            return None
        codes[~mask] = -1
        if job.skips(codes):
            return None
        _check_background(codes, mask, job.scheme, self.label_path)
        values[:, ~mask] = 0 if job.nodata is None else job.nodata
        if second is not None and job.second is not None:
            second[:, ~mask] = 0 if job.second.nodata is None else job.second.nodata
        maps = []
        for path, rows in self.maps:
            assert job.map_scheme is not None
            found = self._codes(rows, path, window, turn, job.map_scheme)
            found[~mask] = -1
            maps.append(_label_values(found))
        return _Chip(
            values=values,
            mask=mask,
            labels=_label_values(codes),
            second=second,
            maps=tuple(maps),
            place=Place(_transform_of(self.info, window, turn), self.crs),
            bands=self.info.bands,
            source=self.number,
            corner=None if turn is not None else (window.row, window.column),
        )

    def _values(
        self, rows: Rows, window: Window, turn: Turn | None
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        if turn is None:
            return rows.read(window)
        return turn.bilinear(*rows.read(turn.around.shifted(window.row, window.column)))

    def _codes(
        self, rows: Rows, path: Path, window: Window, turn: Turn | None, scheme: ClassScheme
    ) -> NDArray[np.int16]:
        """Class values of a window, -1 where unlabelled."""
        around = window if turn is None else turn.around.shifted(window.row, window.column)
        values, mask = rows.read(around)
        if scheme.background is not None:
            # A class that the mapping names counts, even where the file calls it nodata.
            inside = around.clipped(rows.source.height, rows.source.width)
            at = inside.shifted(-around.row, -around.column).slices
            mask[at] |= values[0][at] == UNLABELLED
        if turn is not None:
            values, mask = turn.nearest(values, mask)
        return _checked(values[0], mask, scheme, path)


def _checked(
    values: NDArray[Any], mask: NDArray[np.bool_], scheme: ClassScheme, path: Path
) -> NDArray[np.int16]:
    """Class values, -1 where unlabelled, once each is known."""
    unknown = scheme.unknown(values[mask])
    if unknown:
        raise ClassError(
            f"Label values must be in the class mapping {list(scheme.values)} (or 0, unlabelled), "
            f"got {', '.join(map(str, unknown[:8]))} in {path}; add them to the mapping or "
            "recode them."
        )
    codes = np.full(values.shape, -1, np.int16)
    codes[mask] = values[mask]
    if scheme.background is None:
        codes[codes == UNLABELLED] = -1
    return codes


def _label_values(codes: NDArray[np.int16]) -> NDArray[np.uint8]:
    return np.where(codes < 0, UNLABELLED, codes).astype(np.uint8)


def _inside_polygons(
    path: Path | None, info: RasterInfo
) -> Callable[[Window, Turn | None], bool] | None:
    """Whether a tile's ground inside the raster lies wholly in the polygons of a file."""
    if path is None:
        return None
    import shapely

    assert info.grid.crs is not None
    union = shapely.union_all(vector.read_polygons(path, info.grid.crs).geometries)
    shapely.prepare(union)
    affine = info.grid.affine
    corners = ((0, 0), (info.width, 0), (info.width, info.height), (0, info.height))
    extent = shapely.Polygon([affine @ c for c in corners])
    spare = 1e-3 * min(cell_size_of(affine) or (1.0,))  # an edge on the polygon's is inside

    def inside(window: Window, turn: Turn | None) -> bool:
        place = _transform_of(info, window, turn)
        height, width = window.height, window.width
        corners = ((0, 0), (width, 0), (width, height), (0, height))
        ground = shapely.intersection(shapely.Polygon([place @ c for c in corners]), extent)
        return bool(shapely.covers(union, shapely.buffer(ground, -spare)))

    return inside


def _transform_of(info: RasterInfo, window: Window, turn: Turn | None) -> Any:
    """The affine transform of a tile; the identity where the raster has no georeference."""
    affine = info.grid.affine
    if affine.is_identity:
        return affine
    affine = grid.window_geobox(info.grid, window).affine
    return affine if turn is None else affine @ turned(turn.angle, window.height, window.width)


def _check_background(
    codes: NDArray[np.int16], mask: NDArray[np.bool_], scheme: ClassScheme, path: Path
) -> None:
    """Check that no valid pixel is unlabelled where 0, the tiles' word for that, is a class."""
    if scheme.background is not None and (codes[mask] < 0).any():
        raise ClassError(
            f"Every valid pixel needs a label where 0 is a class ({scheme.names[0]!r}), got "
            f"nodata in {path}; recode that class to a value from 1 to 254."
        )


def _write_tile(job: _Job, chip: _Chip, folder: Path, name: str) -> Tile:
    """Write a tile's files; what it holds."""
    chips = job.options.chip_format
    labels = label_format(chips)
    image = folder / "images" / f"{name}{suffix(chips)}"
    label = folder / "labels" / f"{name}{suffix(labels)}"
    whole = bool(chip.mask.all())
    hidden = None if whole or job.nodata is not None else chip.mask
    place = chip.place
    write_chip(
        image, chip.values, place, chips, nodata=job.nodata, bands=chip.bands, mask=hidden,
        shared=_shared(job, chip, "images"),
    )  # fmt: skip
    write_chip(label, chip.labels[None], place, labels, shared=_shared(job, chip, "labels"))
    files = TileFiles(image, label)
    second = None
    if chip.second is not None and job.second is not None:
        path = folder / "images2" / image.name
        nodata, bands = job.second.nodata, job.second.bands
        hidden = None if whole or nodata is not None else chip.mask
        write_chip(
            path, chip.second, place, chips, nodata=nodata, bands=bands, mask=hidden,
            shared=_shared(job, chip, "images2"),
        )  # fmt: skip
        second = measure_bands(*_stored(path, chip.second, chip.mask, chips))
        files = files._replace(image2=path)
    counts = []
    for root, values in zip((esri.BEFORE, esri.AFTER), chip.maps, strict=False):
        path = folder / root / label.name
        write_chip(path, values[None], place, labels, shared=_shared(job, chip, root))
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


def _shared(job: _Job, chip: _Chip, layer: str) -> Shared | None:
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


def _write_about(folder: Path, job: _Job, tiles: Sequence[Tile], base: TileSet | None) -> None:
    """Write side files and index."""
    own = [(size, i) for i in job.infos if (size := cell_size_of(i.grid.affine))]
    sizes = [esri.cell_size(size, _crs_of(i.path)) for size, i in own]
    start = int(tiles[0].name)
    parameters = {**job.options.named(), "start_index": start}
    record = provenance.record("tileset", job.inputs.all, parameters)
    contents = Contents(
        bands=job.infos[0].bands,
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
