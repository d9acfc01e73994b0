"""Tiles as files: TIFF, PNG or JPEG, each with its world file."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
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
from landshift.tileset.blocks import Kept, Template, first_block, parts


class ChipFormat(StrEnum):
    """File formats of tiles, by Esri's names."""

    tiff = "TIFF"
    png = "PNG"
    jpeg = "JPEG"


@dataclass(frozen=True)
class _Traits:
    driver: str
    suffix: str
    world: str
    bands: tuple[int, ...] | None
    dtypes: tuple[str, ...] | None
    labels: ChipFormat  # of the label tiles beside such images: always without loss


_TRAITS = {
    ChipFormat.tiff: _Traits("GTiff", ".tif", ".tfw", None, None, ChipFormat.tiff),
    ChipFormat.png: _Traits("PNG", ".png", ".pgw", (1, 3), ("uint8", "uint16"), ChipFormat.png),
    ChipFormat.jpeg: _Traits("JPEG", ".jpg", ".jgw", (1, 3), ("uint8",), ChipFormat.png),
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
    """What a TIFF tile shares with those that overlap it.

    Attributes:
        kept: Blocks that are compressed already.
        block: Rows and columns of a block.
        layer: What tells the blocks of one raster from those of others; all its tiles have the
            same CRS, cell size, bands and nodata value.
        row: First row of the tile in the raster.
        column: First column.
    """

    kept: Kept
    block: tuple[int, int]
    layer: Hashable
    row: int
    column: int


def label_format(chips: ChipFormat) -> ChipFormat:
    """The format of the labels beside images of a format: PNG beside JPEG, which changes values."""
    return _TRAITS[chips].labels


def suffix(chips: ChipFormat) -> str:
    """The file suffix of a format, such as ``.tif``."""
    return _TRAITS[chips].suffix


def format_of(path: Path) -> ChipFormat | None:
    """The format of a tile by its suffix; None where we don't write such."""
    found = {".tiff": ChipFormat.tiff, ".jpeg": ChipFormat.jpeg}
    found |= {t.suffix: f for f, t in _TRAITS.items()}
    return found.get(path.suffix.lower())


def check_fits(chips: ChipFormat, info: RasterInfo) -> None:
    """Check that tiles of a raster can be files of a format.

    Raises:
        BandError: The format doesn't hold so many bands, or their pixel type.
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
    """The nodata value of tiles in a format: none in JPEG, which changes values; it has a mask."""
    return None if chips is ChipFormat.jpeg else nodata


def write_chip(
    path: Path,
    values: NDArray[Any],
    place: Place,
    chips: ChipFormat,
    *,
    nodata: float | None = None,
    bands: Sequence[str] = (),
    mask: NDArray[np.bool_] | None = None,
    shared: Shared | None = None,
    compress: bool = True,
) -> None:
    """Write one file of a tile, and its world file.

    Args:
        path: The file, with the format's suffix.
        values: ``(band, row, column)``.
        place: Where it lies.
        chips: The format.
        nodata: Value that means 'no data', if any.
        bands: Names of the bands.
        mask: ``(row, column)``, True where valid: written into the file; None where the nodata
            value tells it, or all is valid.
        shared: What a TIFF tile shares with those that overlap it; None: nothing.
        compress: Whether a TIFF tile is compressed.

    Raises:
        OutputError: The disk is full, or the folder can't be written.
        BandError: PNG tiles with pixels that aren't valid and no nodata value to tell it.
    """
    if mask is not None and chips is ChipFormat.png:
        raise BandError(
            f"PNG tiles must have a nodata value where pixels aren't valid, got none at {path}; "
            "give the image one (gdal_edit -a_nodata), or choose TIFF."
        )
    with raster.writing(path):
        if shared is None or mask is not None:
            _write(path, values, place, chips, nodata, bands, mask, compress=compress)
            if chips is ChipFormat.tiff:
                cog.check_written(path)
        else:
            _write_shared(path, values, place, nodata, bands, shared, compress=compress)
    if not place.transform.is_identity:
        world = path.with_suffix(_TRAITS[chips].world)
        world.write_bytes(esri.world_file(place.transform).encode())


def _write_shared(
    path: Path,
    values: NDArray[Any],
    place: Place,
    nodata: float | None,
    bands: Sequence[str],
    shared: Shared,
    *,
    compress: bool,
) -> None:
    """Put a TIFF together from blocks that other tiles hold too."""
    from rasterio.io import MemoryFile

    tiff = ChipFormat.tiff

    def template() -> bytes:
        with MemoryFile() as file:
            nothing = np.zeros_like(values)
            _write(
                file.name, nothing, place, tiff, nodata, bands, None, shared.block,
                compress=compress,
            )  # fmt: skip
            return bytes(file.getbuffer())

    def block(part: NDArray[Any]) -> bytes:
        if not compress:
            return part.astype(part.dtype.newbyteorder("<")).tobytes()
        with MemoryFile() as file:
            nowhere, unnamed = Place(None, None), ("",) * len(bands)
            _write(
                file.name, part, nowhere, tiff, None, unnamed, None, shared.block,
                compress=compress,
            )  # fmt: skip
            return first_block(bytes(file.getbuffer()))

    made = Template.of(shared.kept.get((shared.layer, "about"), template))
    blocks = [
        shared.kept.get(
            (shared.layer, shared.row + row, shared.column + column), partial(block, part)
        )
        for row, column, part in parts(values, shared.block)
    ]
    if not compress:  # all blocks of a band, then those of the next, as the template says
        size = len(blocks[0]) // len(values)
        starts = range(0, len(blocks[0]), size)
        blocks = [block[start : start + size] for start in starts for block in blocks]
    path.write_bytes(made.filled(blocks, place.transform))


def _write(
    path: Path | str,
    values: NDArray[Any],
    place: Place,
    chips: ChipFormat,
    nodata: float | None,
    bands: Sequence[str],
    mask: NDArray[np.bool_] | None,
    block: tuple[int, int] | None = None,
    *,
    compress: bool,
) -> None:
    import rasterio

    if isinstance(path, Path):
        path.unlink(missing_ok=True)  # half of one, left by a killed run, stops GDAL
    known = place.transform is not None and not place.transform.is_identity
    georeference = {"transform": place.transform} if known else {}
    tiff = chips is ChipFormat.tiff
    if tiff:
        options = {
            "compress": "lzw" if compress else "none",
            "predictor": _predictor(values.dtype) if bands and compress else 1,
            # GDAL reads bands fastest one by one; several compress best, and fastest, together
            "interleave": "pixel" if len(values) > 1 and compress else "band",
            **_layout(values.shape[1], block),
            "photometric": "minisblack",  # else the fourth of four uint8 bands is taken for alpha
        }
    else:
        options = {"quality": 90} if chips is ChipFormat.jpeg else {"zlevel": 6}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, GDAL_PAM_ENABLED=not tiff),
        rasterio.open(
            path,
            "w",
            driver=_TRAITS[chips].driver,
            count=len(values),
            height=values.shape[1],
            width=values.shape[2],
            dtype=values.dtype,
            nodata=nodata,
            crs=place.crs,
            **options,
            **georeference,
        ) as target,
    ):
        target.write(values)
        for number, band in enumerate(bands, start=1):
            if band:
                target.set_band_description(number, band)
        if mask is not None:
            target.write_mask(mask)


def _layout(height: int, block: tuple[int, int] | None) -> dict[str, Any]:
    if block is None:
        return {"blockysize": height}  # one strip: a tile is always read whole
    rows, columns = block
    return {"tiled": True, "blockysize": rows, "blockxsize": columns, "endianness": "little"}


@lru_cache(maxsize=16)
def _predictor(dtype: np.dtype[Any]) -> int:
    return 3 if np.issubdtype(dtype, np.floating) else 2
