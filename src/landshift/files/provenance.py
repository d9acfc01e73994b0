"""Provenance: a small record in every output of what made it, and from which inputs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from landshift import __version__
from landshift.files import containers

TAG = "LANDSHIFT_PROVENANCE"
"""Name of the raster tag that holds the record."""

_SAMPLE = 1 << 20


def fingerprint(path: Path) -> str:
    """A digest of a file in constant time, whatever its size.

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
    """SHA-256 of a whole file; detects every change, unlike `fingerprint`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def short(entry: Mapping[str, Any]) -> str:
    """A short identifier of a record: the first 12 hexadecimal digits of its SHA-256."""
    text = json.dumps(entry, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def record(
    stage: str,
    inputs: Iterable[Path],
    parameters: Mapping[str, Any],
    *,
    beside: Path | None = None,
) -> dict[str, Any]:
    """The record of an output: software, stage, inputs by name and fingerprint, parameters.

    A raster inside a file has the file's fingerprint. There is no time stamp, so that the same job
    gives the same bytes.

    Args:
        stage: What made it.
        inputs: Files that it was made from.
        parameters: The options.
        beside: An output whose later stages look for the inputs again; the record then holds their
            paths relative to its folder. None: names alone.
    """
    return {
        "software": f"landshift {__version__}",
        "stage": stage,
        "inputs": [
            {
                "name": _name(p),
                "fingerprint": fingerprint(containers.file_of(p)),
                **({} if beside is None else _way(p, beside)),
            }
            for p in inputs
            if containers.file_of(p).is_file()
        ],
        "parameters": dict(parameters),
    }


def from_tags(tags: Mapping[str, str]) -> dict[str, Any]:
    """The record in a raster's tags; empty if there is none, or it is damaged."""
    try:
        entry = json.loads(tags.get(TAG, "{}"))
    except (ValueError, RecursionError):
        return {}
    return entry if isinstance(entry, dict) else {}


def _way(path: Path, beside: Path) -> dict[str, str]:
    """The path of a file relative to an output's folder, if there is one."""
    if containers.part_of(path) is not None:
        return {}
    try:
        return {"path": Path(os.path.relpath(path, Path(beside).parent)).as_posix()}
    except ValueError:  # on another drive
        return {}


def _name(path: Path) -> str:
    """A file's name; with the name of the raster inside it if that is one of several."""
    part = containers.part_of(path)
    return Path(path).name if part is None else f"{Path(part.file).name}:{part.inner}"


def as_tag(entry: Mapping[str, Any]) -> dict[str, str]:
    """The record as a raster tag."""
    return {TAG: json.dumps(entry, sort_keys=True, default=str)}
