"""A tile set as batches: what a network is trained and validated on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from landshift.dataset.options import DataOptions, Splitting, TrainingTiles

if TYPE_CHECKING:
    from landshift.dataset.draws import Draws
    from landshift.dataset.samples import LAYERS, Draw, Sample, TileDataset
    from landshift.dataset.training import TrainingData, of_split, prepare

_NEED_TORCH = {
    "LAYERS": "samples",
    "Draw": "samples",
    "Draws": "draws",
    "Sample": "samples",
    "TileDataset": "samples",
    "TrainingData": "training",
    "of_split": "training",
    "prepare": "training",
}

__all__ = [
    "LAYERS",
    "DataOptions",
    "Draw",
    "Draws",
    "Sample",
    "Splitting",
    "TileDataset",
    "TrainingData",
    "TrainingTiles",
    "of_split",
    "prepare",
]


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is first used: options are read without it."""
    if name in _NEED_TORCH:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_NEED_TORCH[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
