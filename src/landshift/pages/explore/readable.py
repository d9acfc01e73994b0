"""Rasters that a browser reads by byte ranges, and copies of those that it can't."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift import grid, raster
from landshift.errors import GridError
from landshift.files import containers, whole
from landshift.grid import Window
from landshift.raster import blockwise, cog, validity
from landshift.raster.blockwise import Block
from landshift.raster.reader import rasterio_window
from landshift.raster.validity import Validity

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox
    from rasterio.io import DatasetReader

    from landshift.pages.explore.found import RasterSource

VIEW_SIZE = 4096
"""Most rows and columns of a view copy of an image: as many as two screens side by side show."""

MOST_PIXELS = 20_000**2
"""Most pixels of a map whose copy keeps all of them; a larger one is copied as images are."""

WHOLE = 1024
"""Rows and columns up to which a file needs no overviews: a screen shows them all."""

COARSEST = 2048
"""Most rows and columns of the smallest overview, which a page shows first."""

MOST_BESIDE = 6
"""Most bands of a pixel-interleaved file that is read as it is: a browser fetches all of them, at
most twice the three that it shows."""

_SHALLOW = 64  # rows of a strip or tile from which reading a screen takes few requests
_DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
# LERC is left out: its decoder in browsers gives 0 for pixels without data
_PACKINGS = ("", "LZW", "DEFLATE", "PACKBITS", "ZSTD", "JPEG", "YCbCr JPEG")
_ENDS = (0.5, 99.5)  # percentiles that become the first and the last step of a byte
_STEPS = 254
_BLOCK = 256  # rows and columns of a view copy's blocks
_LOOKED_AT = 512  # rows and columns from which the percentiles are taken


@dataclass(frozen=True)
class CopySize:
    """How large copies are.

    Attributes:
        side: Most rows and columns of a view copy.
        pixels: Most pixels of a map whose copy keeps all of them.
        always: Whether every file is copied, also one that a browser can read.
    """

    side: int = VIEW_SIZE
    pixels: int = MOST_PIXELS
    always: bool = False


@dataclass(frozen=True)
class Copy:
    """A copy of a raster for the page.

    Attributes:
        box: Its grid.
        dtype: Its pixel type.
        nodata: Its nodata value.
        scale: Gain and offset of each band: value = stored * gain + offset; None: stored values.
        note: What the copy is, in words.
    """

    box: GeoBox
    dtype: str
    nodata: float | None
    scale: tuple[tuple[float, float], ...] | None
    note: str


def check_upright(box: GeoBox) -> None:
    """Check that rows run from north to south and columns from west to east.

    Raises:
        GridError: The grid is rotated or upside down.
    """
    a = box.affine
    if box.crs is None and a.almost_equals(type(a).identity()):
        return  # no place at all: pixels are the coordinates
    if a.b or a.d or a.a < 0 or a.e > 0:
        raise GridError(
            f"A map page needs rows from north to south, got a rotated or upside-down grid "
            f"({', '.join(f'{v:g}' for v in tuple(a)[:6])}); warp it first (gdalwarp)."
        )


def placed(box: GeoBox) -> GeoBox:
    """The grid of a raster in the page: one without any place lies at pixels, y upwards."""
    from affine import Affine

    if box.crs is None and box.affine.almost_equals(Affine.identity()):
        return grid.geobox(box.height, box.width, Affine(1, 0, 0, 0, -1, box.height), None)
    return box


def packing(source: DatasetReader) -> str:
    """GDAL's name of a raster's compression; '' without one."""
    return str(source.tags(ns="IMAGE_STRUCTURE").get("COMPRESSION", ""))


def obstacle(source: RasterSource) -> str:
    """Why a browser can't read a raster as it is, or not by few ranges; '' where it can."""
    import rasterio

    path = source.path
    if containers.part_of(path) is not None or not path.is_file():
        return "lies inside another file"
    with raster.open_raster(path) as seen:
        beside = validity.of(seen)
    with (
        rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"),  # a browser sees no file beside it
        raster.open_raster(path) as opened,
    ):
        if opened.driver != "GTiff":
            return f"is of the format {opened.driver}"
        if placed(source.info.grid) is not source.info.grid:
            return "has no place"
        bits = opened.tags(1, ns="IMAGE_STRUCTURE").get("NBITS")
        if opened.dtypes[0] not in _DTYPES or bits is not None:
            return f"holds pixels of {f'{bits} bits' if bits else opened.dtypes[0]}"
        if np.dtype(opened.dtypes[0]).itemsize > 1 and _is_big_endian(path):
            return "holds numbers whose first byte is the highest"
        if packing(opened) not in _PACKINGS:
            return f"is compressed by {packing(opened)}"
        return _layout(opened) or _validity(validity.of(opened), beside)


