"""Tiles as files: TIFF, PNG or JPEG, each with its world file."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift import raster
from landshift.errors import BandError
from landshift.raster import RasterInfo, cog
from landshift.tileset import esri
from landshift.tileset.blocks import Kept, Template, first_block, padded, parts, plain


class ChipFormat(StrEnum):
    """File formats of tiles, by Esri's names."""

    tiff = "TIFF"
    png = "PNG"
    jpeg = "JPEG"


@dataclass(frozen=True)
class _FormatTraits:
    driver: str
    suffix: str
    world: str
    bands: tuple[int, ...] | None
    dtypes: tuple[str, ...] | None
    labels: ChipFormat  # of the label tiles beside the images: always lossless


_TRAITS = {
    ChipFormat.tiff: _FormatTraits("GTiff", ".tif", ".tfw", None, None, ChipFormat.tiff),
    ChipFormat.png: _FormatTraits(
        "PNG", ".png", ".pgw", (1, 3), ("uint8", "uint16"), ChipFormat.png
    ),
    ChipFormat.jpeg: _FormatTraits("JPEG", ".jpg", ".jgw", (1, 3), ("uint8",), ChipFormat.png),
}


@dataclass(frozen=True)
class Place:
    """Where a tile lies.

    Attributes:
        transform: Affine transform of its pixels; the identity where it isn't known.
        crs: Its CRS as rasterio holds it, or None.
    """

    transform: Any
    crs: Any


@dataclass(frozen=True)
class Shared:
    """The blocks that a TIFF tile shares with tiles that overlap it.

    Attributes:
        kept: Blocks that are already compressed.
        block: Rows and columns of a block.
        layer: Identifies the raster; all its tiles have the same CRS, cell size, bands and nodata
            value.
        row: First row of the tile in the raster.
        column: First column.
    """

    kept: Kept
    block: tuple[int, int]
    layer: Hashable
    row: int
    column: int


def label_format(chips: ChipFormat) -> ChipFormat:
    """Format of the labels beside images of a format: PNG beside JPEG, which isn't lossless."""
    return _TRAITS[chips].labels


def suffix(chips: ChipFormat) -> str:
    """The file suffix of a format, such as ``.tif``."""
    return _TRAITS[chips].suffix


def format_of(path: Path) -> ChipFormat | None:
    """The format of a tile by its suffix; None for other suffixes."""
    formats = {".tiff": ChipFormat.tiff, ".jpeg": ChipFormat.jpeg}
    formats |= {t.suffix: f for f, t in _TRAITS.items()}
    return formats.get(path.suffix.lower())


def check_fits(chips: ChipFormat, info: RasterInfo) -> None:
    """Check that tiles of a raster can be files of a format.

    Raises:
        BandError: The format can't hold the number of bands, or their pixel type.
    """
    traits = _TRAITS[chips]
    if traits.bands is None or traits.dtypes is None:
        return
    if len(info.names) not in traits.bands or info.dtype not in traits.dtypes:
        raise BandError(
            f"{chips} tiles must have {' or '.join(map(str, traits.bands))} bands of "
            f"{' or '.join(traits.dtypes)}, got {len(info.names)} of {info.dtype} in {info.path}; "
            "choose TIFF, or extract and rescale the bands first (gdal_translate -b -ot -scale)."
        )


def nodata_of(chips: ChipFormat, nodata: float | None) -> float | None:
    """The nodata value of tiles in a format; None in JPEG, which isn't lossless and has a mask."""
    return None if chips is ChipFormat.jpeg else nodata


@dataclass(frozen=True)
class Pixels:
    """The pixels of one file of a tile.

    Attributes:
        values: ``(band, row, column)``.
        nodata: The nodata value, if any.
        bands: Names of the bands.
        mask: ``(row, column)``, True where valid, to be written into the file; None where the
            nodata value marks invalid pixels, or all are valid.
    """

    values: NDArray[Any]
    nodata: float | None = None
    bands: Sequence[str] = ()
    mask: NDArray[np.bool_] | None = None


