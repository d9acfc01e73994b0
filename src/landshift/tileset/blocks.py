"""TIFF tiles assembled from blocks that are compressed once.

Tiles that overlap by whole blocks contain the same blocks: with a stride of half a tile, four tiles
share each. Compression takes most of the time of cutting, so GDAL compresses each block once, and
its bytes are copied into every file. The rest of a file (TIFF 6.0, sections 2 and 15) is taken from
a file that GDAL wrote, with other block offsets and georeference.
"""

from __future__ import annotations

import math
import struct
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEPT_BYTES = 128 << 20
"""Bytes of compressed blocks to keep; the least recently used are dropped first."""

_STEP = 16  # TIFF blocks are multiples of it
_MOST = 16  # blocks of a tile; more would cost more time than they save

_OFFSETS, _COUNTS = 324, 325
_TIE_POINT, _MATRIX = 33922, 34264
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_LONG = 4


def shared_block(tile_size: tuple[int, int], stride: tuple[int, int]) -> tuple[int, int] | None:
    """Rows and columns of the blocks that overlapping tiles share; None if they share none."""
    rows, columns = (math.gcd(t, s) for t, s in zip(tile_size, stride, strict=True))
    count = (tile_size[0] // rows) * (tile_size[1] // columns)
    fits = rows % _STEP == 0 and columns % _STEP == 0 and 1 < count <= _MOST
    return (rows, columns) if fits else None


class Kept:
    """A cache of compressed blocks; threads that need the same block make it once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._blocks: OrderedDict[Hashable, Future[bytes]] = OrderedDict()
        self._size = 0

    def get(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        """The block of a key, made if it is missing.

        Args:
            key: Identifies the block.
            make: Compresses the block; must not call `get`.
        """
        with self._lock:
            cached = self._blocks.get(key)
            mine = cached is None
            if cached is None:
                cached = self._blocks[key] = Future()
            self._blocks.move_to_end(key)
        if not mine:
            return cached.result()
        try:
            block = make()
        except BaseException as error:
            cached.set_exception(error)
            raise
        cached.set_result(block)
        with self._lock:
            self._size += len(block)
            while self._size > KEPT_BYTES and next(iter(self._blocks.values())).done():
                _, oldest = self._blocks.popitem(last=False)
                if oldest.exception() is None:
                    self._size -= len(oldest.result())
        return block


@dataclass(frozen=True)
class Template:
    """A TIFF file without its blocks.

    Attributes:
        tags: Type, number of values and bytes of each tag.
    """

    tags: Mapping[int, tuple[int, int, bytes]]

    @classmethod
    def of(cls, content: bytes) -> Template:
        """The template of a little-endian TIFF file that GDAL wrote."""
        tags = {t: (k, n, v) for t, k, n, v in _tags(content)}
        return cls(tags)

    def head(self, sizes: Sequence[int], transform: Any) -> bytes:
        """The file with this transform up to its blocks.

        Args:
            sizes: Bytes of each block; each follows the one before at an even offset.
            transform: Affine transform of the pixels.
        """
        tags = dict(self.tags)
        if _TIE_POINT in tags:
            tie = struct.pack("<6d", 0, 0, 0, transform.c, transform.f, 0)
            tags[_TIE_POINT] = (12, 6, tie)
        if _MATRIX in tags:
            a = transform
            rows = (a.a, a.b, 0, a.c, a.d, a.e, 0, a.f, 0, 0, 0, 0, 0, 0, 0, 1)
            tags[_MATRIX] = (12, 16, struct.pack("<16d", *rows))
        tags[_COUNTS] = (_LONG, len(sizes), _longs(sizes))
        tags[_OFFSETS] = (_LONG, len(sizes), bytes(4 * len(sizes)))
        start = 8 + 2 + 12 * len(tags) + 4
        start += sum(_padded(len(v)) for _, _, v in tags.values() if len(v) > 4)
        ends = np.cumsum([_padded(size) for size in sizes]) + start
        offsets = [start, *(int(e) for e in ends[:-1])]
        tags[_OFFSETS] = (_LONG, len(sizes), _longs(offsets))
        entries, rest = [], []
        at = 8 + 2 + 12 * len(tags) + 4
        for tag in sorted(tags):
            kind, count, value = tags[tag]
            if len(value) <= 4:
                entries.append(struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0"))
                continue
            entries.append(struct.pack("<HHII", tag, kind, count, at))
            rest.append(value.ljust(_padded(len(value)), b"\0"))
            at += _padded(len(value))
        head = struct.pack("<2sHIH", b"II", 42, 8, len(tags))
        return b"".join([head, *entries, bytes(4), *rest])


def first_block(content: bytes) -> bytes:
    """The bytes of a TIFF file's first block."""
    tags = {t: (k, n, v) for t, k, n, v in _tags(content)}
    (offset,), (size,) = (_numbers(*tags[t])[:1] for t in (_OFFSETS, _COUNTS))
    return content[offset : offset + size]


def parts(values: NDArray[Any], block: tuple[int, int]) -> list[tuple[int, int, NDArray[Any]]]:
    """Blocks of ``(band, row, column)`` values, row by row: first row, first column, data."""
    rows, columns = block
    return [
        (r, c, values[:, r : r + rows, c : c + columns])
        for r in range(0, values.shape[1], rows)
        for c in range(0, values.shape[2], columns)
    ]


def plain(values: NDArray[Any], block: tuple[int, int]) -> NDArray[Any]:
    """Values as blocks that aren't compressed, in little-endian bytes: ``(band, block, ...)``."""
    rows, columns = block
    bands, height, width = values.shape
    cut = values.reshape(bands, height // rows, rows, width // columns, columns)
    return np.ascontiguousarray(cut.swapaxes(2, 3), values.dtype.newbyteorder("<"))


def padded(block: bytes) -> bytes:
    """A block as it lies in a file, where each begins at an even offset."""
    return block.ljust(_padded(len(block)), b"\0")


def _tags(content: bytes) -> list[tuple[int, int, int, bytes]]:
    order, magic, at = struct.unpack_from("<2sHI", content)
    assert (order, magic) == (b"II", 42), "GDAL writes a classic little-endian TIFF here"
    (count,) = struct.unpack_from("<H", content, at)
    tags = []
    for k in range(count):
        entry = at + 2 + 12 * k
        tag, kind, number = struct.unpack_from("<HHI", content, entry)
        size = _SIZES[kind] * number
        start = entry + 8 if size <= 4 else struct.unpack_from("<I", content, entry + 8)[0]
        tags.append((tag, kind, number, content[start : start + size]))
    return tags


def _numbers(kind: int, count: int, value: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{count}{'H' if kind == 3 else 'I'}", value)


def _longs(values: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


def _padded(size: int) -> int:
    return size + size % 2