def _is_big_endian(path: Path) -> bool:
    """Whether a TIFF is; the page's reader takes the differences of such numbers byte by byte."""
    with path.open("rb") as file:
        return file.read(2) == b"MM"


def _layout(opened: DatasetReader) -> str:
    height, width = opened.block_shapes[0]
    if height < min(_SHALLOW, opened.height) or (
        width == opened.width and height * width > cog.BLOCK**2 * 4
    ):
        return "has no tiles"
    factors = opened.overviews(1)
    largest = max(opened.shape)
    if largest > WHOLE and not factors:
        return "has no overviews"
    if largest / max([1, *factors]) > COARSEST:
        return "has too few overviews"
    beside = opened.profile.get("interleave") == "pixel"
    if beside and opened.count > MOST_BESIDE:
        return f"holds {opened.count} bands pixel by pixel, which a browser would fetch together"
    return ""


def _validity(alone: Validity, beside: Validity) -> str:
    """What a browser misses of which pixels are valid.

    Args:
        alone: The validity by the file alone.
        beside: That by the files beside it too.
    """
    if len({repr(n) for n in alone.nodata}) > 1:
        return "has another nodata value in each band"
    if any(n is not None and np.isinf(n) for n in alone.nodata):
        return "has an infinite nodata value"
    if bool(beside.masks) != bool(alone.masks) or repr(beside.nodata) != repr(alone.nodata):
        return "has its mask in another file"
    return ""


def copy_of(source: RasterSource, numbers: Sequence[int], path: Path, size: CopySize) -> Copy:
    """Write a copy of a raster that a browser reads by ranges.

    Images become bytes, band after band, of at most `CopySize.side` rows and columns. Maps and
    quantities keep their values, and up to `CopySize.pixels` their pixels.

    Args:
        source: The raster.
        numbers: Numbers from 1 of the bands to copy.
        path: The file to write.
        size: How large the copy is.

    Raises:
        RasterError: The raster can't be read.
        OutputError: The copy can't be written.
    """
    if source.kind == "image":
        return _bytes(source, numbers, path, size.side)
    return _as_it_is(source, numbers[0], path, size)


def _shrunk(box: GeoBox, most: int) -> GeoBox:
    """A grid of at most so many rows and columns over the same ground."""
    from affine import Affine

    scale = min(1.0, most / max(box.shape))
    height, width = max(1, round(box.height * scale)), max(1, round(box.width * scale))
    step = Affine.scale(box.width / width, box.height / height)
    return grid.geobox(height, width, box.affine @ step, box.crs)


def _strips(box: GeoBox, rows: int) -> list[Window]:
    """The rows of a grid, so many at once."""
    return [
        Window(first, 0, min(rows, box.height - first), box.width)
        for first in range(0, box.height, rows)
    ]


def _behind(strip: Window, small: GeoBox, box: GeoBox) -> Window:
    """The rows of a grid that a strip of a smaller one shows."""
    top, bottom = (
        row * box.height // small.height for row in (strip.row, strip.row + strip.height)
    )
    return Window(top, 0, max(bottom - top, 1), box.width)


def _bytes(source: RasterSource, numbers: Sequence[int], path: Path, side: int) -> Copy:
    """A view copy of an image."""
    box = placed(source.info.grid)
    small = _shrunk(box, side)
    with raster.open_raster(source.path) as opened:
        scale = tuple(_pair(low, high) for low, high in _limits(opened, numbers))
    gains, offsets = np.array(scale, np.float32).T[:, :, np.newaxis, np.newaxis]

    def in_steps(opened: DatasetReader, block: Block) -> NDArray[np.uint8]:
        strip = block.window
        values, mask = raster.read_shrunk(
            opened, _behind(strip, small, box), (strip.height, strip.width), numbers
        )
        steps = (values - offsets) / gains
        stored = np.clip(np.nan_to_num(steps, nan=1.0), 1, _STEPS + 1).round()
        return np.where(mask, stored, 0).astype(np.uint8)

    names = [source.info.bands[k - 1] for k in numbers]
    with blockwise.results(
        _strips(small, _BLOCK), f"view copy of {source.path.name}",
        lambda: raster.open_raster(source.path), in_steps,
    ) as strips:  # fmt: skip
        _write_bytes(path, small, names, ((values, block.window) for block, values in strips))
    plain = "" if small.shape == box.shape else f", {small.width:,} by {small.height:,} pixels"
    note = f"A view copy of {source.path.name}{plain}"
    if any(pair != (1.0, 0.0) for pair in scale):
        note += f", values in {_STEPS} steps between its 0.5th and 99.5th percentiles"
    return Copy(small, "uint8", 0, scale, f"{note}.")


def _pair(low: float, high: float) -> tuple[float, float]:
    gain = (high - low) / _STEPS or 1.0
    return gain, low - gain


