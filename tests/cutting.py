"""Tile sets that tests cut, with options given flat as on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from landshift import tileset


def cut_tiles(
    images: Sequence[Path], labels: Sequence[Path], folder: Path, **options: Any
) -> tileset.TileSet:
    """`tileset.cut`, each option in the group that has it."""
    groups: dict[str, Any] = {
        name: kind(**{f.name: options.pop(f.name) for f in fields(kind) if f.name in options})
        for name, kind in (
            ("cutting", tileset.Cutting),
            ("encoding", tileset.Encoding),
            ("companions", tileset.Companions),
        )
    }
    return tileset.cut(images, labels, folder, **groups, **options)
