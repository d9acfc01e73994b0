"""The index of a tile set: a small SQLite file beside the side files, so that no tile is opened.

It is up to date while the same files have the same sizes and none of them is newer than the index
itself. No times are written into it, so that the same tiles give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from landshift import ledger
from landshift.errors import OutputError
from landshift.tileset.tiles import Contents, Tile

INDEX = "landshift.sqlite"

_VERSION = 1

_TABLES = """
CREATE TABLE fact (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE crs (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE tile (
    name TEXT NOT NULL, image TEXT PRIMARY KEY, label TEXT NOT NULL,
    "left" REAL, bottom REAL, "right" REAL, top REAL, crs INTEGER REFERENCES crs (id),
    valid INTEGER NOT NULL, class_pixels TEXT NOT NULL,
    minimum TEXT NOT NULL, maximum TEXT NOT NULL, mean TEXT NOT NULL, m2 TEXT NOT NULL
) WITHOUT ROWID;
"""

Pair = tuple[Path, Path]
"""Image and label of a tile."""


def write_index(folder: Path, contents: Contents, provenance: dict[str, Any] | None = None) -> None:
    """Write the index of a set.

    Args:
        folder: The set's root.
        contents: What its tiles hold, as found there.
        provenance: What made the set, if known.

    Raises:
        OutputError: It can't be written.
    """
    pairs = [(t.image, t.label) for t in contents.tiles]
    facts = {
        "state": _state_of(folder, pairs)[0],
        "bands": list(contents.bands),
        "dtype": contents.dtype,
        "nodata": _spelt(contents.nodata),
        "height": contents.height,
        "width": contents.width,
        "cell_size": contents.cell_size,
        "provenance": provenance,
    }
    names = {name: k for k, name in enumerate(sorted({t.crs for t in contents.tiles if t.crs}))}
    with ledger.whole_file(folder / INDEX) as part:
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
                base.executemany(
                    f"INSERT INTO tile VALUES ({', '.join('?' * 14)})",
                    (_row(folder, t, names) for t in contents.tiles),
                )
                base.execute("COMMIT")
        except sqlite3.Error as error:
            raise OutputError(
                f"The index must be writable, got '{error}' at {folder / INDEX}; make room."
            ) from error


def read_index(folder: Path, pairs: Sequence[Pair]) -> Contents | None:
    """What the index says of a set; None where it is missing, damaged or out of date.

    Args:
        folder: The set's root.
        pairs: Image and label of each tile that the set must hold.
    """
    path = folder / INDEX
    try:
        facts = _facts(path)
        state, newest = _state_of(folder, pairs)
        if facts is None or newest > path.stat().st_mtime_ns or facts["state"] != state:
            return None
        with closing(_open(path)) as base:
            names = dict(base.execute("SELECT id, name FROM crs"))
            rows = base.execute("SELECT * FROM tile ORDER BY name, image")
            tiles = tuple(_tile(folder, row, names) for row in rows)
        return Contents(
            bands=tuple(facts["bands"]),
            dtype=str(facts["dtype"]),
            nodata=None if facts["nodata"] is None else float(facts["nodata"]),
            height=int(facts["height"]),
            width=int(facts["width"]),
            cell_size=None if facts["cell_size"] is None else tuple(facts["cell_size"]),
            tiles=tiles,
        )
    except (sqlite3.Error, ValueError, KeyError, TypeError, OSError):
        return None  # whatever is wrong with it, the tiles themselves are still there


def read_provenance(folder: Path) -> dict[str, Any] | None:
    """What made the set, as its index says; None where it doesn't."""
    try:
        facts = _facts(folder / INDEX)
    except (sqlite3.Error, ValueError):
        return None
    found = None if facts is None else facts.get("provenance")
    return found if isinstance(found, dict) else None


def _facts(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    with closing(_open(path)) as base:
        if base.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
            return None
        return {k: json.loads(v) for k, v in base.execute("SELECT key, value FROM fact")}


def _open(path: Path) -> sqlite3.Connection:
    # Immutable: no locks, so that it works on read-only and on network folders.
    address = f"file:{quote(str(path.resolve()))}?mode=ro&immutable=1"
    return sqlite3.connect(address, uri=True)


def _state_of(folder: Path, pairs: Sequence[Pair]) -> tuple[str, int]:
    """A digest over names and sizes of all files of the pairs; when the newest was written."""
    digest = hashlib.sha256()
    newest, root = 0, len(str(folder)) + 1
    for path in sorted(str(path) for pair in pairs for path in pair):
        found = os.stat(path)
        newest = max(newest, found.st_mtime_ns)
        digest.update(f"{path[root:]}\t{found.st_size}\n".replace(os.sep, "/").encode())
    return digest.hexdigest(), newest


def _row(folder: Path, tile: Tile, names: dict[str, int]) -> tuple[Any, ...]:
    return (
        tile.name,
        tile.image.relative_to(folder).as_posix(),
        tile.label.relative_to(folder).as_posix(),
        *(tile.bounds or (None,) * 4),
        None if tile.crs is None else names[tile.crs],
        tile.valid,
        json.dumps({str(v): n for v, n in tile.class_pixels.items()}),
        *(_list(values) for values in (tile.minimum, tile.maximum, tile.mean, tile.m2)),
    )


def _tile(folder: Path, row: tuple[Any, ...], names: dict[int, str]) -> Tile:
    left, bottom, right, top = row[3:7]
    return Tile(
        name=row[0],
        image=folder / row[1],
        label=folder / row[2],
        bounds=None if left is None else (left, bottom, right, top),
        crs=None if row[7] is None else names[row[7]],
        valid=row[8],
        class_pixels={int(v): n for v, n in json.loads(row[9]).items()},
        minimum=_tuple(row[10]),
        maximum=_tuple(row[11]),
        mean=_tuple(row[12]),
        m2=_tuple(row[13]),
    )


def _list(values: tuple[float, ...]) -> str:
    return json.dumps([None if math.isnan(v) else v for v in values])


def _tuple(text: str) -> tuple[float, ...]:
    return tuple(math.nan if v is None else float(v) for v in json.loads(text))


def _spelt(nodata: float | None) -> str | None:
    return None if nodata is None else repr(float(nodata))  # JSON knows no NaN
