"""Maps from the files of blocks: one file per map, or a VRT that names them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from landshift import raster
from landshift.classes import ClassScheme, legend, legend_writers
from landshift.classification import layers as layering
from landshift.classification.blocks import BlockJob, name_of
from landshift.errors import OutputError, ParameterError
from landshift.files import kinds, provenance, whole
from landshift.grid import Window
from landshift.machine import progress
from landshift.raster import cog

_CACHE = 64 << 20  # bytes for GDAL's blocks: each is read once


def paths_of(out: Path, layers: Collection[str]) -> dict[str, Path]:
    """Paths of the class map and of each layer beside it, ``<out>_<layer>``."""
    beside = {name: out.with_name(f"{out.stem}_{name}{out.suffix}") for name in layers}
    return {"class": out, **beside}


def blocks_of(path: Path) -> Path:
    """Folder of the blocks that a VRT names, beside it."""
    return path.with_name(f"{path.stem}_blocks")


def check_mosaic(out: Path, layers: Collection[str], mosaic: str) -> None:
    """Check that a mosaic can be written.

    Raises:
        ParameterError: The map's name doesn't fit the kind of mosaic.
        OutputError: A folder for blocks holds other files.
    """
    if (out.suffix.lower() == ".vrt") != (mosaic == "vrt"):
        raise ParameterError(
            f"`out` must end in .vrt if `mosaic` is 'vrt', and only then, got {out.name} with "
            f"{mosaic!r}; change one of them."
        )
    if mosaic == "cog":
        return
    for path in paths_of(out, layers).values():
        folder = blocks_of(path)
        others = [p for p in folder.glob("*") if not _is_block(p)]
        if others or (folder.exists() and not folder.is_dir()):
            raise OutputError(
                f"The blocks of {path.name} must have a folder of their own, got "
                f"{others[0] if others else folder}; give the map another name."
            )


def check_new(out: Path, layers: Collection[str], mosaic: str, *, overwrite: bool) -> None:
    """Check that no map, layer, or folder of their blocks exists yet.

    Raises:
        OutputError: See `landshift.raster.check_new`.
        ParameterError: See `landshift.files.whole.check_new_folder`.
    """
    paths = paths_of(out, layers).values()
    kind = kinds.VIRTUAL_RASTER if mosaic == "vrt" else kinds.RASTER
    raster.check_new(*paths, overwrite=overwrite, kind=kind)
    if mosaic == "vrt":
        for path in paths:
            whole.check_new_folder(blocks_of(path), overwrite=overwrite)


def assemble(
    job: BlockJob, counts: Mapping[int, Mapping[int, int]], out: Path, record: Mapping[str, Any]
) -> None:
    """Write the class map and the layers beside it from the blocks' files.

    Args:
        job: The blocks.
        counts: Pixels of each class value, by block; a block without any has no file.
        out: The class map to write.
        record: Provenance of the map.

    Raises:
        OutputError: A map can't be written.
        RasterError: A block's file can't be read.
    """
    write = _name if job.whole else _join
    for layer, path in paths_of(out, job.layers).items():
        tags = provenance.as_tag({**record, "layer": layer})
        write(job, layer, [n for n in sorted(counts) if counts[n]], path, tags)
    pixels = [sum(c.get(v, 0) for c in counts.values()) for v in job.scheme.values]
    legend_writers.write_attributes(out, job.scheme, [legend.AttributeColumn("Count", pixels)])
    legend_writers.write_qml(out, job.scheme)


def _join(
    job: BlockJob, layer: str, numbers: Collection[int], path: Path, tags: Mapping[str, str]
) -> None:
    """Write a layer's map from the plain files of blocks."""
    bands = layering.places(job.layers, job.scheme)[layer]
    nodata = layering.nodata_in(layer, job.scheme)
    filled = set(numbers)
    with layering.create(path, layer, job.scheme, job.scene.box, tags=tags) as target:
        what = f"writing {path.name}"
        for number in progress.each(range(job.plan.blocks), what, job.plan.blocks):
            window = job.plan.window(number)
            shape = (bands.stop - bands.start, window.height, window.width)
            values = (
                _read(job.file(number), bands)
                if number in filled
                else np.full(shape, nodata, np.uint8)
            )
            raster.write(target, values, window)


