"""A model over a raster of any size: a class map, and layers of its certainty."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from landshift.classification.options import MapArea, MapEngine, MapOutputs, MapRun, MapTiling
    from landshift.classification.pixels import classify, classify_pixels
    from landshift.classification.progress import Progress
    from landshift.classification.tuning import padding, quantize

__all__ = [
    "MapArea", "MapEngine", "MapOutputs", "MapRun", "MapTiling", "Progress", "classify",
    "classify_pixels", "padding", "quantize",
]  # fmt: skip

_MODULES = {
    "Progress": "progress",
    "classify": "pixels",
    "classify_pixels": "pixels",
    "padding": "tuning",
    "quantize": "tuning",
}


def __getattr__(name: str) -> Any:
    """Import a name's module on first use: `classify --help` needs none of the readers."""
    if name in __all__:
        return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'options')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
