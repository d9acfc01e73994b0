"""Who made a file, from what: a small record that every output carries."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from landshift import __version__
from landshift.files import containers

TAG = "LANDSHIFT_PROVENANCE"
"""Name of the raster tag that holds the record."""

_SAMPLE = 1 << 20


def fingerprint(path: Path) -> str:
    """A digest that tells files apart in constant time, however large they are.

    SHA-256 over the file's size, its first and its last 1 MiB.
    """
    digest = hashlib.sha256()
    size = path.stat().st_size
    digest.update(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(_SAMPLE))
        file.seek(max(0, size - _SAMPLE))
        digest.update(file.read(_SAMPLE))
    return digest.hexdigest()


def digest(path: Path) -> str:
    """SHA-256 of a whole file, where a change in its middle must not go unseen."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def short(entry: Mapping[str, Any]) -> str:
    """A name for what a record says: 12 digits that are others for every other record."""
    text = json.dumps(entry, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def record(stage: str, inputs: Iterable[Path], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What made an output: the stage, its inputs by name and fingerprint, its parameters.

    The fingerprint of a raster inside a file is the file's. There is no time of day, so that the
    same job gives the same bytes.
    """
    return {
        "software": f"landshift {__version__}",
        "stage": stage,
        "inputs": [
            {"name": _name(p), "fingerprint": fingerprint(containers.file_of(p))}
            for p in inputs
            if containers.file_of(p).is_file()
        ],
        "parameters": dict(parameters),
    }


def from_tags(tags: Mapping[str, str]) -> dict[str, Any]:
    """The record that a raster's tags hold; empty where there is none."""
    try:
        entry = json.loads(tags.get(TAG, "{}"))
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _name(path: Path) -> str:
    """A file's name, and that of the raster inside it where it is one of several."""
    part = containers.part_of(path)
    return Path(path).name if part is None else f"{Path(part.file).name}:{part.inner}"


def as_tag(entry: Mapping[str, Any]) -> dict[str, str]:
    """The record as a raster tag."""
    return {TAG: json.dumps(entry, sort_keys=True, default=str)}
