"""Cutting composites and change maps into a training set: the command `tiles`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from landshift import raster
from landshift.classes import ClassScheme, class_options
from landshift.classes.class_options import ClassesLike, RecodingLike
from landshift.errors import ParameterError, SplitError, TileSetError
from landshift.files import kinds, options, resumable, whole
from landshift.raster.recoding import Recoding
from landshift.raster.tiling import training_windows
from landshift.tileset import esri
from landshift.tileset.audit import Audit, audit
from landshift.tileset.blocks import Kept, shared_block
from landshift.tileset.chips import nodata_of
from landshift.tileset.coding import codes_of_labels, codes_of_maps, warn_of_codes
from landshift.tileset.index import INDEX
from landshift.tileset.job import (
    CuttingJob,
    Inputs,
    check_alike,
    check_rasters,
    describe_job,
    more_causes,
    second_of,
    start_of,
    turns_of,
    usable_nodata,
    warn_of_others,
)
from landshift.tileset.map_search import with_class_maps
from landshift.tileset.options import Auditing, Companions, Cutting, Encoding
from landshift.tileset.reading import has_class_maps, read, root_of, sizes_of_set
from landshift.tileset.sizes import Sizes
from landshift.tileset.splitting import split_by_ground
from landshift.tileset.summary import SplitSummary, summarise
from landshift.tileset.tiles import TileSet, without_georeference
from landshift.tileset.writing import Progress, write_about, write_tiles

logger = logging.getLogger(__name__)

_OF_A_SET = {
    "images", "images2", "labels", esri.BEFORE, esri.AFTER, esri.WEIGHTS, esri.MAP, esri.STATS,
    esri.ACCUMULATED, esri.DEFINITION, esri.MAP_CLASSES, INDEX,
}  # fmt: skip
"""Names in a set's folder; models saved in it don't belong to the set."""


@dataclass(frozen=True, kw_only=True, repr=False)
class CutTiles(TileSet):
    """A training set that was cut.

    Attributes:
        sizes: Tile size and stride, and why they were chosen.
        summary: What it gives to learn from, split by ground; None where no split exists.
    """

    sizes: Sizes
    summary: SplitSummary | None


def tiles(
    rasters: Sequence[options.FilePath] = (),
    out: Annotated[options.FilePath | None, Parameter(name=("--out", "-o"))] = None,
    *,
    classes: ClassesLike = None,
    recode: RecodingLike = None,
    cutting: Annotated[Cutting, options.GROUP] = Cutting(),  # noqa: B008
    encoding: Annotated[Encoding, options.GROUP] = Encoding(),  # noqa: B008
    companions: Annotated[Companions, options.GROUP] = Companions(),  # noqa: B008
    auditing: Annotated[Auditing, options.GROUP] = Auditing(),  # noqa: B008
    overwrite: options.Flag = False,
) -> CutTiles | Audit:
    """Cut composites and change maps into a training set in Esri's 'Classified Tiles' layout.

    Tile size and stride are chosen by the size of the rasters, unless they are given. Where a
    change map was made by `landshift label`, the class maps that it was made from are stored with
    the tiles. A summary of the split says what the set gives to learn from.

    If the command is stopped, run it again: it continues where it ended, and gives the same bytes.
    With ``audit`` it cuts nothing, and audits a set that exists.

    Args:
        rasters: A composite and its change map, or several such pairs.
        out: Folder of the training set.
        classes: Classes of the labels: CSV value,name or JSON. Default: as the change maps or the
            recoding state them.
        recode: Recoding of the labels: CSV value,new value or class name; empty for unlabelled.
        cutting: Which tiles are cut.
        encoding: How tiles are stored.
        companions: Rasters that are cut beside the composite and its labels.
        auditing: Options of the audit.
        overwrite: Replace what is there already under the same name.

    Returns:
        The training set, with its sizes and summary; with ``audit``, the audit.

    Raises:
        ParameterError: Options that contradict each other; rasters that aren't in pairs.
        LandshiftError: See `cut`, `read` and `landshift.tileset.audit`.
    """
    if auditing.audit is not None:
        if rasters or out is not None:
            raise ParameterError(
                "`audit` reads a set that exists, got rasters or `out` beside "
                f"{auditing.audit}; run one after the other."
            )
        return _audited(auditing.audit, auditing, classes, overwrite=overwrite)
    images, labels, folder = _pairs(rasters, out)
    tile_set = cut(
        images, labels, folder, classes=classes, recode=recode, cutting=cutting,
        encoding=encoding, companions=companions, overwrite=overwrite,
    )  # fmt: skip
    with without_georeference():
        sizes = sizes_of(images, cutting, tile_set.folder if cutting.append else None)
    return CutTiles(**vars(tile_set), sizes=sizes, summary=_summary(tile_set, auditing))


def _audited(
    folder: options.FilePath, auditing: Auditing, classes: ClassesLike, *, overwrite: bool
) -> Audit:
    """The audit of a set that exists, and its table of pairs where one is asked for."""
    kinds.TABLE.check(auditing.pairs)
    stated = class_options.file_of(classes)
    whole.check_new(auditing.pairs, inputs=[stated], overwrite=overwrite)
    tile_set = read(Path(folder), class_options.classes_of(classes))
    result = audit(tile_set, valid_share=auditing.val_split_pct, seed=auditing.seed)
    if auditing.pairs is None:
        return result
    return replace(result, files=(result.write_csv(auditing.pairs, overwrite=overwrite),))


def _pairs(
    rasters: Sequence[options.FilePath], out: options.FilePath | None
) -> tuple[list[Path], list[Path], Path]:
    """Composites, their change maps, and the folder of the set."""
    if not rasters or len(rasters) % 2:
        raise ParameterError(
            f"Rasters must come in pairs of composite and change map, got {len(rasters)} of them."
        )
    if out is None:
        raise ParameterError("The training set needs a folder, got none; give it with `out`.")
    return [Path(path) for path in rasters[::2]], [Path(path) for path in rasters[1::2]], Path(out)


def cut(
    images: Sequence[Path],
    labels: Sequence[Path],
    folder: Path,
    *,
    classes: ClassesLike = None,
    recode: RecodingLike = None,
    cutting: Cutting = Cutting(),  # noqa: B008
    encoding: Encoding = Encoding(),  # noqa: B008
    companions: Companions = Companions(),  # noqa: B008
    overwrite: bool = False,
    on_tile: Progress | None = None,
) -> TileSet:
    """Cut images and their class rasters into a training set.

    Pixels that are invalid in any band of the image get its nodata value (0 under a mask inside
    the file, if it has none) and become unlabelled. A raster smaller than a tile is padded the
    same way. Windows without a valid pixel give no tile. Rotated images are sampled bilinearly,
    rotated labels by the nearest pixel; pixels outside the raster are nodata. The set appears when
    it is complete. A killed run continues with the same call and ends with the same bytes.

    Args:
        images: Composites; all with the same bands, pixel type and nodata value.
        labels: The class raster of each image, on its grid.
        folder: Folder of the set; new or empty, unless appended to or overwritten.
        classes: Classes of the labels; None: as the class rasters or the recoding state them.
            Classes whose value a byte can't hold get the lowest free values; so does class 0 where
            a valid pixel is unlabelled. 0 is no class where it has no name and no nodata value is
            declared.
        recode: New value or class name of each label value, or None for unlabelled; without
            classes, new names get the lowest free values.
        cutting: Which tiles are cut.
        encoding: How tiles are stored.
        companions: Rasters that are cut beside each image. Values of class maps that a change map
            can't hold are moved as `landshift.label` moves them.
        overwrite: Whether a set in `folder` is replaced; refused where the folder also holds
            models, or anything else.
        on_tile: Called after each window (each rotation of it) with those done and all.

    Raises:
        ParameterError: A folder that isn't empty, an unfinished set of other inputs or options
            beside it, or images without labels.
        GridError: An image and its labels on different grids; mask polygons without a CRS.
        BandError: Images that differ in bands, pixel type or nodata value, or that the format
            can't hold; labels of several bands.
        ClassError: No classes known, a label value outside them, or unlabelled pixels where 0 is
            a class.
        TileSetError: No window holds a labelled pixel; or the set appended to differs.
        RasterError: A raster is missing or damaged.
        VectorError: The polygons are missing or damaged.
        OutputError: The folder can't be written.
    """
    inputs = Inputs.of(images, labels, companions, cutting.mask_polygons)
    folder = Path(folder)
    _check_new(folder, append=cutting.append, overwrite=overwrite)
    appended = cutting.append and folder.is_dir() and any(folder.iterdir())
    folder = root_of(folder) if appended else folder
    scheme = class_options.classes_of(classes)
    recoding = class_options.recoding_of(recode)
    with without_georeference():  # check_rasters warns once, in our words
        if recoding is None and (not appended or has_class_maps(folder)):
            companions = with_class_maps(images, labels, scheme, companions)
            inputs = Inputs.of(images, labels, companions, cutting.mask_polygons)
        map_scheme = class_options.classes_of(companions.map_classes)
        sizes = sizes_of(images, cutting, folder if appended else None)
        cutting = replace(cutting, tile_size=sizes.tile, stride=sizes.stride)
        described = describe_job(inputs, cutting, encoding, (scheme, map_scheme), recoding)
        base = None
        if appended:
            if resumable.finish_joining(folder, described):
                return read(folder)
            base = read(folder)
        job = _job(inputs, cutting, encoding, (scheme, map_scheme), recoding, base, folder)
        plans = [list(training_windows(i.height, i.width, *cutting.sizes)) for i in job.infos]
        with resumable.resumable_folder(
            folder, described, join=base is not None, overwrite=overwrite
        ) as unfinished:
            written = write_tiles(job, plans, unfinished, on_tile)
            windows = sum(map(len, plans)) * len(job.turns)
            if not any(t.valid and job.is_labelled(t) for t in written):
                raise TileSetError(
                    f"A training set needs a labelled pixel, got none in {windows} windows of "
                    f"{labels[0]}; check that image and labels are valid on the same ground"
                    f"{more_causes(cutting)}."
                )
            write_about(unfinished.folder, job, written, base, recoding)
            logger.info("%s: %d tiles of %d windows hold labels.", folder, len(written), windows)
    return read(folder, job.scheme)


def _summary(tiles: TileSet, options: Auditing) -> SplitSummary | None:
    """Summary of a set's split by ground; warns of too few tiles or labelled pixels."""
    try:
        split = split_by_ground(tiles, valid_share=options.val_split_pct, seed=options.seed)
    except SplitError as error:
        logger.warning("%s", error)
        return None
    summary = summarise(tiles, split)
    summary.warn()
    return summary


