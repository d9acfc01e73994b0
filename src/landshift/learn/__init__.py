"""The notebook surface: prepare data, train, look at results, save."""

from __future__ import annotations

from landshift.learn.classifiers import (
    ClassMetrics,
    Data,
    DeepLab,
    PSPNetClassifier,
    SegmentationModel,
    SemanticChangeClassifier,
    SiameseClassifier,
    UnetClassifier,
    prepare_data,
)

__all__ = [
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