def write_chip(
    path: Path,
    pixels: Pixels,
    place: Place,
    chips: ChipFormat,
    *,
    shared: Shared | None = None,
    compress: bool = True,
) -> None:
    """Write one file of a tile, and its world file.

    Args:
        path: The file, with the format's suffix.
        pixels: Its pixels.
        place: Where it lies.
        chips: The format.
        shared: Blocks that a TIFF tile shares with those that overlap it; None: none.
        compress: Whether a TIFF tile is compressed.

    Raises:
        OutputError: The disk is full, or the folder can't be written.
        BandError: PNG tiles with invalid pixels and no nodata value to mark them.
    """
    if pixels.mask is not None and chips is ChipFormat.png:
        raise BandError(
            f"PNG tiles must have a nodata value where pixels aren't valid, got none at {path}; "
            "give the image one (gdal_edit -a_nodata), or choose TIFF."
        )
    with raster.writing(path):
        if shared is None or pixels.mask is not None:
            _write(path, pixels, place, chips, compress=compress)
            if chips is ChipFormat.tiff:
                cog.check_written(path)
        else:
            _write_shared(path, pixels, place, shared, compress=compress)
    if not place.transform.is_identity:
        world = path.with_suffix(_TRAITS[chips].world)
        world.write_bytes(esri.world_file(place.transform).encode())


def _write_shared(
    path: Path, pixels: Pixels, place: Place, shared: Shared, *, compress: bool
) -> None:
    """Assemble a TIFF from blocks that other tiles hold too."""
    from rasterio.io import MemoryFile

    values = pixels.values

    def written(part: Pixels, at: Place) -> bytes:
        with MemoryFile() as file:
            _write(file.name, part, at, ChipFormat.tiff, shared.block, compress=compress)
            return bytes(file.getbuffer())

    def template() -> bytes:
        return written(replace(pixels, values=np.zeros_like(values), mask=None), place)

    def block(part: NDArray[Any]) -> bytes:
        unnamed = ("",) * len(pixels.bands)
        return first_block(written(Pixels(part, bands=unnamed), Place(None, None)))

    about = Template.of(shared.kept.get((shared.layer, "about"), template))
    if not compress:  # nothing is gained by keeping blocks: the pixels are copied once
        content = plain(values, shared.block)
        count = content.shape[1] * content.shape[2]
        sizes = [content.nbytes // (len(values) * count)] * (len(values) * count)
        body: Iterable[Any] = [content]
    else:
        blocks = [
            shared.kept.get(
                (shared.layer, shared.row + row, shared.column + column), partial(block, part)
            )
            for row, column, part in parts(values, shared.block)
        ]
        sizes, body = [len(block) for block in blocks], map(padded, blocks)
    with path.open("wb") as file:
        file.write(about.head(sizes, place.transform))
        file.writelines(body)


def _write(
    path: Path | str,
    pixels: Pixels,
    place: Place,
    chips: ChipFormat,
    block: tuple[int, int] | None = None,
    *,
    compress: bool,
) -> None:
    import rasterio

    if isinstance(path, Path):
        path.unlink(missing_ok=True)  # GDAL can't replace the partial file of a killed run
    values = pixels.values
    known = place.transform is not None and not place.transform.is_identity
    georeference = {"transform": place.transform} if known else {}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, GDAL_PAM_ENABLED=chips is not ChipFormat.tiff),
        rasterio.open(
            path,
            "w",
            driver=_TRAITS[chips].driver,
            count=len(values),
            height=values.shape[1],
            width=values.shape[2],
            dtype=values.dtype,
            nodata=pixels.nodata,
            crs=place.crs,
            **_creation_options(pixels, chips, block, compress=compress),
            **georeference,
        ) as target,
    ):
        target.write(values)
        for number, band in enumerate(pixels.bands, start=1):
            if band:
                target.set_band_description(number, band)
        if pixels.mask is not None:
            target.write_mask(pixels.mask)


def _creation_options(
    pixels: Pixels, chips: ChipFormat, block: tuple[int, int] | None, *, compress: bool
) -> dict[str, Any]:
    if chips is not ChipFormat.tiff:
        return {"quality": 90} if chips is ChipFormat.jpeg else {"zlevel": 6}
    values = pixels.values
    return {
        "compress": "lzw" if compress else "none",
        "predictor": _predictor(values.dtype) if pixels.bands and compress else 1,
        # GDAL reads bands fastest one by one; several compress best, and fastest, together
        "interleave": "pixel" if len(values) > 1 and compress else "band",
        **_layout(values.shape[1], block),
        "photometric": "minisblack",  # else GDAL takes the fourth of four uint8 bands for alpha
    }


def _layout(height: int, block: tuple[int, int] | None) -> dict[str, Any]:
    if block is None:
        return {"blockysize": height}  # one strip: a tile is always read whole
    rows, columns = block
    return {"tiled": True, "blockysize": rows, "blockxsize": columns, "endianness": "little"}


@lru_cache(maxsize=16)
def _predictor(dtype: np.dtype[Any]) -> int:
    return 3 if np.issubdtype(dtype, np.floating) else 2