def sizes_of(images: Sequence[Path], cutting: Cutting, base: Path | None) -> Sizes:
    """Tile size and stride of a set that is cut; see `choose_sizes`.

    Args:
        images: The composites.
        cutting: The options; what they leave out is chosen.
        base: Root of the set that is appended to, whose sizes count; None for a new one.

    Raises:
        RasterError: An image is missing or damaged.
    """
    if base is not None:
        tile, stride = sizes_of_set(base)
        same = cutting.tile_size is None
        cutting = replace(
            cutting,
            tile_size=tile if same else cutting.tile_size,
            stride=stride if same and cutting.stride is None else cutting.stride,
        )
        return replace(cutting.sizes_on(()), why="as in the set" if same else "")
    infos = [] if cutting.tile_size is not None else [raster.info(path) for path in images]
    return cutting.sizes_on([(info.height, info.width) for info in infos])


def _check_new(folder: Path, *, append: bool, overwrite: bool) -> None:
    """Check that a set goes into a new folder, or into one that holds nothing but a set."""
    if append and overwrite:
        raise ParameterError(
            "A set is either appended to or replaced, got both `append` and `overwrite`; choose "
            "one."
        )
    if append:
        return
    whole.check_new_folder(folder, overwrite=overwrite)
    others = sorted(p.name for p in folder.glob("*") if p.name not in _OF_A_SET)
    if others:
        raise ParameterError(
            f"Only a tile set is replaced, got {folder} with {', '.join(others[:3])} in it; move "
            "that elsewhere, or give another name."
        )


