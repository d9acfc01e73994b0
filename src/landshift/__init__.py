"""Land-cover change maps from images of two dates, end to end.

Each stage is a function, and a command of the same name; see docs/architecture.md for the rooms.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

PUBLIC = {
    "label": "landshift.prepare.label",
    "patches": "landshift.maps.patches",
    "polygons": "landshift.maps.polygons",
    "train": "landshift.learn.trained",
    "zonal": "landshift.show.zones",
    # options of theirs
    "Augmentation": "landshift.training",
    "Cleaning": "landshift.prepare.label",
    "DataOptions": "landshift.dataset",
    "Filters": "landshift.prepare.label",
    "Loss": "landshift.training",
    "MapReading": "landshift.prepare.label",
    "Network": "landshift.learn.trained",
    "Training": "landshift.training",
    "TrainingTiles": "landshift.dataset",
    # names that were public before the commands were
    "classify_pixels": "landshift.classification",
    "evaluate_map": "landshift.evaluation.maps",
    "prepare_data": "landshift.learn",
}
"""The module of each public function and of the classes of its options."""

__all__ = [*PUBLIC, "__version__"]


def __getattr__(name: str) -> Any:
    """Load a public function when it is first used: `import landshift` alone stays fast."""
    if name in PUBLIC:
        from importlib import import_module

        return getattr(import_module(PUBLIC[name]), name)
    raise AttributeError(f"module 'landshift' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