def _limits(opened: DatasetReader, numbers: Sequence[int]) -> list[tuple[float, float]]:
    """First and last value of the steps of each band; bytes keep their values."""
    if opened.dtypes[0] == "uint8":
        return [(1.0, _STEPS + 1.0)] * len(numbers)
    size = min(1.0, _LOOKED_AT / max(opened.shape))
    shape = (max(1, round(opened.height * size)), max(1, round(opened.width * size)))
    whole_raster = Window(0, 0, opened.height, opened.width)
    values, mask = raster.read_shrunk(opened, whole_raster, shape, numbers)
    known = mask & np.isfinite(values).all(axis=0)
    if not known.any():
        return [(0.0, 1.0)] * len(numbers)
    ends = np.percentile(values[:, known].astype(np.float64), _ENDS, axis=1)
    return [(float(low), float(high)) for low, high in ends.T]


def _write_bytes(
    path: Path,
    box: GeoBox,
    names: Sequence[str],
    pixels: Iterator[tuple[NDArray[np.uint8], Window]],
) -> None:
    """A Cloud-Optimised GeoTIFF of bytes, 0 nodata, band after band.

    A browser then fetches the bands that it shows.
    """
    import rasterio
    from rasterio.enums import Resampling

    profile = {
        **cog.creation(len(names), 2), "interleave": "band", "blockxsize": _BLOCK,
        "blockysize": _BLOCK, "zlevel": 6, "count": len(names), "dtype": "uint8", "nodata": 0,
    }  # fmt: skip
    levels: list[Path] = []
    with whole.whole_file(path) as part:
        try:
            with raster.writing(path):
                while True:
                    level = part.with_name(f"{part.stem}.{len(levels)}.tif")
                    levels.append(level)
                    place = {
                        "height": box.height, "width": box.width, "transform": box.affine,
                        "crs": None if box.crs is None else str(box.crs),
                    }  # fmt: skip
                    with rasterio.open(level, "w", **profile, **place) as target:
                        if len(levels) == 1:
                            for number, name in enumerate(names, start=1):
                                target.set_band_description(number, name)
                            for values, window in pixels:
                                target.write(values, window=rasterio_window(window))
                        else:
                            with rasterio.open(levels[-2]) as larger:
                                for number in range(1, len(names) + 1):
                                    target.write(
                                        larger.read(
                                            number, out_shape=box.shape,
                                            resampling=Resampling.average,
                                        ), number,
                                    )  # fmt: skip
                    cog.check_written(level)
                    if max(box.shape) <= cog.BLOCK:
                        break
                    box = _shrunk(box, (max(box.shape) + 1) // 2)
                cog.join(levels, part)
        finally:
            for level in levels:
                level.unlink(missing_ok=True)


def _as_it_is(source: RasterSource, number: int, path: Path, size: CopySize) -> Copy:
    """A copy of a map or quantity, with its values."""
    info, box = source.info, placed(source.info.grid)
    classes = source.kind == "classes"
    all_of_it = box.height * box.width <= size.pixels
    small = box if all_of_it else _shrunk(box, size.side)
    dtype = info.dtype if info.dtype in _DTYPES else "float64"
    with raster.open_raster(source.path) as opened:
        nodata = _nodata(opened, info, number)

    def as_stored(opened: DatasetReader, block: Block) -> NDArray[Any]:
        strip = block.window
        if all_of_it:
            values, mask = raster.read(opened, strip, [number])
        else:
            shape, behind = (strip.height, strip.width), _behind(strip, small, box)
            values, mask = raster.read_shrunk(opened, behind, shape, [number], classes=classes)
        if nodata is not None:
            values = np.where(mask, values, np.array(nodata).astype(dtype))
        return values.astype(dtype)

    with (
        raster.create(
            path, small, count=1, dtype=dtype, nodata=nodata, bands=[info.bands[number - 1]],
            classes=classes, alone=True,
        ) as target,
        blockwise.results(
            _strips(small, cog.BLOCK), f"copy of {source.path.name}",
            lambda: raster.open_raster(source.path), as_stored,
        ) as strips,
    ):  # fmt: skip
        for block, values in strips:
            raster.write(target, values, block.window)
    plain = "" if all_of_it else f" of {small.width:,} by {small.height:,} pixels"
    return Copy(small, dtype, nodata, None, f"A copy{plain} of {source.path.name}.")


def _nodata(opened: DatasetReader, info: raster.RasterInfo, number: int) -> Any:
    """The nodata value of a copy: the raster's own, else one that it can hold.

    A value that occurs as a class would take its pixels away; 0 isn't one where the classes omit
    it, and the largest value of a type seldom is.
    """
    rule = validity.of(opened, [number])
    if rule.nodata[0] is not None:
        return rule.nodata[0]
    if not rule.masks and rule.alpha is None:
        return None
    kind = np.dtype(info.dtype)
    return float("nan") if kind.kind == "f" else int(np.iinfo(kind).max)