def _job(
    inputs: Inputs,
    cutting: Cutting,
    encoding: Encoding,
    schemes: tuple[ClassScheme | None, ClassScheme | None],
    recode: Recoding | None,
    base: TileSet | None,
    folder: Path,
) -> CuttingJob:
    """Check the inputs, and settle all that is the same for every tile."""
    infos = check_rasters(inputs, encoding.chips)
    label_codes = codes_of_labels(
        inputs.images, inputs.labels, schemes[0], recode, None if base is None else base.scheme
    )
    warn_of_codes(folder, label_codes, inputs.labels)
    map_codes = None
    if inputs.before:
        map_codes = codes_of_maps([*inputs.before, *inputs.after], schemes[1])
        warn_of_codes(folder, map_codes, [*inputs.before, *inputs.after])
    second = second_of(inputs, encoding.chips)
    warn_of_others(label_codes.scheme, infos[0], second)
    job = CuttingJob(
        inputs=inputs,
        cutting=cutting,
        encoding=encoding,
        labels=label_codes,
        maps=map_codes,
        infos=infos,
        second=second,
        nodata=nodata_of(encoding.chips, usable_nodata(infos[0])),
        turns=turns_of(cutting),
        start=start_of(cutting.start_index, base),
        digits=len(base.tiles[-1].name) if base and base.tiles[-1].name.isdecimal() else 9,
        block=shared_block(*cutting.sizes),
        kept=Kept(),
    )
    if base is not None:
        check_alike(job, base)
    return job
