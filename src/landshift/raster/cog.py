"""Assembly of a Cloud-Optimised GeoTIFF from a raster's GeoTIFF and its overviews.

Compressed blocks are copied as they are, not decoded and compressed again. The layout is that of
GDAL's COG driver (https://gdal.org/drivers/raster/cog.html, 'File format details'): directories
first, then the blocks, coarse before fine, each between its size and a copy of its last four bytes,
so that a reader over a network gets neighbouring blocks with one request.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 512
"""Rows and columns of the blocks in our rasters; the smallest overview fits in one."""

_SUBFILE, _COLOURS = 254, 320
_STRIPS, _TILES = (273, 279), (324, 325)  # tags of the offsets and of the sizes
_OF_SCALE = frozenset((256, 257, 258, 259, 262, 277, 284, 317, 322, 323, 338, 339, _COLOURS, 42113))
"""Tags of a directory that describe how its pixels are stored; the others belong to the raster."""

_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_WIDTHS |= {16: 8, 17: 8, 18: 8}  # BigTIFF's
_LONG, _LONG8 = 4, 16
_WHOLE = {3: "u2", _LONG: "u4", _LONG8: "u8"}
_MOST = (1 << 32) - 1  # bytes of a TIFF that isn't a BigTIFF
_HEAD = (
    b"LAYOUT=IFDS_BEFORE_DATA\nBLOCK_ORDER=ROW_MAJOR\nBLOCK_LEADER=SIZE_AS_UINT4\n"
    b"BLOCK_TRAILER=LAST_4_BYTES_REPEATED\nKNOWN_INCOMPATIBLE_EDITION=NO\n "
)


def creation(count: int, predictor: int) -> dict[str, Any]:
    """GDAL's creation options for the GeoTIFFs that `join` takes.

    Args:
        count: Number of bands.
        predictor: TIFF predictor: 1 none, 2 differences of integers, 3 of floats.
    """
    return {
        "driver": "GTiff", "tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK,
        "compress": "deflate",  # every GIS reads it
        "zlevel": 1, "predictor": predictor, "num_threads": "all_cpus", "bigtiff": "if_safer",
        "interleave": "pixel" if count > 1 else "band",
        "photometric": "minisblack",  # else GDAL takes the fourth of four uint8 bands for alpha
    }  # fmt: skip


def join(levels: Sequence[Path], path: Path) -> None:
    """Write one Cloud-Optimised GeoTIFF from a raster and its overviews.

    Args:
        levels: Complete GeoTIFFs (see `check_written`) with the options of `creation`: the raster
            first, then its overviews, each half as large.
        path: The file to write.

    Raises:
        OSError: The disk is full.
    """
    directories = [_read(level) for level in levels]
    space = sum(int(d.sizes.sum()) + 8 * d.sizes.size for d in directories)
    big = space + _room(directories, big=True) > _MOST
    start = _room(directories, big=big)
    places: list[NDArray[np.uint64]] = []
    for directory in reversed(directories):
        ends = start + np.cumsum(directory.sizes + np.uint64(8))
        places.insert(0, ends - directory.sizes - np.uint64(4))
        start = int(ends[-1])
    with path.open("wb") as file:
        file.write(_head(directories[0].order, big=big))
        for number, (directory, offsets) in enumerate(zip(directories, places, strict=True)):
            last = number == len(directories) - 1
            file.write(directory.written(file.tell(), offsets, number > 0, last=last, big=big))
        for level, directory in zip(reversed(levels), reversed(directories), strict=True):
            with level.open("rb") as source:
                for offset, size in zip(directory.offsets, directory.sizes, strict=True):
                    source.seek(int(offset))
                    block = source.read(int(size))
                    file.write(struct.pack("<I", len(block)) + block + block[-4:])


def check_written(path: Path) -> None:
    """Check that a file has all its blocks: on a full disk GDAL closes it without an error.

    Raises:
        OSError: A block is missing or extends beyond the file.
    """
    blocks = _read(path)
    missing = (blocks.offsets == 0) | (blocks.sizes == 0)
    if missing.any() or int((blocks.offsets + blocks.sizes).max()) > path.stat().st_size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@dataclass(frozen=True)
class _Directory:
    """The first directory of a TIFF.

    Attributes:
        order: Byte order, as struct writes it.
        entries: Type, count and bytes of each tag but those of the blocks.
        tags: The tags of the blocks' offsets and sizes.
        offsets: Offset of each block, row by row.
        sizes: Size of each block in bytes.
    """

    order: str
    entries: dict[int, tuple[int, int, bytes]]
    tags: tuple[int, int]
    offsets: NDArray[np.uint64]
    sizes: NDArray[np.uint64]

    def written(
        self, at: int, offsets: NDArray[np.uint64], overview: bool, *, last: bool, big: bool
    ) -> bytes:
        """The directory's bytes at an offset in a file, followed by its longer values."""
        entries = dict(self.entries)
        if overview:
            entries = {tag: entry for tag, entry in entries.items() if tag in _OF_SCALE}
            entries[_SUBFILE] = (_LONG, 1, struct.pack(f"{self.order}I", 1))
        for tag, values in zip(self.tags, (offsets, self.sizes), strict=True):
            kind = _LONG8 if big and tag == self.tags[0] else _LONG
            entries[tag] = (kind, values.size, values.astype(self.order + _WHOLE[kind]).tobytes())
        count, entry, inline, next_at = _FORMATS[big]
        head = struct.pack(f"{self.order}{count}", len(entries))
        beyond = at + len(head) + len(entries) * (4 + 2 * inline) + inline
        longer = b""
        for tag, (kind, number, value) in sorted(entries.items()):
            stored = value
            if len(value) > inline:
                stored = struct.pack(f"{self.order}{next_at}", beyond + len(longer))
                longer += _even(value)
            head += struct.pack(f"{self.order}{entry}", tag, kind, number)
            head += stored.ljust(inline, b"\0")
        end = 0 if last else beyond + len(longer)
        return head + struct.pack(f"{self.order}{next_at}", end) + longer


