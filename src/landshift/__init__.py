"""Land-cover change maps from images of two dates, end to end.

Each stage is a function, and a command of the same name; see docs/architecture.md for the rooms.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "classify_pixels": "landshift.classification",
    "evaluate_map": "landshift.evaluation.maps",
    "prepare_data": "landshift.learn",
}

__all__ = [*_PUBLIC, "__version__"]


def __getattr__(name: str) -> Any:
    """Load a public function when it is first used: `import landshift` alone stays fast."""
    if name in _PUBLIC:
        from importlib import import_module

        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'landshift' has no attribute {name!r}")
