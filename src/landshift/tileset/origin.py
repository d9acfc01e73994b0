"""Identity of a tile set: the digest of its tiles, and the files that they were cut from."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from landshift.errors import OutputError, RasterError
from landshift.files import provenance
from landshift.machine import parallel, progress
from landshift.tileset.index import keep_digest, read_digest, read_provenance
from landshift.tileset.tiles import TileSet

logger = logging.getLogger(__name__)


def digest(tiles: TileSet) -> str:
    """The SHA-256 of all tiles of a set.

    It is the SHA-256 of the list that ``sha256sum`` writes of their files (images, labels, second
    inputs, class maps), sorted by path, without side files. The index stores it, so that the files
    are read once; it is valid while the index is up to date. Of joined sets it is that of their
    digests, in order.

    Args:
        tiles: The set.

    Raises:
        RasterError: A file can't be read.
    """
    if tiles.parts:
        return hashlib.sha256("".join(map(digest, tiles.parts)).encode()).hexdigest()
    files = [tile.files for tile in tiles.tiles]
    known = read_digest(tiles.folder, files)
    if known is not None:
        return known
    paths = sorted(
        {p.relative_to(tiles.folder).as_posix(): p for f in files for p in f.there}.items()
    )
    total = hashlib.sha256()
    with parallel.in_order([path for _, path in paths], nullcontext, _digest_of) as digests:
        done = progress.each(digests, "hash tiles", len(paths))
        for (name, _), file_digest in zip(paths, done, strict=True):
            total.update(f"{file_digest}  {name}\n".encode())
    try:
        keep_digest(tiles.folder, total.hexdigest())
    except OutputError as error:
        logger.info("The index can't store the digest of its tiles: %s", error)
    return total.hexdigest()


def sources(folder: Path) -> list[dict[str, str]]:
    """Name and fingerprint of each file that a set was cut from, from its index.

    Args:
        folder: The set's root.
    """
    record = read_provenance(folder)
    marks: dict[str, str] = {}
    while isinstance(record, dict):
        marks = dict(_inputs(record.get("inputs"))) | marks
        record = record.get("appended_to")
    return [{"name": name, "fingerprint": mark} for name, mark in marks.items()]


def _inputs(entries: Any) -> Iterator[tuple[str, str]]:
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict):
            name, mark = str(entry.get("name")), str(entry.get("fingerprint"))
            if re.fullmatch(r"[0-9a-f]{64}", mark):
                yield name[:255], mark


def _digest_of(_: None, path: Path) -> str:
    try:
        return provenance.digest(path)
    except OSError as error:
        raise RasterError(
            f"A tile's file must be readable, got '{error.strerror}' for {path}; restore it."
        ) from error
