"""The part of a raster on the web that a place needs, read by ranges of bytes."""

from __future__ import annotations

import io
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from landshift import grid, raster
from landshift.errors import GridError, of_gdal
from landshift.grid import Window

CHUNK = 1 << 18
"""Bytes that are asked for at once; a block of a Cloud-Optimised GeoTIFF has about as many."""

MARGIN = 32
"""Pixels around the place that are kept, for resampling and for grids that lie askew."""

WORTH = 0.5
"""Share of a raster's pixels from which the whole file is fetched instead, with its checksum."""

_KEPT = 64  # chunks in memory
_BLOCK = 2048  # rows and columns that are copied at once
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_NAME = "part.tif"  # of the file, for GDAL
_TOTAL = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class WholeError(Exception):
    """The file must be had as a whole: its server gives no ranges, or little would be saved."""


@dataclass(frozen=True)
class Answer:
    """What a server answered to a range of bytes.

    Attributes:
        content: The bytes.
        range: Its header Content-Range.
        version: What it calls this version of the file; '' if it doesn't.
    """

    content: bytes
    range: str
    version: str


class RangeFile:
    """A file on the web, read by ranges.

    Attributes:
        fetched: Bytes that were fetched.
        size: Bytes of the file.
        failed: The error that ended a reading; GDAL keeps it to itself.
    """

    def __init__(self, ask: Callable[[int, int], Answer], check: Callable[[int], None]) -> None:
        """Read the beginning.

        Args:
            ask: Gives the answer of the server to a range: first byte, and the one behind the
                last; raises where that isn't an answer.
            check: Called with the bytes that were fetched so far; raises if they are too many.

        Raises:
            WholeError: The server gives no ranges.
        """
        self._ask, self._check = ask, check
        self._chunks: OrderedDict[int, bytes] = OrderedDict()
        self._version = ""
        self.fetched = 0
        self.failed: Exception | None = None
        self.size = CHUNK
        self._get(0, 1)

    def bytes_at(self, start: int, count: int) -> bytes:
        """Bytes from a place on; fewer at the end of the file."""
        count = min(count, max(self.size - start, 0))
        if count <= 0:
            return b""
        first, last = start // CHUNK, (start + count - 1) // CHUNK
        try:
            parts = b"".join(self._run(first, last + 1))
        except Exception as error:
            self.failed = error
            raise
        return parts[start - first * CHUNK :][:count]

    def opener(self, path: str, mode: str = "rb", **_: Any) -> io.RawIOBase:
        """The file as `rasterio.open` asks for it; there are no files beside it.

        Raises:
            FileNotFoundError: Another file is asked for.
        """
        if path.rpartition("/")[2] != _NAME:
            raise FileNotFoundError(path)
        return _Handle(self)

    def _run(self, first: int, end: int) -> Iterator[bytes]:
        """Chunks from one to another, those that aren't here in as few requests as possible."""
        number = first
        while number < end:
            if number in self._chunks:
                self._chunks.move_to_end(number)
                yield self._chunks[number]
                number += 1
                continue
            stop = number
            while stop < end and stop not in self._chunks:
                stop += 1
            yield from self._get(number, stop)
            number = stop

    def _get(self, first: int, end: int) -> list[bytes]:
        """Chunks from the server."""
        start, stop = first * CHUNK, min(end * CHUNK, self.size)
        answer = self._ask(start, stop)
        about = _TOTAL.fullmatch(answer.range)
        if about is None or int(about[1]) != start:
            raise WholeError("no ranges")
        if self._version not in ("", answer.version):
            raise OSError("the file changed while it was read")
        self._version, self.size = answer.version, int(about[3])
        body = answer.content
        self.fetched += len(body)
        self._check(self.fetched)
        if len(body) != min(stop, self.size) - start:
            raise OSError("a range came short")
        chunks = [body[k : k + CHUNK] for k in range(0, len(body), CHUNK)]
        for number, chunk in enumerate(chunks, start=first):
            self._chunks[number] = chunk
        while len(self._chunks) > max(_KEPT, end - first):
            self._chunks.popitem(last=False)
        return chunks


class _Handle(io.RawIOBase):
    """A file on the web, open; several may read one file."""

    def __init__(self, file: RangeFile) -> None:
        super().__init__()
        self._file, self._at = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        starts = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size}
        self._at = max(starts[whence] + offset, 0)
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = self._file.bytes_at(self._at, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def copy(source: RangeFile, path: Path, place: Any) -> None:
    """Copy the part of a GeoTIFF around a place into a GeoTIFF of its own, pixels unchanged.

    Args:
        source: The file.
        path: The copy.
        place: The place in WGS 84, a shapely geometry.

    Raises:
        WholeError: The file is another kind than a plain GeoTIFF, or most of it is needed.
    """
    import rasterio

    if not source.bytes_at(0, 4).startswith(_TIFF):
        raise WholeError("no GeoTIFF")
    with (
        rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"),
        rasterio.open(_NAME, driver="GTiff", opener=source.opener) as opened,
    ):
        masked = any("per_dataset" in {f.name for f in flags} for flags in opened.mask_flag_enums)
        if opened.crs is None or opened.transform.is_identity or masked:
            raise WholeError("no plain GeoTIFF")
        window = _window(opened, place)
        if window.height * window.width >= WORTH * opened.height * opened.width:
            raise WholeError("most of it is needed")
        box = grid.window_geobox(raster.grid_of(opened), window)
        profile = {
            "driver": "GTiff", "count": opened.count, "dtype": opened.dtypes[0],
            "nodata": opened.nodata, "height": window.height, "width": window.width,
            "crs": opened.crs, "transform": box.affine, "tiled": True, "blockxsize": 512,
            "blockysize": 512, "compress": "deflate", "zlevel": 1, "bigtiff": "if_safer",
        }  # fmt: skip
        with rasterio.open(path, "w", **profile) as target:
            for number, name in enumerate(opened.descriptions, start=1):
                if name:
                    target.set_band_description(number, name)
            for part in raster.blocks(window.height, window.width, _BLOCK):
                there = part.shifted(window.row, window.column)
                values = opened.read(window=rasterio.windows.Window(
                    there.column, there.row, there.width, there.height))  # fmt: skip
                target.write(values, window=rasterio.windows.Window(
                    part.column, part.row, part.width, part.height))  # fmt: skip


def _window(opened: Any, place: Any) -> Window:
    """The pixels around a place; at least one."""
    import shapely

    unplaced: tuple[type[Exception], ...] = (GridError, *of_gdal())
    outline = shapely.segmentize(place, max(place.length / _SIDES, 1e-9))
    at = shapely.get_coordinates(outline)
    try:
        way = grid.transformer("EPSG:4326", opened.crs.to_wkt())
        x, y = way.transform(at[:, 0], at[:, 1])
        columns, rows = grid.apply(~opened.transform, np.asarray(x), np.asarray(y))
    except unplaced as error:
        raise WholeError("no place in its CRS") from error
    if not (np.isfinite(columns).all() and np.isfinite(rows).all()):
        raise WholeError("no place in its CRS")
    first_row, last_row = _span(rows, opened.height)
    first_column, last_column = _span(columns, opened.width)
    return Window(first_row, first_column, last_row - first_row, last_column - first_column)


_SIDES = 200  # pieces of the place's outline


def _span(places: Any, size: int) -> tuple[int, int]:
    """First pixel, and the one behind the last, along a side of a raster."""
    first = min(max(int(places.min()) - MARGIN, 0), size - 1)
    last = max(min(int(places.max()) + 1 + MARGIN, size), first + 1)
    return first, last