_FORMATS = {False: ("H", "HHI", 4, "I"), True: ("Q", "HHQ", 8, "Q")}
"""For TIFF and BigTIFF: formats of the entry count, an entry's head, its value and an offset."""


def _even(value: bytes) -> bytes:
    return value + b"\0" * (len(value) % 2)


def _head(order: str, *, big: bool) -> bytes:
    """The bytes before the first directory."""
    ghost = b"GDAL_STRUCTURAL_METADATA_SIZE=%06d bytes\n" % len(_HEAD) + _HEAD
    length = 16 if big else 8
    at = length + len(_even(ghost))
    mark = b"II" if order == "<" else b"MM"
    rest = struct.pack(f"{order}HHHQ", 43, 8, 0, at) if big else struct.pack(f"{order}HI", 42, at)
    return mark + rest + _even(ghost)


def _room(directories: Sequence[_Directory], *, big: bool) -> int:
    """Number of bytes before the first block."""
    at = len(_head(directories[0].order, big=big))
    for number, directory in enumerate(directories):
        at += len(directory.written(at, directory.offsets, number > 0, last=False, big=big))
    return at


def _read(path: Path) -> _Directory:
    """Read the first directory of a TIFF that GDAL wrote.

    Raises:
        OSError: It is incomplete.
    """
    try:
        return _parse(path)
    except (struct.error, KeyError, ValueError) as error:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error


def _parse(path: Path) -> _Directory:
    with path.open("rb") as file:
        mark = file.read(8)
        order = {b"II": "<", b"MM": ">"}[mark[:2]]
        big = struct.unpack(f"{order}H", mark[2:4])[0] == 43
        count, entry, inline, place = _FORMATS[big]
        at = file.read(8) if big else mark[4:]
        file.seek(*struct.unpack(f"{order}{place}", at))
        (number,) = struct.unpack(f"{order}{count}", file.read(struct.calcsize(count)))
        size = 4 + 2 * inline
        table = file.read(number * size)
        entries: dict[int, tuple[int, int, bytes]] = {}
        for start in range(0, len(table), size):
            tag, kind, many = struct.unpack_from(f"{order}{entry}", table, start)
            value = table[start + size - inline : start + size]
            length = _WIDTHS[kind] * many
            if length > inline:
                file.seek(*struct.unpack(f"{order}{place}", value))
                value = file.read(length)
            entries[tag] = (kind, many, value[:length])
    tags = _TILES if _TILES[0] in entries else _STRIPS
    offsets, sizes = (_numbers(entries.pop(tag), order) for tag in tags)
    return _Directory(order, entries, tags, offsets, sizes)


def _numbers(entry: tuple[int, int, bytes], order: str) -> NDArray[np.uint64]:
    kind, _, value = entry
    return np.frombuffer(value, order + _WHOLE[kind]).astype(np.uint64)
