"""The folder of what can be made or fetched again."""

from __future__ import annotations

import os
from pathlib import Path

CACHE = "LANDSHIFT_CACHE"
"""Environment variable: folder of the cache; ``~/.cache/landshift`` if not set, or ``landshift`` in
XDG_CACHE_HOME."""


def folder(part: str) -> Path:
    """The folder of a part of the cache; it may not exist yet."""
    chosen = os.environ.get(CACHE)
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "landshift"
    return (Path(chosen) if chosen else default) / part
