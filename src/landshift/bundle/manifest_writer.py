"""The manifest of a package written."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from landshift import __version__
from landshift.bundle import manifest
from landshift.bundle.contents import Package

_LIBRARIES = (
    "torch",
    "segmentation-models-pytorch",
    "timm",
    "lightning-fabric",
    "numpy",
    "safetensors",
)
"""Libraries whose versions affect the result of a training."""


def write(package: Package, weights: str, path: Path) -> None:
    """Write the manifest of a package. It holds no times: the same training gives the same bytes.

    Args:
        package: The package.
        weights: File name of its weights.
        path: The file to write.

    Raises:
        ModelError: The manifest would be refused when it is read.
    """
    model = package.model
    entry = {
        "format": manifest.FORMAT,
        "versions": {
            "landshift": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in _LIBRARIES},
        },
        "name": package.name,
        "architecture": model.architecture,
        "combination": model.design.combination,
        "backbone": model.backbone,
        "options": dict(model.design.options),
        "weights": weights,
        "input": model.spec.as_dict(),
        "classes": model.scheme.as_list(),
        "map_classes": None if model.map_scheme is None else model.map_scheme.as_list(),
        "temperature": model.temperature,
        "training": dict(package.training),
        "history": [_row(row) for row in package.history],
        "scores": package.scores,
        "tiles": package.tiles,
    }
    manifest.write_json(path, entry)
    manifest.read(path.parent, path.parent)


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the training table without its time; NaN, which JSON lacks, becomes None."""
    values = {k: v for k, v in row.items() if k != "seconds"}
    for name in ("train_loss", "valid_loss"):
        if not math.isfinite(values[name]):
            values[name] = None
    return values
