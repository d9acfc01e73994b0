"""The notebook surface: prepare data, train, look at results, save."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from landshift.learn.classifiers import (
        ChangeDetector,
        DeepLab,
        PSPNetClassifier,
        SegmentationModel,
        SemanticChangeClassifier,
        SiameseClassifier,
        UnetClassifier,
    )
    from landshift.learn.data import Data, prepare_data
    from landshift.learn.notebook import ClassMetrics

__all__ = [
    "ChangeDetector",
    "ClassMetrics",
    "Data",
    "DeepLab",
    "PSPNetClassifier",
    "SegmentationModel",
    "SemanticChangeClassifier",
    "SiameseClassifier",
    "UnetClassifier",
    "prepare_data",
]

_ELSEWHERE = {"ClassMetrics": "notebook", "Data": "data", "prepare_data": "data"}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: the options of `train` are read without torch."""
    if name in __all__:
        import warnings
        from importlib import import_module

        with warnings.catch_warnings():  # of tqdm, which networks import, about missing widgets
            warnings.filterwarnings("ignore", message="IProgress not found")
            module = import_module(f"{__name__}.{_ELSEWHERE.get(name, 'classifiers')}")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