def _read(path: Path, bands: slice) -> NDArray[np.uint8]:
    with raster.open_raster(path, cache=_CACHE) as source:
        values, _ = raster.read(
            source,
            Window(0, 0, source.height, source.width),
            range(bands.start + 1, bands.stop + 1),
        )
    return values


def _name(
    job: BlockJob, layer: str, numbers: Collection[int], path: Path, tags: Mapping[str, str]
) -> None:
    """Move a layer's blocks to their final folder, and write the VRT that names them."""
    source, folder = job.folder / layer, blocks_of(path)
    if source.is_dir():  # else a run that was killed has moved them
        for part in [
            p for p in source.iterdir() if not _is_block(p)
        ]:  # of workers that were killed
            part.unlink(missing_ok=True)
        path.unlink(missing_ok=True)  # an earlier map, whose blocks are removed
        if folder.is_dir():
            shutil.rmtree(folder)
        os.replace(source, folder)
    whole.remove_raster(path)
    with whole.whole_file(path) as part, part.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in _vrt(job, layer, numbers, folder.name, tags))


def _vrt(
    job: BlockJob, layer: str, numbers: Collection[int], folder: str, tags: Mapping[str, str]
) -> Iterator[str]:
    """Lines of a layer's VRT (https://gdal.org/drivers/raster/vrt.html)."""
    from rasterio.crs import CRS

    box, scheme, is_map = job.scene.box, job.scheme, layer == "class"
    yield f'<VRTDataset rasterXSize="{box.width}" rasterYSize="{box.height}">'
    if box.crs is not None:
        yield f"<SRS>{escape(CRS.from_user_input(str(box.crs)).to_wkt())}</SRS>"
    a = box.affine
    yield f"<GeoTransform>{', '.join(map(repr, (a.c, a.a, a.b, a.f, a.d, a.e)))}</GeoTransform>"
    yield "<Metadata>"
    for key, value in {**tags, **(legend_writers.as_tag(scheme) if is_map else {})}.items():
        yield f"<MDI key={quoteattr(key)}>{escape(value)}</MDI>"
    yield "</Metadata>"
    block = f'blockXSize="{cog.BLOCK}" blockYSize="{cog.BLOCK}"'
    for band, name in enumerate(layering.bands_of(layer, scheme), start=1):
        yield f'<VRTRasterBand dataType="Byte" band="{band}" {block}>'
        yield f"<Description>{escape(name)}</Description>"
        yield f"<NoDataValue>{layering.nodata_in(layer, scheme)}</NoDataValue>"
        yield from _classes(scheme) if is_map else [f"<Scale>{1 / layering.SHARES}</Scale>"]
        for number in numbers:
            w = job.plan.window(number)
            size = f'xSize="{w.width}" ySize="{w.height}"'
            yield (
                f'<SimpleSource><SourceFilename relativeToVRT="1">{escape(folder)}/'
                f"{name_of(number)}</SourceFilename><SourceBand>{band}</SourceBand>"
                f'<SourceProperties RasterXSize="{w.width}" RasterYSize="{w.height}" '
                f'DataType="Byte" BlockXSize="{cog.BLOCK}" BlockYSize="{cog.BLOCK}"/>'
                f'<SrcRect xOff="0" yOff="0" {size}/>'
                f'<DstRect xOff="{w.column}" yOff="{w.row}" {size}/></SimpleSource>'
            )
        yield "</VRTRasterBand>"
    yield "</VRTDataset>"


def _classes(scheme: ClassScheme) -> Iterator[str]:
    """Colours and names of the classes, as elements of a VRT band."""
    yield "<ColorInterp>Palette</ColorInterp><ColorTable>"
    for red, green, blue, alpha in legend_writers.colour_table(scheme).values():
        yield f'<Entry c1="{red}" c2="{green}" c3="{blue}" c4="{alpha}"/>'
    yield "</ColorTable><CategoryNames>"
    names = scheme.mapping
    for value in range(scheme.values[-1] + 1):
        yield f"<Category>{escape(names.get(value, ''))}</Category>"
    yield "</CategoryNames>"


def _is_block(path: Path) -> bool:
    return path.suffix == ".tif" and path.stem.isdecimal()
