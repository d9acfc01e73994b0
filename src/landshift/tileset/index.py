"""The index of a tile set: an SQLite file beside the side files, to read a set without its tiles.

It is up to date while the same files have the same sizes and none of them is newer than the index.
It contains no times, so that the same tiles give the same bytes. Once computed, it also stores the
digest of the tiles.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import sqlite3
import struct
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from landshift.errors import OutputError
from landshift.files import whole
from landshift.tileset.tiles import BandFacts, Contents, SecondInput, Tile, TileFiles

INDEX = "landshift.sqlite"

_VERSION = 2

_COLUMNS = 18  # of a tile without weights

_TABLES = """
CREATE TABLE fact (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE crs (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE tile (
    name TEXT NOT NULL, image TEXT PRIMARY KEY, label TEXT NOT NULL,
    "left" REAL, bottom REAL, "right" REAL, top REAL, crs INTEGER REFERENCES crs (id),
    valid INTEGER NOT NULL, class_pixels TEXT NOT NULL,
    bands BLOB NOT NULL, image2 TEXT, valid2 INTEGER, bands2 BLOB,
    before TEXT, before_pixels TEXT, after TEXT, after_pixels TEXT
) WITHOUT ROWID;
"""


def write_index(
    folder: Path,
    contents: Contents,
    provenance: dict[str, Any] | None = None,
    *,
    joined: Path | None = None,
) -> None:
    """Write the index of a set.

    Args:
        folder: The set's root.
        contents: Contents of its tiles.
        provenance: The record of what made the set, if known.
        joined: Another root with some of the tiles; its files and those of `folder` will be one
            set.

    Raises:
        OutputError: It can't be written.
    """
    roots = [folder] if joined is None else [folder, joined]
    second = contents.second
    facts = {
        "state": _state_of(roots, [t.files for t in contents.tiles])[0],
        "bands": list(contents.bands),
        "dtype": contents.dtype,
        "nodata": _spelt(contents.nodata),
        "height": contents.height,
        "width": contents.width,
        "cell_size": contents.cell_size,
        "second": second and [list(second.bands), second.dtype, _spelt(second.nodata)],
        "provenance": provenance,
    }
    names = {name: k for k, name in enumerate(sorted({t.crs for t in contents.tiles if t.crs}))}
    with whole.whole_file(folder / INDEX) as part:
        try:
            with closing(sqlite3.connect(part, isolation_level=None)) as base:
                base.execute("PRAGMA journal_mode = OFF")  # the file is temporary until renamed
                base.execute("PRAGMA synchronous = OFF")
                base.executescript(f"PRAGMA user_version = {_VERSION}; BEGIN; {_TABLES}")
                base.executemany(
                    "INSERT INTO fact VALUES (?, ?)", [(k, json.dumps(v)) for k, v in facts.items()]
                )
                base.executemany(
                    "INSERT INTO crs VALUES (?, ?)", [(k, n) for n, k in names.items()]
                )
                columns = _COLUMNS
                if any(t.weight is not None for t in contents.tiles):
                    base.execute("ALTER TABLE tile ADD COLUMN weight REAL")
                    columns += 1
                base.executemany(
                    f"INSERT INTO tile VALUES ({', '.join('?' * columns)})",
                    (_row(roots, t, names)[:columns] for t in contents.tiles),
                )
                base.execute("COMMIT")
        except sqlite3.Error as error:
            raise OutputError(
                f"The index must be writable, got '{error}' at {folder / INDEX}; make room."
            ) from error


def read_index(folder: Path, files: Sequence[TileFiles]) -> Contents | None:
    """Contents of a set from its index; None if it is missing, damaged or out of date.

    Args:
        folder: The set's root.
        files: Files of each tile that the set must have.
    """
    path = folder / INDEX
    try:
        facts = _facts(path)
        state, newest = _state_of([folder], files)
        if facts is None or newest > path.stat().st_mtime_ns or facts["state"] != state:
            return None
        with closing(_open(path)) as base:
            names = dict(base.execute("SELECT id, name FROM crs"))
            rows = base.execute("SELECT * FROM tile ORDER BY name, image")
            known = {_inside([folder], own.image): own for own in files}
            tiles = tuple(_tile(folder, known[row[1]], row, names) for row in rows)
        return Contents(
            bands=tuple(facts["bands"]),
            dtype=str(facts["dtype"]),
            nodata=None if facts["nodata"] is None else float(facts["nodata"]),
            height=int(facts["height"]),
            width=int(facts["width"]),
            cell_size=None if facts["cell_size"] is None else tuple(facts["cell_size"]),
            tiles=tiles,
            second=None if facts["second"] is None else _second(*facts["second"]),
        )
    except (sqlite3.Error, struct.error, ValueError, KeyError, TypeError, OSError):
        return None  # a damaged index is no error: the tiles can be read


def read_provenance(folder: Path) -> dict[str, Any] | None:
    """The record of what made the set, from its index, or None."""
    try:
        facts = _facts(folder / INDEX)
    except (sqlite3.Error, ValueError):
        return None
    record = None if facts is None else facts.get("provenance")
    return record if isinstance(record, dict) else None


def read_digest(folder: Path, files: Sequence[TileFiles]) -> str | None:
    """The digest of a set's tiles from its index; None if it has none or is out of date.

    Args:
        folder: The set's root.
        files: Files of each of its tiles.
    """
    path = folder / INDEX
    try:
        facts = _facts(path)
        if facts is None or "digest" not in facts:
            return None
        state, newest = _state_of([folder], files)
        fresh = newest <= path.stat().st_mtime_ns and facts["state"] == state
    except (sqlite3.Error, ValueError, KeyError, TypeError, OSError):
        return None
    return str(facts["digest"]) if fresh else None


def keep_digest(folder: Path, digest: str) -> None:
    """Add the digest of its tiles to a set's index.

    Raises:
        OutputError: There is no index, or it can't be written.
    """
    path = folder / INDEX
    with whole.whole_file(path) as part:
        shutil.copyfile(path, part)
        try:
            with closing(sqlite3.connect(part, isolation_level=None)) as base:
                base.execute("PRAGMA journal_mode = OFF")  # the file is temporary until renamed
                base.execute(
                    "INSERT OR REPLACE INTO fact VALUES ('digest', ?)", (json.dumps(digest),)
                )
        except sqlite3.Error as error:
            raise OutputError(
                f"The index must be writable, got '{error}' at {path}; make room."
            ) from error


def _facts(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    with closing(_open(path)) as base:
        if base.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
            return None
        return {k: json.loads(v) for k, v in base.execute("SELECT key, value FROM fact")}


def _open(path: Path) -> sqlite3.Connection:
    # immutable: without locks, it works in read-only and network folders
    address = f"file:{quote(str(path.resolve()))}?mode=ro&immutable=1"
    return sqlite3.connect(address, uri=True)


def _state_of(roots: Sequence[Path], files: Sequence[TileFiles]) -> tuple[str, int]:
    """A digest of the names and sizes of all files, and the time of the newest in ns."""
    digest = hashlib.sha256()
    newest = 0
    lines = []
    for path in (path for own in files for path in own.there):
        about = os.stat(path)
        newest = max(newest, about.st_mtime_ns)
        lines.append(f"{_inside(roots, path)}\t{about.st_size}\n")
    for line in sorted(lines):
        digest.update(line.encode())
    return digest.hexdigest(), newest


def _inside(roots: Sequence[Path], path: Path) -> str:
    """A path relative to one of the roots, with forward slashes."""
    text = str(path)
    for root in map(str, roots):
        if text.startswith(root + os.sep):
            return text[len(root) + 1 :].replace(os.sep, "/")
    raise ValueError(f"{path} lies in none of {roots}")


def _row(roots: Sequence[Path], tile: Tile, names: dict[str, int]) -> tuple[Any, ...]:
    image2, before, after = (
        None if path is None else _inside(roots, path)
        for path in (tile.image2, tile.before, tile.after)
    )
    second = tile.second
    return (
        tile.name,
        _inside(roots, tile.image),
        _inside(roots, tile.label),
        *(tile.bounds or (None,) * 4),
        None if tile.crs is None else names[tile.crs],
        tile.valid,
        _counts(tile.class_pixels),
        _packed(tile),
        image2,
        None if second is None else second.valid,
        None if second is None else _packed(second),
        before,
        None if tile.before_pixels is None else _counts(tile.before_pixels),
        after,
        None if tile.after_pixels is None else _counts(tile.after_pixels),
        tile.weight,
    )


def _tile(folder: Path, files: TileFiles, row: tuple[Any, ...], names: dict[int, str]) -> Tile:
    left, bottom, right, top = row[3:7]
    if _inside([folder], files.label) != row[2]:
        raise ValueError(f"{files.image} has other labels than in the index")
    return Tile(
        name=row[0],
        image=files.image,
        label=files.label,
        image2=files.image2,
        before=files.before,
        after=files.after,
        weights=files.weights,
        bounds=None if left is None else (left, bottom, right, top),
        crs=None if row[7] is None else names[row[7]],
        valid=row[8],
        class_pixels=_pixels(row[9]),
        **_unpacked(row[10]),
        second=None if row[13] is None else BandFacts(valid=row[12], **_unpacked(row[13])),
        before_pixels=None if row[15] is None else _pixels(row[15]),
        after_pixels=None if row[17] is None else _pixels(row[17]),
        weight=row[_COLUMNS] if len(row) > _COLUMNS else None,
    )


_LISTS = ("minimum", "maximum", "mean", "m2")


def _packed(facts: BandFacts) -> bytes:
    """The four lists of a tile's statistics as little-endian doubles, one after the other."""
    values = [v for name in _LISTS for v in getattr(facts, name)]
    return struct.pack(f"<{len(values)}d", *values)


def _unpacked(packed: bytes) -> dict[str, tuple[float, ...]]:
    values = struct.unpack(f"<{len(packed) // 8}d", packed)
    count = len(values) // len(_LISTS)
    return {name: values[k * count : (k + 1) * count] for k, name in enumerate(_LISTS)}


def spell_bands(facts: BandFacts) -> dict[str, Any]:
    """Statistics as JSON values, with None for NaN."""
    lists = {k: _nulls(getattr(facts, k)) for k in _LISTS}
    return {"valid": facts.valid, **lists}


def read_bands(spelt: dict[str, Any]) -> BandFacts:
    """Statistics from the JSON values of `spell_bands`."""
    lists = {k: _numbers(spelt[k]) for k in _LISTS}
    return BandFacts(valid=int(spelt["valid"]), **lists)


def _second(bands: list[str], dtype: str, nodata: str | None) -> SecondInput:
    return SecondInput(tuple(bands), str(dtype), None if nodata is None else float(nodata))


def _counts(pixels: Mapping[int, int]) -> str:
    return json.dumps({str(v): n for v, n in pixels.items()})


def _pixels(text: str) -> dict[int, int]:
    return {int(v): n for v, n in json.loads(text).items()}


def _nulls(values: Iterable[float]) -> list[float | None]:
    return [None if math.isnan(v) else v for v in values]  # JSON has no NaN


def _numbers(values: Iterable[float | None]) -> tuple[float, ...]:
    return tuple(math.nan if v is None else float(v) for v in values)


def _spelt(nodata: float | None) -> str | None:
    return None if nodata is None else repr(float(nodata))  # JSON has no NaN
